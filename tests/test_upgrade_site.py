"""Two versions of this source, each a wheel in an environment of its own, and real SIP calls while
the one takes the place of the other."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from appliance import shipped
from appliance.audio import read_wav, sound_spans
from appliance.events import Agent
from appliance.ops.keeping.ports import free_ports
from appliance.ops.releases.laying import CheckoutSource
from appliance.ops.releases.release import Place
from appliance.store import schema
from appliance.store.database import answer
from appliance.store.golden import NewQuestion, add_questions
from appliance.telephony.callercontrol import CallerControl
from tests.appliance_kit import ROOT, Site, real_engine
from tests.releases_kit import ProcessUnits

pytestmark = [pytest.mark.server, pytest.mark.sip]

OLD, NEW, SICK = "0.1.0", "0.2.0", "0.3.0"
UPGRADE_TIMEOUT_S = 600.0
"""Some 60 s by itself, many times that beside other tests."""
CALL_S = 1.5
"""Longer than the greeting's first words take."""
PAUSE_S = 1.2
"""Between two calls: a moment without any."""
ANSWER_TIMEOUT_S = 25.0
SKIPPED = shutil.ignore_patterns("__pycache__", "*.pyc")
MIGRATION = '''"""Something new that old code does not notice.

Revision ID: {id}
Revises: {before}
"""

import sqlalchemy as sa
from alembic import op

revision = "{id}"
down_revision = "{before}"
phase = "expand"


def upgrade() -> None:
    op.add_column("calls", sa.Column("note_{id}", sa.Text(), server_default="", nullable=False))
'''
BAD_CHECK = """

async def _bad(box):
    from appliance.ops.doctor.check import Finding, State

    return [Finding("sick", State.BAD, "this release is sick")]


CHECKS = (*CHECKS, Check("sick", "Sick", Group.MACHINE, _bad))
"""


def checkout(folder: Path, version: str, migrations: list[str]) -> Path:
    """A copy of this source with another version number, and with more migrations."""
    folder.mkdir()
    for name in (*shipped.NAMES, "pyproject.toml", "README.md", "appliance"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=SKIPPED)
        elif (ROOT / name).exists():
            shutil.copy2(ROOT / name, folder / name)
    for file in ("pyproject.toml", "appliance/__init__.py"):
        text = (folder / file).read_text()
        changed = re.sub(r'^((?:__)?version(?:__)? = )"[^"]*"', rf'\1"{version}"', text, flags=re.M)
        (folder / file).write_text(changed)
    before = schema.head_of(folder / "migrations")
    for one in migrations:
        text = MIGRATION.format(id=one, before=before)
        (folder / "migrations" / "versions" / f"{one}_more.py").write_text(text)
        before = one
    return folder


@dataclass
class Box:
    """A box with the old release in force."""

    site: Site
    root: Path
    units: ProcessUnits
    workers: list[int]
    sources: Path

    def on(self) -> dict[str, str]:
        return {unit.name: unit.release for unit in self.units.running()}

    def said(self, source: Path) -> str:
        """What an upgrade to ``source`` has said so far."""
        file = self.root / f"{source.name}.log"
        return file.read_text() if file.exists() else ""

    async def upgrade(self, source: Path) -> tuple[int, str]:
        """The exit status, and what was said."""
        file = self.root / f"{source.name}.log"
        with file.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.upgrade_driver", str(self.root), str(source)),
                env=self.site.environment, cwd=ROOT, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            async with asyncio.timeout(UPGRADE_TIMEOUT_S):
                status = await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            pytest.fail(f"the upgrade is not done:\n{file.read_text()}")
        return status, file.read_text()


@pytest.fixture(scope="module")
def box(open_tmp: Path) -> Iterator[Box]:
    ports = free_ports(2)
    urls = orjson.dumps([f"ws://127.0.0.1:{ports[0]}"]).decode()
    environment = {
        "IVR_SIP__WORKER_URLS": urls,
        "IVR_SWITCH__WORKER_URLS": urls,
        "IVR_WORKER__SPARE_PORT": str(ports[1]),
        "IVR_ENGINES__STT__TIMEOUT_MS": "3000",
        "IVR_ADMIN__ENABLED": "false",
        "IVR_JOBS__ENABLED": "false",
    }
    servers = {"stt": 1, "tts": 1, "turn": 1, "embed": 1}
    site = Site(open_tmp / "upgrade", open_tmp / "embedded-up", servers, real_engine, environment)
    root = open_tmp / "opt"
    sources = open_tmp / "sources"
    sources.mkdir()
    place = Place(root)
    place.releases.mkdir(parents=True)
    CheckoutSource(checkout(sources / OLD, OLD, [])).lay(place)
    place.point(OLD)
    units = ProcessUnits(root, site.environment, lambda text: None)
    try:
        site.open(every_number, ())
        question = NewQuestion("sunrise", "What are your opening hours on Saturday?", "nine")
        answer(site.settings, lambda e: add_questions(e, [question], "test"))
        units.start(f"ivr-worker@{ports[0]}.service")
        units.start("ivr-sip.service")
        yield Box(site, root, units, ports, sources)
    finally:
        units.close()
        site.close()


def every_number(sample: Agent) -> dict[str, Agent]:
    return {"1001": dataclasses.replace(sample, greeting="Hello, this is Sunrise.")}


class Calls:
    """Rings again and again until told to stop; every call must be answered and greeted."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._stop = asyncio.Event()
        self.answered = 0
        self.troubles: list[str] = []

    async def __aenter__(self) -> Calls:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stop.set()
        await self._task

    async def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            try:
                await self._ring(number)
                self.answered += 1
            except (TimeoutError, EOFError, AssertionError) as e:
                self.troubles.append(f"call {number}: {type(e).__name__} {e}")
            await asyncio.sleep(PAUSE_S)

    async def _ring(self, number: int) -> None:
        ear = self._box.site.folder / f"ear{number}.wav"
        to = f"sip:1001@127.0.0.1:{self._box.site.sip_port}"
        async with await CallerControl.ring(to, record=ear, number=f"+91980{number:07d}") as caller:
            await caller.wait_for("answered", ANSWER_TIMEOUT_S)
            await caller.wait_for("sound", ANSWER_TIMEOUT_S)
            await asyncio.sleep(CALL_S)
        assert heard(ear) > 0.3, "no greeting"


def heard(ear: Path) -> float:
    """Seconds of sound at the caller's ear."""
    (_, sound), rate_hz = read_wav(ear)
    return sum(end - begin for begin, end in sound_spans(sound, rate_hz)) / 1000


def result(said: str) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(said.splitlines()[-1])
    return found


async def test_a_call_goes_on_while_its_box_is_upgraded(box: Box) -> None:
    source = checkout(box.sources / NEW, NEW, ["9001"])
    first = f"ivr-worker@{box.workers[0]}.service"
    ear = box.site.folder / "long.wav"
    to = f"sip:1001@127.0.0.1:{box.site.sip_port}"
    work = asyncio.create_task(box.upgrade(source))
    while "Asking both releases" not in box.said(source):
        await asyncio.sleep(0.1)
        assert not work.done(), work.result()[1]
    caller = await CallerControl.ring(to, record=ear, number="+919812345678")
    await caller.wait_for("answered", ANSWER_TIMEOUT_S)
    while "draining" not in box.units.log(first):  # its worker waits for the call to end
        await asyncio.sleep(0.1)
        assert not work.done(), work.result()[1]
    async with Calls(box) as calls:
        try:
            before = calls.answered
            while calls.answered < before + 2:  # the spare one takes what comes
                await asyncio.sleep(0.1)
                assert not work.done() and not calls.troubles, calls.troubles
            await caller.hang_up()
            ended = await caller.wait_for("ended", ANSWER_TIMEOUT_S)
        finally:
            await caller.close()
        status, said = await work
        assert status == 0, said
    assert ended.get("status", 200) == 200, ended
    assert calls.troubles == [], (said, box.units.log("ivr-sip.service")[-4000:])
    assert calls.answered > 3
    done = result(said)
    assert (done["in_force"], done["why"], done["left"]) == (NEW, "", []), said
    assert box.on() == {first: NEW, "ivr-sip.service": NEW}
    assert "It answered a call." in said and "1 asked, 0 answered worse." in said
    assert schema.current(box.site.postgres.url) == "9001"
    assert heard(ear) > 0.3


@pytest.mark.long
async def test_a_sick_version_is_left_again_and_every_call_answered(box: Box) -> None:
    was = box.on()
    source = checkout(box.sources / SICK, SICK, ["9001", "9002"])
    with (source / "appliance" / "ops" / "doctor" / "disk.py").open("a") as check:
        check.write(BAD_CHECK)
    async with Calls(box) as calls:
        status, said = await box.upgrade(source)
    assert status == 0, said
    done = result(said)
    assert done["in_force"] == next(iter(was.values())) and "sick" in done["why"], said
    assert box.on() == was
    assert calls.troubles == [] and calls.answered > 3
    assert schema.current(box.site.postgres.url) == "9002"  # the old code does not notice
