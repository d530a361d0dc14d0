"""The media stream's protocol, without I/O: what mod_audio_stream and ``ivr sip`` speak.

Messages in become values, values become messages out; docs/wires.md §1 is the specification. Input
is hostile: whatever is not of this form raises ProtocolError with one clear sentence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Any

import orjson

from appliance.audio import BYTES_PER_SAMPLE, RATES_HZ, bytes_of, frame_bytes
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

LONGEST_TEXT_BYTES = 4096
LONGEST_AUDIO_MS = 200
"""Of one binary message; trunks packet 10 to 60 ms."""
LONGEST_WHISPER_LETTERS = 500
LONGEST_TYPED_LETTERS = 500
"""As long a turn as anybody speaks in half a minute."""
LONGEST_SUMMARY_LETTERS = 400
MOST_PARTS = 1000
AGENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""As ``store.agents`` has it, which this package does not import."""

ControlEvent = Dtmf | Hangup | Hold | TransferFailed | Typed | Whisper
"""What an edge tells a worker after the offer."""
WorkerEvent = Hangup | Transfer | Summary | AnsweredBy
"""What a worker tells the edge, but for ``answer``."""

_KEYS = frozenset("0123456789*#ABCD")
_CALL_ID = re.compile(r"[0-9A-Za-z-]{8,64}")
_CAUSE = re.compile(r"[A-Z0-9_]{1,64}")
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
"""Control characters, C1 included: these texts stand in log lines, which terminals show."""
_NUMBER = re.compile(rf"[^\s{_CONTROL}]{{0,64}}")
_DESTINATION = re.compile(rf"[^\s{_CONTROL}]{{1,128}}")
_LINE = re.compile(rf"[^{_CONTROL}\ud800-\udfff]*")
_NAME = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}"
_RECORDING = re.compile(rf"{_NAME}(?:/{_NAME}){{0,7}}")
"""A relative path; no name in it begins with a full stop, so none is ``.`` or ``..``."""
_UNSAFE = re.compile(rb"\\[^u]|[ ']")
_ESCAPED = {b"\\b": 8, b"\\t": 9, b"\\n": 10, b"\\f": 12, b"\\r": 13, b"\\/": 47}


class StreamProtocol:
    """The worker's side of one stream: the offer first, then frames and control messages."""

    def __init__(self, call_id: str) -> None:
        self._call_id = call_id
        self._frame_bytes = -1
        self._longest_bytes = 0
        self._rest = b""
        """The begin of a frame whose end comes with the next message."""

    def receive_text(self, payload: bytes) -> Offer | ControlEvent:
        """Take a text message. Raises ProtocolError when it is malformed or out of place."""
        message = _object(payload)
        if not self.offered:
            offer = _offer(message)
            if offer.call_id != self._call_id:
                raise ProtocolError("the offer's call_id is not the token's")
            self._frame_bytes = frame_bytes(offer.rate_hz)
            self._longest_bytes = bytes_of(LONGEST_AUDIO_MS, offer.rate_hz)
            return offer
        return _control(message)

    def receive_binary(self, payload: bytes) -> Sequence[bytes]:
        """Take a binary message of L16 at the offer's rate; returns the 20 ms frames that it
        completes (none, one or several). What comes before the offer is nobody's. Raises
        ProtocolError.

        A message of one frame, which nearly every trunk sends, is passed on as it is.
        """
        if len(payload) == self._frame_bytes and not self._rest:
            return (payload,)
        return self._cut(payload)

    @property
    def offered(self) -> bool:
        """Whether the offer has come."""
        return self._frame_bytes > 0

    def _cut(self, payload: bytes) -> Sequence[bytes]:
        if not self.offered:
            return ()  # FreeSWITCH streams from the moment it is connected; the offer is on its way
        size = len(payload)
        if not 0 < size <= self._longest_bytes or size % BYTES_PER_SAMPLE:
            raise ProtocolError(
                f"an audio message of {size} bytes; it must be whole samples of 16 bit,"
                f" {self._longest_bytes} bytes ({LONGEST_AUDIO_MS} ms) at most"
            )
        frame, audio = self._frame_bytes, self._rest + payload
        whole = len(audio) - len(audio) % frame
        self._rest = audio[whole:]
        return [audio[at : at + frame] for at in range(0, whole, frame)]


# --- worker -> edge -------------------------------------------------------------------------------


def answer() -> bytes:
    """Worker -> edge: an agent is ready, answer the call."""
    return b'{"type":"answer"}'


def hangup(cause: str) -> bytes:
    """Either way: end the call with this Q.850 cause; the edge does so once what was sent has been
    heard."""
    return _argument({"type": "hangup", "cause": cause})


def transfer(value: Transfer) -> bytes:
    """Worker -> edge: connect the caller to a person."""
    return _argument(
        {
            "type": "transfer",
            "to": value.to,
            "mode": value.mode,
            "reason": value.reason,
            "summary": value.summary[:LONGEST_SUMMARY_LETTERS],
        }
    )


def summary(value: Summary) -> bytes:
    """Worker -> edge: a better summary for the transfer under way."""
    return _argument({"type": "summary", "text": value.text[:LONGEST_SUMMARY_LETTERS]})


def answered_by(value: AnsweredBy) -> bytes:
    """Worker -> edge: who, or what, has answered a call that we made."""
    return _argument({"type": "answered_by", "who": value.who, "sign": value.sign})


def control(payload: bytes) -> WorkerEvent | None:
    """The edge's reading of a worker's text message: what to do, or None for ``answer``.

    Raises ProtocolError for anything else.
    """
    message = _object(payload)
    match message:
        case {"type": "answer"}:
            return None
        case {"type": "hangup", "cause": str(cause)} if _CAUSE.fullmatch(cause):
            return Hangup(cause)
        case {"type": "transfer"}:
            return _transfer(message)
        case {"type": "summary", "text": str(text)} if _is_line(text, LONGEST_SUMMARY_LETTERS):
            return Summary(text)
        case {"type": "answered_by", "who": "human" | "machine" | "uncertain" as who, **rest}:
            sign = rest.get("sign", "")
            if isinstance(sign, str) and _is_line(sign, 64):
                return AnsweredBy(who, sign)
    raise ProtocolError(f"a worker does not send this {message.get('type')!r:.40}")


# --- edge -> worker: mod_audio_stream carries these as one argument of a command -------------------


def offer(value: Offer) -> bytes:
    """Edge -> worker: the first message."""
    host, port = value.playback
    message: dict[str, object] = {
        "call_id": value.call_id,
        "did": value.did,
        "caller": value.caller,
        "rate": value.rate_hz,
        "playback": f"{host}:{port}",
    }
    more = {
        "agent": value.agent,
        "direction": value.direction if value.direction != "in" else "",
        "draft": value.draft,
        "recording": value.recording,
        "part": value.part if value.part != 1 else 0,
        "resumed": value.resumed,
    }
    return _argument(message | {name: x for name, x in more.items() if x})


def dtmf(value: Dtmf) -> bytes:
    """Edge -> worker: a key was pressed."""
    return _argument({"type": "dtmf", "digit": value.digit, "duration_ms": value.duration_ms})


def transfer_failed(value: TransferFailed) -> bytes:
    """Edge -> worker: nobody took the transferred call."""
    return _argument({"type": "transfer_failed", "cause": value.cause})


def hold(value: Hold) -> bytes:
    """Edge -> worker: the far end put us on hold, or came back."""
    return _argument({"type": "hold", "on": value.on})


def whisper(value: Whisper) -> bytes:
    """Edge -> worker: what a supervisor tells the agent. Raises ProtocolError when a worker would
    not take it: blank, longer than 500 letters, or with control characters in it."""
    if not value.text.strip() or not _is_line(value.text, LONGEST_WHISPER_LETTERS):
        raise ProtocolError(
            f"a whisper is one line of 1 to {LONGEST_WHISPER_LETTERS} letters, with no control"
            " characters"
        )
    return _argument({"type": "whisper", "text": value.text})


def read_whisper(text: str) -> str:
    """What a supervisor says through the console. Raises ProtocolError: blank, too long, or with
    control characters."""
    whisper(Whisper(text))
    return text


def typed(value: Typed) -> bytes:
    """Edge -> worker: what somebody at the console writes in place of saying it. Raises ProtocolError
    when a worker would not take it: blank, longer than 500 letters, or with control characters."""
    if not value.text.strip() or not _is_line(value.text, LONGEST_TYPED_LETTERS):
        raise ProtocolError(
            f"what is typed is one line of 1 to {LONGEST_TYPED_LETTERS} letters, with no control"
            " characters"
        )
    return _argument({"type": "typed", "text": value.text})


def _argument(message: dict[str, object]) -> bytes:
    """Compact JSON that FreeSWITCH passes on unchanged as one argument: it splits at spaces, drops
    single quotes, and reads every backslash but that of ``\\uXXXX`` as an escape of its own."""
    return _UNSAFE.sub(_escape, orjson.dumps(message))


def _escape(found: re.Match[bytes]) -> bytes:
    raw = found.group()
    return b"\\u%04x" % _ESCAPED.get(raw, raw[-1])


# --- reading --------------------------------------------------------------------------------------


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
    playback = _address(message.get("playback"))
    return Offer(call_id, did, caller, rate, playback, **_more_of_offer(message))


def _more_of_offer(message: dict[str, Any]) -> dict[str, Any]:
    """The fields that an edge may leave out, each absent where it says nothing."""
    agent, recording = message.get("agent", ""), message.get("recording", "")
    direction, resumed = message.get("direction", "in"), message.get("resumed", "")
    part, draft = message.get("part", 1), message.get("draft", False)
    if not isinstance(agent, str) or not (not agent or AGENT_ID.fullmatch(agent)):
        raise ProtocolError(f"the offer's agent {agent!r:.80} is not an agent's id")
    if direction not in ("in", "out", "test"):
        raise ProtocolError(
            f"the offer's direction is {direction!r:.40}; it must be in, out or test"
        )
    if direction == "test" and not agent:
        raise ProtocolError("a test call's offer names no agent")
    if type(draft) is not bool or (draft and direction != "test"):
        raise ProtocolError(
            f"the offer's draft is {draft!r:.40}; only a test call may be true here"
        )
    if not isinstance(recording, str) or not (not recording or _RECORDING.fullmatch(recording)):
        raise ProtocolError(
            f"the offer's recording {recording!r:.80} is not a relative path of plain names"
        )
    if type(part) is not int or not 1 <= part <= MOST_PARTS:
        raise ProtocolError(f"the offer's part is {part!r:.40}; it must be 1 to {MOST_PARTS}")
    if resumed not in ("", "worker", "transfer"):
        raise ProtocolError(
            f"the offer's resumed is {resumed!r:.40}; it must be worker or transfer"
        )
    return {
        "agent": agent,
        "direction": direction,
        "draft": draft,
        "recording": recording,
        "part": part,
        "resumed": resumed,
    }


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


def _control(message: dict[str, Any]) -> ControlEvent:
    match message:
        case {"type": "dtmf", "digit": str(digit), **rest} if digit in _KEYS:
            duration = rest.get("duration_ms", 0)
            return Dtmf(digit, duration if type(duration) is int and duration > 0 else 0)
        case {"type": "hangup", "cause": str(cause)} if _CAUSE.fullmatch(cause):
            return Hangup(cause)
        case {"type": "transfer_failed", "cause": str(cause)} if _CAUSE.fullmatch(cause):
            return TransferFailed(cause)
        case {"type": "hold", "on": bool(on)}:
            return Hold(on)
        case {"type": "whisper", "text": str(text)} if text.strip():
            if _is_line(text, LONGEST_WHISPER_LETTERS):
                return Whisper(text)
        case {"type": "typed", "text": str(text)} if text.strip():
            if _is_line(text, LONGEST_TYPED_LETTERS):
                return Typed(text)
    raise ProtocolError(f"an unknown control message of type {message.get('type')!r:.40}")


def _transfer(message: dict[str, Any]) -> Transfer:
    match message:
        case {
            "to": str(to),
            "mode": "attended" | "blind" as mode,
            "reason": "asked" | "key" | "failures" | "agent" as reason,
            "summary": str(text),
        } if _DESTINATION.fullmatch(to) and _is_line(text, LONGEST_SUMMARY_LETTERS):
            return Transfer(to, mode, reason, text)
    raise ProtocolError("a transfer that lacks to, mode, reason or summary, or has a wrong one")


def _is_line(text: str, longest: int) -> bool:
    return len(text) <= longest and _LINE.fullmatch(text) is not None
