"""Talking to an agent as people do: real engines, real WebRTC; a peer in Python, and Chromium with a
microphone that speaks a WAV."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import orjson
import pytest
import pytest_asyncio
import soundmatch

from appliance.access.roles import Role
from appliance.admin.console import Console
from appliance.admin.live.hub import LiveHub
from appliance.admin.live.state import CallState
from appliance.admin.services import tryit
from appliance.audio import bytes_of, read_wav, write_wav
from appliance.events import Agent
from appliance.store.calls import read_call
from appliance.store.database import open_engine
from appliance.store.drafts import save_draft
from tests.appliance_kit import Site, real_engine
from tests.console_kit import ConsoleProcess, chromium, cookie, key, page_of, person
from tests.live_kit import actor
from tests.metronome import on_a_steady_machine
from tests.spoken import RATE_HZ, say, word_errors
from tests.tryit_kit import Peer, until

pytestmark = [pytest.mark.server, pytest.mark.sip, pytest.mark.asyncio(loop_scope="module")]

QUESTION = "are you open on sundays"
ME = actor(Role.ADMIN, "main")
BEFORE_MS = 9000
"""Of silence in the microphone's WAV, which begins anew at its end: the greeting, or the answer, is
being said."""
MOST_ATTEMPTS = 3
"""To be understood in one call: the demo's recogniser mishears now and then."""
REFUSED = """if (navigator.mediaDevices) navigator.mediaDevices.getUserMedia = async () => {
  throw new DOMException("no", "NotAllowedError");
};"""
"""As when somebody refuses the browser's question."""
LEVEL = """async () => {
  const audio = document.querySelector("audio");
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(audio.srcObject).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  let loudest = 0;
  for (let n = 0; n < 60 && loudest < 0.02; n++) {
    await new Promise((done) => setTimeout(done, 50));
    analyser.getFloatTimeDomainData(samples);
    loudest = Math.max(loudest, ...samples.map(Math.abs));
  }
  await context.close();
  return loudest;
}"""
"""The loudest sample that the page plays within three seconds."""


def sunrise(sample: Agent) -> dict[str, Agent]:
    return {"1001": sample}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(open_tmp: Path) -> AsyncIterator[Site]:
    """The whole appliance with real engines."""
    servers = {"stt": 1, "tts": 1, "turn": 1, "embed": 1}
    environment = {"IVR_ENGINES__STT__TIMEOUT_MS": "2000"}
    place = Site(open_tmp / "tryit", open_tmp / "tryit-pg", servers, real_engine, environment)
    try:
        await asyncio.to_thread(place.open, sunrise)
        yield place
    finally:
        await asyncio.to_thread(place.close)


@pytest_asyncio.fixture(loop_scope="module")
async def console(site: Site) -> AsyncIterator[Console]:
    engine = open_engine(site.postgres.url)
    async with aiohttp.ClientSession() as http:
        console = Console(site.settings, engine, LiveHub(site.settings, engine), http)
        yield console
        await console.test_calls.close()
        await engine.dispose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def admin(
    site: Site, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ConsoleProcess]:
    """``ivr admin`` of that appliance."""
    urls = orjson.dumps([site.worker_url]).decode()
    process = ConsoleProcess(
        tmp_path_factory.mktemp("admin"),
        {
            "IVR_DATA_DIR": str(site.settings.data_dir),
            "IVR_DATABASE__URL": site.postgres.url,
            "IVR_WORKER__PORT": str(site.settings.worker.port),
            "IVR_SIP__WORKER_URLS": urls,
            "IVR_SWITCH__WORKER_URLS": urls,
        },
    )
    await asyncio.to_thread(process.open)
    yield process
    await asyncio.to_thread(process.close)


async def agent_id(console: Console) -> str:
    async with console.engine.connect() as connection:
        found = await connection.exec_driver_sql("SELECT agent_id FROM numbers WHERE did = '1001'")
        return str(found.scalar_one())


@pytest.mark.alone
@on_a_steady_machine
async def test_a_spoken_question_is_understood_and_its_answer_heard(
    site: Site, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = Peer()
    begun = await tryit.begin(console, ME, await agent_id(console), sdp=await peer.offer())
    await peer.accept(begun.answer)
    await until(
        console, begun.call_id, lambda now: now.turns and now.state is CallState.LISTENING, ME
    )
    for attempt in range(MOST_ATTEMPTS):
        peer.mouth.say(say(QUESTION, "slt"), RATE_HZ)
        count = attempt + 2
        now = await until(
            console,
            begun.call_id,
            lambda now, count=count: len(now.turns) >= count and now.state is CallState.LISTENING,
            ME,
        )
        turn = now.turns[-1]
        if word_errors(QUESTION, turn.said) <= 1:
            break
    assert word_errors(QUESTION, turn.said) <= 1, [turn.said for turn in now.turns]
    assert turn.passages and turn.gap_ms and turn.stages.first_partial
    await asyncio.sleep(0.5)
    await tryit.hang_up(console, ME, begun.call_id)
    await peer.close()
    async with asyncio.timeout(15):
        while (row := (await read_call(console.engine, begun.call_id))[0]).ended_at is None:
            await asyncio.sleep(0.1)
    assert row.direction == "test" and row.recording
    (caller, agent), rate_hz = await asyncio.to_thread(
        read_wav, site.settings.recordings_dir / row.recording
    )
    assert rate_hz == RATE_HZ and any(caller)
    monkeypatch.setattr(soundmatch, "LIKE", 0.85)  # what Opus leaves of a waveform: 0.92 to 0.97
    begin = bytes_of(turn.stages.first_frame or 0, rate_hz)
    soundmatch.assert_heard(
        agent[begin : begin + bytes_of(3000, rate_hz)], bytes(peer.heard), rate_hz
    )


async def test_the_draft_is_typed_to_and_differs(site: Site, console: Console) -> None:
    agent = await agent_id(console)
    async with console.engine.begin() as connection:
        fields = {"greeting": "This is the draft.", "unknown_answer": "The draft does not know."}
        await save_draft(connection, agent, fields, 0, "test", 1)
    heard = {}
    for draft in (True, False):
        begun = await tryit.begin(console, ME, agent, draft=draft)
        await until(console, begun.call_id, lambda now: len(now.turns) == 1, ME)
        await tryit.say(console, ME, begun.call_id, QUESTION)
        now = await until(console, begun.call_id, lambda now: len(now.turns) == 2, ME)
        heard[draft] = [turn.heard for turn in now.turns]
        await tryit.hang_up(console, ME, begun.call_id)
    assert heard[True][0] == "This is the draft." != heard[False][0]
    assert heard[True][1] == "The draft does not know."  # it names no knowledge
    assert "Sunday" in heard[False][1]


async def test_a_program_tries_an_agent_over_the_api(
    admin: ConsoleProcess, console: Console
) -> None:
    who, viewer = [await person(console.engine, role) for role in (Role.REVIEWER, Role.VIEWER)]
    tried = f"/api/v1/agents/{await agent_id(console)}/try"
    token = await key(console.engine, who)
    async with admin.client(Authorization=f"Bearer {token}") as client:
        begun = await client.post(tried, json={})
        assert begun.status_code == 201 and begun.json()["answer"] == ""
        call = f"/api/v1/try/{begun.json()['call_id']}"
        async with asyncio.timeout(30):  # 400 until it greets: nobody would read it
            while (await client.post(f"{call}/typed", json={"text": QUESTION})).status_code != 204:
                await asyncio.sleep(0.1)
        async with asyncio.timeout(30):
            while len(turns := (await client.get(call)).json()["turns"]) < 2:
                await asyncio.sleep(0.2)
        assert turns[1]["said"] == QUESTION and "Sunday" in turns[1]["heard"]
        assert turns[1]["stages"]["first_audio"] and turns[1]["passages"]
        assert (await client.post(f"{call}/key", json={"digit": "9"})).status_code == 204
        over = await client.post(f"{call}/hangup")
        assert over.json()["is_over"] is True
        for path, body, status in (
            (f"{call}/typed", {"text": "more"}, 400),
            (f"{call}/typed", {"text": "x" * 501}, 422),
            (f"{call}/key", {"digit": "A"}, 422),
            ("/api/v1/try/not-a-call/key", {"digit": "1"}, 422),
            (f"/api/v1/try/{'0' * 36}/key", {"digit": "1"}, 404),
            ("/api/v1/agents/nobody/try", {}, 404),
            (tried, {"sdp": "no offer"}, 400),
            (tried, {"sdp": "x" * 70_000}, 422),
            (tried, {"rate": 8000}, 422),
        ):
            assert (await client.post(path, json=body)).status_code == status, (path, body)
    token = await key(console.engine, viewer)
    async with admin.client(Authorization=f"Bearer {token}") as client:
        assert (await client.post(tried, json={})).status_code == 403


@pytest.fixture(scope="module")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Chromium's microphone hears: silence, then the question."""
    file = tmp_path_factory.mktemp("microphone") / "question.wav"
    write_wav(file, [bytes(bytes_of(BEFORE_MS, RATE_HZ)) + say(QUESTION, "slt")], RATE_HZ)
    return file


@pytest.mark.alone
@on_a_steady_machine
async def test_somebody_calls_from_the_page_speaks_types_and_hangs_up(
    site: Site, admin: ConsoleProcess, console: Console, microphone: Path
) -> None:
    who = await person(console.engine, Role.ADMIN)
    token = await cookie(console.engine, who, admin.settings)
    capture = f"--use-file-for-fake-audio-capture={microphone}"
    async with chromium(capture) as browser, page_of(browser, admin.url, token) as page:
        await page.goto(f"{admin.url}/agents/{await agent_id(console)}/try")
        await page.get_by_label("Call the agent").click()
        await page.locator(".try-state", has_text="Speaking").wait_for()
        assert await page.evaluate(LEVEL) > 0.02  # the agent is heard
        heard = page.locator(".turn", has=page.locator(".bubble--caller", has_text="sunday"))
        heard = heard.filter(has=page.locator(".bubble--agent", has_text="Sunday"))
        await heard.first.wait_for(timeout=20_000 * MOST_ATTEMPTS)
        assert await heard.first.locator(".stages-bar").count() == 1
        await page.get_by_label("Mute the microphone").click()
        await page.get_by_label("Say in writing").fill("how much does the family plan cost")
        await page.keyboard.press("Enter")
        typed = page.locator(".turn .bubble--caller", has_text="family plan")
        await typed.first.wait_for(timeout=30_000)
        await page.get_by_label("Hang up").click()
        link = page.get_by_role("link", name="Open this call")
        await link.wait_for()
        await page.get_by_role("button", name="Ask again").wait_for()
        call_id = (await link.get_attribute("href") or "").rpartition("/")[2]
    async with asyncio.timeout(15):
        while (row := (await read_call(console.engine, call_id))[0]).ended_at is None:
            await asyncio.sleep(0.1)
    assert row.caller == f"console:{who.login}" and row.direction == "test"


async def test_without_a_microphone_the_page_says_so_and_typing_is_answered_aloud(
    admin: ConsoleProcess, console: Console
) -> None:
    who = await person(console.engine, Role.REVIEWER)
    token = await cookie(console.engine, who, admin.settings)
    async with chromium() as browser, page_of(browser, admin.url, token) as page:
        await page.add_init_script(REFUSED)
        await page.goto(f"{admin.url}/agents/{await agent_id(console)}/try")
        await page.get_by_label("Say in writing").fill(QUESTION)
        await page.keyboard.press("Enter")
        await page.get_by_text("was not allowed to use the microphone").wait_for()
        await page.locator(".try-state", has_text="Speaking").wait_for()
        assert await page.evaluate(LEVEL) > 0.02
        await page.locator(".turn .bubble--caller", has_text=QUESTION).wait_for(timeout=30_000)
        await page.goto("about:blank")  # whoever leaves the page has hung up
    async with asyncio.timeout(20):
        while await asyncio.to_thread(live_calls, admin):
            await asyncio.sleep(0.2)


def live_calls(admin: ConsoleProcess) -> int:
    """Those that the worker has."""
    url = f"http://127.0.0.1:{admin.settings.worker.port}/health"
    with urllib.request.urlopen(url, timeout=2) as answer:
        return int(orjson.loads(answer.read())["calls"])
