"""Work at the keyboard that asks the engines, which takes as long as they do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError
from appliance.settings import Settings
from appliance.store.database import database_url, explain, open_engine

T = TypeVar("T")


def at_length(settings: Settings, work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
    """What ``work`` gives, however long it takes: each wait in it has a limit of its own.

    Raises UserError where the database does not answer.
    """
    url = database_url(settings)

    async def run() -> T:
        engine = open_engine(url, connect_timeout_s=settings.database.connect_timeout_s)
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    try:
        return asyncio.run(run())
    except (SQLAlchemyError, OSError) as e:
        raise UserError(explain(url, e)) from e
