"""Alembic's environment: where the database is, and that two upgrades never run at once."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool, text

from appliance.settings import load
from appliance.store import (  # noqa: F401  (their tables)
    access_models,
    knowledge_models,
    models,
    outreach_models,
    review_models,
)
from appliance.store.base import Base
from appliance.store.database import database_url, sqlalchemy_url

MIGRATION_LOCK = 0x697672
"""Key of the advisory lock held while migrating: two processes may start at the same time."""


def _url() -> str:
    return sqlalchemy_url(context.config.attributes.get("url") or database_url(load()))


def _run() -> None:
    if context.is_offline_mode():
        context.configure(url=_url(), target_metadata=Base.metadata, literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
        return
    engine = create_engine(_url(), poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata)
        with context.begin_transaction():
            connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            context.run_migrations()
    engine.dispose()


_run()
