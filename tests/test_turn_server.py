"""The turn judge's server over HTTP, with the real model."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from appliance.errors import UserError
from appliance.models import smart_turn, turn_server
from appliance.models.smart_turn import SmartTurn, weights
from tests.serving import Served, client, serving
from tests.spoken import RATE_HZ, say

pytestmark = [pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]

COMPLETE = (
    "What are your opening hours?",
    "How do I restart my router?",
    "Can I pay my bill by card?",
    "My internet is not working.",
    "I want to cancel my connection.",
    "How much does the family plan cost?",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with serving(tmp_path_factory.mktemp("turn"), "turn") as served:
        yield served


async def judge(
    session: aiohttp.ClientSession, served: Served, pcm: bytes, rate: object = RATE_HZ
) -> tuple[int, dict[str, Any]]:
    async with session.post(f"{served.url}/v1/turn?rate={rate}", data=pcm) as response:
        return response.status, await response.json()


async def test_finished_sentences_sound_complete(server: Served) -> None:
    async with client() as session:
        found = []
        for text in COMPLETE:
            status, answer = await judge(session, server, say(text, pad_ms=200))
            assert status == 200
            assert 0 <= answer["complete"] <= 1
            assert answer["ms"] > 0
            found.append(answer["complete"])
    assert np.median(found) > 0.8


async def test_a_sentence_cut_off_sounds_less_complete(server: Served) -> None:
    """Cut where the voice is still up; flite ends a written fragment as if it were a sentence."""
    whole, cut = [], []
    async with client() as session:
        for text in COMPLETE:
            pcm = say(text, "rms", pad_ms=200)
            end = RATE_HZ * 2 * 2 // 10 + (len(pcm) - RATE_HZ * 2 * 4 // 10) * 11 // 20 // 2 * 2
            whole.append((await judge(session, server, pcm))[1]["complete"])
            cut.append((await judge(session, server, pcm[:end] + pcm[-3200:]))[1]["complete"])
    assert np.mean(whole) > np.mean(cut) + 0.2


async def test_both_rates_agree_and_only_the_last_8_s_count(server: Served) -> None:
    pcm = say("How do I restart my router?", pad_ms=200)
    model = SmartTurn(weights())
    narrow = np.frombuffer(pcm, "<i2")
    wide = np.interp(np.arange(2 * len(narrow)) / 2, np.arange(len(narrow)), narrow)
    async with client() as session:
        _, answer = await judge(session, server, pcm)
        _, at_16k = await judge(session, server, wide.astype("<i2").tobytes(), 16000)
        assert answer["complete"] == pytest.approx(at_16k["complete"], abs=0.2)
        assert answer["complete"] == pytest.approx(model.judge(narrow, RATE_HZ), abs=0.001)
        noise = np.random.default_rng(1).normal(0, 3000, RATE_HZ).astype("<i2").tobytes()
        full = bytes(RATE_HZ * 2 * 8 - len(pcm)) + pcm
        _, alone = await judge(session, server, full)
        _, late = await judge(session, server, noise + full)
        assert alone == pytest.approx({**late, "ms": alone["ms"]})
        status, nothing = await judge(session, server, b"")
        assert status == 200
        assert 0 <= nothing["complete"] <= 1


@pytest.mark.parametrize(
    ("pcm", "rate", "status"),
    [(b"\0", 8000, 400), (b"\0\0", 44100, 400), (b"\0\0", "", 400), (bytes(400_000), 8000, 413)],
)
async def test_bad_requests(server: Served, pcm: bytes, rate: object, status: int) -> None:
    async with client() as session:
        found, answer = await judge(session, server, pcm, rate)
    assert found == status
    assert answer["error"]["type"] == "invalid_request_error"


async def test_under_a_burst_each_is_served_in_time_or_refused(server: Served) -> None:
    pcm = say("Can I pay my bill by card?")
    async with client() as session:
        answers = await asyncio.gather(*(judge(session, server, pcm) for _ in range(60)))
        statuses = [status for status, _ in answers]
        assert set(statuses) == {200, 503}
        assert len({a["complete"] for s, a in answers if s == 200}) == 1
        assert (await judge(session, server, pcm))[0] == 200


async def test_health(server: Served) -> None:
    async with client() as session, session.get(f"{server.url}/health") as response:
        facts = await response.json()
    assert (facts["stage"], facts["languages"]) == ("turn", ["*"])


async def test_missing_weights_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smart_turn, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install --no-deps pipecat-ai"):
        weights()


async def test_pipecat_itself_is_never_imported() -> None:
    code = (
        "import sys; from appliance.models.smart_turn import *; SmartTurn(weights());"
        "sys.exit(any(name.startswith('pipecat') for name in sys.modules))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, cwd=Path(__file__).parent.parent
    )
    assert await asyncio.wait_for(process.wait(), 20) == 0


class _SlowModel:
    def judge(self, samples: np.ndarray, rate_hz: int) -> float:
        time.sleep(0.25)
        return 0.5


async def test_what_waited_too_long_is_refused_and_others_are_served() -> None:
    client = TestClient(TestServer(turn_server.Server(_SlowModel()).application()))
    async with client:
        posts = (client.post("/v1/turn?rate=8000", data=b"\0\0") for _ in range(4))
        statuses = [response.status for response in await asyncio.gather(*posts)]
        assert statuses == [200, 200, 503, 503]
        assert (await client.post("/v1/turn?rate=8000", data=b"\0\0")).status == 200
