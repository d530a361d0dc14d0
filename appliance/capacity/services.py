"""What one call asks of each stage, from what its turns took; in Erlang (busy seconds a second).

Where the journal is too thin, a default stands for it, and says so. Times are those of the load
they were measured at: a stage that was late makes its own plan larger, which is the safe side.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.capacity.plan import Use
from appliance.store.traffic import Holding, Measured, TurnCosts

FEWEST = 100
"""Turns or calls; a mean of fewer is no measurement."""

# Of a talk in which caller and agent speak in turn, some 10 s each time (bench/script.py).
TURNS_A_MINUTE = 6.0
ASKED_SHARE = 0.85
"""Turns that answer the caller: the others are greetings, prompts, goodbyes."""
DROPPED_A_QUESTION = 0.5
SPEECH_S = 3.0
HOLDING_S = 120.0
# What the budgets of a turn allow (docs/capacity.md): slower servers are out of bounds anyway.
LLM_S = 1.5
TTS_S = 1.5
SEARCH_S = 0.06
RERANK_S = 0.03
JUDGE_S = 0.05
"""Smart Turn takes 25 ms of a core; the journal has no mark of it."""
DROPPED_COST = 0.5
"""A speculation that is dropped is aborted before its end: half of one, on average."""
MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Service:
    """What one call asks of a stage while it lasts."""

    stage: str
    use: Use
    a_minute: float
    """Requests a call minute; of the recogniser: seconds of speech a call minute."""
    busy_s: float
    """That one of them takes."""
    measured: bool
    """From this site's journal; else a default."""

    @property
    def erlang_per_call(self) -> float:
        """Slots that a call keeps busy, on average."""
        return self.a_minute * self.busy_s / MINUTE_S


def services(holding: Holding, costs: TurnCosts, *, has_llm: bool) -> dict[str, Service]:
    """By stage. ``has_llm``: replies are written by a language model (else that stage is idle)."""
    many = costs.turns >= FEWEST
    counted = many and holding.calls >= FEWEST and holding.turns > 0
    turns = holding.turns / holding.seconds * MINUTE_S if counted else TURNS_A_MINUTE
    asked = turns * (costs.asked / costs.turns if many else ASKED_SHARE)
    by_llm = turns * (costs.by_llm / costs.turns if many else ASKED_SHARE)
    dropped = turns * costs.dropped / costs.turns if many else asked * DROPPED_A_QUESTION
    written = (by_llm + dropped * DROPPED_COST) if has_llm and by_llm else 0.0
    # A reply that is dropped has seldom come to its first phrase: it costs no speech.
    rows = (
        ("stt", Use.HELD, asked * _mean(costs.speech_s, SPEECH_S), 1.0, costs.speech_s),
        ("tts", Use.SHARED, turns, _mean(costs.tts_s, TTS_S), costs.tts_s),
        ("turn", Use.SHARED, asked + dropped, JUDGE_S, Measured()),
        ("embed", Use.SHARED, asked + dropped, _mean(costs.search_s, SEARCH_S), costs.search_s),
        ("rerank", Use.SHARED, asked + dropped, RERANK_S, Measured()),
        ("llm", Use.SHARED, written, _mean(costs.llm_s, LLM_S), costs.llm_s),
    )
    return {
        stage: Service(stage, use, a_minute, busy_s, counted and from_.count >= FEWEST)
        for stage, use, a_minute, busy_s, from_ in rows
    }


def holding_s(holding: Holding) -> float:
    """Mean length of a call, where few have been seen mixed with the default."""
    return (
        (holding.seconds + FEWEST * HOLDING_S) / (holding.calls + FEWEST)
        if (holding.calls < FEWEST)
        else holding.mean_s
    )


def answer_share(attempts: int, answered: int) -> float:
    """Of calls that we make, how many are answered; one in two, until some were made."""
    return (answered + 1) / (attempts + 2)


def _mean(measured: Measured, otherwise: float) -> float:
    return measured.mean if measured.count >= FEWEST else otherwise
