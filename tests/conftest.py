"""Shared fixtures: one real embedded Postgres for the run, one fresh database for each test."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from sqlalchemy.ext.asyncio import AsyncEngine
from xdist.remote import Producer

from appliance.engines.emulated_script import Script, load_script
from appliance.ops.keeping.ports import free_port
from appliance.ops.postgres import server as postgres_server
from appliance.ops.postgres.server import EmbeddedPostgres
from appliance.rehearsal.script import make
from appliance.settings import Database, Settings
from appliance.store.database import migrate, open_engine
from tests.databases import TEMPLATE, close_superusers, drop_database, make_database
from tests.knowledge_servers import EmbedProcess
from tests.lanes import Lanes
from tests.metronome import pytest_runtest_protocol

__all__ = [
    "TEMPLATE",  # as the next two, for whom they were here first
    "drop_database",
    "make_database",
    "pytest_runtest_protocol",  # a hook
]

HURRY = 8
"""Steps of niceness: six times the share of a core."""
ROOM_BYTES = 4 << 30
"""Three processes of a run, two servers each, whose logs of writing take half a GB at most."""
hypothesis_settings.register_profile(
    "busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
"""An example that takes 200 ms by the clock on the wall, or ten that take a second to make, say that
something else ran: what may cost no more than a moment is measured in the time of its own thread."""
hypothesis_settings.load_profile("busy machine")
# else each process that a test starts compiles the appliance anew: 0.4 s of a core
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure() -> None:
    gc.disable()  # until all tests are collected: what there is then stays


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """The collector need not look through eight thousand tests and their modules again and again."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)  # for who runs pytest without xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes | None:
    """Files are dealt out by lanes (lanes.py)."""
    return Lanes(config, log) if config.getvalue("dist") == "loadfile" else None


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


def _roomy(place: Path) -> bool:
    """Whether ``place`` is in memory, with room for the files of some servers and their programs."""
    if not os.path.ismount(place) or psutil.virtual_memory().available < ROOM_BYTES:
        return False
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize >= ROOM_BYTES and not found.f_flag & os.ST_NOEXEC


@pytest.fixture(scope="session")
def open_tmp() -> Iterator[Path]:
    """A temporary folder that every user can enter (pytest's own is ours alone), in memory where there
    is room: a run makes a thousand databases of a thousand files each."""
    place = "/dev/shm" if _roomy(Path("/dev/shm")) else "/tmp"
    folder = Path(tempfile.mkdtemp(prefix="ivr-test-", dir=place))
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
    close_superusers()
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


def _url(server: EmbeddedPostgres, name: str) -> str:
    return server.url.rpartition("/")[0] + f"/{name}"
