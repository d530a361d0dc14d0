"""A server with a large knowledge base (Debian's package descriptions) and others beside it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.knowledge.words import content_words
from appliance.ops.postgres.server import EmbeddedPostgres
from appliance.store.baseindex import index_base
from appliance.store.database import migrate
from appliance.store.staging import NewPassage
from bench.debian import Collection
from tests.conftest import embedded_settings
from tests.versions_kit import add_version

BASE = "debian"
OTHER = "debian-other"
"""The same passages in the opposite order of words: a second large base in the same table."""


@dataclass(frozen=True, slots=True)
class Written:
    """How long storing a base took."""

    write_s: float
    index_s: float


@contextmanager
def postgres() -> Iterator[tuple[str, Path]]:
    """An embedded server with empty tables: its URL, and a folder that goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="ivr-bench-", dir="/tmp"))
    folder.chmod(0o755)
    server = EmbeddedPostgres(embedded_settings(folder))
    try:
        server.start()
        migrate(server.url)
        yield server.url, folder
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def write(
    engine: AsyncEngine, name: str, texts: list[str], vectors: NDArray[np.float32]
) -> Written:
    """Store a base as its first version, with its index of vectors."""
    begin = perf_counter()
    passages = [
        NewPassage(name, "", number, passage, vectors[number], content_words(passage))
        for number, passage in enumerate(texts)
    ]
    await add_version(engine, name, "en", passages)
    written = perf_counter()
    await index_base(engine, name)
    async with engine.connect() as plain:
        connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("ANALYZE passages"))
    return Written(round(written - begin, 1), round(perf_counter() - written, 1))


async def write_large(
    engine: AsyncEngine, found: Collection, vectors: NDArray[np.float32], *, beside: bool = False
) -> Written:
    """Debian's passages as a base; ``beside``: with a second one, of half of them, in the table."""
    written = await write(engine, BASE, found.texts, vectors)
    if beside:
        half = len(found.texts) // 2
        turned = [" ".join(reversed(passage.split())) for passage in found.texts[:half]]
        await write(engine, OTHER, turned, vectors[:half])
    return written
