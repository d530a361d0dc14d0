"""The settings of a backup on another box: all of them, but where this box's own database and data are.

What is of the box and not of the site (``data_dir``, ``[database]``, ``[redis]``, ``[backup]``) stays
as the file here says, where there is one: the installer of a new box has made its own roles and
passwords.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from appliance.errors import UserError
from appliance.files import write_whole

OF_THE_BOX = ("database", "redis", "backup")
DATA_DIR = "data_dir"
_HEADER = re.compile(r"^\s*\[\[?\s*([A-Za-z0-9_-]+)[^\]]*\]\]?\s*(?:#.*)?$")


def merged(theirs: str, ours: str) -> str:
    """The text of ``theirs`` (the backup's file) with this box's own parts out of ``ours``.

    Raises UserError where the two cannot be put together without guessing.
    """
    wanted = _values(theirs, "the backup's settings")
    here = _values(ours, "this box's settings")
    for name in (*OF_THE_BOX, DATA_DIR):
        wanted.pop(name, None)
        if name in here:
            wanted[name] = here[name]
    text = "\n".join(
        [*_top(theirs, ours), *_sections(theirs, keep=False), *_sections(ours, keep=True)]
    )
    text = text.rstrip() + "\n"
    if _values(text, "the settings put together") != wanted:
        raise UserError("the two settings files are written too differently to be put together")
    return text


def put(theirs: str, file: Path, before: str, otherwise: Path) -> tuple[Path, str]:
    """``theirs`` into ``file``, merged with what is there; where it stands, and what a person must do.

    What was there is kept beside it, ``before`` at the end of its name. Where the two cannot be put
    together or ``file`` cannot be written, they are in ``otherwise``. Raises OSError: nor there.
    """
    text = theirs
    try:
        if file.exists():
            ours = file.read_text(encoding="utf-8")
            text = merged(theirs, ours)
            if text == ours:
                return file, ""
            _write_like(file.with_name(f"{file.name}.{before}"), ours, file)
        _write_like(file, text, file)
    except (UserError, OSError) as e:
        write_whole(otherwise, text.encode(), mode=0o600, sync=True)
        return otherwise, (
            f"The settings were not written to {file} ({e}). They are in {otherwise}: put them there."
        )
    return file, ""


def _write_like(path: Path, text: str, like: Path) -> None:
    """``text`` into ``path``, with the owner of ``like`` where root writes it."""
    owner = like.stat() if like.exists() else None
    write_whole(path, text.encode(), mode=0o640, sync=True)
    if owner is not None and os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)


def _values(text: str, what: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise UserError(f"{what} are not valid TOML: {e}") from e


def _top(theirs: str, ours: str) -> list[str]:
    """What stands before the first section: theirs, with our ``data_dir``."""
    lines = [line for line in _before(theirs) if not _names(line, DATA_DIR)]
    return [*lines, *(line for line in _before(ours) if _names(line, DATA_DIR))]


def _before(text: str) -> list[str]:
    found = []
    for line in text.splitlines():
        if _HEADER.match(line):
            break
        found.append(line)
    return found


def _names(line: str, key: str) -> bool:
    return re.match(rf"\s*{key}\s*=", line) is not None


def _sections(text: str, *, keep: bool) -> list[str]:
    """The sections of the box (``keep``), or all others; a section's comments stand before it."""
    found: list[str] = []
    takes = started = False
    for line in text.splitlines():
        if header := _HEADER.match(line):
            started = True
            takes = (header[1] in OF_THE_BOX) is keep
        if started and takes:
            found.append(line)
    return found
