"""The embedded Postgres, where a backup is worked with while the appliance is stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from appliance.ops.postgres.server import EmbeddedPostgres
from appliance.settings import Settings


@contextmanager
def database_runs(settings: Settings) -> Iterator[None]:
    """It answers while the block lasts: started and ended here, if nobody else runs it.

    Raises UserError when it does not start. A server that the settings name is its owner's matter.
    """
    if settings.database.url:
        yield
        return
    server = EmbeddedPostgres(settings)
    if server.ready():
        yield
        return
    server.start()
    try:
        yield
    finally:
        server.stop()
