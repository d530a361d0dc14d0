"""Twilio's media-stream form: what we send, and what of a bot's messages we take."""

from __future__ import annotations

import base64
import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ProtocolError
from appliance.events import Agent, Offer
from appliance.media.twilio import (
    LONGEST_MESSAGE_BYTES,
    LONGEST_NAME_LETTERS,
    Clear,
    Mark,
    Media,
    TwilioProtocol,
    sid,
)

CALL_ID = "0f5b1b1e-7c1c-4a57-9a5b-0d6a0e8b9d11"
OFFER = Offer(CALL_ID, "+918041234567", "+919800000001", 8000, ("127.0.0.1", 4000))
AGENT = Agent("bot", 3, "Bot", language="hi", bot_url="ws://127.0.0.1:1/")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def read(message: bytes) -> dict[str, Any]:
    value = orjson.loads(message)
    assert isinstance(value, dict)
    return value


def receive(**message: Any) -> Any:
    return TwilioProtocol(CALL_ID).receive(orjson.dumps(message))


def refusal(payload: bytes) -> str:
    with pytest.raises(ProtocolError) as caught:
        TwilioProtocol(CALL_ID).receive(payload)
    return str(caught.value)


def test_the_identifiers_are_twilios_and_the_same_for_every_part_of_a_call() -> None:
    assert re.fullmatch("CA[0-9a-f]{32}", sid("CA", CALL_ID))
    assert sid("CA", CALL_ID) == TwilioProtocol(CALL_ID).call_sid
    assert len({sid("CA", CALL_ID)[2:], sid("MZ", CALL_ID)[2:], sid("CA", CALL_ID + "x")[2:]}) == 3


def test_a_call_begins_as_twilio_begins_one() -> None:
    stream = TwilioProtocol(CALL_ID)
    assert read(stream.connected()) == {
        "event": "connected",
        "protocol": "Call",
        "version": "1.0.0",
    }
    start = read(stream.start(OFFER, AGENT))
    assert start["event"] == "start" and start["sequenceNumber"] == "1"
    about = start["start"]
    assert about["streamSid"] == start["streamSid"] == stream.stream_sid
    assert about["callSid"] == stream.call_sid and re.fullmatch(
        "AC[0-9a-f]{32}", about["accountSid"]
    )
    assert about["tracks"] == ["inbound"]
    assert about["mediaFormat"] == {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    parameters = about["customParameters"]
    assert all(isinstance(value, str) for value in parameters.values())
    assert parameters["did"] == parameters["to_number"] == "+918041234567"
    assert parameters["caller"] == parameters["from_number"] == "+919800000001"
    assert (parameters["call_id"], parameters["agent"], parameters["language"]) == (
        CALL_ID, "bot", "hi",
    )  # fmt: skip


def test_messages_are_numbered_and_media_tells_its_time() -> None:
    stream = TwilioProtocol(CALL_ID)
    stream.start(OFFER, AGENT)
    first, second = read(stream.media(b"\xff" * 160)), read(stream.media(b"\x00" * 160))
    assert base64.b64decode(second["media"]["payload"]) == b"\x00" * 160
    assert [m["media"]["chunk"] for m in (first, second)] == ["1", "2"]
    assert [m["media"]["timestamp"] for m in (first, second)] == ["0", "20"]
    assert first["media"]["track"] == "inbound"
    key, mark, stop = read(stream.dtmf("#")), read(stream.mark("a")), read(stream.stop())
    assert key["dtmf"] == {"track": "inbound_track", "digit": "#"} and mark["mark"] == {"name": "a"}
    assert stop["stop"]["callSid"] == stream.call_sid
    sequence = [m["sequenceNumber"] for m in (first, second, key, mark, stop)]
    assert sequence == ["2", "3", "4", "5", "6"]
    assert all(m["streamSid"] == stream.stream_sid for m in (first, key, mark, stop))


def test_what_a_bot_sends_is_taken() -> None:
    ours = TwilioProtocol(CALL_ID).stream_sid
    assert receive(event="media", streamSid=ours, media={"payload": "/wA="}) == Media(b"\xff\x00")
    assert receive(event="media", media={"payload": "/w==", "x": 1}) == Media(b"\xff")
    assert receive(event="mark", streamSid=ours, mark={"name": "end"}) == Mark("end")
    assert receive(event="clear", streamSid=ours) == Clear()


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"event": "media"}, "without media.payload"),
        ({"event": "media", "media": {"payload": 5}}, "without media.payload"),
        ({"event": "media", "media": {"payload": "a b="}}, "not base64"),
        ({"event": "media", "media": {"payload": "é"}}, "not base64"),
        ({"event": "media", "media": {"payload": ""}}, "without audio"),
        ({"event": "mark", "mark": "x"}, "without mark.name"),
        ({"event": "mark", "mark": {"name": "x" * (LONGEST_NAME_LETTERS + 1)}}, "257 letters"),
        ({"event": "clear", "streamSid": "MZ0"}, "not this call's"),
        ({"event": "clear", "streamSid": None}, "not this call's"),
        ({"event": "stop"}, "does not send the event 'stop'"),
        ({}, "does not send the event None"),
    ],
)
def test_what_is_not_of_the_form_is_refused(message: dict[str, Any], why: str) -> None:
    assert why in refusal(orjson.dumps(message))


@pytest.mark.parametrize("payload", [b"", b"[]", b"{", b"\xff", b"null", b'"clear"'])
def test_what_is_no_json_object_is_refused(payload: bytes) -> None:
    assert "JSON" in refusal(payload)


def test_a_message_over_a_mebibyte_is_refused() -> None:
    assert "at most" in refusal(b" " * (LONGEST_MESSAGE_BYTES + 1))


@given(
    st.binary(max_size=200) | JSON.map(lambda x: orjson.dumps(x, option=orjson.OPT_NON_STR_KEYS))
)
def test_anything_is_taken_or_refused_in_a_sentence(payload: bytes) -> None:
    try:
        TwilioProtocol(CALL_ID).receive(payload)
    except ProtocolError as e:
        assert 10 < len(str(e)) < 200


@given(st.sampled_from(("media", "mark", "clear")), JSON, JSON)
def test_any_field_is_taken_or_refused(event: str, inner: Any, stream: Any) -> None:
    keys = {"media": "payload", "mark": "name", "clear": "x"}
    for message in (
        {"event": event, event: inner},
        {"event": event, event: {keys[event]: inner}},
        {"event": event, event: {keys[event]: inner}, "streamSid": stream},
    ):
        try:
            assert isinstance(receive(**message), Media | Mark | Clear)
        except ProtocolError as e:
            assert len(str(e)) < 200


@given(st.binary(min_size=1, max_size=4000))
def test_audio_comes_back_as_it_was(ulaw: bytes) -> None:
    theirs = {"event": "media", "media": {"payload": base64.b64encode(ulaw).decode()}}
    assert receive(**theirs) == Media(ulaw)
    assert base64.b64decode(read(TwilioProtocol(CALL_ID).media(ulaw))["media"]["payload"]) == ulaw
