"""The files of recordings: found from what rows say, never outside their folder."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

log = logging.getLogger(__name__)

_NAME = re.compile(r"(?P<call>[A-Za-z0-9][A-Za-z0-9_@.+-]*?)(?:\.(?P<part>[2-9]|[1-9]\d+))?\.wav")
MOST_PARTS = 100


@dataclass(frozen=True, slots=True)
class File:
    """A recording on the disk."""

    path: Path
    name: str
    """Relative to the recordings folder, as rows have it."""
    call_id: str
    at: datetime
    """Last written."""


def call_id_of(name: str) -> str | None:
    """Whose recording a file called ``name`` is (folders before it do not matter); None: nobody's."""
    match = _NAME.fullmatch(name.rpartition("/")[2])
    return match["call"] if match else None


def path_of(folder: Path, name: str) -> Path | None:
    """Where the recording ``name`` of a row lies; None when that is no place below ``folder``.

    A row is no order: nothing outside is ever touched, by ``..``, an absolute name or a link.
    """
    if not name or "\0" in name:
        return None
    root = Path(os.path.realpath(folder))
    path = root / name
    parent = Path(os.path.realpath(path.parent))
    if not parent.is_relative_to(root) or path.name in ("", ".", ".."):
        return None
    return parent / path.name


def files_of(folder: Path, call_id: str, name: str) -> list[Path]:
    """Every recording of a call: that of its row, and those of its other parts.

    They lie in the folder of the day on which each part began.
    """
    path = path_of(folder, name)
    if path is None or (named := _NAME.fullmatch(path.name)) is None or named["call"] != call_id:
        return []  # a row names no file but its own call's
    found = {path}
    days = [path.parent, *_neighbours(folder, path.parent)]
    for day in days:
        for part in ("", *(f".{number}" for number in range(2, MOST_PARTS))):
            other = day / f"{call_id}{part}.wav"
            if other.exists():
                found.add(other)
            elif part:
                break
    return sorted(found)


def _neighbours(folder: Path, day: Path) -> list[Path]:
    """The folders of the days before and after: a call over midnight has parts in two."""
    root = Path(os.path.realpath(folder))
    try:
        at = datetime.strptime(str(day.relative_to(root)), "%Y/%m/%d").replace(tzinfo=UTC)
    except ValueError:
        return []
    stamps = (at.timestamp() - 86_400, at.timestamp() + 86_400)
    return [root / f"{datetime.fromtimestamp(s, UTC):%Y/%m/%d}" for s in stamps]


def remove(path: Path) -> bool:
    """Erase a file; True when it is gone, also when it was before. Its folder stays (:func:`prune`)."""
    try:
        path.unlink(missing_ok=True)
    except OSError as e:
        log.error("! recording %s cannot be erased: %s", path.name, e.strerror)
        return False
    return True


def recordings(folder: Path) -> Iterator[File]:
    """Every recording on the disk. Links are not followed."""
    root = Path(os.path.realpath(folder))
    for place, _, names in os.walk(root):
        for name in names:
            match = _NAME.fullmatch(name)
            path = Path(place) / name
            if match is None or path.is_symlink():
                continue
            try:
                at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            except OSError:
                continue
            yield File(path, str(path.relative_to(root)), match["call"], at)


def prune(folder: Path) -> None:
    """Remove the folders of days that hold nothing any more."""
    root = Path(os.path.realpath(folder))
    for place, _, _ in os.walk(root, topdown=False):
        if Path(place) != root:
            try:
                os.rmdir(place)
            except OSError:
                continue  # not empty
