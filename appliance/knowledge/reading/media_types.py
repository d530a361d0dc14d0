"""What a document is, by its contents: names and servers may say anything."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from io import BytesIO

from appliance.knowledge.reading.document import RefusedDocumentError

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
CSV = "text/csv"
HTML = "text/html"
MARKDOWN = "text/markdown"
TEXT = "text/plain"
PNG = "image/png"
JPEG = "image/jpeg"
TIFF = "image/tiff"
IMAGES = (PNG, JPEG, TIFF)

NAMES = {
    PDF: "a PDF",
    DOCX: "a Word document",
    PPTX: "a presentation",
    XLSX: "a workbook",
    CSV: "a table (CSV)",
    HTML: "a web page",
    MARKDOWN: "Markdown",
    TEXT: "plain text",
    PNG: "a picture (PNG)",
    JPEG: "a picture (JPEG)",
    TIFF: "a picture (TIFF)",
}
SUFFIXES = {
    "pdf": PDF,
    "docx": DOCX, "docm": DOCX, "dotx": DOCX, "dotm": DOCX,
    "pptx": PPTX, "pptm": PPTX, "ppsx": PPTX, "ppsm": PPTX, "potx": PPTX, "potm": PPTX,
    "xlsx": XLSX, "xlsm": XLSX, "xltx": XLSX, "xltm": XLSX,
    "csv": CSV, "tsv": CSV, "tab": CSV,
    "html": HTML, "htm": HTML, "xhtml": HTML,
    "md": MARKDOWN, "markdown": MARKDOWN,
    "txt": TEXT, "text": TEXT,
    "png": PNG, "jpg": JPEG, "jpeg": JPEG, "tif": TIFF, "tiff": TIFF,
}  # fmt: skip

_PDF_HEAD_BYTES = 1024
"""Readers look for ``%PDF-`` so far in: ISO 32000-1, note 13 of annex H."""
_MAIN_PARTS = {"word/": DOCX, "ppt/": PPTX, "xl/": XLSX}
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OTHERS = (
    (b"{\\rtf", "RTF", "save it as DOCX"),
    (b"\x1f\x8b", "a gzip archive", "unpack it and add what is in it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it and add what is in it"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it and add what is in it"),
    (b"\xfd7zXZ\0", "an xz archive", "unpack it and add what is in it"),
    (b"BZh", "a bzip2 archive", "unpack it and add what is in it"),
    (b"\x7fELF", "a program", "add a document"),
    (b"MZ", "a program", "add a document"),
    (b"GIF8", "a GIF picture", "save it as PNG"),
    (b"RIFF", "sound or video", "add a document"),
    (b"ID3", "sound", "add a document"),
    (b"OggS", "sound", "add a document"),
)
_HTML_START = re.compile(
    rb"\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--.{0,2000}?-->\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_XML_START = re.compile(rb"\s*<(?:\?xml|!doctype|svg)\b", re.IGNORECASE)
_JSON_START = re.compile(rb"\s*[\[{]\s*[\"{\[]")


@dataclass(frozen=True, slots=True)
class Sniffed:
    """A kind of document, with what a person should know about how it was told."""

    media_type: str
    notes: tuple[str, ...] = ()


def sniff(original: bytes, name: str, said: str) -> Sniffed:
    """The kind of ``original``; ``name`` and ``said`` (a media type) only choose between kinds of text.

    Raises RefusedDocumentError for what cannot be read, with what to do.
    """
    found = _by_magic(original, name) or _text_kind(original, name, said)
    expected = SUFFIXES.get(_suffix(name), "")
    if expected and expected != found:
        return Sniffed(
            found, (f"Its name says {NAMES[expected]}, its contents are {NAMES[found]}.",)
        )
    return Sniffed(found)


def _suffix(name: str) -> str:
    base = re.split(r"[?#]", name, maxsplit=1)[0].rpartition("/")[2]
    return base.rpartition(".")[2].lower() if "." in base else ""


def _by_magic(original: bytes, name: str) -> str:
    if b"%PDF-" in original[:_PDF_HEAD_BYTES]:
        return PDF
    if original.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _package(original, name)
    if original.startswith(_OLE):
        raise RefusedDocumentError(_ole(original, name))
    if original.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if original.startswith(b"\xff\xd8\xff"):
        return JPEG
    if original.startswith((b"II*\0", b"MM\0*")):
        return TIFF
    for magic, kind, remedy in _OTHERS:
        if original.startswith(magic):
            raise RefusedDocumentError(f"{name} is {kind}, which is not read; {remedy}.")
    return ""


def _package(original: bytes, name: str) -> str:
    try:
        with zipfile.ZipFile(BytesIO(original)) as archive:
            parts = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeDecodeError) as e:
        raise RefusedDocumentError(
            f"{name} is cut off or damaged; get it again from where it came from."
        ) from e
    if "[Content_Types].xml" in parts:
        for folder, media_type in _MAIN_PARTS.items():
            if any(part.startswith(folder) for part in parts):
                return media_type
    if "mimetype" in parts:
        raise RefusedDocumentError(
            f"{name} is an OpenDocument file or an e-book, which is not read; "
            "save it as DOCX, PPTX, XLSX or PDF."
        )
    raise RefusedDocumentError(
        f"{name} is a ZIP archive; unpack it and add the documents that are in it."
    )


def _ole(original: bytes, name: str) -> str:
    if _ENCRYPTED_PACKAGE in original:
        return f"{name} is protected by a password; save it without one."
    return f"{name} is of an old Office format (DOC, XLS, PPT); save it as DOCX, XLSX, PPTX or PDF."


def _text_kind(original: bytes, name: str, said: str) -> str:
    head = original[:4096]
    if _HTML_START.match(head.lstrip(b"\xef\xbb\xbf").replace(b"\0", b"").lstrip(b"\xff\xfe")):
        return HTML
    by_name = SUFFIXES.get(_suffix(name), "")
    media_type = said.partition(";")[0].strip().lower()
    for kind in (by_name, media_type):
        if kind in (CSV, HTML, MARKDOWN):
            return kind
    if media_type == "application/xhtml+xml":
        return HTML
    if by_name != TEXT and (_XML_START.match(head) or _JSON_START.match(head)):
        raise RefusedDocumentError(
            f"{name} is data for programs (XML or JSON), which is not read; "
            "save it as text, CSV or HTML."
        )
    return TEXT
