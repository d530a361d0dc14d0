"""Shared fixtures: one real embedded Postgres for the run, one fresh database for each test."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.engines.emulated_script import Script, load_script
from appliance.ops.keeping.ports import free_port
from appliance.ops.postgres import server as postgres_server
from appliance.ops.postgres.server import EmbeddedPostgres
from appliance.rehearsal.script import make
from appliance.settings import Database, Settings
from appliance.store.database import EMBEDDED_ROLE, migrate, open_engine
from tests.knowledge_servers import EmbedProcess

TEMPLATE = "ivr_template"
# else each process that a test starts compiles the appliance anew: 0.4 s of a core
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start servers come first: at the end of a run by two processes the short ones are
    left, and neither waits for a long file of the other's."""
    slow = {
        item.path for item in items if {"server", "sip"} & {m.name for m in item.iter_markers()}
    }
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """What a command has set for its children does not reach the next test."""
    before = dict(os.environ)
    yield
    if os.environ != before:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session")
def open_tmp() -> Iterator[Path]:
    """A temporary folder that every user can enter (pytest's own is ours alone)."""
    folder = Path(tempfile.mkdtemp(prefix="ivr-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def embedded_settings(folder: Path) -> Settings:
    """Settings whose embedded server lives wholly below ``folder``, on a free port."""
    database = Database(embedded_port=free_port(), embedded_dir=folder / "embedded")
    return Settings(data_dir=folder / "var", database=database)


@pytest.fixture(scope="session")
def postgres(open_tmp: Path) -> Iterator[EmbeddedPostgres]:
    """A real embedded server with a migrated template database."""
    server = EmbeddedPostgres(embedded_settings(open_tmp))
    with pytest.MonkeyPatch.context() as patch:  # a database a test: each is on disk at its end
        patch.setitem(postgres_server.SERVER_OPTIONS, "fsync", "off")
        server.start()
    make_database(server, TEMPLATE, "template1")
    migrate(_url(server, TEMPLATE))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def embed_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbedProcess]:
    """One real ``ivr embed`` for the run."""
    with EmbedProcess(tmp_path_factory.mktemp("embed")) as process:
        yield process


@pytest.fixture(scope="session")
def script(tmp_path_factory: pytest.TempPathFactory) -> Script:
    """The bench's callers and their recordings, made once by flite."""
    return load_script(make(tmp_path_factory.mktemp("script")))


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """URL of a fresh, migrated, empty database, dropped when the test ends."""
    name = f"t{uuid.uuid4().hex[:12]}"
    make_database(postgres, name, TEMPLATE)
    yield _url(postgres, name)
    drop_database(postgres, name)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on a fresh, migrated, empty database."""
    engine = open_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """URL of a database without a table (the extension vector is there)."""
    name = f"e{uuid.uuid4().hex[:12]}"
    make_database(postgres, name, "template1")
    yield _url(postgres, name)
    drop_database(postgres, name)


def make_database(server: EmbeddedPostgres, name: str, template: str) -> None:
    """``name``, owned by the application's role, as a copy of ``template``."""
    with psycopg.connect(server.superuser_url(), autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} OWNER {EMBEDDED_ROLE} TEMPLATE {template} STRATEGY FILE_COPY"
        )  # without fsync a quarter of the work of WAL_LOG
    if template == TEMPLATE:
        return  # it has the extension
    with psycopg.connect(server.superuser_url(name), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")


def drop_database(server: EmbeddedPostgres, name: str) -> None:
    with psycopg.connect(server.superuser_url(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _url(server: EmbeddedPostgres, name: str) -> str:
    return server.url.rpartition("/")[0] + f"/{name}"
