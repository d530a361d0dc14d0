"""Memory over whole calls: real SIP, a real worker, real Postgres. The language model is a server of
the test's, which keeps every prompt that it gets and takes notes of nothing but what stands in them."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
import pytest_asyncio
from aiohttp import web
from tinyserver import Tiny, tiny

from appliance.call.notes import MOST_TOKENS
from appliance.events import Agent, CallRecord, Turn
from appliance.rehearsal import script as bench_script
from appliance.store.calls import read_past
from appliance.store.database import open_engine
from tests.appliance_kit import LiveCall, Site, emulated_engine, ringing

pytestmark = [
    pytest.mark.server,
    pytest.mark.sip,
    pytest.mark.asyncio(loop_scope="module"),
]

PLAIN, CONTINUING = "1001", "1005"
SAID = "my name is asha rao and i call"
"""As many words as the recording has; the emulated recogniser hears them in it."""
PATH = "/v1/chat/completions"
QUESTIONS = {str(n): f"what does plan {n} cost" for n in range(10)}
TURNS = 30
ROWS_TIMEOUT_S = 15.0


def agents_of(sample: Agent) -> dict[str, Agent]:
    plain = dataclasses.replace(
        sample,
        id="plain",
        greeting="Hello.",
        prompt="Be brief.",
        keypad=QUESTIONS,
        transfer_key="",
        transfer_to="",
        knowledge="",
        silence_ms=2500,
        silence_prompts=("Are you there?",) * 2,
    )
    continuing = dataclasses.replace(plain, id="continuing", continue_minutes=5)
    return {PLAIN: plain, CONTINUING: continuing}


async def write(request: web.Request) -> web.StreamResponse:
    """Streams an answer; for notes, what the text before it says of the caller's name."""
    body = orjson.loads(await request.read())
    if body["max_tokens"] == MOST_TOKENS:
        await asyncio.sleep(0.3)
        names = re.findall(r"name is (\w+ \w+)", body["messages"][-1]["content"])
        text = f"The caller says that their name is {names[0]}." if names else "Somebody calls."
    else:
        text = "It costs ten rupees a month."
    response = web.StreamResponse()
    await response.prepare(request)
    for word in re.findall(r"\S+ ?", text):
        delta = {"choices": [{"index": 0, "delta": {"content": word}}]}
        await response.write(b"data: " + orjson.dumps(delta) + b"\n\n")
    return response


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def llm() -> AsyncIterator[Tiny]:
    async with tiny(PATH, write) as server:
        yield server


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = bench_script.make(tmp_path_factory.mktemp("script"))
    whole = orjson.loads(path.read_bytes())
    (spoken,) = [u for u in whole["utterances"] if u["id"] == "speak"]
    ends = [end for _, end in spoken["words"]]
    spoken["words"] = list(zip(SAID.split(), ends, strict=True))
    spoken["text"] = SAID
    path.write_bytes(orjson.dumps(whole))
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(open_tmp: Path, script: Path, llm: Tiny) -> AsyncIterator[Site]:
    environment = {
        "IVR_ENGINES__LLM__URLS": orjson.dumps([llm.url]).decode(),
        "IVR_ENGINES__LLM__MODEL": "m",
        "IVR_ENGINES__LLM__PRIORITIES": "true",
        "IVR_SIP__ALLOW": '["127.0.0.1/32"]',
    }
    servers = {"stt": 1, "tts": 1, "turn": 1, "embed": 1}
    place = Site(
        open_tmp / "memory", open_tmp / "embedded", servers, emulated_engine(script), environment
    )
    try:
        await asyncio.to_thread(place.open, agents_of)
        yield place
    finally:
        await asyncio.to_thread(place.close)


def prompts(llm: Tiny, call: LiveCall) -> list[str]:
    """What the server was asked to reply to in this call: whole prompts as one text."""
    bodies = [orjson.loads(body) for body in llm.asked]
    mine = [b for b in bodies if b["user"] == call.call_id and b["max_tokens"] != MOST_TOKENS]
    return ["\n".join(m["content"] for m in body["messages"]) for body in mine]


async def key(call: LiveCall, digit: str) -> None:
    """Press a key, and wait until its answer is heard; it may be cut by the next."""
    await call.caller.press(digit)
    await call.event("audible")


async def rows(site: Site, call_id: str) -> tuple[CallRecord, list[Turn]]:
    engine = open_engine(site.postgres.url)
    try:
        async with asyncio.timeout(ROWS_TIMEOUT_S):
            while True:
                found = await read_past(engine, call_id)
                if found and found[0].ended_at and len(found[1]) == found[0].turns:
                    return found
                await asyncio.sleep(0.05)
    finally:
        await engine.dispose()


async def test_the_name_said_in_turn_1_is_in_what_the_server_gets_for_turn_30(
    site: Site, llm: Tiny, script: Path
) -> None:
    async with ringing(site, PLAIN) as call:
        await call.event("turn_over")
        await call.said(script.parent / "speak.wav")
        await call.event("audible")
        for n in range(1, TURNS):
            await key(call, str(n % 10))
        await call.event("turn_over")
    record, turns = await rows(site, call.call_id)
    asked = prompts(llm, call)
    assert turns[1].said == SAID and len([t for t in turns if t.said]) == TURNS
    assert "asha rao" in asked[-1] and SAID not in asked[-1]
    assert asked[-1].endswith(QUESTIONS[str((TURNS - 1) % 10)])
    assert "their name is asha rao" in record.memory and record.remembered >= 16
    assert record.facts == {"name": "asha rao"}
    notes = [b for b in map(orjson.loads, llm.asked) if b["max_tokens"] == MOST_TOKENS]
    assert notes and all(b["priority"] > 10 for b in notes)


async def cut_off(site: Site, did: str, script: Path, *, bye: bool) -> LiveCall:
    """A caller says their name, asks something, and is gone."""
    async with ringing(site, did) as call:
        await call.event("turn_over")
        await call.said(script.parent / "speak.wav")
        await call.event("turn_over")
        await key(call, "7")
        if not bye:
            await call.event("turn_over")
            call.caller.vanish()
            await call.event("turn_over")  # nobody speaks: it asks whether they are there
    return call


@pytest.mark.parametrize("bye", [True, False])
async def test_who_was_cut_off_and_rings_again_goes_on(
    site: Site, llm: Tiny, script: Path, bye: bool
) -> None:
    first = await cut_off(site, CONTINUING, script, bye=bye)
    async with ringing(site, CONTINUING, number=first.number) as call:
        spoken = await call.event("phrase")
        await call.event("turn_over")
        await key(call, "3")
        await call.event("turn_over")
    record, turns = await rows(site, call.call_id)
    assert spoken["text"].startswith("Welcome back.") and turns[0].source == "resume"
    assert record.continues == first.call_id and record.facts == {"name": "asha rao"}
    last = prompts(llm, call)[-1]
    assert SAID in last and "name: asha rao" in last and QUESTIONS["7"] in last


async def test_nobody_goes_on_with_a_call_of_another_or_where_it_is_off(
    site: Site, llm: Tiny, script: Path
) -> None:
    lost = await cut_off(site, CONTINUING, script, bye=True)
    off = await cut_off(site, PLAIN, script, bye=True)
    for did, number in ((CONTINUING, ""), (PLAIN, off.number)):
        async with ringing(site, did, number=number) as call:
            await call.event("turn_over")
            await key(call, "3")
            await call.event("turn_over")
        record, turns = await rows(site, call.call_id)
        assert turns[0].heard == "Hello." and not record.continues and not record.facts
        assert "asha" not in prompts(llm, call)[-1]
    assert lost.call_id != off.call_id
