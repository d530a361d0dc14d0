"""The media stream's protocol: hostile bytes become a value or ProtocolError, nothing else."""

from __future__ import annotations

import json as std_json

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.errors import ProtocolError
from appliance.events import (
    AnsweredBy,
    Dtmf,
    Hangup,
    Hold,
    Offer,
    Summary,
    Transfer,
    TransferFailed,
    Typed,
    Whisper,
)
from appliance.media import protocol
from appliance.media.protocol import (
    LONGEST_SUMMARY_LETTERS,
    LONGEST_TEXT_BYTES,
    LONGEST_TYPED_LETTERS,
    LONGEST_WHISPER_LETTERS,
    StreamProtocol,
)
from appliance.store import agents

CALL_ID = "0f5b1b1e-7c1c-4a57-9a5b-0d6a0e8b9d11"
OFFER = Offer(CALL_ID, "1001", "+919812345678", 8000, ("127.0.0.1", 40000))

json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
fields = st.fixed_dictionaries(
    {},
    optional={
        "call_id": st.just(CALL_ID) | json,
        "did": st.just("1001") | json,
        "caller": st.just("+91") | json,
        "rate": st.sampled_from([8000, 16000, 8000.0, True, "8000"]) | json,
        "playback": st.sampled_from(
            ["127.0.0.1:40000", "::1:4000", "127.0.0.1:0", "host:1", "127.0.0.1: 5", "1.2.3.4:٥"]
        )
        | json,
        "type": st.sampled_from(
            [
                "dtmf",
                "hangup",
                "answer",
                "transfer",
                "summary",
                "answered_by",
                "transfer_failed",
                "hold",
                "whisper",
                "typed",
            ]
        )
        | json,
        "agent": st.sampled_from(["sunrise", "../x", ""]) | json,
        "direction": st.sampled_from(["in", "out", "test"]) | json,
        "draft": st.booleans() | json,
        "recording": st.sampled_from(["2026/11/21/a.wav", "../a", "/a", ""]) | json,
        "part": st.sampled_from([1, 2, 0, -1, True, 10**9]) | json,
        "resumed": st.sampled_from(["", "worker", "transfer"]) | json,
        "on": st.booleans() | json,
        "text": st.text() | json,
        "to": st.just("queue:support") | json,
        "mode": st.sampled_from(["attended", "blind"]) | json,
        "reason": st.sampled_from(["key", "asked", "failures", "agent"]) | json,
        "summary": st.just("one line") | json,
        "who": st.sampled_from(["human", "machine", "uncertain"]) | json,
        "sign": st.just("beep") | json,
        "digit": st.sampled_from(["5", "55", "x"]) | json,
        "duration_ms": json,
        "cause": st.sampled_from(["NORMAL_CLEARING", "normal", ""]) | json,
    },
)


def offered(rate_hz: int = 8000) -> StreamProtocol:
    stream = StreamProtocol(CALL_ID)
    stream.receive_text(offer_with(rate=rate_hz))
    return stream


def through_freeswitch(payload: bytes) -> bytes:
    """What ``uuid_audio_stream ID send_text PAYLOAD`` makes of its argument: it splits at spaces,
    drops pairs of single quotes, and undoes its own escapes (switch_separate_string)."""
    text = payload.decode()
    assert " " not in text and "'" not in text
    out, at = "", 0
    while at < len(text):
        if text[at] == "\\" and text[at + 1 : at + 2] in tuple("'\"\\nrts"):
            out += {"n": "\n", "r": "\r", "t": "\t", "s": " "}.get(text[at + 1], text[at + 1])
            at += 2
        else:
            out, at = out + text[at], at + 1
    return out.encode()


def message(**fields: object) -> bytes:
    return orjson.dumps(fields)


def offer_with(**changes: object) -> bytes:
    return orjson.dumps({**orjson.loads(protocol.offer(OFFER)), **changes})


MORE = Offer(
    CALL_ID, "1001", "+91", 16000, ("127.0.0.1", 1), agent="sunrise", direction="out",
    recording="2026/11/21/0f5b.wav", part=3, resumed="transfer",
)  # fmt: skip


TEST = Offer(
    CALL_ID, "console", "console:asha", 8000, ("127.0.0.1", 1), agent="sunrise", direction="test",
    draft=True,
)  # fmt: skip


@pytest.mark.parametrize("offer", [OFFER, MORE, TEST])
def test_an_offer_comes_back_as_it_was_sent(offer: Offer) -> None:
    sent = through_freeswitch(protocol.offer(offer))
    assert StreamProtocol(CALL_ID).receive_text(sent) == offer


def test_an_offer_holds_no_space() -> None:
    spaced = Offer(CALL_ID, "1001", "a b", 8000, ("127.0.0.1", 1))
    assert b" " not in protocol.offer(spaced)
    assert orjson.loads(protocol.offer(spaced))["caller"] == "a b"


def test_what_an_offer_does_not_say_is_left_out() -> None:
    assert orjson.loads(protocol.offer(OFFER)).keys() == {
        "call_id", "did", "caller", "rate", "playback",
    }  # fmt: skip


def test_an_agents_id_is_the_stores() -> None:
    assert protocol.AGENT_ID.pattern == agents.AGENT_ID.pattern


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"call_id": "another-call"}, "not the token's"),
        ({"call_id": 5}, "call_id"),
        ({"call_id": "../../etc/passwd"}, "call_id"),
        ({"rate": 44100}, "rate is 44100"),
        ({"rate": 8000.0}, "rate is 8000.0"),
        ({"rate": True}, "rate is True"),
        ({"rate": None}, "rate is None"),
        ({"did": ""}, "did"),
        ({"did": "10 01"}, "did"),
        ({"did": "1" * 65}, "did"),
        ({"caller": "a\nb"}, "caller"),
        ({"caller": "+91\x9b2J"}, "caller"),  # CSI: clears a terminal that shows the log
        ({"caller": None}, "caller"),
        ({"playback": "localhost:4000"}, "ADDRESS:PORT"),
        ({"playback": "[::1]:4000"}, "ADDRESS:PORT"),
        ({"playback": "::1:4000"}, "ADDRESS:PORT"),
        ({"playback": "127.0.0.1:0"}, "ADDRESS:PORT"),
        ({"playback": "127.0.0.1:65536"}, "ADDRESS:PORT"),
        ({"playback": "127.0.0.1"}, "ADDRESS:PORT"),
        ({"playback": 40000}, "ADDRESS:PORT"),
        ({"agent": 5}, "agent"),
        ({"agent": "../x"}, "agent"),
        ({"agent": "a" * 65}, "agent"),
        ({"agent": None}, "agent"),
        ({"direction": "sideways"}, "direction"),
        ({"direction": []}, "direction"),
        ({"direction": "test"}, "names no agent"),
        ({"draft": True, "agent": "sunrise"}, "draft"),  # a caller hears what was published
        ({"draft": True, "agent": "sunrise", "direction": "out"}, "draft"),
        ({"draft": 1, "agent": "sunrise", "direction": "test"}, "draft"),
        ({"recording": "/etc/passwd"}, "recording"),
        ({"recording": "a/../../b.wav"}, "recording"),
        ({"recording": ".."}, "recording"),
        ({"recording": "a//b.wav"}, "recording"),
        ({"recording": "a/.hidden"}, "recording"),
        ({"recording": "a b.wav"}, "recording"),
        ({"recording": "a.wav\n"}, "recording"),
        ({"recording": "a/" * 1900}, "recording"),
        ({"recording": 1}, "recording"),
        ({"part": 0}, "part"),
        ({"part": True}, "part"),
        ({"part": 2.0}, "part"),
        ({"part": 10**6}, "part"),
        ({"resumed": "yes"}, "resumed"),
        ({"resumed": {}}, "resumed"),
    ],
)
def test_a_bad_offer_is_refused_with_its_reason(changes: dict[str, object], why: str) -> None:
    stream = StreamProtocol(CALL_ID)
    with pytest.raises(ProtocolError, match=why):
        stream.receive_text(offer_with(**changes))
    assert not stream.offered


def test_nothing_comes_before_the_offer() -> None:
    stream = StreamProtocol(CALL_ID)
    assert not stream.receive_binary(bytes(320))  # FreeSWITCH streams at once
    with pytest.raises(ProtocolError, match="offer"):
        stream.receive_text(message(type="dtmf", digit="5", duration_ms=100))


@pytest.mark.parametrize(("rate_hz", "size"), [(8000, 320), (16000, 640)])
def test_a_message_of_20_ms_is_passed_on_as_it_is(rate_hz: int, size: int) -> None:
    stream, payload = offered(rate_hz), b"x" * size
    (frame,) = stream.receive_binary(payload)
    assert frame is payload  # not copied


@pytest.mark.parametrize("size", [0, 1, 319, 321, 3202, 10_000])
def test_audio_that_is_no_whole_samples_or_too_long_is_refused(size: int) -> None:
    stream = offered()
    with pytest.raises(ProtocolError, match=f"{size} bytes"):
        stream.receive_binary(bytes(size))
    assert stream.receive_binary(b"x" * 320) == (b"x" * 320,)


@given(
    st.lists(st.integers(1, 1600).map(lambda n: 2 * n), min_size=1, max_size=30),
    st.sampled_from([8000, 16000]),
)
def test_any_packing_becomes_the_same_frames(sizes: list[int], rate_hz: int) -> None:
    """10, 30 or 40 ms packets, or odd ones: nothing is lost, doubled or out of order."""
    stream, frame = offered(rate_hz), rate_hz // 25
    said = b"".join((n % 65536).to_bytes(2, "little") for n in range(sum(sizes) // 2))
    at, heard = 0, []
    for size in sizes:
        heard += stream.receive_binary(said[at : at + size])
        at += size
    assert all(len(f) == frame for f in heard)
    assert b"".join(heard) == said[: len(said) // frame * frame]


def test_controls() -> None:
    stream = offered()
    assert stream.receive_text(protocol.dtmf(Dtmf("#", 120))) == Dtmf("#", 120)
    assert stream.receive_text(message(type="dtmf", digit="5")) == Dtmf("5", 0)
    assert stream.receive_text(message(type="dtmf", digit="5", duration_ms=-3)) == Dtmf("5", 0)
    assert stream.receive_text(protocol.hangup("USER_BUSY")) == Hangup("USER_BUSY")
    failed = TransferFailed("NO_ANSWER")
    assert stream.receive_text(protocol.transfer_failed(failed)) == failed
    for on in (True, False):
        assert stream.receive_text(protocol.hold(Hold(on))) == Hold(on)


WORKER_EVENTS = (
    Hangup("NORMAL_CLEARING"),
    Transfer("queue:support", "attended", "asked", 'Asha: they ask what "roaming" costs.'),
    Transfer("sip:a@b:5060", "blind", "failures", ""),
    Summary("बिल के बारे में"),
    AnsweredBy("machine", "beep"),
)


def test_what_a_worker_says_is_read_by_the_edge_as_it_was_meant() -> None:
    assert protocol.control(protocol.answer()) is None
    hangup, attended, blind, summary, who = WORKER_EVENTS
    assert protocol.control(protocol.hangup(hangup.cause)) == hangup  # type: ignore[union-attr]
    for value in (attended, blind):
        assert protocol.control(protocol.transfer(value)) == value  # type: ignore[arg-type]
    assert protocol.control(protocol.summary(summary)) == summary  # type: ignore[arg-type]
    assert protocol.control(protocol.answered_by(who)) == who  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": "a b"},
        {"to": ""},
        {"to": "sofia/x\n"},
        {"to": "x" * 129},
        {"mode": "warm"},
        {"reason": "bored"},
        {"summary": "two\nlines"},
        {"summary": "x" * (LONGEST_SUMMARY_LETTERS + 1)},
        {"summary": None},
    ],
)
def test_the_edge_refuses_a_transfer_that_is_not_one(wrong: dict[str, object]) -> None:
    good = {"type": "transfer", "to": "1", "mode": "blind", "reason": "key", "summary": "s"}
    assert isinstance(protocol.control(message(**good)), Transfer)
    with pytest.raises(ProtocolError):
        protocol.control(message(**(good | wrong)))


def test_a_summary_is_cut_to_what_an_edge_takes() -> None:
    long = Summary("x" * 5000)
    assert protocol.control(protocol.summary(long)) == Summary("x" * LONGEST_SUMMARY_LETTERS)


line = st.text(
    st.characters(
        codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\u2028\u2029"
    ),
    min_size=1,
    max_size=LONGEST_WHISPER_LETTERS,
).filter(str.strip)


@given(line)
@example("it's \"quoted\" \\n \\ \\u0041 \\s 'twice'")
@example(" " * 499 + "x")
@example("\U0001f600" * LONGEST_WHISPER_LETTERS)
def test_a_whisper_survives_freeswitchs_command_line(text: str) -> None:
    sent = through_freeswitch(protocol.whisper(Whisper(text)))
    assert offered().receive_text(sent) == Whisper(text)


@pytest.mark.parametrize(
    "text",
    ["", "  ", "two\nlines", "\x1b[2J", "\x9b", "x" * (LONGEST_WHISPER_LETTERS + 1), "\ud800"],
)
def test_a_whisper_that_no_log_should_show_is_refused_on_both_sides(text: str) -> None:
    with pytest.raises(ProtocolError):
        protocol.whisper(Whisper(text))
    with pytest.raises(ProtocolError):
        offered().receive_text(json_whisper(text))


def json_whisper(text: str) -> bytes:
    return b'{"type":"whisper","text":' + std_json.dumps(text).encode() + b"}"


@given(line)
@example("x" * LONGEST_TYPED_LETTERS)
def test_what_is_typed_comes_as_it_was_written(text: str) -> None:
    assert offered().receive_text(protocol.typed(Typed(text))) == Typed(text)


@pytest.mark.parametrize(
    "text", ["", " \u3000", "two\nlines", "\x1b[2J", "x" * (LONGEST_TYPED_LETTERS + 1), "\ud800"]
)
def test_what_is_typed_is_one_bounded_line_on_both_sides(text: str) -> None:
    with pytest.raises(ProtocolError):
        protocol.typed(Typed(text))
    with pytest.raises(ProtocolError):
        offered().receive_text(json_whisper(text).replace(b"whisper", b"typed", 1))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        message(type="dtmf", digit="55"),
        message(type="dtmf", digit=5),
        message(type="hangup", cause="rm -rf"),
        message(type="hangup"),
        message(type="transfer"),
        message(type="transfer_failed"),
        message(type="transfer_failed", cause="no"),
        message(type="hold"),
        message(type="hold", on=1),
        message(type="whisper"),
        message(type="whisper", text=5),
        b'{"a":"' + b"x" * LONGEST_TEXT_BYTES + b'"}',
        b"[" * 2000,
    ],
)
def test_a_bad_control_is_refused_and_the_stream_goes_on(payload: bytes) -> None:
    stream = offered()
    with pytest.raises(ProtocolError):
        stream.receive_text(payload)
    assert stream.receive_text(protocol.dtmf(Dtmf("1", 80))) == Dtmf("1", 80)


def test_a_worker_sends_no_keys() -> None:
    with pytest.raises(ProtocolError):
        protocol.control(protocol.dtmf(Dtmf("1", 80)))


@given(st.binary(max_size=400) | fields.map(orjson.dumps), st.booleans())
@example(b'{"call_id":"\\ud800"}', False)
def test_any_text_is_a_value_or_a_protocol_error(payload: bytes, late: bool) -> None:
    stream = offered() if late else StreamProtocol(CALL_ID)
    try:
        value = stream.receive_text(payload)
    except ProtocolError as e:
        assert len(str(e)) < 200  # it goes to the log
        return
    controls = Dtmf | Hangup | Hold | TransferFailed | Whisper
    assert isinstance(value, controls if late else Offer)
    if isinstance(value, Offer):
        assert type(value.rate_hz) is int and type(value.part) is int and value.part > 0
        assert ".." not in value.recording and not value.recording.startswith("/")
        assert stream.receive_binary(bytes(value.rate_hz // 25))


@given(st.binary(max_size=4000))
def test_any_binary_is_frames_or_a_protocol_error(payload: bytes) -> None:
    try:
        assert all(len(frame) == 320 for frame in offered().receive_binary(payload))
    except ProtocolError:
        assert len(payload) % 2 or not 0 < len(payload) <= 3200


@given(fields.map(orjson.dumps) | st.binary(max_size=100))
def test_the_edge_survives_any_worker(payload: bytes) -> None:
    try:
        event = protocol.control(payload)
        assert isinstance(event, Hangup | Transfer | Summary | AnsweredBy | None)
    except ProtocolError:
        pass
