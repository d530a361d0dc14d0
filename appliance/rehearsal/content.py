"""What a report says, as plain values: made by a rehearsal or an audit, drawn as HTML and PDF, and
kept as ``data.json``. Times in ms, memory in MB.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from appliance.rehearsal.budgets import Kept
from appliance.rehearsal.knee import Knee
from appliance.rehearsal.spread import Spread


class Kind(Enum):
    """What was measured."""

    REHEARSAL = "rehearsal"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True)
class Line:
    """What the callers' own lines of one step showed."""

    failed: int = 0
    """Calls that were not answered, or broke."""
    reasons: dict[str, int] = field(default_factory=dict)
    unanswered: int = 0
    """Questions without an answer."""
    frames: int = 0
    late_frames: int = 0
    """Frames of the agent's that came more than 20 ms late."""
    missed_frames: int = 0
    holes: int = 0
    lost_packets: int = 0
    own_late_p99_ms: float | None = None
    """How late the callers' own frames were: what the measuring machine added."""
    barge_in_p95_ms: float | None = None
    machine_busy: float | None = None
    """Share of all cores in use, 0-1."""
    cores: dict[str, float] = field(default_factory=dict)
    """Mean cores in use by each kind of process."""


@dataclass(frozen=True, slots=True)
class Level:
    """So many calls at once: a step of a rehearsal, or a band of an audit."""

    calls: int
    label: str
    turns: int
    gap: Spread | None
    parts: dict[str, float]
    """Mean share of each stage in the gap."""
    line: Line | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Turns that have something in common: an hour, a language, an agent."""

    name: str
    turns: int
    gap: Spread | None
    parts: dict[str, float]


@dataclass(frozen=True, slots=True)
class SlowTurn:
    """One of the slowest turns."""

    call_id: str
    index: int
    at: str
    """ISO 8601."""
    calls: int
    """Calls at once in that moment."""
    gap_ms: float
    slowest: str
    """The stage that took longest, and how long."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The machine over the time of a rehearsal, one value a sample."""

    at_s: tuple[float, ...] = ()
    """From the beginning."""
    calls: tuple[int, ...] = ()
    cores: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """Cores in use by each kind of process."""
    memory_mb: dict[str, tuple[float, ...]] = field(default_factory=dict)
    busy: tuple[float, ...] = ()
    """Share of all cores, 0-1."""
    gpu_at_s: tuple[float, ...] = ()
    gpu_busy: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """By GPU, share 0-1."""
    gpu_memory_mb: dict[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageNeed:
    """What the plan says of one stage."""

    stage: str
    held: bool
    """A call keeps its slot from its first to its last moment."""
    erlang_per_call: float
    capacity: int
    """Slots of one server."""
    servers: int


@dataclass(frozen=True, slots=True)
class Sizing:
    """What so many calls need: each stage a pool of its own, or one pool of whole pipelines."""

    calls: int
    stages: tuple[StageNeed, ...]
    pipelines: int
    """Servers of the shared pool, each of which holds every stage's model."""
    note: str = ""

    @property
    def own_copies(self) -> int:
        """Models loaded where each stage has its pool."""
        return sum(need.servers for need in self.stages)

    @property
    def shared_copies(self) -> int:
        """Models loaded where every pipeline has all of them."""
        return self.pipelines * len(self.stages)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a report says."""

    kind: Kind
    title: str
    made_at: str
    """ISO 8601."""
    facts: tuple[tuple[str, str], ...]
    """What was measured, and on what: name and value."""
    summary: tuple[str, ...]
    """In plain words, the most important first."""
    levels: tuple[Level, ...]
    knee: Knee | None
    budgets: tuple[Kept, ...]
    budgets_at: str
    """Which turns the budgets are held against."""
    hours: tuple[Group, ...] = ()
    languages: tuple[Group, ...] = ()
    agents: tuple[Group, ...] = ()
    slowest: tuple[SlowTurn, ...] = ()
    usage: Usage | None = None
    sizing: Sizing | None = None
    notes: tuple[str, ...] = ()
