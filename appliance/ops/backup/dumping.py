"""``pg_dump`` out of a snapshot, and its dump back into a database: wholly, or not at all.

The programs are those of the server's own version where the machine has them (Debian's packages),
else the embedded server's, which read every older one. A dump is loaded as text by ``psql`` in one
transaction that ends with our own comparison: whatever fails before, the database stays as it was.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from sqlalchemy.engine import make_url

from appliance.errors import UserError
from appliance.ops.backup.ciphering import Reader
from appliance.ops.postgres.server import client_programs
from appliance.store import backing
from appliance.store.backing import TableSum

DEBIAN_PROGRAMS = Path("/usr/lib/postgresql")
VERSION_TIMEOUT_S = 10.0
END_TIMEOUT_S = 30.0
"""Of a program whose output has ended, or that was killed."""
LOAD_TIMEOUT_S = 6 * 3600.0
"""Indexes of some 100 000 passages take a minute each."""
LOCK_TIMEOUT_MS = 30_000
"""Of ``pg_dump`` behind a migration that is under way."""
INDEX_MEMORY = "256MB"
PIECE_BYTES = 1 << 18
NEW_SETTING = b"SET transaction_timeout = 0;\n"
"""What pg_restore 17 and newer write, and servers before 17 do not know."""
SETTING_SINCE = 170000
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


@dataclass(frozen=True, slots=True)
class Programs:
    """A folder of Postgres's client programs."""

    folder: Path
    major: int

    def command(self, name: str, *arguments: str) -> list[str]:
        """Of one of them."""
        return [str(self.folder / name), *arguments]


def programs(server_version: int, *, least: int = 0) -> Programs:
    """Those that can read the server of that version (180004), and dumps of the major ``least``.

    Raises UserError naming the package that is missing.
    """
    server = server_version // 10_000
    wanted = max(server, least)
    found = [*_debian(), *_embedded()]
    fitting = sorted((one for one in found if one.major >= wanted), key=lambda one: one.major)
    if not fitting:
        raise UserError(
            f"There is no pg_dump of version {wanted} or newer here. Install"
            f" postgresql-client-{wanted}, or `pip install 'ivr-appliance[embedded]'`."
        )
    return fitting[0]


def _debian() -> Iterator[Programs]:
    for folder in DEBIAN_PROGRAMS.glob("*/bin"):
        if folder.parent.name.isdigit() and (folder / "pg_dump").exists():
            yield Programs(folder, int(folder.parent.name))


def _embedded() -> Iterator[Programs]:
    path = shutil.which("pg_dump")
    for folder in (client_programs(), Path(path).parent if path else None):
        if folder is None:
            continue
        try:
            said = subprocess.run(
                [str(folder / "pg_dump"), "--version"],
                capture_output=True, text=True, timeout=VERSION_TIMEOUT_S,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            continue
        if version := _VERSION.search(said.stdout):
            yield Programs(folder, int(version[1]))


@contextmanager
def dump(tools: Programs, url: str, snapshot: str) -> Iterator[Reader]:
    """The rows of the database at ``url`` as they were in ``snapshot`` (empty: as they are).

    The block reads them to their end. Raises UserError where pg_dump does not end well.
    """
    arguments = ["--format=custom", "--compress=1", *_PLAIN_DUMP]
    if snapshot:
        arguments.append(f"--snapshot={snapshot}")
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            tools.command("pg_dump", *arguments, *_place(url)),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=_environment(url),
        )  # fmt: skip
        assert process.stdout is not None
        try:
            yield process.stdout
            process.stdout.close()
            if process.wait(END_TIMEOUT_S):
                raise UserError(f"pg_dump did not end well: {_words(errors)}")
        except subprocess.TimeoutExpired as e:
            raise UserError("pg_dump wrote all it had and did not end.") from e
        finally:
            _end(process)


_PLAIN_DUMP = (
    "--no-owner",
    "--no-privileges",
    "--no-comments",
    "--no-tablespaces",
    "--no-publications",
    "--no-subscriptions",
    "--no-security-labels",
    "--extension=vector",
    f"--lock-wait-timeout={LOCK_TIMEOUT_MS}",
)


class Loading:
    """A dump on its way into a database. Write it, then :meth:`finish`; leaving without it undoes all.

    ``sums`` are what the tables must be before anybody sees them.
    """

    def __init__(
        self, tools: Programs, url: str, server_version: int, sums: Sequence[TableSum]
    ) -> None:
        self._sums = sums
        self._drops_setting = server_version < SETTING_SINCE
        self._errors: dict[str, IO[bytes]] = {}
        self._psql = self._start(
            "psql",
            tools.command(
                "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-", *_place(url)
            ),
            _environment(url, f"-c maintenance_work_mem={INDEX_MEMORY}"),
            output=subprocess.DEVNULL,
        )
        self._restore = self._start(
            "pg_restore",
            tools.command(
                "pg_restore", "--no-owner", "--no-privileges", "--no-comments", "--file=-"
            ),
            _environment(""),
            output=subprocess.PIPE,
        )
        self._broken = False
        self._pump = threading.Thread(target=self._carry, name="restored-text", daemon=True)
        self._pump.start()

    def __enter__(self) -> Loading:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in (self._restore, self._psql):
            _end(process)
        self._pump.join(END_TIMEOUT_S)
        for file in self._errors.values():
            file.close()

    def write(self, data: bytes, /) -> int:
        """A piece of the dump. Raises UserError when the other end refuses it."""
        assert self._restore.stdin is not None
        try:
            self._restore.stdin.write(data)
        except (BrokenPipeError, ValueError) as e:
            raise UserError(self._why()) from e
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def finish(self) -> None:
        """The dump has ended: compare and commit. Raises UserError; then nothing has changed."""
        assert self._restore.stdin is not None and self._psql.stdin is not None
        try:
            self._restore.stdin.close()
            status = self._restore.wait(LOAD_TIMEOUT_S)
            self._pump.join(LOAD_TIMEOUT_S)
            if status or self._broken or self._pump.is_alive():
                raise UserError(self._why())
            self._psql.stdin.write(backing.after_loading(self._sums).encode())
            self._psql.stdin.close()
            if self._psql.wait(LOAD_TIMEOUT_S):
                raise UserError(self._why())
        except (BrokenPipeError, subprocess.TimeoutExpired) as e:
            raise UserError(self._why()) from e

    def _start(
        self, name: str, command: list[str], environment: dict[str, str], *, output: int
    ) -> subprocess.Popen[bytes]:
        errors = tempfile.TemporaryFile()  # closed by __exit__
        self._errors[name] = errors
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=errors, env=environment, bufsize=0
        )

    def _carry(self) -> None:
        """From pg_restore to psql, in a thread."""
        source, sink = self._restore.stdout, self._psql.stdin
        assert source is not None and sink is not None
        try:
            _write_all(sink, backing.before_loading().encode())
            is_head = self._drops_setting
            while piece := source.read(PIECE_BYTES):
                if is_head and NEW_SETTING in piece:
                    piece, is_head = piece.replace(NEW_SETTING, b"", 1), False
                _write_all(sink, piece)
        except (OSError, ValueError):
            self._broken = True
            self._restore.kill()  # or it would wait for ever for somebody to read

    def _why(self) -> str:
        words = {name: _words(file) for name, file in self._errors.items()}
        for process in (self._restore, self._psql):
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)
        words = {name: _words(file) for name, file in self._errors.items()}
        said = words["psql"] or words["pg_restore"] or "the connection was lost"
        return f"The dump could not be loaded: {said} Nothing has been changed in the database."


def _write_all(sink: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[sink.write(view) :]


def _place(url: str) -> tuple[str, ...]:
    """Where the database is, for a command line: without its password."""
    plain = make_url(url).set(password=None, drivername="postgresql")
    return (f"--dbname={plain.render_as_string(hide_password=False)}",)


def _environment(url: str, options: str = "") -> dict[str, str]:
    """Ours without libpq's own variables, and with the password, which no argument may show."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    password = make_url(url).password if url else None
    found |= {"PGAPPNAME": "ivr backup", "PGCONNECT_TIMEOUT": "10", "LC_ALL": "C"}
    if password is not None:
        found["PGPASSWORD"] = str(password)
    if options:
        found["PGOPTIONS"] = options
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError, ValueError):
                pipe.close()
    if process.poll() is None:
        process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_TIMEOUT_S)


def _words(errors: IO[bytes]) -> str:
    """The first error that a program told of, else its last line; with a full stop."""
    errors.seek(0)
    lines = errors.read(1 << 16).decode("utf-8", "replace").strip().splitlines()
    bad = [line for line in lines if re.search(r"error:|ERROR:|FATAL:", line)]
    word = (bad or lines[-1:] or [""])[0].strip()
    word = re.sub(r"^.*?(?:error|ERROR|FATAL): +", "", word)
    return f"{word.rstrip('.')}." if word else ""
