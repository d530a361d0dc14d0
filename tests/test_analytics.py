"""Figures of a call center, against journals counted by hand and properties that always hold."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Integer, cast, null, select
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.actor import Actor, ForbiddenError
from appliance.access.roles import PERMISSIONS, Permission, Role
from appliance.admin.console import Console
from appliance.admin.periods import MOST_DAYS, Period, read_period
from appliance.admin.services import analytics as service
from appliance.admin.services import forecast
from appliance.admin.services.analytics import Asked
from appliance.errors import UserError
from appliance.events import Agent, CallRecord, Stages, Turn
from appliance.settings import Database, Settings
from appliance.store.analytics import Scope
from appliance.store.endings import ending
from appliance.store.gaps import LoadBin, read_load
from appliance.store.histogram import BIN_MS, Histogram
from appliance.store.models import CallRow
from appliance.store.outcomes import outcome_of
from appliance.store.terms import Ending, Volume, ending_of
from tests.calls_kit import OTHER, a_call, a_flag, a_turn, put, two_tenants
from tests.console_kit import console_on

OPERATOR = Actor("olga", Role.OPERATOR, None, PERMISSIONS[Role.OPERATOR])
VIEWER = Actor("vera", Role.VIEWER, "main", PERMISSIONS[Role.VIEWER])
STRANGER = Actor("theo", Role.ADMIN, OTHER, PERMISSIONS[Role.ADMIN])
ZONE = "Asia/Kolkata"
NOON = datetime(2026, 3, 4, 12, 0, tzinfo=ZoneInfo(ZONE))
DAY = Asked("custom", "2026-03-04", "2026-03-04")
WEEK = Asked("custom", "2026-03-02", "2026-03-08")


@pytest.fixture
async def console(engine: AsyncEngine, database_url: str, tmp_path: Path) -> AsyncIterator[Console]:
    await two_tenants(engine)
    settings = Settings(data_dir=tmp_path, database=Database(url=database_url))
    async with console_on(engine, settings) as made:
        yield made


def call(call_id: str, minutes: float = 0, seconds: float = 120, **fields: object) -> CallRecord:
    """A call that began ``minutes`` after noon; its caller is its own."""
    began = (NOON + timedelta(minutes=minutes)).astimezone(UTC)
    own = {"caller": f"+9198{abs(hash(call_id)) % 10**8:08d}"}
    made = a_call(call_id, started_at=began, ended_at=began + timedelta(seconds=seconds))
    return replace(made, **(own | fields))  # type: ignore[arg-type]


def keyed(of: CallRecord, index: int) -> Turn:
    """A turn that a key began, answered."""
    return a_turn(of, index, None, stages=Stages(speculation=100, first_frame=400))


JOURNAL = {
    "contained": call("contained", 0, 100),
    "goodbye": call("goodbye", 10, 200, ended_by="agent", language="hi"),
    "keyed": call("keyed", 20, 60),
    "person": call("person", 30, 300, cause="ATTENDED_TRANSFER", ended_by="agent",
                   transferred_to="queue:a", transfer_reason="asked"),
    "taken": call("taken", 40, 40, cause="ATTENDED_TRANSFER", ended_by="agent",
                  transferred_to="201"),
    "nobody": call("nobody", 50, 90, transferred_to="queue:a", transfer_reason="failures"),
    "silent": call("silent", 60, 10, turns=1),
    "unheard": call("unheard", 70, 20, turns=2),
    "broken": call("broken", 80, 30, cause="NORMAL_TEMPORARY_FAILURE", ended_by="system"),
    "machine": call("machine", 90, 15, direction="out", answered_by="machine:beep",
                    ended_by="agent"),
    "live": call("live", 95, ended_at=None, cause="", ended_by=""),
    "test": call("test", 100, direction="test"),
    "rehearsed": call("rehearsed", 110, caller="rehearsal-7-1-1"),
}  # fmt: skip
"""One of each kind; the last two are in no figure."""


async def journal(console: Console) -> None:
    made = JOURNAL
    turns = [
        a_turn(made["contained"], 1, 400), a_turn(made["contained"], 2, 800, barged_in=True),
        a_turn(made["goodbye"], 1, 600), keyed(made["keyed"], 1),
        a_turn(made["person"], 1, 1000), a_turn(made["nobody"], 1, 500, source="apology"),
        a_turn(made["unheard"], 1, None, heard=""), a_turn(made["broken"], 1, 200),
        a_turn(made["test"], 1, 9000), a_turn(made["rehearsed"], 1, 9000),
    ]  # fmt: skip
    # the caller spoke, and hung up before the reply was heard
    turns[6] = replace(turns[6], stages=replace(turns[6].stages, first_frame=None))
    await put(console.engine, *made.values(), *turns, a_flag(made["person"]))


async def test_a_journal_counted_by_hand(console: Console) -> None:
    await journal(console)
    found = await service.overview(console, OPERATOR, DAY)
    now, volume = found.now, found.now.volume
    counted = (volume.offered, volume.contained, volume.transferred, volume.missed)
    assert counted == (11, 3, 2, 1)
    assert (volume.abandoned, volume.failed, volume.machine) == (2, 1, 1)
    assert now.handled == 9
    assert now.containment == 3 / 9 and now.transfer_rate == 2 / 9 and now.abandonment == 2 / 9
    assert volume.handle_s == 100 + 200 + 60 + 300 + 40 + 90 + 10 + 20 + 30
    assert now.average_handling_s == pytest.approx(850 / 9)
    assert (volume.flagged, volume.barged_in) == (1, 1)
    assert [(t.reason, t.asked, t.taken) for t in found.transfers] == [
        ("asked", 1, 1), ("failures", 1, 0), ("supervisor", 1, 1),
    ]  # fmt: skip
    assert now.gaps.turns == 6 and now.gaps.p50_ms == 500 + BIN_MS / 2
    assert (found.unit, len(found.over_time)) == ("hour", 24)
    noon = next(one for one in found.over_time if one.at == datetime(2026, 3, 4, 12))
    assert (noon.inbound, noon.outbound) == (6, 0)
    assert sum(one.outbound for one in found.over_time) == 1
    assert {group.id: group.figures.volume.offered for group in found.languages} == {
        "en": 10, "hi": 1,
    }  # fmt: skip
    # 5 calls had no turn with a gap: taken, keyed, silent, unheard (and the live one is not over)
    drop = {step.turn: (step.reached, step.dropped) for step in found.drop_off}
    assert drop[0] == (9, 3) and drop[1] == (5, 1) and drop[2] == (1, 1)


async def test_filters_and_the_period_before(console: Console) -> None:
    await journal(console)
    earlier = [replace(call(f"e{n}"), started_at=NOON - timedelta(days=1)) for n in range(4)]
    await put(
        console.engine, *[replace(one, ended_at=NOON - timedelta(hours=23)) for one in earlier]
    )
    found = await service.overview(console, OPERATOR, replace(DAY, language="hi"))
    assert found.now.volume.offered == 1 and found.before.volume.offered == 0
    found = await service.overview(console, OPERATOR, DAY)
    assert found.before.volume.offered == 4
    found = await service.overview(console, OPERATOR, replace(DAY, agent="nobody"))
    assert found.now.volume == Volume() and found.now.containment is None


async def test_first_contact_by_callers_who_ring_again(console: Console) -> None:
    same, hidden = "+919811112222", "anonymous"
    await put(
        console.engine,
        call("a1", 0, caller=same), call("a2", 600, caller=same),  # 10 hours later
        call("a3", 600 + 25 * 60, caller=same),  # 25 hours after that
        call("h1", 5, caller=hidden), call("h2", 6, caller=hidden),
        call("o1", 7, caller="+919833334444", direction="out"),
        call("o2", 8, caller="+919833334444", direction="out"),
        call("t1", 601, caller="+919844445555", agent_id="theirs"),
        call("t2", 602, caller="+919844445555"),
    )  # fmt: skip
    found = await service.overview(console, OPERATOR, WEEK)
    assert (found.now.volume.known_callers, found.now.volume.repeated) == (5, 2)
    assert found.now.first_contact == 3 / 5
    # to a tenant, who rang another tenant's agent did not ring at all
    ours = (await service.overview(console, VIEWER, WEEK)).now.volume
    assert (ours.known_callers, ours.repeated) == (4, 1)


async def test_a_caller_of_today_may_still_ring_again(console: Console) -> None:
    now = datetime.now(UTC)
    fresh = call("fresh", started_at=now - timedelta(minutes=9), ended_at=now)
    await put(console.engine, replace(fresh, started_at=now - timedelta(minutes=9), ended_at=now))
    found = await service.overview(console, OPERATOR, Asked("7d"))
    assert (found.now.volume.offered, found.now.volume.known_callers) == (1, 0)
    assert found.now.first_contact is None


async def test_tenants_and_permissions(console: Console) -> None:
    await journal(console)
    await put(console.engine, call("x", 3, agent_id="theirs"), call("y", 3, agent_id="gone"))
    everything = (await service.overview(console, OPERATOR, DAY)).now.volume.offered
    ours = (await service.overview(console, VIEWER, DAY)).now.volume.offered
    theirs = await service.overview(console, STRANGER, DAY)
    assert (everything, ours, theirs.now.volume.offered) == (13, 11, 1)
    assert [group.id for group in theirs.agents] == ["theirs"]
    assert list(await service.agents(console, STRANGER)) == ["theirs"]
    sneaky = replace(DAY, agent="help")
    assert (await service.overview(console, STRANGER, sneaky)).now.volume.offered == 0
    nobody = Actor("n", Role.VIEWER, "main", frozenset())
    only = Actor("k", Role.VIEWER, "main", frozenset({Permission.ANALYTICS_READ}))
    for ask in (service.overview, service.against_load, service.stages, service.failures,
                service.unanswered):  # fmt: skip
        with pytest.raises(ForbiddenError):
            await ask(console, nobody, DAY)
    with pytest.raises(ForbiddenError):  # they are callers' words
        await service.unanswered(console, only, DAY)
    with pytest.raises(ForbiddenError):  # the whole box's
        await forecast.outlook(console, STRANGER)


async def test_sums_are_whatever_they_are_cut_by(console: Console) -> None:
    chance = random.Random(7)
    calls, turns = [], []
    for n in range(150):
        one = call(
            f"r{n}", chance.uniform(0, 4 * 24 * 60), chance.uniform(1, 900),
            agent_id=chance.choice(("help", "theirs")), language=chance.choice(("en", "hi", "ta")),
            direction=chance.choice(("in", "out", "test")),
            cause=chance.choice(("NORMAL_CLEARING", "BLIND_TRANSFER")),
            ended_by=chance.choice(("caller", "agent", "system")),
            transferred_to=chance.choice(("", "queue:a")), turns=chance.randint(0, 4),
            answered_by=chance.choice(("", "human:short", "machine:beep")),
        )  # fmt: skip
        calls.append(one)
        turns += [
            a_turn(one, i, chance.choice((None, 250, 700, 1900)), source="greeting")
            for i in range(chance.randint(0, 4))
        ]
    await put(console.engine, *calls, *turns)
    found = await service.overview(console, OPERATOR, WEEK)
    volume, empty = found.now.volume, Volume()
    for cut in (found.agents, found.languages, found.over_time):
        assert sum((part.figures.volume for part in cut), empty).offered == volume.offered
        assert sum(part.figures.volume.contained for part in cut) == volume.contained
        assert sum(part.figures.gaps.turns for part in cut) == found.now.gaps.turns
        total = math.fsum(part.figures.volume.handle_s for part in cut)
        assert total == pytest.approx(volume.handle_s)
    real = [one for one in calls if one.direction != "test"]
    assert volume.offered == len(real)
    assert found.now.handled + volume.machine == volume.offered  # all of them are over
    by_hand = [ending_of(outcome_of(one), _answered(one, turns)) for one in real]
    for kind in Ending:
        assert getattr(volume, kind.value) == by_hand.count(kind), kind
    assert found.drop_off[0].reached == found.now.handled
    assert all(first.reached >= second.reached for first, second in pairwise(found.drop_off))


def _answered(of: CallRecord, turns: list[Turn]) -> int:
    return sum(turn.call_id == of.call_id and turn.gap_ms is not None for turn in turns)


async def test_the_terms_in_python_and_in_sql_are_one(console: Console) -> None:
    chance = random.Random(3)
    calls, answered = [], {}
    for n in range(120):
        one = call(
            f"t{n}", n, ended_by=chance.choice(("", "caller", "agent", "system")),
            cause=chance.choice(("", "NORMAL_CLEARING", "ATTENDED_TRANSFER")),
            answered_by=chance.choice(("", "machine:beep")), turns=chance.randint(0, 3),
            transferred_to=chance.choice(("", "201")),
        )  # fmt: skip
        if chance.random() < 0.1:
            one = replace(one, ended_at=None)
        calls.append(one)
        kind = chance.choice((None, "spoken", "keyed"))
        answered[one.call_id] = int(kind is not None)
        if kind is not None:
            await put(console.engine, keyed(one, 1) if kind == "keyed" else a_turn(one, 1))
    await put(console.engine, *calls)
    nothing_counted = cast(null(), Integer)
    async with console.engine.connect() as connection:
        query = select(CallRow.call_id, ending(nothing_counted))
        found = {row[0]: row[1] for row in await connection.execute(query)}
    for one in calls:
        assert found[one.call_id] == ending_of(outcome_of(one), answered[one.call_id])


async def test_gaps_against_calls_at_once(console: Console) -> None:
    # a: 0-10 min, b: 2-8 min, c: 4-6 min; answered at 1, 5 and 7 min
    a, b, c = call("a", 0, 600), call("b", 2, 360), call("c", 4, 120)
    at = {1: (a, 300), 5: (b, 900), 7: (a, 500)}
    turns = [
        a_turn(of, minute, gap, at=(NOON + timedelta(minutes=minute)).astimezone(UTC))
        for minute, (of, gap) in at.items()
    ]
    await put(console.engine, a, b, c, *turns)
    found = await service.against_load(console, OPERATOR, DAY)
    half = BIN_MS / 2
    assert [(band.low, band.high, band.gaps.p50_ms) for band in found] == [
        (1, 1, 300 + half), (2, 2, 500 + half), (3, 3, 900 + half),
    ]  # fmt: skip
    scope = Scope(NOON - timedelta(hours=1), NOON + timedelta(hours=1), ZONE)
    async with console.engine.connect() as connection:
        sampled = await read_load(connection, scope, 10**9)  # of so many, hardly a call is in it
        assert sum(one.turns for one in sampled) < 3


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(0, 90), st.integers(1, 9)), max_size=40))
def test_bands_hold_every_turn_and_are_few(bins: list[tuple[int, int, int]]) -> None:
    found = service.bands([LoadBin(*one) for one in bins])
    assert len(found) <= service.MOST_BANDS
    assert sum(band.gaps.turns for band in found) == sum(turns for _, _, turns in bins)
    assert all(first.high < second.low for first, second in pairwise(found))


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=60), st.sampled_from((0.5, 0.95, 0.99)))
def test_percentiles_are_right_to_half_a_bin(gaps: list[int], share: float) -> None:
    histogram = Histogram((gap // BIN_MS, 1) for gap in gaps)
    found = histogram.quantile(share)
    exact = sorted(gaps)[math.ceil(share * len(gaps)) - 1]
    assert found is not None and abs(found - exact) <= BIN_MS / 2


async def test_stages_failures_and_questions_without_an_answer(console: Console) -> None:
    agent = Agent("help", 1, "Help")
    one, two = call("one"), call("two", 5)
    unknown = {"reply": f"{agent.unknown_answer} Anything else?", "source": "llm"}
    await put(
        console.engine, one, two, call("test", 9, direction="test"),
        a_turn(one, 1, 400, failure="stt: no server; the language model was late"),
        a_turn(one, 2, 400, said="Do you sell boats?", **unknown),
        a_turn(two, 1, 400, said="do you sell boats", failure="stt: refused", **unknown),
        a_turn(two, 2, 400, said="Where is my parcel?", **unknown),
        a_turn(call("test"), 1, 400, said="Do you sell boats?", **unknown),
    )  # fmt: skip
    failed = await service.failures(console, OPERATOR, DAY)
    assert [(f.kind, f.turns, f.calls) for f in failed] == [
        ("stt", 2, 2), ("the language model was late", 1, 1),
    ]  # fmt: skip
    asked = await service.unanswered(console, VIEWER, DAY)
    assert [(q.text.lower().strip("?"), q.calls) for q in asked] == [
        ("do you sell boats", 2), ("where is my parcel", 1),
    ]  # fmt: skip
    assert (asked[0].call_id, asked[0].turn, asked[0].agent_id) == ("two", 1, "help")
    assert await service.unanswered(console, STRANGER, DAY) == []
    shares = await service.stages(console, OPERATOR, DAY)
    assert shares.turns == 4 and sum(part.share for part in shares.stages) == pytest.approx(1)
    assert sum(part.mean_ms for part in shares.stages) == pytest.approx(400)
    assert service.shares([{"speech_end": "soon"}, {}]).turns == 0


async def test_an_empty_journal(console: Console) -> None:
    for name in ("today", "7d", "30d", "90d"):
        found = await service.overview(console, OPERATOR, Asked(name))
        assert found.now.volume == Volume() and found.now.gaps.p50_ms is None
        assert found.agents == () and found.drop_off == ()
    assert await service.against_load(console, OPERATOR, DAY) == ()
    assert (await service.stages(console, OPERATOR, DAY)).stages == ()
    assert await service.failures(console, OPERATOR, DAY) == []
    assert await service.unanswered(console, OPERATOR, DAY) == []
    looked = await forecast.outlook(console, OPERATOR)
    assert looked.past == () and looked.live == 0 and looked.score is None


async def test_forecast_beside_what_came(console: Console) -> None:
    now = datetime.now(UTC)
    began = [now - timedelta(hours=1 + n) for n in range(30)]
    await put(
        console.engine,
        *[call(f"f{n}", started_at=at, ended_at=at + timedelta(minutes=2))
          for n, at in enumerate(began)],
        call("t", started_at=began[3], ended_at=now, direction="test"),
    )  # fmt: skip
    looked = await forecast.outlook(console, OPERATOR, 12)
    assert len(looked.past) == 12 and sum(hour.calls or 0 for hour in looked.past) >= 11
    assert len(looked.coming) >= 24 and looked.max_calls == 200


# --- periods --------------------------------------------------------------------------------------

EVENING = datetime(2026, 3, 4, 18, 30, tzinfo=ZoneInfo(ZONE))


@pytest.mark.parametrize(
    ("name", "begins", "unit", "steps"),
    [("today", 4, "hour", 19), ("7d", 26, "day", 7), ("30d", 3, "day", 30), ("90d", 5, "day", 90)],
)
def test_periods(name: str, begins: int, unit: str, steps: int) -> None:
    period = read_period(name, ZONE, EVENING.astimezone(UTC))
    assert (period.since.day, period.since.hour, period.unit) == (begins, 0, unit)
    assert period.until == EVENING and len(list(period.steps())) == steps


@pytest.mark.parametrize(
    ("name", "first", "last", "unit", "says"),
    [
        ("year", "", "", "", "one of"),
        ("custom", "", "2026-03-01", "", "first day"),
        ("custom", "2026-03-01", "soon", "", "last day"),
        ("custom", "2026-03-02", "2026-03-01", "", "change them over"),
        ("custom", "2025-03-02", "2026-03-01", "", f"{MOST_DAYS} days"),
        ("custom", "0001-01-01", "0001-01-02", "", "none of any call"),
        ("90d", "", "", "hour", "14 days"),
        ("7d", "", "", "week", "hour or by day"),
    ],
)
def test_what_is_no_period(name: str, first: str, last: str, unit: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        read_period(name, ZONE, EVENING, first=first, last=last, unit=unit)


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)), st.sampled_from(("today", "30d")))
def test_the_period_before_lies_as_many_days_earlier(now: datetime, name: str) -> None:
    period: Period = read_period(name, ZONE, now.replace(tzinfo=UTC))
    scope = Scope(period.since, period.until, ZONE)
    before = scope.before()
    assert before.until <= scope.since + timedelta(days=1) and before.until < scope.until
    assert (scope.since - before.since) % timedelta(days=1) == timedelta()
    assert before.until - before.since == scope.until - scope.since
