"""What somebody sees of a live call, and what has changed since they last looked."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.admin.live.state import CallState, Line, LiveCall


@dataclass(frozen=True, slots=True)
class LiveCallView:
    """One call in progress, or just over."""

    call_id: str
    tenant: str | None
    """Of its agent; None: not known, so the operator's alone."""
    did: str
    caller: str
    direction: str
    """``in``, ``out`` (we rang them) or ``test`` (somebody tries an agent)."""
    trunk: str
    agent_id: str
    agent_name: str
    agent_version: int
    language: str
    state: CallState
    state_at: float
    """Unix seconds since when."""
    started_at: float
    """Unix seconds; 0: not known."""
    ended_at: float
    """Unix seconds; 0: it is not over."""
    turns: int
    gaps_ms: tuple[int, ...]
    """What the caller waited for the last answers, oldest first."""
    hearing: str
    """What the caller is saying, so far; told of calls that somebody has opened."""
    last_caller: str
    last_agent: str
    lines: tuple[Line, ...]
    to: str
    """Whom the caller is, or was, transferred to."""
    answered_by: str
    part: int
    worker: str
    """URL of the worker that has it."""
    on_switch: bool
    """``ivr switch`` has its line: telephones can be rung, and it can be transferred."""
    cause: str
    ended_by: str


@dataclass(frozen=True, slots=True)
class Change:
    """What a page has not seen yet: the latest of each call that has changed, and what is gone."""

    calls: tuple[LiveCallView, ...]
    gone: tuple[str, ...]


def view_of(call: LiveCall, tenant: str | None) -> LiveCallView:
    """``call`` for people."""
    return LiveCallView(
        call_id=call.call_id,
        tenant=tenant,
        did=call.did,
        caller=call.caller,
        direction=call.direction,
        trunk=call.trunk,
        agent_id=call.agent_id,
        agent_name=call.agent_name or call.agent_id,
        agent_version=call.agent_version,
        language=call.language,
        state=call.shown_state,
        state_at=call.state_at,
        started_at=call.started_at.timestamp() if call.started_at else 0.0,
        ended_at=call.ended_at,
        turns=call.turns,
        gaps_ms=call.gaps_ms,
        hearing=call.hearing,
        last_caller=call.last("caller"),
        last_agent=call.last("agent"),
        lines=call.lines,
        to=call.to,
        answered_by=call.answered_by,
        part=call.part,
        worker=call.worker,
        on_switch=bool(call.switch_state),
        cause=call.cause,
        ended_by=call.ended_by,
    )
