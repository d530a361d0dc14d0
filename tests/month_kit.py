"""A telecom operator's month in a journal: agents in two languages, calls with real voices, flags,
documents in every state, a campaign, people of every role. For pictures of the console."""

from __future__ import annotations

import dataclasses
import math
import random
import subprocess
import tomllib
import wave
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access import apikeys, audit
from appliance.access.actor import Actor
from appliance.access.roles import PERMISSIONS, Role
from appliance.audio import write_wav
from appliance.events import Agent, CallRecord, Flag, Passage, Stages, Turn
from appliance.store import campaigns, documents
from appliance.store.access_models import TenantRow, UserRow
from appliance.store.agents import publish_agent, set_number
from appliance.store.documents import NewDocument
from appliance.store.knowledge_models import DocumentRow
from appliance.store.models import (
    ExtensionRow,
    LegRow,
    NumberRow,
    QueueRow,
    TrunkRow,
)
from appliance.store.outreach_models import (
    CampaignRow,
    ContactRow,
    DeliveryRow,
    WebhookRow,
)
from appliance.store.review_models import GoldenAnswerRow, GoldenQuestionRow, GuardRuleRow
from appliance.store.rows import Record, upsert

RATE_HZ = 8000
CALLS = 600
DAYS = 30
SEED = 20
TENANT = "main"
BASE = "sunrise-broadband"
SPOKEN_CALLS = 6
"""The latest so many English calls have a recording."""
BATCH = 500
_TALK = tomllib.loads((Path(__file__).parent / "month.toml").read_text("utf-8"))
ENGLISH = tuple((one["said"], one["reply"]) for one in _TALK["english"])
HINDI = tuple((one["said"], one["reply"]) for one in _TALK["hindi"])
RIGHT = tuple(one["right"] for one in _TALK["english"])
PEOPLE = (
    ("priya", "Priya Nair", Role.ADMIN, "en"), ("arjun", "Arjun Mehta", Role.REVIEWER, "en"),
    ("kavita", "कविता शर्मा", Role.REVIEWER, "hi"), ("rahul", "Rahul Iyer", Role.VIEWER, "en"),
    ("fatima", "Fatima Khan", Role.ADMIN, "en"),
)  # fmt: skip
FLAG_KINDS = (
    ("high", "grounding", "stopped", "agent", "guard", "It costs two hundred rupees."),
    ("high", "personal", "late", "agent", "guard", "The number of the card ends in 4242."),
    ("medium", "words", "flagged", "caller", "guard", "This is useless."),
    ("medium", "complaint", "flagged", "caller", "moderation", "I want to complain."),
    ("low", "changed", "flagged", "agent", "golden", "The fee is one hundred rupees."),
)


async def fill(engine: AsyncEngine, recordings: Path, sample: Agent, who: Actor) -> None:
    """All of it but the knowledge of ``sample``, which the caller has loaded; by ``who``."""
    now = datetime.now(UTC).replace(microsecond=0)
    agents = await _agents(engine, sample)
    await _people(engine, now)
    drawn = random.Random(SEED)
    calls = _calls(drawn, agents, now)
    spoken = [c for c in calls if c.language == "en" and c.ended_at and c.turns >= 3][:SPOKEN_CALLS]
    rows: list[Record] = []
    for call in calls:
        turns = _spoken(recordings, call) if call in spoken else list(_turns(drawn, call))
        kept = turns[0] if isinstance(turns[0], CallRecord) else call
        rows += [*(t for t in turns if isinstance(t, Turn)), kept]
    rows += _flags(drawn, calls, spoken)
    for begin in range(0, len(rows), BATCH):
        async with engine.begin() as connection:
            await upsert(connection, rows[begin : begin + BATCH])
    await _site(engine, calls, now)
    await _documents(engine)
    await _outreach(engine, calls, drawn, now)
    await _reviewed(engine, now)
    await _webhooks(engine, calls, now)
    if who.user_id is not None:
        await apikeys.create(engine, who, "CRM, nightly", PERMISSIONS[Role.VIEWER])
    await _audited(engine, who, calls)
    async with engine.connect() as plain:
        free = await plain.execution_options(isolation_level="AUTOCOMMIT")
        await free.execute(text("VACUUM ANALYZE"))


async def _agents(engine: AsyncEngine, sample: Agent) -> list[Agent]:
    async with engine.begin() as connection:
        for id_, name in (("acme", "Acme Insurance"), ("zen", "Zen Hospitals")):
            await connection.execute(insert(TenantRow).values(id=id_, name=name))
    first = await publish_agent(engine, sample, "priya", "First version.")
    shorter = dataclasses.replace(first, greeting="Welcome to Sunrise Broadband. How can I help?")
    second = await publish_agent(engine, shorter, "priya", "A shorter greeting.")
    hindi = dataclasses.replace(
        sample, id="sunrise-hindi", name="Sunrise हिन्दी", language="hi",
        greeting="सनराइज़ ब्रॉडबैंड में आपका स्वागत है। मैं आपकी क्या मदद करूँ?",
    )  # fmt: skip
    billing = dataclasses.replace(
        sample, id="billing", name="Billing desk", greeting="Billing, hello."
    )
    dues = dataclasses.replace(sample, id="dues", name="Reminder of dues", greeting="Good morning.")
    others = [
        await publish_agent(engine, a, "fatima", "First version.") for a in (hindi, billing, dues)
    ]
    return [second, *others]


async def _people(engine: AsyncEngine, now: datetime) -> None:
    async with engine.begin() as connection:
        for number, (login, name, role, language) in enumerate(PEOPLE):
            await connection.execute(
                insert(UserRow).values(
                    login=login, name=name, role=role, tenant=TENANT, password_hash="!",
                    language=language, last_login_at=now - timedelta(hours=7 * number + 1),
                    totp_secret="x" if number < 2 else "", must_change=number == 3,
                    enabled=number != 4,
                )
            )  # fmt: skip


def _calls(drawn: random.Random, agents: Sequence[Agent], now: datetime) -> list[CallRecord]:
    """The newest first, most of them in the day."""
    found = []
    while len(found) < CALLS:
        began = now - timedelta(days=DAYS * drawn.random(), minutes=2)
        hour = (began.hour + 5.5) % 24
        if drawn.random() > 0.06 + math.exp(-((hour - 13) ** 2) / 22):
            continue
        found.append(_call(drawn, len(found), agents, began))
    return sorted(found, key=lambda call: call.started_at, reverse=True)


def _call(drawn: random.Random, n: int, agents: Sequence[Agent], began: datetime) -> CallRecord:
    agent = drawn.choices(agents, (6, 3, 2, 1))[0]
    chance = drawn.random()
    turns = 1 if chance < 0.06 else drawn.randint(2, 7)
    cut = 0.06 < chance < 0.09
    moved = 0.12 < chance < 0.26
    call = CallRecord(
        f"c{n:04}{drawn.randrange(16**8):08x}", f"+9120661788{drawn.randrange(4):02}",
        f"+9198{drawn.randrange(10**8):08}", agent.id, agent.version, agent.language, began,
        began + timedelta(seconds=8 + 19 * turns + drawn.randint(0, 20)),
        "WORKER_LOST" if cut else "NORMAL_CLEARING",
        "system" if cut else drawn.choice(("caller", "caller", "agent")), turns,
        direction="out" if agent.id == "dues" else "in",
    )  # fmt: skip
    if moved:
        reason = drawn.choice(("asked", "asked", "key", "failures"))
        call = dataclasses.replace(
            call, transferred_to="queue:help", transfer_reason=reason, ended_by="agent",
            cause=call.cause if drawn.random() < 0.2 else "ATTENDED_TRANSFER",
            summary="The caller moves house and asks what becomes of the connection.",
        )  # fmt: skip
    return call


def _turns(drawn: random.Random, call: CallRecord) -> Iterator[Turn]:
    asked = HINDI if call.language == "hi" else ENGLISH
    yield _turn(call, 0, 0, 0, "", "Welcome to Sunrise Broadband. How can I help?", None)
    at = 6000
    for index in range(1, call.turns):
        said, reply = drawn.choice(asked)
        gap = round(math.exp(drawn.gauss(6.1, 0.42)) + (900 if drawn.random() < 0.03 else 0))
        yield _turn(call, index, at, at + 2600, said, reply, gap)
        at += 2600 + gap + 9000


def _turn(
    call: CallRecord, index: int, begin: int, end: int, said: str, reply: str, gap: int | None
) -> Turn:
    sure = not reply.startswith("I am sorry, I do not")
    known = Passage(
        "p1", f"{BASE}.md", "Bills and payments", reply, 0.82, None, True
    )  # fmt: skip
    stages = Stages(first_phrase=0, first_frame=20)
    if gap is not None:
        stages = Stages(
            speech_start=begin, speech_end=end, first_partial=begin + 600, final=end + 60,
            turn_given=end + gap // 4, retrieval=end + gap // 4 + 12,
            first_token=end + gap * 2 // 3, first_phrase=end + gap * 3 // 4,
            first_audio=end + gap - 25, first_frame=end + gap,
        )  # fmt: skip
    return Turn(
        call.call_id, index, call.started_at + timedelta(milliseconds=end + (gap or 0)), said,
        reply, reply, ("llm" if sure else "extractive") if said else "greeting", stages, gap,
        (known,) if said and sure else (),
    )  # fmt: skip


def _voice(folder: Path, voice: str, words: str) -> NDArray[np.int16]:
    file = folder / "said.wav"
    subprocess.run(["flite", "-voice", voice, "-t", words, "-o", str(file)], check=True, timeout=30)
    with wave.open(str(file)) as heard:
        samples = np.frombuffer(heard.readframes(heard.getnframes()), "<i2")
        if heard.getframerate() == 2 * RATE_HZ:
            whole = samples[: len(samples) // 2 * 2].reshape(-1, 2)
            samples = whole.mean(axis=1).astype("<i2")
    file.unlink()
    return samples


def _spoken(recordings: Path, call: CallRecord) -> list[Record]:
    """The call with turns where they are heard in its recording."""
    name = f"{call.started_at:%Y/%m/%d}/{call.call_id}.wav"
    path = recordings / name
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = random.Random(call.call_id)
    sides: tuple[list[tuple[int, Any]], list[tuple[int, Any]]] = ([], [])
    greeting = _voice(path.parent, "slt", "Welcome to Sunrise Broadband. How can I help?")
    sides[1].append((20, greeting))
    turns = [_turn(call, 0, 0, 0, "", "Welcome to Sunrise Broadband. How can I help?", None)]
    at = 20 + len(greeting) // 8 + 900
    for index, (said, reply) in enumerate(drawn.sample(ENGLISH, min(call.turns, 5) - 1), 1):
        question, answer = _voice(path.parent, "kal", said), _voice(path.parent, "slt", reply)
        end = at + len(question) // 8
        gap = round(math.exp(drawn.gauss(6.1, 0.4))) + (1300 if index == 2 else 0)
        turns.append(_turn(call, index, at, end, said, reply, gap))
        sides[0].append((at, question))
        sides[1].append((end + gap, answer))
        at = end + gap + len(answer) // 8 + 1100
    lanes = []
    for pieces in sides:
        lane = np.zeros(at * 8, "<i2")
        for begin, samples in pieces:
            lane[begin * 8 : begin * 8 + len(samples)] = samples
        lanes.append(lane.tobytes())
    write_wav(path, lanes, RATE_HZ)
    ended = call.started_at + timedelta(milliseconds=at)
    return [dataclasses.replace(call, recording=name, turns=len(turns), ended_at=ended), *turns]


def _flags(
    drawn: random.Random, calls: Sequence[CallRecord], spoken: Sequence[CallRecord]
) -> list[Flag]:
    some = [*spoken[:3], *islice((c for c in calls if c.turns > 2), 10, 210, 8)]
    found = []
    for n, call in enumerate(some):
        severity, category, action, side, by, phrase = FLAG_KINDS[n % len(FLAG_KINDS)]
        said, reply = ENGLISH[n % len(ENGLISH)]
        found.append(
            Flag(
                f"flag-{n:03}", call.started_at + timedelta(seconds=20), call.call_id, 1,
                call.agent_id, call.agent_version, BASE, 1, by, side, "site.1", category,  # type: ignore[arg-type]
                severity, action, phrase, said, f"{reply} {phrase}", 9000, 11000,  # type: ignore[arg-type]
            )
        )  # fmt: skip
    return found


async def _site(engine: AsyncEngine, calls: Sequence[CallRecord], now: datetime) -> None:
    """Numbers, trunks, telephones, queues, how calls went on the lines."""
    await set_number(engine, "+912066178800", "sunrise")
    await set_number(engine, "+912066178801", "sunrise-hindi")
    await set_number(engine, "+912066178802", "billing")
    await set_number(engine, "*", "sunrise")
    hours = "mon-fri 09:00-18:00, sat 10:00-14:00; except 2027-01-26"
    closed = "We are closed now. Please call between nine and six."
    trunks = (
        ("airtel-pune", "Airtel", 1, "sip.airtel.example", "tls", True),
        ("jio-backup", "Jio", 2, "sbc.jio.example", "udp", False),
    )
    async with engine.begin() as c:
        change = update(NumberRow).where(NumberRow.did == "+912066178802")
        await c.execute(change.values(hours=hours, closed_text=closed, overflow_to="queue:help"))
        for name, carrier, priority, proxy, transport, register in trunks:
            values = {"name": name, "carrier": carrier, "priority": priority, "proxy": proxy}
            values |= {"transport": transport, "register": register, "max_calls": 60}
            values |= {
                "username": "sunrise",
                "password": "not-a-real-one",
                "caller_id": "+912066178800",
                "addresses": ["198.51.100.4"],
                "codecs": ["PCMA", "G722"],
            }
            await c.execute(insert(TrunkRow).values(**values))
        for extension, name in (("201", "Meena"), ("202", "Sanjay"), ("203", "Night desk")):
            row = insert(ExtensionRow).values(extension=extension, name=name, a1_hash="0" * 32)
            await c.execute(row)
        await c.execute(insert(QueueRow).values(name="help", members=["201", "202"]))
        for call in calls[:80]:
            await c.execute(
                insert(LegRow).values(
                    leg_id=f"leg-{call.call_id}", call_id=call.call_id, kind="inbound",
                    trunk="airtel-pune", caller=call.caller, callee=call.did,
                    started_at=call.started_at, answered_at=call.started_at,
                    ended_at=call.ended_at, cause="NORMAL_CLEARING", cause_code=16,
                    sip_status=200, ended_by=call.ended_by, codec="PCMA",
                )
            )  # fmt: skip


async def _documents(engine: AsyncEngine) -> None:
    """Documents that are on their way or got nowhere, beside the sample's."""
    rows: tuple[tuple[str, dict[str, Any]], ...] = (
        ("tariffs-2026.pdf", {"state": "embedding", "done": 38, "total": 96}),
        ("router-manual.pdf", {"state": "reading", "done": 12, "total": 40}),
        ("festival-offers.docx", {"state": "waiting"}),
        ("old-scan.pdf", {"state": "failed", "attempts": 3, "error": "Page 4 is damaged."}),
        ("passwords.zip", {"state": "refused", "error": "This kind of file is not read."}),
    )  # fmt: skip
    for name, values in rows:
        new = NewDocument(name, name.encode() * 4000, added_by="priya", tags=("tariff",))
        added = await documents.add(engine, BASE, new)
        async with engine.begin() as connection:
            change = update(DocumentRow).where(DocumentRow.id == added.document_id)
            await connection.execute(change.values(**values))


async def _outreach(
    engine: AsyncEngine, calls: Sequence[CallRecord], drawn: random.Random, now: datetime
) -> None:
    out = [call for call in calls if call.direction == "out"]
    ends = ("reached", "reached", "reached", "failed", "waiting", "waiting", "refused", "queued")
    results = {"failed": "NO_ANSWER", "reached": "human", "refused": "do-not-call"}
    plans = (("Dues in November", "running"), ("New plans", "draft"), ("Survey", "done"))
    async with engine.begin() as c:
        for name, state in plans:
            begun = now - timedelta(days=2) if state != "draft" else None
            made = await campaigns.create_campaign(
                c, {"name": name, "agent_id": "dues", "hours": "mon-sat 10:00-18:00"}
            )
            change = update(CampaignRow).where(CampaignRow.id == made)
            await c.execute(
                change.values(
                    state=state, started_at=begun, running_since=begun, created_by="priya",
                    ended_at=now - timedelta(hours=3) if state == "done" else None,
                )
            )  # fmt: skip
            for n in range(160):
                now_state = {"draft": "waiting", "done": "reached"}.get(state, drawn.choice(ends))
                call = out[n % len(out)]
                rung = now_state in ("reached", "failed")
                await c.execute(
                    insert(ContactRow).values(
                        campaign_id=made, number=f"+9197{n:02}{drawn.randrange(10**6):06}",
                        name=drawn.choice(("Anil Rao", "Sunita Joshi", "M. Kulkarni", "रवि पाटिल")),
                        fields={"amount": str(400 + 7 * n)}, state=now_state,
                        result=results.get(now_state, ""), attempts=1 if rung else 0,
                        call_id=call.call_id if now_state == "reached" else "",
                        called_at=now - timedelta(minutes=3 * n) if rung else None,
                    )
                )  # fmt: skip
        for n in range(6):
            await c.execute(
                text("INSERT INTO do_not_call (number, reason) VALUES (:n, :r)"),
                {"n": f"+91982200{n:04}", "r": ("asked in a call", "the regulator's list")[n % 2]},
            )


async def _reviewed(engine: AsyncEngine, now: datetime) -> None:
    """Golden questions with their answers over time, rules, common answers, decided flags."""
    async with engine.begin() as c:
        for n, (said, reply) in enumerate(ENGLISH[:6]):
            row = insert(GoldenQuestionRow).values(
                agent_id="sunrise",
                question=said,
                expected=RIGHT[n],
                created_by="arjun",
            )
            made = (await c.execute(row.returning(GoldenQuestionRow.id))).scalar_one()
            for day in range(4):
                verdict = "changed" if n == 3 and day == 0 else "same"
                await c.execute(
                    insert(GoldenAnswerRow).values(
                        question_id=made, at=now - timedelta(days=day, hours=9), agent_version=2,
                        knowledge_version=1, answer=reply, source="llm", verdict=verdict,
                        similarity=0.71 if verdict == "changed" else 0.97,
                    )
                )  # fmt: skip
            await c.execute(
                text(
                    "INSERT INTO cached_answers (agent_id, agent_version, knowledge_version, wording,"
                    " question, answer, source, calls)"
                    " VALUES ('sunrise', 2, 1, :w, :q, :a, 'llm', :c)"
                ),
                {"w": said.lower().rstrip("?"), "q": said, "a": reply, "c": 41 - 6 * n},
            )
        rules = (
            ("words", "guaranteed refund", "high", "Legal asked for it."),
            ("words", "lifetime free", "medium", ""),
            ("pattern", r"\b\d{4}-\d{4}\b", "low", "Order numbers"),
        )  # fmt: skip
        for kind, words, severity, note in rules:
            await c.execute(
                insert(GuardRuleRow).values(
                    kind=kind, text=words, severity=severity, note=note, created_by="fatima"
                )
            )
        await c.execute(
            text(
                "UPDATE flags SET state = CASE WHEN id < 'flag-020' THEN 'wrong' ELSE 'fine' END,"
                " decided_by = 'arjun', decided_at = :now, note = 'Looked at.' WHERE id > 'flag-016'"
            ),
            {"now": now},
        )


async def _webhooks(engine: AsyncEngine, calls: Sequence[CallRecord], now: datetime) -> None:
    hooks = (
        ("CRM", "https://crm.sunrise.example/ivr", "dead"),
        ("Data lake", "https://lake.sunrise.example/hooks/voice", "delivered"),
    )
    async with engine.begin() as c:
        for name, url, last in hooks:
            row = insert(WebhookRow).values(
                tenant=TENANT, name=name, url=url, secret="whsec_x", created_by="priya",
                events=["call.ended", "call.flagged"],
            )  # fmt: skip
            made = (await c.execute(row.returning(WebhookRow.id))).scalar_one()
            for n, call in reversed(list(enumerate(calls[:24]))):
                state = last if n == 2 else "delivered"
                bad = state == "dead"
                at = now - timedelta(minutes=17 * n + 4)
                await c.execute(
                    insert(DeliveryRow).values(
                        webhook_id=made, event="call.ended", subject=call.call_id, state=state,
                        payload={"type": "call.ended", "data": {"call_id": call.call_id}},
                        attempts=12 if bad else 1, status=503 if bad else 200, took_ms=40 + n,
                        error="503: the server is overloaded" if bad else "", created_at=at,
                        tried_at=at, delivered_at=None if bad else at,
                    )
                )  # fmt: skip


async def _audited(engine: AsyncEngine, who: Actor, calls: Sequence[CallRecord]) -> None:
    priya = Actor("priya", Role.ADMIN, TENANT, PERMISSIONS[Role.ADMIN], address="10.4.0.17")
    arjun = Actor("arjun", Role.REVIEWER, TENANT, PERMISSIONS[Role.REVIEWER], address="10.4.0.31")
    done = (
        (who, "tenant.create", "acme", {"name": "Acme Insurance"}),
        (
            priya,
            "agent.publish",
            "sunrise",
            {"version": 2, "note": "A shorter greeting."},
        ),
        (priya, "number.set", "+912066178802", {"agent": "billing"}),
        (priya, "campaign.start", "1", {"contacts": 160}),
        (arjun, "recording.listen", calls[3].call_id, {"part": 1}),
        (arjun, "flag.decide", "flag-017", {"state": "wrong"}),
        (priya, "user.create", "rahul", {"role": "viewer"}),
        (priya, "webhook.create", "1", {"url": "https://crm.sunrise.example/ivr"}),
    )
    async with engine.begin() as connection:
        for actor, action, subject, detail in done:
            await audit.append(connection, actor, action, subject, detail, actor.tenant)
