"""``ivr knowledge load`` and ``ivr knowledge search``."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from appliance.access.commandline import Act, note
from appliance.errors import UserError
from appliance.knowledge.answers import extract
from appliance.knowledge.backends import open_backends
from appliance.knowledge.ingest import Loaded, load
from appliance.knowledge.reading.language import language_of
from appliance.knowledge.scoring import ANSWER_FLOOR
from appliance.knowledge.search import Result, Search
from appliance.settings import Settings
from appliance.store.passages import Scope, version_of

_log = logging.getLogger(__name__)

SEARCH_DEADLINE_MS = 2000
"""At the keyboard the whole search is worth waiting for."""


async def load_files(settings: Settings, name: str, files: Sequence[Path], language: str) -> Loaded:
    """Make ``files`` the next version of the knowledge base ``name``. Raises UserError."""
    async with open_backends(settings) as backends:
        loaded = await load(
            *(backends.engine, backends.embedder, name, files, language), settings.knowledge
        )
        detail = {"version": loaded.version, "passages": loaded.passages}
        await note(backends.engine, Act("knowledge.load", name, detail, base=name))
        return loaded


async def search(settings: Settings, name: str, question: str) -> tuple[Result, int]:
    """What the version in force says to ``question``, and that version. Raises UserError."""
    async with open_backends(settings) as backends:
        version = await version_of(backends.engine, name)
        if not version:
            raise UserError(
                f"There is no knowledge base {name}; load one with `ivr knowledge load`."
            )
        searching = Search(backends.engine, backends.embedder)
        await searching.preload(name, version)
        scope = Scope(name, version)
        # the first search of a process opens its connections; what a call meets is the second
        await searching.explain(scope, question, SEARCH_DEADLINE_MS)
        result = await searching.explain(scope, question, SEARCH_DEADLINE_MS)
        await searching.close()
        if note := backends.embedder.note_on(language_of(question)):
            _log.warning("! %s", note)
        return result, version


def as_json(result: Result, question: str, version: int) -> str:
    """The result as one JSON object."""
    ranks = {hit.passage.id: hit for hit in result.found}
    rows = [
        dataclasses.asdict(passage)
        | {
            "dense_rank": ranks[passage.id].dense_rank,
            "sparse_rank": ranks[passage.id].sparse_rank,
            "fused": ranks[passage.id].fused,
        }
        for passage in result.passages
        if passage.id in ranks
    ]
    summary = {
        "version": version,
        "source": result.source,
        "answer": extract(question, result.passages),
        "embed_ms": round(result.embed_ms, 2),
        "ms": round(result.total_ms, 2),
        "passages": rows,
    }
    return orjson.dumps(summary).decode()


def show(result: Result, question: str, version: int) -> None:
    """The result as a table, and the answer that would be spoken without a language model."""
    ranks = {hit.passage.id: hit for hit in result.found}
    table = Table(title=f"version {version}, {result.source}, {result.total_ms:.1f} ms")
    for column in ("score", "dense", "sparse", "fused", "heading", "text"):
        table.add_column(column, no_wrap=column not in ("heading", "text"))
    for passage in result.passages:
        hit = ranks[passage.id]
        places = [str(rank or "-") for rank in (hit.dense_rank, hit.sparse_rank)]
        sure = "" if passage.score >= ANSWER_FLOOR else " (unsure)"
        table.add_row(
            f"{passage.score:.2f}{sure}", *places, f"{hit.fused:.4f}", passage.heading, passage.text
        )
    console = Console()
    console.print(table)
    console.print(
        f"Answer: {extract(question, result.passages) or '(none: nothing is sure enough)'}"
    )
