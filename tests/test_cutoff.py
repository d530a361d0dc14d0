"""Which call a caller who rings again goes on with: by rule, and as a worker reads it from Postgres."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from test_journal import a_call, a_turn

from appliance.call import past as past_module
from appliance.call.past import Past, PastCalls
from appliance.events import Agent, CallRecord, Offer, Turn
from appliance.ops.keeping.ports import free_port
from appliance.store.cutoff import was_cut_off
from appliance.store.database import open_engine
from appliance.store.journal import Journal

NOW = datetime.now(UTC)
SINCE = NOW - timedelta(minutes=5)
AGENT = Agent("help", 3, "Help", continue_minutes=5)
CALLER = "+911234567890"


def cut(call_id: str = "c1", **changes: Any) -> CallRecord:
    """A call that its caller lost a minute ago."""
    minute = timedelta(minutes=1)
    whole = {"caller": CALLER, "started_at": NOW - 3 * minute, "ended_at": NOW - minute,
             "ended_by": "caller", "cause": "NORMAL_CLEARING"}  # fmt: skip
    return a_call(call_id, **{**whole, **changes})


def talk(*sources: str, call_id: str = "c1", said: str = "when are you open") -> list[Turn]:
    return [
        a_turn(
            call_id,
            index + 1,
            at=NOW,
            source=source,
            said=said if source in ("llm", "goodbye") else "",
        )
        for index, source in enumerate(sources)
    ]


TALK = ("greeting", "llm")


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found is tested here, not how long a busy machine takes to find it."""
    monkeypatch.setattr(past_module, "STORE_TIMEOUT_S", 5.0)
    monkeypatch.setattr(past_module, "READ_TIMEOUT_S", 5.0)
    # the suite may have run for minutes since this module was read
    monkeypatch.setitem(globals(), "NOW", datetime.now(UTC))


@pytest.mark.parametrize(
    ("changes", "sources", "goes_on"),
    [
        ({}, TALK, True),
        ({"ended_by": "system", "cause": "NETWORK_OUT_OF_ORDER"}, TALK, True),
        ({"ended_at": SINCE - timedelta(seconds=1)}, TALK, False),
        ({"transferred_to": "queue:help"}, TALK, False),
        ({}, ("greeting",), False),  # they said nothing
        ({}, (), False),
        ({}, (*TALK, "goodbye"), False),
        ({"ended_by": "agent"}, (*TALK, "goodbye"), False),
        ({"ended_by": "agent"}, TALK, False),
        ({"ended_at": None, "ended_by": ""}, TALK, False),  # it lives: they may be two people
        ({"ended_at": None, "ended_by": ""}, (*TALK, "prompt"), True),  # nobody is there any more
    ],
)
def test_what_was_cut_off(changes: dict[str, Any], sources: tuple[str, ...], goes_on: bool) -> None:
    assert was_cut_off(cut(**changes), talk(*sources), SINCE) == goes_on


def test_a_goodbye_into_silence_is_none() -> None:
    silent = talk(*TALK, "prompt", "goodbye")
    silent[-1] = dataclasses.replace(silent[-1], said="")
    assert was_cut_off(cut(ended_by="agent"), silent, SINCE)
    at_its_longest = [*silent[:2], silent[3]]
    assert not was_cut_off(cut(ended_by="agent"), at_its_longest, SINCE)


def offer(caller: str = CALLER, **changes: Any) -> Offer:
    plain = Offer("c2", "1001", caller, 8000, ("127.0.0.1", 9))
    return dataclasses.replace(plain, **changes)


@asynccontextmanager
async def reader(engine: AsyncEngine, folder: Path) -> AsyncIterator[tuple[PastCalls, Journal]]:
    async with Journal(engine, folder) as journal:
        past = PastCalls(engine, journal)
        yield past, journal
        await past.close()


def store(journal: Journal, call: CallRecord, turns: list[Turn]) -> None:
    for turn in turns:
        journal.turn(turn)
    journal.call(call)


@pytest.mark.server
async def test_rows_that_are_on_their_way_are_found_with_all_that_was_known(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    async with reader(engine, tmp_path) as (past, journal):
        known: dict[str, Any] = {
            "memory": "They want fibre.",
            "remembered": 1,
            "facts": {"name": "Asha"},
        }
        store(journal, cut(turns=3, **known), talk("greeting", "llm", "llm"))
        found = await past.cut_off(offer(), AGENT)
    assert (found.continues, found.memory, found.facts) == (
        "c1",
        "They want fibre.",
        {"name": "Asha"},
    )
    assert [t.index for t in found.earlier] == [2, 3] and found.call is None and not found.turns
    assert found.last_index == 0 and len(found.history().exchanges()) == 2


@pytest.mark.server
@pytest.mark.parametrize(
    ("who", "agent"),
    [
        (offer("+911234567891"), AGENT),
        (offer(""), AGENT),
        (offer("anonymous"), AGENT),
        (offer("0000000"), AGENT),
        (offer("+266696687"), AGENT),  # ANONYMOUS on the keys of a telephone
        (offer(direction="out"), AGENT),
        (offer(part=2), AGENT),
        (offer(), dataclasses.replace(AGENT, continue_minutes=0)),
        (offer(), dataclasses.replace(AGENT, id="other")),
    ],
)
async def test_nobody_else_goes_on_with_it(
    engine: AsyncEngine, tmp_path: Path, who: Offer, agent: Agent
) -> None:
    async with reader(engine, tmp_path) as (past, journal):
        store(
            journal, cut(caller=who.caller if not who.caller.strip("+0") else CALLER), talk(*TALK)
        )
        assert await past.cut_off(who, agent) == Past()


@pytest.mark.server
async def test_only_the_latest_call_goes_on_and_only_once(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    async with reader(engine, tmp_path) as (past, journal):
        store(journal, cut(), talk(*TALK))
        later = cut("c9", started_at=NOW - timedelta(minutes=2))
        store(journal, later, talk(*TALK, "goodbye", call_id="c9"))
        assert await past.cut_off(offer(), AGENT) == Past()
        await journal.flush()
    async with engine.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM calls WHERE call_id = 'c9'")
    async with reader(engine, tmp_path) as (past, journal):
        gone_on = cut("c8", continues="c1", agent_id="other", started_at=NOW)
        store(journal, gone_on, [])
        assert await past.cut_off(offer(), AGENT) == Past()


@pytest.mark.server
async def test_a_call_cut_off_twice_goes_on_with_both(engine: AsyncEngine, tmp_path: Path) -> None:
    async with reader(engine, tmp_path) as (past, journal):
        store(journal, cut(memory="First.", remembered=1, facts={"name": "Asha"}), talk(*TALK))
        again = cut("c2", continues="c1", started_at=NOW - timedelta(minutes=2),
                    memory="First.", facts={"order": "4711"})  # fmt: skip
        store(journal, again, talk("resume", "llm", call_id="c2"))
        found = await past.cut_off(offer(call_id="c3"), AGENT)
        part = await past.of(offer(call_id="c2", part=2, resumed="worker"))
    assert found.continues == "c2" and found.facts == {"name": "Asha", "order": "4711"}
    assert [(t.call_id, t.index) for t in found.earlier] == [("c1", 2), ("c2", 1), ("c2", 2)]
    assert part.continues == "c1" and len(part.turns) == 2
    assert [(t.call_id, t.index) for t in part.earlier] == [("c1", 2)]
    assert len(part.history().exchanges()) == 3 and part.history().memory == "First."


@pytest.mark.server
async def test_a_worker_that_died_with_the_call_left_its_rows(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    nowhere = open_engine(f"postgresql://ivr:x@127.0.0.1:{free_port()}/ivr")
    dead = Journal(nowhere, tmp_path)
    await dead.start()
    dead.call(cut(ended_at=None, ended_by="", cause=""))
    for turn in talk(*TALK):
        dead.turn(turn)
    await dead.close(0.2)
    await nowhere.dispose()
    async with reader(engine, tmp_path) as (past, _):
        found = await past.cut_off(offer(), AGENT)
    assert found.continues == "c1" and len(found.earlier) == 2


@pytest.mark.server
async def test_with_postgres_away_the_call_begins_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = open_engine(f"postgresql://ivr:x@127.0.0.1:{free_port()}/ivr")
    journal = Journal(nowhere, tmp_path)
    await journal.start()
    past = PastCalls(nowhere, journal)
    assert await past.cut_off(offer(), AGENT) == Past()
    assert "without what went before" in caplog.text
    await past.close()
    await journal.close(0.1)
    await nowhere.dispose()
