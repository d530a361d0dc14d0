"""Pools of real engine servers on one machine: grown, shrunk, healed; the streams on them go on."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from talkers import AGENT, RATE_HZ, Caller, Speaker
from tinyserver import until

from appliance.capacity.plan import Step
from appliance.capacity.planfile import PlanFile, write_plan
from appliance.capacity.warmups import WarmUps
from appliance.engines.emulated_script import Script
from appliance.engines.pool import Health, Pool
from appliance.engines.recogniser import HttpRecogniser
from appliance.engines.voice import HttpVoice
from appliance.ops.keeping import member as members
from appliance.ops.keeping import probe
from appliance.ops.keeping.groups import Group, engine_program
from appliance.ops.keeping.member import Member, Standing
from appliance.ops.keeping.ports import free_ports
from appliance.ops.keeping.program import Address, Program
from appliance.ops.pools import EnginePools
from appliance.settings import Capacity, Database, Place, Run, Settings
from tests.knowledge_servers import KEY

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not shutil.which("flite"), reason="flite is not installed"),
]


def flite(run: Run) -> Group:
    """Real `ivr tts` servers."""
    programs = tuple(
        replace(
            engine_program("tts", number, Place(run, number, port), key=lambda: KEY),
            environment={"IVR_ENGINES__KEY": KEY},
        )
        for number, port in enumerate(free_ports(run.most))
    )
    return Group("tts", "tts.0", run, programs, run.capacity, warm_up_s=1.0)


def emulated(run: Run, script: Path) -> Group:
    """Real `ivr emulate` recognisers."""

    def program(number: int, port: int) -> Program:
        arguments = ["emulate", "--stage", "stt", "--port", str(port), "--script", str(script)]
        return Program(
            f"stt.{number}",
            lambda: [sys.executable, "-m", "appliance", *arguments],
            lambda: probe.http_ok("127.0.0.1", port),
            "Look above.",
            addresses=(Address("engines.stt.run", "127.0.0.1", port),),
        )

    programs = tuple(program(*place) for place in enumerate(free_ports(run.most)))
    return Group("stt", "stt.0", run, programs, run.capacity, warm_up_s=1.0)


def urls(group: Group, scheme: str = "http") -> tuple[str, ...]:
    return tuple(f"{scheme}://127.0.0.1:{p.addresses[0].port}" for p in group.programs)


def site(folder: Path, idle_s: float = 1.0) -> Settings:
    """Settings whose Postgres is away, and which forget load sooner than real ones may."""
    capacity = Capacity().model_copy(update={"idle_s": idle_s})
    database = Database(url="postgresql://u:p@127.0.0.1:1/none")
    return Settings(data_dir=folder, database=database, capacity=capacity)


@asynccontextmanager
async def running(settings: Settings, *groups: Group) -> AsyncIterator[EnginePools]:
    """The pools with what they run always, warm; drained at the end."""
    async with asyncio.TaskGroup() as tasks:
        pools = EnginePools(settings, groups, tasks, lambda line: None)
        try:
            for keeper in pools.begin():
                await keeper.healthy()
            yield pools
        finally:
            await pools.close(asyncio.Event())


@asynccontextmanager
async def client(stage: str, addresses: Sequence[str]) -> AsyncIterator[tuple[Pool, Any]]:
    """A worker's pool that knows every place, and its connections."""
    async with aiohttp.ClientSession() as http:
        pool = Pool(stage, tuple(addresses), http, lambda url: KEY)
        looking = asyncio.create_task(pool.run())
        try:
            await until(pool.is_up, 10)
            yield pool, http
        finally:
            looking.cancel()
            await asyncio.wait({looking})


def states(pools: EnginePools, group: int = 0) -> list[str]:
    return [member.standing.value for member in pools.groups[group].members]


async def test_load_starts_servers_and_its_end_stops_them(tmp_path: Path, script: Script) -> None:
    group = emulated(Run(engine="emulated", least=1, most=3, capacity=2), _file(script))
    async with (
        running(site(tmp_path), group) as pools,
        client("stt", urls(group, "ws")) as (pool, http),
    ):
        recogniser = HttpRecogniser(pool, http, 800)
        await _becomes(pools, ["warm"])
        callers = [recogniser.open(f"c{n}", AGENT, RATE_HZ, lambda heard: None) for n in range(4)]
        await until(lambda: states(pools) == ["warm"] * 3, 15)
        assert pools.groups[0].wanted == 3  # 4 calls are 3/4 of 2.7 servers that carry 2 each
        for caller in callers:
            caller.close()
        await until(lambda: states(pools) == ["warm"], 15)
        assert [member.port for member in pools.groups[0].members] == [
            group.programs[0].addresses[0].port
        ]
    assert WarmUps(tmp_path).seconds("stt", otherwise=-1.0) > 0.05  # measured, and kept
    assert not (tmp_path / "pools.json").exists()


async def test_a_plan_starts_servers_before_the_load_and_no_stream_is_cut_when_it_ends(
    tmp_path: Path, script: Script
) -> None:
    settings = site(tmp_path)
    hearing = emulated(Run(engine="emulated", least=1, most=3, capacity=50), _file(script))
    speaking = flite(Run(engine="flite", least=1, most=2))
    write_plan(settings.plan_file, plan(stt=3, tts=2))
    async with (
        running(settings, hearing, speaking) as pools,
        client("stt", urls(hearing, "ws")) as (ears, http),
        client("tts", urls(speaking)) as (mouths, http2),
    ):
        await until(lambda: states(pools) == ["warm"] * 3 and states(pools, 1) == ["warm"] * 2, 15)
        await until(lambda: all(s.health is Health.UP for s in ears.servers + mouths.servers), 20)
        recogniser = HttpRecogniser(ears, http, 2000)
        callers = [Caller(recogniser, script, n) for n in range(3)]
        await until(lambda: [s.in_flight for s in ears.servers] == [1, 1, 1])
        speakers = [Speaker(HttpVoice(mouths, http2, 3000)) for _ in range(3)]
        async with asyncio.TaskGroup() as tasks:
            for talker in (*callers, *speakers):
                tasks.create_task(talker.talk())
            await asyncio.sleep(0.5)
            write_plan(settings.plan_file, plan(stt=1, tts=1))
            await until(lambda: states(pools) == ["warm"] and states(pools, 1) == ["warm"], 20)
            await until(lambda: all(talker.has_talked for talker in (*callers, *speakers)), 60)
            for talker in (*callers, *speakers):
                talker.stopping = True
        assert [caller.wrong for caller in callers] == [[], [], []]
        assert all(caller.right for caller in callers)
        assert sum(caller.session.failures for caller in callers) == 2  # two were moved, in order
        assert all(speaker.whole for speaker in speakers)


async def test_a_server_that_crashes_is_started_again_and_made_up_for_when_it_goes_on_so(
    tmp_path: Path,
) -> None:
    group = flite(Run(engine="flite", least=1, most=2))
    async with running(site(tmp_path), group) as pools:
        await _becomes(pools, ["warm"])
        (first,) = pools.pids.values()
        os.kill(first, signal.SIGKILL)
        await until(lambda: states(pools) == ["starting"], 10)
        await until(lambda: states(pools) == ["warm"], 10)
        assert list(pools.pids) == ["tts.0"] and pools.pids["tts.0"] != first  # where it was
        os.kill(pools.pids["tts.0"], signal.SIGKILL)
        await until(lambda: len(pools.groups[0].members) == 2, 10)
        await until(lambda: states(pools) == ["warm"], 15)  # the one that was there first


async def test_a_server_that_hangs_is_killed_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(members, "LOST_LOOKS", 1)
    monkeypatch.setattr(members, "HANG_LOOKS", 2)
    group = flite(Run(engine="flite", least=1, most=1))
    async with running(site(tmp_path), group) as pools:
        await _becomes(pools, ["warm"])
        (first,) = pools.pids.values()
        os.kill(first, signal.SIGSTOP)
        await until(lambda: states(pools) == ["lost"], 10)
        await until(lambda: states(pools) == ["warm"] and first not in pools.pids.values(), 15)
        assert not Path(f"/proc/{first}").exists()
    assert "tts.0 was silent 2 times in a row: it is killed and started again" in caplog.text


async def test_a_server_that_never_answers_is_started_again() -> None:
    code = "import time; time.sleep(60)"
    (port,) = free_ports(1)
    program = Program(
        "tts.0",
        lambda: [sys.executable, "-c", code],
        lambda: probe.http_ok("127.0.0.1", port),
        "",
        addresses=(Address("engines.tts.run", "127.0.0.1", port),),
        start_timeout_s=0.3,
    )
    member = Member(program, lambda line: None)
    keeping = asyncio.create_task(member.keeper.keep())
    await until(lambda: member.keeper.pid is not None)
    first = member.keeper.pid
    async with asyncio.timeout(10):
        while member.keeper.pid in (None, first):
            assert await member.look() is None
            await asyncio.sleep(0.05)
    await member.look()
    assert member.standing is Standing.LOST and not member.counts
    at_once = asyncio.Event()
    at_once.set()
    await member.drain(at_once)
    await keeping


def test_ivr_pools_runs_them_alone_and_says_what_they_do(tmp_path: Path) -> None:
    first, second = free_ports(2)
    environment = {
        **os.environ,
        "IVR_DATA_DIR": str(tmp_path),
        "IVR_DATABASE__URL": "postgresql://u:p@127.0.0.1:1/none",
        "IVR_ENGINES__TTS__RUN": orjson.dumps([{"engine": "flite", "port": first}]).decode(),
        "IVR_ENGINES__STT__RUN": orjson.dumps(
            [{"engine": "pocketsphinx", "port": second}]
        ).decode(),
    }
    command = [sys.executable, "-m", "appliance", "pools"]
    log = tmp_path / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen([*command, "--stage", "tts"], env=environment, stderr=errors)
    try:
        _until(lambda: "= 1 engine servers are up" in log.read_text())
        _until(lambda: b'"warm"' in _status(command, environment).stdout)
        (pool,) = orjson.loads(_status(command, environment).stdout)["pools"]
        (server,) = pool.pop("servers")
        assert pool == {
            "pool": "tts.0", "stage": "tts", "engine": "flite", "model": "", "least": 1, "most": 1,
            "wanted": 1, "in_flight": 0, "capacity": 50,
        }  # fmt: skip
        assert server["port"] == first and server["state"] == "warm"
        assert b"1 warm" in subprocess.run([*command, "status"], env=environment, stdout=-1).stdout
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        assert not Path(f"/proc/{server['pid']}").exists()
    finally:
        process.kill()
        process.wait()
    nobody = _status(command, environment)
    assert nobody.returncode == 2 and b"No pools run with these settings" in nobody.stderr
    unknown = subprocess.run(
        [*command, "--stage", "llm"], env=environment, stderr=subprocess.PIPE, check=False
    )
    assert unknown.returncode == 2 and b"engines.llm.run is empty" in unknown.stderr


def test_ivr_pools_stays_where_all_engines_are_elsewhere(tmp_path: Path) -> None:
    """Or ivr.target would never come up on such a box."""
    stages = ("stt", "tts", "turn", "embed", "rerank", "llm")
    environment = {
        **os.environ,
        "IVR_DATA_DIR": str(tmp_path),
        "IVR_DATABASE__URL": "postgresql://u:p@127.0.0.1:1/none",
        **{f"IVR_ENGINES__{stage.upper()}__RUN": "[]" for stage in stages},
    }
    log = tmp_path / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "appliance", "pools"], env=environment, stderr=errors
        )
    try:
        _until(lambda: "= 0 engine servers are up" in log.read_text())
        assert "engines.<stage>.run is empty" in log.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait()


def _status(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*command, "status", "--json"], env=environment, capture_output=True, check=False
    )


def _until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def plan(**servers: int) -> PlanFile:
    """A plan that wants so many servers of each stage from an hour ago on."""
    now_s = time.time()
    steps = {stage: (Step(now_s - 3600, count),) for stage, count in servers.items()}
    return PlanFile(made_at=now_s, interval_s=300, servers=steps)


async def _becomes(pools: EnginePools, wanted: list[str]) -> None:
    await until(lambda: states(pools) == wanted, 10)


def _file(script: Script) -> Path:
    return script.utterances[0].wav.parent / "script.json"
