"""Engine servers on Ray: the policy and the settings without it, the whole on a real one.

The latter runs where IVR_TEST_RAY_PYTHON names the Python of an environment with the extra
``cluster``; Ray takes some 1.3 GB.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson
import pytest
from talkers import AGENT, Caller, Speaker
from tinyserver import until

from appliance.capacity import servepolicy
from appliance.capacity.servepolicy import ServePolicy
from appliance.engines.emulated_script import Script
from appliance.engines.pool import Health, Pool
from appliance.engines.recogniser import HttpRecogniser
from appliance.engines.roster import Roster
from appliance.engines.voice import HttpVoice
from appliance.errors import UserError
from appliance.ops.cluster import environment_of_engines, specs_of
from appliance.ops.keeping.ports import free_port
from appliance.settings import Capacity, Cluster, Engines, Run, Settings, Stt, Tts, load

RAY_PYTHON = os.environ.get("IVR_TEST_RAY_PYTHON", "")
START_S = 120.0


# -- the policy ----------------------------------------------------------------------------------


def policy(plan_file: str = "", **more: Any) -> ServePolicy:
    facts = {
        "stage": "stt", "bounds": [[1, 4]], "position": 0, "capacity": 0, "warm_up_s": 30.0,
        "idle_s": 60.0, **more,
    }  # fmt: skip
    return ServePolicy(plan_file, **facts)


def context(
    now_s: float, state: dict[str, Any], in_flight: tuple[int, ...] = (), target: int = 1
) -> SimpleNamespace:
    """What Serve tells a policy: of each replica its load and its capacity of 10."""
    told = {
        "in_flight": dict(enumerate(in_flight)),
        "capacity": {n: 10 for n, _ in enumerate(in_flight)},
    }
    return SimpleNamespace(
        current_time=now_s, policy_state=state, target_num_replicas=target, aggregated_metrics=told
    )


def test_load_on_the_engine_servers_asks_for_replicas() -> None:
    decide = policy()
    assert decide(context(1000.0, {}))[0] == 1
    count, state = decide(context(1000.0, {}, (8, 8)))
    assert count == 3  # 16 are three quarters of 2.1 servers
    count, state = decide(context(1002.0, state, (0, 0, 0), target=3))
    assert count == 3  # not yet idle for long enough
    assert decide(context(1063.0, state, (0, 0, 0), target=3))[0] == 1


def test_serve_asks_more_often_than_a_decision_is_made() -> None:
    decide = policy()
    count, state = decide(context(1000.0, {}, (2,)))
    assert decide(context(1000.9, state, (30,))) == (count, state)
    assert decide(context(1001.0, state, (30,)))[0] == 4


def test_a_plan_asks_for_replicas_as_soon_as_its_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    decide = policy(str(file), bounds=[[1, 3], [0, 3]], position=1)
    count, state = decide(context(1000.0, {}, target=0))
    assert count == 0

    def plan(servers: int) -> None:
        steps = [{"from": 900.0, "servers": servers}, {"from": 5000.0, "servers": 0}]
        file.write_bytes(orjson.dumps({"servers": {"stt": steps}}))

    plan(4)  # three above the least, shared by two pools that may both grow: by 1.2 and by 1.8
    count, state = decide(context(1001.0, state, (0,)))
    assert count == 2
    nonsense = ('{"from":1,"servers":1e999}', '{"from":NaN,"servers":99}', "[" * 100_000, "{}")
    for number, step in enumerate(("{ half a pl", *nonsense)):  # the last readable plan stays
        file.write_text(f'{{"servers":{{"stt":[{step}]}}}}' if number else step)
        assert decide(context(1002.0 + number / 100, state, (0,)))[0] == 2, step[:40]
    file.unlink()
    assert decide(context(1003.0, state, (0,)))[0] == 2
    plan(99)
    assert decide(context(1004.0, state, (0,)))[0] == 3


def test_the_policy_needs_nothing_that_a_controller_has_not() -> None:
    source = Path(servepolicy.__file__).read_text()
    imports = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
    ours = [line for line in imports if "appliance" in line]
    assert ours == [
        "from appliance.capacity.policy import wanted",
        "from appliance.capacity.share import share",
    ]


# -- the settings --------------------------------------------------------------------------------


def settings_of(tmp_path: Path, **cluster: Any) -> Settings:
    stt = Stt(run=(Run(engine="pocketsphinx", least=1, most=2), Run(engine="wav2vec2", capacity=5)))
    tts = Tts(run=(Run(engine="flite"),))
    none = {"urls": ("http://elsewhere.example:1",)}
    engines = Engines.model_validate({"stt": stt, "tts": tts, "turn": none, "embed": none})
    return Settings(data_dir=tmp_path, engines=engines, cluster=Cluster(**cluster))


def keyed(engines: Engines) -> Engines:
    """As on machines that share a key."""
    return engines.model_copy(update={"key": "k" * 32})


def test_each_entry_of_run_is_a_pool_of_its_own(tmp_path: Path) -> None:
    specs = specs_of(settings_of(tmp_path, gpu_share={"stt": 0.25}, cpu_share={"tts": 0.5}))
    assert [(s.app, s.least, s.most, s.cpus, s.gpus) for s in specs] == [
        ("ivr-stt-0", 1, 2, 1.0, 0.25),
        ("ivr-stt-1", 1, 1, 1.0, 0.25),
        ("ivr-tts-0", 1, 1, 0.5, 0.0),
    ]
    second = specs[1]
    assert second.policy["bounds"] == [[1, 2], [1, 1]] and second.policy["position"] == 1
    assert second.policy["capacity"] == 5
    assert second.policy["plan_file"] == str(tmp_path / "plan.json")
    stage, run, scheme, _, host = second.arguments
    assert host == "127.0.0.1"  # of a Ray of our own
    several = settings_of(tmp_path, address="auto")
    with pytest.raises(UserError, match=r"engines\.key"):
        specs_of(several)
    (elsewhere, *_) = specs_of(several.model_copy(update={"engines": keyed(several.engines)}))
    assert elsewhere.arguments[-1] == ""
    assert (stage, scheme) == ("stt", "ws") and Run.model_validate(run).engine == "wav2vec2"
    ServePolicy(**second.policy)  # its keyword arguments are the policy's
    orjson.dumps(second.policy)  # and JSON, which Serve insists on


def test_without_a_plan_the_policy_reads_none(tmp_path: Path) -> None:
    settings = settings_of(tmp_path).model_copy(update={"capacity": Capacity(plan=False)})
    assert {spec.policy["plan_file"] for spec in specs_of(settings)} == {""}


def test_engine_servers_get_our_settings_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ivr.toml").write_text("")
    for name in ("DATABASE__URL", "SIP__PASSWORD", "ENGINES__LLM__API_KEY", "LOG__LEVEL"):
        monkeypatch.setenv(f"IVR_{name}", "INFO")
    found = environment_of_engines(Settings(data_dir=Path("var")))
    ours = {name: value for name, value in found.items() if not name.startswith("IVR_TEST")}
    assert ours == {
        "IVR_LOG__LEVEL": "INFO",
        "IVR_SETTINGS": str(tmp_path / "ivr.toml"),
        "IVR_DATA_DIR": str(tmp_path / "var"),
    }


def test_nothing_to_run_and_no_ray_are_said_in_a_sentence(tmp_path: Path) -> None:
    none = {"urls": ("http://elsewhere.example:1",)}
    stages = {stage: none for stage in ("stt", "tts", "turn", "embed")}
    settings = Settings(data_dir=tmp_path, engines=Engines.model_validate(stages))
    with pytest.raises(UserError, match=r"set engines\.<stage>\.run"):
        specs_of(settings)
    environment = {
        **os.environ, "IVR_DATA_DIR": str(tmp_path), "IVR_CLUSTER__PORT": str(free_port()),
    }  # fmt: skip
    for command, words in (
        ("up", b'pip install "ivr-appliance[cluster]"'),
        ("status", b"does not answer"),
        ("down", b"No `ivr cluster up` runs"),
    ):
        ended = subprocess.run(
            [sys.executable, "-m", "appliance", "cluster", command],
            env=environment, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
        assert ended.returncode == 2 and words in ended.stderr, ended.stderr


# -- on a real Ray -------------------------------------------------------------------------------


class Driver:
    """A real ``ivr cluster up`` with a Ray of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.log = folder / "cluster.log"
        self._mark = f"IVR_DATA_DIR={folder / 'var'}"
        tts = [{"engine": "flite", "least": 1, "most": 2, "capacity": 4, "python": sys.executable}]
        stt = [{"engine": "pocketsphinx", "least": 2, "most": 2, "python": sys.executable}]
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parent.parent),
            "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
            "IVR_DATA_DIR": str(folder / "var"),
            "IVR_DATABASE__URL": "postgresql://u:p@127.0.0.1:1/none",
            "IVR_CLUSTER__PORT": str(self.port),
            "IVR_CLUSTER__CPU_SHARE": '{"stt":0.1,"tts":0.1}',
            "IVR_CAPACITY__IDLE_S": "10",
            "IVR_ENGINES__TTS__RUN": orjson.dumps(tts).decode(),
            "IVR_ENGINES__STT__RUN": orjson.dumps(stt).decode(),
            "IVR_ENGINES__TURN__RUN": "[]",
            "IVR_ENGINES__EMBED__RUN": "[]",
        }
        with self.log.open("wb") as errors:
            self.process = subprocess.Popen(
                [RAY_PYTHON, "-m", "appliance", "cluster", "up", "--json"],
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self.environment,
            )

    def ready(self) -> dict[str, Any]:
        """Wait until every pool has its least."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        facts: dict[str, Any] = orjson.loads(line)
        return facts

    def command(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [RAY_PYTHON, "-m", "appliance", "cluster", *words],
            env=self.environment, capture_output=True, check=False,
        )  # fmt: skip

    def left(self) -> list[str]:
        """Every process of it that lives, in its words."""
        found = []
        for process in self.processes():
            with suppress(OSError):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        return [words for words in found if words]

    def processes(self) -> list[Path]:
        """In /proc, whoever its parent is."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if self._mark.encode() in (process / "environ").read_bytes().split(b"\0"):
                    found.append(process)
        return found


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    started = Driver(tmp_path)
    yield started
    if started.process.poll() is None:
        started.process.send_signal(signal.SIGTERM)
        try:
            started.process.wait(60)
        except subprocess.TimeoutExpired:
            started.process.kill()
            started.process.wait()
    assert started.process.stdout is not None
    started.process.stdout.close()


@asynccontextmanager
async def workers_pools(
    url: str, key: str
) -> AsyncIterator[tuple[Pool, Pool, aiohttp.ClientSession]]:
    """Two pools of a worker, fed by the roster alone."""
    async with aiohttp.ClientSession() as http:
        ears, mouths = (
            Pool("stt", (), http, lambda url: key),
            Pool("tts", (), http, lambda url: key),
        )
        roster = Roster(url, (ears, mouths), http)
        tasks = [asyncio.create_task(work) for work in (roster.run(), ears.run(), mouths.run())]
        try:
            yield ears, mouths, http
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


def up(pool: Pool) -> int:
    return sum(server.health is Health.UP for server in pool.servers)


async def servers_of(driver: Driver, pool: str) -> list[dict[str, Any]]:
    """As ``ivr cluster status`` knows them."""
    async with aiohttp.ClientSession() as http:
        async with http.get(f"http://127.0.0.1:{driver.port}/status") as answer:
            facts = await answer.json()
    return [server for server in facts["servers"] if server["pool"] == pool]


async def pid_of(driver: Driver, url: str) -> int:
    (server,) = [s for s in await servers_of(driver, "stt.0") if s["url"] == url]
    return int(server["pid"])


ASK_WITHOUT_TOKEN = """
import grpc, sys
for port in sys.argv[1:]:
    with grpc.insecure_channel("127.0.0.1:" + port) as channel:
        bare = dict(request_serializer=bytes, response_deserializer=bytes)
        ask = channel.unary_unary("/ray.serve.ASGIService/HandleRequest", **bare)
        try:
            ask(b"", timeout=5)
            sys.exit(port + " answers anybody")
        except grpc.RpcError as e:
            print(e.code().name)
"""


def open_ports(driver: Driver) -> list[str]:
    """Ports on which a process of it listens on more than loopback."""
    inodes: dict[str, str] = {}
    for family in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{family}").read_text().splitlines()[1:]:
            fields = line.split()
            address, _, port = fields[1].partition(":")
            if fields[3] == "0A" and not address.endswith("0100007F"):
                inodes[fields[9]] = str(int(port, 16))
    found = set()
    for process in driver.processes():
        with suppress(OSError):
            for file in (process / "fd").iterdir():
                with suppress(OSError):
                    inode = os.readlink(file).removeprefix("socket:[").rstrip("]")
                    found |= {inodes[inode]} if inode in inodes else set()
    return sorted(found)


def refuse_strangers(driver: Driver) -> None:
    """Nothing is reached from outside but the servers of Serve's replicas, and those want a token."""
    ports = open_ports(driver)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    asked = subprocess.run(
        [RAY_PYTHON, "-c", ASK_WITHOUT_TOKEN, *ports],
        env=environment, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.decode().split() == ["UNAUTHENTICATED"] * len(ports)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def after(seconds: float, work: Callable[[], None]) -> None:
    await asyncio.sleep(seconds)
    work()


@pytest.mark.server
@pytest.mark.skipif(not RAY_PYTHON, reason="IVR_TEST_RAY_PYTHON names no Python with Ray Serve")
@pytest.mark.skipif(not shutil.which("flite"), reason="flite is not installed")
async def test_pools_on_ray_grow_heal_and_shrink_under_live_streams(
    driver: Driver, script: Script
) -> None:
    facts = await asyncio.to_thread(driver.ready)
    assert facts["pools"] == ["stt.0", "tts.0"]
    await asyncio.to_thread(refuse_strangers, driver)
    key = load(environ=driver.environment).secret("engines")
    async with workers_pools(facts["roster"], key) as (ears, mouths, http):
        recogniser = HttpRecogniser(ears, http, 5000)
        await recogniser.prepare(AGENT, [utterance.text for utterance in script.utterances])
        await until(lambda: (up(ears), up(mouths)) == (2, 1), START_S)
        caller, sentence = Caller(recogniser, script), script.utterances[0]
        undisturbed = await caller.say(sentence, 1)
        assert undisturbed

        # Load starts a server: four phrases at once on one that carries four.
        speakers = [Speaker(HttpVoice(mouths, http, 5000)) for _ in range(4)]
        speaking = [asyncio.create_task(speaker.talk()) for speaker in speakers]
        await until(lambda: up(mouths) == 2, 60)

        # An engine server is killed under a live stream: its replica starts it again.
        (hearing,) = [server.url for server in ears.servers if server.in_flight]
        killed = await pid_of(driver, hearing)
        kill = asyncio.create_task(after(0.7, lambda: os.kill(killed, signal.SIGKILL)))
        assert await caller.say(sentence, 2) == undisturbed
        await kill
        async with asyncio.timeout(30):
            while await pid_of_or_none(driver, hearing) in (None, killed):
                await asyncio.sleep(0.2)
        await until(lambda: up(ears) == 2, 30)

        # A whole replica is killed: its engine server ends with it, Serve starts another replica.
        (hearing,) = [server.url for server in ears.servers if server.in_flight]
        engine = await pid_of(driver, hearing)
        replica = parent_of(engine)
        kill = asyncio.create_task(after(0.7, lambda: os.kill(replica, signal.SIGKILL)))
        assert await caller.say(sentence, 3) == undisturbed
        await kill
        await until(lambda: not alive(engine))
        await until(lambda: hearing not in [s.url for s in ears.servers], 30)
        await until(lambda: up(ears) == 2, 60)
        caller.session.close()

        # The load is over: one server is drained, and a phrase under way there is not cut.
        for speaker in speakers[1:]:
            speaker.stopping = True
        await until(lambda: len(mouths.servers) == 1, 60)
        speakers[0].stopping = True
        await asyncio.gather(*speaking)
        assert all(speaker.whole for speaker in speakers)

        shown = await asyncio.to_thread(driver.command, "status")
        assert shown.returncode == 0 and b"ivr-stt-0: HEALTHY" in shown.stdout, shown.stderr
    ended = await asyncio.to_thread(driver.command, "down")
    assert ended.returncode == 0, ended.stderr
    assert await asyncio.to_thread(driver.process.wait, 30) == 0
    deadline = time.monotonic() + 15
    while (left := driver.left()) and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    assert not left


async def pid_of_or_none(driver: Driver, url: str) -> int | None:
    found = [s for s in await servers_of(driver, "stt.0") if s["url"] == url and s["warm"]]
    return int(found[0]["pid"]) if found else None
