"""Campaigns and the do-not-call list, by services and API, with two tenants and every role."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.actor import ForbiddenError, NotFoundError
from appliance.access.roles import Role
from appliance.admin.console import Console
from appliance.admin.services import campaigns, donotcall
from appliance.errors import UserError
from appliance.outreach.campaigns.feeder import feed
from appliance.outreach.campaigns.plan import Plan
from appliance.outreach.campaigns.states import Step
from appliance.settings import Settings, Switch
from appliance.store.campaigns import Campaign, CampaignState, ContactState
from appliance.store.outbound import do_not_call
from tests.campaign_kit import listed, over, workers
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

LIST = "Mobile,Name,City\n9811100001,Anna,Pune\n9811100002,=HYPERLINK(1),Delhi\n12,Short,\n"
ANNA, BRIJ = "+919811100001", "+919811100002"


@pytest.fixture
async def console(engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[Console]:
    await add_tenants(engine)
    await agent_in(engine, ACME, "acme-help")
    await agent_in(engine, ZEN, "zen-help")
    async with workers() as said:
        switch = Switch(worker_urls=(said.url,), calling_hours="always")
        async with console_on(engine, Settings(data_dir=tmp_path, switch=switch)) as made:
            yield made


async def made(console: Console, **fields: object) -> Campaign:
    plan = Plan(**{"name": "Dues", "agent_id": "acme-help"} | fields)  # type: ignore[arg-type]
    campaign = await campaigns.create(console, ADMIN, plan)
    sheet = await campaigns.read(console, ADMIN, LIST.encode())
    await campaigns.add_contacts(console, ADMIN, campaign.id, sheet)
    return campaign


async def test_from_a_list_to_its_results(console: Console) -> None:
    campaign = await made(console, max_attempts=1)
    assert campaign.state is CampaignState.DRAFT and campaign.created_by == ADMIN.name
    running = await campaigns.move(console, ADMIN, campaign.id, Step.START)
    assert running.state is CampaignState.RUNNING
    assert (await feed(console.engine, console.settings)).listed == 2
    ids = [row["id"] for row in await listed(console.engine)]
    await over(console.engine, ids[:1], "done", "human:short greeting")
    await over(console.engine, ids[1:], "failed", "USER_BUSY")
    await feed(console.engine, console.settings)
    whole = await campaigns.campaign(console, VIEWER, campaign.id)
    assert whole.counts == {ContactState.REACHED: 1, ContactState.FAILED: 1} and whole.total == 2
    assert dict(whole.results) == {"human:short greeting": 1, "USER_BUSY": 1}
    page = await campaigns.contacts(console, VIEWER, campaign.id, states=[ContactState.REACHED])
    assert [c.number for c in page.contacts] == [ANNA] and page.total == 1
    assert page.contacts[0].call_id == ids[0]
    (summary,) = await campaigns.campaigns(console, VIEWER)
    assert summary.total == 2 and summary.campaign.id == campaign.id
    actions = [action for _, action, _, _ in await audited(console.engine)]
    assert actions == ["campaign.create", "campaign.contacts_add", "campaign.start"]


async def test_a_preview_shows_rows_problems_and_who_is_not_to_be_called(console: Console) -> None:
    await donotcall.add(console, OTHER_ADMIN, [BRIJ], "a letter")
    shown = await campaigns.preview(console, ADMIN, LIST.encode())
    assert (shown.rows, shown.good, shown.problem_count) == (3, 2, 1)
    assert shown.number_column == "Mobile" and shown.other_columns == ("City",)
    assert shown.do_not_call == (BRIJ,) and shown.problems[0].row == 4
    assert await campaigns.campaigns(console, ADMIN) == []  # nothing was kept


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": " "}, "a name"), ({"hours": "whenever"}, "Opening hours"),
        ({"most_at_once": 0}, "At once"), ({"capacity_share": 0.0}, "share"),
        ({"capacity_share": 1.5}, "share"), ({"max_attempts": 99}, "Tries"),
        ({"retry_after_s": 1}, "wait"),
        ({"starts_at": datetime(2026, 1, 1)}, "zone"),
        ({"ends_at": datetime(2026, 1, 1, tzinfo=UTC)}, "never ring"),
        ({"name": "a\0b"}, "a name"),
        ({"starts_at": datetime(2030, 1, 2, tzinfo=UTC), "ends_at": datetime(2030, 1, 1, tzinfo=UTC)},
         "last day"),
    ],
)  # fmt: skip
async def test_what_cannot_be_is_refused(
    console: Console, fields: dict[str, object], words: str
) -> None:
    plan = Plan(**{"name": "Dues", "agent_id": "acme-help"} | fields)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=words):
        await campaigns.create(console, ADMIN, plan)


async def test_another_tenant_learns_nothing_of_it(console: Console) -> None:
    id_ = (await made(console)).id
    plan = Plan("Theirs", "zen-help")
    for ask in (
        campaigns.campaign(console, OTHER_ADMIN, id_),
        campaigns.contacts(console, OTHER_ADMIN, id_),
        campaigns.export(console, OTHER_ADMIN, id_),
        campaigns.change(console, OTHER_ADMIN, id_, plan),
        campaigns.move(console, OTHER_ADMIN, id_, Step.START),
        campaigns.erase_contacts(console, OTHER_ADMIN, id_),
        campaigns.remove(console, OTHER_ADMIN, id_),
        campaigns.create(console, OTHER_ADMIN, Plan("Mine", "acme-help")),
        campaigns.campaign(console, OPERATOR, 1 << 62),
    ):
        with pytest.raises(NotFoundError):
            await ask
    assert await campaigns.campaigns(console, OTHER_ADMIN) == []
    assert len(await campaigns.campaigns(console, OPERATOR)) == 1
    with pytest.raises(UserError, match="stays with its tenant"):
        await campaigns.change(console, OPERATOR, id_, plan)


async def test_who_may_only_look_changes_nothing(console: Console) -> None:
    id_ = (await made(console)).id
    sheet = await campaigns.read(console, ADMIN, LIST.encode())
    for who in (VIEWER, actor(Role.REVIEWER)):
        for ask in (
            campaigns.create(console, who, Plan("x", "acme-help")),
            campaigns.change(console, who, id_, Plan("x", "acme-help")),
            campaigns.move(console, who, id_, Step.START),
            campaigns.add_contacts(console, who, id_, sheet),
            campaigns.remove(console, who, id_),
            campaigns.erase_contacts(console, who, id_),
            donotcall.add(console, who, [ANNA], ""),
            donotcall.remove(console, who, ANNA, "x"),
        ):
            with pytest.raises(ForbiddenError):
                await ask


async def test_what_runs_is_not_changed_nor_removed(console: Console) -> None:
    id_ = (await made(console)).id
    await campaigns.move(console, ADMIN, id_, Step.START)
    plan = Plan("Dues, again", "acme-help", most_at_once=9)
    with pytest.raises(UserError, match="Pause it first"):
        await campaigns.change(console, ADMIN, id_, plan)
    with pytest.raises(UserError, match="Cancel it first"):
        await campaigns.remove(console, ADMIN, id_)
    await feed(console.engine, console.settings)
    ids = [row["id"] for row in await listed(console.engine)]
    async with console.engine.begin() as connection:
        await connection.execute(
            text("UPDATE outbound_calls SET state = 'talking' WHERE id = :id"), {"id": ids[0]}
        )
    paused = await campaigns.move(console, ADMIN, id_, Step.PAUSE)
    assert paused.state is CampaignState.PAUSED and ADMIN.name in paused.why
    assert (await campaigns.change(console, ADMIN, id_, plan)).most_at_once == 9
    with pytest.raises(UserError, match="ring or talk still"):
        await campaigns.remove(console, ADMIN, id_)
    await over(console.engine, ids[:1], "done", "human:short greeting")
    await feed(console.engine, console.settings)
    assert await campaigns.remove(console, ADMIN, id_) == 2
    with pytest.raises(NotFoundError):
        await campaigns.campaign(console, ADMIN, id_)
    async with console.engine.connect() as connection:
        assert (await connection.execute(text("SELECT 1 FROM campaign_contacts"))).first() is None


async def test_how_fast_it_goes_and_until_when(console: Console) -> None:
    campaign = await campaigns.create(console, ADMIN, Plan("Many", "acme-help"))
    people = "\n".join(f"98111{n:05d}" for n in range(40))
    sheet = await campaigns.read(console, ADMIN, people.encode())
    await campaigns.add_contacts(console, ADMIN, campaign.id, sheet)
    await campaigns.move(console, ADMIN, campaign.id, Step.START)
    now = datetime.now(UTC)
    async with console.engine.begin() as connection:
        await connection.execute(
            text("UPDATE campaigns SET running_since = now() - interval '1 hour'")
        )
        first = (
            "UPDATE campaign_contacts SET state = 'reached', attempts = 1, called_at = :at"
            " WHERE id IN (SELECT id FROM campaign_contacts ORDER BY id LIMIT 20)"
        )
        await connection.execute(text(first), {"at": now - timedelta(minutes=30)})
    whole = await campaigns.campaign(console, VIEWER, campaign.id)
    assert whole.progress.per_hour == pytest.approx(40, rel=0.01)
    assert whole.progress.expected_end is not None
    ahead = whole.progress.expected_end - now
    assert timedelta(minutes=29) < ahead < timedelta(minutes=31) and whole.rings_now


async def test_the_api_takes_a_list_and_gives_its_results_as_csv(console: Console) -> None:
    async with api_as(console, ADMIN) as http:
        made = await http.post("/campaigns", json={"name": "Dues", "agent_id": "acme-help"})
        assert made.status_code == 201, made.text
        url = f"/campaigns/{made.json()['id']}"
        file = {"file": ("list.csv", LIST.encode(), "text/csv")}
        shown = (await http.post("/campaigns/preview", files=file)).json()
        assert (shown["good"], shown["problem_count"]) == (2, 1)
        added = (await http.post(f"{url}/contacts", files=file)).json()
        assert added["loaded"] == {"added": 2, "there_already": 0, "do_not_call": 0}
        again = (await http.post(f"{url}/contacts", files=file)).json()
        assert again["loaded"]["there_already"] == 2
        assert (await http.post(f"{url}/start")).json()["state"] == "running"
        assert (await http.post(f"{url}/start")).status_code == 400
        page = (await http.get(f"{url}/contacts", params={"text": "ann"})).json()
        assert [c["number"] for c in page["contacts"]] == [ANNA] and page["total"] == 1
        out = await http.get(f"{url}/contacts.csv")
        rows = list(csv.reader(io.StringIO(out.content.decode("utf-8-sig"))))
        assert rows[0][-1] == "City" and rows[1][-1] == "Pune"
        assert rows[2][1] == "'=HYPERLINK(1)"  # a spreadsheet runs nothing of it
        assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)
        assert (await http.post(f"{url}/cancel")).json()["state"] == "cancelled"
        assert (await http.delete(f"{url}/contacts")).json() == {"contacts": 2}
        bad = {"file": ("x.xlsx", b"PK\x03\x04", "application/zip")}
        refused = await http.post("/campaigns/preview", files=bad)
        assert refused.status_code == 400 and "XLSX" in refused.json()["error"]["message"]
        assert (await http.get("/campaigns", params={"state": "done"})).json() == []
    async with api_as(console, OTHER_ADMIN) as http:
        assert (await http.get(url)).status_code == 404
        assert (await http.get(f"{url}/contacts.csv")).status_code == 404


async def test_an_empty_list_is_a_csv_too(console: Console) -> None:
    async with api_as(console, ADMIN) as http:
        made = await http.post("/campaigns", json={"name": "Dues", "agent_id": "acme-help"})
        out = await http.get(f"/campaigns/{made.json()['id']}/contacts.csv")
        assert out.content.decode("utf-8-sig").startswith("number,name,state,result")


# --- do not call ----------------------------------------------------------------------------------


async def test_each_tenant_sees_its_own_and_all_are_bound(console: Console) -> None:
    assert await donotcall.add(console, ADMIN, ["98111 00001"], "asked us") == 1
    assert await donotcall.add(console, OTHER_ADMIN, [ANNA, BRIJ], "theirs") == 2
    mine = await donotcall.entries(console, ADMIN)
    assert [(e.number, e.reason) for e in mine.entries] == [(ANNA, "asked us")]
    assert (await donotcall.entries(console, OPERATOR)).total == 3
    found = await donotcall.look_up(console, ADMIN, "09811100002")
    assert found.listed and found.mine == () and found.number == BRIJ
    with pytest.raises(NotFoundError):  # another's wish is not ours to take away
        await donotcall.remove(console, ADMIN, BRIJ, "they changed their mind")
    await donotcall.remove(console, ADMIN, ANNA, "they changed their mind")
    async with console.engine.connect() as connection:
        assert await connection.run_sync(do_not_call, ANNA)  # zen's people still asked for it
    with pytest.raises(UserError, match="Say why"):
        await donotcall.remove(console, OTHER_ADMIN, ANNA, " ")
    with pytest.raises(UserError, match="no telephone number"):
        await donotcall.look_up(console, ADMIN, "1001")
    log = await audited(console.engine)
    assert ("do_not_call.remove", ANNA, ACME) in [row[1:] for row in log]


async def test_a_list_is_uploaded_whole_or_not_at_all(console: Console) -> None:
    async with api_as(console, ADMIN) as http:
        good = {"file": ("list.csv", b"number\n9811100001\n+919811100002,x\n", "text/csv")}
        said = await http.post("/do-not-call/upload", files=good, data={"reason": "NDNC"})
        assert said.json() == {"added": 2, "given": 2}
        bad = {"file": ("list.csv", b"9811100003\nnobody\n", "text/csv")}
        refused = await http.post("/do-not-call/upload", files=bad)
        assert refused.status_code == 400 and "1 lines" in refused.json()["error"]["message"]
        looked = await http.get("/do-not-call/look-up", params={"number": "9811100001"})
        assert looked.json()["mine"][0]["reason"] == "NDNC"
        assert (await http.get("/do-not-call", params={"text": "ndnc"})).json()["total"] == 2
        gone = await http.delete("/do-not-call", params={"number": ANNA, "reason": "asked"})
        assert gone.status_code == 204
