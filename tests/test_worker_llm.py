"""The worker and the language model's servers: read to before the first call, waited for never."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import orjson
import pytest
from aiohttp import web
from test_writer import GOOD, PATH, writing
from tinyserver import Tiny, tiny, until

from appliance.call import worker as workers
from appliance.call.worker import _Worker
from appliance.events import Agent
from appliance.ops.keeping.ports import free_port
from appliance.settings import Database, Engines, Settings
from appliance.settings import Worker as WorkerSettings

pytestmark = pytest.mark.server

AGENT = Agent("a", 1, "Sunrise", prompt="Be brief.", greeting="Hello.", silence_prompts=())


@asynccontextmanager
async def worker_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: Tiny, *big: Tiny
) -> AsyncIterator[_Worker]:
    """A running worker that has these language models, and nothing else; without Postgres."""
    monkeypatch.setattr(workers, "FIRST_WARM_TIMEOUT_S", 0.3)
    away = {"urls": (f"http://127.0.0.1:{free_port()}",)}
    fallback = {"urls": (small.url,), "model": "small", "priorities": True}
    llm = {"urls": [b.url for b in big], "model": "big", "priorities": True, "fallback": fallback}
    engines = {**dict.fromkeys(("stt", "tts", "turn", "embed"), away), "llm": llm}
    settings = Settings(
        data_dir=tmp_path,
        database=Database(url=f"postgresql://a:b@127.0.0.1:{free_port()}/c"),
        worker=WorkerSettings(recordings=False),
        engines=Engines.model_validate(engines),
    )

    async def published() -> list[Agent]:
        return [AGENT]

    async with AsyncExitStack() as stack:
        worker = await _Worker.create(settings, stack)
        monkeypatch.setattr(worker.directory, "all_agents", published)
        background = asyncio.create_task(worker.background())
        yield worker
        background.cancel()
        await asyncio.wait({background})


async def test_every_server_of_both_models_has_read_the_prompt_before_the_first_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        tiny(PATH, writing(*GOOD)) as a,
        tiny(PATH, writing(*GOOD)) as b,
        tiny(PATH, writing(*GOOD)) as small,
        worker_of(tmp_path, monkeypatch, small, a, b) as worker,
    ):
        await until(lambda: worker.desk.health()["status"] == "ok", 10)
        for server, model in ((a, "big"), (b, "big"), (small, "small")):
            (body,) = map(orjson.loads, server.asked)
            assert body["model"] == model and body["max_tokens"] == 1
            assert body["messages"][0]["content"].startswith("Be brief.\n")
            assert body["messages"][2] == {"role": "assistant", "content": "Hello."}


async def test_a_language_model_that_hangs_keeps_no_call_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hung(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    monkeypatch.setattr(workers, "OPENINGS_TIMEOUT_S", 0.3)
    async with (
        tiny(PATH, hung) as a,
        tiny(PATH, writing(*GOOD)) as small,
        worker_of(tmp_path, monkeypatch, small, a) as worker,
    ):
        await until(lambda: worker.desk.health()["status"] == "ok", 10)
        assert len(a.asked) >= 1
