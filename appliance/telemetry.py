"""Logs that read like a packet trace.

Every line of a call carries its call id. Marks: ``<`` in, ``>`` out, ``=`` state, ``!`` trouble.
Secrets never reach a logger; callers' words are logged at DEBUG only.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

import orjson


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


def configure(process: str, *, level: str = "INFO", json: bool = False) -> None:
    """Send this process's log to stderr, one line a record.

    ``process`` is the role (``worker``, ``stt``, …); ``json``: one object a line.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(process) if json else _Lines(process))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.getLogger("picows").setLevel(logging.WARNING)
