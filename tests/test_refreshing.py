"""Documents with a URL, asked for again: a real server that changes, loses and refuses them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.jobs import documents as jobs
from appliance.jobs.periodic import PERIODIC
from appliance.knowledge import ingest
from appliance.knowledge.fetching import fetch
from appliance.knowledge.reading import ReadOptions
from appliance.knowledge.refreshing import Asked, changed, refresh
from appliance.knowledge.work import read_one
from appliance.ops.keeping.ports import free_port
from appliance.settings import Knowledge, Settings
from appliance.store import documents, leases
from appliance.store.document_views import DocumentView, list_documents
from appliance.store.documents import NewDocument
from appliance.store.passages import read, version_of
from tests.letters import Letters

pytestmark = pytest.mark.server

OURS = Knowledge(networks=("127.0.0.0/8",))  # type: ignore[arg-type]


@dataclass
class Shelf:
    """A server whose pages a test changes. Pages without an ETag have a date."""

    port: int
    pages: dict[str, str | int] = field(default_factory=dict)
    """By path: a text, or the status that it is answered with."""
    tagged: bool = True
    asked: list[tuple[str, int]] = field(default_factory=list)
    runner: web.AppRunner | None = None

    async def answer(self, request: web.Request) -> web.Response:
        page = self.pages.get(request.path, 404)
        response = self._answer(page, request.headers.get("If-None-Match", ""))
        self.asked.append((request.path, response.status))
        return response

    def _answer(self, page: str | int, known: str) -> web.Response:
        if isinstance(page, int):
            return web.Response(status=page)
        etag = f'"{hash(page)}"'
        if self.tagged and known == etag:
            return web.Response(status=304)
        headers = {"ETag": etag} if self.tagged else {}
        return web.Response(text=page, content_type="text/markdown", headers=headers)

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self.answer)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def take_asked(self) -> list[tuple[str, int]]:
        asked, self.asked = self.asked, []
        return asked


@pytest.fixture
async def shelf() -> AsyncIterator[Shelf]:
    found = Shelf(free_port())
    await found.start()
    yield found
    with suppress(RuntimeError):
        await found.stop()


async def add(engine: AsyncEngine, shelf: Shelf, path: str, page: str) -> int:
    """As ``ivr knowledge add`` does."""
    shelf.pages[path] = page
    url = shelf.url(path)
    found = await fetch(url, OURS.networks, 1_000_000)
    seen = found.seen
    new = NewDocument(
        *(url, found.content, found.media_type, url, ("plans",), "en", "asha"),
        *(seen.etag, seen.modified),
    )
    return (await ingest.add(engine, "kb", new)).document_id


async def work(engine: AsyncEngine) -> None:
    """Everything that is due, and a version of it."""
    for document_id in await leases.due(engine):
        await read_one(engine, Letters(), ReadOptions(), document_id)
    await ingest.publish(engine, "kb")


async def in_force(engine: AsyncEngine) -> list[str]:
    return [passage.text for passage in await read(engine, "kb", await version_of(engine, "kb"))]


async def view(engine: AsyncEngine, name: str) -> DocumentView:
    (found,) = await list_documents(engine, "kb", [name])
    return found


async def outcomes(engine: AsyncEngine) -> list[str]:
    return [asked.outcome for asked in await refresh(engine, OURS)]


@pytest.mark.parametrize("tagged", [True, False])
async def test_what_changed_is_read_again_and_nothing_else(
    engine: AsyncEngine, shelf: Shelf, tagged: bool
) -> None:
    shelf.tagged = tagged
    ten = await add(engine, shelf, "/ten.md", "# T\n\nThe fee is ten.\n\nCash only.")
    await add(engine, shelf, "/hours.md", "# H\n\nOpen at nine.")
    await work(engine)
    first = await version_of(engine, "kb")
    rows = {passage.text: passage.id for passage in await read(engine, "kb", first)}
    shelf.take_asked()
    assert await outcomes(engine) == ["unchanged"] * 2
    assert [status for _, status in shelf.take_asked()] == [304 if tagged else 200] * 2
    assert await leases.due(engine) == []
    shelf.pages["/ten.md"] = "# T\n\nThe fee is twenty.\n\nCash only."
    asked = await refresh(engine, OURS)
    assert sorted(one.outcome for one in asked) == ["changed", "unchanged"]
    assert changed(asked) == await leases.due(engine) == [ten]
    assert "The fee is ten." in await in_force(engine)  # until the next version
    await work(engine)
    assert set(await in_force(engine)) == {"The fee is twenty.", "Cash only.", "Open at nine."}
    now = {passage.text: passage.id for passage in await read(engine, "kb", first + 1)}
    assert now["Cash only."] == rows["Cash only."] and now["Open at nine."] == rows["Open at nine."]
    document = await view(engine, shelf.url("/ten.md"))
    assert (document.tags, document.language, document.added_by) == (("plans",), "en", "asha")
    assert document.state == "published" and document.asked_at is not None
    assert await outcomes(engine) == ["unchanged"] * 2


@pytest.mark.parametrize("status", [404, 410])
async def test_what_is_gone_stays_in_force_and_is_told(
    engine: AsyncEngine, shelf: Shelf, status: int
) -> None:
    await add(engine, shelf, "/ten.md", "# T\n\nThe fee is ten.")
    await work(engine)
    shelf.pages["/ten.md"] = status
    assert await outcomes(engine) == ["gone"]
    document = await view(engine, shelf.url("/ten.md"))
    assert document.state == "published" and document.error == ""
    assert f"is gone (status {status})" in document.source_error
    await work(engine)
    assert await in_force(engine) == ["The fee is ten."]
    shelf.pages["/ten.md"] = "# T\n\nThe fee is ten."  # there again, as it was
    assert await outcomes(engine) == ["unchanged"]
    assert (await view(engine, shelf.url("/ten.md"))).source_error == ""


async def test_a_server_that_is_away_is_asked_again_the_next_night(
    engine: AsyncEngine, shelf: Shelf
) -> None:
    for number in range(5):
        await add(engine, shelf, f"/{number}.md", f"# T\n\nText {number}.")
    await work(engine)
    await shelf.stop()
    assert await outcomes(engine) == ["away"] * 5
    errors = [one.source_error for one in await list_documents(engine, "kb")]
    assert sum("cannot be reached" in error for error in errors) == 3
    assert sum("does not answer" in error for error in errors) == 2  # they were not even asked
    assert len(await in_force(engine)) == 5
    await shelf.start()
    shelf.take_asked()
    assert await outcomes(engine) == ["unchanged"] * 5
    # those that were not asked yesterday come first
    assert {path for path, _ in shelf.take_asked()[:2]} == {"/3.md", "/4.md"}
    assert not any(one.source_error for one in await list_documents(engine, "kb"))


async def test_servers_in_trouble_and_refusals(engine: AsyncEngine, shelf: Shelf) -> None:
    name = shelf.url("/ten.md")
    await add(engine, shelf, "/ten.md", "# T\n\nThe fee is ten.")
    await add(engine, shelf, "/other.md", "# O\n\nOther.")
    await work(engine)
    for answer, outcome, says in (
        (503, "away", "answers with status 503"),
        (403, "refused", "answers with status 403"),
        ("# O\n\nOther.", "refused", "the same content as"),
        ("# T\n\n" + "x" * 1_000_001, "refused", "larger than 1 MB"),
    ):
        shelf.pages["/ten.md"] = answer
        small = OURS.model_copy(update={"max_document_mb": 1})
        found: dict[str, Asked] = {one.name: one for one in await refresh(engine, small)}
        assert found[name].outcome == outcome and says in found[name].why
        assert (await view(engine, name)).source_error == found[name].why
    nowhere = Knowledge()
    assert [one.outcome for one in await refresh(engine, nowhere)] == ["refused"] * 2
    assert sorted(await in_force(engine)) == ["Other.", "The fee is ten."]


async def test_content_that_was_refused_is_not_read_again_until_it_changes(
    engine: AsyncEngine, shelf: Shelf
) -> None:
    shelf.tagged = False
    await add(engine, shelf, "/empty.md", "# Only a title")
    await work(engine)
    name = shelf.url("/empty.md")
    assert (await view(engine, name)).state == "refused"
    assert await outcomes(engine) == ["unchanged"]
    assert (await view(engine, name)).state == "refused"
    shelf.pages["/empty.md"] = "# A title\n\nAnd a text."
    assert await outcomes(engine) == ["changed"]
    await work(engine)
    assert await in_force(engine) == ["And a text."]


async def test_a_document_that_was_removed_or_replaced_is_asked_for_no_more(
    engine: AsyncEngine, shelf: Shelf
) -> None:
    await add(engine, shelf, "/a.md", "# A\n\nOne.")
    await add(engine, shelf, "/b.md", "# B\n\nTwo.")
    await ingest.add(engine, "kb", NewDocument("file.md", b"# F\n\nThree."))
    await work(engine)
    await ingest.remove(engine, "kb", [shelf.url("/a.md")])
    # the same content, by hand: from now on it is a person's
    by_hand = NewDocument(shelf.url("/b.md"), b"# B\n\nTwo.", tags=("plans",), language="en")
    assert (await documents.add(engine, "kb", by_hand)).outcome == "unchanged"
    shelf.take_asked()
    assert await refresh(engine, OURS) == [] and shelf.asked == []


async def test_every_night_all_bases_are_asked(engine: AsyncEngine, shelf: Shelf) -> None:
    assert [p.every_s for p in PERIODIC if p.function.endswith("documents:refresh")] == [0]
    await add(engine, shelf, "/a.md", "# A\n\nOne.")
    await work(engine)
    settings = Settings(knowledge=OURS)
    assert await jobs.refresh(engine, settings) == jobs.Refreshed(unchanged=1)
    shelf.pages["/a.md"] = 410
    assert await jobs.refresh(engine, settings) == jobs.Refreshed(gone=1)
    assert await refresh(engine, OURS, "another base") == []
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM document_revisions")) == 1
