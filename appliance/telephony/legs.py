"""A channel's event as the row of a leg: the call detail record."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from appliance.store.legs import Leg
from appliance.telephony.eventsocket import Event

_KINDS: dict[str, Literal["caller", "callee", "person", "supervisor"]] = {
    "callee": "callee",
    "person": "person",
    "supervisor": "supervisor",
}
_BY_US = ("send_bye", "send_refuse", "send_cancel")
_BY_THEM = ("recv_bye", "recv_refuse", "recv_cancel")
LONGEST_TEXT = 128
NO_NUMBER = "0000000000"


def leg_of(event: Event, trunk: str) -> Leg:
    """What an event of a channel tells of its leg; times from FreeSWITCH's own clock (µs)."""
    uuid = event.get("Unique-ID")
    owner = event.get("variable_ivr_call") or event.get("variable_originator") or uuid
    kind = _KINDS.get(event.get("variable_ivr_kind"), "caller" if owner == uuid else "person")
    ended = event.get("Event-Name") == "CHANNEL_HANGUP_COMPLETE"
    now = datetime.now(UTC)
    return Leg(
        leg_id=uuid,
        call_id=owner,
        kind=kind,
        started_at=_time(event, "Caller-Channel-Created-Time") or now,
        trunk=trunk,
        caller=_shown(event),
        callee=_text(event, "variable_ivr_did") or _dialled(event),
        answered_at=_time(event, "Caller-Channel-Answered-Time"),
        ended_at=(_time(event, "Caller-Channel-Hangup-Time") or now) if ended else None,
        cause=_text(event, "Hangup-Cause") if ended else "",
        cause_code=event.whole("variable_hangup_cause_q850"),
        sip_status=event.whole("variable_sip_term_status"),
        ended_by=_ended_by(event.get("variable_sip_hangup_disposition")) if ended else "",
        codec=_text(event, "variable_read_codec") or _text(event, "Channel-Read-Codec-Name"),
    )


def _dialled(event: Event) -> str:
    """A telephone of our own is dialled as ``2001%DOMAIN``: its contact."""
    return _text(event, "Caller-Destination-Number").partition("%")[0]


def _shown(event: Event) -> str:
    """The number that was shown as calling; FreeSWITCH fills in ten noughts where none was."""
    number = _text(event, "variable_origination_caller_id_number") or _text(
        event, "Caller-Caller-ID-Number"
    )
    return "" if number == NO_NUMBER else number


def packets_of(event: Event) -> tuple[int, int]:
    """RTP packets (received, sent) of a channel that has ended."""
    return (
        event.whole("variable_rtp_audio_in_packet_count"),
        event.whole("variable_rtp_audio_out_packet_count"),
    )


def _ended_by(disposition: str) -> Literal["", "us", "them"]:
    return "us" if disposition in _BY_US else "them" if disposition in _BY_THEM else ""


def _time(event: Event, name: str) -> datetime | None:
    microseconds = event.whole(name)
    return datetime.fromtimestamp(microseconds / 1e6, UTC) if microseconds else None


def _text(event: Event, name: str) -> str:
    return "".join(c for c in event.get(name) if c.isprintable())[:LONGEST_TEXT]
