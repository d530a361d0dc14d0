"""Documents in Postgres: added, taken by lease, read by one worker, published, removed, pruned."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError
from appliance.knowledge import ingest
from appliance.knowledge.reading import ReadOptions
from appliance.knowledge.work import Outcome, read_one
from appliance.store import documents, leases, pruning, publishing, revisions, versions
from appliance.store.documents import DuplicateDocumentError, NewDocument, State
from appliance.store.leases import LostDocumentError
from appliance.store.passages import read, version_of
from tests.letters import Letters

pytestmark = pytest.mark.server

FEES = b"# T\n## Fees\nThe fee is ten.\n\nCash only.\n"


async def add(
    engine: AsyncEngine, name: str, original: bytes, tags: tuple[str, ...] = ()
) -> documents.Added:
    return await ingest.add(engine, "kb", NewDocument(name, original, tags=tags))


async def work(engine: AsyncEngine, letters: Letters | None = None) -> list[Outcome | None]:
    """Everything that is due, one after another."""
    return [
        await read_one(engine, letters or Letters(), ReadOptions(), document_id)
        for document_id in await leases.due(engine)
    ]


async def column(engine: AsyncEngine, name: str, of: str = "documents") -> list[object]:
    async with engine.connect() as connection:
        rows = await connection.execute(text(f"SELECT {name} FROM {of} ORDER BY id"))
        return list(rows.scalars())


async def expire(engine: AsyncEngine) -> None:
    """As if a minute had passed without a sign of life."""
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE documents SET taken_at = taken_at - '61 s'::interval")
        )


async def test_read_then_published(engine: AsyncEngine) -> None:
    added = await add(engine, "fees.md", FEES, ("money",))
    assert added.outcome == "added"
    (outcome,) = await work(engine)
    assert outcome == Outcome("kb", "fees.md", State.READY, 2)
    assert await version_of(engine, "kb") == 0 and not await read(engine, "kb", 0)
    assert await publishing.bases_to_publish(engine) == ["kb"]
    published = await ingest.publish(engine, "kb")
    assert published == publishing.Published("kb", 1, 2, 0)
    assert [p.text for p in await read(engine, "kb", 1)] == ["The fee is ten.", "Cash only."]
    assert await column(engine, "state") == ["published"]
    assert await column(engine, "tags", "passages") == [["money"], ["money"]]
    assert await publishing.bases_to_publish(engine) == []
    assert await ingest.publish(engine, "kb") is None
    assert await leases.due(engine) == []


async def test_the_same_again_changes_nothing_and_another_name_is_refused(
    engine: AsyncEngine,
) -> None:
    await add(engine, "fees.md", FEES)
    assert (await add(engine, "fees.md", FEES)).outcome == "unchanged"
    await work(engine)
    await ingest.publish(engine, "kb")
    assert (await add(engine, "fees.md", FEES)).outcome == "unchanged"
    with pytest.raises(DuplicateDocumentError, match=r"copy.md has the same content as fees.md"):
        await add(engine, "copy.md", FEES)
    assert await column(engine, "name") == ["fees.md"]
    await ingest.remove(engine, "kb", ["fees.md"])
    assert (await add(engine, "copy.md", FEES)).outcome == "added"


async def test_two_who_add_the_same_content_at_once(engine: AsyncEngine) -> None:
    given = (add(engine, f"{n}.md", FEES) for n in range(4))
    done = await asyncio.gather(*given, return_exceptions=True)
    refused = [e for e in done if isinstance(e, DuplicateDocumentError)]
    assert len(refused) == 3 and len(await column(engine, "name")) == 1


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 501])
async def test_names_that_will_not_do(engine: AsyncEngine, name: str) -> None:
    with pytest.raises(UserError, match="name of a document"):
        await add(engine, name, FEES)


async def test_what_has_not_changed_keeps_its_row(engine: AsyncEngine) -> None:
    await add(engine, "fees.md", FEES)
    await work(engine)
    await ingest.publish(engine, "kb")
    before = {p.text: p.id for p in await read(engine, "kb", 1)}
    added = await add(engine, "fees.md", b"# T\n## Fees\nNew first.\n\n" + FEES[12:])
    assert added.outcome == "changed"
    letters = Letters()
    await work(engine, letters)
    assert letters.asked == ["Fees", "Fees New first."]
    assert {p.text for p in await read(engine, "kb", 1)} == before.keys()
    published = await ingest.publish(engine, "kb")
    assert published == publishing.Published("kb", 2, 1, 0)
    after = {p.text: p.id for p in await read(engine, "kb", 2)}
    assert {t: i for t, i in after.items() if t in before} == before
    # back to what it was: a revision that is known, and a version that ends the new passage
    await add(engine, "fees.md", FEES)
    letters = Letters()
    await work(engine, letters)
    assert letters.asked == []
    assert await ingest.publish(engine, "kb") == publishing.Published("kb", 3, 0, 1)
    assert {p.text: p.id for p in await read(engine, "kb", 3)} == before
    assert {p.text for p in await read(engine, "kb", 2)} == after.keys()


async def test_a_text_that_stands_twice(engine: AsyncEngine) -> None:
    await add(engine, "a.md", b"# T\n\nTwice.\n\nOnce.\n")
    await work(engine)
    await ingest.publish(engine, "kb")
    await add(engine, "a.md", b"# T\n\nTwice.\n\nOnce.\n\nTwice.\n")
    letters = Letters()
    await work(engine, letters)
    assert letters.asked == []
    assert await ingest.publish(engine, "kb") == publishing.Published("kb", 2, 1, 0)
    assert sorted(p.text for p in await read(engine, "kb", 2)) == ["Once.", "Twice.", "Twice."]
    assert None not in await column(engine, "embedding", "passages")


async def test_other_tags_are_new_rows_with_the_vectors_they_had(engine: AsyncEngine) -> None:
    await add(engine, "fees.md", FEES)
    await work(engine)
    await ingest.publish(engine, "kb")
    assert (await add(engine, "fees.md", FEES, ("vip",))).outcome == "changed"
    letters = Letters()
    await work(engine, letters)
    assert letters.asked == []
    assert await ingest.publish(engine, "kb") == publishing.Published("kb", 2, 2, 2)
    vectors = await column(engine, "embedding::text", "passages")
    assert vectors[:2] == vectors[2:]


async def test_the_same_passages_in_another_file_are_no_new_version(engine: AsyncEngine) -> None:
    await add(engine, "fees.md", FEES)
    await work(engine)
    await ingest.publish(engine, "kb")
    await add(engine, "fees.md", FEES + b"\n\n<!-- a remark -->\n")
    await work(engine)
    assert await ingest.publish(engine, "kb") is None
    assert await column(engine, "state") == ["unchanged"]
    assert await version_of(engine, "kb") == 1


async def test_one_worker_has_it(engine: AsyncEngine) -> None:
    added = await add(engine, "fees.md", FEES)
    takes = (leases.take(engine, added.document_id) for _ in range(4))
    taken = [t for t in await asyncio.gather(*takes) if t]
    assert len(taken) == 1 and taken[0].attempts == 1
    assert await leases.due(engine) == []
    await expire(engine)
    assert await leases.due(engine) == [added.document_id]
    other = await leases.take(engine, added.document_id)
    assert other and other.attempts == 2
    with pytest.raises(LostDocumentError):
        await leases.sign_of_life(engine, taken[0], taken[0].lease)
    assert not await leases.fail(engine, taken[0], taken[0].lease, "late")
    assert await leases.sign_of_life(engine, other, other.lease) > other.lease


async def test_a_document_that_kills_its_reader_is_given_up(engine: AsyncEngine) -> None:
    added = await add(engine, "fees.md", FEES)
    for _ in range(leases.MOST_ATTEMPTS):
        assert await leases.take(engine, added.document_id)
        await expire(engine)
    assert await leases.take(engine, added.document_id) is None
    assert await column(engine, "state") == ["failed"]
    assert "died each time" in str((await column(engine, "error"))[0])
    assert await leases.due(engine) == []
    assert await documents.retry(engine, "kb") == [added.document_id]
    assert [o.state for o in await work(engine) if o] == [State.READY]


async def test_what_a_dead_worker_stored_is_kept(engine: AsyncEngine) -> None:
    original = "# T\n\n" + "\n\n".join(f"Paragraph {n}." for n in range(200))
    await add(engine, "long.md", original.encode())
    (outcome,) = await work(engine, Letters(down_after=300))  # two texts a passage
    assert outcome and outcome.state == State.FAILED and "embedding server" in outcome.error
    assert await column(engine, "attempts") == [0]  # the document is not to blame
    assert await column(engine, "done") == [128]
    assert not await read(engine, "kb", 0) and await ingest.publish(engine, "kb") is None
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE documents SET next_at = now()"))
    letters = Letters()
    await work(engine, letters)
    assert len(letters.asked) == 2 * (200 - 128)
    assert await ingest.publish(engine, "kb") == publishing.Published("kb", 1, 200, 0)
    assert sorted(await column(engine, "position", "passages")) == list(range(200))


async def test_taken_over_in_the_middle(engine: AsyncEngine) -> None:
    """A worker that stood still, and goes on after another has begun, stores nothing more."""
    original = "# T\n\n" + "\n\n".join(f"Paragraph {n}." for n in range(200))
    added = await add(engine, "long.md", original.encode())

    class Slow(Letters):
        async def embed(self, texts, kind=""):  # type: ignore[no-untyped-def]
            if len(self.asked) > 150:
                await expire(engine)
                await read_one(engine, Letters(), ReadOptions(), added.document_id)
            return await super().embed(texts, kind)

    assert await read_one(engine, Slow(), ReadOptions(), added.document_id) is None
    assert await column(engine, "state") == ["ready"]
    assert sorted(await column(engine, "position", "passages")) == list(range(200))


async def test_refused_for_good(engine: AsyncEngine) -> None:
    await add(engine, "bad.pdf", b"%PDF-1.7 nothing of it")
    (outcome,) = await work(engine)
    assert outcome and outcome.state == State.REFUSED and outcome.error.endswith(".")
    assert await leases.due(engine) == []
    assert (await add(engine, "bad.pdf", b"%PDF-1.7 nothing of it")).outcome == "changed"


async def test_changed_while_it_is_read(engine: AsyncEngine) -> None:
    added = await add(engine, "fees.md", FEES)
    taken = await leases.take(engine, added.document_id)
    assert taken
    await add(engine, "fees.md", FEES + b"\nMore.\n")
    with pytest.raises(LostDocumentError):
        await revisions.make_ready(engine, taken, taken.lease)
    assert [o.passages for o in await work(engine) if o] == [3]


async def test_killed_between_preparing_and_publishing(engine: AsyncEngine) -> None:
    await add(engine, "fees.md", FEES)
    await add(engine, "other.md", b"# O\n\nOther.")
    await work(engine)
    await ingest.publish(engine, "kb")
    await add(engine, "fees.md", b"# T\n\nThe fee is twenty.")
    await add(engine, "new.md", b"# N\n\nNew.")
    await documents.remove(engine, "kb", ["other.md"])
    await work(engine)
    await publishing.prepare(engine, "kb")
    before = ["The fee is ten.", "Cash only.", "Other."]
    assert [p.text for p in await read(engine, "kb", 1)] == before
    assert await version_of(engine, "kb") == 1
    assert await publishing.bases_to_publish(engine) == ["kb"]  # by the next sweep
    # in between one more comes, one of the prepared ones changes, and one goes again
    await add(engine, "fees.md", b"# T\n\nThe fee is thirty.")
    await documents.remove(engine, "kb", ["new.md"])
    await work(engine)
    assert await ingest.publish(engine, "kb") == publishing.Published("kb", 2, 1, 3)
    assert [p.text for p in await read(engine, "kb", 1)] == before
    assert [p.text for p in await read(engine, "kb", 2)] == ["The fee is thirty."]
    assert await publishing.bases_to_publish(engine) == []
    found = await versions.list_versions(engine, "kb")
    assert [(v.version, v.passages) for v in found] == [(2, 1), (1, 3)]


async def test_only_a_removal_was_prepared(engine: AsyncEngine) -> None:
    await add(engine, "fees.md", FEES)
    await work(engine)
    await ingest.publish(engine, "kb")
    await documents.remove(engine, "kb", ["fees.md"])
    await publishing.prepare(engine, "kb")
    assert len(await read(engine, "kb", 1)) == 2
    assert await publishing.bases_to_publish(engine) == ["kb"]
    assert await ingest.publish(engine, "kb") == publishing.Published("kb", 2, 0, 2)
    assert await publishing.bases_to_publish(engine) == []


async def test_removed_documents_end_with_the_next_version(engine: AsyncEngine) -> None:
    await add(engine, "fees.md", FEES)
    await add(engine, "other.md", b"# O\n\nOther.")
    await work(engine)
    await ingest.publish(engine, "kb")
    assert await ingest.remove(engine, "kb", ["fees.md"]) == publishing.Published("kb", 2, 0, 2)
    assert [p.text for p in await read(engine, "kb", 2)] == ["Other."]
    assert len(await read(engine, "kb", 1)) == 3
    with pytest.raises(UserError, match=r"no document fees.md"):
        await ingest.remove(engine, "kb", ["fees.md"])


async def test_vectors_of_two_models_never_meet(engine: AsyncEngine) -> None:
    await add(engine, "fees.md", FEES)
    await work(engine)
    await ingest.publish(engine, "kb")
    await add(engine, "other.md", b"# O\n\nOther.")
    await add(engine, "third.md", b"# O\n\nThird.")
    await work(engine, Letters(down_after=2))  # other.md is ready, third.md waits for a server
    other = Letters(model="another")
    await add(engine, "fourth.md", b"# O\n\nFourth.")
    outcomes = [o for o in await work(engine, other) if o]
    assert "ivr knowledge reembed kb" in outcomes[0].error
    assert await ingest.reembed(engine, Letters(), "kb") is None
    assert await ingest.reembed(engine, other, "kb") == publishing.Published("kb", 2, 2, 2)
    assert len(await read(engine, "kb", 1)) == 2 and len(await read(engine, "kb", 2)) == 2
    assert sorted(await column(engine, "state")) == ["published"] + ["waiting"] * 3
    await work(engine, other)
    await ingest.publish(engine, "kb")
    assert len(await read(engine, "kb", 3)) == 5
    assert [v.embedder for v in await versions.list_versions(engine, "kb")] == [
        *("another", "another", "letters")
    ]


async def test_versions_that_no_call_can_use_are_erased(engine: AsyncEngine) -> None:
    for count in (1, 2, 3):
        await add(engine, "a.md", f"# T\n\nAlways.\n\nVersion {count}.".encode())
        await work(engine)
        await ingest.publish(engine, "kb")
    assert await pruning.prune(engine, timedelta(days=7)) == 0
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "UPDATE knowledge_versions SET published_at = now() - '9 days'::interval"
                " WHERE version < 3"
            )
        )
        await connection.execute(
            text("UPDATE document_revisions SET created_at = now() - '9 days'::interval")
        )
    assert await pruning.prune(engine, timedelta(days=7)) == 1
    found = await versions.list_versions(engine, "kb")
    assert [v.pruned for v in found] == [False, False, True]
    assert [(v.passages, v.added, v.ended) for v in found[:2]] == [(2, 1, 1), (2, 1, 0)]
    assert {p.text for p in await read(engine, "kb", 2)} == {"Always.", "Version 2."}
    assert len(await column(engine, "id", "document_revisions")) == 3  # "Always." is of the first


async def test_who_publishes_for_minutes_stops_nobody_who_stores(engine: AsyncEngine) -> None:
    """Else the lease of the document being stored would run out meanwhile."""
    await add(engine, "fees.md", FEES)
    await work(engine)
    other = await add(engine, "other.md", b"# O\n\nOther.")
    async with engine.begin() as publishing_it:
        await documents.lock_base(publishing_it, "kb")
        async with asyncio.timeout(5):
            outcome = await read_one(engine, Letters(), ReadOptions(), other.document_id)
        assert outcome is not None and outcome.state == State.READY
    async with engine.begin() as alone:
        await documents.lock_base(alone, "kb", alone=True)
        third = asyncio.create_task(add(engine, "third.md", b"# O\n\nThird."))
        stored = asyncio.create_task(_claim(engine))
        await asyncio.sleep(0.3)
        assert not third.done() and not stored.done()
    await asyncio.gather(third, stored)


async def _claim(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await revisions.claim_model(connection, 1, "letters")


async def test_two_models_that_come_first_at_once(engine: AsyncEngine) -> None:
    await add(engine, "fees.md", FEES)

    async def claim(model: str) -> None:
        async with engine.begin() as connection:
            await revisions.claim_model(connection, 1, model)
            await asyncio.sleep(0.1)

    said = await asyncio.gather(*map(claim, ("one", "two", "one")), return_exceptions=True)
    (model,) = await column(engine, "embedder", "knowledge_bases")
    wrong = [isinstance(one, revisions.OtherModelError) for one in said]
    assert wrong == ([False, True, False] if model == "one" else [True, False, True])
