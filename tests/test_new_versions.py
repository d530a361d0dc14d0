"""A version that is published answers the next call; a call in progress keeps the one it has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.admin.console import Console
from appliance.admin.services import drafts
from appliance.events import CallRecord
from appliance.store.agents import publish_agent, set_number
from appliance.store.directory import Directory
from tests.live_kit import AGENT, LiveWorker, OneCall, live_settings, until
from tests.test_agent_services import ASHA, console

pytestmark = pytest.mark.server
__all__ = ["console"]  # the fixture

OLD = replace(AGENT, id="help", greeting="The old greeting.", prompt="Be old.")


def record_of(worker: LiveWorker, call: OneCall) -> CallRecord:
    return [r for r in worker.phone.journal.records if r.call_id == call.call_id][-1]


def greeting_of(worker: LiveWorker, call: OneCall) -> str:
    return next((t.reply for t in worker.phone.journal.turns if t.call_id == call.call_id), "")


async def test_new_versions_reach_new_calls_only(
    console: Console, engine: AsyncEngine, tmp_path: Path
) -> None:
    await publish_agent(engine, OLD)
    await set_number(engine, "*", "help")
    settings = live_settings(tmp_path)
    worker = LiveWorker(settings, settings.worker.port, (OLD,))
    directory = Directory(engine, settings)
    worker.phone.directory = directory  # type: ignore[assignment]  # the real one, on Postgres
    await worker.start()
    try:
        first = await worker.ring()
        await until(lambda: greeting_of(worker, first) == "The old greeting.")
        edited = await drafts.read(console, ASHA, "help")
        new = edited.fields | {"greeting": "The new greeting.", "prompt": "Be new."}
        saved = await drafts.save(console, ASHA, "help", new, 0)
        beside = await worker.ring()  # a draft answers nobody
        await until(lambda: greeting_of(worker, beside) == "The old greeting.")

        await drafts.publish(console, ASHA, "help", saved.revision, "")
        second = await worker.ring()
        await until(lambda: greeting_of(worker, second) == "The new greeting.")
        await first.say("when do you open")
        (prompt, *_) = await until(lambda: worker.phone.writer.prompts)
        told = " ".join(message.content for message in prompt)
        assert "Be old." in told and "Be new." not in told
        assert record_of(worker, first).agent_version == 1
        assert record_of(worker, second).agent_version == 2

        await drafts.roll_back(console, ASHA, "help", 1)
        third = await worker.ring()
        await until(lambda: greeting_of(worker, third) == "The old greeting.")
        for call in (first, beside, second, third):
            call.hang_up()
        await until(lambda: worker.desk.calls == 0)
        versions = [
            record_of(worker, call).agent_version for call in (first, beside, second, third)
        ]
        assert versions == [1, 1, 2, 3]
    finally:
        await worker.stop()
        await directory.close()
