"""The drill: the very bytes that are encrypted are restored into a scratch database as well.

The box cannot read its own backups, so the only moment at which it can prove one is while it is made.
"""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime, timedelta

from appliance.errors import UserError
from appliance.ops.backup import scratch
from appliance.ops.backup.ciphering import Reader
from appliance.ops.backup.clients import programs
from appliance.ops.backup.loading import Loading
from appliance.ops.backup.state import State
from appliance.settings import Settings
from appliance.store.backing import TableSum

EVERY = {
    "always": timedelta(0),
    "weekly": timedelta(days=6.5),
    "monthly": timedelta(days=29.5),
}
"""By ``backup.drill``; one that is not here: never."""


def is_due(settings: Settings, now: datetime, state: State) -> bool:
    """Whether the settings want one with the backup that begins ``now``."""
    every = EVERY.get(settings.backup.drill)
    if every is None:
        return False
    return state.drilled_at is None or now - state.drilled_at >= every


class Drill:
    """The same bytes into a scratch database; its failure is told, and the backup goes on."""

    def __init__(self, settings: Settings, sums: tuple[TableSum, ...], stack: ExitStack) -> None:
        self._loading: Loading | None = None
        self._error = ""
        self._source: Reader | None = None
        try:
            server = stack.enter_context(
                scratch.scratch_server(scratch.folder_of(settings), settings)
            )
            tools = programs(scratch.SERVER_VERSION)
            self._loading = stack.enter_context(
                Loading(tools, server.url, scratch.SERVER_VERSION, sums)
            )
        except (UserError, OSError) as e:
            self._error = str(e)

    def through(self, rows: Reader) -> Reader:
        """``rows``, each piece also to the scratch database."""
        self._source = rows
        return self

    def read(self, size: int = -1, /) -> bytes:
        assert self._source is not None
        data = self._source.read(size)
        if self._loading is not None and not self._error:
            try:
                self._loading.write(data)
            except UserError as e:
                self._error = str(e)
        return data

    def finish(self) -> str:
        """Why it failed; empty: every table was the same there."""
        if self._loading is not None and not self._error:
            try:
                self._loading.finish()
            except UserError as e:
                self._error = str(e)
        return self._error
