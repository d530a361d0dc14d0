"""Which server reads which prompt when, on virtual time; and on real servers, which are all reached."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf

import aiohttp
import aiohttp.web
import orjson
import pytest
from telephone import FakeSearch, agent_with
from test_writer import GOOD, PATH, writing
from tinyserver import tiny, until
from virtualtime import run

from appliance.call.history import opening
from appliance.call.warmth import MOST_AGENTS, QUESTIONS_EVERY_S, Warmth
from appliance.engines.http import RefusedError
from appliance.engines.pool import Health, Pool, Server
from appliance.engines.writer import WARM_PRIORITY, OpenAiWriter
from appliance.events import Agent, Message, Passage
from appliance.settings import Llm
from appliance.store.questions import Question

ASHA = agent_with(id="asha", prompt="You are Asha.", greeting="Namaste.")
RAVI = agent_with(id="ravi", prompt="You are Ravi.", greeting="Hello.", llm_model="lora-ravi")
KNOWN = Passage("p1", "faq", "Opening hours", "We are open from nine to six.", 0.9)
OPEN = Question("when are you open", 9)


@dataclass
class FakeModel:
    """Servers that take 50 ms to read a prompt."""

    servers: list[Server]
    vllm: bool = True
    error: Exception | None = None
    read: list[tuple[float, str, str, str]] = field(default_factory=list)
    """(time, server, first 7 letters of the last user message, model)."""
    prompts: list[list[Message]] = field(default_factory=list)
    under_way: int = 0
    most_at_once: int = 0
    idle_since: dict[str, float] = field(default_factory=dict)

    def servers_up(self) -> list[Server]:
        return [server for server in self.servers if server.health is Health.UP]

    def is_vllm(self, server: Server) -> bool:
        return self.vllm

    def idle_s(self, server: Server) -> float:
        since = self.idle_since.get(server.url)
        return inf if since is None else asyncio.get_running_loop().time() - since

    async def warm(self, server: Server, messages: Sequence[Message], model: str = "") -> None:
        self.under_way += 1
        self.most_at_once = max(self.under_way, self.most_at_once)
        await asyncio.sleep(0.05)
        self.under_way -= 1
        now = asyncio.get_running_loop().time()
        self.idle_since[server.url] = now
        self.prompts.append(list(messages))
        self.read.append((now, server.url, messages[-1].content[-17:], model))
        if self.error is not None:
            raise self.error


class Log:
    """The call log: what is asked of it, and what it answers."""

    def __init__(self, questions: Sequence[Question] = (), error: Exception | None = None) -> None:
        self.questions, self.error = questions, error
        self.asked: list[str] = []

    async def find(self, agent_id: str) -> Sequence[Question]:
        self.asked.append(agent_id)
        if self.error is not None:
            raise self.error
        return self.questions


def up(url: str) -> Server:
    return Server(url, Health.UP)


def warmth_of(*models: FakeModel, log: Log | None = None, keep_warm_s: float = 0) -> Warmth:
    search = FakeSearch()
    search.passages = [KNOWN]
    return Warmth(models, search, (log or Log()).find, keep_warm_s)


async def for_a_while(warmth: Warmth, seconds: float) -> None:
    task = asyncio.create_task(warmth.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.wait({task})


def test_every_server_of_every_model_reads_every_opening_one_at_a_time() -> None:
    big, small = FakeModel([up("a"), up("b")]), FakeModel([up("s")])

    async def go() -> None:
        warmth = warmth_of(big, small)
        warmth.learn([ASHA, RAVI])
        await warmth.openings()

    run(go())
    assert [(url, model) for _, url, _, model in big.read] == [
        ("a", ""), ("a", "lora-ravi"), ("b", ""), ("b", "lora-ravi"),
    ]  # fmt: skip
    assert [(url, model) for _, url, _, model in small.read] == [("s", ""), ("s", "")]
    assert big.most_at_once == small.most_at_once == 1
    first_question = opening(ASHA).messages(ASHA, (), "anything at all")
    assert big.prompts[0][:-1] == first_question[:-1]  # what is read is what a call begins with


def test_common_questions_follow_with_their_passages_on_the_first_model() -> None:
    big, small, log = FakeModel([up("a"), up("b")]), FakeModel([up("s")]), Log([OPEN])

    async def go() -> None:
        warmth = warmth_of(big, small, log=log)
        warmth.learn([ASHA])
        await for_a_while(warmth, 10)

    run(go())
    assert [url for _, url, asked, _ in big.read if asked == OPEN.text] == ["a", "b"]
    assert opening(ASHA).messages(ASHA, [KNOWN], OPEN.text) in big.prompts
    assert len(small.read) == 1 and log.asked == ["asha"]


def test_without_a_language_model_the_searches_are_made_all_the_same() -> None:
    async def go() -> list[str]:
        search = FakeSearch()
        asked: list[str] = []

        async def find(agent: Agent, text: str, deadline_ms: float) -> list[Passage]:
            asked.append(text)
            return []

        search.search = find  # type: ignore[method-assign]
        warmth = Warmth([], search, Log([OPEN]).find, 20)
        warmth.learn([ASHA])
        await for_a_while(warmth, 30)
        return asked

    assert run(go()) == [OPEN.text]


def test_a_new_version_is_read_and_the_others_are_not_again() -> None:
    big = FakeModel([up("a")])

    async def go() -> None:
        warmth = warmth_of(big)
        warmth.learn([ASHA, RAVI])
        await for_a_while(warmth, 5)
        for _ in range(3):
            warmth.learn([replace(ASHA, version=2, prompt="You are Asha, and brief."), RAVI])
            await for_a_while(warmth, 5)

    run(go())
    assert [prompt[0].content.partition("\n")[0] for prompt in big.prompts] == [
        "You are Asha.", "You are Ravi.", "You are Asha, and brief.",
    ]  # fmt: skip


def test_a_server_that_failed_or_came_later_reads_it_all() -> None:
    a, b = up("a"), Server("b", Health.DOWN)
    big = FakeModel([a, b])

    async def go() -> None:
        warmth = warmth_of(big, log=Log([OPEN]))
        warmth.learn([ASHA])
        await for_a_while(warmth, 5)
        b.health = Health.UP
        await for_a_while(warmth, 5)
        a.health, a.failed_at = Health.DOWN, 11.0
        await for_a_while(warmth, 5)
        a.health = Health.UP
        await for_a_while(warmth, 5)

    run(go())
    assert [url for _, url, _, _ in big.read] == ["a", "a", "b", "b", "a", "a"]


def test_an_idle_server_is_kept_warm_and_a_busy_one_needs_nothing() -> None:
    big = FakeModel([up("a")])

    async def go() -> None:
        warmth = warmth_of(big, log=Log([OPEN]), keep_warm_s=20)
        warmth.learn([ASHA])
        task = asyncio.create_task(warmth.run())
        await asyncio.sleep(100)
        for _ in range(100):  # calls keep it warm
            big.idle_since["a"] = asyncio.get_running_loop().time()
            await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait({task})

    run(go())
    openings = [at for at, _, asked, _ in big.read if asked != OPEN.text]
    gaps = [b - a for a, b in pairwise(openings)]
    assert len(openings) == 5 and all(20 <= gap <= 22 for gap in gaps) and openings[-1] < 100
    assert len(big.read) - len(openings) == 1  # the question is read once


def test_a_server_without_priorities_is_left_alone_while_it_works_for_calls() -> None:
    server = up("a")
    plain = FakeModel([server], vllm=False)

    async def go() -> int:
        warmth = warmth_of(plain)
        warmth.learn([ASHA])
        server.in_flight = 1
        await for_a_while(warmth, 10)
        before = len(plain.read)
        server.in_flight = 0
        await for_a_while(warmth, 3)
        return before

    assert run(go()) == 0 and len(plain.read) == 1


@pytest.mark.parametrize(
    ("error", "most"), [(RefusedError(400), 1), (TimeoutError(), 7), (aiohttp.ClientError(), 7)]
)
def test_a_server_that_does_not_read_is_asked_seldom(error: Exception, most: int) -> None:
    big = FakeModel([up("a")], error=error)

    async def go() -> None:
        warmth = warmth_of(big)
        warmth.learn([ASHA])
        await asyncio.wait_for(warmth.openings(), 1)
        await for_a_while(warmth, 60)

    run(go())
    assert 1 <= len(big.read) <= most


def test_the_call_log_is_read_hourly_and_may_be_away() -> None:
    big, log = FakeModel([up("a")]), Log(error=OSError("away"))

    async def go() -> None:
        warmth = warmth_of(big, log=log)
        warmth.learn([ASHA])
        await for_a_while(warmth, 5)
        log.error, log.questions = None, [OPEN]
        await for_a_while(warmth, QUESTIONS_EVERY_S)
        warmth.learn([ASHA, RAVI])  # somebody is new
        await for_a_while(warmth, 5)

    run(go())
    assert log.asked[:2] == ["asha", "asha"] and sorted(log.asked[2:]) == ["asha", "ravi"]
    assert OPEN.text in [asked for _, _, asked, _ in big.read]


def test_with_very_many_agents_the_first_are_kept() -> None:
    big = FakeModel([up("a")])

    async def go() -> None:
        warmth = warmth_of(big)
        warmth.learn([agent_with(id=f"a{n}") for n in range(3 * MOST_AGENTS)])
        await for_a_while(warmth, 600)

    run(go())
    assert len(big.read) == MOST_AGENTS


def test_a_bug_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    big, log = FakeModel([up("a")]), Log(error=KeyError("a bug"))

    async def go() -> None:
        warmth = warmth_of(big, log=log)
        warmth.learn([ASHA])
        await for_a_while(warmth, 30)

    run(go())
    assert "not warmed" in caplog.text and len(big.read) == 1


@pytest.mark.server
async def test_all_real_servers_are_reached_and_their_connections_stay_open() -> None:
    ports: list[object] = []
    good = writing(*GOOD)

    async def noted(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        assert request.transport is not None
        ports.append(request.transport.get_extra_info("peername"))
        return await good(request)

    async with (
        aiohttp.ClientSession() as http,
        tiny(PATH, noted) as a,
        tiny(PATH, noted) as b,
    ):
        urls = (a.url, b.url)
        pool = Pool("llm", urls, http)
        await pool.check()
        writer = OpenAiWriter(pool, http, Llm(urls=urls, model="m", priorities=True))
        warmth = Warmth([writer], FakeSearch(), Log([OPEN]).find, 20)
        warmth.learn([ASHA, RAVI])
        task = asyncio.create_task(warmth.run())
        await until(lambda: len(a.asked) == len(b.asked) == 4)
        task.cancel()
        await asyncio.wait({task})
        for asked in (a.asked, b.asked):
            bodies = [orjson.loads(body) for body in asked]
            assert {body["max_tokens"] for body in bodies} == {1}
            assert {body["priority"] for body in bodies} == {WARM_PRIORITY}
            assert {body["model"] for body in bodies} == {"m", "lora-ravi"}
        assert len(set(ports)) == 2  # one connection a server
        assert all(server.in_flight == 0 for server in pool.servers)
