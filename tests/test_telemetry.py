"""Log lines: one a record, with the call they belong to."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from appliance.telemetry import CallLog, configure


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_calls_lines_carry_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    configure("worker")
    CallLog("x", "0123456789abcdef").info("< call from %s", "+91")
    logging.getLogger("x").warning("! no call")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(" worker 01234567 < call from +91") and first[:2] == "20"
    assert second.endswith(" worker - ! no call")


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure("worker", json=True)
    try:
        raise ValueError("bad")
    except ValueError:
        CallLog("x", "0123456789abcdef").exception("! it broke")
    logging.getLogger("x").debug("not at this level")
    (line,) = capsys.readouterr().err.splitlines()
    row = json.loads(line)
    assert row["call"] == "0123456789abcdef" and row["message"] == "! it broke"
    assert (
        row["level"] == "ERROR" and row["process"] == "worker" and "ValueError" in row["exception"]
    )
