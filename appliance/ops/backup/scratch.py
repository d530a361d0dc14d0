"""A Postgres of its own, below a temporary folder, to prove a dump on: it takes nothing from the
server that the calls write to, needs no right there, and is gone with its folder.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.ops.keeping.ports import free_port
from appliance.ops.postgres.server import EmbeddedPostgres
from appliance.settings import Database, Settings

PREFIX = "ivr-scratch-"
DATA = "ivr-scratch-data"
"""Begins the name of its folder in ``database.embedded_dir`` too, where root has it."""
SERVER_VERSION = 180000
"""Of the embedded server, at least."""


@contextmanager
def scratch_server(folder: Path, settings: Settings) -> Iterator[EmbeddedPostgres]:
    """An empty database below ``folder`` (made if need be), which has to have room for it.

    Raises UserError where the embedded server is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
    database = Database(embedded_port=free_port(), embedded_dir=settings.database.embedded_dir)
    server = EmbeddedPostgres(Settings(data_dir=place / DATA, database=database))
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.home, ignore_errors=True)
        shutil.rmtree(place, ignore_errors=True)


def clear(folder: Path, settings: Settings) -> None:
    """Remove what a killed run left; its server ends by itself when it misses its files."""
    left = [*folder.glob(f"{PREFIX}*"), *settings.database.embedded_dir.glob(f"{DATA}-*")]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)


def folder_of(settings: Settings) -> Path:
    """Where scratch servers of this box lie."""
    return settings.backup_state_dir / "scratch"
