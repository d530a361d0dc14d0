"""Shared fixtures: one real embedded Postgres for the run, one fresh database for each test."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
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
HURRY = 8
"""Steps of niceness: six times the share of a core."""
# else each process that a test starts compiles the appliance anew: 0.4 s of a core
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start servers come first, for at the end of a run by two processes the short ones
    shall be left, and neither wait for a long file of the other's. Those with calls are spread among
    them, so that two of them seldom run at once."""
    kinds: dict[str, dict[Path, None]] = {"sip": {}, "server": {}, "": {}}
    marks: dict[Path, set[str]] = {}
    for item in items:
        marks.setdefault(item.path, set()).update(mark.name for mark in item.iter_markers())
    for path, found in marks.items():
        kinds[next((kind for kind in kinds if kind in found), "")][path] = None
    turn = {
        path: (kind == "", (number + 0.5) / len(paths))
        for kind, paths in kinds.items()
        for number, path in enumerate(paths)
    }
    items.sort(key=lambda item: turn[item.path])


@pytest.fixture(scope="module", autouse=True)
def _in_time(request: pytest.FixtureRequest) -> Iterator[None]:
    """Calls are heard in real time: where we may, their processes go before those of a browser that
    another file runs beside them."""
    ours = [item for item in request.session.items if item.path == request.path]
    before = os.getpriority(os.PRIO_PROCESS, 0)
    calls = any(item.get_closest_marker("sip") for item in ours)
    if calls and not hasattr(request.module, "chromium"):
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, before - HURRY)
    yield
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, before)


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
