"""Documents → passages of the next version: read, cut, embedded, stored, published.

Each function is one job of ``ivr jobs``, or a whole load at the keyboard. What a function leaves
behind when it is killed at any point is in no version: it is taken up again, or erased.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.engines.base import Embedder
from appliance.errors import UserError
from appliance.knowledge.cutting import Draft
from appliance.knowledge.drafts import cut_and_checked, new_passage
from appliance.knowledge.embedding import vectors_of
from appliance.knowledge.reading import (
    ReadOptions,
    RefusedDocumentError,
    pages_to_json,
    read_document,
)
from appliance.settings import Knowledge
from appliance.store import documents, publishing, reembedding, versions
from appliance.store.baseindex import index_base
from appliance.store.documents import Added, NewDocument
from appliance.store.publishing import Published
from appliance.store.reembedding import Unembedded
from appliance.store.staging import Floats
from appliance.store.versions import WholeDocument

REEMBED_AT_ONCE = 256
"""Passages read from Postgres at once."""
MOST_REEMBEDDED = 3
"""Times that a version may come out meanwhile."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load put in force."""

    name: str
    version: int
    passages: int


def options_of(knowledge: Knowledge) -> ReadOptions:
    """The limits of one reading, as the settings say."""
    return ReadOptions(
        max_bytes=knowledge.max_document_mb * 1_000_000,
        max_pages=knowledge.max_pages,
        timeout_s=knowledge.read_timeout_s,
        ocr=knowledge.ocr,
        ocr_languages=knowledge.ocr_languages,
    )


async def add(engine: AsyncEngine, base: str, new: NewDocument) -> Added:
    """Store a document of ``base``, to be read by ``ivr jobs``. Raises UserError: a name that will
    not do, or the same content under another name."""
    added = await documents.add(engine, base, new)
    _log.info("< %s: %s %s", base, new.name, added.outcome)
    return added


async def publish(engine: AsyncEngine, base: str) -> Published | None:
    """Put in force what is ready of ``base``; None when nothing of it differs."""
    await publishing.prepare(engine, base)
    await index_base(engine, base)  # before, so that no search of a large base is without it
    published = await publishing.publish(engine, base)
    if published:
        _log.info(
            "= %s version %d: %d passages new, %d gone",
            *(base, published.version, published.added, published.ended),
        )
    return published


async def remove(engine: AsyncEngine, base: str, names: Sequence[str]) -> Published | None:
    """Leave documents out of a next version, in force at once. Raises UserError: not there."""
    removed = await documents.remove(engine, base, names)
    if missing := sorted(set(names) - set(removed)):
        raise UserError(
            f"{base} has no document {missing[0]}; `ivr knowledge show {base}` lists what it has."
        )
    return await publish(engine, base)


# --- a whole version at once ------------------------------------------------------------------------


async def load(
    engine: AsyncEngine,
    embedder: Embedder,
    name: str,
    files: Sequence[Path],
    language: str = "en",
    knowledge: Knowledge | None = None,
) -> Loaded:
    """Make ``files`` all that the next version of the knowledge base ``name`` has.

    The version is stored whole or not at all; older ones are kept, so that a call goes on with
    the one it began with. Files that say what is in force already make no new one. Raises UserError
    (files), EngineError (embedder).
    """
    documents.check_names(name)
    if len({file.name for file in files}) < len(files):
        raise UserError("Two of these files have the same name; rename one.")
    options = options_of(knowledge or Knowledge())
    read = [await _read_whole(file, language, options) for file in files]
    count = sum(len(drafts) for _, drafts in read)
    model, rows = await _with_vectors(engine, embedder, name, read, language)
    version = await versions.put_whole(engine, name, rows, language, model)
    await index_base(engine, name)
    return Loaded(name, version, count)


async def _read_whole(
    file: Path, language: str, options: ReadOptions
) -> tuple[WholeDocument, list[Draft]]:
    """A file with its drafts, as yet without passages. Raises UserError, with the file's name."""
    try:
        original = file.read_bytes()  # noqa: ASYNC240 - a command, or the seed: nobody waits
    except OSError as e:
        raise UserError(f"{file} cannot be read: {e.strerror}.") from e
    document = await read_document(original, file.name, "", options)
    drafts = await cut_and_checked(document)
    if not drafts:
        raise RefusedDocumentError(
            f"{file.name} has no text to answer from; write some paragraphs."
        )
    given = NewDocument(file.name, original, document.media_type, "upload", (), language)
    pages = pages_to_json(document.pages)
    whole = WholeDocument(given, document.media_type, document.language, pages, document.notes, ())
    return whole, drafts


async def _with_vectors(
    engine: AsyncEngine,
    embedder: Embedder,
    base: str,
    read: Sequence[tuple[WholeDocument, list[Draft]]],
    language: str,
) -> tuple[str, list[WholeDocument]]:
    """The model, and each document with its passages: vectors of unchanged ones are those it has."""
    found = await versions.base_of(engine, base)
    names = [whole.given.name for whole, _ in read]
    known = await versions.vectors_in_force(engine, found[0], names) if found else {}
    asked = {(draft.heading, draft.text) for _, drafts in read for draft in drafts}
    # one text is asked for even when all are known: whose vectors we would get, only an answer says
    fresh = sorted(asked - known.keys()) or sorted(asked)[:1]
    vectors, model = await vectors_of(embedder, fresh)
    if found and found[2] not in ("", model):
        known = {}
        rest = sorted(asked - set(fresh))
        if rest:
            more, model = await vectors_of(embedder, rest)
            fresh, vectors = fresh + rest, vectors + more
    by_key = {**known, **dict(zip(fresh, vectors, strict=True))}
    rows = []
    for whole, drafts in read:
        passages = tuple(
            new_passage(draft, whole.given.name, place, by_key[draft.heading, draft.text], language)
            for place, draft in enumerate(drafts)
        )
        rows.append(
            WholeDocument(
                *(whole.given, whole.media_type, whole.language, whole.pages, whole.notes),
                passages,
            )
        )
    return model, rows


# --- another model ----------------------------------------------------------------------------------


async def reembed(
    engine: AsyncEngine,
    embedder: Embedder,
    base: str,
    progress: Callable[[int], None] = lambda done: None,
) -> Published | None:
    """Embed all passages in force again, where the embedder's model is another than the base's, and
    put them in force as one version. None: it has this model's vectors already.

    Raises UserError (no such base; its knowledge changes all the time), EngineError.
    """
    for _ in range(MOST_REEMBEDDED):
        found = await versions.base_of(engine, base)
        if found is None:
            raise UserError(f"There is no knowledge base {base}; `ivr knowledge list` shows all.")
        base_id, _, old = found
        await embedder.embed(["?"], "passage")
        if embedder.model == old:
            return None
        model, vectors = await _all_vectors(engine, embedder, base_id, progress)
        published = await reembedding.put_vectors(engine, base, model, vectors)
        if published:
            _log.info("= %s version %d: vectors of %s", base, published.version, model)
            return published
    raise UserError(f"{base} changed while its passages were being embedded; try again.")


async def _all_vectors(
    engine: AsyncEngine, embedder: Embedder, base_id: int, progress: Callable[[int], None]
) -> tuple[str, dict[int, Floats]]:
    vectors: dict[int, Floats] = {}
    model, last = embedder.model, 0
    while found := await reembedding.standing_after(engine, base_id, last, REEMBED_AT_ONCE):
        more, answered = await vectors_of(embedder, [_key(passage) for passage in found])
        if answered != model:
            raise UserError(
                f"The embedding servers changed from {model} to {answered} meanwhile; try again."
            )
        vectors |= zip((passage.id for passage in found), more, strict=True)
        last = found[-1].id
        progress(len(vectors))
    return model, vectors


def _key(passage: Unembedded) -> tuple[str, str]:
    return passage.heading, passage.text
