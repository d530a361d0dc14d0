"""Calls of two tenants in a journal, with recordings on the disk, as the appliance leaves them."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.audio import write_wav
from appliance.events import Agent, CallRecord, Flag, Passage, Stages, Turn
from appliance.store.access_models import TenantRow
from appliance.store.agents import publish_agent
from appliance.store.models import AgentRow
from appliance.store.rows import Record, upsert

NOW = datetime.now(UTC).replace(microsecond=0)
RATE_HZ = 8000
OTHER = "acme"
"""A second tenant, whose agent is ``theirs``; the main one's is ``help``."""
EVIL = "<img src=x onerror=alert(1)> {{ 7*7 }}"
"""What a caller may say, or a document be called."""


async def two_tenants(engine: AsyncEngine) -> None:
    """Agents ``help`` (main) and ``theirs`` (``OTHER``), each published once."""
    async with engine.begin() as connection:
        await connection.execute(insert(TenantRow).values(id=OTHER, name="Acme"))
        for agent, tenant in (("help", "main"), ("theirs", OTHER)):
            await connection.execute(
                insert(AgentRow).values(id=agent, name=agent.title(), tenant=tenant)
            )
    for agent in ("help", "theirs"):
        await publish_agent(engine, Agent(agent, 1, agent.title(), greeting="Hello."))


def a_call(call_id: str, minutes_ago: float = 10, **fields: object) -> CallRecord:
    """A call of two minutes that the caller ended."""
    began = NOW - timedelta(minutes=minutes_ago)
    call = CallRecord(
        call_id, "1001", "+919876543210", "help", 1, "en", began, began + timedelta(minutes=2),
        "NORMAL_CLEARING", "caller", 3,
    )  # fmt: skip
    return dataclasses.replace(call, **fields)  # type: ignore[arg-type]


def a_turn(call: CallRecord, index: int, gap_ms: int | None = 400, **fields: object) -> Turn:
    """The caller speaks at ``index`` * 10 s for 2 s and is answered after ``gap_ms``; most of it is the
    language model's."""
    at = 10_000 * index
    end, wait = at + 2000, gap_ms or 400
    stages = Stages(
        speech_start=at, speech_end=end, final=end + 50, turn_given=end + wait // 4,
        retrieval=end + wait // 4 + 10, first_token=end + wait * 3 // 4,
        first_phrase=end + wait * 3 // 4 + 10, first_audio=end + wait - 20, first_frame=end + wait,
    )  # fmt: skip
    passages = (Passage("p1", "tariffs.pdf", "Fees", "The fee is 100 rupees.", 0.8, 3, True),)
    turn = Turn(
        call.call_id, index, call.started_at + timedelta(milliseconds=end + 3000),
        "What is the fee?", "The fee is one hundred rupees.", "The fee is one hundred rupees.",
        "llm", stages, gap_ms, passages,
    )  # fmt: skip
    return dataclasses.replace(turn, **fields)  # type: ignore[arg-type]


def a_flag(call: CallRecord, turn: int = 1, **fields: object) -> Flag:
    flag = Flag(
        f"flag-{call.call_id}-{turn}", call.started_at, call.call_id, turn, call.agent_id, 1, "", 0,
        "guard", "agent", "site.1", "words", "high", "flagged", "The fee is one hundred rupees.",
        begin_ms=12_400, end_ms=14_000,
    )  # fmt: skip
    return dataclasses.replace(flag, **fields)  # type: ignore[arg-type]


async def put(engine: AsyncEngine, *records: Record) -> None:
    async with engine.begin() as connection:
        await upsert(connection, records)


def record(folder: Path, call: CallRecord, seconds: int = 20, part: int = 1) -> CallRecord:
    """A WAV of the call, the caller loud in its first half, the agent in its second; and the call with
    its name in it."""
    suffix = f".{part}" if part > 1 else ""
    name = f"{call.started_at:%Y/%m/%d}/{call.call_id}{suffix}.wav"
    half = seconds * RATE_HZ // 2
    tone = (12_000 * np.sin(np.arange(half) / 5)).astype("<i2")
    quiet = np.zeros(half, "<i2")
    caller, agent = np.concatenate((tone, quiet)), np.concatenate((quiet, tone))
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, [caller.tobytes(), agent.tobytes()], RATE_HZ)
    return dataclasses.replace(call, recording=name)
