"""Copies on disk of knowledge versions, for a worker that starts while Postgres is away."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import orjson

from appliance.files import write_whole
from appliance.store.passages import StoredPassage

_log = logging.getLogger(__name__)


def _file(folder: Path, knowledge: str, version: int) -> Path:
    digest = hashlib.sha256(knowledge.encode()).hexdigest()[:16]  # a name may hold any character
    return folder / f"{digest}.{version}.json"


def write_copy(
    folder: Path, knowledge: str, version: int, passages: Sequence[StoredPassage]
) -> None:
    """Keep a version's passages; whole or not at all. A full disk is logged, not raised."""
    file = _file(folder, knowledge, version)
    try:
        write_whole(file, orjson.dumps(list(passages)))
    except OSError as e:
        _log.warning("! %s not written: %s", file, e)


def read_copy(folder: Path, knowledge: str, version: int) -> list[StoredPassage]:
    """The passages kept of a version; empty when there is no copy or it cannot be read."""
    file = _file(folder, knowledge, version)
    try:
        return [StoredPassage(**row) for row in orjson.loads(file.read_bytes())]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as e:
        _log.warning("! %s cannot be read: %s", file, e)
        return []
