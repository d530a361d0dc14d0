"""A Postgres cluster on disk: made once, whole or not at all, and fit to be started.

The roles, the database and the extension are made by ``postgres --single`` in a folder that gets
its final name last, so that a kill at any moment leaves either no cluster or a complete one, and
no password ever stands in a file or an argument.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import UserError
from appliance.ops.postgres.account import Account
from appliance.store.database import EMBEDDED_DATABASE, EMBEDDED_ROLE

log = logging.getLogger(__name__)

SUPERUSER = "postgres"
MAJOR_VERSION = "18"
INITDB_OPTIONS = (
    f"--username={SUPERUSER}",
    "--auth=reject",  # until HOST_RULES stand
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",  # PostgreSQL's own C.UTF-8, for a host that has no locales
    "--builtin-locale=C.UTF-8",
    "--no-sync",  # once for all, before the folder gets its name
)
HOST_RULES = "host all all 127.0.0.1/32 scram-sha-256\n"
"""The whole of pg_hba.conf: loopback with a password, nothing else."""
ORPHAN_STOP_S = 10.0
"""A fast shutdown writes a checkpoint; more than this and the orphan is told to quit at once."""
POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Passwords:
    """Of the two roles, from the appliance's secrets."""

    superuser: str
    application: str

    @property
    def fingerprint(self) -> str:
        """Tells changed passwords from the same; both are 256 random bits, so a hash is safe."""
        return hashlib.sha256(f"{self.superuser}\n{self.application}".encode()).hexdigest()


class Cluster:
    """The files of one embedded server below ``home``, owned by ``account``.

    One process at a time holds it; :meth:`prepare` takes it, :meth:`release` or the process's
    death gives it back.
    """

    def __init__(self, home: Path, binaries: Path, account: Account) -> None:
        self.data = home / "data"
        self.log = home / "postgres.log"
        self._home = home
        self._binaries = binaries
        self._account = account
        self._lock: int | None = None

    def prepare(self, passwords: Passwords) -> None:
        """Make the cluster if there is none, end what a dead supervisor left, set the passwords.

        Raises UserError when another process holds the cluster, or it is of another version.
        """
        self._take()
        if not self.data.exists():
            self._create(passwords)
        version = (self.data / "PG_VERSION").read_text().strip()
        if version != MAJOR_VERSION:
            raise UserError(
                f"{self.data} was made by PostgreSQL {version}, not {MAJOR_VERSION}. Move it away,"
                " or dump it with the old version and load it again."
            )
        self._end_orphan()
        if self._fingerprint.read_text() != passwords.fingerprint:
            log.info("= postgres: the secrets are new, setting the roles' passwords")
            self._single(self.data, _password_statements(passwords))
            self._fingerprint.write_text(passwords.fingerprint)

    def release(self) -> None:
        """Let another process have the cluster."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def _fingerprint(self) -> Path:
        return self.data / "ivr-passwords.sha256"

    def _take(self) -> None:
        if self._lock is not None:
            return
        try:
            if not self._home.exists():
                self._home.mkdir(parents=True, mode=0o700)
                self._account.own(self._home)
            lock = os.open(self._home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except PermissionError as e:
            raise UserError(
                f"May not write {e.filename}: it was made by another user. Start the appliance as"
                " that user, or set another data_dir."
            ) from e
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            os.close(lock)
            raise UserError(
                f"Another process runs the embedded Postgres of {self._home}. Stop it, or give this"
                " one a data_dir and a database.embedded_port of its own."
            ) from e
        self._lock = lock

    def _create(self, passwords: Passwords) -> None:
        new = self._home / "data.new"
        shutil.rmtree(new, ignore_errors=True)  # of a start that was killed
        self._initdb(new, *INITDB_OPTIONS)
        (new / "pg_hba.conf").write_text(HOST_RULES)
        self._single(
            new,
            [
                f"CREATE ROLE {EMBEDDED_ROLE} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;",
                f"CREATE DATABASE {EMBEDDED_DATABASE} OWNER {EMBEDDED_ROLE};",
                *_password_statements(passwords),
            ],
            "-F",
        )
        self._single(new, ["CREATE EXTENSION vector;"], "-F", database=EMBEDDED_DATABASE)
        fingerprint = new / self._fingerprint.name
        fingerprint.write_text(passwords.fingerprint)
        fingerprint.chmod(0o600)
        self._initdb(new, "--sync-only")
        new.rename(self.data)
        log.info("= postgres: made a cluster in %s, owned by %s", self.data, self._account.name)

    def _initdb(self, data: Path, *options: str) -> None:
        made = self._account.run([str(self._binaries / "initdb"), "-D", str(data), *options])
        if made.returncode:
            raise UserError(f"initdb failed in {data}: {_last_line(made.stderr)}")

    def _single(
        self, data: Path, statements: list[str], *options: str, database: str = "postgres"
    ) -> None:
        """Run one-line ``statements`` with no server; its exit status says nothing of them. ``-F``
        among ``options``: without a sync."""
        done = self._account.run(
            [str(self._binaries / "postgres"), "--single", *options, "-D", str(data), database],
            stdin="\n".join(statements) + "\n",
        )
        bad = [x for x in done.stderr.splitlines() if "ERROR:" in x or "FATAL:" in x]
        if bad or done.returncode:
            raise UserError(f"Postgres could not prepare {data}: {_last_line(bad or done.stderr)}")

    def _end_orphan(self) -> None:
        """Stop the server of a supervisor that was killed; forget one that is dead.

        postmaster.pid may name a zombie, or after a reboot of a container any other process of
        this user: Postgres takes both for a living server and refuses to start.
        """
        file = self.data / "postmaster.pid"
        try:
            pid = int(file.read_text().splitlines()[0])
        except (FileNotFoundError, ValueError, IndexError):
            return
        for sign in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            if not _is_postmaster(pid, self.data):
                break
            log.info("! postgres: %s to pid %d, left by a process that died", sign.name, pid)
            os.kill(pid, sign)
            _wait_for_end(pid, self.data)
        file.unlink(missing_ok=True)


def _password_statements(passwords: Passwords) -> list[str]:
    # token_urlsafe: letters, digits, - and _ only, so there is nothing to quote
    return [
        f"ALTER ROLE {SUPERUSER} PASSWORD '{passwords.superuser}';",
        f"ALTER ROLE {EMBEDDED_ROLE} PASSWORD '{passwords.application}';",
    ]


def _is_postmaster(pid: int, data: Path) -> bool:
    """Whether ``pid`` lives, is a postgres, and serves ``data`` (it works from that folder)."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except (FileNotFoundError, ProcessLookupError):
        return False
    if not name.endswith("(postgres") or rest.split()[0] in "ZX":
        return False
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd")) == data.resolve()
    except PermissionError:
        return True  # a container without ptrace rights: the name must do
    except (FileNotFoundError, ProcessLookupError):
        return False


def _wait_for_end(pid: int, data: Path) -> None:
    deadline = time.monotonic() + ORPHAN_STOP_S
    while _is_postmaster(pid, data) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def _last_line(text: str | list[str]) -> str:
    lines = text.strip().splitlines() if isinstance(text, str) else text
    return lines[-1] if lines else "it said nothing"
