"""A site of two tenants, each with one of everything, whose every word is an attack on a page."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.access.roles import Role
from appliance.events import Agent, CallRecord
from appliance.outreach.webhooks import signing
from appliance.store.access_models import TenantRow
from appliance.store.agents import publish_agent
from appliance.store.base import Base
from appliance.store.database import open_engine
from appliance.store.knowledge_models import (
    CachedAnswerRow,
    DocumentRow,
    KnowledgeBaseRow,
    KnowledgeVersionRow,
    PassageRow,
    RevisionRow,
)
from appliance.store.models import AgentDraftRow, AgentRow, DoNotCallRow, NumberRow
from appliance.store.outreach_models import CampaignRow, ContactRow, DeliveryRow, WebhookRow
from appliance.store.review_models import GoldenAnswerRow, GoldenQuestionRow, GuardRuleRow
from tests.calls_kit import a_call, a_flag, a_turn, put, record
from tests.conftest import _url, make_database
from tests.console_kit import ConsoleProcess, Person, cookie, key, person

WORDS = (
    '<img src=x onerror="window.__hit=1"></script><script>window.__hit=1</script>{{7*7}}'
    "${7*7}<svg/onload=window.__hit=1>\u2028\u2029'\"`;window.__hit=1//"
)
"""What anybody may say, or call a file or themselves."""
LINK = "javascript:window.__hit=1"
FORMULA = '=cmd|"/C calc"!A0'
SECRET_WORDS = "my-password-is-tangerine"
"""What a caller says: in no log."""
MAIN, OTHER = "main", "acme"


@dataclass(frozen=True, slots=True)
class Things:
    """One tenant's, by the names that the API's paths have for them."""

    tenant: str
    admin: Person
    key: str
    cookie: str
    ids: dict[str, str]
    """Path parameter -> id."""


@dataclass(frozen=True, slots=True)
class Site:
    console: ConsoleProcess
    main: Things
    other: Things
    operator: Person
    operator_key: str
    operator_cookie: str

    def as_key(self, secret: str) -> httpx.AsyncClient:
        return self.console.client(Authorization=f"Bearer {secret}")

    def engine(self) -> AsyncEngine:
        return open_engine(self.console.settings.database.url)


@contextmanager
def hostile_site(postgres: Any, folder: Path, name: str, **settings: str) -> Iterator[Site]:
    """The site, with its console open. ``settings``: further environment of ``ivr admin``."""
    make_database(postgres, name, "ivr_template")
    environment = {
        "IVR_DATABASE__URL": _url(postgres, name),
        "IVR_ADMIN__REQUESTS_A_MINUTE": "100000",
    }
    console = ConsoleProcess(folder, environment | settings)
    made = asyncio.run(_fill(console))
    console.open()
    try:
        yield made
    finally:
        console.close()


async def _fill(console: ConsoleProcess) -> Site:
    engine = open_engine(console.settings.database.url)
    try:
        async with engine.begin() as connection:
            await connection.execute(insert(TenantRow).values(id=OTHER, name=WORDS))
        main = await _tenant(console, engine, MAIN)
        other = await _tenant(console, engine, OTHER)
        operator = await person(engine)
        secret, token = (
            await key(engine, operator),
            await cookie(engine, operator, console.settings),
        )
        return Site(console, main, other, operator, secret, token)
    finally:
        await engine.dispose()


async def _tenant(console: ConsoleProcess, engine: AsyncEngine, tenant: str) -> Things:
    admin = await person(engine, Role.ADMIN, tenant, f"admin-{tenant}")
    secret = await key(engine, admin)
    token = await cookie(engine, admin, console.settings)
    ids = {"tenant": tenant, "user_id": str(admin.id)}
    agent = ids["agent_id"] = f"agent-{tenant}"
    async with engine.begin() as connection:
        await _add(connection, AgentRow, id=agent, name=WORDS, tenant=tenant)
    await publish_agent(
        engine, Agent(agent, 1, WORDS, greeting=WORDS, prompt=WORDS, knowledge=f"base-{tenant}")
    )
    call = await _calls(console, engine, agent, tenant)
    ids |= {"call_id": call.call_id, "flag_id": f"flag-{call.call_id}-0", "version": "1"}
    async with engine.begin() as connection:
        ids |= await _knowledge(connection, tenant)
        ids |= await _outreach(connection, console, agent, tenant)
        ids |= await _review(connection, agent, call)
        found = await connection.exec_driver_sql(
            "SELECT k.id AS k, s.id AS s FROM api_keys k JOIN sessions s USING (user_id)"
            f" WHERE user_id = {admin.id}"
        )
        ids["key_id"], ids["session_id"] = map(str, found.one())
    return Things(tenant, admin, secret, token, ids)


async def _calls(
    console: ConsoleProcess, engine: AsyncEngine, agent: str, tenant: str
) -> CallRecord:
    call = a_call(
        f"call-{tenant}", agent_id=agent, caller=WORDS, did=WORDS, summary=WORDS,
        transferred_to=WORDS, transfer_reason=WORDS, language="en", facts={WORDS: WORDS},
    )  # fmt: skip
    call = record(console.settings.recordings_dir, call)
    said = f"{WORDS} {SECRET_WORDS}"
    turns = [
        a_turn(call, i, said=said, reply=WORDS, heard=WORDS, failure=WORDS if i else "")
        for i in range(2)
    ]
    flag = a_flag(call, 0, rule=WORDS, phrase=WORDS, question=said, answer=WORDS, category=WORDS)
    await put(engine, call, *turns, flag)
    return call


async def _knowledge(connection: AsyncConnection, tenant: str) -> dict[str, str]:
    base = await _add(
        connection, KnowledgeBaseRow, name=f"base-{tenant}", tenant=tenant, version=1,
        published_at=datetime.now(UTC),
    )  # fmt: skip
    await _add(connection, KnowledgeVersionRow, knowledge_base_id=base, version=1)
    document = await _add(
        connection, DocumentRow, knowledge_base_id=base, name=WORDS, source=LINK,
        source_error=WORDS, error=WORDS, state="published", added_by=WORDS, tags=[WORDS],
    )  # fmt: skip
    revision = await _add(
        connection, RevisionRow, document_id=document, sha256=tenant, media_type="text/html",
        size_bytes=9, original=f"<script>window.__hit=1</script>{tenant}".encode(), notes=[WORDS],
    )  # fmt: skip
    await connection.exec_driver_sql(
        f"UPDATE documents SET revision_id = {revision} WHERE id = {document}"
    )
    passage = await _add(
        connection, PassageRow, knowledge_base_id=base, revision_id=revision, since_version=1,
        document=WORDS, heading=WORDS, position=1.0, text=WORDS, tags=[WORDS], suspicious=True,
    )  # fmt: skip
    return {"base_id": str(base), "document_id": str(document), "passage_id": str(passage)}


async def _outreach(
    connection: AsyncConnection, console: ConsoleProcess, agent: str, tenant: str
) -> dict[str, str]:
    did = "+9180" + {MAIN: "11111111", OTHER: "22222222"}[tenant]
    await _add(connection, NumberRow, did=did, agent_id=agent, closed_text=WORDS)
    await _add(connection, DoNotCallRow, number=did, reason=WORDS, tenant=tenant)
    campaign = await _add(
        connection, CampaignRow, name=WORDS, agent_id=agent, why=WORDS, created_by=WORDS
    )
    await _add(
        connection, ContactRow, campaign_id=campaign, number=did, name=FORMULA + WORDS,
        fields={WORDS: FORMULA + WORDS}, result=WORDS, call_id=LINK,
    )  # fmt: skip
    sealed = signing.seal(console.settings, signing.new_secret())
    webhook = await _add(
        connection, WebhookRow, tenant=tenant, name=WORDS, url="https://192.0.2.1/hook",
        secret=sealed, events=["call.ended"], why=WORDS, created_by=WORDS, enabled=False,
    )  # fmt: skip
    delivery = await _add(
        connection, DeliveryRow, webhook_id=webhook, event="call.ended", subject=f"call-{tenant}",
        payload={"type": WORDS}, state="dead", error=WORDS, answer=WORDS, status=500,
    )  # fmt: skip
    return {
        "did": did, "campaign_id": str(campaign), "webhook_id": str(webhook),
        "delivery": str(delivery),
    }  # fmt: skip


async def _review(connection: AsyncConnection, agent: str, call: CallRecord) -> dict[str, str]:
    rule = await _add(
        connection, GuardRuleRow, agent_id=agent, kind="words", text=WORDS, note=WORDS,
        category=WORDS, created_by=WORDS,
    )  # fmt: skip
    question = await _add(
        connection, GoldenQuestionRow, agent_id=agent, question=WORDS, expected=WORDS,
        created_by=WORDS,
    )  # fmt: skip
    await _add(
        connection, GoldenAnswerRow, question_id=question, agent_version=1, knowledge_version=1,
        answer=WORDS, source="llm", verdict="changed",
    )  # fmt: skip
    await _add(
        connection, CachedAnswerRow, agent_id=agent, agent_version=1, knowledge_version=1,
        wording=WORDS, question=WORDS, answer=WORDS, source="llm", calls=3,
    )  # fmt: skip
    await _add(
        connection, AgentDraftRow, agent_id=agent, based_on=1, revision=1, updated_by=WORDS,
        config={"id": agent, "version": 0, "name": WORDS, "greeting": WORDS, "prompt": WORDS},
    )  # fmt: skip
    await connection.exec_driver_sql("UPDATE sessions SET browser = '<img src=x onerror=1>'")
    return {"rule_id": str(rule), "question_id": str(question)}


async def _add(connection: AsyncConnection, row: type[Base], **values: Any) -> Any:
    query = insert(row).values(**values)
    if "id" in row.__table__.c:
        return await connection.scalar(query.returning(row.__table__.c.id))
    await connection.execute(query)
    return None
