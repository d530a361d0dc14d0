"""The process that parses one document: it comes in on stdin, its text leaves on stdout."""

from __future__ import annotations

import mimetypes
import os
import sys
import time
import traceback
from typing import BinaryIO

from appliance.knowledge.reading.document import ReadDocument, RefusedDocumentError
from appliance.knowledge.reading.limits import confine
from appliance.knowledge.reading.wire import (
    Progress,
    Refusal,
    Reply,
    Request,
    read_request,
    reply_frame,
)

PROGRESS_EVERY_S = 0.2


class _Output:
    """The pipe to who asked; progress now and then."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._next = 0.0

    def send(self, reply: Reply) -> None:
        self._pipe.write(reply_frame(reply))
        self._pipe.flush()

    def progress(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._next or done == total:
            self._next = now + PROGRESS_EVERY_S
            self.send(Progress(done, total))


def main() -> None:
    """Read one request, answer it, end."""
    # what a library prints must not stand between our frames
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    output = _Output(pipe)
    request = read_request(sys.stdin.buffer)
    original = sys.stdin.buffer.read()
    output.send(_answer(request, original, output))


def _answer(request: Request, original: bytes, output: _Output) -> ReadDocument | Refusal:
    name = request.name
    try:
        mimetypes.knownfiles.clear()  # files of other programs, which cannot be opened from here on
        confine(len(original), request.options.timeout_s)
        # after the limits: libraries are as hostile as what they read
        from appliance.knowledge.reading.formats import parse

        return parse(original, request, output.progress)
    except RefusedDocumentError as e:
        return Refusal(str(e))
    except MemoryError:
        return Refusal(f"{name} needs too much memory to be read; split it into several documents.")
    except Exception as e:  # the border of a request
        return Refusal(
            f"{name} is damaged, or not quite what its format asks for; "
            "open it, save it again and add it once more.",
            _place(e),
        )


def _place(error: Exception) -> str:
    """Kind and place of ``error``; its message may quote the document."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {os.path.basename(last.filename)}:{last.lineno}"


if __name__ == "__main__":
    main()
