"""`ivr up`: on real processes; its parts on small ones."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from appliance.errors import UserError
from appliance.ops.announcement import sip_address
from appliance.ops.keeping import probe
from appliance.ops.keeping.groups import engine_program
from appliance.ops.keeping.keeper import Keeper
from appliance.ops.keeping.ports import free_port
from appliance.ops.keeping.program import Program
from appliance.ops.postgres.account import Account, ordinary_account
from appliance.ops.processes import check_addresses, plan
from appliance.settings import (
    Database,
    Embed,
    Engines,
    Llm,
    LlmServers,
    Place,
    Run,
    Settings,
    Sip,
    Stage,
    Stt,
    Tts,
    TurnStage,
)
from appliance.telephony.callercontrol import CallerControl
from tests.pace_kit import Late, on_time

STOP_S = 30.0


# -- one child ---------------------------------------------------------------------------------


def program(code: str, ready: Callable[[], bool] = lambda: True, **more: Any) -> Program:
    """A child that runs the Python ``code``."""

    async def answer() -> bool:
        return ready()

    command = [sys.executable, "-c", code]
    return Program("child", lambda: command, answer, "Mend it.", **more)


@asynccontextmanager
async def kept(wanted: Program) -> AsyncIterator[tuple[Keeper, list[bytes]]]:
    """The child, kept for the length of the block, and the lines it said."""
    lines: list[bytes] = []
    keeper = Keeper(wanted, lines.append)
    keeping = asyncio.create_task(keeper.keep())
    try:
        yield keeper, lines
    finally:
        at_once = asyncio.Event()
        at_once.set()
        await keeper.stop(at_once)
        await asyncio.wait_for(keeping, 20)


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.02)


SLEEP = "import time; print('hello', flush=True); time.sleep(60)"


async def test_a_killed_child_is_started_again_and_heard() -> None:
    async with kept(program(SLEEP)) as (keeper, lines):
        await keeper.healthy()
        await until(lambda: len(lines) == 1)
        first = keeper.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: keeper.pid not in (None, first))
        await until(lambda: lines == [b"hello\n", b"hello\n"])


def test_another_users_processes_do_not_get_our_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IVR_SIP__PASSWORD", "secret")
    monkeypatch.setenv("PGTZ", "UTC")
    assert Account("me", None, None).environment == dict(os.environ)
    theirs = Account("nobody", 65534, 65534).environment
    assert theirs["PGTZ"] == "UTC" and "IVR_SIP__PASSWORD" not in theirs


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts children as another user")
async def test_a_child_of_another_user_starts_without_our_passwords(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IVR_SIP__PASSWORD", "secret")
    account = ordinary_account()
    assert account.uid is not None and "secret" not in account.run(["env"]).stdout
    wanted = Program(
        "child", lambda: ["/bin/sh", "-c", "env; sleep 60"], _ready, "", account=account
    )
    async with kept(wanted) as (_, lines):
        await until(lambda: any(line.startswith(b"PATH=") for line in lines))
        await asyncio.sleep(0.1)
    assert b"secret" not in b"".join(lines)


async def _ready() -> bool:
    return True


async def test_back_off_grows(caplog: pytest.LogCaptureFixture) -> None:
    async with kept(program("raise SystemExit(1)")):
        await until(lambda: len(caplog.records) >= 3)
    waits = [record.getMessage().rpartition("again in ")[2] for record in caplog.records]
    assert waits[:3] == ["0.2 s", "0.4 s", "0.8 s"]


async def test_a_child_that_says_what_to_mend_stops_the_start_at_once() -> None:
    code = "import sys; print('ivr: no model here', file=sys.stderr); sys.exit(2)"
    async with kept(program(code, lambda: False)) as (keeper, _):
        began = time.monotonic()
        with pytest.raises(UserError, match=r"(?s)child did not come up.*no model here.*Mend it"):
            await keeper.healthy()
        assert time.monotonic() - began < keeper.program.start_timeout_s / 2


async def test_a_child_that_never_answers_stops_the_start_at_its_bound() -> None:
    async with kept(program(SLEEP, lambda: False, start_timeout_s=0.5)) as (keeper, _):
        with pytest.raises(UserError, match=r"(?s)in 0.5 s: it does not answer.*hello"):
            await keeper.healthy()


async def test_a_failed_preparation_is_tried_again_when_the_appliance_runs() -> None:
    troubles = [OSError("disk full")]

    def prepare() -> None:
        if troubles:
            raise troubles.pop()

    async with kept(program(SLEEP, prepare=prepare)) as (keeper, _):
        await keeper.healthy()


async def test_a_child_that_ignores_the_stop_is_killed_when_its_time_is_over() -> None:
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
    async with kept(program(code, stop_timeout_s=0.3)) as (keeper, lines):
        await until(lambda: bool(lines))
        pid = keeper.pid
        assert pid is not None
        await keeper.stop(asyncio.Event())
        assert not Path(f"/proc/{pid}").exists()


async def test_at_once_cuts_a_long_drain_short() -> None:
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
    async with kept(program(code, stop_timeout_s=600)) as (keeper, lines):
        await until(lambda: bool(lines))
        at_once = asyncio.Event()
        stopping = asyncio.create_task(keeper.stop(at_once))
        await asyncio.sleep(0.3)
        assert not stopping.done()
        at_once.set()
        await asyncio.wait_for(stopping, 20)


async def test_a_grandchild_that_holds_the_pipe_does_not_hold_up_the_restart() -> None:
    code = "import os, time; os.fork() or time.sleep(20); print(1, flush=True)"
    async with kept(program(code)) as (_, lines):
        await until(lambda: len(lines) >= 2, 15)


def test_a_child_dies_with_its_parent_even_by_kill_9(tmp_path: Path) -> None:
    parent_code = (
        "import asyncio, sys\n"
        "from tests.test_supervisor import SLEEP, kept, program\n"
        "async def main():\n"
        "    async with kept(program(SLEEP)) as (keeper, lines):\n"
        "        while not lines: await asyncio.sleep(0.02)\n"
        "        print(keeper.pid, flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 5
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


# -- what is run -------------------------------------------------------------------------------


def only(tmp_path: Path, **stages: Stage) -> Settings:
    """Settings of a site with these stages, whose Postgres is elsewhere."""
    none = {"urls": ("http://elsewhere.example:1",)}
    kept_out = {name: none for name in ("stt", "tts", "turn", "embed")}
    engines = Engines.model_validate(kept_out | stages)
    return Settings(
        data_dir=tmp_path, database=Database(url="postgresql://u:p@db.example/ivr"), engines=engines
    )


def test_what_run_names_is_ours_and_urls_are_somebody_elses(tmp_path: Path) -> None:
    run = (Run(engine="pocketsphinx", least=1, most=2), Run(engine="wav2vec2", port=9000))
    stt = Stt(urls=("ws://127.0.0.1:7999",), run=run)
    planned = plan(only(tmp_path, stt=stt, tts=Tts.model_validate({})))
    assert planned.postgres is None
    names = [p.name for p in planned.programs]
    calls = ["stt.0", "stt.1", "stt.2", "tts.0", "tts.1", "worker", "sip"]
    assert names == [*calls, "redis", "jobs", "admin"]
    assert [(g.name, len(g.programs)) for g in planned.engines] == [
        ("stt.0", 2), ("stt.1", 1), ("tts.0", 1), ("tts.1", 1)
    ]  # fmt: skip
    wav2vec2 = planned.engines[1].programs[0]
    assert wav2vec2.command()[1:] == [
        "-m", "appliance", "stt", "--engine", "wav2vec2", "--port", "9000"
    ]  # fmt: skip


def test_a_server_gets_all_that_its_entry_says(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(
        engine="coqui", model="indic-hi", device="cuda", compute_type="float16", capacity=8,
        languages=("hi", "mr"), python="/opt/tts/bin/python", options=("--warm", "3"),
    )  # fmt: skip
    program = engine_program("tts", 4, Place(run, 0, 7301), host="10.0.0.5", warm_up_s=100.0)
    assert program.name == "tts.4" and program.addresses[0].host == "10.0.0.5"
    assert program.start_timeout_s == 500
    assert " ".join(program.command()) == (
        "/opt/tts/bin/python -m appliance tts --engine coqui --model indic-hi --device cuda"
        " --compute-type float16 --languages hi,mr --capacity 8 --warm 3 --host 10.0.0.5 --port 7301"
    )
    home = Path(__file__).parent.parent
    assert program.environment["PYTHONPATH"].split(os.pathsep)[0] == str(home)
    monkeypatch.setattr("appliance.__file__", "/r/.venv/lib/site-packages/appliance/__init__.py")
    installed = engine_program("tts", 4, Place(run, 0, 7301)).environment["PYTHONPATH"]
    ours = "/r/.venv/lib/site-packages/appliance/ops/keeping/elsewhere"
    assert installed.split(os.pathsep)[0] == ours, "and not the packages beside ours"


def test_the_smaller_language_model_is_started_too(tmp_path: Path) -> None:
    servers = LlmServers(run=(Run(engine="vllm", model="small"),), max_num_seqs=7, first_port=7551)
    settings = only(tmp_path, llm=Llm(fallback=servers))
    (group,) = plan(settings).engines
    assert (group.name, group.capacity) == ("llm.fallback.0", 7)
    assert group.programs[0].command()[3:] == [
        "llm", "--fallback", "--model", "small", "--port", "7551"
    ]  # fmt: skip


def test_without_espeak_there_is_english_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    planned = plan(Settings(data_dir=tmp_path, database=Database(url="postgresql://db/ivr")))
    assert [g.run.engine for g in planned.engines if g.stage == "tts"] == ["flite"]
    assert "espeak-ng is not installed" in caplog.text


def test_ports_that_are_taken_are_all_named_with_their_settings(tmp_path: Path) -> None:
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        udp.bind(("127.0.0.1", 0))
        port = tcp.getsockname()[1]
        # the second place: a server there comes at the peak, which is too late to hear of it
        run = Run(engine="pocketsphinx", port=port - 1, most=2)
        settings = only(tmp_path, stt=Stt(run=(run,)))
        settings = settings.model_copy(update={"sip": Sip(port=udp.getsockname()[1])})
        with pytest.raises(UserError, match=r"engines\.stt\.run.* is taken.*UDP.*sip\.port"):
            check_addresses(plan(settings).programs)


def test_the_same_port_twice_is_refused(tmp_path: Path) -> None:
    port = free_port()
    turn = TurnStage(run=(Run(engine="smart-turn", port=port),))
    settings = only(tmp_path, turn=turn, embed=Embed(run=(Run(engine="minilm", port=port),)))
    with pytest.raises(UserError, match=r"embed\.run and engines\.turn\.run both name"):
        check_addresses(plan(settings).programs)


async def test_probes_of_nobody_are_quick_and_false() -> None:
    async def late() -> Late:
        began = time.monotonic()
        assert not await probe.http_ok("127.0.0.1", free_port())
        assert not await probe.sip_ok("127.0.0.1", free_port(), "udp")
        assert not await probe.sip_ok("127.0.0.1", free_port(), "tcp")
        return {"answers": (time.monotonic() - began) * 1000}

    await on_time(late, late_ms=500)


def test_the_address_to_ring_says_tcp_where_there_is_no_udp() -> None:
    settings = Settings(sip=Sip(host="192.168.1.10", transports=("tcp",)))
    assert sip_address(settings, []) == "sip:1001@192.168.1.10:5060;transport=tcp"


# -- the whole appliance -----------------------------------------------------------------------


class Appliance:
    """A real `ivr up` on free ports below ``folder``."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.mark = f"IVR_DATA_DIR={folder / 'var'}"
        self.errors = folder / "up.log"
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "appliance", "up", "--json"],
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **environment},
            )

    def ready(self) -> dict[str, Any]:
        """Wait until it says that it answers."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.errors.read_text()
        facts: dict[str, Any] = orjson.loads(line)
        return facts

    def left(self) -> list[str]:
        """Every process of this appliance that lives, whoever its parent is."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (process / "environ").read_bytes().split(b"\0"):
                    if _alive(int(process.name)):
                        found.append((process / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
        return found

    def none_left(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while (left := self.left()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not left


def free_port_row(count: int) -> list[int]:
    """``count`` free ports in a row."""
    while True:
        first = free_port()
        row = range(first, first + count)
        if not any(probe.is_taken("127.0.0.1", port, socket.SOCK_STREAM) for port in row):
            return list(row)


@pytest.fixture(scope="module")
def place(open_tmp: Path) -> tuple[Path, dict[str, str]]:
    """A folder, and the environment of an appliance that lives there."""
    folder = open_tmp / "up"
    folder.mkdir()
    folder.chmod(0o755)

    ports = iter(free_port_row(6))

    def run(engine: str, **more: int) -> dict[str, object]:
        return {"engine": engine, "port": next(ports), **more}

    stt = [run("pocketsphinx", least=1, most=2)]
    next(ports)
    stages = {"stt": stt, "tts": [run("flite"), run("espeak")]}
    stages |= {"turn": [run("smart-turn")], "embed": [run("minilm")]}

    return folder, {
        "IVR_DATA_DIR": str(folder / "var"),
        "IVR_DATABASE__EMBEDDED_DIR": str(folder / "embedded"),
        "IVR_DATABASE__EMBEDDED_PORT": str(free_port()),
        "IVR_REDIS__EMBEDDED_PORT": str(free_port()),
        "IVR_ADMIN__PORT": str(free_port()),
        "IVR_WORKER__PORT": str(free_port()),
        "IVR_WORKER__RECORDINGS": "false",
        "IVR_SIP__PORT": str(free_port()),
        "IVR_SIP__PROCESSES": "1",
        **{f"IVR_ENGINES__{s.upper()}__RUN": orjson.dumps(r).decode() for s, r in stages.items()},
    }


@pytest.fixture
def appliance(place: tuple[Path, dict[str, str]]) -> Iterator[Appliance]:
    site = Appliance(*place)
    yield site
    if site.process.poll() is None:
        site.process.kill()
    site.process.wait(STOP_S)
    assert site.process.stdout is not None
    site.process.stdout.close()


def _health(url: str) -> bool:
    host, port = url.removeprefix("ws://").split(":")
    return asyncio.run(probe.http_ok(host, int(port)))


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.server
@pytest.mark.sip
def test_it_comes_up_heals_and_leaves_nobody_behind_when_it_is_killed(
    appliance: Appliance, place: tuple[Path, dict[str, str]]
) -> None:
    facts = appliance.ready()
    port = place[1]["IVR_SIP__PORT"]
    assert facts["sip"] == f"sip:1001@127.0.0.1:{port}"
    assert facts["numbers"] == {"*": "sunrise"}
    assert _health(facts["worker"])
    assert len(facts["pids"].keys() - {"redis", "jobs", "admin"}) == 8

    for name in ("redis", "jobs", "admin"):  # they come up behind the calls, and fall without them
        _until(lambda name=name: f"= {name} is up" in appliance.errors.read_text())
        pid = re.search(rf"= {name} is up \(pid (\d+)\)", appliance.errors.read_text())
        assert pid
        os.kill(int(pid[1]), signal.SIGKILL)
        killed = f"! {name} was killed by SIGKILL; again in 0.2 s"
        _until(lambda killed=killed: killed in appliance.errors.read_text())
    _until(lambda: _accepts(int(place[1]["IVR_REDIS__EMBEDDED_PORT"])))
    assert _health(facts["worker"])

    os.kill(facts["pids"]["stt.0"], signal.SIGKILL)
    os.kill(facts["pids"]["postgres"], signal.SIGKILL)
    (run,) = orjson.loads(place[1]["IVR_ENGINES__STT__RUN"])
    stt = f"ws://127.0.0.1:{run['port']}"
    _until(lambda: "! stt.0 was killed by SIGKILL; again in 0.2 s" in appliance.errors.read_text())
    _until(lambda: "! postgres was killed by SIGKILL" in appliance.errors.read_text())
    _until(lambda: _health(stt))
    _until(lambda: _accepts(int(place[1]["IVR_DATABASE__EMBEDDED_PORT"])))

    second = Appliance(*place)
    assert second.process.wait(10) == 2
    assert second.process.stdout is not None
    second.process.stdout.close()
    assert "(worker.port) is taken" in appliance.errors.read_text()

    assert len(appliance.left()) > 8
    appliance.process.kill()
    appliance.process.wait()
    appliance.none_left(10)


@pytest.mark.server
@pytest.mark.sip
def test_it_comes_up_again_after_a_kill_and_sigterm_stops_it_in_order(
    appliance: Appliance,
) -> None:
    appliance.ready()
    appliance.process.send_signal(signal.SIGTERM)
    assert appliance.process.wait(STOP_S) == 0
    assert not appliance.left()
    log = appliance.errors.read_text().rpartition("ready for calls")[2]
    order = [log.index(word) for word in ("sip - = stopped", "worker - = worker stopped")]
    order += [log.index("stt - = stopped"), log.rindex("up - = stopped")]
    assert order == sorted(order)


@pytest.mark.server
@pytest.mark.sip
def test_ctrl_c_lets_a_live_call_go_on_and_a_second_one_does_not(appliance: Appliance) -> None:
    address = appliance.ready()["sip"]

    async def call() -> None:
        async with await CallerControl.ring(address) as caller:
            await caller.wait_for("answered", 10)
            appliance.process.send_signal(signal.SIGINT)
            await asyncio.sleep(1)
            assert appliance.process.poll() is None
            appliance.process.send_signal(signal.SIGINT)
            assert await asyncio.to_thread(appliance.process.wait, STOP_S) == 0

    asyncio.run(call())
    appliance.none_left(5)
    log = appliance.errors.read_text()
    assert "sip - = draining: 1 calls live" in log
    assert "! stopping at once" in log
