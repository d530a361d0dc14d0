"""Legs and the ends of calls, written twice and in any order, in a real Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from sqlalchemy import Connection, Engine, text

from appliance.store.database import open_sync_engine
from appliance.store.legs import (
    Leg,
    close_lost_legs,
    complete_call,
    legs_of,
    upsert_leg,
)

pytestmark = pytest.mark.server

START = datetime(2026, 1, 23, 6, 30, tzinfo=UTC)
NEW = Leg("leg-1", "call-1", "caller", START, trunk="a", caller="+919811111111", callee="1001")
ANSWERED = replace(NEW, answered_at=START + timedelta(seconds=2), codec="PCMA")
ENDED = replace(
    ANSWERED, ended_at=START + timedelta(seconds=60), cause="NORMAL_CLEARING", cause_code=16,
    ended_by="them",
)  # fmt: skip


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    engine = open_sync_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def connection(database: Engine) -> Iterator[Connection]:
    with database.begin() as connection:
        yield connection


def test_in_whatever_order_a_leg_is_written_it_ends_the_same(connection: Connection) -> None:
    for order in permutations((NEW, ANSWERED, ENDED, ENDED)):
        connection.execute(text("DELETE FROM legs"))
        for leg in order:
            upsert_leg(connection, leg)
        assert legs_of(connection, "call-1") == [ENDED]


def test_the_later_end_stays(connection: Connection) -> None:
    later = replace(ENDED, ended_at=START + timedelta(seconds=61), cause="NO_ANSWER", cause_code=19)
    for order in ((ENDED, later), (later, ENDED)):
        connection.execute(text("DELETE FROM legs"))
        for leg in order:
            upsert_leg(connection, leg)
        assert legs_of(connection, "call-1") == [later]


def test_what_is_not_known_is_kept(connection: Connection) -> None:
    upsert_leg(connection, ANSWERED)
    bare = Leg("leg-1", "call-1", "caller", START + timedelta(seconds=30))  # of a new switch
    upsert_leg(connection, bare)
    assert legs_of(connection, "call-1") == [ANSWERED]


def test_the_legs_of_a_call_come_in_their_order(connection: Connection) -> None:
    person = Leg("leg-0", "call-1", "person", START + timedelta(seconds=20), callee="1001")
    for leg in (person, NEW, replace(NEW, leg_id="leg-9", call_id="call-2")):
        upsert_leg(connection, leg)
    assert [leg.leg_id for leg in legs_of(connection, "call-1")] == ["leg-1", "leg-0"]
    assert legs_of(connection, "call-3") == []


def test_legs_that_a_dead_switch_left_open_are_closed(connection: Connection) -> None:
    for name in ("living", "lost"):
        upsert_leg(connection, replace(NEW, leg_id=name))
    upsert_leg(connection, replace(ENDED, leg_id="ended"))
    at = START + timedelta(seconds=90)
    assert close_lost_legs(connection, ["living"], at, "NETWORK_OUT_OF_ORDER") == ["lost"]
    legs = {leg.leg_id: leg for leg in legs_of(connection, "call-1")}
    assert [name for name, leg in legs.items() if leg.ended_at is None] == ["living"]
    lost = legs["lost"]
    assert (lost.ended_at, lost.cause) == (at, "NETWORK_OUT_OF_ORDER")
    assert close_lost_legs(connection, [], START, "X") == ["living"]  # never before it began


@pytest.mark.parametrize(
    ("cause", "changed"),
    [("", True), ("NETWORK_OUT_OF_ORDER", True), ("NORMAL_CLEARING", False)],
)
def test_a_call_gets_the_end_that_only_the_switch_saw(
    connection: Connection, cause: str, changed: bool
) -> None:
    connection.execute(
        text(
            "INSERT INTO calls (call_id, did, caller, agent_id, agent_version, language,"
            " started_at, cause, transferred_to)"
            " VALUES ('c', '1', '2', 'help', 1, 'en', now(), :cause, 'queue:x')"
        ),
        {"cause": cause},
    )
    end = START + timedelta(seconds=9)
    assert complete_call(connection, "c", cause="USER_BUSY", ended_at=end) is changed
    row = connection.execute(text("SELECT cause, transferred_to, ended_at FROM calls")).one()
    assert tuple(row) == (("USER_BUSY", "queue:x", end) if changed else (cause, "queue:x", None))
    assert not complete_call(connection, "c")
    assert not complete_call(connection, "other", cause="X")
