"""URLs, and the migrations against a real server."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from click.testing import CliRunner
from sqlalchemy import create_engine, inspect, pool, text

from appliance.__main__ import main
from appliance.errors import UserError
from appliance.ops.postgres.server import EmbeddedPostgres
from appliance.settings import Database, Settings
from appliance.store import (  # noqa: F401  (their tables)
    access_models,
    knowledge_models,
    models,
    outreach_models,
    review_models,
)
from appliance.store.base import Base
from appliance.store.database import database_url as url_of
from appliance.store.database import migrate, open_engine, sqlalchemy_url, unmigrate
from tests.conftest import free_port

TABLES = {*Base.metadata.tables, "alembic_version"}


def _tables(url: str) -> set[str]:
    engine = create_engine(sqlalchemy_url(url), poolclass=pool.NullPool)
    return set(inspect(engine).get_table_names())


def test_the_url_is_the_one_set_or_the_embedded_one(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database=Database(url="postgresql://a:b@c:5/d"))
    assert url_of(settings) == "postgresql://a:b@c:5/d"
    embedded = url_of(Settings(data_dir=tmp_path, database=Database(embedded_port=7999)))
    assert embedded.startswith("postgresql://ivr:") and embedded.endswith("@127.0.0.1:7999/ivr")


@pytest.mark.parametrize("url", ["mysql://a@b/c", "no url at all"])
def test_what_is_no_postgres_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(UserError, match=r"database\.url"):
        sqlalchemy_url(url)


@pytest.mark.server
def test_up_down_and_up_again(empty_database_url: str) -> None:
    migrate(empty_database_url)
    migrate(empty_database_url)
    assert _tables(empty_database_url) == TABLES
    unmigrate(empty_database_url)
    assert _tables(empty_database_url) == {"alembic_version"}
    migrate(empty_database_url)
    assert _tables(empty_database_url) == TABLES


@pytest.mark.server
def test_the_models_are_what_the_migrations_build(database_url: str) -> None:
    engine = create_engine(sqlalchemy_url(database_url), poolclass=pool.NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []


@pytest.mark.server
def test_a_database_without_pgvector_says_who_mends_it(
    postgres: EmbeddedPostgres, empty_database_url: str
) -> None:
    name = empty_database_url.rpartition("/")[2]
    with psycopg.connect(postgres.superuser_url(name), autocommit=True) as connection:
        connection.execute("DROP EXTENSION vector")
    with pytest.raises(UserError, match=r"lacks pgvector.*superuser"):
        migrate(empty_database_url)


@pytest.mark.server
def test_ivr_db_upgrade(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IVR_DATABASE__URL", empty_database_url)
    result = CliRunner().invoke(main, ["db", "upgrade"])
    assert result.exit_code == 0, result.output
    assert "up to date" in result.output
    assert _tables(empty_database_url) == TABLES


def test_ivr_db_upgrade_without_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"postgresql://ivr:secret@127.0.0.1:{free_port()}/ivr"
    monkeypatch.setenv("IVR_DATABASE__URL", url)
    result = CliRunner().invoke(main, ["db", "upgrade"])
    assert result.exit_code == 2
    assert "did not answer" in result.output and "ivr up" in result.output
    assert "secret" not in result.output


@pytest.mark.server
async def test_the_async_engine_answers(database_url: str) -> None:
    engine = open_engine(database_url)
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
    await engine.dispose()
