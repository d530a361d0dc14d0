"""Writes the settings that the installer owns into ivr.toml and leaves a person's edits alone.

``merge.py SETTINGS MEMORY`` reads ``section.key<TAB>TOML value`` lines on standard input. A setting
is written where it is missing, or where the file still says what was written the last time (of which
MEMORY holds a hash, for some are secrets). Where a person has changed or removed it, their word
stands, and a line on standard output says so. Comments and order stay. Python's own library only: this
runs before there is any environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tomllib
from pathlib import Path

HEADER = """\
# Settings of this box; `ivr.toml.example` in /opt/ivr/current/share has every one with its meaning.
# Yours to edit: install.sh writes here only what it was told, keeps your changes, and puts the file
# as it was into /var/lib/ivr/installer/ before it changes it.
"""
_TABLE = re.compile(r"^\s*\[([^\[\]]+)\]\s*(#.*)?$")


def digest(value: object) -> str:
    """Tells one value from another without keeping it."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def lookup(values: dict, name: str) -> object | None:
    """The value of ``section.key``; None where there is none."""
    for part in name.split("."):
        if not isinstance(values, dict) or part not in values:
            return None
        values = values[part]
    return values


def put(text: str, name: str, value: str) -> str | None:
    """``text`` with the setting's line set, or added to its table; None where a person has written
    it over several lines."""
    table, _, key = name.rpartition(".")
    lines = text.splitlines()
    here, end = "", 0 if not table else None
    for number, line in enumerate(lines):
        if found := _TABLE.match(line):
            here = found.group(1).strip()
        elif here == table and re.match(rf"\s*{re.escape(key)}\s*=", line):
            try:
                tomllib.loads(line)
            except tomllib.TOMLDecodeError:
                return None
            lines[number] = f"{key} = {value}"
            return "\n".join(lines) + "\n"
        if here == table and line.strip():
            end = number + 1
    if end is None:
        lines += ["", f"[{table}]", f"{key} = {value}"]
    else:
        lines.insert(end, f"{key} = {value}")
    return "\n".join(lines) + "\n"


def merge(text: str, wanted: dict[str, str], memory: dict[str, str]) -> tuple[str, list[str]]:
    """The new text, and what was left as a person has it; ``memory`` is brought up to date."""
    kept = []
    for name, value in wanted.items():
        now, new = lookup(tomllib.loads(text), name), tomllib.loads(f"x = {value}")["x"]
        if now == new:
            memory[name] = digest(new)
            continue
        before = memory.get(name)
        touched = before is not None and digest(now) != before
        foreign = before is None and now is not None
        changed = None if touched or foreign else put(text, name, value)
        if changed is None:
            kept.append(name)
            continue
        text, memory[name] = changed, digest(new)
        tomllib.loads(text)  # never leave a file that cannot be read
    return text, kept


def main() -> None:
    only_check = "--check" in sys.argv
    settings, memory_file = (Path(name) for name in sys.argv[1:] if name != "--check")
    wanted = dict(line.rstrip("\n").split("\t", 1) for line in sys.stdin if line.strip())
    memory = json.loads(memory_file.read_text()) if memory_file.exists() else {}
    remembered = dict(memory)
    before = settings.read_text("utf-8") if settings.exists() else HEADER
    after, kept = merge(before, wanted, memory)
    if only_check:
        sys.exit(0 if settings.exists() and after == before else 1)
    for name in kept:
        print(f"{name} stays as it was edited")
    if after != before or not settings.exists():
        _write(settings, after, 0o640)
    if memory != remembered:
        _write(memory_file, json.dumps(memory, indent=1) + "\n", 0o600)


def _write(path: Path, text: str, mode: int) -> None:
    """Whole or not at all, with the owner that the file had."""
    new = path.with_name(path.name + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    new.chmod(mode)
    if path.exists():
        status = path.stat()
        os.chown(new, status.st_uid, status.st_gid)
    new.replace(path)


if __name__ == "__main__":
    main()
