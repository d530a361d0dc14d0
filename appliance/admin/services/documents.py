"""Documents of a knowledge base: given, watched, read again, taken out, looked at.

A document's name is whatever a browser or a URL says: it is kept and shown as text, and never is a
path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.access import audit
from appliance.access.actor import Actor, NotFoundError
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.admin.services.theirs import LARGEST_ID, base_of, document_of
from appliance.errors import UserError
from appliance.knowledge import ingest
from appliance.knowledge.fetching import shown, url_list
from appliance.knowledge.refreshing import changed
from appliance.knowledge.refreshing import refresh as ask_again
from appliance.ops.knowledge.documents import MB, fetched_from, source_shown, url_name
from appliance.store import base_views, versions
from appliance.store.base_views import BaseKey, Original, PassageView
from appliance.store.document_views import DocumentView, list_documents
from appliance.store.documents import (
    NewDocument,
    add_in,
    check_names,
    lock_base,
    remove_in,
    retry_in,
)

MOST_TAGS = 20
LONGEST_TAG_LETTERS = 60
LONGEST_LANGUAGE_LETTERS = 35
"""BCP 47, RFC 5646 §4.4.1."""
MOST_URLS = 100
"""Fetched in one request."""
FETCHED_AT_ONCE = 4
MOST_PASSAGES = 200


@dataclass(frozen=True, slots=True)
class Given:
    """What became of a document that was given."""

    name: str
    outcome: str
    """``added``, ``changed``, ``unchanged``, or ``refused`` (``why`` says so in a sentence)."""
    document_id: int = 0
    why: str = ""
    told: bool = True
    """False: Redis is away; the sweep of ``ivr jobs`` finds the document by itself."""


@dataclass(frozen=True, slots=True)
class Passages:
    """A page of a document's passages."""

    passages: tuple[PassageView, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What taking a document out, or letting passages in, has led to."""

    version: int
    """The version that has it so; 0: nothing of it was in force."""
    passages: int


def largest_bytes(console: Console) -> int:
    """Of one document: what may be uploaded, and what is read."""
    settings = console.settings
    return min(settings.admin.upload_mb << 20, settings.knowledge.max_document_mb * MB)


async def documents(console: Console, actor: Actor, base_id: int) -> list[DocumentView]:
    """The documents of a base, by name. Raises NotFoundError."""
    actor.require(Permission.KNOWLEDGE_READ)
    base = await base_of(console, actor, base_id)
    found = await list_documents(console.engine, base.name)
    return [replace(one, source=source_shown(one)) for one in found]


async def document(console: Console, actor: Actor, base_id: int, document_id: int) -> DocumentView:
    """One document. Raises NotFoundError."""
    actor.require(Permission.KNOWLEDGE_READ)
    _, found = await document_of(console, actor, base_id, document_id)
    return replace(found, source=source_shown(found))


async def progress(console: Console, actor: Actor, base_id: int) -> tuple[str, bool]:
    """A mark that changes when a document of the base gets further, and whether one still will: one
    cheap query, to be asked again and again."""
    actor.require(Permission.KNOWLEDGE_READ)
    await base_of(console, actor, base_id)
    return await base_views.progress_stamp(console.engine, base_id)


async def upload(
    console: Console,
    actor: Actor,
    base_id: int,
    name: str,
    content: bytes,
    *,
    media_type: str = "",
    tags: Sequence[str] = (),
    language: str = "",
) -> Given:
    """Store a document and have it read. Raises NotFoundError, UserError: too large, empty, a name that
    will not do, the same content under another name."""
    actor.require(Permission.KNOWLEDGE_EDIT)
    base = await base_of(console, actor, base_id)
    most = largest_bytes(console)
    if len(content) > most:
        raise UserError(
            f"This document has {len(content) / MB:.0f} MB, above the limit of {most / MB:.0f} MB;"
            " split it."
        )
    if not content:
        raise UserError("This document is empty.")
    new = NewDocument(
        *(name, content, media_type[:200], "upload"),
        *(_tags(tags), _language(language), actor.name),
    )
    return await _store(console, actor, base, new)


async def add_urls(
    console: Console,
    actor: Actor,
    base_id: int,
    text: str,
    *,
    tags: Sequence[str] = (),
    language: str = "",
) -> list[Given]:
    """Fetch the documents of a list of URLs, one a line, from the operator's own networks alone, and
    have them read; what became of each, in the order of the list.

    One that cannot be had stops no other. Raises NotFoundError, UserError: a line that is no URL.
    """
    actor.require(Permission.KNOWLEDGE_EDIT)
    base = await base_of(console, actor, base_id)
    checked_tags, checked_language = _tags(tags), _language(language)
    urls = url_list(text)
    if not urls:
        raise UserError("Write one URL on each line.")
    if len(urls) > MOST_URLS:
        raise UserError(f"At most {MOST_URLS} URLs at once; for more use `ivr knowledge add`.")
    few = asyncio.Semaphore(FETCHED_AT_ONCE)

    async def one(url: str) -> Given:
        async with few:
            try:
                fetched = await fetched_from(console.settings, url)
                new = NewDocument(
                    *(url_name(url), fetched.content, fetched.media_type, url),
                    *(checked_tags, checked_language, actor.name),
                    *(fetched.seen.etag, fetched.seen.modified),
                )
                return await _store(console, actor, base, new)
            except UserError as e:
                await _log_vain(console, actor, base, url)
                return Given(shown(url), "refused", 0, str(e))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(url)) for url in urls]
    return [task.result() for task in tasks]


async def _log_vain(console: Console, actor: Actor, base: BaseKey, url: str) -> None:
    """A URL that was asked in vain is written down too: it may be somebody who looks around in the
    network."""
    async with console.engine.begin() as connection:
        detail = {"name": shown(url), "outcome": "refused", "source": "url"}
        await audit.append(connection, actor, "document.add", base.name, detail, base.tenant)


async def _store(console: Console, actor: Actor, base: BaseKey, new: NewDocument) -> Given:
    check_names(base.name, new.name)
    async with console.engine.begin() as connection:
        base_id = await lock_base(connection, base.name, tenant=base.tenant)
        added = await add_in(connection, base_id, new)
        detail = {
            "document": added.document_id,
            "name": new.name,
            "outcome": added.outcome,
            "bytes": len(new.original),
            "source": "upload" if new.source == "upload" else "url",
        }
        await audit.append(connection, actor, "document.add", base.name, detail, base.tenant)
    told = added.outcome == "unchanged" or await _tell(console, [added.document_id])
    return Given(added.name, added.outcome, added.document_id, "", told)


async def retry(console: Console, actor: Actor, base_id: int, document_id: int) -> bool:
    """Have a document read again that failed or was refused; False: there is nothing to try again."""
    actor.require(Permission.KNOWLEDGE_EDIT)
    base, found = await document_of(console, actor, base_id, document_id)
    async with console.engine.begin() as connection:
        ids = await retry_in(connection, base.name, [found.name])
        if ids:
            detail = {"document": document_id, "name": found.name}
            await audit.append(connection, actor, "document.retry", base.name, detail, base.tenant)
    if ids:
        await _tell(console, ids)
    return bool(ids)


async def remove(console: Console, actor: Actor, base_id: int, document_id: int) -> Taken:
    """Take a document out: the next version, in force at once, is without it."""
    actor.require(Permission.KNOWLEDGE_EDIT)
    base, found = await document_of(console, actor, base_id, document_id)
    async with console.engine.begin() as connection:
        if not await remove_in(connection, base.name, [found.name]):
            raise NotFoundError("There is no such document.")
        detail = {"document": document_id, "name": found.name, "passages": found.passages}
        await audit.append(connection, actor, "document.remove", base.name, detail, base.tenant)
    published = await ingest.publish(console.engine, base.name)
    return Taken(published.version, published.ended) if published else Taken(0, 0)


async def refresh(console: Console, actor: Actor, base_id: int) -> list[Given]:
    """Ask for the base's documents that came from a URL again; what became of each."""
    actor.require(Permission.KNOWLEDGE_EDIT)
    base = await base_of(console, actor, base_id)
    async with console.engine.begin() as connection:
        await audit.append(connection, actor, "knowledge.refresh", base.name, {}, base.tenant)
    asked = await ask_again(console.engine, console.settings.knowledge, base.name)
    ids = changed(asked)
    told = await _tell(console, ids) if ids else True
    return [Given(one.name, one.outcome, one.document_id, one.why, told) for one in asked]


async def passages(
    console: Console,
    actor: Actor,
    base_id: int,
    document_id: int,
    *,
    suspicious_only: bool = False,
    limit: int = 50,
    offset: int = 0,
) -> Passages:
    """A document's passages in their order, ``limit`` (at most 200) from ``offset`` on."""
    actor.require(Permission.KNOWLEDGE_READ)
    _, found = await document_of(console, actor, base_id, document_id)
    rows, total = await base_views.passages_of(
        console.engine,
        base_id,
        found.name,
        suspicious_only=suspicious_only,
        limit=min(max(limit, 1), MOST_PASSAGES),
        offset=max(0, min(offset, LARGEST_ID)),
    )
    return Passages(tuple(rows), total)


async def allow(console: Console, actor: Actor, base_id: int, passage_id: int) -> Taken:
    """Let a passage in that was kept out of searches, for it reads like orders to a language model."""
    actor.require(Permission.KNOWLEDGE_EDIT)
    base = await base_of(console, actor, base_id)
    known = None
    if 0 < passage_id <= LARGEST_ID:
        known = await base_views.suspicious_passage_of(console.engine, base_id, passage_id)
    if known is None:
        raise NotFoundError("There is no such passage that is kept out of searches.")
    detail = {"passage": passage_id, "document": known[0], "page": known[1]}

    async def log(connection: AsyncConnection) -> None:
        await audit.append(connection, actor, "passage.allow", base.name, detail, base.tenant)

    allowed, version = await versions.allow(console.engine, base.name, [passage_id], log)
    return Taken(version, allowed)


async def original(console: Console, actor: Actor, base_id: int, document_id: int) -> Original:
    """A document as it was given. Raises NotFoundError."""
    actor.require(Permission.KNOWLEDGE_READ)
    await document_of(console, actor, base_id, document_id)
    found = await base_views.original_of(console.engine, base_id, document_id)
    if found is None:
        raise NotFoundError("There is no such document.")
    return found


async def _tell(console: Console, ids: Sequence[int]) -> bool:
    """Tell the workers of documents to be read; False: Redis does not take it, or Celery is not
    installed where the console runs. The sweep of ``ivr jobs`` finds them then."""
    try:
        from appliance.jobs.enqueue import tell_workers
    except ModuleNotFoundError:
        return False
    return await tell_workers(console.settings, ids)


def _tags(tags: Sequence[str]) -> tuple[str, ...]:
    tidied = tuple(dict.fromkeys(tag.strip() for tag in tags if tag.strip()))
    if len(tidied) > MOST_TAGS:
        raise UserError(f"A document has at most {MOST_TAGS} tags.")
    for tag in tidied:
        if len(tag) > LONGEST_TAG_LETTERS or not tag.isprintable():
            raise UserError(
                f"A tag has at most {LONGEST_TAG_LETTERS} printable characters; change {tag[:20]!r}."
            )
    return tidied


def _language(language: str) -> str:
    language = language.strip()
    plain = language.replace("-", "")
    if language and not (
        plain.isascii() and plain.isalnum() and len(language) <= LONGEST_LANGUAGE_LETTERS
    ):
        raise UserError("Write the language as a code, such as en, hi or ta; or leave it out.")
    return language
