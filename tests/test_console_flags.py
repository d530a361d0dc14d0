"""The review queue in the console: within a tenant, by role, decided once, mended and asked again."""

from __future__ import annotations

import io
import wave
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from knowledge_servers import EmbedProcess
from review_kit import helpline, log_call, settings_of
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.actor import ForbiddenError, NotFoundError
from appliance.admin.console import Console
from appliance.admin.services import common_answers, flag_fixes, flags
from appliance.errors import UserError
from appliance.events import Agent, Flag
from appliance.safety.rules import SiteRule
from appliance.store.cached_answers import CachedAnswer, keep_answer, wording_of
from appliance.store.flags import DecidedMeanwhileError, Wanted, add_flags
from appliance.store.rules_of_site import add_rule, list_rules
from tests.console_kit import console_on
from tests.review_console_kit import (
    ACME,
    ADMIN,
    OPERATOR,
    OTHER_ADMIN,
    OTHER_REVIEWER,
    REVIEWER,
    VIEWER,
    ZEN,
    add_tenants,
    agent_in,
    api_as,
    audited,
    give,
    give_base,
)

NOW = datetime.now(UTC)
FEE = "what is the late fee"
RIGHT = "The late fee is ninety rupees from the eleventh on."
FLAG = Flag(
    "ab" * 32, NOW, "call-1", 2, "asha", 1, "helpline", 1, "guard", "agent", "grounding.fact",
    "grounding", "medium", "flagged", "two hundred", FEE, "It is two hundred rupees.",
)  # fmt: skip
AGENT = Agent("asha", 1, "Asha")


@pytest.fixture
async def console(engine: AsyncEngine, database_url: str, tmp_path: Path) -> AsyncIterator[Console]:
    await add_tenants(engine)
    await agent_in(engine, ACME, "asha", knowledge="helpline")
    await agent_in(engine, ZEN, "zoe")
    settings = settings_of(tmp_path, database_url, "http://127.0.0.1:1")
    async with console_on(engine, settings) as made:
        yield made


async def stored(engine: AsyncEngine, *found: Flag) -> None:
    async with engine.begin() as connection:
        await add_flags(connection, found)


async def test_a_queue_holds_the_flags_of_ones_own_agents_alone(
    engine: AsyncEngine, console: Console
) -> None:
    theirs = replace(FLAG, id="cd" * 32, agent_id="zoe", phrase="secret")
    nobodys = replace(FLAG, id="ef" * 32, agent_id="gone")
    await stored(engine, FLAG, theirs, nobodys)
    mine = await flags.queue(console, VIEWER, Wanted())
    assert ([one.flag.id for one in mine.flags], mine.total) == ([FLAG.id], 1)
    # a tenant in the filter is not the asker's to choose
    tried = await flags.queue(console, VIEWER, Wanted(tenant=ZEN, agent_id="zoe"))
    assert tried.flags == ()
    assert (await flags.queue(console, OPERATOR, Wanted())).total == 3
    assert [one.agent_id for one in await flags.counts(console, VIEWER, Wanted())] == ["asha"]
    assert (await flags.filters(console, VIEWER))["agents"] == ["asha"]
    for ask in (
        lambda: flags.show(console, REVIEWER, theirs.id),
        lambda: flags.decide(console, REVIEWER, theirs.id, "dismissed"),
        lambda: flag_fixes.retest(console, REVIEWER, theirs.id),
        lambda: flag_fixes.correct(console, REVIEWER, theirs.id, "ninety"),
        lambda: flag_fixes.change_rule(console, ADMIN, theirs.id),
        lambda: flag_fixes.excerpt(console, REVIEWER, theirs.id),
        lambda: flags.show(console, REVIEWER, FLAG.id[:8]),  # a whole id, no beginning of one
        lambda: flags.show(console, REVIEWER, ""),
        lambda: flags.show(console, REVIEWER, "%"),
        lambda: flags.show(console, REVIEWER, "\0"),
    ):
        with pytest.raises(NotFoundError):
            await ask()
    assert await audited(engine) == []


async def test_filters_and_pages(engine: AsyncEngine, console: Console) -> None:
    many = [
        replace(
            FLAG, id=f"{number:064x}", at=NOW - timedelta(days=number), severity=severity,
            category=category, rule=f"{category}.en", found_by="moderation",
        )
        for number, (severity, category) in enumerate(
            [("low", "words"), ("high", "abuse"), ("medium", "words"), ("high", "words")]
        )
    ]  # fmt: skip
    await stored(engine, *many)
    both = await flags.queue(console, VIEWER, Wanted(severity="high"))
    assert [one.flag.category for one in both.flags] == ["abuse", "words"]
    page = await flags.queue(console, VIEWER, Wanted(), limit=2, offset=1)
    assert (len(page.flags), page.total) == (2, 4)
    recent = Wanted(category="words", since=NOW - timedelta(days=2, hours=1), until=NOW)
    assert (await flags.queue(console, VIEWER, recent)).total == 1
    counted = await flags.counts(console, VIEWER, Wanted(since=NOW - timedelta(days=9)))
    assert sum(one.flags for one in counted) == 4
    async with api_as(console, VIEWER) as api:
        got = (await api.get("flags", params={"severity": "high", "rule": "abuse.en"})).json()
        assert [one["flag"]["rule"] for one in got["flags"]] == ["abuse.en"]
        for bad in ({"limit": 201}, {"state": "gone"}, {"offset": -1}, {"since": "soon"}):
            assert (await api.get("flags", params=bad)).status_code == 422
        # what Postgres cannot hold is the request's fault
        assert (await api.get("flags", params={"rule": "a\0b"})).status_code == 400


async def test_who_may_look_may_not_decide(engine: AsyncEngine, console: Console) -> None:
    await stored(engine, FLAG)
    for change in (
        lambda: flags.decide(console, VIEWER, FLAG.id, "confirmed"),
        lambda: flags.flag_turn(console, VIEWER, "call-1", 1),
        lambda: flag_fixes.retest(console, VIEWER, FLAG.id),
        lambda: flag_fixes.correct(console, VIEWER, FLAG.id, "ninety"),
        lambda: flag_fixes.change_rule(console, REVIEWER, FLAG.id),
        lambda: flag_fixes.excerpt(console, VIEWER, FLAG.id),
        lambda: common_answers.withdraw(console, VIEWER, "asha", "late fee"),
    ):
        with pytest.raises(ForbiddenError):
            await change()
    async with api_as(console, VIEWER) as api:
        answer = await api.post(f"flags/{FLAG.id}/decision", json={"state": "dismissed"})
    assert answer.status_code == 403
    assert "does not allow" in answer.json()["error"]["message"]


async def test_of_two_who_decide_the_second_is_told_who_was_first(
    engine: AsyncEngine, console: Console
) -> None:
    await stored(engine, FLAG)
    cached = CachedAnswer(wording_of(FEE), FEE, FLAG.answer, "extractive", ())
    await keep_answer(engine, AGENT, cached, 3, fit=True)
    first = await flags.decide(console, REVIEWER, FLAG.id, "confirmed", "it is ninety")
    assert (first.reviewed.state, first.withdrawn) == ("confirmed", 1)
    with pytest.raises(DecidedMeanwhileError, match=f"confirmed by {REVIEWER.name}") as told:
        await flags.decide(console, ADMIN, FLAG.id, "dismissed")
    assert told.value.now.note == "it is ninety"
    again = await flags.decide(console, ADMIN, FLAG.id, "open", seen="confirmed")
    assert again.reviewed.state == "open"
    # one line for each decision that stood, none for the one that was refused
    assert await audited(engine) == [
        (REVIEWER.name, "flag.confirm", FLAG.id, ACME),
        (ADMIN.name, "flag.reopen", FLAG.id, ACME),
    ]
    kept = await common_answers.answers(console, VIEWER, "asha")
    assert [one.withdrawn for one in kept] == [True]


async def test_an_answer_of_a_call_is_flagged_by_hand(
    engine: AsyncEngine, console: Console
) -> None:
    await log_call(engine, AGENT, [("hello", "Hi."), (FEE, "It is two hundred rupees.")])
    made = await flags.flag_turn(console, REVIEWER, "call-1", 2, "it is ninety", "high")
    assert (made.flag.found_by, made.flag.severity, made.note) == ("person", "high", "it is ninety")
    shown = await flags.show(console, VIEWER, made.flag.id)
    assert shown.view.earlier == (("hello", "Hi."),) and not shown.may_listen
    with pytest.raises(UserError, match="no answer"):
        await flags.flag_turn(console, REVIEWER, "call-1", 9)
    for call_id in ("call", "call-2", "", "\0"):  # the beginning of an id is none
        with pytest.raises(NotFoundError):
            await flags.flag_turn(console, REVIEWER, call_id, 2)
    with pytest.raises(NotFoundError):
        await flags.flag_turn(console, OTHER_REVIEWER, "call-1", 2)
    assert await audited(engine) == [(REVIEWER.name, "flag.add", "call-1", ACME)]


async def test_common_answers_are_withdrawn_within_a_tenant(
    engine: AsyncEngine, console: Console
) -> None:
    cached = CachedAnswer(wording_of(FEE), FEE, RIGHT, "extractive", ())
    await keep_answer(engine, AGENT, cached, 3, fit=True)
    assert await common_answers.answers(console, OTHER_REVIEWER) == []
    for ask in (
        lambda: common_answers.answers(console, OTHER_REVIEWER, "asha"),
        lambda: common_answers.withdraw(console, OTHER_REVIEWER, "asha", cached.wording),
        lambda: common_answers.withdraw(console, REVIEWER, "asha", "another"),
    ):
        with pytest.raises(NotFoundError):
            await ask()
    await common_answers.withdraw(console, REVIEWER, "asha", cached.wording)
    assert [one.withdrawn for one in await common_answers.answers(console, VIEWER)] == [True]
    assert await audited(engine) == [(REVIEWER.name, "answer.withdraw", "asha", ACME)]


def record(folder: Path, name: str, seconds: int) -> None:
    """Two sides at 8 kHz; the caller's samples count the seconds."""
    path = folder / name
    path.parent.mkdir(parents=True)
    left = np.repeat(np.arange(seconds, dtype=np.int16) * 100, 8000)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(np.stack([left, left], axis=1).tobytes())


async def test_the_place_is_heard_with_five_seconds_around_and_the_hearing_is_logged(
    engine: AsyncEngine, console: Console
) -> None:
    name = "2026/11/20/call-1.wav"
    record(console.settings.recordings_dir, name, 40)
    await log_call(engine, AGENT, [("hello", "Hi."), (FEE, "Two hundred.")], recording=name)
    placed = replace(FLAG, begin_ms=20_000, end_ms=22_000)
    await stored(engine, placed, replace(FLAG, id="cd" * 32))
    assert (await flags.show(console, REVIEWER, FLAG.id)).may_listen
    assert not (await flags.show(console, VIEWER, FLAG.id)).may_listen
    async with api_as(console, REVIEWER) as api:
        got = await api.get(f"flags/{FLAG.id}/excerpt")
        missing = await api.get(f"flags/{'cd' * 32}/excerpt")
    assert got.headers["content-type"] == "audio/wav"
    assert (got.headers["x-begin-ms"], got.headers["x-end-ms"]) == ("15000", "27000")
    with wave.open(io.BytesIO(got.content)) as heard:
        assert (heard.getnchannels(), heard.getnframes()) == (2, 12 * 8000)
        assert np.frombuffer(heard.readframes(1), np.int16)[0] == 1500
    assert missing.status_code == 400 and "not known where" in missing.json()["error"]["message"]
    rows = await audited(engine)
    assert [(row[0], row[2], row[3]) for row in rows] == [(REVIEWER.name, "call-1", ACME)]
    assert rows[0][1].endswith("listen")


async def test_a_rule_for_every_agent_is_changed_by_the_operator_alone(
    engine: AsyncEngine, console: Console
) -> None:
    async with engine.begin() as connection:
        everywhere = await connection.run_sync(
            lambda sync: add_rule(sync, SiteRule(0, "words", "two hundred"))
        )
        own = await connection.run_sync(
            lambda sync: add_rule(sync, SiteRule(0, "words", "hundred", agent_id="asha"))
        )
    of_all = replace(FLAG, rule=f"site.{everywhere}")
    of_asha = replace(FLAG, id="cd" * 32, rule=f"site.{own}")
    built_in = replace(FLAG, id="ef" * 32)
    await stored(engine, of_all, of_asha, built_in)
    assert not (await flags.show(console, ADMIN, of_all.id)).may_change_rule
    assert (await flags.show(console, ADMIN, of_asha.id)).may_change_rule
    assert not (await flags.show(console, REVIEWER, of_asha.id)).may_change_rule
    with pytest.raises(ForbiddenError, match="operator"):
        await flag_fixes.change_rule(console, ADMIN, of_all.id)
    with pytest.raises(UserError, match="built-in"):
        await flag_fixes.change_rule(console, ADMIN, built_in.id)
    with pytest.raises(NotFoundError):
        await flag_fixes.change_rule(console, OTHER_ADMIN, of_asha.id)
    async with engine.connect() as connection:
        assert all(kept.enabled for kept in await connection.run_sync(list_rules))


@pytest.mark.server
async def test_a_wrong_answer_is_corrected_asked_again_and_closed(
    engine: AsyncEngine, database_url: str, tmp_path: Path, embed_process: EmbedProcess
) -> None:
    await add_tenants(engine)
    agent = await helpline(engine, tmp_path, embed_process.url)
    await give(engine, "asha", ACME)
    settings = settings_of(tmp_path, database_url, embed_process.url)
    async with console_on(engine, settings) as console:
        answer = "The late fee is one hundred rupees if you pay after the tenth."
        await log_call(engine, agent, [("hello", "Hi."), (FEE, answer)])
        made = await flags.flag_turn(console, REVIEWER, "call-1", 2)
        with pytest.raises(UserError, match="does not exist"):  # the base is the main tenant's
            await flag_fixes.correct(console, REVIEWER, made.flag.id, RIGHT)
        await give_base(engine, "helpline", ACME)
        with pytest.raises(UserError, match="right answer"):
            await flag_fixes.correct(console, REVIEWER, made.flag.id, "  ")
        async with api_as(console, REVIEWER) as api:
            sent = await api.post(f"flags/{made.flag.id}/correction", json={"answer": RIGHT})
            assert sent.status_code == 200, sent.text
            both = sent.json()["retest"]
            closed = await api.post(
                f"flags/{made.flag.id}/decision", json={"state": "confirmed", "note": "mended"}
            )
            late = await api.post(f"flags/{made.flag.id}/decision", json={"state": "dismissed"})
        assert (both["before"]["answer"], both["after"]["answer"]) == (answer, RIGHT)
        assert both["after"]["passages"][0]["document"] == "corrections-en.md"
        assert closed.json()["reviewed"]["state"] == "confirmed"
        assert late.status_code == 400 and "since you looked" in late.json()["error"]["message"]
        again = await flag_fixes.retest(console, REVIEWER, made.flag.id)
        assert again.retest and again.retest.after.answer == RIGHT
        actions = [row[1] for row in await audited(engine)]
        assert actions == ["flag.add", "flag.correct", "flag.confirm", "flag.retest"]
