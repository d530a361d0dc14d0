"""Documents that have a URL, asked for again: what changed is read anew, what is gone stays in force.

An answering machine that forgets all its tariffs because a web server is being mended would be worse
than one that knows those of yesterday. So nothing is removed here; a person does that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError
from appliance.knowledge.fetching import (
    GoneDocumentError,
    Seen,
    check_url,
    fetch_changed,
    shown,
)
from appliance.knowledge.reading.document import RefusedDocumentError, UnreadableDocumentError
from appliance.settings import Knowledge
from appliance.store.documents import NewDocument
from appliance.store.sources import (
    Source,
    list_sources,
    note_trouble,
    note_unchanged,
    put_content,
)

RUN_S = 2 * 3600.0
"""Of one run; what is left is asked first in the next."""
MOST_MISSES = 3
"""Of one server in a row; its other documents are not asked for in this run."""
MB = 1_000_000

_log = logging.getLogger(__name__)

Outcome = Literal["unchanged", "changed", "gone", "away", "refused", "other"]
"""``other``: somebody removed the document, or gave it another source, meanwhile."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of one document whose URL was asked."""

    document_id: int
    base: str
    name: str
    outcome: Outcome
    why: str = ""
    """One sentence, where it did not come."""


async def refresh(
    engine: AsyncEngine,
    knowledge: Knowledge,
    base: str = "",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Asked]:
    """Ask for the documents of one base, or of all, again. Those that changed wait to be read then.

    ``progress``: how many of how many. Raises SQLAlchemyError or OSError: Postgres is away.
    """
    until = monotonic() + RUN_S
    asking = _Asking(engine, knowledge)
    sources = await list_sources(engine, base)
    asked: list[Asked] = []
    for source in sources:
        if monotonic() > until:
            _log.warning("! %d URLs are left for the next run", len(sources) - len(asked))
            break
        asked.append(await asking.again(source))
        progress(len(asked), len(sources))
    return asked


def changed(asked: Sequence[Asked]) -> list[int]:
    """Ids of the documents to be read."""
    return [one.document_id for one in asked if one.outcome == "changed"]


class _Asking:
    """One run: which servers have not answered in it."""

    def __init__(self, engine: AsyncEngine, knowledge: Knowledge) -> None:
        self._engine = engine
        self._knowledge = knowledge
        self._misses: dict[tuple[str, int], int] = {}

    async def again(self, source: Source) -> Asked:
        """Ask for one document, and store what comes."""
        try:
            server = check_url(source.url)
            if self._misses.get(server, 0) >= MOST_MISSES:
                why = f"{server[0]} does not answer; it is asked again the next night."
                return await self._trouble(source, "away", why, asked=False)
            outcome = await self._fetched(source)
            self._misses.pop(server, None)
        except UnreadableDocumentError as e:
            self._misses[server] = self._misses.get(server, 0) + 1
            return await self._trouble(source, "away", f"{e} What is in force stays.")
        except GoneDocumentError as e:
            why = (
                f"{shown(source.url)} is gone (status {e.status}); what was read of it stays in force"
                f" until `ivr knowledge remove` takes it out."
            )
            return await self._trouble(source, "gone", why)
        except (RefusedDocumentError, UserError) as e:
            return await self._trouble(source, "refused", f"{e} What is in force stays.")
        if outcome == "changed":
            _log.info("< %s: %s changed", source.base, source.name)
        return Asked(source.document_id, source.base, source.name, outcome)

    async def _fetched(self, source: Source) -> Outcome:
        knowledge = self._knowledge
        seen = Seen(source.etag, source.modified)
        most = knowledge.max_document_mb * MB
        found = await fetch_changed(source.url, knowledge.networks, most, seen)
        if found is None:
            await note_unchanged(self._engine, source)
            return "unchanged"
        new = NewDocument(
            *(source.name, found.content, found.media_type),
            etag=found.seen.etag,
            modified=found.seen.modified,
        )
        added = await put_content(self._engine, source, new)
        if added is None:
            return "other"
        return "unchanged" if added.outcome == "unchanged" else "changed"

    async def _trouble(
        self, source: Source, outcome: Outcome, why: str, *, asked: bool = True
    ) -> Asked:
        _log.info("! %s: %s: %s", source.base, source.name, why)
        await note_trouble(self._engine, source, why, asked=asked)
        return Asked(source.document_id, source.base, source.name, outcome, why)
