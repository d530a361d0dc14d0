"""Twilio's media-stream messages, without I/O: how a call is carried to an external bot.

The form is that of Twilio's bidirectional Media Streams (twilio.com/docs/voice/media-streams/
websocket-messages): JSON text over a websocket, audio as base64 of µ-law at 8 kHz. We play Twilio's
part; Pipecat's ``TwilioFrameSerializer`` and every bot written for Twilio play the other. What a bot
sends is hostile input: whatever is not of this form raises ProtocolError with one clear sentence.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import orjson

from appliance.audio import FRAME_MS
from appliance.errors import ProtocolError
from appliance.events import Agent, Offer

RATE_HZ = 8000
LONGEST_MESSAGE_BYTES = 1 << 20
"""A minute of audio in one message is 640 kB; some bots send a whole answer at once."""
LONGEST_NAME_LETTERS = 256


@dataclass(frozen=True, slots=True)
class Media:
    """Audio for the caller: µ-law, 8 kHz, any length."""

    ulaw: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """Tell me by this name when everything that I sent before has been played, or cleared."""

    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    """Forget what I sent and is not played yet: the caller interrupts."""


BotEvent = Media | Mark | Clear


def sid(prefix: str, call_id: str) -> str:
    """An identifier as Twilio writes them, always the same for a call: ``CA`` and 32 hex digits."""
    return prefix + uuid5(NAMESPACE_OID, prefix + call_id).hex


class TwilioProtocol:
    """Our side of one stream: numbers what we send, reads what the bot sends."""

    def __init__(self, call_id: str) -> None:
        self.stream_sid = sid("MZ", call_id)
        self.call_sid = sid("CA", call_id)
        self._account_sid = sid("AC", "")
        self._sequence = 0
        self._chunk = 0

    def connected(self) -> bytes:
        """The first message."""
        return b'{"event":"connected","protocol":"Call","version":"1.0.0"}'

    def start(self, offer: Offer, agent: Agent) -> bytes:
        """The second: what the call is. ``customParameters`` are strings, as Twilio's are."""
        about = {
            "accountSid": self._account_sid,
            "streamSid": self.stream_sid,
            "callSid": self.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": RATE_HZ, "channels": 1},
            "customParameters": _parameters(offer, agent),
        }
        return self._message("start", about)

    def media(self, ulaw: bytes) -> bytes:
        """The caller's next 20 ms, µ-law."""
        self._chunk += 1
        about = {
            "track": "inbound",
            "chunk": str(self._chunk),
            "timestamp": str((self._chunk - 1) * FRAME_MS),
            "payload": b64encode(ulaw).decode(),
        }
        return self._message("media", about)

    def dtmf(self, digit: str) -> bytes:
        """A key was pressed."""
        return self._message("dtmf", {"track": "inbound_track", "digit": digit})

    def mark(self, name: str) -> bytes:
        """What was sent before the bot's mark of this name has been played, or cleared."""
        return self._message("mark", {"name": name})

    def stop(self) -> bytes:
        """The last message: the call is over."""
        return self._message("stop", {"accountSid": self._account_sid, "callSid": self.call_sid})

    def receive(self, payload: bytes) -> BotEvent:
        """Take a text message of the bot. Raises ProtocolError when it is malformed or unknown."""
        message = _object(payload)
        stream = message.get("streamSid", self.stream_sid)
        if stream != self.stream_sid:
            raise ProtocolError(
                f"a message for the stream {stream!r:.60}, which is not this call's"
            )
        match message:
            case {"event": "media", "media": {"payload": str(audio)}}:
                return Media(_audio(audio))
            case {"event": "mark", "mark": {"name": str(name)}}:
                return Mark(_name(name))
            case {"event": "clear"}:
                return Clear()
            case {"event": "media" | "mark" as kind}:
                missing = "media.payload" if kind == "media" else "mark.name"
                raise ProtocolError(f"a {kind} message without {missing}")
        raise ProtocolError(f"a bot does not send the event {message.get('event')!r:.60}")

    def _message(self, event: str, about: dict[str, Any]) -> bytes:
        self._sequence += 1
        return orjson.dumps(
            {
                "event": event,
                "sequenceNumber": str(self._sequence),
                event: about,
                "streamSid": self.stream_sid,
            }
        )


def _parameters(offer: Offer, agent: Agent) -> dict[str, str]:
    """Ours, and the two names under which Pipecat's runner looks for the numbers."""
    return {
        "call_id": offer.call_id,
        "did": offer.did,
        "caller": offer.caller,
        "to_number": offer.did,
        "from_number": offer.caller,
        "agent": agent.id,
        "agent_version": str(agent.version),
        "language": agent.language,
        "direction": offer.direction,
        "part": str(offer.part),
        "resumed": offer.resumed,
    }


def _object(payload: bytes) -> dict[str, Any]:
    if len(payload) > LONGEST_MESSAGE_BYTES:
        raise ProtocolError(f"a message of {len(payload)} bytes; {LONGEST_MESSAGE_BYTES} at most")
    try:
        message = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise ProtocolError("a message that is not JSON") from None
    if not isinstance(message, dict):
        raise ProtocolError("a message that is not a JSON object")
    return message


def _audio(payload: str) -> bytes:
    try:
        ulaw = b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError("a media message whose payload is not base64") from None
    if not ulaw:
        raise ProtocolError("a media message without audio")
    return ulaw


def _name(name: str) -> str:
    if len(name) > LONGEST_NAME_LETTERS:
        raise ProtocolError(
            f"a mark whose name has {len(name)} letters; {LONGEST_NAME_LETTERS} at most"
        )
    return name
