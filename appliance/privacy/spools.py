"""What journals have left on the disk for longer than the log is kept."""

from __future__ import annotations

import fcntl
import logging
import os
import re
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import orjson

from appliance.store.shipper import QUARANTINE
from appliance.store.spool import SUFFIX

log = logging.getLogger(__name__)

_DIGITS = re.compile(rb"[0-9]+")


def erase_old(folder: Path, before: datetime, *, dry_run: bool = False) -> int:
    """Erase spools that nobody has shipped and rows in quarantine that are older; how many.

    Spools of processes that live are theirs, and stay. Blocks on the disk.
    """
    if not folder.is_dir():
        return 0
    count = 0
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        count += _erase_spool(path, before, dry_run)
    for path in sorted(folder.rglob(QUARANTINE)):
        count += _erase_rows(path, lambda line: _at(line) < before, dry_run)
    return count


def erase_of(folder: Path, forms: Collection[str], call_ids: Collection[str]) -> int:
    """Erase what lies in quarantine of these calls, or with one of these numbers (``forms``: digits of
    every way to write it) in it; how many rows. Blocks on the disk."""
    if not folder.is_dir():
        return 0
    theirs = _theirs(forms, call_ids)
    return sum(_erase_rows(path, theirs, False) for path in sorted(folder.rglob(QUARANTINE)))


def waiting_of(folder: Path, forms: Collection[str], call_ids: Collection[str]) -> int:
    """How many such rows lie in spools: on their way to Postgres, or stored a moment ago. They are not
    ours to take. Blocks on the disk."""
    if not folder.is_dir():
        return 0
    theirs, count = _theirs(forms, call_ids), 0
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        if path.name != QUARANTINE:
            with suppress(OSError):
                count += sum(map(theirs, path.read_bytes().splitlines()))
    return count


def _theirs(forms: Collection[str], call_ids: Collection[str]) -> Callable[[bytes], bool]:
    numbers = frozenset(form.encode() for form in forms)
    calls = [call_id.encode() for call_id in call_ids]

    def theirs(line: bytes) -> bool:
        return not numbers.isdisjoint(_DIGITS.findall(line)) or any(call in line for call in calls)

    return theirs


def _erase_spool(path: Path, before: datetime, dry_run: bool) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        if os.fstat(descriptor).st_mtime >= before.timestamp():
            return 0
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not dry_run:
            path.unlink(missing_ok=True)
            log.warning("! spool %s was never stored and is too old: erased", path.name)
        return 1
    except OSError:
        return 0  # its process lives, or it is another user's
    finally:
        os.close(descriptor)


def _erase_rows(path: Path, gone: Callable[[bytes], bool], dry_run: bool) -> int:
    """A writer opens the file by its name for each row, so that it can be moved away."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError:
        return 0
    old = sum(map(gone, lines))
    if dry_run or not old:
        return old
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    os.rename(path, aside)
    kept = [line for line in aside.read_bytes().splitlines(keepends=True) if not gone(line)]
    if kept:
        with open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
            out.writelines(kept)
            out.flush()
            os.fsync(out.fileno())
    aside.unlink()
    return old


def _at(line: bytes) -> datetime:
    """When a row went to quarantine; what cannot be read is as old as can be."""
    with suppress(orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return datetime.fromisoformat(orjson.loads(line)["at"])
    return datetime.fromisoformat("1970-01-01T00:00:00+00:00")
