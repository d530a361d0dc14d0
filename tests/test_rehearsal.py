"""The parts of a rehearsal that neither call nor ask: ramp, spread, knee, levels, budgets, sizing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import UserError
from appliance.events import Stages
from appliance.ops.rehearsal.sizing import costs, holding
from appliance.rehearsal.budgets import Verdict, hold
from appliance.rehearsal.conversation import Exchange
from appliance.rehearsal.knee import BENT_MS, BENT_SHARE, ENOUGH_TURNS, Point, find_knee
from appliance.rehearsal.levels import BANDS, at_once, bands, groups, points, slowest
from appliance.rehearsal.machine import CALLERS, kind_of, parse_gpus
from appliance.rehearsal.measured import EDGE, Figures, figures_of, match
from appliance.rehearsal.ramp import LONGER, MARGIN_S, Ramp, parse_steps, steps_to
from appliance.rehearsal.spread import mean, spread
from appliance.store.measures import MeasuredCall, MeasuredTurn

T0 = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
ms = st.integers(0, 5000)


def turn(index: int = 1, gap_ms: int | None = 450, **marks: int) -> MeasuredTurn:
    stages = Stages(**marks)  # type: ignore[arg-type]
    return MeasuredTurn("c1", index, T0, "llm", True, stages, gap_ms, True, False)


def call(
    *turns: MeasuredTurn, name: str = "c1", start_s: float = 0, end_s: float | None = 60
) -> MeasuredCall:
    end = None if end_s is None else T0 + timedelta(seconds=end_s)
    start = T0 + timedelta(seconds=start_s)
    return MeasuredCall(name, "sunrise", "en", start, end, "caller", "", 0, len(turns), "", turns)


WHOLE = {
    "speech_start": 1000, "speech_end": 3000, "first_partial": 1400, "speculation": 3040, "final": 3180,
    "turn_given": 3240, "retrieval": 3050, "first_token": 3260, "first_phrase": 3320,
    "first_audio": 3420, "first_frame": 3440,
}  # fmt: skip


# --- ramp -----------------------------------------------------------------------------------------


@given(st.integers(1, 1000))
def test_a_ramp_rises_from_one_call_to_the_most(most: int) -> None:
    steps = steps_to(most)
    assert steps[0] == 1
    assert steps[-1] == most
    assert list(steps) == sorted(set(steps))
    assert parse_steps(",".join(map(str, steps))) == steps


def test_the_usual_ramp_of_fifty() -> None:
    assert steps_to(50) == (1, 2, 5, 10, 20, 35, 50)


@pytest.mark.parametrize("text", ["", "5,1", "1,1", "0,5", "a", "1,,2", "1,5000"])
def test_steps_that_do_not_rise_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="--steps"):
        parse_steps(text)


def test_no_step_is_begun_that_ends_too_late() -> None:
    ramp = Ramp((1, 50), seconds=20, limit_s=100)
    assert ramp.estimate_s(1) == pytest.approx(0.1 + 20 * LONGER + MARGIN_S)
    assert ramp.fits(50, 100 - ramp.estimate_s(50))
    assert not ramp.fits(50, 100 - ramp.estimate_s(50) + 0.1)
    with pytest.raises(UserError, match="--calls 0"):
        steps_to(0)


# --- percentiles ----------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=200))
def test_percentiles_are_in_order_and_within(values: list[float]) -> None:
    found = spread([*values, None])
    assert found is not None
    assert found.count == len(values)
    assert min(values) - 0.05 <= found.p50 <= found.p95 <= found.p99 <= found.most
    assert found.most == pytest.approx(max(values), abs=0.051)


def test_percentiles_of_known_values() -> None:
    found = spread(range(101))
    assert found is not None
    assert (found.p50, found.p95, found.p99, found.most) == (50, 95, 99, 100)
    assert spread([None]) is None
    assert mean([]) is None
    assert mean([1, None, 2]) == 1.5


# --- knee -----------------------------------------------------------------------------------------


def level_points(*p95s: float | None, failed: int = 0) -> list[Point]:
    return [Point(10 * (n + 1), p95, 100, failed) for n, p95 in enumerate(p95s)]


def test_a_flat_line_has_its_knee_beyond() -> None:
    knee = find_knee(level_points(440, 450, 445, 470))
    assert knee is not None
    assert (knee.calls, knee.bent_at) == (40, None)
    assert knee.floor_ms == 445
    assert knee.limit_ms == pytest.approx(445 * BENT_SHARE, abs=0.06)


def test_the_knee_is_below_where_it_bends_for_good() -> None:
    knee = find_knee(level_points(440, 450, 700, 445, 600, 900))  # the noise at 30 is none
    assert knee is not None
    assert (knee.calls, knee.bent_at) == (40, 50)


def test_failed_calls_and_silence_bend_too() -> None:
    failing = [
        *level_points(440, 450),
        Point(30, 450, 100, failed=2),
        Point(40, None, 0, failed=40),
    ]
    knee = find_knee(failing)
    assert knee is not None
    assert (knee.calls, knee.bent_at) == (20, 30)
    assert find_knee(level_points(None, None)) is None
    assert find_knee([]) is None
    assert find_knee(level_points(440)) is None
    assert find_knee([Point(1, 440, 2), Point(2, 450, 5)]) is None
    assert find_knee([Point(1, 440, 2), Point(2, 450, 5), Point(5, 450, 12)]) is None
    dead = find_knee([Point(1, 440, 12), Point(5, None, 0, failed=5)])
    assert dead is not None and (dead.calls, dead.bent_at) == (1, 5)


def test_one_lucky_turn_is_no_floor() -> None:
    few = [Point(1, 200, ENOUGH_TURNS - 1), *level_points(440, 450, 460)]
    knee = find_knee(few)
    assert knee is not None
    assert knee.floor_ms == 450
    assert knee.bent_at is None


@given(st.lists(st.floats(1, 5000), min_size=2, max_size=12))
def test_the_knee_is_flat_and_all_above_it_is_bent(p95s: list[float]) -> None:
    levels = level_points(*p95s)
    knee = find_knee(levels)
    assert knee is not None
    assert knee.limit_ms >= knee.floor_ms + BENT_MS - 0.11
    for point in levels:
        if knee.calls is None or point.calls > knee.calls:
            assert point.p95_ms is not None
            assert point.p95_ms > knee.limit_ms - 0.06
        if point.calls == knee.calls:
            assert point.p95_ms is not None
            assert point.p95_ms <= knee.limit_ms + 0.06


# --- turns ----------------------------------------------------------------------------------------


def test_a_turn_is_split_by_stage_and_by_the_ear() -> None:
    heard = Exchange("hours", 500.0, None, False, 990.0)
    found = figures_of(call(), turn(**WHOLE), heard, word_ms=300)
    assert found is not None
    assert found.gap_ms == 500
    assert found.parts == {
        "search": 10, "hear": 170, "floor": 60, "write": 20, "phrase": 60, "voice": 100, "out": 20,
        EDGE: 50,
    }  # fmt: skip
    assert found.first_word_ms == 100
    assert found.words_ms == 40  # the partial that proved right; the final came later
    assert (found.search_ms, found.phrase_ms, found.voice_ms, found.out_ms) == (10, 280, 100, 20)
    assert found.edge_ms == 50
    assert found.at == T0 + timedelta(seconds=3)


def test_a_greeting_answers_nobody() -> None:
    assert figures_of(call(), turn(gap_ms=None, **WHOLE)) is None
    assert figures_of(call(), turn(first_frame=100)) is None


@given(st.dictionaries(st.sampled_from(sorted(WHOLE)), ms))
def test_the_stages_of_any_turn_add_up_to_its_last_mark(marks: dict[str, int]) -> None:
    found = figures_of(call(), turn(**marks))
    if "speech_end" not in marks:
        assert found is None
        return
    assert found is not None
    waits = (
        "final",
        "turn_given",
        "retrieval",
        "first_token",
        "first_phrase",
        "first_audio",
        "first_frame",
    )
    last = max((marks[name] for name in waits if name in marks), default=0)
    assert sum(found.parts.values()) == max(0, last - marks["speech_end"])
    for value in (
        found.first_word_ms,
        found.words_ms,
        found.phrase_ms,
        found.voice_ms,
        found.out_ms,
    ):
        assert value is None or value >= 0


@given(st.lists(st.floats(0, 60_000), max_size=12), st.lists(st.integers(0, 60_000), max_size=12))
def test_each_exchange_is_matched_once_and_near(starts: list[float], began: list[int]) -> None:
    exchanges = [Exchange(str(n), 1.0, None, False, at) for n, at in enumerate(starts)]
    turns = [turn(index=n, speech_start=at) for n, at in enumerate(began)]
    found = match(exchanges, turns)
    assert len({id(exchange) for exchange in found.values()}) == len(found)
    for index, exchange in found.items():
        assert abs(exchange.start_ms - began[index]) <= 600


# --- levels and groups ----------------------------------------------------------------------------


def figures(gap_ms: float, **more: object) -> Figures:
    base = figures_of(call(), turn(**WHOLE))
    assert base is not None
    return dataclasses.replace(base, gap_ms=gap_ms, **more)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 300)), max_size=20), ms)
def test_calls_at_once_are_counted_as_by_hand(lives: list[tuple[int, int]], at: int) -> None:
    calls = [call(start_s=begin, end_s=begin + long) for begin, long in lives]
    moment = T0 + timedelta(seconds=at / 10)
    by_hand = sum(c.started_at <= moment and (c.ended_at or moment) > moment for c in calls)
    assert at_once(calls, [moment]) == [by_hand]


def test_a_call_that_never_ended_lives_until_its_last_turn() -> None:
    lost = call(dataclasses.replace(turn(), at=T0 + timedelta(seconds=30)), end_s=None)
    moments = [T0 + timedelta(seconds=s) for s in (10, 30, 31)]
    assert at_once([lost], moments) == [1, 1, 0]
    assert at_once([call(end_s=None)], moments) == [1, 1, 1]


def test_bands_hold_every_turn_once() -> None:
    turns = [figures(400 + n) for n in range(60)]
    levels = bands(turns, list(range(1, 61)))
    assert sum(level.turns for level in levels) == 60
    assert [level.label for level in levels] == [
        "1",
        "2",
        "3-5",
        "6-10",
        "11-20",
        "21-35",
        "36-50",
        "51-75",
    ]
    assert all(level.calls in BANDS for level in levels)
    assert [point.calls for point in points(levels)] == [level.calls for level in levels]


def test_groups_and_the_slowest() -> None:
    turns = [figures(400, language="hi"), figures(900, language="en"), figures(500, language="en")]
    assert [(g.name, g.turns) for g in groups(turns, lambda t: t.language)] == [
        ("en", 2),
        ("hi", 1),
    ]
    assert [g.name for g in groups(turns, lambda t: t.language, ("ta", "hi", "en"))] == ["hi", "en"]
    worst = slowest(turns, {("c1", 1): 7})
    assert [slow.gap_ms for slow in worst] == [900, 500, 400]
    assert (worst[0].calls, worst[0].slowest) == (7, "hear 170 ms")


# --- budgets --------------------------------------------------------------------------------------


def test_budgets_are_held_by_their_p95() -> None:
    slow: Sequence[Figures] = [figures(700)] * 19 + [figures(2000)]
    kept = {each.name: each for each in hold(slow)}
    assert kept["whole gap"].verdict is Verdict.KEPT  # the p95 is between 700 and 2000: 765
    assert kept["spoken word in the partials"].verdict is Verdict.UNKNOWN
    assert kept["words known after speech ends"].verdict is Verdict.KEPT
    assert hold([figures(801)] * 3)[-1].verdict is Verdict.MISSED
    at_the_ear = hold([figures(700)], spread([900]))[-1]
    assert (at_the_ear.measured and at_the_ear.measured.p95, at_the_ear.verdict) == (
        900,
        Verdict.MISSED,
    )


# --- the machine ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (["/x/bin/python", "-m", "appliance", "worker"], "worker"),
        (["/x/bin/python", "-m", "appliance", "--settings", "a.toml", "stt", "--port", "1"], "stt"),
        (["/x/bin/python", "/x/bin/ivr", "up"], "supervisor"),
        (["python", "-m", "appliance", "emulate", "--script", "x"], "engines (emulated)"),
        (["/usr/lib/postgresql/bin/postgres", "-D", "/x"], "postgres"),
        (["postgres: ivr ivr 127.0.0.1(5) idle"], "postgres"),
        (["/usr/local/bin/freeswitch", "-nf"], "freeswitch"),
        (["/x/bin/python", "/x/bin/vllm", "serve", "m"], "llm"),
        (["vim", "worker"], None),
        (["python", "-m", "appliance", "calls"], None),
        ([""], None),
        ([], None),
    ],
)
def test_processes_are_known_by_their_command(command: list[str], kind: str | None) -> None:
    assert kind_of(command) == kind
    assert kind != CALLERS


def test_gpus_are_read_as_nvidia_smi_writes_them() -> None:
    assert parse_gpus("0, 37, 1000\n1, [N/A], 5\nrubbish\n") == {"GPU 0": (0.37, 1048.6)}


# --- sizing ---------------------------------------------------------------------------------------


def test_what_turns_cost_is_counted_as_the_plan_does() -> None:
    said = turn(**WHOLE, last_token=4050, last_audio=5320, speculations_dropped=2)
    greeting = dataclasses.replace(turn(gap_ms=None), index=0, asked=False, source="greeting")
    found = costs([call(greeting, said)])
    assert (found.turns, found.asked, found.by_llm, found.dropped) == (2, 1, 1, 2)
    assert (found.speech_s.mean, found.search_s.mean) == (2.0, 0.01)
    assert (found.llm_s.mean, found.tts_s.mean, found.tts_s.count) == (1.0, 2.0, 1)
    held = holding([call(greeting, said), call(end_s=30), call(end_s=None)])
    assert (held.calls, held.mean_s, held.turns, held.seconds) == (2, 45.0, 2, 90.0)
