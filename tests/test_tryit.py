"""Trying an agent from the console, over real WebRTC and a real worker's media stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.actor import ForbiddenError, NotFoundError
from appliance.access.roles import Role
from appliance.admin.console import Console
from appliance.admin.live.state import CallState
from appliance.admin.services import tryit
from appliance.admin.services.replay import questions_of, replay
from appliance.admin.tryit import calls as test_calls
from appliance.admin.tryit.calls import overdue
from appliance.errors import UserError
from appliance.events import Agent
from appliance.settings import Settings
from appliance.store.agents import publish_agent
from appliance.store.drafts import save_draft
from tests.live_kit import LiveWorker
from tests.telephone import ANSWER, agent_with, speech
from tests.tryit_kit import Peer, actor, live_settings, place, until

pytestmark = pytest.mark.server

QUESTION = "when are you open"
AGENT = agent_with(id="asha", greeting="Welcome to Sunrise.", silence_ms=1500)
AUDIO = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
ME = actor(Role.REVIEWER, "main")


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return live_settings(tmp_path, url=database_url)


@pytest.fixture
async def published(engine: AsyncEngine) -> Agent:
    return await publish_agent(engine, AGENT)


@pytest.fixture
async def here(
    settings: Settings, engine: AsyncEngine, published: Agent
) -> AsyncIterator[tuple[Console, LiveWorker]]:
    async with place(settings, engine, published) as (console, worker):
        yield console, worker


def sounding_ms(heard: bytearray, rate_hz: int) -> int:
    """How long it was not silent; Opus keeps no waveform of an emulated voice's noise."""
    size = rate_hz // 50
    frames = np.frombuffer(bytes(heard), "<i2").astype(float)
    frames = frames[: len(frames) // size * size].reshape(-1, size)
    return int((frames.std(axis=1) > 200).sum()) * 20


async def typing(console: Console) -> str:
    """A call without sound whose greeting has been said; its id."""
    begun = await tryit.begin(console, ME, "asha")
    assert begun.answer == "" and begun.version == 1
    await until(console, begun.call_id, lambda now: len(now.turns) == 1, ME)
    return begun.call_id


async def test_what_is_typed_gets_an_answer_with_its_times(
    here: tuple[Console, LiveWorker], engine: AsyncEngine
) -> None:
    console, worker = here
    worker.phone.writer.answer = "Every day from nine."
    call_id = await typing(console)
    await tryit.say(console, ME, call_id, QUESTION)
    now = await until(console, call_id, lambda now: len(now.turns) == 2, ME)
    greeting, answer = now.turns
    assert greeting.heard == AGENT.greeting and answer.heard == "Every day from nine."
    assert answer.said == QUESTION and answer.source == "llm"
    assert answer.gap_ms and answer.gap_ms < 2000 and answer.stages.first_token
    assert [line.who for line in now.lines] == ["agent", "caller", "agent"]
    assert (now.agent_name, now.version, now.language) == ("Asha", 1, "en")
    await asyncio.sleep(2)  # longer than silence_ms: who types is not asked whether they are there
    now = await tryit.look(console, ME, call_id)
    assert now.state is CallState.LISTENING and len(now.turns) == 2
    over = await tryit.hang_up(console, ME, call_id)
    assert over.is_over and over.state is CallState.ENDED
    with pytest.raises(UserError, match="is over"):
        await tryit.say(console, ME, call_id, QUESTION)
    async with asyncio.timeout(20):
        while worker.desk.calls:
            await asyncio.sleep(0.02)
    record = worker.phone.journal.records[-1]
    assert (record.direction, record.did, record.caller) == ("test", "console", "console:tester")
    async with engine.connect() as connection:
        (row,) = await connection.execute(
            text("SELECT actor, action, subject, tenant, detail FROM audit_log")
        )
    assert row[:4] == ("tester", "agent.try", "asha", "main") and row.detail["call_id"] == call_id


async def test_a_browser_hears_the_agent_and_is_heard(
    here: tuple[Console, LiveWorker],
) -> None:
    console, worker = here
    worker.phone.writer.answer = "Every day from nine."
    peer = Peer()
    begun = await tryit.begin(console, ME, "asha", sdp=await peer.offer())
    await peer.accept(begun.answer)
    await until(console, begun.call_id, lambda now: now.turns and now.has_sound, ME)
    async with asyncio.timeout(10):
        while sounding_ms(peer.heard, 8000) < 860:
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    assert sounding_ms(peer.heard, 8000) <= 960  # three words of the emulated voice
    peer.mouth.say(speech(300 * 4), 8000)
    for word in QUESTION.split():
        await asyncio.sleep(0.3)
        worker.phone.recogniser.sessions[-1].spoken(word)
    now = await until(console, begun.call_id, lambda now: len(now.turns) == 2, ME)
    assert now.turns[1].said == QUESTION and now.turns[1].heard == "Every day from nine."
    assert now.turns[1].stages.speech_start and now.turns[1].gap_ms
    await tryit.hang_up(console, ME, begun.call_id)
    await peer.close()


async def test_without_a_microphone_the_agent_is_heard_and_typed_to(
    here: tuple[Console, LiveWorker],
) -> None:
    console, _ = here
    peer = Peer(16000, microphone=False)
    begun = await tryit.begin(console, ME, "asha", sdp=await peer.offer(), wideband=True)
    assert begun.rate_hz == 16000
    await peer.accept(begun.answer)
    await until(console, begun.call_id, lambda now: len(now.turns) == 1, ME)
    await tryit.say(console, ME, begun.call_id, QUESTION)
    await until(console, begun.call_id, lambda now: len(now.turns) == 2, ME)
    async with asyncio.timeout(10):
        while sounding_ms(peer.heard, 16000) <= 2 * 850:  # greeting and answer, three words each
            await asyncio.sleep(0.02)
    await peer.close()


async def test_a_barge_in_by_typing_and_a_key(here: tuple[Console, LiveWorker]) -> None:
    console, worker = here
    worker.phone.writer.answer = ANSWER
    call_id = await typing(console)
    await tryit.say(console, ME, call_id, QUESTION)
    await until(console, call_id, lambda now: now.state is CallState.SPEAKING, ME)
    await asyncio.sleep(0.5)
    await tryit.press(console, ME, call_id, "5")  # "opening hours"
    now = await until(console, call_id, lambda now: len(now.turns) == 2, ME)
    assert now.turns[1].barged_in
    now = await until(console, call_id, lambda now: len(now.turns) == 3, ME)
    assert now.turns[2].said == "opening hours"
    for digit in ("", "A", "55"):
        with pytest.raises(UserError):
            await tryit.press(console, ME, call_id, digit)
    for wrong in ("", " ", "two\nlines", "x" * 501):
        with pytest.raises(UserError, match="one line of 1 to 500"):
            await tryit.say(console, ME, call_id, wrong)


async def test_what_is_typed_before_the_agent_greets_is_refused_not_lost(
    here: tuple[Console, LiveWorker],
) -> None:
    console, _ = here
    begun = await tryit.begin(console, ME, "asha")
    with pytest.raises(UserError, match="not answered yet"):
        await tryit.say(console, ME, begun.call_id, QUESTION)
    await until(console, begun.call_id, lambda now: now.state is CallState.SPEAKING, ME)
    await tryit.say(console, ME, begun.call_id, QUESTION)  # over the greeting
    now = await until(console, begun.call_id, lambda now: len(now.turns) == 2, ME)
    assert now.turns[0].barged_in and now.turns[1].said == QUESTION


async def test_the_draft_and_the_version_in_force_answer_side_by_side(
    settings: Settings, engine: AsyncEngine, published: Agent
) -> None:
    draft = replace(published, version=0, greeting="Welcome to the draft.")
    async with place(settings, engine, published, draft) as (console, _):
        with pytest.raises(UserError, match="no draft"):
            await tryit.begin(console, ME, "asha", draft=True)
        async with engine.begin() as connection:
            await save_draft(connection, "asha", {"silence_ms": "soon"}, 0, "me", 1)
        with pytest.raises(UserError, match="cannot be tried yet"):
            await tryit.begin(console, ME, "asha", draft=True)
        async with engine.begin() as connection:
            await save_draft(connection, "asha", {"greeting": draft.greeting}, 1, "me", 1)
        both = [await tryit.begin(console, ME, "asha", draft=draft) for draft in (True, False)]
        heard = []
        for begun in both:
            now = await until(console, begun.call_id, lambda now: len(now.turns) == 1, ME)
            heard.append((now.version, now.turns[0].heard))
        assert heard == [(0, "Welcome to the draft."), (1, "Welcome to Sunrise.")]
        with pytest.raises(UserError, match="2 test calls already"):
            await tryit.begin(console, ME, "asha")


async def test_the_same_questions_again_each_after_the_answer_before(
    here: tuple[Console, LiveWorker],
) -> None:
    console, worker = here
    worker.phone.writer.answer = "Every day."
    asked = ("first question", "second question", "goodbye", "nobody is there")
    answers = [one async for one in replay(console, ME, "asha", asked, draft=False)]
    assert [one.question for one in answers] == list(asked)
    first, second, bye, last = [one.turn for one in answers]
    assert first and second and first.heard == second.heard == "Every day."
    assert not first.barged_in and bye and bye.source == "goodbye" and last is None
    assert questions_of([first, second]) == asked[:2]
    assert console.test_calls.live == 0
    with pytest.raises(UserError, match="1 to 20"):
        await anext(replay(console, ME, "asha", (), draft=False))


async def test_whose_peer_vanishes_has_hung_up(here: tuple[Console, LiveWorker]) -> None:
    console, worker = here
    peer = Peer()
    begun = await tryit.begin(console, ME, "asha", sdp=await peer.offer())
    await peer.accept(begun.answer)
    await until(console, begun.call_id, lambda now: now.turns, ME)
    await peer.close()
    now = await until(console, begun.call_id, lambda now: now.is_over, ME)
    assert not now.has_sound
    async with asyncio.timeout(20):
        while worker.desk.calls:
            await asyncio.sleep(0.05)


async def test_a_browser_that_never_comes_is_told_why(
    here: tuple[Console, LiveWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    console, worker = here
    monkeypatch.setattr("appliance.admin.tryit.trial.BROWSER_TIMEOUT_S", 0.3)
    peer = Peer()
    begun = await tryit.begin(console, ME, "asha", sdp=await peer.offer())
    now = await until(console, begun.call_id, lambda now: now.is_over, ME)
    assert "no way for sound" in now.trouble and not worker.phone.journal.records
    await peer.close()


async def test_no_worker_or_no_room_is_one_clear_sentence(
    settings: Settings, engine: AsyncEngine, published: Agent
) -> None:
    async with place(settings, engine, published) as (console, worker):
        worker.desk._max_calls = 0
        with pytest.raises(UserError, match=r"^All lines are busy\. Try again"):
            await tryit.begin(console, ME, "asha")
        worker.desk._max_calls = 1
        call_id = await typing(console)
        with pytest.raises(UserError, match="All lines are busy"):
            await tryit.begin(console, ME, "asha")
        await tryit.hang_up(console, ME, call_id)
    async with place(settings, engine, published) as (console, worker):
        await worker.cut()
        with pytest.raises(UserError, match="No worker could take the call"):
            await tryit.begin(console, ME, "asha")


async def test_a_call_is_its_beginners_alone(here: tuple[Console, LiveWorker]) -> None:
    console, _ = here
    call_id = await typing(console)
    for other in (replace(ME, name="another"), replace(ME, tenant="rival")):
        with pytest.raises(NotFoundError):
            await tryit.look(console, other, call_id)
        with pytest.raises(NotFoundError):
            await tryit.say(console, other, call_id, QUESTION)
    with pytest.raises(NotFoundError, match="no such agent"):
        await tryit.begin(console, replace(ME, tenant="rival"), "asha")
    with pytest.raises(ForbiddenError):
        await tryit.begin(console, actor(Role.VIEWER, "main"), "asha")


async def test_who_logs_out_has_hung_up(
    here: tuple[Console, LiveWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    console, _ = here
    monkeypatch.setattr(test_calls, "SESSIONS_S", 0.1)
    gone = replace(ME, session_id="0" * 64)  # no such session, or it has ended
    begun = await tryit.begin(console, gone, "asha")
    now = await until(console, begun.call_id, lambda now: now.is_over, gone)
    assert now.is_over


async def test_when_a_call_is_overdue(here: tuple[Console, LiveWorker]) -> None:
    console, _ = here
    call_id = await typing(console)
    call = console.test_calls.of(ME, call_id)
    now_s = call.seen_s
    assert not overdue(call, now_s + test_calls.NOBODY_THERE_S - 1)
    assert overdue(call, now_s + test_calls.NOBODY_THERE_S + 1) == "nobody is there"
    call.has_sound = True  # somebody hears it
    assert not overdue(call, now_s + test_calls.NOBODY_THERE_S + 1)
    assert overdue(call, call.began_s + test_calls.LONGEST_S + 1) == "10 minutes are over"
    call.has_sound = False
    await tryit.look(console, ME, call_id)
    assert call.seen_s >= now_s


async def test_a_transfer_is_told_and_comes_back(settings: Settings, engine: AsyncEngine) -> None:
    agent = await publish_agent(engine, replace(AGENT, transfer_to="queue:support"))
    async with place(settings, engine, agent) as (console, _):
        call_id = await typing(console)
        await tryit.say(console, ME, call_id, "operator")
        now = await until(console, call_id, lambda now: len(now.turns) >= 3, ME)
        assert now.transfer_to == "queue:support"
        assert now.turns[-1].heard == agent.transfer_failed_phrase


async def test_a_worker_that_dies_ends_the_call(here: tuple[Console, LiveWorker]) -> None:
    console, worker = here
    call_id = await typing(console)
    for lobby, _ in list(worker.desk._calls.values()):
        lobby.end("NORMAL_TEMPORARY_FAILURE")
    now = await until(console, call_id, lambda now: now.is_over, ME)
    assert now.cause == "NORMAL_TEMPORARY_FAILURE"


@pytest.mark.parametrize(
    "sdp",
    [
        "", "v=0", "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n",
        "v=0\r\n" + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" * 2,
        AUDIO + "a=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n" * 65,
        AUDIO,
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio x y z\r\n",
        "v=0" + "x" * 70_000,
    ],
)  # fmt: skip
async def test_an_offer_that_is_none_is_refused(here: tuple[Console, LiveWorker], sdp: str) -> None:
    console, worker = here
    with pytest.raises(UserError):
        await tryit.begin(console, ME, "asha", sdp=sdp)
    assert console.test_calls.live == 0 and worker.desk.calls == 0
