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
    value = orjson.loads(data)
    match value["kind"]:
        case "progress":
            return Progress(value["done"], value["total"])
        case "refused":
            return Refusal(value["message"], value["where"])
        case _:
            pages = pages_from_json(value["pages"])
            return ReadDocument(
                value["media_type"], value["language"], pages, tuple(value["notes"])
            )


def _frame(value: dict[str, Any]) -> bytes:
    data = orjson.dumps(value)
    return _LENGTH.pack(len(data)) + data
