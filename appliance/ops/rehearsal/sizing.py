"""How many servers of each stage calls need, by what the measured turns took: the rehearsal's and
audit's question to ``appliance/capacity``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from appliance.capacity.plan import Policy, Pool, Use, size
from appliance.capacity.servers import ask, pools
from appliance.capacity.services import Service, services
from appliance.rehearsal.content import Sizing, StageNeed
from appliance.settings import Settings
from appliance.store.measures import MeasuredCall, MeasuredTurn
from appliance.store.traffic import Holding, Measured, TurnCosts

NO_LIMIT = 1 << 20
"""Of servers: a recommendation is not bound by what the settings allow today."""


def recommend(settings: Settings, calls: int, measured: Sequence[MeasuredCall]) -> Sizing:
    """What ``calls`` at once need, each stage in a pool of its own and in one pool of pipelines.

    Asks the engine servers how much each carries; blocks for a second or so.
    """
    has_llm = settings.engines.llm.is_served
    needs = services(holding(measured), costs(measured), has_llm=has_llm)
    policy = Policy(settings.capacity.wait_share, settings.capacity.headroom, 0.0)
    found = pools(settings, needs, ask(settings), {})
    stages = tuple(
        _need(calls, pool, policy) for pool in found.values() if pool.erlang_per_call > 0
    )
    return Sizing(calls, stages, _pipelines(calls, found, stages, policy), _note(needs, stages))


def holding(calls: Sequence[MeasuredCall]) -> Holding:
    """How long these calls lasted."""
    over = [call for call in calls if call.ended_at and call.ended_at > call.started_at]
    lengths = sorted((c.ended_at - c.started_at).total_seconds() for c in over if c.ended_at)
    if not lengths:
        return Holding()
    p95 = lengths[min(len(lengths) - 1, round(0.95 * len(lengths)))]
    turns = sum(max(call.said_turns, len(call.turns)) for call in over)
    return Holding(len(lengths), sum(lengths) / len(lengths), p95, turns, sum(lengths))


def costs(calls: Sequence[MeasuredCall]) -> TurnCosts:
    """What their turns took of each stage, as ``store/traffic.read_turns`` counts it."""
    turns = [turn for call in calls for turn in call.turns]
    asked = [turn for turn in turns if turn.asked]
    written = [turn for turn in turns if turn.source == "llm"]
    return TurnCosts(
        turns=len(turns),
        asked=len(asked),
        by_llm=len(written),
        dropped=sum(turn.stages.speculations_dropped for turn in turns),
        speech_s=_measured((t.stages.speech_start, t.stages.speech_end) for t in asked),
        search_s=_measured((t.stages.speculation, t.stages.retrieval) for t in asked),
        llm_s=_measured((_writing_since(t), t.stages.last_token) for t in written),
        tts_s=_measured((t.stages.first_phrase, t.stages.last_audio) for t in turns),
    )


def _need(calls: int, pool: Pool, policy: Policy) -> StageNeed:
    sized = size(calls, replace(pool, least=1, most=NO_LIMIT, fixed=0), policy)
    held = pool.use is Use.HELD
    load = 1.0 if held else pool.erlang_per_call
    return StageNeed(pool.stage, held, round(load, 4), pool.capacity, sized.wanted)


def _pipelines(
    calls: int, found: dict[str, Pool], stages: Sequence[StageNeed], policy: Policy
) -> int:
    """A pipeline carries as many calls as its narrowest stage, and each from end to end."""
    narrowest = min((found[need.stage].capacity for need in stages), default=1)
    whole = Pool("pipeline", Use.HELD, 1.0, narrowest, least=1, most=NO_LIMIT, warm_up_s=0.0)
    return size(calls, whole, policy).wanted


def _note(needs: dict[str, Service], stages: Sequence[StageNeed]) -> str:
    assumed = [need.stage for need in stages if not needs[need.stage].measured]
    if not assumed:
        return ""
    return (
        f"Too few turns here tell how long one request takes at {', '.join(assumed)}: "
        "the budgets' figures stand for it."
    )


def _writing_since(turn: MeasuredTurn) -> int | None:
    stages = turn.stages
    return stages.speculation if stages.retrieval is None else stages.retrieval


def _measured(marks: Iterable[tuple[int | None, int | None]]) -> Measured:
    taken = [
        (end - begin) / 1000
        for begin, end in marks
        if begin is not None and end is not None and end >= begin
    ]
    return Measured(sum(taken) / len(taken), len(taken)) if taken else Measured()
