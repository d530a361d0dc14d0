"""A dump back into a database: wholly, or not at all.

It is loaded as text by ``psql`` in one transaction that ends with our own comparison: whatever fails
before, the database stays as it was.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import IO

from appliance.errors import UserError
from appliance.ops.backup.ciphering import write_all
from appliance.ops.backup.clients import END_TIMEOUT_S, Programs, end, environment, place, words
from appliance.store import backing
from appliance.store.backing import TableSum

LOAD_TIMEOUT_S = 6 * 3600.0
"""Indexes of some 100 000 passages take a minute each."""
LAST_WORDS_S = 1.0
"""A program that broke off has said why by then."""
INDEX_MEMORY = "256MB"
PIECE_BYTES = 1 << 18
NEW_SETTING = b"SET transaction_timeout = 0;\n"
"""What pg_restore 17 and newer write, and servers before 17 do not know."""
SETTING_SINCE = 170000


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
                "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-", *place(url)
            ),
            environment(url, f"-c maintenance_work_mem={INDEX_MEMORY}"),
            output=subprocess.DEVNULL,
        )
        self._restore = self._start(
            "pg_restore",
            tools.command(
                "pg_restore", "--no-owner", "--no-privileges", "--no-comments", "--file=-"
            ),
            environment(""),
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
            end(process)
        self._pump.join(END_TIMEOUT_S)
        for file in self._errors.values():
            file.close()

    def write(self, data: bytes, /) -> int:
        """A piece of the dump. Raises UserError when the other end refuses it."""
        assert self._restore.stdin is not None
        try:
            write_all(self._restore.stdin, data)
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
        self, name: str, command: list[str], variables: dict[str, str], *, output: int
    ) -> subprocess.Popen[bytes]:
        errors = tempfile.TemporaryFile()  # closed by __exit__
        self._errors[name] = errors
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=errors, env=variables, bufsize=0
        )

    def _carry(self) -> None:
        """From pg_restore to psql, in a thread."""
        source, sink = self._restore.stdout, self._psql.stdin
        assert source is not None and sink is not None
        try:
            write_all(sink, backing.before_loading().encode())
            is_head = self._drops_setting
            while piece := source.read(PIECE_BYTES):
                if is_head and NEW_SETTING in piece:
                    piece, is_head = piece.replace(NEW_SETTING, b"", 1), False
                write_all(sink, piece)
        except (OSError, ValueError):
            self._broken = True
            self._restore.kill()  # or it would wait for ever for somebody to read

    def _why(self) -> str:
        for process in (self._restore, self._psql):
            with suppress(subprocess.TimeoutExpired):
                process.wait(LAST_WORDS_S)
        psql, restore = (words(self._errors[name]) for name in ("psql", "pg_restore"))
        said = psql or restore or "the connection was lost"
        return f"The dump could not be loaded: {said} Nothing has been changed in the database."
