#!/usr/bin/env python3
"""The files of the locked packages in another environment's site-packages, for tar: each ends with NUL.

    lockedpackages.py SITE-PACKAGES LOCK...

Status 1, with what is missing: a package is not there, or is another version than the lock's.
"""

import re
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+)", re.M)


def plain(name: str) -> str:
    """As PEP 503 compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def troubles(pinned: dict[str, str], there: dict[str, Distribution]) -> list[str]:
    """What of ``pinned`` is not ``there``."""
    versions = {name: there[name].version if name in there else "none" for name in pinned}
    return [f"{n}=={v}, here {versions[n]}" for n, v in pinned.items() if versions[n] != v]


def files_of(found: Distribution) -> list[str]:
    """Below site-packages; programs in bin/ carry the other environment's path and are left out."""
    files = found.files
    if files is None:
        sys.exit(f"{found.name} has no list of its files")
    return [str(file) for file in files if not str(file).startswith(("..", "/"))]


def main(folder: Path, locks: list[Path]) -> None:
    text = "".join(lock.read_text() for lock in locks)
    pinned = {plain(name): version for name, version in PINNED.findall(text)}
    there = {plain(found.name): found for found in distributions(path=[str(folder)])}
    if missing := troubles(pinned, there):
        sys.exit(f"{folder} does not hold what the lock names: {'; '.join(missing[:5])}")
    for name in pinned:
        for file in files_of(there[name]):
            if (folder / file).exists():
                sys.stdout.write(f"{file}\0")


main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
