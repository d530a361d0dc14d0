"""SRV records, asked of a small DNS server, and answers that are none."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ProtocolError
from appliance.telephony.dnssrv import Srv, lookup, nameservers, parse_answer, question

NAME = "_sip._udp.carrier.example"
COMPRESSED = b"\xc0\x0c"
"""Points at the name in the question."""


def record(
    priority: int, weight: int, port: int, target: bytes, owner: bytes = COMPRESSED
) -> bytes:
    data = struct.pack("!3H", priority, weight, port) + target
    return owner + struct.pack("!HHIH", 33, 1, 60, len(data)) + data


def answer(asked: bytes, records: list[bytes], flags: int = 0x8180) -> bytes:
    header = asked[:2] + struct.pack("!5H", flags, 1, len(records), 0, 0)
    return header + asked[12:] + b"".join(records)


@contextmanager
def dns(reply: Callable[[bytes], list[bytes]]) -> Iterator[tuple[str, int]]:
    """A DNS server on a free port that sends ``reply(question)``."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(5)

        def serve() -> None:
            asked, sender = udp.recvfrom(4096)
            for data in reply(asked):
                udp.sendto(data, sender)

        thread = threading.Thread(target=serve)
        thread.start()
        yield udp.getsockname()
        thread.join()


def label(name: str) -> bytes:
    parts = name.encode().split(b".")
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def test_records_come_in_the_order_to_try_them() -> None:
    parent = b"\xc0" + bytes([12 + 5 + 5])  # carrier.example, inside the question's name
    records = [
        record(20, 0, 5060, label("backup.other.example")),
        record(10, 5, 5070, b"\x05first" + parent),
    ]
    with dns(lambda asked: [b"\0\0 not ours", answer(asked, records)]) as server:
        found = lookup(NAME, [server], 2)
    assert found == [
        Srv(10, 5, 5070, "first.carrier.example"),
        Srv(20, 0, 5060, "backup.other.example"),
    ]


def test_no_record_is_not_no_answer() -> None:
    with dns(lambda asked: [answer(asked, [], 0x8183)]) as server:
        assert lookup(NAME, [server], 2) == []
    with dns(lambda asked: [answer(asked, [record(0, 0, 0, b"\0")])]) as server:
        assert lookup(NAME, [server], 2) == []  # "." says that there is no such service
    with dns(lambda asked: []) as server:
        assert lookup(NAME, [server], 0.1) is None
    assert lookup(NAME, [], 1) is None


def test_the_next_server_is_asked_when_one_fails() -> None:
    with (
        dns(lambda asked: [answer(asked, [], 0x8182)]) as failing,
        dns(lambda asked: [answer(asked, [record(1, 1, 5060, label("a.example"))])]) as good,
    ):
        assert lookup(NAME, [failing, good], 2) == [Srv(1, 1, 5060, "a.example")]


def test_a_name_that_is_none_asks_nobody() -> None:
    for name in ("", "a..b", "x" * 64):
        with pytest.raises(ProtocolError):
            question(name, 1)
        assert lookup(name, [("127.0.0.1", 9)], 0.1) is None


def test_nameservers_are_read_from_resolv_conf(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("# x\nsearch example\nnameserver 192.0.2.1\nnameserver ::1\nnameserver\n")
    assert nameservers(path) == [("192.0.2.1", 53)]
    assert nameservers(tmp_path / "none") == []


def test_a_name_that_points_at_itself_ends() -> None:
    looping = struct.pack("!6H", 7, 0x8180, 1, 0, 0, 0) + b"\xc0\x0c\0\x21\0\x01"
    with pytest.raises(ProtocolError):
        parse_answer(looping, 7)


@given(st.binary(max_size=200))
def test_no_answer_raises_anything_but_a_protocol_error(data: bytes) -> None:
    asked = question(NAME, 7)
    for whole in (data, asked[:2] + b"\x81\x80" + data, answer(asked, [data], 0x8180)):
        try:
            parse_answer(whole, 7)
        except ProtocolError:
            pass
