"""The jobs of documents, as plain functions: read one, see what is left to be done, prune."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.knowledge.backends import open_backends
from appliance.knowledge.ingest import options_of, publish
from appliance.knowledge.refreshing import refresh as ask_again
from appliance.knowledge.work import read_one
from appliance.settings import Settings
from appliance.store import leases, pruning, publishing
from appliance.store.baseindex import drop_orphans, is_large
from appliance.store.dropping import finish_drops

KEPT_DAYS = 30
"""Versions that were superseded longer ago are erased, with their originals."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Left:
    """What the sweep leaves to be done at length."""

    documents: Sequence[int]
    """To be read: as many as are read at once, for each that has been read names the next."""
    large_bases: Sequence[str]
    """To be published."""


async def read(settings: Settings, document_id: int) -> Sequence[int]:
    """Read one document, put in force what is ready then, and say which are to be read next.

    None is named when the document was not ours to read: who reads it names them.
    """
    async with open_backends(settings) as backends:
        options = options_of(settings.knowledge)
        outcome = await read_one(backends.engine, backends.embedder, options, document_id)
        await publish_all(backends.engine, settings)
        return (await leases.due(backends.engine))[:1] if outcome else ()


async def sweep(engine: AsyncEngine, settings: Settings) -> Left:
    """Put in force what is ready of small bases, and say what is to be done besides."""
    large = []
    for base in await publishing.bases_to_publish(engine):
        if await is_large(engine, base):
            large.append(base)
        else:
            await publish(engine, base)
    return Left((await leases.due(engine))[: settings.jobs.processes], large)


async def publish_all(engine: AsyncEngine, settings: Settings) -> None:
    """Make a version of each base that has something to put in force, and nothing under way."""
    for base in await publishing.bases_to_publish(engine):
        await publish(engine, base)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What became of the documents that have a URL."""

    unchanged: int = 0
    changed: int = 0
    """To be read anew: the sweep finds them."""
    gone: int = 0
    away: int = 0
    refused: int = 0


async def refresh(engine: AsyncEngine, settings: Settings) -> Refreshed:
    """Ask for every document that has a URL again."""
    counts: Counter[str] = Counter(
        one.outcome for one in await ask_again(engine, settings.knowledge)
    )
    return Refreshed(*(counts[field.name] for field in fields(Refreshed)))


async def prune(engine: AsyncEngine, settings: Settings) -> int:
    """Erase versions that no call can use any more, and what is left of bases that were dropped; how
    many passages of versions went."""
    await finish_drops(engine)
    await drop_orphans(engine)
    return await pruning.prune(engine, timedelta(days=KEPT_DAYS))
