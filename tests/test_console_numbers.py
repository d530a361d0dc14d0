"""Numbers and the way of a call, by services and API, with two tenants and every role."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.actor import ForbiddenError, NotFoundError
from appliance.access.roles import Role
from appliance.admin.console import Console
from appliance.admin.services import callpath, destinations, numbers
from appliance.admin.services.callpath import Stop
from appliance.errors import UserError
from appliance.ops.keeping.ports import free_port
from appliance.settings import Settings, Switch
from appliance.store.phonebook import Extension, Queue, Trunk
from appliance.store.trunks import NumberEntry, save_extension, save_queue, save_trunk
from tests.console_kit import console_on
from tests.review_console_kit import (
    ACME,
    ADMIN,
    OPERATOR,
    OTHER_ADMIN,
    VIEWER,
    ZEN,
    actor,
    add_tenants,
    agent_in,
    api_as,
    audited,
)

pytestmark = pytest.mark.server
DID, OTHER = "+918022223333", "+918022224444"
MONDAY_10 = datetime(2026, 5, 4, 4, 30, tzinfo=UTC)
SUNDAY = datetime(2026, 5, 3, 4, 30, tzinfo=UTC)
OFFICE = "mon-fri 09:00-18:00"


@pytest.fixture
async def console(engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[Console]:
    await add_tenants(engine)
    await agent_in(engine, ACME, "acme-hi")
    await agent_in(engine, ACME, "acme-en", language_menu={"1": "acme-en", "2": "acme-hi"})
    await agent_in(engine, ZEN, "zen-help")
    async with engine.begin() as connection:
        await connection.run_sync(save_extension, Extension("1001", "0" * 32, "Reception"))
        await connection.run_sync(save_queue, Queue("support", ("1001",), max_wait_s=90))
        await connection.run_sync(save_trunk, Trunk("a", "sip.a.example"))
    switch = Switch(api_port=free_port())
    async with console_on(engine, Settings(data_dir=tmp_path, switch=switch)) as made:
        await numbers.save(made, OPERATOR, entry(), new=True)
        await numbers.save(made, OPERATOR, entry(OTHER, "zen-help"), new=True)
        yield made


def entry(did: str = DID, agent: str = "acme-hi", **fields: str) -> NumberEntry:
    return NumberEntry(did, agent, **fields)


async def test_a_tenant_routes_its_own_numbers(console: Console) -> None:
    found = await numbers.numbers(console, ADMIN)
    assert [n.line.did for n in found.numbers] == [DID] and not found.may_assign
    changed = entry(
        "080-2222 3333", "acme-en", hours=OFFICE, closed_to="1001", overflow_to="queue:gone"
    )
    saved = await numbers.save(console, ADMIN, changed, new=False)
    assert saved.number.line.did == DID and saved.number.line.agent_name == "Acme-En"
    assert any("no queue gone" in note for note in saved.notes)
    assert "in force when it starts" in saved.in_force
    assert ("number.change", DID, ACME) in [row[1:] for row in await audited(console.engine)]


async def test_what_is_another_tenants_is_not_there(console: Console) -> None:
    for ask in (
        numbers.number(console, ADMIN, OTHER),
        numbers.save(console, ADMIN, entry(OTHER), new=False),
        numbers.save(console, ADMIN, entry(DID, "zen-help"), new=False),
        numbers.save(console, ADMIN, entry("+918022225555"), new=False),
        numbers.remove(console, ADMIN, OTHER),
        callpath.trace(console, ADMIN, OTHER),
        callpath.trace(console, ADMIN, "1001"),
        callpath.trace(console, ADMIN, "+918022229999"),
    ):
        with pytest.raises(NotFoundError):
            await ask
    for ask in (
        numbers.save(console, ADMIN, entry("+918022225555"), new=True),
        numbers.save(console, ADMIN, entry(OTHER), new=True),
        numbers.save(console, ADMIN, entry("*"), new=True),
        numbers.remove(console, ADMIN, DID),
        numbers.save(console, VIEWER, entry(), new=False),
        numbers.save(console, actor(Role.REVIEWER), entry(), new=False),
    ):
        with pytest.raises(ForbiddenError):
            await ask
    assert (await numbers.number(console, OTHER_ADMIN, OTHER)).line.agent_id == "zen-help"
    assert len((await numbers.numbers(console, OPERATOR)).numbers) == 2


async def test_where_there_is_one_tenant_its_admin_adds_numbers(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    await agent_in(engine, "main", "help")
    admin = actor(Role.ADMIN, "main")
    switch = Switch(api_port=free_port())
    async with console_on(engine, Settings(data_dir=tmp_path, switch=switch)) as console:
        await numbers.save(console, admin, entry(DID, "help"), new=True)
        with pytest.raises(UserError, match="Change it instead"):
            await numbers.save(console, admin, entry("08022223333", "help"), new=True)
        assert await numbers.remove(console, admin, "8022223333")
        with pytest.raises(NotFoundError):
            await numbers.number(console, admin, DID)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"hours": "whenever"}, "Opening hours"), ({"closed_to": "nobody at all"}, "nobody to hand"),
        ({"overflow_to": "queue:a b"}, "no name of a queue"), ({"closed_text": "x" * 1001}, "1000"),
        ({"closed_text": "a\0"}, "nobody can read"),
    ],
)  # fmt: skip
async def test_what_cannot_be_is_refused(
    console: Console, fields: dict[str, str], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        await numbers.save(console, ADMIN, entry(**fields), new=False)


async def test_hours_say_until_when(console: Console) -> None:
    now = numbers.open_state(console.settings, OFFICE, MONDAY_10)
    assert now.open and now.changes_at == datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
    closed = numbers.open_state(console.settings, OFFICE, SUNDAY)
    assert not closed.open and closed.changes_at == datetime(2026, 5, 4, 3, 30, tzinfo=UTC)
    always = numbers.open_state(console.settings, "")
    assert always.open and always.changes_at is None
    assert numbers.open_state(console.settings, "whenever").problem


async def test_the_way_of_a_call(console: Console) -> None:
    change = entry(
        agent="acme-en", hours=OFFICE, closed_text="We are closed.", closed_to="1001",
        overflow_to="queue:support",
    )  # fmt: skip
    await numbers.save(console, ADMIN, change, new=False)
    monday = await callpath.trace(console, VIEWER, "08022223333", at=MONDAY_10)
    stops = [Stop.NUMBER, Stop.HOURS, Stop.MENU, Stop.AGENT, Stop.AGENT, Stop.AGENT]
    assert [step.stop for step in monday.taken] == stops
    assert [step.digit for step in monday.taken[3:]] == ["1", "2", ""]
    assert [step.stop for step in monday.closed] == [Stop.SAYS, Stop.PERSON]
    full, queue = monday.full
    assert full.stop is Stop.FULL and queue.reached is not None
    assert (queue.reached.kind, queue.reached.longest_s, queue.reached.problem) == ("queue", 90, "")
    assert queue.reached.name == "1"  # how many: who they are is the operator's
    sunday = await callpath.trace(console, VIEWER, DID, at=SUNDAY)
    assert [step.stop for step in sunday.taken][2:] == [Stop.SAYS, Stop.PERSON]
    assert sunday.taken[-1].reached is not None and sunday.taken[-1].reached.name == "Reception"
    busy = await callpath.trace(console, VIEWER, DID, at=MONDAY_10, full=True)
    assert [step.stop for step in busy.taken][2:] == [Stop.FULL, Stop.PERSON]
    await numbers.save(console, ADMIN, entry(closed_to="queue:gone", hours=OFFICE), new=False)
    wrong = await callpath.trace(console, OPERATOR, DID, at=MONDAY_10)
    assert any("no queue gone" in trouble for trouble in wrong.troubles)
    nobody = await callpath.trace(console, OPERATOR, "+918022229999")
    assert nobody.taken[-1].stop is Stop.REFUSED
    telephone = await callpath.trace(console, OPERATOR, "1001")
    assert telephone.taken[-1].stop is Stop.PERSON


async def test_whom_a_destination_would_reach(console: Console) -> None:
    found = await destinations.check(console, OPERATOR, "queue:support")
    assert (found.kind, found.name, found.problem) == ("queue", "1001", "")
    assert "no extension 1009" in (await destinations.check(console, ADMIN, "1009")).problem
    number = await destinations.check(console, ADMIN, "98765 43210")
    assert number.kind == "number" and not number.problem
    assert (await destinations.check(console, ADMIN, "a b c")).problem


async def test_the_api(console: Console) -> None:
    async with api_as(console, OPERATOR) as http:
        body = {"did": "*", "agent_id": "acme-hi"}
        assert (await http.post("/numbers", json=body)).status_code == 201
        assert (await http.post("/numbers", json=body)).status_code == 400
        assert (await http.get("/numbers/*")).json()["line"]["agent_id"] == "acme-hi"
        changed = await http.put("/numbers/%2B918022223333", json={"agent_id": "acme-en"})
        assert changed.json()["number"]["line"]["agent_id"] == "acme-en"
        way = (await http.get("/numbers/trace", params={"did": DID})).json()
        assert way["taken"][0] == way["taken"][0] | {"stop": "number", "title": DID}
        assert (await http.delete("/numbers/*")).status_code == 200
        assert (await http.get("/numbers/*")).status_code == 404
    async with api_as(console, ADMIN) as http:
        assert (await http.get("/numbers/%2B918022224444")).status_code == 404
        assert (await http.delete(f"/numbers/{DID}")).status_code == 403
    async with console.engine.connect() as connection:
        rows = await connection.execute(text("SELECT did FROM numbers ORDER BY did"))
        assert [row[0] for row in rows] == [DID, OTHER]
