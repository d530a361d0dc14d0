"""Office files are ZIP archives: what is checked before anything in one is unpacked."""

from __future__ import annotations

import re
import zipfile
from io import BytesIO

from appliance.knowledge.reading.document import RefusedDocumentError

MOST_PARTS = 20_000
MOST_UNPACKED_BYTES = 1_000_000_000
MOST_PART_BYTES = 300_000_000
"""Of XML, which takes some ten times as much in memory."""
MOST_RATIO = 200
"""Unpacked to packed. Sheets of numbers reach 30, a bomb 1 000."""
SMALL_BYTES = 20_000_000
"""Unpacked: below it no ratio harms."""
_HEAD_BYTES = 4096
_FORBIDDEN = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_MAIN_TYPES = re.compile(
    rb'application/vnd\.(?:ms-(?:word|powerpoint|excel)\.[^"]*?main\+xml'
    rb"|openxmlformats-officedocument\.(?:wordprocessingml|presentationml|spreadsheetml)\."
    rb"(?:template|slideshow)\.main\+xml)"
)


def check(original: bytes, name: str) -> None:
    """Raises RefusedDocumentError for a bomb, an encrypted archive, names that lead out of it, and
    XML with entities of its own (the formats forbid them)."""
    with zipfile.ZipFile(BytesIO(original)) as archive:
        parts = archive.infolist()
        _check_sizes(parts, len(original), name)
        for part in parts:
            _check_name(part, name)
        for part in parts:
            if part.filename.endswith((".xml", ".rels", ".vml")):
                with archive.open(part) as content:
                    head = content.read(_HEAD_BYTES).replace(b"\0", b"")
                if _FORBIDDEN.search(head):
                    raise RefusedDocumentError(
                        f"{name} defines XML entities, as only an attack does; it is not read."
                    )


def _check_sizes(parts: list[zipfile.ZipInfo], packed: int, name: str) -> None:
    unpacked = sum(part.file_size for part in parts)
    if (
        len(parts) > MOST_PARTS
        or unpacked > MOST_UNPACKED_BYTES
        or max((part.file_size for part in parts), default=0) > MOST_PART_BYTES
        or (unpacked > SMALL_BYTES and unpacked > MOST_RATIO * packed)
    ):
        raise RefusedDocumentError(
            f"{name} unpacks to {unpacked / 1e6:,.0f} MB in {len(parts)} parts, as an attack does; "
            "save it again, or split it."
        )


def _check_name(part: zipfile.ZipInfo, name: str) -> None:
    if part.flag_bits & 0x1:
        raise RefusedDocumentError(f"{name} is protected by a password; save it without one.")
    path = part.filename.replace("\\", "/")
    if path.startswith("/") or ".." in path.split("/") or ":" in path.split("/")[0]:
        raise RefusedDocumentError(
            f"{name} names files outside of itself, as only an attack does; it is not read."
        )


def as_plain(original: bytes) -> tuple[bytes, bool]:
    """The archive with its main part called a plain document, workbook or presentation, and whether
    macros were in it: libraries open no templates, shows and files with macros. Macros are dropped.
    """
    with zipfile.ZipFile(BytesIO(original)) as archive:
        types = archive.read("[Content_Types].xml")
        macros = any(part.endswith("vbaProject.bin") for part in archive.namelist())
        if not _MAIN_TYPES.search(types):
            return original, macros
        written = BytesIO()
        with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as plain:
            plain.writestr("[Content_Types].xml", _MAIN_TYPES.sub(_plain_type, types))
            for part in archive.infolist():
                if part.filename != "[Content_Types].xml":
                    plain.writestr(part.filename, archive.read(part))
    return written.getvalue(), macros


def _plain_type(found: re.Match[bytes]) -> bytes:
    kind = found.group().lower()
    office = b"application/vnd.openxmlformats-officedocument."
    if b"word" in kind:
        return office + b"wordprocessingml.document.main+xml"
    if b"excel" in kind or b"spreadsheet" in kind:
        return office + b"spreadsheetml.sheet.main+xml"
    return office + b"presentationml.presentation.main+xml"
