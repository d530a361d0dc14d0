"""Logs that read like a packet trace.

Every line of a call carries its call id. Marks: ``<`` in, ``>`` out, ``=`` state, ``!`` trouble.
Secrets never reach a logger; callers' words are logged at DEBUG only. Lines are written behind the
call, by a thread: a terminal that stands still (Ctrl-S), a pipe that nobody reads or a slow disk
costs lines, never a call's frames. Under systemd they go to the journal itself, each with its level and
its call's id (``journald.py``).
"""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

from appliance import journald
from appliance.settings import journal_stream

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


class _Fields(_Lines):
    """As :func:`journald.entry` has it, as text: latin-1 keeps every byte."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        call = str(getattr(record, "call", ""))
        entry = journald.entry(self._process, record.levelno, text, call, record.name)
        return entry.decode("latin-1")


@dataclass(frozen=True, slots=True)
class LogState:
    """The log of this process: lines lost since its start, and those that wait to be written."""

    lost: int = 0
    waiting: int = 0
    limit: int = QUEUE_LINES


class _Behind(logging.Handler):
    """Formats on the caller's thread, writes on one of its own."""

    def __init__(
        self, put: Callable[[str], None], limit: int, let_go: Callable[[], None] = lambda: None
    ) -> None:
        """``put`` writes one formatted record, and may block; ``let_go`` follows the last."""
        super().__init__()
        self._put = put
        self._let_go = let_go
        self._limit = limit
        self._lines: queue.SimpleQueue[str | threading.Event | None] = queue.SimpleQueue()
        self._lost = 0
        self._lost_in_all = 0
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one record (the handler's lock is held)."""
        if self._lines.qsize() >= self._limit:
            self._lost += 1
            self._lost_in_all += 1
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

    @property
    def state(self) -> LogState:
        """How it is doing."""
        return LogState(self._lost_in_all, self._lines.qsize(), self._limit)

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
                self._put(item)
        self._let_go()


def _sink(stream: TextIO) -> Callable[[str], None]:
    """What writes to ``stream``: past Python's own buffer where it can, for a thread that hangs in
    there would hold the buffer's lock, on which the interpreter's end insists."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # no file: a test's, for instance

        def to_stream(text: str) -> None:
            stream.write(text + "\n")
            stream.flush()

        return to_stream

    def to_descriptor(text: str) -> None:
        rest = (text + "\n").encode("utf-8", "backslashreplace")
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    return to_descriptor


def configure(process: str, *, level: str = "INFO", json: bool = False) -> None:
    """Send this process's log to stderr, one line a record; to the journal where stderr is systemd's.

    ``process`` is the role (``worker``, ``stt``, …); ``json``: one object a line.
    """
    handler: logging.Handler
    if _is_journal():
        journal = journald.JournalSocket()
        handler = _Behind(
            lambda text: journal.send(text.encode("latin-1")), QUEUE_LINES, journal.close
        )
        handler.setFormatter(_Fields(process))
    else:
        handler = _Behind(_sink(sys.stderr), QUEUE_LINES)
        handler.setFormatter(_Json(process) if json else _Lines(process))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.getLogger("picows").setLevel(logging.WARNING)


def _is_journal() -> bool:
    """Whether this process's stderr is systemd's journal."""
    try:
        return journald.is_stream(sys.stderr.fileno(), journal_stream())
    except (OSError, ValueError):  # no file: a test's, for instance
        return False


def _writes_fields() -> bool:
    """Whether the log of this process goes to the journal."""
    return any(isinstance(handler.formatter, _Fields) for handler in logging.getLogger().handlers)


def environment_of_children() -> dict[str, str]:
    """For processes whose lines are passed on: under systemd each keeps its level and its call's id,
    which a line of text does not have."""
    return {"IVR_LOG__JSON_LINES": "true"} if _writes_fields() else {}


def log_state() -> LogState:
    """How the log of this process is doing."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Behind):
            return handler.state
    return LogState()


def pass_on(line: bytes) -> None:
    """A finished log line of another process, written behind like our own, at whatever level."""
    text = line.decode("utf-8", "backslashreplace").rstrip("\n")
    if _writes_fields():
        text = _passed(text)
    record = logging.makeLogRecord({"msg": "%s", "args": (text,), "finished": True})
    for handler in logging.getLogger().handlers:
        handler.handle(record)


def _passed(line: str) -> str:
    """The entry of the journal that another process's line is; one that is none of ours (a library's,
    a traceback) is kept as it is."""
    try:
        said = orjson.loads(line)
        level = logging.getLevelNamesMapping().get(str(said["level"]), logging.INFO)
        message, call = str(said["message"]), str(said.get("call", ""))
        if "exception" in said:
            message += f"\n{said['exception']}"
        found = journald.entry(
            str(said["process"]), level, message, call, str(said.get("logger", ""))
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        found = journald.entry("child", logging.INFO, line)
    return found.decode("latin-1")
