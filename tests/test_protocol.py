"""The media stream's protocol: hostile bytes become a value or ProtocolError, nothing else."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.errors import ProtocolError
from appliance.events import Dtmf, Hangup, Offer
from appliance.media import protocol
from appliance.media.protocol import LONGEST_TEXT_BYTES, StreamProtocol

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
        "type": st.sampled_from(["dtmf", "hangup", "answer"]) | json,
        "digit": st.sampled_from(["5", "55", "x"]) | json,
        "duration_ms": json,
        "cause": st.sampled_from(["NORMAL_CLEARING", "normal", ""]) | json,
    },
)


def offered() -> StreamProtocol:
    stream = StreamProtocol(CALL_ID)
    stream.receive_text(protocol.offer(OFFER))
    return stream


def message(**fields: object) -> bytes:
    return orjson.dumps(fields)


def offer_with(**changes: object) -> bytes:
    return orjson.dumps({**orjson.loads(protocol.offer(OFFER)), **changes})


def test_an_offer_comes_back_as_it_was_sent() -> None:
    assert StreamProtocol(CALL_ID).receive_text(protocol.offer(OFFER)) == OFFER


def test_an_offer_holds_no_space() -> None:
    spaced = Offer(CALL_ID, "1001", "a b", 8000, ("127.0.0.1", 1))
    assert b" " not in protocol.offer(spaced)
    assert orjson.loads(protocol.offer(spaced))["caller"] == "a b"


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
    ],
)
def test_a_bad_offer_is_refused_with_its_reason(changes: dict[str, object], why: str) -> None:
    stream = StreamProtocol(CALL_ID)
    with pytest.raises(ProtocolError, match=why):
        stream.receive_text(offer_with(**changes))
    assert not stream.offered


def test_nothing_comes_before_the_offer() -> None:
    stream = StreamProtocol(CALL_ID)
    with pytest.raises(ProtocolError, match="before the offer"):
        stream.receive_binary(bytes(320))
    with pytest.raises(ProtocolError, match="offer"):
        stream.receive_text(message(type="dtmf", digit="5", duration_ms=100))


@pytest.mark.parametrize(("rate_hz", "size"), [(8000, 320), (16000, 640)])
def test_a_frame_is_20_ms(rate_hz: int, size: int) -> None:
    stream = StreamProtocol(CALL_ID)
    stream.receive_text(offer_with(rate=rate_hz))
    assert stream.receive_binary(b"x" * size) == b"x" * size
    for wrong in (0, size - 1, size + 2, 960 - size):
        with pytest.raises(ProtocolError, match=f"{wrong} bytes"):
            stream.receive_binary(bytes(wrong))


def test_controls() -> None:
    stream = offered()
    assert stream.receive_text(protocol.dtmf(Dtmf("#", 120))) == Dtmf("#", 120)
    assert stream.receive_text(message(type="dtmf", digit="5")) == Dtmf("5", 0)
    assert stream.receive_text(message(type="dtmf", digit="5", duration_ms=-3)) == Dtmf("5", 0)
    assert stream.receive_text(protocol.hangup("USER_BUSY")) == Hangup("USER_BUSY")
    assert protocol.control(protocol.hangup("NORMAL_CLEARING")) == Hangup("NORMAL_CLEARING")
    assert protocol.control(protocol.answer()) is None


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
    assert isinstance(value, Dtmf | Hangup if late else Offer)
    if isinstance(value, Offer):
        assert type(value.rate_hz) is int
        assert stream.receive_binary(bytes(value.rate_hz // 25))


@given(st.binary(max_size=700))
def test_any_binary_is_a_frame_or_a_protocol_error(payload: bytes) -> None:
    try:
        assert len(offered().receive_binary(payload)) == 320
    except ProtocolError:
        assert len(payload) != 320


@given(fields.map(orjson.dumps) | st.binary(max_size=100))
def test_the_edge_survives_any_worker(payload: bytes) -> None:
    try:
        assert isinstance(protocol.control(payload), Hangup | None)
    except ProtocolError:
        pass
