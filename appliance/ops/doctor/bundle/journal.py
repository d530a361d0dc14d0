"""The last lines of our units, and of log files that somebody names, masked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from appliance.errors import UserError
from appliance.ops.doctor.box import Box
from appliance.ops.doctor.bundle.masking import log_line

LINES = 2000
JOURNAL_TIMEOUT_S = 20.0


async def lines(box: Box) -> list[str]:
    """Of the journal: time, unit, level and the masked message; nothing where there is none."""
    ran = await box.run(
        "journalctl", "--unit=ivr*", "--unit=freeswitch*", f"--lines={LINES}", "--output=json",
        "--no-pager", "--quiet", timeout_s=JOURNAL_TIMEOUT_S,
    )  # fmt: skip
    if not ran.ok:
        return []
    return await asyncio.to_thread(lambda: [masked_entry(line) for line in ran.out.splitlines()])


def of_file(path: Path) -> list[str]:
    """The last lines of a log file. Raises UserError: it cannot be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            last = deque(file, maxlen=LINES)
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror}. Name a log file, or none.") from e
    return [_of_text(line.rstrip("\n")) for line in last]


def masked_entry(line: str) -> str:
    """One entry of ``journalctl --output=json``; empty: it is none."""
    try:
        entry: dict[str, Any] = orjson.loads(line)
    except orjson.JSONDecodeError:
        return ""
    unit = str(entry.get("_SYSTEMD_UNIT", ""))
    ours = unit.startswith("ivr")
    at, level = str(entry.get("__REALTIME_TIMESTAMP", ""))[:16], str(entry.get("PRIORITY", ""))[:1]
    message = entry.get("MESSAGE")
    # FreeSWITCH's own lines hold callers' numbers, in forms that we do not know
    text = log_line(message) if ours and isinstance(message, str) else "(left out)"
    return f"{at} {unit[:60]} {level} {text}"


def _of_text(line: str) -> str:
    """As ``telemetry`` writes it: time, process, call, message."""
    parts = line.split(" ", 3)
    if len(parts) == 4 and _is_time(parts[0]) and parts[1].isalpha():
        return f"{parts[0]} {parts[1]} {log_line(parts[3])}"
    return log_line(line)


def _is_time(text: str) -> bool:
    return len(text) >= 19 and text[:4].isdigit() and text[10:11] == "T"


def joined(found: Sequence[str]) -> bytes:
    """As a file."""
    return "".join(f"{line}\n" for line in found).encode()
