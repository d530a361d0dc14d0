"""What goes between the process that asks for a document and the one that parses it.

Down the child's stdin: one frame with the :class:`Request`, then the document's bytes to the end.
Up its stdout: frames of :class:`Progress`, then one with the document or with why there is none. A
frame is its length (4 bytes, big-endian) and so many bytes of JSON.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import orjson

from appliance.knowledge.reading.document import (
    ReadDocument,
    ReadOptions,
    pages_from_json,
    pages_to_json,
)

_LENGTH = struct.Struct(">I")
MOST_FRAME_BYTES = 128 * 1024 * 1024
"""A frame above this is no frame: the child's memory is no longer its own."""
MOST_NOTES = 100
LONGEST_LINE_CHARS = 1000
"""Of a sentence that the child tells us; a name in it has 500 at most."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to read and within which limits."""

    name: str
    media_type: str
    options: ReadOptions


@dataclass(frozen=True, slots=True)
class Progress:
    """So many of the pages are read."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the document will not be read. ``where``: kind and place of an error that nobody had
    thought of, for the log; never the document's words."""

    message: str
    where: str = ""


Reply = Progress | Refusal | ReadDocument


def request_frame(request: Request) -> bytes:
    return _frame(asdict(request))


def read_request(stream: BinaryIO) -> Request:
    """The request at the head of ``stream``; the document follows."""
    size = _LENGTH.unpack(stream.read(_LENGTH.size))[0]
    value = orjson.loads(stream.read(size))
    options = value["options"]
    options["ocr_languages"] = tuple(options["ocr_languages"])
    return Request(value["name"], value["media_type"], ReadOptions(**options))


def reply_frame(reply: Reply) -> bytes:
    match reply:
        case Progress(done, total):
            return _frame({"kind": "progress", "done": done, "total": total})
        case Refusal(message, where):
            return _frame({"kind": "refused", "message": message, "where": where})
        case ReadDocument(media_type, language, pages, notes):
            return _frame(
                {
                    "kind": "document",
                    "media_type": media_type,
                    "language": language,
                    "pages": pages_to_json(pages),
                    "notes": notes,
                }
            )


async def read_reply(stream: asyncio.StreamReader) -> Reply:
    """The next reply. Raises ValueError for what is none, IncompleteReadError at the end."""
    size = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))[0]
    if size > MOST_FRAME_BYTES:
        raise ValueError(f"a frame of {size} bytes")
    data = await stream.readexactly(size)
    # in a thread: the text of a thousand pages takes 50 ms
    return await asyncio.to_thread(_reply, data)


def _reply(data: bytes) -> Reply:
    """Raises ValueError for what is none: a parser that a document has taken over may say anything."""
    value = orjson.loads(data)
    try:
        match value["kind"]:
            case "progress":
                return Progress(_count(value["done"]), _count(value["total"]))
            case "refused":
                return Refusal(_line(value["message"]), _line(value["where"]))
            case _:
                return ReadDocument(
                    _line(value["media_type"]),
                    _line(value["language"]),
                    pages_from_json(value["pages"]),
                    tuple(_line(note) for note in value["notes"][:MOST_NOTES]),
                )
    except (TypeError, KeyError, AttributeError) as e:
        raise ValueError(f"no reply: {type(e).__name__}") from e


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**31:
        raise ValueError("no count")
    return value


def _line(value: object) -> str:
    """A line for a log, a terminal or a row: nothing in it that moves a cursor or turns the text."""
    if not isinstance(value, str):
        raise ValueError("no line")
    return "".join(c if c.isprintable() else " " for c in value[:LONGEST_LINE_CHARS])


def _frame(value: dict[str, Any]) -> bytes:
    data = orjson.dumps(value)
    return _LENGTH.pack(len(data)) + data
