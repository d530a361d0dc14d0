"""SIP parsing: what must be read, what must be refused, and nothing that makes it crash."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.errors import ProtocolError
from appliance.telephony.sipmessage import (
    MAX_MESSAGE_BYTES,
    Request,
    Response,
    StreamFramer,
    cseq,
    parse,
    parse_uri,
    parse_via,
    split_list,
    tag,
)

INVITE = (
    b"INVITE sip:1001@10.0.0.1:5060;transport=udp SIP/2.0\r\n"
    b"v: SIP/2.0/UDP 10.0.0.2:5062;rport;branch=z9hG4bKa, SIP/2.0/TCP [2001:db8::1];branch=z9hG4bKb\r\n"
    b"Via:SIP / 2.0 / UDP pbx.example ;branch=z9hG4bKc\r\n"
    b'f: "Doe, \\"J\\" <x>" <sip:jd@10.0.0.2>;tag=abc\r\n'
    b"t: sip:1001@10.0.0.1\r\ni: c1@host\r\nCSeq:  17  INVITE\r\n"
    b"Record-Route: <sip:a;lr>,\r\n\t<sip:b,c@d;lr>\r\n"
    b"m: <sip:jd@10.0.0.2:5062>\r\nl: 4\r\n\r\nv=0\nrest"
)


def test_request_with_compact_folded_and_listed_headers() -> None:
    message = parse(INVITE)
    assert isinstance(message, Request)
    assert (message.method, message.call_id, message.body) == ("INVITE", "c1@host", b"v=0\n")
    vias = [parse_via(text) for text in message.headers.listed("via")]
    assert [(via.transport, via.host, via.port) for via in vias] == [
        ("UDP", "10.0.0.2", 5062),
        ("TCP", "[2001:db8::1]", None),
        ("UDP", "pbx.example", None),
    ]
    assert vias[0].get("rport") == "" and vias[0].get("branch") == "z9hG4bKa"
    assert vias[1].get("rport") is None
    assert message.headers.listed("record-route") == ["<sip:a;lr>", "<sip:b,c@d;lr>"]
    assert cseq(message.headers) == (17, "INVITE")
    assert tag(message.headers.get("from")) == "abc"
    assert tag(message.headers.get("to")) == ""


def test_response_and_round_trip() -> None:
    text = (
        b"SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP a:1;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n"
        b"To: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nX-Odd: caf\xe9\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    message = parse(text)
    assert isinstance(message, Response)
    assert (message.status, message.reason, message.method) == (180, "Ringing", "INVITE")
    assert message.serialise() == text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"SIP/2.0\r\nv:", b"SIP/3.0\r\nv:"),
        (b"INVITE sip:1001", b"INVITE  sip:1001"),
        (b"17  INVITE", b"17 BYE"),
        (b"17  INVITE", b"99999999999 INVITE"),
        (b"i: c1@host\r\n", b""),
        (b"i: c1@host", b"i: caf\xe9"),
        (b"i: c1@host", b"i: a\x1b[2J"),
        (b"l: 4", b"l: 400"),
        (b"l: 4", b"l: -1"),
        (b"10.0.0.2:5062;rport", b"10.0.0.2:99999;rport"),
        (b"t: sip", b"t sip"),
        (b"m: <sip:jd", b"m: <sip:\njd"),
        (b"m: <sip:jd", b"m: <sip:\0jd"),
        (b"\r\n\r\n", b"\r\n"),
        (b"m: <", b"X-Y: z\r\n" * 200 + b"m: <"),
        (b"rest", b"x" * MAX_MESSAGE_BYTES),
    ],
)
def test_bad_messages_are_refused_in_one_sentence(old: bytes, new: bytes) -> None:
    bad = INVITE.replace(old, new, 1)
    assert bad != INVITE
    with pytest.raises(ProtocolError) as refusal:
        parse(bad)
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 120


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sip:1001@host", ("1001", "host", None, "udp")),
        ('"A <b>" <sips:a%20b@[::1]:5061;transport=TCP?x=y>;tag=1', ("a%20b", "::1", 5061, "tcp")),
        ("<sip:host.example;lr>", ("", "host.example", None, "udp")),
    ],
)
def test_uri(text: str, expected: tuple[str, str, int | None, str]) -> None:
    uri = parse_uri(text if not text.startswith('"A') else text[text.rindex("<") :])
    assert (uri.user, uri.host, uri.port, uri.transport) == expected


@pytest.mark.parametrize(
    "text", ["", "tel:+123", "sip:", "sip:a@b:0", "sip:a b@c", "sip:a@b:70000"]
)
def test_bad_uri(text: str) -> None:
    with pytest.raises(ProtocolError):
        parse_uri(text)


def test_a_message_of_open_quotes_is_read_in_no_time() -> None:
    via = "SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKa" + ';\\"' * 5000
    begun = time.process_time()
    assert parse_via(via).get("branch") == "z9hG4bKa"
    assert time.process_time() - begun < 0.1  # 1 ms; each quote to the end of the text: 600 ms


def test_a_quoted_parameter_keeps_its_semicolons() -> None:
    via = parse_via(r'SIP/2.0/UDP h;a="x;\";y";b=1')
    assert (via.get("a"), via.get("b")) == (r'"x;\";y"', "1")


def test_split_list_heeds_quotes_and_brackets() -> None:
    assert split_list('"a,\\",b" <sip:x,y>, <sip:z>,,') == ['"a,\\",b" <sip:x,y>', "<sip:z>"]


def test_framer_cuts_a_stream_anywhere() -> None:
    two = INVITE.replace(b"rest", b"") + b"\r\n\r\n" + INVITE.replace(b"rest", b"")
    for step in (1, 7, 100, len(two)):
        framer, messages, pings = StreamFramer(), [], 0
        for start in range(0, len(two), step):
            got, count = framer.feed(two[start : start + step])
            messages += got
            pings += count
        assert messages == [INVITE.replace(b"rest", b"")] * 2
        assert pings == 1
        assert not framer.inside_message


@pytest.mark.parametrize(
    "stream",
    [
        b"INVITE sip:a SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\n",
        b"X" * (MAX_MESSAGE_BYTES + 1),
        b"A B SIP/2.0\r\nContent-Length: 999999\r\n\r\n",
        b"A B SIP/2.0\r\nContent-Length: \xd9\xa3\r\n\r\n",
    ],
)
def test_framer_refuses_what_is_no_sip(stream: bytes) -> None:
    with pytest.raises(ProtocolError):
        StreamFramer().feed(stream)


def _mutations() -> st.SearchStrategy[bytes]:
    def mutate(edits: list[tuple[int, int, bytes]]) -> bytes:
        data = INVITE
        for start, length, new in edits:
            start %= len(data) + 1
            data = data[:start] + new + data[start + length :]
        return data

    edit = st.tuples(st.integers(0, 700), st.integers(0, 30), st.binary(max_size=30))
    return st.lists(edit, max_size=6).map(mutate)


@given(st.one_of(st.binary(max_size=300), _mutations()))
@example(b"SIP/2.0 200\r\n\r\n")
def test_no_bytes_crash_the_parser(data: bytes) -> None:
    try:
        message = parse(data)
    except ProtocolError:
        return
    again = parse(message.serialise())
    assert (again.body, again.call_id) == (message.body, message.call_id)
    assert again.serialise() == message.serialise()


@given(st.lists(st.one_of(st.binary(max_size=200), _mutations()), max_size=5))
def test_no_bytes_crash_the_framer(chunks: list[bytes]) -> None:
    framer = StreamFramer()
    try:
        for chunk in chunks:
            for message in framer.feed(chunk)[0]:
                assert len(message) <= MAX_MESSAGE_BYTES
    except ProtocolError:
        return
