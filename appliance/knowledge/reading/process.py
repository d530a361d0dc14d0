"""Reading a document in a process of its own: what it does to the parser, it does to nobody else."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import appliance
from appliance.knowledge.reading.document import (
    ReadDocument,
    ReadOptions,
    RefusedDocumentError,
    UnreadableDocumentError,
)
from appliance.knowledge.reading.wire import Progress, Refusal, Request, read_reply, request_frame

KILL_TIMEOUT_S = 5.0

OnProgress = Callable[[int, int], None]

_log = logging.getLogger(__name__)


class _Watched:
    """Progress as it comes in, for whoever waits and for the sentence when it takes too long."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self.last = Progress(0, 0)

    def note(self, progress: Progress) -> None:
        self.last = progress
        if self._on_progress:
            self._on_progress(progress.done, progress.total)


async def read_document(
    original: bytes,
    name: str,
    media_type: str = "",
    options: ReadOptions | None = None,
    on_progress: OnProgress | None = None,
) -> ReadDocument:
    """The text of the document ``original``.

    ``name`` (a file's or a URL's) and ``media_type`` are what somebody said it is: the contents
    decide. ``on_progress(done, total)`` is called as pages are read.

    Raises RefusedDocumentError (encrypted, empty, a bomb, no text, no known format, damaged) or
    UnreadableDocumentError (too slow, or the parser died): one sentence for who added it.
    """
    limits = options or ReadOptions()
    if not original.strip(b"\0\t\n\r "):
        raise RefusedDocumentError(f"{name} is empty; add the file again with its contents.")
    if len(original) > limits.max_bytes:
        raise RefusedDocumentError(
            f"{name} has {len(original) / 1e6:.0f} MB, above the limit of "
            f"{limits.max_bytes / 1e6:.0f} MB; split it, or raise knowledge.max_document_mb."
        )
    watched = _Watched(on_progress)
    child = await _start()
    try:
        async with asyncio.timeout(limits.timeout_s):
            return await _converse(child, Request(name, media_type, limits), original, watched)
    except TimeoutError as e:
        raise UnreadableDocumentError(_too_slow(name, limits, watched.last)) from e
    except (asyncio.IncompleteReadError, ValueError, OSError) as e:
        code = await _end(child)
        _log.warning("! the process that read a document ended with %s", code)
        raise UnreadableDocumentError(
            f"The program that reads {name} stopped in the middle"
            f"{_how(code)}; save the document again with another program, or try once more."
        ) from e
    finally:
        await _end(child)


async def _start() -> Process:
    """Alone in its session, so that a kill reaches what it started; with none of our environment,
    so that it has no secret to tell."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "appliance.knowledge.reading"),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,  # parsers quote the document there
        start_new_session=True,
        cwd="/",
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONPATH": str(Path(appliance.__file__).parent.parent),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
            "OMP_THREAD_LIMIT": "1",
            "OPENBLAS_NUM_THREADS": "1",
        },
    )


async def _converse(
    child: Process, request: Request, original: bytes, watched: _Watched
) -> ReadDocument:
    assert child.stdin is not None and child.stdout is not None
    sending = asyncio.create_task(_send(child.stdin, request_frame(request), original))
    try:
        while True:
            reply = await read_reply(child.stdout)
            match reply:
                case Progress():
                    watched.note(reply)
                case Refusal(message, where):
                    if where:
                        _log.warning("! a document was refused: %s", where)
                    raise RefusedDocumentError(message)
                case ReadDocument():
                    return reply
    finally:
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending


async def _send(stdin: asyncio.StreamWriter, head: bytes, original: bytes) -> None:
    with suppress(ConnectionError):  # it refused, or died: its stdout says which
        stdin.write(head)
        stdin.write(original)
        await stdin.drain()
        stdin.close()
        await stdin.wait_closed()


async def _end(child: Process) -> int | None:
    """Kill the whole session; the exit status, None when even that takes too long."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(KILL_TIMEOUT_S):
            return await child.wait()
    return None


def _how(code: int | None) -> str:
    if code is None or code >= 0:
        return ""
    with suppress(ValueError):
        return f" ({signal.Signals(-code).name})"
    return ""


def _too_slow(name: str, limits: ReadOptions, last: Progress) -> str:
    far = f" ({last.done} of {last.total} pages were)" if last.total else ""
    return (
        f"{name} was not read within {limits.timeout_s:g} s{far}; "
        "split it, or raise knowledge.read_timeout_s."
    )
