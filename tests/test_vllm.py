"""A real vLLM of a tiny random Llama, started by ``ivr llm``.

    IVR_TEST_VLLM_PYTHON=FOLDER/bin/python pytest tests/test_vllm.py

The environment: docs/engines-llm.md. A start takes half a minute and 3 GB; there are two, since two
tests end it.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from telephone import FakeSearch, FakeVoice, agent_with, composer_of
from test_writer import PATH, event, writing
from tinyserver import tiny, until

from appliance.call.composer import Composer
from appliance.call.history import History, opening
from appliance.call.reply import Reply
from appliance.call.warmth import Warmth
from appliance.engines.key import headers_of
from appliance.engines.llm_failover import FailoverWriter
from appliance.engines.pool import Health, Pool
from appliance.engines.writer import OpenAiWriter
from appliance.errors import EngineError
from appliance.events import Message, Passage
from appliance.ops.keeping.ports import free_port
from appliance.settings import Llm, LlmServers
from appliance.store.questions import Question

PYTHON = os.environ.get("IVR_TEST_VLLM_PYTHON", "")
pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not PYTHON, reason="IVR_TEST_VLLM_PYTHON names no Python that has vLLM"),
]
START_TIMEOUT_S = 240.0
BLOCK_TOKENS = 32
KEY = "k3y"
AT_ONCE = 2
"""Requests that the server works on; others wait, those of the lowest number first."""
LONG_TOKENS = 6000
"""With temperature 0: the random model then goes round in circles and finds no end."""
TRIES = 10
AGENT = agent_with(prompt="You answer for Sunrise Broadband. " * 12, greeting="Welcome to Sunrise.")
KNOWN = Passage("p1", "faq", "Opening hours", "We are open from nine to six.", 0.9)
OPEN = "when are you open"
QUIET = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
}


@dataclass
class Served:
    """A running ``ivr llm``."""

    url: str
    process: subprocess.Popen[bytes]

    def metric(self, name: str) -> float:
        """A counter or gauge of vLLM, over all its labels."""
        asked = urllib.request.Request(f"{self.url}/metrics", headers=dict(headers_of(KEY)))
        with urllib.request.urlopen(asked, timeout=10) as answer:
            text = answer.read().decode()
        return sum(map(float, re.findall(rf"^vllm:{name}{{.*}} (\S+)$", text, re.MULTILINE)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the model lies."""
    folder = tmp_path_factory.mktemp("llm")
    model = folder / "var" / "models" / "tiny"
    maker = [PYTHON, Path(__file__).with_name("tiny_llama.py"), model]
    subprocess.run(maker, check=True, timeout=120, env=os.environ | QUIET, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    with serving(folder, "log") as found:
        yield found


@contextmanager
def serving(folder: Path, name: str) -> Iterator[Served]:
    """A server for the length of the block, logging to the file ``name``."""
    port, log = free_port(), folder / name
    environ = {
        **os.environ, **QUIET,
        "IVR_DATA_DIR": str(folder / "var"),
        "IVR_ENGINES__LLM__API_KEY": KEY,
        "IVR_ENGINES__LLM__MAX_NUM_SEQS": str(AT_ONCE),
        "IVR_ENGINES__LLM__RUN":
            f'[{{"engine": "vllm", "model": "tiny", "python": "{PYTHON}", "options":'
            f' ["--enforce-eager", "--block-size", "{BLOCK_TOKENS}"]}}]',
    }  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["nice", "-n", "5", sys.executable, "-m", "appliance", "llm", "--port", str(port)],
            env=environ, stdout=out, stderr=out,
        )  # fmt: skip
    found = Served(f"http://127.0.0.1:{port}", process)
    try:
        _wait_healthy(found, log)
        yield found
        process.terminate()
        process.wait(30)
    finally:
        process.kill()
        process.wait()
    words = log.read_text()
    assert KEY not in words and OPEN not in words, "a secret or callers' words in the log"


def _wait_healthy(served: Served, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and served.process.poll() is None:
        try:
            with urllib.request.urlopen(f"{served.url}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-4000:])


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def writer_of(
    http: aiohttp.ClientSession, served: Served, **settings: object
) -> tuple[OpenAiWriter, Pool]:
    pool = Pool("llm", (served.url,), http, lambda url: KEY)
    await pool.check()
    assert pool.servers[0].health is Health.UP
    fields = {"urls": (served.url,), "model": "tiny", "api_key": KEY, "priorities": True}
    llm = Llm.model_validate({**fields, "timeout_ms": 10_000, **settings})
    return OpenAiWriter(pool, http, llm), pool


def asked(said: str) -> list[Message]:
    return opening(AGENT).messages(AGENT, [KNOWN], said)


async def test_nothing_of_it_is_open_but_its_health(
    http: aiohttp.ClientSession, served: Served
) -> None:
    """Not what vLLM itself leaves open: /invocations, which writes replies, and some twenty more."""
    async with http.get(f"{served.url}/openapi.json", headers=headers_of(KEY)) as response:
        known = (await response.json())["paths"]
    named = {(method, path) for path, methods in known.items() for method in methods}
    served_too = {("get", "/metrics"), ("get", "/docs"), ("get", "/openapi.json")}
    asked = (named | served_too) - {("get", "/health")}
    assert {("post", "/invocations"), ("post", "/tokenize"), ("get", "/version")} <= asked
    for method, path in asked:
        for brought in ({}, headers_of("wrong")):
            async with http.request(
                method, served.url + path, headers=brought, json={}
            ) as response:
                assert response.status == 401, (method, path)
    async with http.get(f"{served.url}/health") as response:
        assert (response.status, await response.read()) == (200, b"")
    async with http.get(f"{served.url}/version", headers=headers_of(KEY)) as response:
        assert response.status == 200


async def test_a_reply_is_streamed_within_its_tokens(
    http: aiohttp.ClientSession, served: Served
) -> None:
    writer, _ = await writer_of(http, served, max_tokens=40)
    before = served.metric("generation_tokens_total")
    texts = writer.write(asked(OPEN), speculative=False, call_id="c", model="nobody-has-this")
    async with aclosing(texts):
        pieces = [text async for text in texts]
    assert len(pieces) > 1
    assert 0 < served.metric("generation_tokens_total") - before <= 40


async def test_prompts_read_in_advance_are_found_by_the_call(
    http: aiohttp.ClientSession, served: Served
) -> None:
    writer, _ = await writer_of(http, served, max_tokens=1)
    search = FakeSearch()
    search.passages = [KNOWN]

    async def common(agent_id: str) -> list[Question]:
        return [Question("how much is it", 5)]

    warmth = Warmth([writer], search, common, 20)
    warmth.learn([AGENT])
    reads = served.metric("request_success_total")
    running = asyncio.create_task(warmth.run())
    async with asyncio.timeout(60):
        while await asyncio.to_thread(served.metric, "request_success_total") < reads + 2:
            await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.wait({running})

    async def found(said: str) -> tuple[float, float]:
        names = ("prefix_cache_queries_total", "prefix_cache_hits_total")
        before = [served.metric(name) for name in names]
        async with aclosing(writer.write(asked(said), speculative=False, call_id="c")) as texts:
            async for _ in texts:
                pass
        queries, hits = (served.metric(n) - b for n, b in zip(names, before, strict=True))
        return queries, hits

    tokens, hits = await found("something that nobody asked before")
    alone = opening(AGENT).messages(AGENT, (), "")
    share = sum(len(m.content) for m in alone) / sum(len(m.content) for m in asked(""))
    assert hits >= share * tokens * 0.6  # its fixed part, in whole blocks
    tokens, hits = await found("how much is it")
    assert hits >= tokens - 2 * BLOCK_TOKENS  # all of it


async def test_an_aborted_speculation_stops_on_the_server(
    http: aiohttp.ClientSession, served: Served
) -> None:
    writer, pool = await writer_of(http, served, max_tokens=LONG_TOKENS, temperature=0)
    texts = writer.write(asked(OPEN), speculative=True, call_id="c")
    await anext(texts)
    assert await asyncio.to_thread(served.metric, "num_requests_running") == 1
    await texts.aclose()
    async with asyncio.timeout(5):
        while await asyncio.to_thread(served.metric, "num_requests_running"):
            await asyncio.sleep(0.02)
    written = served.metric("generation_tokens_total")
    await asyncio.sleep(0.5)
    assert served.metric("generation_tokens_total") == written
    assert pool.servers[0].in_flight == 0 and pool.servers[0].health is Health.UP


async def test_a_reply_goes_before_speculations_that_wait(
    http: aiohttp.ClientSession, served: Served
) -> None:
    writer, _ = await writer_of(http, served, max_tokens=400, timeout_ms=60_000)
    for _ in range(TRIES):
        if order := await _order(writer, served):
            assert order[AT_ONCE] == "reply", order
            return
    pytest.fail("nobody ever had to wait")


async def _order(writer: OpenAiWriter, served: Served) -> list[str]:
    """Whose words came in which order; empty, where nobody had to wait: a random model may end a
    reply at any token, and then there is room."""
    order: list[str] = []

    async def first_token(name: str, speculative: bool) -> None:
        texts = writer.write(asked(name), speculative=speculative, call_id=name)
        async with aclosing(texts):
            async for _ in texts:
                if name not in order:
                    order.append(name)

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(first_token(f"running {n}", True)) for n in range(AT_ONCE)]
        await until(lambda: len(order) == AT_ONCE or any(t.done() for t in running), 30)
        for n in range(2):
            tasks.create_task(first_token(f"speculation {n}", True))
        while await asyncio.to_thread(served.metric, "num_requests_waiting") < 2:
            if any(task.done() for task in running):
                return []
            await asyncio.sleep(0.005)
        tasks.create_task(first_token("reply", False))
    return order


async def test_a_prompt_too_long_is_refused_and_the_server_stays(
    http: aiohttp.ClientSession, served: Served
) -> None:
    writer, pool = await writer_of(http, served)
    reply = await _answer(composer_of(FakeVoice(), writer, _knowing()), "x" * 40_000)
    assert reply.source == "extractive" and pool.servers[0].health is Health.UP


def _knowing() -> FakeSearch:
    search = FakeSearch()
    search.passages = [KNOWN]
    return search


async def _answer(composer: Composer, said: str = OPEN) -> Reply:
    loop = asyncio.get_running_loop()
    reply = Reply("llm", said, 8000, lambda: round(loop.time() * 1000))
    await composer.answer(reply, AGENT, 8000, History(), "c")
    return reply


async def test_killed_in_mid_reply_another_model_goes_on_and_nothing_of_it_is_left(
    http: aiohttp.ClientSession, served: Served
) -> None:
    first, pool = await writer_of(http, served, max_tokens=LONG_TOKENS, temperature=0)
    family = _descendants(served.process.pid)
    assert len(family) >= 2  # API server, engine, worker
    rest = (event(content=", so says the small one."), b"data: [DONE]\n\n")
    async with tiny(PATH, writing(*rest)) as small:
        settings = Llm(urls=("http://127.0.0.1:9",))
        fallback = LlmServers(urls=(small.url,), model="small", priorities=True)
        other = OpenAiWriter(Pool("llm.fallback", (small.url,), http), http, settings, fallback)
        composer = composer_of(FakeVoice(), FailoverWriter(first, other), _knowing())
        answering = asyncio.create_task(_answer(composer))
        await until(lambda: pool.servers[0].in_flight, 10)
        while await asyncio.to_thread(served.metric, "num_requests_running") == 0:
            await asyncio.sleep(0.005)
        os.kill(family[0], signal.SIGKILL)
        reply = await asyncio.wait_for(answering, 30)
        assert reply.text.endswith(", so says the small one.") and reply.source == "llm"
        assert reply.utterance.written_ms > 0 and not reply.failure
        assert len(small.asked) == 1
    assert await asyncio.to_thread(served.process.wait, 20) == 128 + signal.SIGKILL
    assert not [pid for pid in family if Path(f"/proc/{pid}").exists()]
    alone = await _answer(composer_of(FakeVoice(), first, _knowing()))
    assert (alone.source, alone.text) == ("extractive", KNOWN.text)


async def test_told_to_stop_it_ends_its_answer_and_begins_no_other(
    http: aiohttp.ClientSession, folder: Path
) -> None:
    with serving(folder, "log of one that stops") as stopping:
        writer, _ = await writer_of(http, stopping, max_tokens=1200, temperature=0)
        undisturbed = await _written(writer, "c1")
        family = _descendants(stopping.process.pid)
        texts = writer.write(asked(OPEN), speculative=False, call_id="c2")
        got = await anext(texts)
        stopping.process.terminate()  # the guard, as ivr up does
        await asyncio.sleep(0.3)
        assert stopping.process.poll() is None
        with pytest.raises(EngineError):
            await asyncio.wait_for(_written(writer, "c3"), 5)
        async with aclosing(texts):
            async for text in texts:
                got += text
        assert got == undisturbed
        assert await asyncio.to_thread(stopping.process.wait, 20) == 0
        assert not [pid for pid in family if Path(f"/proc/{pid}").exists()]


async def _written(writer: OpenAiWriter, call_id: str) -> str:
    async with aclosing(writer.write(asked(OPEN), speculative=False, call_id=call_id)) as texts:
        return "".join([text async for text in texts])


def _descendants(pid: int) -> list[int]:
    """All of them, the server itself first."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(entry)):
            parents.setdefault(int(stat[1]), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        children = parents.get(waiting.pop(0), [])
        found += children
        waiting += children
    return found


def _stat(entry: Path) -> list[str]:
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
