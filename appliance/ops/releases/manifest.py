"""A bundle's table of contents: every file with its size and SHA-256. It is what is signed.

Canonical JSON in UTF-8, so that the same contents have the same bytes. It is read from strangers: what
is not exactly as :func:`parse` wants it is refused with one sentence, before any file is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

import orjson
from packaging.version import InvalidVersion, Version

from appliance.errors import UserError

FORMAT = 1
LARGEST_MANIFEST_BYTES = 16 << 20
MOST_FILES = 50_000
LARGEST_FILE_BYTES = 1 << 40
"""1 TiB: no file of a model comes near it."""
LONGEST_PATH_BYTES = 512
LONGEST_MEMBER_BYTES = 100
"""Of a tar header's name field (POSIX.1-1988); what is longer goes by its hash."""
FOLDERS = ("wheels", "share", "debs", "engines", "models", "about")
"""What the first part of a path may be: ``engines`` holds the wheels of the engines' environments,
``about`` the SBOM, the licences and what pip installs."""
EPOCH_OF_APT, EPOCH = "%3a", "@"
"""The colon of a Debian version (deb-version(7)) in the name of a file: as apt writes it, and as it may
stand in a path of ours."""
_PART = re.compile(r"[A-Za-z0-9._+~=@,-][A-Za-z0-9._+~=@, -]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REVISION = re.compile(r"[A-Za-z0-9_]{1,32}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file."""

    path: str
    """With slashes; its first part is one of :data:`FOLDERS`."""
    size: int
    """Bytes."""
    sha256: str
    mode: int = 0o644
    """0644, or 0755 for a program."""

    @property
    def member(self) -> str:
        """Its name in the tar."""
        if len(self.path.encode()) <= LONGEST_MEMBER_BYTES:
            return self.path
        return f"long/{self.sha256}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle is and holds; files in the order in which they come."""

    version: str
    """PEP 440."""
    commit: str
    schema: str
    """The newest revision of its migrations."""
    python: str
    """The Python that its wheels are for: ``3.11``."""
    made_at: str
    """ISO 8601 with the offset."""
    files: tuple[Entry, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files)

    def under(self, folder: str) -> tuple[Entry, ...]:
        """The files of one of :data:`FOLDERS`."""
        return tuple(entry for entry in self.files if entry.path.startswith(folder + "/"))

    def serialise(self) -> bytes:
        """The bytes that are signed."""
        return orjson.dumps({"format": FORMAT, **asdict(self)}, option=orjson.OPT_SORT_KEYS)


def parse(data: bytes) -> Manifest:
    """Read a manifest. Raises UserError for anything but a good one."""
    try:
        told = orjson.loads(data)
    except orjson.JSONDecodeError as e:
        raise _bad("it is no JSON") from e
    if not isinstance(told, dict):
        raise _bad("it is no JSON object")
    if told.get("format") != FORMAT:
        raise UserError(
            f"The bundle has format {told.get('format')!r}; this version reads format {FORMAT}."
            " Use the `ivr` of the release that the bundle was made for."
        )
    texts = {
        name: _text(told, name) for name in ("version", "commit", "schema", "python", "made_at")
    }
    _check_texts(texts)
    return Manifest(**texts, files=_files(told.get("files")))


def _text(told: dict[str, Any], name: str) -> str:
    value = told.get(name)
    if not isinstance(value, str) or len(value) > 100 or not value.isprintable():
        raise _bad(f"{name} is missing or no text")
    return value


def _check_texts(texts: dict[str, str]) -> None:
    try:
        plain = str(Version(texts["version"]))
        aware = datetime.fromisoformat(texts["made_at"]).tzinfo is not None
    except (InvalidVersion, ValueError) as e:
        raise _bad(f"{e}") from e
    if plain != texts["version"]:
        raise _bad(f"version {texts['version']!r} is written {plain}")
    if not aware:
        raise _bad("made_at has no time zone")
    if not _REVISION.fullmatch(texts["schema"]):
        raise _bad("schema is no revision")


def _files(listed: object) -> tuple[Entry, ...]:
    if not isinstance(listed, list) or not 0 < len(listed) <= MOST_FILES:
        raise _bad(f"it lists no files, or more than {MOST_FILES}")
    entries = tuple(_entry(one) for one in listed)
    _check_paths(entries)
    return entries


def _entry(told: object) -> Entry:
    if not isinstance(told, dict) or told.keys() != {"path", "size", "sha256", "mode"}:
        raise _bad("a file is not described by path, size, sha256 and mode")
    entry = Entry(**told)
    if not isinstance(entry.path, str) or not is_safe(entry.path):
        raise _bad(f"{entry.path!r} may not be the path of a file")
    if type(entry.size) is not int or not 0 <= entry.size <= LARGEST_FILE_BYTES:
        raise _bad(f"{entry.path} has no size that a file can have")
    if not isinstance(entry.sha256, str) or not _SHA256.fullmatch(entry.sha256):
        raise _bad(f"{entry.path} has no SHA-256")
    if type(entry.mode) is not int or entry.mode not in (0o644, 0o755):
        raise _bad(f"{entry.path} has a mode that is neither 0644 nor 0755")
    return entry


def _check_paths(entries: Iterable[Entry]) -> None:
    """No path twice, and none that is another's folder."""
    seen = [entry.path for entry in entries]
    known = set(seen)
    if len(known) != len(seen):
        raise _bad("it lists a file twice")
    folded = {path.casefold() for path in known}
    if len(folded) != len(known):
        raise _bad("two of its paths differ in the case of letters alone")
    for path in seen:
        if any(str(folder) in known for folder in PurePosixPath(path).parents):
            raise _bad(f"a file is a folder of {path}")


def is_safe(path: str) -> bool:
    """Whether ``path`` stays below the folder it is put in, and in one of :data:`FOLDERS`."""
    parts = path.split("/")
    return (
        len(parts) > 1
        and parts[0] in FOLDERS
        and len(path.encode("utf-8", "surrogatepass")) <= LONGEST_PATH_BYTES
        and all(_PART.fullmatch(part) and part.strip(". ") for part in parts)
    )


def _bad(why: str) -> UserError:
    return UserError(f"The bundle's manifest is not good: {why}. Get the bundle again.")
