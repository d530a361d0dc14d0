"""``ivr knowledge add|list|show|retry|refresh|remove|drop|versions|reembed|allow``."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.commandline import Act, note
from appliance.errors import UserError
from appliance.knowledge import ingest
from appliance.knowledge.backends import open_backends
from appliance.knowledge.fetching import Fetched, Seen, fetch, shown, url_list
from appliance.knowledge.reading.media_types import SUFFIXES
from appliance.knowledge.refreshing import Asked, changed
from appliance.knowledge.refreshing import refresh as ask_again
from appliance.ops.console import who
from appliance.settings import Settings
from appliance.store import documents, dropping, leases, versions
from appliance.store.database import opened
from appliance.store.document_views import (
    BaseView,
    DocumentView,
    SuspiciousView,
    list_bases,
    list_documents,
    list_suspicious,
)
from appliance.store.documents import NewDocument
from appliance.store.dropping import Dropped
from appliance.store.publishing import Published
from appliance.store.versions import Version

MB = 1_000_000
MOST_LOGGED = 200
"""Names of documents in one row of the audit log."""
URL_SCHEMES = ("http://", "https://")

Tell = Callable[[Settings, Sequence[int]], Awaitable[bool]]
"""Tells the workers of documents to be read; False: Redis does not take it."""


@dataclass(frozen=True, slots=True)
class Given:
    """A document that somebody names, before it is read."""

    name: str
    where: Path | str
    """A file, or a URL."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one document that was given."""

    name: str
    outcome: str
    """``added``, ``changed``, ``unchanged``, or ``refused`` (``why`` says so in a sentence)."""
    document_id: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class AddedAll:
    """What became of all, and whether the workers know of it."""

    results: tuple[Result, ...]
    told: bool
    """False: Redis is away; the sweep of ``ivr jobs`` finds the documents by itself."""

    @property
    def open(self) -> list[int]:
        """The documents to be read."""
        return [r.document_id for r in self.results if r.outcome in ("added", "changed")]


def given(what: Sequence[str], lists: Sequence[Path] = ()) -> list[Given]:
    """The documents that files, folders, URLs and lists of URLs name. Raises UserError."""
    found: dict[str, Given] = {}
    for one in _named(what, lists):
        if one.name in found and found[one.name].where != one.where:
            raise UserError(
                f"{found[one.name].where} and {one.where} would both be {one.name}; rename one, or"
                " add them from the folder above both."
            )
        found[one.name] = one
    if not found:
        raise UserError(f"There is no document in {', '.join(map(str, (*what, *lists)))}.")
    return list(found.values())


def _named(what: Sequence[str], lists: Sequence[Path]) -> Iterator[Given]:
    for one in what:
        path = Path(one)
        if one.lower().startswith(URL_SCHEMES):
            yield Given(url_name(one), one)
        elif path.is_dir():
            root = path.resolve()
            files = (f for f in sorted(path.rglob("*")) if f.suffix[1:].lower() in SUFFIXES)
            for file in files:
                inside = file.relative_to(path)
                if not file.resolve().is_relative_to(root):
                    continue  # a link that leads out: whoever fills the folder may not read that file
                if file.is_file() and not any(part.startswith(".") for part in inside.parts):
                    yield Given(str(inside), file)
        elif path.is_file():
            yield Given(path.name, path)
        else:
            raise UserError(f"{one} is no file, no folder and no URL (http://… or https://…).")
    for file in lists:
        try:
            urls = url_list(file.read_text("utf-8-sig"))
        except (OSError, UnicodeDecodeError) as e:
            raise UserError(f"The list {file} cannot be read: {e}.") from e
        yield from (Given(url_name(url), url) for url in urls)


def url_name(url: str) -> str:
    """The name of a document that comes from ``url``: without its query, which may hold a secret, but
    not the same as another's."""
    _, _, query = url.partition("?")
    return shown(url) + (f"?{hashlib.sha256(query.encode()).hexdigest()[:8]}" if query else "")


async def add(
    settings: Settings,
    base: str,
    wanted: Sequence[Given],
    *,
    tags: Sequence[str],
    language: str,
    tell: Tell,
    tenant: str = "",
    progress: Callable[[Result], None] = lambda result: None,
) -> AddedAll:
    """Store the documents and have them read. One that cannot be had stops no other. ``tenant``: whose
    the base is, or is to be. Raises UserError: Postgres is away, or the base's name will not do."""
    documents.check_names(base)
    results = []
    async with opened(settings) as engine:
        if tenant:  # before anything is fetched for a base that is another's
            async with engine.begin() as connection:
                await documents.lock_base(connection, base, tenant=tenant)
        for one in wanted:
            results.append(await _add_one(engine, settings, base, one, tuple(tags), language))
            progress(results[-1])
        if names := [one.name for one in results if one.outcome in ("added", "changed")]:
            await note(engine, _act("document.add", base, documents=names[:MOST_LOGGED]))
    added = AddedAll(tuple(results), True)
    told = await tell(settings, added.open) if added.open else True
    return AddedAll(added.results, told)


async def _add_one(
    engine: AsyncEngine,
    settings: Settings,
    base: str,
    one: Given,
    tags: tuple[str, ...],
    language: str,
) -> Result:
    try:
        original, media_type, seen = await _original(settings, one)
        source = str(one.where) if isinstance(one.where, str) else "upload"
        new = NewDocument(
            *(one.name, original, media_type, source, tags, language, who()),
            *(seen.etag, seen.modified),
        )
        added = await ingest.add(engine, base, new)
    except UserError as e:
        return Result(one.name, "refused", 0, str(e))
    return Result(one.name, added.outcome, added.document_id)


async def _original(settings: Settings, one: Given) -> tuple[bytes, str, Seen]:
    most = settings.knowledge.max_document_mb * MB
    if isinstance(one.where, str):
        fetched = await fetched_from(settings, one.where)
        return fetched.content, fetched.media_type, fetched.seen
    try:
        size = one.where.stat().st_size
        if size > most:
            raise UserError(
                f"{one.where} has {size / MB:.0f} MB, above the limit of {most / MB:.0f} MB; split"
                " it, or raise knowledge.max_document_mb."
            )
        return await asyncio.to_thread(one.where.read_bytes), "", Seen()
    except OSError as e:
        raise UserError(f"{one.where} cannot be read: {e.strerror}.") from e


async def fetched_from(settings: Settings, url: str) -> Fetched:
    """The document at ``url``, which must be of the operator's own networks. Raises UserError."""
    if not settings.knowledge.networks:
        raise UserError(
            "Documents are read from URLs of your own networks only: name them in"
            " knowledge.networks."
        )
    most = settings.knowledge.max_document_mb * MB
    return await fetch(url, settings.knowledge.networks, most)


async def watch(
    settings: Settings, base: str, ids: Sequence[int], every_s: float = 0.5
) -> AsyncGenerator[list[DocumentView], None]:
    """How far the documents are, again and again, until each is what it will be."""
    async with opened(settings) as engine:
        while True:
            found = await list_documents(engine, base, ids=ids)
            yield found
            if not any(is_open(one) for one in found):
                return
            await asyncio.sleep(every_s)


def is_open(document: DocumentView) -> bool:
    """Whether somebody still has something to do with it."""
    waits = document.state == documents.State.FAILED and document.next_at is not None
    return waits or document.state in documents.OPEN


async def bases(settings: Settings) -> list[BaseView]:
    """All bases."""
    async with opened(settings) as engine:
        return await list_bases(engine)


async def of_base(
    settings: Settings, base: str, name: str = ""
) -> tuple[list[DocumentView], list[SuspiciousView]]:
    """The documents of a base, or the one named, with the passages that are kept out of searches.

    Raises UserError: there is no such base or document.
    """
    async with opened(settings) as engine:
        await _must_exist(engine, base)
        found = await list_documents(engine, base, [name] if name else [])
        if name and not found:
            raise UserError(
                f"{base} has no document {name}; `ivr knowledge show {base}` lists what it has."
            )
        return found, await list_suspicious(engine, base, name)


async def retry(settings: Settings, base: str, names: Sequence[str], tell: Tell) -> AddedAll:
    """Have documents read again that failed or were refused. Raises UserError."""
    async with opened(settings) as engine:
        await _must_exist(engine, base)
        await note(engine, _act("document.retry", base, documents=list(names)[:MOST_LOGGED]))
        ids = await documents.retry(engine, base, names)
        found = await list_documents(engine, base, ids=ids) if ids else []
    results = tuple(Result(one.name, "changed", one.id) for one in found)
    return AddedAll(results, await tell(settings, ids) if ids else True)


async def refresh(
    settings: Settings, base: str, tell: Tell, progress: Callable[[int, int], None]
) -> tuple[list[Asked], bool]:
    """Ask for the documents of a base that have a URL again, and have those read that changed; what
    became of each, and whether the workers know of it. Raises UserError."""
    async with opened(settings) as engine:
        await _must_exist(engine, base)
        await note(engine, _act("knowledge.refresh", base))
        asked = await ask_again(engine, settings.knowledge, base, progress)
    ids = changed(asked)
    return asked, await tell(settings, ids) if ids else True


async def remove(settings: Settings, base: str, names: Sequence[str]) -> Published | None:
    """Take documents out of the next version. Raises UserError."""
    async with opened(settings) as engine:
        await _must_exist(engine, base)
        await note(engine, _act("document.remove", base, documents=list(names)[:MOST_LOGGED]))
        return await ingest.remove(engine, base, names)


async def drop(settings: Settings, base: str, progress: Callable[[int], None]) -> Dropped:
    """Take a base away. Raises UserError."""
    async with opened(settings) as engine:
        await _must_exist(engine, base)
        await note(engine, _act("knowledge.drop", base))
        return await dropping.drop(engine, base, progress)


async def allow(settings: Settings, base: str, ids: Sequence[int]) -> tuple[int, int]:
    """Let suspicious passages in; how many, and the version that has them. Raises UserError."""
    async with opened(settings) as engine:
        await _must_exist(engine, base)
        await note(engine, _act("passage.allow", base, passages=list(ids)[:MOST_LOGGED]))
        allowed, version = await versions.allow(engine, base, ids)
    if not allowed:
        raise UserError(
            f"{base} has no suspicious passage of these numbers; `ivr knowledge show {base}` lists"
            " them."
        )
    return allowed, version


async def list_versions(settings: Settings, base: str) -> list[Version]:
    """The versions of a base, the latest first. Raises UserError."""
    async with opened(settings) as engine:
        await _must_exist(engine, base)
        return await versions.list_versions(engine, base)


async def reembed(
    settings: Settings, base: str, progress: Callable[[int], None], tell: Tell
) -> Published | None:
    """Embed a base again with the model that the servers have now. Raises UserError."""
    async with open_backends(settings) as backends:
        await note(backends.engine, _act("knowledge.reembed", base))
        published = await ingest.reembed(backends.engine, backends.embedder, base, progress)
        due = await leases.due(backends.engine)
    if due:
        await tell(settings, due)
    return published


def _act(action: str, base: str, **detail: list[str] | list[int]) -> Act:
    return Act(action, base, detail, base=base)


async def _must_exist(engine: AsyncEngine, base: str) -> None:
    if await versions.base_of(engine, base) is None:
        raise UserError(f"There is no knowledge base {base}; `ivr knowledge list` shows all.")


def as_facts(document: DocumentView) -> dict[str, Any]:
    """A document for ``--json``."""
    facts = {name: getattr(document, name) for name in DocumentView.__slots__}
    return facts | {"source": source_shown(document)}


def source_shown(document: DocumentView) -> str:
    """Where the document is from, without what only its server shall know."""
    return shown(document.source) if documents.is_url(document.source) else document.source
