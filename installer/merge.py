"""Writes the settings that the installer owns into ivr.toml and leaves a person's edits alone.

``merge.py SETTINGS MEMORY`` reads ``section.key<TAB>TOML value`` lines on standard input. A setting
is written where it is missing, or where the file still says what was written the last time (of which
MEMORY holds a hash, for some are secrets). Where a person has changed or removed it, their word
stands, and a line on standard output says so. ``--all-of PREFIX``: these lines are all that is wanted
below PREFIX; what was written there before and is not among them goes, by the same rule. Comments and
order stay. Python's own library only: this runs before there is any environment.
"""

from __future__ import annotations

import argparse
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
# as it was into /var/lib/ivr-installer/ before it changes it.
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


def drop(text: str, name: str) -> str | None:
    """``text`` without the setting's line; None where it is not one line."""
    table, _, key = name.rpartition(".")
    here, kept, found = "", [], 0
    for line in text.splitlines():
        if header := _TABLE.match(line):
            here = header.group(1).strip()
        if here == table and re.match(rf"\s*{re.escape(key)}\s*=", line):
            found += 1
            continue
        kept.append(line)
    after = "\n".join(kept) + "\n"
    try:
        tomllib.loads(after)
    except tomllib.TOMLDecodeError:
        return None
    return after if found == 1 else None


def clear(
    text: str, wanted: dict[str, str], memory: dict[str, str], *prefixes: str
) -> tuple[str, list[str]]:
    """The text without what was written below ``prefixes`` and is not wanted any more, and what of it
    was left as a person has it; ``memory`` is brought up to date."""
    kept = []
    for name in sorted(name for name in memory if name.startswith(prefixes) and name not in wanted):
        now = lookup(tomllib.loads(text), name)
        after = drop(text, name) if now is not None and digest(now) == memory[name] else None
        if after is not None:
            text = after
        elif now is not None:
            kept.append(name)
        del memory[name]  # a person's from now on
    return text, kept


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
    parser = argparse.ArgumentParser()
    parser.add_argument("settings", type=Path)
    parser.add_argument("memory", type=Path)
    parser.add_argument(
        "--check", action="store_true", help="status 1: there is something to write"
    )
    parser.add_argument("--all-of", metavar="PREFIX", action="append", default=[])
    asked = parser.parse_args()
    settings, memory_file = asked.settings, asked.memory
    wanted = dict(line.rstrip("\n").split("\t", 1) for line in sys.stdin if line.strip())
    memory = json.loads(memory_file.read_text()) if memory_file.exists() else {}
    remembered = dict(memory)
    before = settings.read_text("utf-8") if settings.exists() else HEADER
    cleared, left = clear(before, wanted, memory, *asked.all_of)
    after, kept = merge(cleared, wanted, memory)
    if asked.check:
        sys.exit(0 if settings.exists() and after == before else 1)
    for name in (*left, *kept):
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
