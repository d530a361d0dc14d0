"""What `ivr top` sees at one moment; plain values, so that it can be drawn, tested and printed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import orjson


class Doing(StrEnum):
    """What a call does, as far as its events tell."""

    BEGINNING = "beginning"
    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"
    HELD = "held"


class Sort(StrEnum):
    """The order of calls."""

    LONGEST = "longest"
    SLOWEST = "slowest"
    WORKER = "worker"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class CallLine:
    """One call in progress."""

    call_id: str
    agent: str
    direction: str
    language: str
    worker: str
    doing: Doing
    seconds: float
    turns: int
    gaps_ms: tuple[int, ...] = ()
    """Of the last answers, the latest last."""


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """One worker."""

    url: str
    status: str
    """ok, starting, draining or away."""
    calls: int = 0
    limit: int = 0
    why: str = ""
    gap_p50_s: float | None = None
    gap_p95_s: float | None = None
    """Of the last minute."""
    late_share: float = 0.0
    """Of the frames of the last second."""
    lag_p99_s: float | None = None
    journal_behind: int = 0
    resident_bytes: int = 0


@dataclass(frozen=True, slots=True)
class StageLine:
    """One stage of engine servers."""

    name: str
    up: int
    servers: int
    in_flight: int
    capacity: int
    first_answer_p95_s: float | None = None
    """As workers measured it within the last minute."""


@dataclass(frozen=True, slots=True)
class PoolLine:
    name: str
    wanted: int
    most: int
    states: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrunkLine:
    name: str
    up: bool
    enabled: bool
    state: str
    calls: int
    max_calls: int


@dataclass(frozen=True, slots=True)
class QueueLine:
    name: str
    items: int
    limit: int


@dataclass(frozen=True, slots=True)
class AlarmLine:
    severity: str
    what: str
    do: str


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine that this runs on."""

    cpu: float = 0.0
    """Share of all cores that is busy."""
    load: float = 0.0
    cores: int = 1
    memory_used: int = 0
    memory: int = 0
    disk_free: int = 0
    disk: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of it."""

    at: str = ""
    """Local time."""
    calls: tuple[CallLine, ...] = ()
    workers: tuple[WorkerLine, ...] = ()
    stages: tuple[StageLine, ...] = ()
    pools: tuple[PoolLine, ...] = ()
    trunks: tuple[TrunkLine, ...] = ()
    queues: tuple[QueueLine, ...] = ()
    """Those in which something waits, the fullest first."""
    alarms: tuple[AlarmLine, ...] = ()
    machine: Machine = field(default_factory=Machine)
    switch: str = ""
    """freeswitch, away, or none."""

    def json(self) -> str:
        """One object, as ``--json`` prints it."""
        facts: dict[str, Any] = asdict(self)
        return orjson.dumps(facts).decode()


def ordered(calls: tuple[CallLine, ...], sort: Sort, wanted: str = "") -> list[CallLine]:
    """``calls`` in the order of ``sort``; only those with ``wanted`` in id, agent, language, worker or
    what they do."""
    text = wanted.lower()
    found = [
        call
        for call in calls
        if text in f"{call.call_id} {call.agent} {call.language} {call.worker} {call.doing}".lower()
    ]
    match sort:
        case Sort.LONGEST:
            found.sort(key=lambda call: -call.seconds)
        case Sort.SLOWEST:
            found.sort(key=lambda call: -max(call.gaps_ms, default=-1))
        case Sort.WORKER:
            found.sort(key=lambda call: (call.worker, -call.seconds))
        case Sort.AGENT:
            found.sort(key=lambda call: (call.agent, -call.seconds))
    return found
