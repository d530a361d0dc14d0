"""The media stream's protocol, without I/O: what mod_audio_stream and ``ivr sip`` speak.

Messages in become values, values become messages out; docs/wires.md §1 is the specification. Input
is hostile: whatever is not of this form raises ProtocolError with one clear sentence.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from typing import Any

import orjson

from appliance.audio import RATES_HZ, frame_bytes
from appliance.errors import ProtocolError
from appliance.events import Dtmf, Hangup, Offer

LONGEST_TEXT_BYTES = 4096
_KEYS = frozenset("0123456789*#ABCD")
_CALL_ID = re.compile(r"[0-9A-Za-z-]{8,64}")
_CAUSE = re.compile(r"[A-Z0-9_]{1,64}")
_NUMBER = re.compile(r"[^\s\x00-\x1f\x7f-\x9f]{0,64}")
"""No control characters, C1 included: the number stands in log lines, which terminals show."""


class StreamProtocol:
    """The worker's side of one stream: the offer first, then frames and control messages."""

    def __init__(self, call_id: str) -> None:
        self._call_id = call_id
        self._frame_bytes: int | None = None

    def receive_text(self, payload: bytes) -> Offer | Dtmf | Hangup:
        """Take a text message. Raises ProtocolError when it is malformed or out of place."""
        message = _object(payload)
        if self._frame_bytes is None:
            offer = _offer(message)
            if offer.call_id != self._call_id:
                raise ProtocolError("the offer's call_id is not the token's")
            self._frame_bytes = frame_bytes(offer.rate_hz)
            return offer
        return _control(message)

    def receive_binary(self, payload: bytes) -> bytes:
        """Take a binary message: one 20 ms L16 frame at the offer's rate, or ProtocolError."""
        if self._frame_bytes is None:
            raise ProtocolError("audio before the offer")
        if len(payload) != self._frame_bytes:
            raise ProtocolError(
                f"an audio frame of {len(payload)} bytes; 20 ms are {self._frame_bytes}"
            )
        return payload

    @property
    def offered(self) -> bool:
        """Whether the offer has come."""
        return self._frame_bytes is not None


def answer() -> bytes:
    """Worker -> edge: an agent is ready, answer the call."""
    return b'{"type":"answer"}'


def hangup(cause: str) -> bytes:
    """Worker -> edge: end the call with this Q.850 cause once what was sent has been heard."""
    return orjson.dumps({"type": "hangup", "cause": cause})


def offer(value: Offer) -> bytes:
    """Edge -> worker: the first message. Holds no space, for mod_audio_stream splits on them."""
    host, port = value.playback
    message = {
        "call_id": value.call_id,
        "did": value.did,
        "caller": value.caller,
        "rate": value.rate_hz,
        "playback": f"{host}:{port}",
    }
    return orjson.dumps(message).replace(b" ", b"\\u0020")


def dtmf(value: Dtmf) -> bytes:
    """Edge -> worker: a key was pressed."""
    return orjson.dumps({"type": "dtmf", "digit": value.digit, "duration_ms": value.duration_ms})


def control(payload: bytes) -> Hangup | None:
    """The edge's reading of a worker's text message: a hangup to do, or None for ``answer``."""
    message = _object(payload)
    if message.get("type") == "answer":
        return None
    event = _control(message)
    if isinstance(event, Hangup):
        return event
    raise ProtocolError(f"a worker does not send {message.get('type')!r:.40}")


def _object(payload: bytes) -> dict[str, Any]:
    if len(payload) > LONGEST_TEXT_BYTES:
        raise ProtocolError(f"a text message of {len(payload)} bytes; {LONGEST_TEXT_BYTES} at most")
    try:
        message = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise ProtocolError("a text message that is not JSON") from None
    if not isinstance(message, dict):
        raise ProtocolError("a text message that is not a JSON object")
    return message


def _offer(message: dict[str, Any]) -> Offer:
    call_id, rate = message.get("call_id"), message.get("rate")
    did, caller = message.get("did"), message.get("caller", "")
    if not isinstance(call_id, str) or not _CALL_ID.fullmatch(call_id):
        raise ProtocolError("the first message must be an offer with a call_id")
    if not isinstance(rate, int) or rate not in RATES_HZ:
        raise ProtocolError(f"the offer's rate is {rate!r:.40}; it must be 8000 or 16000 Hz")
    if not isinstance(did, str) or not _NUMBER.fullmatch(did) or not did:
        raise ProtocolError("the offer has no dialled number (did)")
    if not isinstance(caller, str) or not _NUMBER.fullmatch(caller):
        raise ProtocolError("the offer's caller is not a number")
    return Offer(call_id, did, caller, rate, _address(message.get("playback")))


def _address(value: object) -> tuple[str, int]:
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    try:
        IPv4Address(host)  # a literal: the call path looks up no names
        number = int(port) if port.isdecimal() else 0
    except ValueError:
        number = 0
    if not 0 < number < 65536:
        raise ProtocolError(f"the offer's playback address {value!r:.80} is not ADDRESS:PORT")
    return host, number


def _control(message: dict[str, Any]) -> Dtmf | Hangup:
    match message:
        case {"type": "dtmf", "digit": str(digit), **rest} if digit in _KEYS:
            duration = rest.get("duration_ms", 0)
            return Dtmf(digit, duration if type(duration) is int and duration > 0 else 0)
        case {"type": "hangup", "cause": str(cause)} if _CAUSE.fullmatch(cause):
            return Hangup(cause)
    raise ProtocolError(f"an unknown control message of type {message.get('type')!r:.40}")
