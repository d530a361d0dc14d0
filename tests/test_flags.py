"""The review queue, on a real database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError
from appliance.events import Flag, Passage
from appliance.safety.findings import Finding
from appliance.store.flags import (
    Answered,
    DecidedMeanwhileError,
    Retest,
    Wanted,
    add_flags,
    count_flags,
    decide,
    keep_retest,
    list_flags,
    read_flag,
)
from appliance.store.rows import upsert

NOW = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
FLAG = Flag(
    "ab01", NOW, "c1", 2, "asha", 1, "helpline", 3, "guard", "agent", "site.1", "words", "medium",
    "stopped", "you idiot", "why", "because, you idiot", 100, 900,
)  # fmt: skip
ANSWER = Answered(
    "Ninety.", "extractive", (Passage("1", "faq.md", "Fee", "Ninety.", 0.7, 4, True),),
    (Finding("grounding.fact", "grounding", "low", "flag", "ninety"),), 1, 3,
)  # fmt: skip


async def stored(engine: AsyncEngine, *flags: Flag) -> int:
    async with engine.begin() as connection:
        return await add_flags(connection, flags)


async def test_the_gravest_first_and_what_was_told_twice_once(engine: AsyncEngine) -> None:
    low = replace(FLAG, id="low", severity="low", at=NOW + timedelta(hours=2))
    high = replace(FLAG, id="high", severity="high", at=NOW - timedelta(days=2))
    older = replace(FLAG, id="older", at=NOW - timedelta(hours=1))
    assert await stored(engine, low, high, older, FLAG, FLAG) == 4
    assert await stored(engine, replace(FLAG, phrase="another", found_by="moderation")) == 0
    found = await list_flags(engine, Wanted())
    assert [one.flag.id for one in found] == ["high", "ab01", "older", "low"]
    assert found[1].flag == FLAG and (found[1].state, found[1].retest) == ("open", None)
    assert await list_flags(engine, Wanted(state="confirmed")) == []
    only = await list_flags(engine, Wanted(severity="medium", since=NOW))
    assert [one.flag.id for one in only] == ["ab01"]
    assert len(await list_flags(engine, Wanted(), limit=2, offset=3)) == 1


async def test_two_reviewers_at_once_one_decides_and_the_other_is_told(engine: AsyncEngine) -> None:
    await stored(engine, FLAG)
    both = await asyncio.gather(
        decide(engine, "ab01", "confirmed", "asha", "true"),
        decide(engine, "ab01", "dismissed", "ravi", "false"),
        return_exceptions=True,
    )
    (refused,) = [one for one in both if isinstance(one, DecidedMeanwhileError)]
    (won,) = [one for one in both if not isinstance(one, BaseException)]
    assert (await read_flag(engine, "ab")) == won == refused.now
    assert won.decided_at is not None and won.decided_by in str(refused)
    # the same by the same again is no error; going back needs to have seen the decision
    assert await decide(engine, "ab01", won.state, won.decided_by) == won
    with pytest.raises(DecidedMeanwhileError):
        await decide(engine, "ab01", "open", "zoe")
    opened = await decide(engine, "ab01", "open", "zoe", seen=won.state)
    assert (opened.state, opened.note) == ("open", won.note)


async def test_the_journal_tells_a_flag_again_and_the_decision_stands(engine: AsyncEngine) -> None:
    await stored(engine, FLAG)
    await decide(engine, "ab01", "dismissed", "ravi")
    async with engine.begin() as connection:
        await upsert(connection, [replace(FLAG, end_ms=950)])
    now = await read_flag(engine, "ab01")
    assert (now.state, now.decided_by, now.flag.end_ms) == ("dismissed", "ravi", 950)


async def test_a_retest_is_kept_with_all_it_depended_on(engine: AsyncEngine) -> None:
    await stored(engine, FLAG)
    retest = Retest(NOW, "asha", "corrected", ANSWER, replace(ANSWER, knowledge_version=4))
    assert (await keep_retest(engine, "ab01", retest)).retest == retest
    assert (await read_flag(engine, "ab01")).retest == retest
    with pytest.raises(UserError, match="no flag"):
        await keep_retest(engine, "gone", retest)


async def test_an_unknown_or_ambiguous_id_is_told(engine: AsyncEngine) -> None:
    await stored(engine, FLAG, replace(FLAG, id="ab02"), replace(FLAG, id="ab"))
    with pytest.raises(UserError, match="no flag"):
        await read_flag(engine, "zz")
    with pytest.raises(UserError, match="no flag"):
        await read_flag(engine, "")
    with pytest.raises(UserError, match="ab01, ab02"):
        await read_flag(engine, "ab0")
    assert (await read_flag(engine, "ab")).flag.id == "ab"
    with pytest.raises(UserError, match="no flag"):
        await decide(engine, "zz", "confirmed", "x")
    with pytest.raises(UserError, match="letters"):
        await decide(engine, "ab", "confirmed", "x", "n" * 2001)


async def test_counts_by_day_of_the_site_s_own_timezone(engine: AsyncEngine) -> None:
    await stored(engine, FLAG, replace(FLAG, id="b", at=NOW - timedelta(hours=3)))
    counts = await count_flags(engine, Wanted(), "Asia/Kolkata")  # 20:00 UTC is the next day there
    assert [(f"{c.day:%d}", c.rule, c.flags) for c in counts] == [
        ("21", "site.1", 1),
        ("20", "site.1", 1),
    ]
    await decide(engine, "b", "confirmed", "x")
    counts = await count_flags(engine, Wanted(agent_id="asha"))
    assert sorted((f"{c.day:%d}", c.state, c.flags) for c in counts) == [
        ("20", "confirmed", 1), ("20", "open", 1),
    ]  # fmt: skip
    assert await count_flags(engine, Wanted(agent_id="ravi")) == []
