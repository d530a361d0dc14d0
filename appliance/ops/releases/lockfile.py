"""``requirements.lock``: which packages, at which version, with which hashes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import NormalizedName, canonicalize_name

from appliance.errors import UserError

_LINE = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})\b")


@dataclass(frozen=True, slots=True)
class Pinned:
    """One package."""

    name: NormalizedName
    version: str
    hashes: frozenset[str]
    """SHA-256 of each file that may serve, in hex."""


def read_lock(path: Path) -> tuple[Pinned, ...]:
    """Every package of a lock. Raises UserError for one without a hash, or none at all."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"{path} cannot be read: {e}. `make lock` makes it.") from e
    found = []
    for block in text.replace("\\\n", " ").splitlines():
        if not (match := _LINE.match(block)):
            continue
        hashes = frozenset(_HASH.findall(block))
        if not hashes:
            raise UserError(f"{path}: {match[1]} has no hash. `make lock` makes them.")
        found.append(Pinned(canonicalize_name(match[1]), match[2], hashes))
    if not found:
        raise UserError(f"{path} pins no package. `make lock` makes it.")
    return tuple(found)
