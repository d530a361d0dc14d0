"""The audit log: rows chained by hashes, under many writers and against who would change it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, delete, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access import audit
from appliance.access.actor import Actor
from appliance.access.audit import GENESIS, append, append_sync, hash_of, verify
from appliance.access.commandline import actor_of_command
from appliance.access.roles import PERMISSIONS, Role
from appliance.ops.postgres.server import EmbeddedPostgres
from appliance.store import audit_log
from appliance.store.access_models import AuditRow
from appliance.store.audit_log import AuditEntry, AuditSearch
from appliance.store.database import sqlalchemy_url

ASHA = Actor("asha", Role.ADMIN, "main", PERMISSIONS[Role.ADMIN], address="10.0.0.7")
ENTRY = AuditEntry(
    id=1, at=datetime(2026, 1, 1, tzinfo=UTC), actor="a", tenant=None, address="", action="b.c",
    subject="d", detail={"e": 1}, previous_hash=GENESIS, hash="",
)  # fmt: skip


async def _write(engine: AsyncEngine, *subjects: str, detail: dict[str, Any] | None = None) -> None:
    for subject in subjects:
        async with engine.begin() as connection:
            await append(connection, ASHA, "agent.publish", subject, detail or {}, "main")


async def _rows(engine: AsyncEngine) -> list[AuditEntry]:
    async with engine.connect() as connection:
        return await audit_log.read_after(connection, 0, 1000)


def test_every_field_is_in_the_hash() -> None:
    changed = [
        *(replace(ENTRY, id=2), replace(ENTRY, at=datetime(2026, 1, 1, 0, 0, 0, 1, UTC))),
        *(replace(ENTRY, **{name: "x"}) for name in ("actor", "tenant", "address", "action")),
        *(replace(ENTRY, subject="x"), replace(ENTRY, detail={"e": 2})),
        *(replace(ENTRY, previous_hash="x"), replace(ENTRY, tenant="")),
    ]
    hashes = {hash_of(entry) for entry in [ENTRY, *changed]}
    assert len(hashes) == 1 + len(changed)
    assert hash_of(replace(ENTRY, hash="x")) == hash_of(ENTRY)


def test_what_stands_in_one_field_cannot_pass_for_another() -> None:
    one = replace(ENTRY, actor='a","b', address="")
    other = replace(ENTRY, actor="a", address="b")
    assert hash_of(one) != hash_of(other)


@pytest.mark.server
async def test_an_empty_log_is_well(engine: AsyncEngine) -> None:
    found = await verify(engine)
    assert (found.rows, found.first_bad, found.why, found.head) == (0, None, "", GENESIS)


@pytest.mark.server
async def test_rows_say_who_what_and_when(engine: AsyncEngine) -> None:
    await _write(engine, "sunrise", detail={"version": 3})
    (row,) = await _rows(engine)
    assert (row.id, row.actor, row.tenant, row.address) == (1, "asha", "main", "10.0.0.7")
    assert (row.action, row.subject, row.detail) == ("agent.publish", "sunrise", {"version": 3})
    assert abs((datetime.now(UTC) - row.at).total_seconds()) < 60
    assert row.previous_hash == GENESIS and row.hash == hash_of(row)


@pytest.mark.server
async def test_a_change_that_is_rolled_back_leaves_no_row_and_no_gap(engine: AsyncEngine) -> None:
    await _write(engine, "one")
    with pytest.raises(RuntimeError, match="no"):
        async with engine.begin() as connection:
            await append(connection, ASHA, "agent.publish", "two", {}, "main")
            raise RuntimeError("no")
    await _write(engine, "three")
    assert [(row.id, row.subject) for row in await _rows(engine)] == [(1, "one"), (2, "three")]
    assert (await verify(engine)).why == ""


@pytest.mark.server
async def test_many_writers_at_once_make_one_chain(engine: AsyncEngine, database_url: str) -> None:
    sync_engine = create_engine(sqlalchemy_url(database_url))

    def command(number: int) -> None:
        with sync_engine.begin() as connection:
            append_sync(connection, actor_of_command(), "number.set", str(number), {}, None)

    await asyncio.gather(
        *(_write(engine, *(f"{writer}-{n}" for n in range(8))) for writer in range(5)),
        *(asyncio.to_thread(command, number) for number in range(10)),
    )
    sync_engine.dispose()
    found = await verify(engine)
    assert (found.rows, found.why) == (50, "")
    assert [row.id for row in await _rows(engine)] == list(range(1, 51))


@pytest.mark.server
@pytest.mark.parametrize(
    "change",
    [
        update(AuditRow).values(actor="somebody else"),
        delete(AuditRow).where(AuditRow.id == 2),
        text("TRUNCATE audit_log"),
    ],
    ids=["update", "delete", "truncate"],
)
async def test_the_database_refuses_any_change(engine: AsyncEngine, change: Any) -> None:
    await _write(engine, "one", "two")
    with pytest.raises(DBAPIError, match="append-only"):
        async with engine.begin() as connection:
            await connection.execute(change)
    assert len(await _rows(engine)) == 2


Tamper = Callable[[psycopg.Connection[Any], list[AuditEntry]], None]


def _set(connection: psycopg.Connection[Any], row: int, column: str, value: object) -> None:
    connection.execute(f"UPDATE audit_log SET {column} = %s WHERE id = %s", (value, row))  # type: ignore[arg-type]


def _edit(connection: psycopg.Connection[Any], rows: list[AuditEntry]) -> None:
    _set(connection, 3, "actor", "nobody")


def _edit_detail(connection: psycopg.Connection[Any], rows: list[AuditEntry]) -> None:
    _set(connection, 3, "detail", '{"calls": 1}')


def _backdate(connection: psycopg.Connection[Any], rows: list[AuditEntry]) -> None:
    connection.execute("UPDATE audit_log SET at = at - interval '1 microsecond' WHERE id = 3")


def _edit_and_rehash(connection: psycopg.Connection[Any], rows: list[AuditEntry]) -> None:
    _set(connection, 3, "actor", "nobody")
    _set(connection, 3, "hash", hash_of(replace(rows[2], actor="nobody")))


def _remove(connection: psycopg.Connection[Any], rows: list[AuditEntry]) -> None:
    connection.execute("DELETE FROM audit_log WHERE id = 3")


def _remove_first(connection: psycopg.Connection[Any], rows: list[AuditEntry]) -> None:
    connection.execute("DELETE FROM audit_log WHERE id = 1")


def _remove_and_renumber(connection: psycopg.Connection[Any], rows: list[AuditEntry]) -> None:
    connection.execute("DELETE FROM audit_log WHERE id = 3")
    for row in (4, 5):
        _set(connection, row, "id", row - 1)


def _swap(connection: psycopg.Connection[Any], rows: list[AuditEntry]) -> None:
    for old, new in ((3, 99), (4, 3), (99, 4)):
        _set(connection, old, "id", new)


def _put_in(connection: psycopg.Connection[Any], rows: list[AuditEntry]) -> None:
    connection.execute(
        "INSERT INTO audit_log SELECT 0, at, actor, tenant, address, action, subject, detail,"
        " previous_hash, hash FROM audit_log WHERE id = 1"
    )


@pytest.mark.server
@pytest.mark.parametrize(
    ("tamper", "row", "why"),
    [
        (_edit, 3, "was changed"),
        (_edit_detail, 3, "was changed"),
        (_backdate, 3, "was changed"),
        (_edit_and_rehash, 3, "hash made anew"),
        (_remove, 3, "is missing"),
        (_remove_first, 1, "is missing"),
        (_remove_and_renumber, 3, "another stood"),
        (_swap, 3, "another stood"),
        (_put_in, 0, "put in"),
    ],
)
async def test_a_superuser_who_changes_the_log_is_found_out(
    engine: AsyncEngine, postgres: EmbeddedPostgres, tamper: Tamper, row: int, why: str
) -> None:
    await _write(engine, "one", "two", "three", "four", "five", detail={"calls": 7})
    head = (await verify(engine)).head
    rows = await _rows(engine)
    name = engine.url.database or ""
    with psycopg.connect(postgres.superuser_url(name)) as connection:
        connection.execute("SET session_replication_role = replica")  # past the trigger
        tamper(connection, rows)
    found = await verify(engine, expect=head)
    assert found.first_bad == row
    assert f"Row {row} " in found.why and why in found.why
    assert found.head != head


@pytest.mark.server
async def test_a_cut_off_end_is_found_by_whoever_kept_the_head(
    engine: AsyncEngine, postgres: EmbeddedPostgres
) -> None:
    await _write(engine, "one", "two", "three")
    head = (await verify(engine)).head
    await _write(engine, "four")
    assert (await verify(engine, expect=head.upper())).why == "", "later rows are no harm"
    with psycopg.connect(postgres.superuser_url(engine.url.database or "")) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM audit_log WHERE id >= 3")
    assert (await verify(engine)).why == "", "a chain alone cannot know"
    found = await verify(engine, expect=head)
    assert (found.rows, found.first_bad) == (2, 3)
    assert "cut off" in found.why


@pytest.mark.server
async def test_a_walk_goes_over_many_batches(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _write(engine, *map(str, range(7)))
    monkeypatch.setattr(audit, "BATCH_ROWS", 3)
    assert (await verify(engine)).rows == 7


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes()
_DETAILS = st.dictionaries(
    st.text(max_size=8),
    st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3), max_leaves=6),
    max_size=4,
)


@pytest.mark.server
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(detail=_DETAILS, subject=st.text(max_size=20))
def test_what_postgres_gives_back_still_has_its_hash(
    database_url: str, detail: dict[str, Any], subject: str
) -> None:
    engine = create_engine(sqlalchemy_url(database_url))
    with engine.begin() as connection:
        append_sync(connection, ASHA, "a.b", subject, detail, None)
        last = (
            connection.execute(text("SELECT * FROM audit_log ORDER BY id DESC LIMIT 1"))
            .mappings()
            .one()
        )
    engine.dispose()
    entry = AuditEntry(**last)
    assert hash_of(entry) == entry.hash


@pytest.mark.server
async def test_surrogates_and_endless_texts_are_mended(engine: AsyncEngine) -> None:
    await _write(engine, "\ud800" + "x" * 5000, detail={"a\0": "\udfff"})
    (row,) = await _rows(engine)
    assert len(row.subject) == audit.LONGEST_LETTERS and row.subject.startswith("?x")
    assert row.detail == {"a\ufffd": "?"}


@pytest.mark.server
async def test_a_detail_that_is_a_document_is_refused(engine: AsyncEngine) -> None:
    with pytest.raises(ValueError, match="over 32768 bytes"):
        await _write(engine, "one", detail={"text": ["x" * 2000] * 20})


@pytest.mark.server
async def test_a_search_by_who_what_when_and_whose(engine: AsyncEngine) -> None:
    ravi = replace(ASHA, name="Ravi_2", tenant="north")
    async with engine.begin() as connection:
        await append(connection, ASHA, "call.listen", "c1", {}, "main")
        await append(connection, ravi, "call.download", "c1", {}, "north")
        await append(connection, ravi, "calls.export", "c2", {}, None)

    async def found(**wanted: Any) -> list[int]:
        async with engine.connect() as connection:
            return [r.id for r in await audit_log.search(connection, AuditSearch(**wanted), 10)]

    assert await found() == [3, 2, 1]
    assert await found(tenant="main") == [1]
    assert await found(actor="ravi") == [3, 2]
    assert await found(actor="%") == [], "no wildcards"
    assert await found(actor="i_2") == [3, 2]
    assert await found(action="call") == [2, 1]
    assert await found(action="call.listen") == [1]
    assert await found(subject="c2") == [3]
    assert await found(before=3) == [2, 1]
    assert await found(since=datetime(2999, 1, 1, tzinfo=UTC)) == []
    assert await found(until=datetime(2999, 1, 1, tzinfo=UTC)) == [3, 2, 1]
