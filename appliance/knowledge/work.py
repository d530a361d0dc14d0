"""One document, read by one worker from taken to ready, with a lease that its signs of life renew.

Whatever ends this (a bad document, a server that is away, kill -9), the document is left in a state
that says so, or with a lease that expires; what is stored of it by then is in no version.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.engines.base import Embedder
from appliance.engines.posting import RefusedTextError
from appliance.errors import EngineError, UserError, reason_of
from appliance.knowledge.cutting import Draft
from appliance.knowledge.drafts import cut_and_checked, new_passage
from appliance.knowledge.embedding import vectors_of
from appliance.knowledge.reading import (
    ReadDocument,
    RefusedDocumentError,
    pages_to_json,
    read_document,
)
from appliance.knowledge.reading.document import ReadOptions
from appliance.store import leases, revisions
from appliance.store.documents import State
from appliance.store.leases import LEASE_S, LostDocumentError, Taken

STAGE_AT_ONCE = 64
"""Passages embedded and stored in one step: some seconds of the embedder, lost when we die."""
TELL_EVERY_S = 1.0
"""Progress is told so often at most."""
SIGN_EVERY_S = LEASE_S / 4

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a document that was taken."""

    base: str
    name: str
    state: State
    passages: int = 0
    error: str = ""


async def read_one(
    engine: AsyncEngine, embedder: Embedder, options: ReadOptions, document_id: int
) -> Outcome | None:
    """Take a document, read it, and store its passages with their vectors, ready to be published.

    None: it is not due, or another has it, or took it meanwhile. Trouble with the document or the
    embedder is an outcome; trouble with Postgres is raised (SQLAlchemyError, OSError): the lease
    then expires.
    """
    taken = await leases.take(engine, document_id)
    if taken is None:
        return None
    _log.info("< %s: %s, attempt %d", taken.base, taken.name, taken.attempts)
    work = _Work(engine, taken)
    try:
        return await work.with_signs_of_life(_Reading(work, embedder, options))
    except LostDocumentError:
        _log.info("= %s: %s is another's now", taken.base, taken.name)
        return None
    except RefusedDocumentError as e:
        return await work.refused(str(e))
    except UserError as e:  # a reader that died or was too slow; vectors of another model
        return await work.failed(str(e))
    except RefusedTextError as e:  # this document's text: waiting would not help
        return await work.failed(
            f"The embedding server refuses a passage of it ({e}); shorten its longest paragraphs and"
            " table rows, or use a model that takes longer texts."
        )
    except EngineError as e:
        return await work.failed(f"The embedding server is away: {e}.", outage=True)
    except (SQLAlchemyError, OSError):
        raise
    except Exception as e:  # border of a job: a bug of ours with this document stops no other
        _log.exception("! %s: %s", taken.base, taken.name)
        return await work.failed(f"Reading it failed: {reason_of(e)}")


class _Work:
    """The lease on a document, and who says that we live."""

    def __init__(self, engine: AsyncEngine, taken: Taken) -> None:
        self.engine = engine
        self.taken = taken
        self.lease = taken.lease
        self.changing = asyncio.Lock()
        """Whoever renews the lease: its value is the token of the next one."""
        self._pages: tuple[int, int] | None = None
        """Read so far, of how many; None when that is told, or over."""

    def note_pages(self, done: int, total: int) -> None:
        """Pages read so far."""
        self._pages = (done, total)

    def all_pages_read(self) -> None:
        """From now on ``done`` and ``total`` count passages."""
        self._pages = None

    async def with_signs_of_life(self, reading: _Reading) -> Outcome:
        """What ``reading`` comes to, while our lease lasts."""
        try:
            async with asyncio.TaskGroup() as tasks:
                signs = tasks.create_task(self._say_so())
                outcome = await reading.outcome()
                signs.cancel()
                return outcome
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _say_so(self) -> None:
        last = monotonic()
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            if self._pages is None and monotonic() - last < SIGN_EVERY_S:
                continue
            last = monotonic()
            try:
                async with self.changing:
                    pages, self._pages = self._pages, None
                    values = {"done": pages[0], "total": pages[1]} if pages else {}
                    self.lease = await leases.sign_of_life(
                        self.engine, self.taken, self.lease, **values
                    )
            except (SQLAlchemyError, OSError) as e:
                _log.warning("! %s: no sign of life: %s", self.taken.name, reason_of(e))

    async def refused(self, why: str) -> Outcome | None:
        """Tell why it will never be read."""
        _log.info("! %s: %s refused", self.taken.base, self.taken.name)
        ours = await leases.refuse(self.engine, self.taken, self.lease, why)
        return self._outcome(State.REFUSED, why) if ours else None

    async def failed(self, why: str, *, outage: bool = False) -> Outcome | None:
        """Tell why it was not read this time."""
        _log.warning("! %s: %s: %s", self.taken.base, self.taken.name, why)
        await leases.fail(self.engine, self.taken, self.lease, why, outage=outage)
        return self._outcome(State.FAILED, why)

    def _outcome(self, state: State, error: str = "") -> Outcome:
        return Outcome(self.taken.base, self.taken.name, state, error=error)


class _Reading:
    """The steps from original to stored passages."""

    def __init__(self, work: _Work, embedder: Embedder, options: ReadOptions) -> None:
        self._work = work
        self._taken = work.taken
        self._embedder = embedder
        self._options = options

    async def outcome(self) -> Outcome:
        """Read, cut, embed, store."""
        taken = self._taken
        document = await read_document(
            *(taken.original, taken.name, taken.media_type, self._options, self._work.note_pages)
        )
        drafts = await cut_and_checked(document)
        if not drafts:
            raise RefusedDocumentError(
                f"{taken.name} has no text to answer from; write some paragraphs."
            )
        work = self._work
        async with work.changing:
            work.all_pages_read()
            work.lease = await revisions.keep_text(
                work.engine,
                taken,
                work.lease,
                media_type=document.media_type,
                language=document.language,
                pages=pages_to_json(document.pages),
                notes=document.notes,
                total=len(drafts),
            )
        await self._store(document, drafts)
        async with work.changing:
            await revisions.make_ready(work.engine, taken, work.lease)
        _log.info("= %s: %s ready, %d passages", taken.base, taken.name, len(drafts))
        return Outcome(taken.base, taken.name, State.READY, len(drafts))

    async def _store(self, document: ReadDocument, drafts: Sequence[Draft]) -> None:
        work, taken = self._work, self._taken
        known = await revisions.in_force(work.engine, taken.base_id, taken.name)
        left = await self._left(drafts)
        done = len(drafts) - len(left)
        for begin in range(0, len(left), STAGE_AT_ONCE):
            portion = left[begin : begin + STAGE_AT_ONCE]
            fresh = [key for place in portion if (key := _key(drafts[place])) not in known]
            vectors, model = await vectors_of(self._embedder, fresh) if fresh else ([], "")
            vector = dict(zip(fresh, vectors, strict=True))
            passages = [
                new_passage(
                    *(drafts[place], taken.name, place, vector.get(_key(drafts[place]))),
                    *(taken.language or drafts[place].language or document.language, taken.tags),
                )
                for place in portion
            ]
            done += len(portion)
            async with work.changing:
                work.lease = await revisions.stage(
                    *(work.engine, taken, work.lease, passages),
                    model=model,
                    done=done,
                    total=len(drafts),
                )

    async def _left(self, drafts: Sequence[Draft]) -> list[int]:
        """Places whose passages are not stored yet: those a worker before us stored are kept."""
        work = self._work
        stored = await revisions.staged(work.engine, self._taken)
        fits = {
            place
            for place, passage in stored.items()
            if place < len(drafts) and passage == _same(drafts[place])
        }
        if stale := sorted(stored.keys() - fits):
            async with work.changing:
                work.lease = await revisions.forget_staged(
                    work.engine, self._taken, work.lease, stale
                )
        return [place for place in range(len(drafts)) if place not in fits]


def _key(draft: Draft) -> tuple[str, str]:
    return draft.heading, draft.text


def _same(draft: Draft) -> tuple[str, str, int | None, bool]:
    return draft.heading, draft.text, draft.page, draft.suspicious
