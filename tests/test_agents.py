"""Agents by number, from Postgres, and from memory when it is away."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError
from appliance.events import Agent
from appliance.ops.postgres.server import EmbeddedPostgres
from appliance.settings import Settings, Worker
from appliance.store.agents import (
    agent_fields,
    load_agent,
    load_agents,
    load_assignment,
    parse_agent,
    publish_agent,
    set_number,
)
from appliance.store.database import open_engine
from appliance.store.directory import FILE, LOOKUP_LIMIT_S, Directory, NoAgentError
from tests.conftest import free_port
from tests.pace_kit import at_once

HELP = Agent(id="help", version=0, name="Help desk", keypad={"1": "billing"}, knowledge="sunrise")
SALES = Agent(id="sales", version=0, name="Sales", language="hi")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Patient ones: what is asked of Postgres here is not how quick it is."""
    return Settings(data_dir=tmp_path, worker=Worker(agent_timeout_ms=10_000))


@pytest.fixture
def hasty(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, worker=Worker(agent_timeout_ms=300))


@asynccontextmanager
async def opened(engine: AsyncEngine, settings: Settings) -> AsyncIterator[Directory]:
    """A directory that is closed however the test ends: a look-up left behind would leave its
    connection to the next one."""
    directory = Directory(engine, settings)
    try:
        yield directory
    finally:
        await directory.close()


@pytest.fixture
def stopped(postgres: EmbeddedPostgres, database_url: str) -> Iterator[list[int]]:
    """Server processes that the test stopped with SIGSTOP go on at its end."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def stop_backends(url: str) -> list[int]:
    """Make every open connection to ``url`` hang, as in a server that stands still; the pids."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()"
        ).fetchall()
    pids = [row[0] for row in rows]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return pids


async def who_answers(engine: AsyncEngine, did: str) -> Agent | None:
    found = await load_assignment(engine, did)
    return found and found.agent


def test_fields_and_back() -> None:
    agent = dataclasses.replace(HELP, version=3, silence_prompts=("Hello?", "Still there?"))
    assert parse_agent(json.loads(json.dumps(agent_fields(agent)))) == agent


@pytest.mark.parametrize(
    ("pronunciations", "why"),
    [
        ({f"word{n}": "x" for n in range(501)}, "501 entries; 500 at most"),
        ({"Jio": " "}, "half empty: 'Jio'"),
        ({"": "x"}, "half empty"),
        ({"x" * 61: "x"}, "too long"),
        ({"x": "y" * 201}, "too long"),
    ],
)
def test_a_dictionary_is_bounded(pronunciations: dict[str, str], why: str) -> None:
    with pytest.raises(UserError, match=f"field pronunciations .*{why}"):
        parse_agent(agent_fields(HELP) | {"version": 1, "pronunciations": pronunciations})


@pytest.mark.parametrize(
    ("slots", "why"),
    [
        ({str(n): "x" for n in range(17)}, "17 entries"),
        ({"name": " "}, "half empty"),
        ({"": "the name"}, "half empty"),
        ({"n" * 41: "x"}, "too long"),
        ({"name": "x" * 201}, "too long"),
    ],
)
def test_slots_are_bounded(slots: dict[str, str], why: str) -> None:
    with pytest.raises(UserError, match=f"field slots .*{why}"):
        parse_agent(agent_fields(HELP) | {"version": 1, "slots": slots})


def test_nobody_goes_on_with_a_call_of_last_week() -> None:
    fields = agent_fields(HELP) | {"version": 1}
    assert parse_agent(fields | {"continue_minutes": 1440}).continue_minutes == 1440
    with pytest.raises(UserError, match="continue_minutes = 1441"):
        parse_agent(fields | {"continue_minutes": 1441})


def test_unknown_fields_are_logged_and_ignored(caplog: pytest.LogCaptureFixture) -> None:
    fields = agent_fields(HELP) | {"version": 1, "colour": "blue"}
    assert parse_agent(fields).id == "help"
    assert "colour" in caplog.text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("silence_ms", "8000"),
        ("silence_ms", 0),
        ("hold_after_ms", -1),
        ("barge_in", 1),
        ("farewells", "bye"),
        ("keypad", {"1": 2}),
        ("prompt", None),
        ("id", "two words"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: object) -> None:
    with pytest.raises(UserError, match=f"Agent .*{field if field != 'id' else 'its id'}"):
        parse_agent(agent_fields(HELP) | {"version": 1, field: value})


@pytest.mark.server
async def test_versions_numbers_and_knowledge(engine: AsyncEngine, database_url: str) -> None:
    assert await who_answers(engine, "1001") is None
    first = await publish_agent(engine, HELP)
    assert (first.version, first.knowledge_version) == (1, 0)
    assert await publish_agent(engine, HELP) == first
    second = await publish_agent(engine, dataclasses.replace(HELP, greeting="Hello.", name="Desk"))
    assert second.version == 2
    await publish_agent(engine, SALES)
    await set_number(engine, "*", "help")
    await set_number(engine, "1001", "sales")
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO knowledge_bases (name, version) VALUES ('sunrise', 7)")
    exact, other = await who_answers(engine, "1001"), await who_answers(engine, "2002")
    assert exact is not None and (exact.id, exact.language) == ("sales", "hi")
    assert other == dataclasses.replace(second, knowledge_version=7)
    assert other.context == "help.2.7" and other.name == "Desk"
    await set_number(engine, "1001", "help")
    assert await who_answers(engine, "1001") == other
    with pytest.raises(UserError, match="no agent nobody"):
        await set_number(engine, "1", "nobody")


@pytest.mark.server
async def test_two_publishers_make_two_versions(engine: AsyncEngine) -> None:
    made = await asyncio.gather(
        *(publish_agent(engine, dataclasses.replace(HELP, greeting=f"Hi {i}")) for i in range(4))
    )
    assert sorted(agent.version for agent in made) == [1, 2, 3, 4]


@pytest.mark.server
async def test_a_change_is_answered_by_the_next_call(
    engine: AsyncEngine, settings: Settings
) -> None:
    async with opened(engine, settings) as directory:
        with pytest.raises(NoAgentError, match="1001"):
            await directory.agent_for("1001")
        await publish_agent(engine, HELP)
        await set_number(engine, "*", "help")
        assert (await directory.agent_for("1001")).version == 1
        await publish_agent(engine, dataclasses.replace(HELP, greeting="New."))
        assert (await directory.agent_for("1001")).greeting == "New."


@pytest.mark.server
async def test_a_new_process_answers_with_postgres_away(
    engine: AsyncEngine, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    await publish_agent(engine, HELP)
    await publish_agent(engine, SALES)
    await set_number(engine, "*", "help")
    await set_number(engine, "1001", "sales")
    async with opened(engine, settings) as before:
        assert {agent.id for agent in await before.all_agents()} == {"help", "sales"}
    assert (settings.data_dir / FILE).stat().st_mode & 0o777 == 0o600

    nowhere = open_engine(f"postgresql://ivr:x@127.0.0.1:{free_port()}/ivr")
    async with opened(nowhere, settings) as after:
        assert {agent.id for agent in await after.all_agents()} == {"help", "sales"}
        assert (await after.agent_for("1001")).id == "sales"
        assert (await after.agent_for("999")).id == "help"
        assert "answering 999 with the last known agent help version 1" in caplog.text
    await nowhere.dispose()


@pytest.mark.server
async def test_an_agent_is_found_by_its_id_in_the_version_a_call_began_with(
    engine: AsyncEngine, settings: Settings
) -> None:
    first = await publish_agent(engine, HELP)
    second = await publish_agent(engine, dataclasses.replace(HELP, greeting="New."))
    sales = await publish_agent(engine, SALES)
    assert await load_agent(engine, "help", 1) == first
    assert await load_agent(engine, "help") == await load_agent(engine, "help", 9) == second
    assert await load_agent(engine, "nobody") is None
    assert await load_agents(engine) == [second, sales]
    async with opened(engine, settings) as directory:
        assert await directory.agent_by_id("help", 1) == first
        assert await directory.agent_by_id("help") == second
        with pytest.raises(NoAgentError, match="there is no agent nobody"):
            await directory.agent_by_id("nobody")


@pytest.mark.server
async def test_an_agent_without_a_number_is_known_with_postgres_away(
    engine: AsyncEngine, settings: Settings
) -> None:
    await publish_agent(engine, SALES)
    async with opened(engine, settings) as before:
        assert [agent.id for agent in await before.all_agents()] == ["sales"]  # to be warmed too
    nowhere = open_engine(f"postgresql://ivr:x@127.0.0.1:{free_port()}/ivr")
    async with opened(nowhere, settings) as after:
        assert (await after.agent_by_id("sales", 7)).version == 1
        with pytest.raises(NoAgentError, match="known here"):
            await after.agent_by_id("help")
        with pytest.raises(NoAgentError, match="no agent answers agentsales"):
            await after.agent_for("agentsales")  # no number is an agent's key
    await nowhere.dispose()


@pytest.mark.server
async def test_nothing_known_and_nobody_there_is_a_typed_error(settings: Settings) -> None:
    engine = open_engine(f"postgresql://ivr:x@127.0.0.1:{free_port()}/ivr")
    async with opened(engine, settings) as directory:
        with pytest.raises(NoAgentError) as caught:
            await directory.agent_for("1001")
        assert caught.value.did == "1001"
    await engine.dispose()


@pytest.mark.server
async def test_a_hanging_server_costs_one_wait_and_is_used_again(
    engine: AsyncEngine,
    hasty: Settings,
    database_url: str,
    stopped: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await publish_agent(engine, HELP)
    await set_number(engine, "*", "help")
    async with opened(engine, hasty) as directory:
        await directory.agent_for("1001")
        stopped += stop_backends(database_url)

        started = time.monotonic()
        async with asyncio.timeout(LOOKUP_LIMIT_S / 2):  # for the server itself: longer
            assert (await directory.agent_for("1001")).version == 1
        assert 0.25 < time.monotonic() - started
        assert "did not answer within 300 ms" in caplog.text
        assert (await at_once(directory.agent_for("1001"))).version == 1
        assert caplog.text.count("did not answer within") == 1

        other = open_engine(database_url)
        await publish_agent(other, dataclasses.replace(HELP, greeting="Back."))
        await other.dispose()
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        async with asyncio.timeout(20):
            while (await directory.agent_for("1001")).greeting != "Back.":
                await asyncio.sleep(0.02)


@pytest.mark.server
async def test_a_caller_who_hangs_up_in_the_wait_leaves_nothing_behind(
    engine: AsyncEngine, hasty: Settings, database_url: str, stopped: list[int]
) -> None:
    await publish_agent(engine, HELP)
    await set_number(engine, "*", "help")
    async with opened(engine, hasty) as directory:
        await directory.agent_for("1001")
        stopped += stop_backends(database_url)
        waiting = asyncio.create_task(directory.agent_for("1001"))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert waiting.cancelled()
        assert (await at_once(directory.agent_for("1001"))).version == 1
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.server
async def test_a_broken_config_falls_back_to_the_last_good_version(
    engine: AsyncEngine, settings: Settings, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await publish_agent(engine, HELP)
    await set_number(engine, "*", "help")
    async with opened(engine, settings) as directory:
        await directory.agent_for("1")
        with psycopg.connect(database_url) as connection:
            connection.execute(
                "INSERT INTO agent_versions (agent_id, version, config)"
                """ VALUES ('help', 2, '{"silence_ms": "soon"}')"""
            )
        with caplog.at_level(logging.WARNING):
            assert (await directory.agent_for("1")).version == 1
        assert "silence_ms" in caplog.text


def test_a_broken_file_is_logged_and_ignored(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    (settings.data_dir / FILE).write_text("{not json")
    engine = open_engine("postgresql://ivr:x@127.0.0.1:1/ivr")
    Directory(engine, settings)
    assert "cannot be read" in caplog.text
