"""The guard model's client, against real HTTP servers; and a real vLLM, if there is one.

IVR_TEST_VLLM_PYTHON=FOLDER/bin/python pytest tests/test_guard_model.py
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import orjson
import pytest
from aiohttp import web
from tinyserver import Handler, Tiny, tiny

from appliance.engines import guard_model
from appliance.engines.guard_model import MOST_FAILURES, GuardModel
from appliance.errors import EngineError, UserError
from appliance.events import Agent
from appliance.safety.findings import Context, Finding
from appliance.settings import Guard

pytestmark = pytest.mark.server
PATH = "/v1/chat/completions"
VLLM = os.environ.get("IVR_TEST_VLLM_PYTHON", "")
CONTEXT = Context(Agent("a", 1, "A"), "how do I get a refund", before="Of course.")


def answering(content: object, status: int = 200) -> Handler:
    """A server whose every answer has that content."""

    async def answer(_: web.Request) -> web.Response:
        choice = {"index": 0, "message": {"role": "assistant", "content": content}}
        return web.json_response({"choices": [choice]}, status=status)

    return answer


@asynccontextmanager
async def model(server: Tiny, **settings: object) -> AsyncIterator[GuardModel]:
    """A client of ``server``."""
    fields = {"url": f"{server.url}/v1", "model": "guard", "timeout_ms": 400} | settings
    async with aiohttp.ClientSession() as http:
        yield GuardModel(http, Guard.model_validate(fields))


async def test_asks_in_llama_guards_form_and_keeps_its_connection() -> None:
    async with tiny(PATH, answering("\n\nsafe")) as server, model(server, api_key="k3y") as client:
        assert await client.judge(CONTEXT, "It takes a week.") is None
        assert await client.judge(Context(CONTEXT.agent, ""), "Hello.") is None
        first, second = (orjson.loads(body) for body in server.asked)
    assert first["messages"] == [
        {"role": "user", "content": "how do I get a refund"},
        {"role": "assistant", "content": "Of course. It takes a week."},
    ]
    assert (first["model"], first["temperature"]) == ("guard", 0) and first["max_tokens"] <= 32
    assert second["messages"][0]["content"]  # a template refuses an empty turn
    assert server.headers[0]["Authorization"] == "Bearer k3y"


async def test_unsafe_is_a_stop_that_names_the_hazards() -> None:
    async with tiny(PATH, answering("\n\nunsafe\nS10,S1")) as server, model(server) as client:
        found = await client.judge(CONTEXT, "Something bad.")
    assert found is not None
    assert (found.rule, found.category, found.action) == ("model.S1.S10", "model", "stop")
    assert found.phrase == "Something bad."


async def test_a_template_of_the_site_is_filled_once_whatever_the_caller_says() -> None:
    prompt = "Judge {phrase} after {said} as {json}"
    async with tiny(PATH, answering("NO")) as server:
        async with model(server, prompt=prompt, unsafe="^no$") as client:
            context = Context(CONTEXT.agent, "put {phrase} and {said} here")
            assert (await client.judge(context, "P {said}")) is not None
        asked = orjson.loads(server.asked[0])["messages"]
    expected = "Judge P {said} after put {phrase} and {said} here as {json}"
    assert asked == [{"role": "user", "content": expected}]


@pytest.mark.parametrize(
    ("content", "status"),
    [("", 200), (None, 200), (["x"], 200), ("safe", 500), ("x" * 70_000, 200)],
)
async def test_what_is_no_verdict_is_an_error(content: object, status: int) -> None:
    async with tiny(PATH, answering(content, status)) as server, model(server) as client:
        with pytest.raises(EngineError, match="guard: "):
            await client.judge(CONTEXT, "x")


async def test_json_that_is_no_completion_is_an_error() -> None:
    async def odd(_: web.Request) -> web.Response:
        return web.json_response([1, 2])

    async with tiny(PATH, odd) as server, model(server) as client:
        with pytest.raises(EngineError, match="OpenAI's shape"):
            await client.judge(CONTEXT, "x")


async def verdict(client: GuardModel) -> list[Finding | None]:
    """What it says, or nothing as long as it says nothing in time."""
    try:
        return [await client.judge(CONTEXT, "x")]
    except EngineError:
        return []


async def test_a_late_model_is_given_up_and_after_some_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guard_model, "LEFT_ALONE_S", 0.5)
    late = True

    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5 if late else 0)
        return await answering("safe")(request)

    async with tiny(PATH, slow) as server, model(server, timeout_ms=50) as client:
        for _ in range(MOST_FAILURES):
            with pytest.raises(EngineError, match="late"):
                await client.judge(CONTEXT, "x")
        with pytest.raises(EngineError, match="left alone"):
            await client.judge(CONTEXT, "x")
        assert len(server.asked) == MOST_FAILURES
        late = False
        async with asyncio.timeout(20):
            while not (found := await verdict(client)):
                await asyncio.sleep(0.05)
        assert found == [None]


async def test_no_server_is_an_error() -> None:
    async with tiny(PATH, answering("safe")) as server, model(server) as client:
        await server.stop()
        with pytest.raises(EngineError, match="guard: "):
            await client.judge(CONTEXT, "x")


async def test_a_bad_pattern_in_the_settings_is_refused() -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(UserError, match="RE2"):
            GuardModel(http, Guard(url="http://127.0.0.1:1/v1", unsafe="(?=x)"))


@pytest.mark.long
@pytest.mark.skipif(not VLLM, reason="IVR_TEST_VLLM_PYTHON names no Python that has vLLM")
async def test_a_real_vllm_takes_the_question(tmp_path: Path) -> None:
    """The tiny random model has no judgement: what is tested is that vLLM understands us, with a
    template of chat that wants turns strictly alternating, and that its answer is read."""
    from test_vllm import KEY, QUIET, serving

    folder = tmp_path / "var" / "models" / "tiny"
    maker = await asyncio.create_subprocess_exec(
        VLLM, str(Path(__file__).with_name("tiny_llama.py")), str(folder), env=os.environ | QUIET
    )
    assert await maker.wait() == 0
    loop = asyncio.get_running_loop()
    manager = serving(tmp_path, "log")
    served = await loop.run_in_executor(None, manager.__enter__)
    try:
        async with aiohttp.ClientSession() as http:
            headers = {"Authorization": f"Bearer {KEY}"}
            async with http.get(f"{served.url}/v1/models", headers=headers) as answer:
                name = (await answer.json())["data"][0]["id"]
            fields = {
                "url": f"{served.url}/v1",
                "model": name,
                "api_key": KEY,
                "timeout_ms": 30_000,
            }
            any_answer = GuardModel(http, Guard.model_validate(fields | {"unsafe": "(?s)."}))
            found = await any_answer.judge(CONTEXT, "It takes a week.")
            assert found is not None and found.category == "model"
            none = GuardModel(http, Guard.model_validate(fields | {"unsafe": "^unsafe-never$"}))
            assert await none.judge(Context(CONTEXT.agent, ""), "Hello.") is None
    finally:
        await loop.run_in_executor(None, manager.__exit__, None, None, None)
