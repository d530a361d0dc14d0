"""What the journal and the callers know of a turn, without a word of what was said."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.events import Stages
from appliance.rehearsal.conversation import Exchange
from appliance.rehearsal.timeline import spans
from appliance.store.measures import MeasuredCall, MeasuredTurn

STAGE_NAMES = ("hear", "floor", "search", "write", "phrase", "voice", "out")
"""In the order of a turn; ``timeline.spans`` says what each one is."""
EDGE = "edge"
"""What the worker does not see: SIP, RTP, jitter buffers, there and back."""
MATCH_MS = 600.0
"""A turn of the journal and a question of the caller's that begin this close are the same."""
CLOCK_MS = 20
"""The journal's marks are frames of the call."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One answered turn: what the budgets and the plots are made of. Times in ms."""

    call_id: str
    index: int
    at: datetime
    """When the caller had finished."""
    agent_id: str
    language: str
    gap_ms: float
    """At the caller's ear where it was heard there, else by the call's own audio."""
    parts: dict[str, float]
    """The gap by stage."""
    first_word_ms: float | None
    """The end of the first word to the first partial; None: not known when that word ended."""
    words_ms: float | None
    """The end of speech to the words that were answered, final or stable."""
    search_ms: float | None
    phrase_ms: float | None
    """Begin of the reply to its first phrase: retrieval and language model."""
    voice_ms: float | None
    out_ms: float | None
    """Audio there, and the floor given, to the first frame on the wire."""
    edge_ms: float | None
    trouble: bool


def figures_of(
    call: MeasuredCall,
    turn: MeasuredTurn,
    heard: Exchange | None = None,
    word_ms: int | None = None,
) -> Figures | None:
    """One turn; ``heard``: the same at the caller's ear, ``word_ms``: where its first word ended.

    None for a turn that answered nobody (a greeting, a prompt) or that was never heard.
    """
    stages = turn.stages
    ear_ms = heard.gap_ms if heard is not None else None
    if turn.gap_ms is None or stages.speech_end is None:
        return None
    parts: dict[str, float] = defaultdict(float)
    for span in spans(stages):
        parts[span.stage] += span.ms
    edge_ms = None if ear_ms is None else ear_ms - turn.gap_ms
    if edge_ms is not None:
        parts[EDGE] = max(0.0, edge_ms)
    return Figures(
        call_id=turn.call_id,
        index=turn.index,
        at=call.started_at + timedelta(milliseconds=stages.speech_end),
        agent_id=call.agent_id,
        language=call.language,
        gap_ms=ear_ms if ear_ms is not None else float(turn.gap_ms),
        parts=dict(parts),
        first_word_ms=_first_word(stages, word_ms),
        words_ms=_words(stages, turn.kept_speculation),
        search_ms=_between(stages.speculation, stages.retrieval),
        phrase_ms=_between(stages.speculation, stages.first_phrase),
        voice_ms=_between(stages.first_phrase, stages.first_audio),
        out_ms=_out(stages),
        edge_ms=edge_ms,
        trouble=turn.failed,
    )


def match(exchanges: Sequence[Exchange], turns: Sequence[MeasuredTurn]) -> dict[int, Exchange]:
    """Which of the caller's exchanges each turn (by its index) is: by the moment the caller began
    to speak, each exchange once."""
    found: dict[int, Exchange] = {}
    left = list(exchanges)
    for turn in turns:
        began = turn.stages.speech_start
        if began is None or not left:
            continue
        nearest = min(left, key=lambda e: abs(e.start_ms - began))
        if abs(nearest.start_ms - began) <= MATCH_MS:
            found[turn.index] = nearest
            left.remove(nearest)
    return found


def _first_word(stages: Stages, word_ms: int | None) -> float | None:
    spoken = (
        None if stages.speech_start is None or word_ms is None else stages.speech_start + word_ms
    )
    return _between(spoken, stages.first_partial)


def _words(stages: Stages, kept: bool) -> float | None:
    """A reply begun on words that proved right needed no final."""
    known = [stages.final, stages.speculation if kept else None]
    marks = [mark for mark in known if mark is not None]
    return _between(stages.speech_end, min(marks)) if marks else None


def _out(stages: Stages) -> float | None:
    if stages.first_audio is None:
        return None
    free = max(stages.first_audio, stages.turn_given or stages.first_audio)
    return _between(free, stages.first_frame)


def _between(begin: int | None, end: int | None) -> float | None:
    return None if begin is None or end is None else float(max(0, end - begin))
