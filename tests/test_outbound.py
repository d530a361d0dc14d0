"""Calls to be made and numbers never called, in a real Postgres."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine

from appliance.errors import UserError
from appliance.events import Agent
from appliance.store.agents import publish_agent
from appliance.store.database import open_engine, open_sync_engine
from appliance.store.outbound import (
    OutboundCall,
    Outcome,
    add_do_not_call,
    begin_ringing,
    cancel,
    do_not_call,
    enqueue,
    finish,
    list_do_not_call,
    list_outbound,
    postpone,
    read_outbound,
    release_orphans,
    remove_do_not_call,
    retry,
    set_talking,
    settle,
    take_due,
)

pytestmark = pytest.mark.server

NOW = datetime(2026, 1, 23, 6, 30, tzinfo=UTC)
SOON = NOW + timedelta(minutes=5)


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    async def publish() -> None:
        engine = open_engine(database_url)
        await publish_agent(engine, Agent(id="help", version=0, name="Help"))
        await engine.dispose()

    asyncio.run(publish())
    engine = open_sync_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def connection(database: Engine) -> Iterator[Connection]:
    with database.begin() as connection:
        yield connection


def read(connection: Connection, call: OutboundCall) -> OutboundCall:
    found = read_outbound(connection, call.id)
    assert found
    return found


def taken(connection: Connection, **options: int) -> OutboundCall:
    """A call that is being dialled."""
    enqueue(connection, "9876543210", "help", "IN", at=NOW, **options)
    (call,) = take_due(connection, NOW, 1)
    return call


def test_only_a_number_and_an_agent_that_exist_are_put_on_the_list(connection: Connection) -> None:
    for number in ("1001", "queue:x", "", "sip:a@b", "+1"):
        with pytest.raises(UserError, match="no telephone number"):
            enqueue(connection, number, "help", "IN")
    with pytest.raises(UserError, match="no agent nobody"):
        enqueue(connection, "9876543210", "nobody", "IN")
    with pytest.raises(UserError, match="one attempt"):
        enqueue(connection, "9876543210", "help", "IN", max_attempts=0)
    call = enqueue(connection, "098765 43210", "help", "IN", hours="09:00-10:00")
    assert (call.number, call.state, call.attempts) == ("+919876543210", "waiting", 0)
    assert list_outbound(connection) == [call] and read_outbound(connection, "x") is None


def test_what_is_due_is_taken_once_the_longest_waiting_first(connection: Connection) -> None:
    late = enqueue(connection, "9876543211", "help", "IN", at=NOW)
    early = enqueue(connection, "9876543212", "help", "IN", at=NOW - timedelta(seconds=5))
    enqueue(connection, "9876543213", "help", "IN", at=SOON)
    assert [call.id for call in take_due(connection, NOW, 1)] == [early.id]
    (second,) = take_due(connection, NOW, 9)
    assert (second.id, second.state, second.attempts) == (late.id, "dialling", 1)
    assert take_due(connection, NOW, 9) == []


def test_two_processes_never_take_the_same_call(database: Engine) -> None:
    with database.begin() as connection:
        for index in range(20):
            enqueue(connection, f"98765432{index:02d}", "help", "IN", at=NOW)
    barrier, found = threading.Barrier(3), list[str]()

    def take() -> None:
        with database.begin() as connection:
            barrier.wait(5)
            mine = take_due(connection, NOW, 10)
            barrier.wait(5)  # all hold their locks now
            found.extend(call.id for call in mine)

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == len(set(found)) == 20


def test_a_call_that_was_answered(connection: Connection) -> None:
    call = taken(connection)
    set_talking(connection, call.id, call_id="c", trunk="a")
    assert read(connection, call).state == "talking"
    finish(connection, call.id, "done", "human", SOON)
    done = read(connection, call)
    assert (done.state, done.result, done.ended_at) == ("done", "human", SOON)
    assert (done.call_id, done.trunk) == ("c", "a")


def test_a_call_is_made_again_until_its_attempts_are_used_up(connection: Connection) -> None:
    call = taken(connection, max_attempts=2, retry_after_s=60)
    assert retry(connection, call.id, "NO_ANSWER", NOW, call_id="c", trunk="a") == "waiting"
    again = read(connection, call)
    assert (again.next_at, again.result) == (NOW + timedelta(seconds=60), "NO_ANSWER")
    assert take_due(connection, NOW + timedelta(seconds=59), 1) == []
    (second,) = take_due(connection, NOW + timedelta(seconds=60), 1)
    assert second.attempts == 2
    assert retry(connection, call.id, "USER_BUSY", SOON) == "failed"
    failed = read(connection, call)
    assert (failed.state, failed.result, failed.ended_at) == ("failed", "USER_BUSY", SOON)
    assert retry(connection, "x", "", SOON) == "failed"


def test_a_postponed_call_has_lost_no_attempt(connection: Connection) -> None:
    call = taken(connection)
    postpone(connection, call.id, SOON, "outside of calling hours")
    waiting = read(connection, call)
    assert (waiting.state, waiting.attempts, waiting.next_at) == ("waiting", 0, SOON)


def test_what_a_dead_process_left_goes_back(connection: Connection) -> None:
    new, living = taken(connection, retry_after_s=60), taken(connection)
    rung, last = taken(connection, retry_after_s=60), taken(connection, max_attempts=1)
    talking = taken(connection)
    for call in (rung, last):
        assert begin_ringing(connection, call, "c")
    set_talking(connection, talking.id, call_id="c", trunk="a")
    released = release_orphans(connection, [living.id], NOW)
    assert set(released) == {new.id, rung.id, last.id, talking.id}
    back = read(connection, new)  # was never rung: as if it had not been taken
    assert (back.state, back.attempts, back.next_at) == ("waiting", 0, NOW)
    back = read(connection, rung)
    assert (back.state, back.attempts, back.result) == ("waiting", 1, "NETWORK_OUT_OF_ORDER")
    assert back.next_at == NOW + timedelta(seconds=60)
    assert read(connection, last).state == "failed"  # its only attempt may have been heard
    assert read(connection, talking).state == "done"  # nobody is rung again in mid-talk
    assert read(connection, living).state == "dialling"
    assert [c.id for c in list_outbound(connection, states=["dialling"])] == [living.id]


def test_a_number_put_on_the_list_meanwhile_is_not_rung(connection: Connection) -> None:
    call = taken(connection)
    add_do_not_call(connection, [call.number], "asked us", "IN")
    assert not begin_ringing(connection, call, "c")
    assert read(connection, call).call_id == ""


def test_an_outcome_counts_once_and_only_for_its_own_attempt(connection: Connection) -> None:
    call = taken(connection, max_attempts=3, retry_after_s=60)
    talking = Outcome(call.id, 1, "talking", NOW, call_id="c", trunk="a")
    busy = Outcome(call.id, 1, "retry", NOW, "USER_BUSY")
    assert settle(connection, talking) and not settle(connection, talking)
    assert settle(connection, busy) and not settle(connection, busy)
    assert read(connection, call).next_at == NOW + timedelta(seconds=60)
    take_due(connection, NOW + timedelta(seconds=60), 1)
    for late in (talking, busy, Outcome(call.id, 1, "done", NOW, "human:short greeting")):
        assert not settle(connection, late)
    second = Outcome(call.id, 2, "postpone", SOON, "outside its hours")
    assert settle(connection, second)
    waits = read(connection, call)
    assert (waits.state, waits.attempts, waits.result) == ("waiting", 1, "outside its hours")
    take_due(connection, SOON, 1)
    assert settle(connection, Outcome(call.id, 2, "refused", SOON, "DO_NOT_CALL"))
    assert (read(connection, call).state, read(connection, call).ended_at) == ("refused", SOON)
    assert not settle(connection, Outcome("x", 1, "done", NOW))


def test_only_a_call_that_waits_is_cancelled(connection: Connection) -> None:
    dialling, waiting = taken(connection), enqueue(connection, "9876543211", "help", "IN")
    assert cancel(connection, waiting.id, NOW) and not cancel(connection, waiting.id, NOW)
    assert not cancel(connection, dialling.id, NOW)
    gone = read(connection, waiting)
    assert (gone.state, gone.result, gone.ended_at) == ("refused", "CANCELLED", NOW)
    assert take_due(connection, SOON, 9) == []


def test_a_call_is_found_by_the_beginning_of_its_id(connection: Connection) -> None:
    one, other = taken(connection), taken(connection)
    assert read(connection, one) == read_outbound(connection, one.id[:8])
    assert read_outbound(connection, "%") is None and one.id != other.id
    with pytest.raises(UserError, match="several"):
        read_outbound(connection, "")


def test_the_do_not_call_list(connection: Connection) -> None:
    numbers = ["9876543210", "+91 98765 43210", "080 2222 3333"]
    assert add_do_not_call(connection, numbers, "asked us", "IN") == 2
    assert add_do_not_call(connection, numbers[:1], "again", "IN") == 0
    assert do_not_call(connection, "+919876543210") and not do_not_call(connection, "+911")
    listed = {(entry.number, entry.reason) for entry in list_do_not_call(connection)}
    assert listed == {("+919876543210", "asked us"), ("+918022223333", "asked us")}
    with pytest.raises(UserError, match="'1001'"):
        add_do_not_call(connection, ["9876543211", "1001"], "", "IN")
    assert not do_not_call(connection, "+919876543211")  # all or none
    assert remove_do_not_call(connection, "09876543210", "IN")
    assert not remove_do_not_call(connection, "09876543210", "IN")
    assert list_do_not_call(connection, limit=1)[0].number == "+918022223333"


def test_a_long_list_is_taken_in_one_go(connection: Connection) -> None:
    numbers = [f"98765{index:05d}" for index in range(2500)]
    assert add_do_not_call(connection, numbers, "import", "IN") == 2500
