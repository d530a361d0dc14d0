"""Databases of a test on the run's server, made and dropped by its superuser.

Not in conftest.py, which is loaded twice (by pytest, and by who imports a name of it): the connections
are one for each server.
"""

from __future__ import annotations

import psycopg

from appliance.ops.postgres.server import EmbeddedPostgres
from appliance.store.database import EMBEDDED_ROLE

TEMPLATE = "ivr_template"
"""The database of every test's is a copy of it."""


def make_database(server: EmbeddedPostgres, name: str, template: str) -> None:
    """``name``, owned by the application's role, as a copy of ``template``."""
    _as_superuser(
        server,
        f"CREATE DATABASE {name} OWNER {EMBEDDED_ROLE} TEMPLATE {template} STRATEGY FILE_COPY",
    )  # without fsync a quarter of the work of WAL_LOG
    if template == TEMPLATE:
        return  # it has the extension
    with psycopg.connect(server.superuser_url(name), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")


def drop_database(server: EmbeddedPostgres, name: str) -> None:
    _as_superuser(server, f"DROP DATABASE {name} WITH (FORCE)")


_connections: dict[str, psycopg.Connection[tuple[object, ...]]] = {}
"""One for each server: a login is 15 ms of a core at either end, and a run would need thousands."""


def _as_superuser(server: EmbeddedPostgres, statement: str) -> None:
    url = server.superuser_url()
    known = _connections.get(url)
    if known is not None:
        try:
            known.execute(statement)
            return
        except psycopg.OperationalError:  # a test had the server stopped or killed
            known.close()
    _connections[url] = psycopg.connect(url, autocommit=True)
    _connections[url].execute(statement)


def close_superusers() -> None:
    while _connections:
        _connections.popitem()[1].close()
