"""What the browser's way adds at the ear: WebRTC against ``ivr sip``, one worker, real engines.

    python -m bench.tryit [QUESTIONS]

Each question is asked over both ways. Of each answer the gap at the ear (the asker's last sound to the
first sound they hear) less the gap that the worker counted for the same turn is what the way costs,
there and back. The peer here is aiortc's, whose jitter buffer holds four packets of 20 ms back; what a
browser's holds is to be read in chrome://webrtc-internals. Ends with one JSON object.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import aiohttp
import numpy as np
import orjson

from appliance.access.actor import Actor
from appliance.access.roles import PERMISSIONS, Role
from appliance.admin.console import Console
from appliance.admin.live.hub import LiveHub
from appliance.admin.live.state import CallState
from appliance.admin.services import tryit
from appliance.admin.services.tryit import Trying
from appliance.audio import sound_spans, write_wav
from appliance.ops.demo.ear import exchanges
from appliance.store.database import open_engine
from tests.appliance_kit import Site, real_engine, ringing
from tests.spoken import RATE_HZ, say
from tests.webrtcpeer import Peer

QUESTION = "are you open on sundays"
ME = Actor("bench", Role.OPERATOR, None, PERMISSIONS[Role.OPERATOR], "command")
PATIENCE_S = 1.5
"""After an answer: it has been heard to its end."""


async def by_sip(site: Site, file: Path) -> int | None:
    """ms that the way over SIP and RTP took."""
    async with ringing(site) as call:
        await call.heard("answered")
        await call.event("turn_over")
        await asyncio.sleep(PATIENCE_S)
        await call.said(file)
        await call.event("turn_over")
        await asyncio.sleep(PATIENCE_S)
    said, heard, rate_hz = call.sound()
    found = [x.gap_ms for x in exchanges(said, heard, rate_hz) if x.gap_ms is not None]
    _, turns = await call.rows()
    gaps = [turn.gap_ms for turn in turns if turn.said and turn.gap_ms is not None]
    return found[-1] - gaps[-1] if found and gaps else None


async def until(console: Console, call_id: str, look: Callable[[Trying], object]) -> Trying:
    """The call, as soon as ``look`` finds it so."""
    async with asyncio.timeout(60):
        async for now in tryit.follow(console, ME, call_id):
            if look(now):
                return now
    raise RuntimeError("the call ended too soon")


async def by_webrtc(console: Console, agent: str) -> int | None:
    """ms that the way over WebRTC took."""
    peer, question = Peer(), say(QUESTION, "slt")
    begun = await tryit.begin(console, ME, agent, sdp=await peer.offer())
    await peer.accept(begun.answer)
    await until(console, begun.call_id, lambda now: now.turns and now.state is CallState.LISTENING)
    await asyncio.sleep(PATIENCE_S)
    began_s = peer.mouth.say(question, RATE_HZ)
    now = await until(console, begun.call_id, lambda now: len(now.turns) > 1)
    await asyncio.sleep(PATIENCE_S)
    await tryit.hang_up(console, ME, begun.call_id)
    await peer.close()
    ended_s = began_s + sound_spans(question, RATE_HZ)[-1][1] / 1000
    sounds = np.abs(np.frombuffer(bytes(peer.heard), "<i2").astype(int)) > 300
    for arrived_s, at in peer.arrivals:
        loud = np.flatnonzero(sounds[at // 2 : at // 2 + RATE_HZ // 50])
        if arrived_s > ended_s and len(loud):
            gap_ms = (arrived_s - ended_s) * 1000 + loud[0] * 1000 / RATE_HZ
            counted = now.turns[-1].gap_ms
            return None if counted is None else round(gap_ms - counted)
    return None


async def main(count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="ivr-bench-", dir="/tmp") as name:
        folder = Path(name)
        os.chmod(folder, 0o755)  # Postgres runs as somebody else
        servers = {"stt": 1, "tts": 1, "turn": 1, "embed": 1}
        environment = {"IVR_ENGINES__STT__TIMEOUT_MS": "2000", "IVR_WORKER__ADMISSION": "false"}
        site = Site(folder / "site", folder / "postgres", servers, real_engine, environment)
        file = folder / "question.wav"
        write_wav(file, [say(QUESTION, "slt")], RATE_HZ)
        try:
            await asyncio.to_thread(site.open, lambda sample: {"1001": sample})
            await measure(site, file, count)
        finally:
            await asyncio.to_thread(site.close)


async def measure(site: Site, file: Path, count: int) -> None:
    ways: dict[str, list[int]] = {"sip": [], "webrtc": []}
    engine = open_engine(site.postgres.url)
    async with aiohttp.ClientSession() as http:
        console = Console(site.settings, engine, LiveHub(site.settings, engine), http)
        async with engine.connect() as connection:
            found = await connection.exec_driver_sql("SELECT agent_id FROM numbers LIMIT 1")
            agent = str(found.scalar_one())
        for _ in range(count):
            for name, ms in (
                ("sip", await by_sip(site, file)),
                ("webrtc", await by_webrtc(console, agent)),
            ):
                print(f"  {name}: {ms} ms", flush=True)
                ways[name] += [] if ms is None else [ms]
        await console.test_calls.close()
    await engine.dispose()
    middle = {name: round(median(values)) if values else None for name, values in ways.items()}
    print(orjson.dumps({"ms": ways, "median_ms": middle}).decode())


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
