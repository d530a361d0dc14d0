"""Logs that read like a packet trace.

Every line of a call carries its call id. Marks: ``<`` in, ``>`` out, ``=`` state, ``!`` trouble.
Secrets never reach a logger; callers' words are logged at DEBUG only. Lines are written behind the
call, by a thread: a terminal that stands still (Ctrl-S), a pipe that nobody reads or a slow disk
costs lines, never a call's frames.
"""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

QUEUE_LINES = 10_000
"""Lines waiting to be written; when full, lines are dropped and their number is logged later."""
FLUSH_TIMEOUT_S = 1.0
"""How long the end of a process waits for its last lines to be read."""


class CallLog(logging.LoggerAdapter[logging.Logger]):
    """A logger bound to one call; ``extra={"call": id}`` on every record."""

    def __init__(self, name: str, call_id: str) -> None:
        super().__init__(logging.getLogger(name), {"call": call_id})

    def process(
        self, msg: object, kwargs: MutableMapping[str, Any]
    ) -> tuple[object, MutableMapping[str, Any]]:
        kwargs["extra"] = self.extra
        return msg, kwargs


class _Lines(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def _when(self, record: logging.LogRecord) -> str:
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")

    def format(self, record: logging.LogRecord) -> str:
        call = getattr(record, "call", "-")
        text = f"{self._when(record)} {self._process} {call[:8]} {record.getMessage()}"
        return text + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


class _Json(_Lines):
    def format(self, record: logging.LogRecord) -> str:
        row: dict[str, object] = {
            "at": self._when(record),
            "process": self._process,
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if call := getattr(record, "call", None):
            row["call"] = call
        if record.exc_info:
            row["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(row).decode()


class _Behind(logging.Handler):
    """Formats on the caller's thread, writes on one of its own."""

    def __init__(self, stream: TextIO, limit: int) -> None:
        super().__init__()
        self._put = _sink(stream)
        self._limit = limit
        self._lines: queue.SimpleQueue[str | threading.Event | None] = queue.SimpleQueue()
        self._lost = 0
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one record (the handler's lock is held)."""
        if self._lines.qsize() >= self._limit:
            self._lost += 1
            return
        try:
            if self._lost:
                lost, self._lost = self._lost, 0
                note = {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING"}
                note |= {"msg": f"! {lost} log lines were lost: nobody took them in time"}
                self._lines.put(self.format(logging.makeLogRecord(note)))
            finished = getattr(record, "finished", False)
            self._lines.put(record.getMessage() if finished else self.format(record))
        except Exception:  # a line that cannot be formatted is its writer's bug, not its call's
            self.handleError(record)

    def flush(self) -> None:
        """Wait until what is queued has been written, ``FLUSH_TIMEOUT_S`` at most."""
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            written = threading.Event()
            self._lines.put(written)
            written.wait(FLUSH_TIMEOUT_S)

    def close(self) -> None:
        """Write what is queued, and end the thread."""
        self.flush()
        self._lines.put(None)
        super().close()

    def _write(self) -> None:
        while (item := self._lines.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
                continue
            with suppress(OSError, ValueError):  # the reader has gone, or the stream is closed
                self._put(item + "\n")


def _sink(stream: TextIO) -> Callable[[str], None]:
    """What writes to ``stream``: past Python's own buffer where it can, for a thread that hangs in
    there would hold the buffer's lock, on which the interpreter's end insists."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # no file: a test's, for instance

        def to_stream(text: str) -> None:
            stream.write(text)
            stream.flush()

        return to_stream

    def to_descriptor(text: str) -> None:
        rest = text.encode("utf-8", "backslashreplace")
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    return to_descriptor


def configure(process: str, *, level: str = "INFO", json: bool = False) -> None:
    """Send this process's log to stderr, one line a record.

    ``process`` is the role (``worker``, ``stt``, …); ``json``: one object a line.
    """
    handler = _Behind(sys.stderr, QUEUE_LINES)
    handler.setFormatter(_Json(process) if json else _Lines(process))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.getLogger("picows").setLevel(logging.WARNING)


def pass_on(line: str) -> None:
    """A finished log line of another process, written behind like our own, at whatever level."""
    record = logging.makeLogRecord({"msg": "%s", "args": (line,), "finished": True})
    for handler in logging.getLogger().handlers:
        handler.handle(record)
