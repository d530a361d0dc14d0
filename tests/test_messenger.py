"""Webhooks end to end: from a journal through the outbox to a receiver, and what trouble does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.actor import Actor, ForbiddenError, NotFoundError
from appliance.access.roles import PERMISSIONS, Permission, Role
from appliance.admin.console import Console
from appliance.admin.services import webhooks as service
from appliance.admin.services.webhooks import ShownWebhook, WebhookWish
from appliance.errors import UserError
from appliance.outreach.webhooks import messenger
from appliance.outreach.webhooks.backoff import MOST_ATTEMPTS
from appliance.outreach.webhooks.messenger import Messenger
from appliance.settings import Admin, Settings
from appliance.store.outreach_models import DeliveryRow, WebhookRow
from tests.calls_kit import NOW, OTHER, a_call, a_flag, a_turn, put, two_tenants
from tests.console_kit import console_on
from tests.webhook_receiver import Receiver

pytestmark = pytest.mark.server

OPERATOR = Actor("olga", Role.OPERATOR, None, PERMISSIONS[Role.OPERATOR])
ADMIN = Actor("anna", Role.ADMIN, "main", PERMISSIONS[Role.ADMIN])
STRANGER = Actor("theo", Role.ADMIN, OTHER, PERMISSIONS[Role.ADMIN])
ALL = ("call.ended", "call.flagged", "call.transferred")
LONG_AGO = NOW - timedelta(days=30)


@pytest.fixture
async def console(engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[Console]:
    await two_tenants(engine)
    admin = Admin(webhook_networks=(ip_network("127.0.0.0/8"),))
    settings = Settings(data_dir=tmp_path, admin=admin)
    async with console_on(engine, settings) as made:
        yield made


@asynccontextmanager
async def receiving(
    console: Console, actor: Actor = ADMIN, events: tuple[str, ...] = ALL, **wish: Any
) -> AsyncIterator[tuple[Receiver, ShownWebhook]]:
    """A receiver, and a webhook of ``actor``'s that has been there for long."""
    receiver = Receiver()
    runner = await receiver.start()
    try:
        made = await service.create(console, actor, WebhookWish(receiver.url, events, **wish))
        receiver.secret = made.secret
        async with console.engine.begin() as connection:
            await connection.execute(update(WebhookRow).values(told_since=LONG_AGO))
        yield receiver, made.webhook
    finally:
        await runner.cleanup()


async def find(console: Console) -> int:
    return await messenger.find(console.engine, NOW, timedelta(hours=1))


async def send(console: Console) -> messenger.Delivered:
    return await Messenger(console.engine, console.settings, lambda: 0.5).send_due()


async def all_due(console: Console) -> None:
    async with console.engine.begin() as connection:
        await connection.execute(update(DeliveryRow).values(next_at=NOW - timedelta(days=1)))


async def log(console: Console, actor: Actor = ADMIN, **wanted: Any) -> list[Any]:
    return list((await service.deliveries(console, actor, **wanted)).deliveries)


async def test_what_happened_is_told_once_signed_and_without_words(console: Console) -> None:
    call = a_call("c1", cause="ATTENDED_TRANSFER", ended_by="agent", transferred_to="queue:help",
                  transfer_reason="asked")  # fmt: skip
    await put(console.engine, call, a_turn(call, 1, 300), a_turn(call, 2, 900), a_flag(call))
    async with receiving(console) as (receiver, _):
        assert await find(console) == 3
        assert await find(console) == 0  # told twice, it is one delivery
        assert (await send(console)).delivered == 2  # two at once for one webhook
        assert (await send(console)).delivered == 1
        assert (receiver.wrong, len(set(receiver.ids))) == (0, 3)
        told = {payload["type"]: payload for payload in receiver.got}
        assert told.keys() == set(ALL)
        ended = told["call.ended"]
        assert (ended["version"], ended["tenant"]) == (1, "main")
        data = ended["data"]
        assert (data["call_id"], data["outcome"], data["duration_s"]) == ("c1", "transferred", 120)
        assert data["transfer"] == {"to": "queue:help", "reason": "asked"}
        assert data["gap_ms"] == {"p50": 600, "p95": 870}
        assert (data["flags"], data["turns"]) == (1, 3)
        assert told["call.flagged"]["data"]["flag_id"] == "flag-c1-1"
        everything = json.dumps(receiver.got)
        assert call.caller not in everything and "rupees" not in everything
        assert "caller" not in data and "transcript" not in data


async def test_words_and_number_are_sent_where_asked_for_and_never_stored(console: Console) -> None:
    call = a_call("c1")
    await put(console.engine, call, a_turn(call, 1), a_flag(call))
    include = ("caller", "transcript")
    events = ("call.ended", "call.flagged")
    async with receiving(console, events=events, include=include) as (receiver, _):
        await find(console)
        async with console.engine.connect() as connection:
            outbox = str((await connection.execute(text("SELECT * FROM webhook_deliveries"))).all())
        assert call.caller not in outbox and "rupees" not in outbox
        await send(console)
        told = {payload["type"]: payload["data"] for payload in receiver.got}
        assert told["call.ended"]["caller"] == call.caller
        assert told["call.ended"]["transcript"][0]["said"] == "What is the fee?"
        assert told["call.flagged"]["transcript"][0]["phrase"] == "The fee is one hundred rupees."


async def test_late_rows_reopened_calls_and_what_is_never_told(console: Console) -> None:
    late = a_call("late", minutes_ago=50)
    await put(
        console.engine,
        a_call("fresh", minutes_ago=2),  # ended this moment: it may be taken over
        a_call("test", direction="test"),
        a_call("rehearsed", caller="rehearsal-1-1-1"),
        a_call("live", ended_at=None),
        a_call("ancient", minutes_ago=600),
    )
    async with receiving(console, events=("call.ended",)) as (receiver, _):
        assert await find(console) == 0
        await put(console.engine, late)  # its row came when Postgres was back
        assert await find(console) == 1
        again = replace(late, part=2, ended_at=NOW - timedelta(minutes=1))
        await put(console.engine, replace(again, ended_at=None))
        assert await find(console) == 0
        await put(console.engine, again)
        assert await find(console) == 1
        await send(console)
        assert sorted(p["data"]["part"] for p in receiver.got) == [1, 2]  # two at once
        assert await find(console) == 0
        found = await messenger.find_late(console.engine, console.settings)
        assert found in (1, 2)  # the ancient one; the fresh one, if this took 10 s
        assert await messenger.find_late(console.engine, console.settings) == 0


async def test_a_tenant_is_told_of_its_own_calls_and_the_operator_of_all(console: Console) -> None:
    await put(console.engine, a_call("ours"), a_call("theirs", agent_id="theirs"))
    async with (
        receiving(console, ADMIN) as (ours, _),
        receiving(console, STRANGER) as (theirs, _),
        receiving(console, OPERATOR) as (all_of_them, _),
    ):
        assert await find(console) == 4
        await send(console)
        assert [p["data"]["call_id"] for p in ours.got] == ["ours"]
        assert [p["data"]["call_id"] for p in theirs.got] == ["theirs"]
        assert {p["data"]["call_id"] for p in all_of_them.got} == {"ours", "theirs"}


async def test_a_failure_is_tried_again_later_until_it_is_given_up(console: Console) -> None:
    await put(console.engine, a_call("c1"))
    async with receiving(console, events=("call.ended",)) as (receiver, webhook):
        receiver.answers = [500]
        await find(console)
        assert (await send(console)).failed == 1
        (first,) = await log(console)
        assert (first.state, first.attempts, first.status) == ("waiting", 1, 500)
        assert first.next_at > first.tried_at + timedelta(seconds=12)
        assert (await send(console)).failed == 0  # not due yet
        for _ in range(MOST_ATTEMPTS - 1):
            await all_due(console)
            last = await send(console)
        assert last.dead == 1 and receiver.asked == MOST_ATTEMPTS
        (dead,) = await log(console, state="dead")
        assert (dead.attempts, dead.answer) == (MOST_ATTEMPTS, "not now\ufffd")
        (shown,) = await service.list_webhooks(console, ADMIN)
        assert (shown.health.dead, shown.health.last_error) == (1, "Status 500.")
        # the receiver is well again: one press, and it is there, under the same id
        receiver.answers = [200]
        assert await service.redeliver(console, ADMIN, webhook.id) == 1
        assert (await send(console)).delivered == 1
        assert receiver.ids == [f"msg_{dead.id}"]
        (done,) = await log(console)
        assert (done.state, done.error) == ("delivered", "")
        (shown,) = await service.list_webhooks(console, ADMIN)
        assert (shown.health.dead, shown.health.delivered, shown.health.last_error) == (0, 1, "")


async def test_a_receiver_that_says_gone_is_switched_off(console: Console) -> None:
    await put(console.engine, a_call("c1"), a_call("c2", 20), a_call("c3", 30))
    async with receiving(console, events=("call.ended",)) as (receiver, webhook):
        receiver.answers = [410]
        await find(console)
        await send(console)
        (shown,) = await service.list_webhooks(console, ADMIN)
        assert not shown.enabled and "410" in shown.why and shown.health.dead == 3
        with pytest.raises(UserError, match="switched off"):
            await service.redeliver(console, ADMIN, webhook.id)
        wish = WebhookWish(receiver.url, ("call.ended",))
        assert (await service.change(console, ADMIN, webhook.id, wish)).why == ""
        # what happened while it was off is not told
        await put(console.engine, a_call("c4", 25))
        assert await find(console) == 0


async def test_one_that_hangs_holds_up_nobody_else(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messenger, "LOOK_S", 0.05)
    calls = [a_call(f"c{n}", minutes_ago=5 + n / 10) for n in range(12)]
    await put(console.engine, *calls)
    async with (
        receiving(console, events=("call.ended",)) as (hung, _),
        receiving(console, STRANGER, events=("call.ended",)),
        receiving(console, OPERATOR, events=("call.ended",)) as (quick, _),
    ):
        hung.answers = ["slow"]
        run = asyncio.create_task(Messenger(console.engine, console.settings).run(20))
        async with asyncio.timeout(8):  # an attempt at the slow one lasts 10 s
            while len(quick.got) < len(calls):
                await asyncio.sleep(0.02)
        assert hung.most_at_once == messenger.EACH and not hung.got
        assert quick.most_at_once <= messenger.EACH
        assert len(set(quick.ids)) == len(quick.ids) == len(calls)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run


async def test_killed_in_the_middle_it_is_sent_again_under_the_same_id(console: Console) -> None:
    await put(console.engine, a_call("c1"))
    async with receiving(console, events=("call.ended",)) as (receiver, _):
        receiver.answers = ["slow", 200]
        await find(console)
        sending = asyncio.create_task(send(console))
        async with asyncio.timeout(5):
            while not receiver.asked:
                await asyncio.sleep(0.01)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert (await send(console)).delivered == 1
        assert receiver.asked == 2 and len(receiver.ids) == 1


async def test_without_a_webhook_nothing_is_done(console: Console) -> None:
    await put(console.engine, a_call("c1"))
    assert await messenger.deliver(console.engine, console.settings) == messenger.Delivered()
    assert await messenger.find_late(console.engine, console.settings) == 0


async def test_a_new_secret_and_the_one_before_are_both_right(console: Console) -> None:
    async with receiving(console) as (receiver, webhook):
        made = await service.new_secret(console, ADMIN, webhook.id)
        assert made.secret != receiver.secret and made.webhook.old_secret_until is not None
        for secret in (receiver.secret, made.secret):
            receiver.secret = secret
            sent = await service.send_test(console, ADMIN, webhook.id)
            assert (sent.state, sent.event, sent.status) == ("delivered", "webhook.test", 200)
        async with console.engine.begin() as connection:
            await connection.execute(update(WebhookRow).values(old_secret_until=LONG_AGO))
        await service.send_test(console, ADMIN, webhook.id)
        assert receiver.wrong == 0 and len(receiver.got) == 3
        async with console.engine.connect() as connection:
            kept = str((await connection.execute(text("SELECT * FROM webhooks"))).all())
            audited = str((await connection.execute(text("SELECT * FROM audit_log"))).all())
        for secret in (receiver.secret, made.secret):
            assert secret not in kept and secret not in audited
        for action in ("webhook.create", "webhook.new-secret", "webhook.test"):
            assert action in audited


async def test_a_test_that_fails_says_why_and_is_not_repeated(console: Console) -> None:
    async with receiving(console) as (receiver, webhook):
        receiver.answers = [404]
        sent = await service.send_test(console, ADMIN, webhook.id)
        assert (sent.state, sent.error, sent.answer) == ("dead", "Status 404.", "not now\ufffd")
        await all_due(console)
        await send(console)
        assert receiver.asked == 1


async def test_anothers_webhooks_do_not_exist(console: Console) -> None:
    await put(console.engine, a_call("c1"))
    async with receiving(console) as (receiver, webhook):
        await find(console)
        (delivery,) = await log(console)
        wish = WebhookWish(receiver.url, ("call.ended",))
        for ask in (
            lambda: service.webhook(console, STRANGER, webhook.id),
            lambda: service.change(console, STRANGER, webhook.id, wish),
            lambda: service.remove(console, STRANGER, webhook.id),
            lambda: service.new_secret(console, STRANGER, webhook.id),
            lambda: service.send_test(console, STRANGER, webhook.id),
            lambda: service.redeliver(console, STRANGER, webhook.id),
            lambda: service.deliveries(console, STRANGER, webhook_id=webhook.id),
            lambda: service.webhook(console, ADMIN, 10**30),
        ):
            with pytest.raises(NotFoundError):
                await ask()
        assert await service.list_webhooks(console, STRANGER) == ()
        assert await log(console, STRANGER) == []
        assert len(await log(console, OPERATOR)) == 1
        async with receiving(console, STRANGER) as (_, theirs):
            with pytest.raises(NotFoundError):
                await service.redeliver(console, STRANGER, theirs.id, [delivery.id])
        # a tenant's people cannot make one that hears everybody
        told = await service.create(console, STRANGER, replace(wish, tenant=None))
        assert told.webhook.tenant == OTHER
        await service.remove(console, ADMIN, webhook.id)
        assert await log(console) == []


@pytest.mark.parametrize("role", [Role.REVIEWER, Role.VIEWER])
async def test_who_may_not(console: Console, role: Role) -> None:
    actor = Actor("x", role, "main", PERMISSIONS[role])
    wish = WebhookWish("https://127.0.0.1/", ("call.ended",))
    for ask in (
        lambda: service.list_webhooks(console, actor),
        lambda: service.create(console, actor, wish),
        lambda: service.deliveries(console, actor),
        lambda: service.send_test(console, actor, 1),
        lambda: service.redeliver(console, actor, 1),
        lambda: service.remove(console, actor, 1),
    ):
        with pytest.raises(ForbiddenError):
            await ask()


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (WebhookWish("https://10.0.0.1/", ("call.ended",)), "private address"),
        (WebhookWish("http://169.254.169.254/", ("call.ended",)), "private address"),
        (WebhookWish("http://127.0.0.1/", ()), "at least one"),
        (WebhookWish("http://127.0.0.1/", ("call.begun",)), "nothing that webhooks"),
        (WebhookWish("http://127.0.0.1/", ("call.ended",), include=("memory",)), "nothing that"),
        (WebhookWish("http://127.0.0.1/", ("call.ended",), "n" * 81), "at most 80"),
        (WebhookWish("http://127.0.0.1/", ("call.ended",), tenant="nobody"), "no such tenant"),
    ],
)
async def test_what_is_refused(console: Console, wish: WebhookWish, says: str) -> None:
    with pytest.raises(UserError, match=says):
        await service.create(console, OPERATOR, wish)


async def test_a_key_that_may_not_read_calls_gets_none_of_their_words(console: Console) -> None:
    only = replace(ADMIN, permissions=frozenset({Permission.WEBHOOKS_EDIT}))
    with pytest.raises(ForbiddenError):
        wish = WebhookWish("http://127.0.0.1/", ("call.ended",), include=("transcript",))
        await service.create(console, only, wish)


async def test_no_more_than_so_many_and_pages_of_the_log(console: Console) -> None:
    await put(console.engine, *[a_call(f"c{n}", 5 + n / 10) for n in range(7)])
    async with receiving(console, events=("call.ended",)) as (receiver, _):
        assert await find(console) == 7
        first = await service.deliveries(console, ADMIN, limit=4)
        assert len(first.deliveries) == 4 and first.next
        rest = await service.deliveries(console, ADMIN, limit=4, before=first.next)
        assert len(rest.deliveries) == 3 and rest.next is None
        assert len({d.id for d in (*first.deliveries, *rest.deliveries)}) == 7
        wish = WebhookWish(receiver.url, ("call.ended",))
        for _ in range(service.MOST_WEBHOOKS - 1):
            await service.create(console, ADMIN, wish)
        with pytest.raises(UserError, match="already"):
            await service.create(console, ADMIN, wish)
