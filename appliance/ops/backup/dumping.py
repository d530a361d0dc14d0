"""``pg_dump`` out of a snapshot."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from appliance.errors import UserError
from appliance.ops.backup.ciphering import Reader
from appliance.ops.backup.clients import END_TIMEOUT_S, Programs, end, environment, place, words

LOCK_TIMEOUT_MS = 30_000
"""Of ``pg_dump`` behind a migration that is under way."""
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
            tools.command("pg_dump", *arguments, *place(url)),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=environment(url),
        )  # fmt: skip
        assert process.stdout is not None
        try:
            yield process.stdout
            process.stdout.close()
            if process.wait(END_TIMEOUT_S):
                raise UserError(f"pg_dump did not end well: {words(errors)}")
        except subprocess.TimeoutExpired as e:
            raise UserError("pg_dump wrote all it had and did not end.") from e
        finally:
            end(process)
