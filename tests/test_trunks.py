"""Trunks, telephones, queues and numbers in a real Postgres: the snapshot, and when it is old."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text

from appliance.errors import UserError
from appliance.events import Agent
from appliance.ops.keeping.ports import free_port
from appliance.settings import Settings, Worker
from appliance.store.agents import load_assignment, publish_agent, set_number
from appliance.store.database import open_engine, open_sync_engine
from appliance.store.directory import Directory, NoAgentError
from appliance.store.phonebook import Extension, Queue, Trunk
from appliance.store.trunks import (
    NumberEntry,
    list_numbers,
    list_trunks,
    load_telephony,
    remove_extension,
    remove_number,
    remove_queue,
    remove_trunk,
    save_extension,
    save_number,
    save_queue,
    save_trunk,
    set_trunk_enabled,
    telephony_version,
)
from tests.pace_kit import Late, on_time_sync

pytestmark = pytest.mark.server

HELP = Agent(id="help", version=0, name="Help desk", language_menu={"2": "hindi"})
HINDI = Agent(id="hindi", version=0, name="Hindi", language="hi")
TRUNK = Trunk(
    "a", "sip.a.example:5061", carrier="A", priority=5, transport="tls", register=True,
    username="u", password="p", addresses=("203.0.113.0/24",), codecs=("PCMA", "G722"),
)  # fmt: skip
DESK = Extension("1001", "0" * 32, "Desk")
QUEUE = Queue("support", ("1001", "+919876543210"), "order", 15, 60)


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    asyncio.run(_publish(database_url, HELP))
    asyncio.run(_publish(database_url, HINDI))
    engine = open_sync_engine(database_url)
    yield engine
    engine.dispose()


async def _publish(url: str, agent: Agent) -> None:
    engine = open_engine(url)
    await publish_agent(engine, agent)
    await engine.dispose()


def fill(engine: Engine) -> None:
    with engine.begin() as connection:
        save_trunk(connection, TRUNK)
        save_trunk(connection, Trunk("b", "10.0.0.1", priority=1))
        save_extension(connection, DESK)
        save_queue(connection, QUEUE)
        save_number(connection, NumberEntry("080 2222 3333", "help", closed_to="1001"), "IN")


def test_a_snapshot_has_everything(database: Engine) -> None:
    fill(database)
    with database.connect() as connection:
        book = load_telephony(connection)
        assert load_telephony(connection) == book  # and leaves no transaction behind
    assert [trunk.name for trunk in book.trunks] == ["b", "a"]
    assert book.trunk("a") == TRUNK and book.trunk("c") is None
    assert (book.extensions, book.queues) == ({"1001": DESK}, {"support": QUEUE})
    assert {agent.id: agent.version for agent in book.agents.values()} == {"help": 1, "hindi": 1}
    number = book.number("08022223333", "IN")
    assert number and (number.did, number.agent.name) == ("+918022223333", "Help desk")
    assert number.closed_to == "1001" and number.agent == book.agents["help"]


CHANGES: tuple[Callable[[Connection], object], ...] = (
    lambda c: save_trunk(c, replace(TRUNK, priority=6)),
    lambda c: set_trunk_enabled(c, "a", False),
    lambda c: remove_trunk(c, "b"),
    lambda c: save_extension(c, replace(DESK, a1_hash="1" * 32)),
    lambda c: remove_extension(c, "1001"),
    lambda c: save_queue(c, replace(QUEUE, ring_s=16)),
    lambda c: remove_queue(c, "support"),
    lambda c: save_number(c, NumberEntry("+918022223333", "hindi"), "IN"),
    lambda c: remove_number(c, "918022223333", "IN"),
    lambda c: c.execute(text("UPDATE agents SET name = 'New' WHERE id = 'help'")),
    lambda c: c.execute(text("INSERT INTO knowledge_bases (name) VALUES ('k')")),
    lambda c: c.execute(text("UPDATE knowledge_bases SET version = 1")),
    lambda c: c.execute(
        text("INSERT INTO agent_versions (agent_id, version, config) VALUES ('help', 2, '{}')")
    ),
    lambda c: c.execute(text("DELETE FROM agent_versions WHERE version = 2")),
)


def test_the_version_changes_with_each_change_and_with_nothing_else(database: Engine) -> None:
    fill(database)
    seen = []
    for change in CHANGES:
        with database.connect() as connection:
            seen.append(telephony_version(connection))
            assert telephony_version(connection) == seen[-1]
        with database.begin() as connection:
            assert change(connection) is not False
    with database.begin() as connection:
        seen.append(telephony_version(connection))
        connection.execute(text("INSERT INTO do_not_call (number) VALUES ('+919')"))
        assert telephony_version(connection) == seen[-1]
    assert all(old != new for old, new in pairwise(seen))


def test_a_swap_of_two_values_is_a_change(database: Engine) -> None:
    """What counts or sums rows' contents would not see it."""
    fill(database)
    with database.connect() as connection:
        before = telephony_version(connection)
    with database.begin() as connection:
        connection.execute(text("UPDATE trunks SET priority = 6 - priority"))
    with database.connect() as connection:
        assert telephony_version(connection) != before


def test_a_row_that_breaks_a_rule_is_left_out_and_told(
    database: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    fill(database)
    with database.begin() as connection:
        for statement in (
            "UPDATE trunks SET name = '../etc' WHERE name = 'b'",
            "INSERT INTO queues (name, members) VALUES ('q', '{}')",
            "INSERT INTO agents (id, name) VALUES ('new', 'New')",
            "INSERT INTO numbers (did, agent_id) VALUES ('1', 'new')",
        ):
            connection.execute(text(statement))
    with caplog.at_level(logging.WARNING), database.connect() as connection:
        book = load_telephony(connection)
    assert ([t.name for t in book.trunks], list(book.queues)) == (["a"], ["support"])
    assert list(book.numbers) == ["+918022223333"]
    for words in ("'../etc'", "'q'", "agent new is not published"):
        assert words in caplog.text


def test_a_password_is_in_no_message(database: Engine, caplog: pytest.LogCaptureFixture) -> None:
    wrong = replace(TRUNK, password="geheim", codecs=("LPC10",))
    with database.begin() as connection, pytest.raises(UserError) as refused:
        save_trunk(connection, wrong)
    assert "geheim" not in str(refused.value) + caplog.text + repr(wrong)
    assert "0" * 32 not in repr(DESK)


def test_removing_says_whether_there_was_anything(database: Engine) -> None:
    fill(database)
    with database.begin() as connection:
        assert remove_trunk(connection, "a") and not remove_trunk(connection, "a")
        assert not set_trunk_enabled(connection, "a", True)
        assert remove_extension(connection, "1001") and not remove_extension(connection, "1001")
        assert remove_queue(connection, "support") and not remove_queue(connection, "support")
        assert remove_number(connection, "8022223333", "IN")
        assert not remove_number(connection, "8022223333", "IN")
        assert [trunk.name for trunk in list_trunks(connection)] == ["b"]


def test_a_number_is_stored_once_in_its_normal_form(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(
            text("INSERT INTO numbers (did, agent_id) VALUES ('08022223333','help')")
        )
        stored = save_number(connection, NumberEntry("080-2222 3333", "hindi", "09:00-10:00"), "IN")
        assert stored.did == "+918022223333"
        save_number(connection, NumberEntry("*", "help"), "IN")
        save_number(connection, NumberEntry("1909", "help"), "IN")
        assert [n.did for n in list_numbers(connection)] == ["*", "+918022223333", "1909"]
        with pytest.raises(UserError, match="no agent nobody"):
            save_number(connection, NumberEntry("1", "nobody"), "IN")
        assert len(list_numbers(connection)) == 3  # the connection goes on


async def test_ivr_sip_finds_a_number_in_every_form(database: Engine, database_url: str) -> None:
    engine = open_engine(database_url)
    await set_number(engine, "080 2222 3333", "help")
    await set_number(engine, "*", "hindi")
    for did in ("+918022223333", "08022223333", "918022223333", "8022223333", "080-2222 3333"):
        found = await load_assignment(engine, did)
        assert found and (found.did, found.agent.id) == ("+918022223333", "help")
    other = await load_assignment(engine, "8022223334")
    assert other and other.agent.id == "hindi"
    with database.begin() as connection:  # a row of its own form goes before the normal one
        connection.execute(
            text("INSERT INTO numbers (did, agent_id) VALUES ('8022223333','hindi')")
        )
    found = await load_assignment(engine, "8022223333")
    assert found and found.did == "8022223333"
    await engine.dispose()


async def test_the_last_known_agent_answers_a_number_in_every_form(
    database: Engine, database_url: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, worker=Worker(agent_timeout_ms=2000))
    engine = open_engine(database_url)
    await set_number(engine, "+918022223333", "help")
    directory = Directory(engine, settings)
    assert (await directory.agent_for("08022223333")).id == "help"
    await directory.close()
    await engine.dispose()
    away = open_engine(f"postgresql://ivr@127.0.0.1:{free_port()}/ivr")
    directory = Directory(away, settings)
    for did in ("8022223333", "+918022223333", "918022223333"):
        assert (await directory.agent_for(did)).id == "help"
    with pytest.raises(NoAgentError):
        await directory.agent_for("8022223334")
    await directory.close()
    await away.dispose()


def test_the_version_is_cheap(database: Engine, tmp_path: Path) -> None:
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO numbers (did, agent_id) SELECT '+91'||(8000000000+n), 'help'"
                " FROM generate_series(1, 10000) n"
            )
        )

        def late() -> Late:
            row = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
            telephony_version(connection)
            took = connection.execute(text("SELECT clock_timestamp()")).scalar_one() - row
            return {"version": took.total_seconds() * 1000}

        on_time_sync(late, late_ms=500)
