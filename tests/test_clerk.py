"""Postgres asked from greenlets, also one that hangs."""

from __future__ import annotations

import time
from collections.abc import Iterator

import gevent
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from appliance.store.database import open_sync_engine
from appliance.telephony.clerk import Clerk

pytestmark = pytest.mark.server
NUMBER = "+919876543210"


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_sync_engine(database_url, pool_size=4)
    yield engine
    engine.dispose()


def add(connection: Connection) -> int:
    said = text("INSERT INTO do_not_call (number) VALUES (:number)")
    return int(connection.execute(said, {"number": NUMBER}).rowcount)


def count(connection: Connection) -> int:
    return int(connection.execute(text("SELECT count(*) FROM do_not_call")).scalar_one())


def test_work_is_done_in_a_transaction(engine: Engine) -> None:
    clerk = Clerk(engine)
    assert clerk.ask(add, 5.0) == 1 and clerk.ask(count) == 1

    def breaks(connection: Connection) -> int:
        connection.execute(text("DELETE FROM do_not_call"))
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        clerk.ask(breaks, 5.0)
    assert clerk.ask(count) == 1


def test_what_nobody_waits_for_any_more_is_not_done(engine: Engine) -> None:
    clerk = Clerk(engine)
    with engine.begin() as other:
        other.execute(text("LOCK TABLE do_not_call"))
        begun_s = time.monotonic()
        with pytest.raises(SQLAlchemyError, match="does not answer"):
            clerk.ask(add, 0.2)
        assert time.monotonic() - begun_s < 10  # the lock is held until after it: for ever
    gevent.sleep(0.3)  # it has the lock now
    assert clerk.ask(count, 5.0) == 0


def test_one_that_is_not_there(unused_tcp_port: int) -> None:
    engine = open_sync_engine(f"postgresql://u:p@127.0.0.1:{unused_tcp_port}/x")
    with pytest.raises(OperationalError):
        Clerk(engine).ask(count, 5.0)
    engine.dispose()
