"""What the worker does beside its calls."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from appliance.call import worker as workers
from appliance.call.worker import MOST_RETIRED, _Worker
from appliance.events import Agent
from appliance.ops.keeping.ports import free_port
from appliance.settings import Database, Engines, Settings
from appliance.settings import Worker as WorkerSettings

AGENT = Agent("a", 1, "Sunrise", greeting="Hello.", silence_prompts=())


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[_Worker]:
    """A worker whose Postgres and engines are all away."""
    nobody = {"urls": (f"http://127.0.0.1:{free_port()}",)}
    settings = Settings(
        data_dir=tmp_path,
        database=Database(url=f"postgresql://a:b@127.0.0.1:{free_port()}/c"),
        worker=WorkerSettings(recordings=False),
        engines=Engines.model_validate(dict.fromkeys(("stt", "tts", "turn", "embed"), nobody)),
    )
    async with AsyncExitStack() as stack:
        yield await _Worker.create(settings, stack)


@pytest.mark.server
async def test_an_agent_that_cannot_be_warmed_ends_no_call(
    worker: _Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "FIRST_WARM_TIMEOUT_S", 0.1)
    monkeypatch.setattr(workers, "WARM_EVERY_S", 0.05)

    async def good() -> list[Agent]:
        return []

    async def bad() -> list[Agent]:
        raise TypeError("a row that is none")

    monkeypatch.setattr(worker.directory, "all_agents", good)
    background = asyncio.create_task(worker.background())
    async with asyncio.timeout(5):
        while worker.desk.health()["status"] != "ok":
            await asyncio.sleep(0.02)
        monkeypatch.setattr(worker.directory, "all_agents", bad)
        while "not warmed" not in caplog.text:
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    assert not background.done()
    background.cancel()
    await asyncio.wait({background})


@pytest.mark.server
async def test_versions_published_for_ever_do_not_fill_the_memory(
    worker: _Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def speak(text: str, agent: Agent, rate_hz: int) -> Any:
        yield bytes(320)

    monkeypatch.setattr(worker.composer._voice, "speak", speak)
    for version in range(1, 2 * MOST_RETIRED):
        agent = dataclasses.replace(AGENT, version=version, greeting=f"Hello {version}.")

        async def published(agent: Agent = agent) -> list[Agent]:
            return [agent]

        monkeypatch.setattr(worker.directory, "all_agents", published)
        await worker._warm()
    assert len(worker._warmed) == len(worker.recogniser._contexts) == MOST_RETIRED + 1
    greetings = {text for *_, text in worker.composer._kept._audio if text.startswith("Hello")}
    assert len(greetings) == MOST_RETIRED + 1 and agent.greeting in greetings
