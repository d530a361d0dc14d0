"""Markdown files → a new version of a knowledge base: cut, embed, store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.engines.base import Embedder
from appliance.errors import UserError
from appliance.knowledge.markdown import Draft, passages
from appliance.knowledge.words import content_words
from appliance.store.passages import NewPassage, add_version

MAX_FILE_BYTES = 5_000_000
EMBED_AT_ONCE = 16
"""Texts in one request to the embedder: 0.2 s of its work for long passages."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What an ingestion stored."""

    name: str
    version: int
    passages: int


def read(file: Path) -> str:
    """The Markdown text of ``file``. Raises UserError: missing, too big, not UTF-8."""
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise UserError(f"{file} is larger than 5 MB; split it into several files.")
        return file.read_text("utf-8-sig").replace("\0", "")
    except UnicodeDecodeError as e:
        raise UserError(f"{file} is not UTF-8 text; convert it first.") from e
    except OSError as e:
        raise UserError(f"{file} cannot be read: {e.strerror}.") from e


async def _vectors(embedder: Embedder, drafts: Sequence[Draft]) -> list[list[float]]:
    """A unit vector for each passage, half its heading's and half the whole's.

    On the sample, by cosine alone, this puts the right passage first for 45 of 48 questions;
    heading and text in one vector for 43, headings alone for 42.
    """
    headings = await _embed(embedder, [draft.heading or draft.text for draft in drafts])
    wholes = await _embed(embedder, [f"{draft.heading} {draft.text}" for draft in drafts])
    mean = headings + wholes
    unit: list[list[float]] = (mean / np.linalg.norm(mean, axis=1, keepdims=True)).tolist()
    return unit


async def _embed(embedder: Embedder, texts: Sequence[str]) -> NDArray[np.float32]:
    vectors: list[list[float]] = []
    for begin in range(0, len(texts), EMBED_AT_ONCE):
        vectors += await embedder.embed(texts[begin : begin + EMBED_AT_ONCE])
    return np.array(vectors, np.float32)


async def load(
    engine: AsyncEngine,
    embedder: Embedder,
    name: str,
    files: Sequence[Path],
    language: str = "en",
) -> Loaded:
    """Make ``files`` the next version of the knowledge base ``name``.

    The version is stored whole or not at all; older ones are kept, so that a call goes on with
    the one it began with. Raises UserError (files), EngineError (embedder).
    """
    if not name or len(name) > 100:
        raise UserError("The name of a knowledge base has 1 to 100 characters.")
    documents = [(file.name, passages(read(file))) for file in files]
    drafts = [draft for _, found in documents for draft in found]
    if not drafts:
        raise UserError("There is no text to answer from in these files; write some paragraphs.")
    if len({document for document, _ in documents}) < len(documents):
        raise UserError("Two of these files have the same name; rename one.")
    vectors = await _vectors(embedder, drafts)
    version = await add_version(engine, name, language, _rows(documents, vectors))
    return Loaded(name, version, len(drafts))


def _rows(
    documents: Sequence[tuple[str, list[Draft]]], vectors: Sequence[Sequence[float]]
) -> list[NewPassage]:
    """Each draft with its document, its place in it and its vector (in the same order)."""
    vector = iter(vectors)
    return [
        NewPassage(
            document,
            draft.heading,
            position,
            draft.text,
            next(vector),
            content_words(f"{draft.heading} {draft.text}"),
        )
        for document, drafts in documents
        for position, draft in enumerate(drafts)
    ]
