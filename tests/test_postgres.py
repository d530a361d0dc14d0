"""The embedded server: made once, killed, restarted, out of reach, in use."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from appliance.errors import UserError
from appliance.ops.postgres import server as module
from appliance.ops.postgres.server import EmbeddedPostgres
from appliance.settings import Settings
from tests.conftest import embedded_settings

pytestmark = pytest.mark.server


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="ivr-test-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_the_application_is_no_superuser_and_has_vectors(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.url) as connection:
        row = connection.execute(
            "SELECT current_user, rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        assert row == ("ivr", False, False)
        near = connection.execute("SELECT '[1,0]'::vector <=> '[1,0]'::vector").fetchone()
        assert near == (0.0,)


def test_a_wrong_password_and_no_password_are_refused(postgres: EmbeddedPostgres) -> None:
    for user in ("ivr:wrong@", "ivr@", "postgres@"):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"postgresql://{user}127.0.0.1:{postgres.port}/ivr", password=None)


def test_no_root_and_no_password_on_any_command_line(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.superuser_url()) as connection:
        backend = connection.info.backend_pid
        status = Path(f"/proc/{backend}/status").read_text()
    uid = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1]
    assert uid != "0"
    password = psycopg.conninfo.conninfo_to_dict(postgres.url)["password"]
    assert str(password) not in " ".join(postgres.command())


def test_kill_then_start_keeps_the_rows_and_stop_releases(folder: Path) -> None:
    server = EmbeddedPostgres(embedded_settings(folder))
    server.start()
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
        connection.execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
    server.signal(signal.SIGKILL)
    server.start()
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (1000,)
    server.stop()
    again = EmbeddedPostgres(server_settings(server, folder))
    again.start()
    again.stop()
    assert not again.ready()


def server_settings(server: EmbeddedPostgres, folder: Path) -> Settings:
    settings = embedded_settings(folder)
    return settings.model_copy(
        update={"database": settings.database.model_copy(update={"embedded_port": server.port})}
    )


def test_new_secrets_still_open_an_old_cluster(folder: Path) -> None:
    settings = embedded_settings(folder)
    server = EmbeddedPostgres(settings)
    server.start()
    server.stop()
    shutil.rmtree(settings.secrets_dir)
    server.start()
    try:
        assert server.ready()
        psycopg.connect(server.superuser_url()).close()
    finally:
        server.stop()


def test_a_second_process_is_refused_with_one_sentence(postgres: EmbeddedPostgres) -> None:
    second = EmbeddedPostgres(postgres._settings)  # the same folder on purpose
    with pytest.raises(UserError, match="Another process runs the embedded Postgres"):
        second.prepare()


def test_a_taken_port_is_refused_with_the_fix(folder: Path) -> None:
    settings = embedded_settings(folder)
    with socket.create_server(("127.0.0.1", settings.database.embedded_port)):
        server = EmbeddedPostgres(settings)
        with pytest.raises(UserError, match=r"is taken.*database\.embedded_port"):
            server.prepare()
        server.stop()


ORPHAN = """
import sys, os, signal
from pathlib import Path
from tests.conftest import embedded_settings
from appliance.ops.postgres.server import EmbeddedPostgres
from appliance.settings import Settings
server = EmbeddedPostgres(Settings.model_validate_json(sys.argv[1]))
server.start()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_orphan_of_a_killed_supervisor_is_ended_and_replaced(folder: Path) -> None:
    settings = embedded_settings(folder)
    dead = subprocess.run(
        [sys.executable, "-c", ORPHAN, settings.model_dump_json()],
        cwd=Path(__file__).parents[1],
        timeout=60,
    )
    assert dead.returncode == -signal.SIGKILL
    orphan = _postmaster_pid(settings)
    os.kill(orphan, 0)
    server = EmbeddedPostgres(settings)
    server.start()
    try:
        assert _postmaster_pid(settings) != orphan
        assert server.ready()
    finally:
        server.stop()


def test_a_stale_pid_of_another_living_process_does_not_hinder(folder: Path) -> None:
    settings = embedded_settings(folder)
    server = EmbeddedPostgres(settings)
    server.prepare()
    pid_file = settings.data_dir / "postgres" / "data" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{pid_file.parent}\n{int(time.time())}\n")
    server.account.own(pid_file)
    server.start()
    assert server.ready()
    server.stop()


def _postmaster_pid(settings: Settings) -> int:
    file = settings.data_dir / "postgres" / "data" / "postmaster.pid"
    return int(file.read_text().splitlines()[0])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another user")
def test_out_of_reach_data_and_binaries_go_elsewhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = module._wheel_tree()
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(tree, closed / module.WHEEL / module.TREE, symlinks=True)
    shutil.copytree(tree.parent.parent / module.LIBRARIES, closed / module.LIBRARIES, symlinks=True)
    (closed / module.WHEEL / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(closed))
    settings = embedded_settings(folder).model_copy(update={"data_dir": closed / "var"})
    server = EmbeddedPostgres(settings)
    server.start()
    try:
        assert server.ready()
        binary, data = server.command()[0], server.command()[2]
        assert binary.startswith(str(folder / "embedded"))
        assert data.startswith(str(folder / "embedded"))
        assert closed.stat().st_mode & 0o777 == 0o700
    finally:
        server.stop()
