"""Log lines as systemd's journal takes them, on a socket that listens as the journal does."""

from __future__ import annotations

import logging
import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance import journald, telemetry
from appliance.telemetry import CallLog

CALL = "3f2a91c0-1111-2222-3333-444444444444"


def decoded(data: bytes) -> dict[str, str]:
    """An entry, read as systemd reads it: KEY=value, or KEY, a length and so many bytes."""
    found, rest = {}, data
    while rest:
        line, _, after = rest.partition(b"\n")
        key, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack("<Q", after[:8])
            value, after = after[8 : 8 + length], after[9 + length :]
        found[key.decode()] = value.decode()
        rest = after
    return found


@settings(deadline=None)
@given(st.dictionaries(st.from_regex(r"\A[A-Z][A-Z0-9_]{0,20}\Z"), st.text(), max_size=5))
def test_any_text_comes_out_as_it_went_in(fields: dict[str, str]) -> None:
    kept = {k: v.encode("utf-8", "backslashreplace").decode() for k, v in fields.items()}
    assert decoded(journald.datagram(fields)) == kept


def test_a_long_text_is_cut() -> None:
    assert len(decoded(journald.datagram({"MESSAGE": "x" * 1_000_000}))["MESSAGE"]) < 50_000


def test_a_stream_is_the_journals_only_where_both_numbers_are_its() -> None:
    reading, writing = os.pipe()
    status = os.fstat(writing)
    try:
        assert journald.is_stream(writing, f"{status.st_dev}:{status.st_ino}")
        for other in ("", "x", f"{status.st_dev}:{status.st_ino + 1}", f"1{status.st_dev}:1"):
            assert not journald.is_stream(writing, other)
    finally:
        os.close(reading)
        os.close(writing)


class Journal:
    """What was written."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(5)

    def next(self) -> dict[str, str]:
        return decoded(self._socket.recv(1 << 18))

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    """The journal of a process that systemd has started: its stderr leads there."""
    place = tmp_path / "socket"
    found = Journal(place)
    monkeypatch.setattr(journald, "SOCKET", str(place))
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    with (tmp_path / "stderr").open("w") as stderr:
        status = os.fstat(stderr.fileno())
        monkeypatch.setattr("sys.stderr", stderr)
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        telemetry.configure("worker")
        yield found
        for handler in root.handlers:
            handler.close()
        time.sleep(0.05)  # its thread lets go of the socket
    root.handlers, root.level = before, level
    found.close()


def test_a_line_of_a_call_has_its_id_level_and_process(journal: Journal) -> None:
    CallLog("appliance.call.session", CALL).warning("! %s is late", "stt")
    assert journal.next() == {
        "MESSAGE": "3f2a91c0 ! stt is late",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "ivr",
        "IVR_PROCESS": "worker",
        "CALL_ID": CALL,
        "IVR_LOGGER": "appliance.call.session",
    }


def test_a_line_of_no_call_has_none(journal: Journal) -> None:
    logging.getLogger("appliance.x").info("= ready")
    found = journal.next()
    assert found["MESSAGE"] == "= ready" and found["PRIORITY"] == "6" and "CALL_ID" not in found


def test_a_traceback_stays_in_one_entry(journal: Journal) -> None:
    try:
        raise ValueError("ವಿಫಲ")
    except ValueError:
        logging.getLogger("appliance.x").exception("! broke")
    found = journal.next()
    assert found["PRIORITY"] == "3"
    assert found["MESSAGE"].startswith("! broke\nTraceback") and "ವಿಫಲ" in found["MESSAGE"]


def test_a_childs_line_keeps_its_level_its_call_and_its_name(journal: Journal) -> None:
    assert telemetry.environment_of_children() == {"IVR_LOG__JSON_LINES": "true"}
    said = {"at": "2026", "process": "stt", "level": "ERROR", "logger": "a.b", "message": "! gone"}
    telemetry.pass_on(orjson.dumps(said | {"call": CALL, "exception": "Traceback"}))
    assert journal.next() == {
        "MESSAGE": "3f2a91c0 ! gone\nTraceback",
        "PRIORITY": "3",
        "SYSLOG_IDENTIFIER": "ivr",
        "IVR_PROCESS": "stt",
        "CALL_ID": CALL,
        "IVR_LOGGER": "a.b",
    }
    for line in ("Segmentation fault", "[1, 2]", '{"message": 1}', "null"):
        telemetry.pass_on(f"{line}\n".encode())
        found = journal.next()
        assert found["MESSAGE"] == line and found["IVR_PROCESS"] == "child"


def test_a_journal_that_is_started_anew_gets_the_next_line(journal: Journal) -> None:
    journal.close()
    Path(journald.SOCKET).unlink()
    logging.getLogger("appliance.x").info("lost")
    time.sleep(0.2)
    again = Journal(Path(journald.SOCKET))
    logging.getLogger("appliance.x").info("found")
    assert again.next()["MESSAGE"] == "found"
    again.close()


def test_without_systemd_children_write_as_they_are_told() -> None:
    assert telemetry.environment_of_children() == {}
