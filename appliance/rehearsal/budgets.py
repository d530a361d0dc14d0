"""The budgets that every rehearsal and audit is held against, and whether they are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from appliance.rehearsal.measured import Figures
from appliance.rehearsal.spread import Spread, spread


class Verdict(Enum):
    """Whether a budget is kept: by the p95 of what was measured."""

    KEPT = "kept"
    MISSED = "missed"
    UNKNOWN = "not measured"


@dataclass(frozen=True, slots=True)
class Budget:
    """One line of the budget."""

    name: str
    limit_ms: float
    meaning: str
    of: Callable[[Figures], float | None]


WHOLE_GAP = "whole gap"
WHOLE_GAP_MS = 800.0
BUDGETS = (
    Budget(
        "spoken word in the partials", 100,
        "end of the caller's first word to the first partial", lambda f: f.first_word_ms,
    ),
    Budget(
        "words known after speech ends", 50,
        "end of speech to the words that are answered: the final, or the partial that proved right",
        lambda f: f.words_ms,
    ),
    Budget("retrieval", 200, "begin of the reply to its passages", lambda f: f.search_ms),
    Budget(
        "retrieval and language model, first phrase", 600,
        "begin of the reply to enough of it to be spoken", lambda f: f.phrase_ms,
    ),
    Budget("voice, first audio", 250, "first phrase to its first audio", lambda f: f.voice_ms),
    Budget(
        "audio out", 50, "audio there and floor given to the first frame on the wire",
        lambda f: f.out_ms,
    ),
    Budget(
        "call in and audio out, the network's part", 100,
        "the gap at the caller's ear less the worker's own: SIP, RTP and jitter buffers, both ways",
        lambda f: f.edge_ms,
    ),
    Budget(
        WHOLE_GAP, WHOLE_GAP_MS, "end of the caller's speech to the first sound of the reply",
        lambda f: f.gap_ms,
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kept:
    """One budget, held against what was measured."""

    name: str
    meaning: str
    limit_ms: float
    measured: Spread | None
    verdict: Verdict


def hold(turns: Sequence[Figures], gap: Spread | None = None) -> tuple[Kept, ...]:
    """Every budget against these turns; ``gap``: the whole gap, where it was heard apart from them.
    A p95 on the limit is kept."""
    held = []
    for budget in BUDGETS:
        measured = spread(budget.of(turn) for turn in turns)
        held.append(_hold(budget, gap if gap and budget.name == WHOLE_GAP else measured))
    return tuple(held)


def _hold(budget: Budget, measured: Spread | None) -> Kept:
    if measured is None:
        verdict = Verdict.UNKNOWN
    else:
        verdict = Verdict.KEPT if measured.p95 <= budget.limit_ms else Verdict.MISSED
    return Kept(budget.name, budget.meaning, budget.limit_ms, measured, verdict)
