"""What tests behind the real FreeSWITCH share: a site with a carrier, and what a caller can hear.

Import ``script``, ``hours``, ``agents``, ``environment``, ``place`` and ``site``, which are fixtures,
and define ``agents`` or ``environment`` where a file needs its own. Each file has its own site.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import pytest_asyncio
import soxr

from appliance.audio import read_wav, sound_spans
from appliance.events import Agent, CallRecord, Turn
from appliance.rehearsal import script as bench_script
from appliance.store.legs import Leg
from appliance.store.phonebook import Queue, Trunk
from tests.appliance_kit import Agents
from tests.freeswitch_kit import FreeSwitch, needs_freeswitch
from tests.sippeer import Answer, Peer, PeerCall, Refuse, Ring, peer
from tests.switch_kit import SwitchSite, switched_site

Place = tuple[SwitchSite, FreeSwitch, Peer]

THROUGH_FREESWITCH = [
    needs_freeswitch,
    pytest.mark.long,
    pytest.mark.server,
    pytest.mark.sip,
    pytest.mark.asyncio(loop_scope="module"),
]
"""The ``pytestmark`` of every file with such a site."""
CARRIER = "127.0.0.2"
DID, OTHER_DID, CLOSED_DID, MENU_DID = (f"+91224000123{n}" for n in (4, 5, 6, 7))
PERSON, BUSY, NOBODY = "+919800011111", "+919800022222", "+919800033333"
SHORT = "On Saturday we are open from nine until two."


def everybody(sample: Agent) -> dict[str, Agent]:
    """Who answers which number."""
    quick = dataclasses.replace(
        sample,
        id="quick",
        greeting="Hello.",
        goodbye="Goodbye.",
        apology="I am sorry.",
        resume_phrase="Please go on.",
        transfer_phrase="One moment.",
        transfer_failed_phrase="Nobody is there.",
        transfer_to=PERSON,
        silence_prompts=("Hello?",),
        silence_ms=30_000,
        keypad={"1": "What are your opening hours on Saturday?"},
    )
    other = dataclasses.replace(
        quick, id="other", greeting="This is another agent altogether, good day.", record=False,
        transfer_to="queue:desk", transfer_mode="blind",
    )  # fmt: skip
    menu = dataclasses.replace(
        quick,
        id="menu",
        language_menu={"1": "quick", "2": "other"},
        language_prompt="Press one or two.",
    )
    return {DID: quick, OTHER_DID: other, CLOSED_DID: quick, MENU_DID: menu}


@pytest.fixture(scope="module")
def agents() -> Agents:
    """Who is published, from the sample agent: by number."""
    return everybody


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """More settings of the processes: ``IVR_…``."""
    return {}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = bench_script.make(tmp_path_factory.mktemp("script"))
    whole = orjson.loads(path.read_bytes())
    for utterance in whole["utterances"]:
        if utterance["id"] == "hours":
            utterance["answer"] = SHORT
    path.write_bytes(orjson.dumps(whole))
    return path


@pytest.fixture(scope="module")
def hours(script: Path) -> bytes:
    """The caller asks for the opening hours: L16 at 8 kHz."""
    (pcm,), rate_hz = read_wav(script.parent / "hours.wav")
    assert rate_hz == 16000
    half = soxr.resample(np.frombuffer(pcm, "<i2"), rate_hz, 8000)
    return half.astype("<i2").tobytes()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(
    open_tmp: Path, script: Path, agents: Agents, environment: dict[str, str]
) -> AsyncIterator[Place]:
    """The running site, its FreeSWITCH and its carrier."""
    folder = Path(tempfile.mkdtemp(prefix="switch-", dir=open_tmp))
    folder.chmod(0o755)
    async with (
        switched_site(folder, open_tmp / "embedded", script, agents, **environment) as (site, fs),
        peer(CARRIER) as carrier,
    ):
        carrier.policies = {
            PERSON: Answer(0.3), BUSY: Refuse(486), NOBODY: Ring(), "2001": Answer(0.1),
        }  # fmt: skip
        trunk = Trunk(
            "carrier", f"{CARRIER}:{carrier.port}", addresses=(f"{CARRIER}/32",), ping_s=0,
            caller_id=DID,
        )  # fmt: skip
        await asyncio.to_thread(site.add_trunk, trunk)
        queue = Queue("desk", (BUSY, PERSON), "order", ring_s=5, max_wait_s=30)
        await asyncio.to_thread(site.add_queue, queue)
        await asyncio.to_thread(site.forget_number, "*")
        yield site, fs, carrier


@pytest_asyncio.fixture(loop_scope="module")
async def site(place: Place) -> AsyncIterator[Place]:
    """The site, whole again and with no live call after each test."""
    yield place
    site, _fs, carrier = place
    for call in carrier.calls:
        with contextlib.suppress(TimeoutError):
            await call.hang_up()
    with contextlib.suppress(TimeoutError):
        while True:
            await carrier.incoming(0.01)  # what a test has not looked at
    await asyncio.to_thread(site.mend)
    await until(lambda: not site.live())


async def until(condition: Callable[[], Any], timeout_s: float = 10.0) -> Any:
    """Poll until ``condition`` holds; what it gave."""
    deadline = time.monotonic() + timeout_s
    while not (value := await asyncio.to_thread(condition)):
        assert time.monotonic() < deadline, "it never came to that"
        await asyncio.sleep(0.05)
    return value


_numbers = iter(range(10_000, 99_999))


async def ring(fs: FreeSwitch, carrier: Peer, did: str = DID) -> tuple[PeerCall, str]:
    """A call from the carrier, and the number it comes from."""
    number = f"+9199800{next(_numbers)}"
    call = await carrier.ring(f"sip:{did}@127.0.0.1:{fs.sip_port}", number)
    return call, number


def spans(call: PeerCall) -> list[tuple[int, int]]:
    """When the caller heard something, in ms of what was received."""
    return sound_spans(call.heard(), 8000)


async def sound_after(call: PeerCall, at_s: float, timeout_s: float = 10.0) -> float:
    """Seconds from ``at_s`` (monotonic) to the first 20 ms of sound that came after it."""

    def found() -> float | None:
        for when, frame in call.frames:
            if when > at_s and max(abs(x) for x in memoryview(frame).cast("h")) > 500:
                return when - at_s + 1e-9
        return None

    return float(await until(found, timeout_s))


async def quiet(call: PeerCall, for_s: float = 0.6) -> None:
    """Wait until nothing was heard for so long."""

    def still() -> bool:
        last = [f for when, f in call.frames if when > time.monotonic() - for_s]
        return len(last) > 10 and all(max(map(abs, memoryview(f).cast("h"))) < 500 for f in last)

    await until(still, 20)


async def rows(site: SwitchSite, number: str) -> tuple[CallRecord, list[Turn]]:
    return await site.rows(number[1:])


async def legs(site: SwitchSite, call_id: str, count: int) -> list[Leg]:
    """The legs of a call, once all of them have ended."""

    def ended() -> list[Leg]:
        found = site.legs(call_id)
        return found if len(found) >= count and all(leg.ended_at for leg in found) else []

    return list(await until(ended))


def tone(seconds: float) -> bytes:
    """A voice that is nobody's: 440 Hz, L16 at 8 kHz."""
    t = np.arange(int(8000 * seconds)) / 8000
    return (8000 * np.sin(2 * np.pi * 440 * t)).astype("<i2").tobytes()
