"""Where Postgres is, how to reach it, and how to bring its tables up to date."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool

from appliance import shipped
from appliance.errors import UserError, reason_of
from appliance.settings import Settings

if TYPE_CHECKING:  # 0.2 s of CPU and 12 MB, for one process in many: imported where it is used
    from alembic.config import Config

DRIVER = "postgresql+psycopg"
EMBEDDED_HOST = "127.0.0.1"
EMBEDDED_ROLE = "ivr"
EMBEDDED_DATABASE = "ivr"
EMBEDDED_SECRET = "postgres-ivr"  # the name of the role's secret, not its value
MIGRATIONS = shipped.root() / "migrations"

CONNECT_TIMEOUT_S = 3.0
"""Unless the settings say otherwise."""
POOL_SIZE = 5
"""Connections a process keeps; searches on the call path take the most."""
SYNC_POOL_SIZE = 3
"""Of a process that asks in threads: its snapshot, its journal, and one to spare."""
COMMAND_POOL_SIZE = 3
"""Of a command: what it does may keep a transaction open while it asks for more."""
POOL_TIMEOUT_S = 5.0
NO_EXTENSION = ("42501", "0A000", "58P01")
"""SQLSTATEs of CREATE EXTENSION: not permitted, not installed (two ways to say so)."""
UNDEFINED_TABLE = "42P01"
"""SQLSTATE."""
UNANSWERED_MS = 10_000
"""A host that acknowledges nothing this long is gone (a pulled cable), and so is the connection."""
T = TypeVar("T")
Also = Callable[[AsyncConnection], Awaitable[None]]
"""What else is written in the transaction of a change, such as its line in the audit log."""


def database_url(settings: Settings) -> str:
    """The URL of the store of truth: the one set, else the embedded server's, password included."""
    if settings.database.url:
        return settings.database.url
    return URL.create(
        "postgresql",
        EMBEDDED_ROLE,
        settings.secret(EMBEDDED_SECRET),
        EMBEDDED_HOST,
        settings.database.embedded_port,
        EMBEDDED_DATABASE,
    ).render_as_string(hide_password=False)


def sqlalchemy_url(url: str) -> str:
    """``url`` as SQLAlchemy wants it: ``postgresql://`` (or ``postgres://``) with our driver."""
    try:
        parsed = make_url(url)
    except ArgumentError as e:
        raise UserError(
            "Setting database.url is not a database URL; write it as"
            " postgresql://user:password@host:port/name."
        ) from e
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise UserError(f"Setting database.url names {parsed.drivername}; only PostgreSQL serves.")
    return parsed.set(drivername=DRIVER).render_as_string(hide_password=False)


def without_password(url: str) -> str:
    """``url`` fit for a log or a message."""
    return make_url(url).render_as_string(hide_password=True)


def open_engine(
    url: str, *, connect_timeout_s: float = CONNECT_TIMEOUT_S, pool_size: int = POOL_SIZE
) -> AsyncEngine:
    """An async engine on ``url``; it connects on first use, so it opens with Postgres away.

    Connections that died are noticed before they are used (one round trip, 0.1 ms on loopback).
    """
    return create_async_engine(sqlalchemy_url(url), **_engine_options(connect_timeout_s, pool_size))


def open_sync_engine(
    url: str, *, connect_timeout_s: float = CONNECT_TIMEOUT_S, pool_size: int = SYNC_POOL_SIZE
) -> Engine:
    """As :func:`open_engine`, for threads: ``ivr switch`` runs on gevent and asks in native ones."""
    return create_engine(sqlalchemy_url(url), **_engine_options(connect_timeout_s, pool_size))


def connections_of(engine: Engine) -> tuple[int, int]:
    """Of its pool: connections in use, and how many there may be."""
    pool = engine.pool
    if not isinstance(pool, QueuePool):
        return 0, 0
    return pool.checkedout(), pool.size()


def _engine_options(connect_timeout_s: float, pool_size: int) -> dict[str, Any]:
    return {
        "pool_size": pool_size,
        "max_overflow": 0,
        "pool_timeout": POOL_TIMEOUT_S,
        "pool_pre_ping": True,
        "hide_parameters": True,  # they are callers' words
        "connect_args": {
            "connect_timeout": max(2, round(connect_timeout_s)),  # libpq takes 1 for 2
            "tcp_user_timeout": UNANSWERED_MS,
        },
    }


def _config(url: str) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["url"] = url
    return config


def migrate(url: str, revision: str = "head") -> None:
    """Bring the tables at ``url`` up to ``revision``; nothing happens when they are.

    Safe to run in several processes at once. Blocks: call it in a thread from async code.

    Raises UserError when the database cannot be reached or may not be changed.
    """
    from alembic import command

    _migrate(url, lambda config: command.upgrade(config, revision))


def unmigrate(url: str, revision: str = "base") -> None:
    """Take the tables back to ``revision``; what they held goes with them."""
    from alembic import command

    _migrate(url, lambda config: command.downgrade(config, revision))


def _migrate(url: str, step: Callable[[Config], None]) -> None:
    from alembic.util.exc import CommandError

    try:
        step(_config(url))
    except CommandError as e:
        raise UserError(f"The migrations in {MIGRATIONS} cannot be run: {e}.") from e
    except DBAPIError as e:
        if "vector" in str(e.orig) and getattr(e.orig, "sqlstate", "") in NO_EXTENSION:
            raise UserError(
                f"The database {without_password(url)} lacks pgvector. Install it on that server,"
                " then let a superuser run CREATE EXTENSION vector in that database."
            ) from e
        raise UserError(explain(url, e)) from e


@contextmanager
def connected(url: str, *, connect_timeout_s: float = CONNECT_TIMEOUT_S) -> Iterator[Connection]:
    """One connection to the database at ``url``, by itself. What is not committed is undone.

    Raises UserError where the database does not answer, or refuses a statement of the block.
    """
    engine = open_sync_engine(url, connect_timeout_s=connect_timeout_s, pool_size=1)
    try:
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as e:
        raise UserError(explain(url, e)) from e
    finally:
        engine.dispose()


def in_database(settings: Settings, work: Callable[[Connection], T]) -> T:
    """``work`` in one transaction of its own. Raises UserError where the database does not answer."""
    url, timeout_s = database_url(settings), settings.database.connect_timeout_s
    try:
        with connected(url, connect_timeout_s=timeout_s) as connection, connection.begin():
            return work(connection)
    except OSError as e:
        raise UserError(explain(url, e)) from e


def answer(
    settings: Settings,
    question: Callable[[AsyncEngine], Awaitable[T]],
    timeout_s: float | None = None,
) -> T:
    """What one ``question`` of a program without an event loop is answered with, in ``timeout_s``;
    None: however long it takes, for each wait in it has a limit of its own.

    Raises UserError where the database does not answer.
    """

    async def ask() -> T:
        async with opened(settings) as engine, asyncio.timeout(timeout_s):
            return await question(engine)

    try:
        return asyncio.run(ask())
    except OSError as e:  # TimeoutError is one
        raise UserError(explain(database_url(settings), e)) from e


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """The database for the length of the block, which its failures leave as a UserError."""
    url, timeout_s = database_url(settings), settings.database.connect_timeout_s
    engine = open_engine(url, connect_timeout_s=timeout_s, pool_size=COMMAND_POOL_SIZE)
    try:
        yield engine
    except SQLAlchemyError as e:
        raise UserError(explain(url, e)) from e
    finally:
        await engine.dispose()


def explain(url: str, error: BaseException) -> str:
    """One sentence for a person: why the database at ``url`` did not do what was asked."""
    if getattr(getattr(error, "orig", None), "sqlstate", None) == UNDEFINED_TABLE:
        return f"The database {without_password(url)} has no tables yet. Run `ivr db upgrade`."
    reason = reason_of(getattr(error, "orig", None) or error).rstrip(".")
    return (
        f"The database {without_password(url)} did not answer as it should: {reason}."
        " Start it with `ivr up`, or set database.url to one that runs."
    )


async def nothing_else(connection: AsyncConnection) -> None:
    """The :data:`Also` of a change that stands alone."""
