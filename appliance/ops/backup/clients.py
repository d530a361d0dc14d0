"""Postgres's client programs: which there are, and how one is run as a process.

Those of the server's own version where the machine has them (Debian's packages), else the embedded
server's, which read every older one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sqlalchemy.engine import make_url

from appliance.errors import UserError
from appliance.ops.postgres.server import client_programs

DEBIAN_PROGRAMS = Path("/usr/lib/postgresql")
VERSION_TIMEOUT_S = 10.0
END_TIMEOUT_S = 30.0
"""Of a program whose output has ended, or that was killed."""
MOST_WORDS_BYTES = 1 << 16
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


def place(url: str) -> tuple[str, ...]:
    """Where the database is, for a command line: without its password."""
    plain = make_url(url).set(password=None, drivername="postgresql")
    return (f"--dbname={plain.render_as_string(hide_password=False)}",)


def environment(url: str, options: str = "") -> dict[str, str]:
    """Ours without libpq's own variables, and with the password, which no argument may show."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    password = make_url(url).password if url else None
    found |= {"PGAPPNAME": "ivr backup", "PGCONNECT_TIMEOUT": "10", "LC_ALL": "C"}
    if password is not None:
        found["PGPASSWORD"] = str(password)
    if options:
        found["PGOPTIONS"] = options
    return found


def end(process: subprocess.Popen[bytes]) -> None:
    """Close its pipes; it is killed if it still runs."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError, ValueError):
                pipe.close()
    if process.poll() is None:
        process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_TIMEOUT_S)


def words(errors: IO[bytes]) -> str:
    """The first error that a program told of, else its last line; with a full stop."""
    errors.seek(0)
    lines = errors.read(MOST_WORDS_BYTES).decode("utf-8", "replace").strip().splitlines()
    bad = [line for line in lines if re.search(r"error:|ERROR:|FATAL:", line)]
    word = (bad or lines[-1:] or [""])[0].strip()
    word = re.sub(r"^.*?(?:error|ERROR|FATAL): +", "", word)
    return f"{word.rstrip('.')}." if word else ""
