"""What webhooks may be told, and how it reads: JSON of version 1. docs/webhooks.md shows each.

A payload has ids, times and figures. A caller's number and words are no part of it: where a webhook
asks for them, they are read from the journal at the moment of sending (:func:`with_private`), so that
no copy of them waits in the outbox, beyond the reach of retention and of whoever erases a caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson

VERSION = 1
"""Of every payload: fields may be added within a version, none is taken away or means another thing."""


class Event(StrEnum):
    """What a webhook may ask to be told."""

    CALL_ENDED = "call.ended"
    CALL_FLAGGED = "call.flagged"
    """The guard, moderation or a person found something that should be looked at."""
    CALL_TRANSFERRED = "call.transferred"
    """A person has the call."""


TEST = "webhook.test"
"""Sent when somebody presses the button, and never else."""


class Include(StrEnum):
    """What a webhook may ask to be told besides."""

    CALLER = "caller"
    """The caller's number."""
    TRANSCRIPT = "transcript"
    """What was said, as the journal keeps it: redacted, and gone when it is erased."""


@dataclass(frozen=True, slots=True)
class EndedCall:
    """A call that is over, as the journal has it."""

    call_id: str
    part: int
    direction: str
    did: str
    agent_id: str
    agent_version: int
    tenant: str | None
    language: str
    started_at: datetime
    ended_at: datetime
    outcome: str
    """``store.terms.Outcome``."""
    cause: str
    ended_by: str
    transferred_to: str
    transfer_reason: str
    turns: int
    barge_ins: int
    gap_p50_ms: float | None
    gap_p95_ms: float | None
    flags: int
    continues: str


@dataclass(frozen=True, slots=True)
class FlagTold:
    """A finding, without the words it was found in."""

    flag_id: str
    at: datetime
    call_id: str
    turn: int
    agent_id: str
    agent_version: int
    tenant: str | None
    found_by: str
    side: str
    rule: str
    category: str
    severity: str
    action: str
    state: str


@dataclass(frozen=True, slots=True)
class Private:
    """What only some webhooks are told."""

    caller: str = ""
    transcript: tuple[Mapping[str, Any], ...] = ()
    """Of each turn: index, at, said, heard; of a flag: phrase, question, answer."""


def ended(call: EndedCall) -> dict[str, Any]:
    """The payload of ``call.ended``."""
    return _payload(Event.CALL_ENDED, call.ended_at, call.tenant, _call(call))


def transferred(call: EndedCall) -> dict[str, Any]:
    """The payload of ``call.transferred``."""
    return _payload(Event.CALL_TRANSFERRED, call.ended_at, call.tenant, _call(call))


def flagged(flag: FlagTold) -> dict[str, Any]:
    """The payload of ``call.flagged``."""
    data = {
        "flag_id": flag.flag_id,
        "call_id": flag.call_id,
        "turn": flag.turn,
        "at": _time(flag.at),
        "agent": {"id": flag.agent_id, "version": flag.agent_version},
        "found_by": flag.found_by,
        "side": flag.side,
        "rule": flag.rule,
        "category": flag.category,
        "severity": flag.severity,
        "action": flag.action,
        "state": flag.state,
    }
    return _payload(Event.CALL_FLAGGED, flag.at, flag.tenant, data)


def test_payload(at: datetime, tenant: str | None, by: str) -> dict[str, Any]:
    """The payload of ``webhook.test``."""
    return _payload(TEST, at, tenant, {"message": "This is a test.", "sent_by": by})


test_payload.__test__ = False  # type: ignore[attr-defined]  # pytest takes it for one


def with_private(
    payload: Mapping[str, Any], include: Sequence[str], private: Private
) -> dict[str, Any]:
    """``payload`` with what its webhook asks for besides, as far as it is still there."""
    data = dict(payload["data"])
    if Include.CALLER in include:
        data["caller"] = private.caller or None
    if Include.TRANSCRIPT in include:
        data["transcript"] = [dict(turn) for turn in private.transcript]
    return {**payload, "data": data}


def body_of(payload: Mapping[str, Any]) -> bytes:
    """The bytes that are sent and signed: UTF-8 JSON."""
    return orjson.dumps(payload)


def _call(call: EndedCall) -> dict[str, Any]:
    return {
        "call_id": call.call_id,
        "part": call.part,
        "direction": call.direction,
        "did": call.did,
        "agent": {"id": call.agent_id, "version": call.agent_version},
        "language": call.language,
        "started_at": _time(call.started_at),
        "ended_at": _time(call.ended_at),
        "duration_s": round(max(0.0, (call.ended_at - call.started_at).total_seconds()), 1),
        "outcome": call.outcome,
        "ended_by": call.ended_by,
        "cause": call.cause,
        "transfer": (
            {"to": call.transferred_to, "reason": call.transfer_reason or "supervisor"}
            if call.transferred_to
            else None
        ),
        "turns": call.turns,
        "barge_ins": call.barge_ins,
        "gap_ms": {"p50": _rounded(call.gap_p50_ms), "p95": _rounded(call.gap_p95_ms)},
        "flags": call.flags,
        "continues": call.continues or None,
    }


def _payload(kind: str, at: datetime, tenant: str | None, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": str(kind),
        "version": VERSION,
        "timestamp": _time(at),
        "tenant": tenant,
        "data": data,
    }


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _rounded(ms: float | None) -> int | None:
    return None if ms is None else round(ms)
