"""`ivr up`: on real processes; its parts on small ones."""

from __future__ import annotations

import asyncio
import os
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
from appliance.ops import probe
from appliance.ops.account import Account, ordinary_account
from appliance.ops.announcement import sip_address
from appliance.ops.keeper import Keeper
from appliance.ops.ports import free_port
from appliance.ops.processes import check_addresses, local_address, plan
from appliance.ops.program import Program
from appliance.settings import Database, Engines, Settings, Sip, Stage
from appliance.telephony.callercontrol import CallerControl

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
        await asyncio.wait_for(keeping, 5)


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
        assert time.monotonic() - began < 5


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
        await asyncio.wait_for(stopping, 2)


async def test_a_grandchild_that_holds_the_pipe_does_not_hold_up_the_restart() -> None:
    code = "import os, time; os.fork() or time.sleep(3); print(1, flush=True)"
    async with kept(program(code)) as (_, lines):
        await until(lambda: len(lines) >= 2, 2.5)


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


def test_every_local_engine_is_ours_and_a_remote_one_is_left_alone(tmp_path: Path) -> None:
    remote = Stage(urls=("ws://10.1.2.3:7101", "ws://whisper.example:7101", "ws://localhost:7999"))
    settings = Settings(
        data_dir=tmp_path,
        database=Database(url="postgresql://u:p@db.example/ivr"),
        engines=Engines(stt=remote),
    )
    planned = plan(settings)
    assert planned.postgres is None
    names = [p.name for p in planned.programs]
    assert names == ["stt.2", "turn.0", "embed.0", "tts.0", "tts.1", "worker", "sip"]
    assert planned.engines[0].command()[-4:] == ["--host", "127.0.0.1", "--port", "7999"]


def test_without_espeak_there_is_english_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    planned = plan(Settings(data_dir=tmp_path, database=Database(url="postgresql://db/ivr")))
    assert "tts.1" not in [p.name for p in planned.engines]
    assert planned.worker.environment == {"IVR_ENGINES__TTS__URLS": '["http://127.0.0.1:7201"]'}
    assert "espeak-ng is not installed" in caplog.text


@pytest.mark.parametrize("url", ["ws://127.0.0.1", "7101", "http://127.0.0.1:port"])
def test_a_url_that_cannot_be_served_is_named(url: str) -> None:
    with pytest.raises(UserError, match=r"engines\.stt\.urls"):
        local_address("engines.stt.urls", url)


def test_ports_that_are_taken_are_all_named_with_their_settings(tmp_path: Path) -> None:
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        udp.bind(("127.0.0.1", 0))
        engines = Engines(stt=Stage(urls=(f"ws://127.0.0.1:{tcp.getsockname()[1]}",)))
        sip = Sip(port=udp.getsockname()[1])
        database = Database(url="postgresql://db/ivr")
        settings = Settings(data_dir=tmp_path, database=database, engines=engines, sip=sip)
        with pytest.raises(UserError, match=r"engines\.stt\.urls.* is taken.*UDP.*sip\.port"):
            check_addresses(plan(settings).programs)


def test_the_same_port_twice_is_refused(tmp_path: Path) -> None:
    place = f"http://127.0.0.1:{free_port()}"
    engines = Engines(turn=Stage(urls=(place,)), embed=Stage(urls=(place,)))
    settings = Settings(
        data_dir=tmp_path, database=Database(url="postgresql://db/i"), engines=engines
    )
    with pytest.raises(UserError, match=r"embed\.urls and engines\.turn\.urls both name"):
        check_addresses(plan(settings).programs)


async def test_probes_of_nobody_are_quick_and_false() -> None:
    began = time.monotonic()
    assert not await probe.http_ok("127.0.0.1", free_port())
    assert not await probe.sip_ok("127.0.0.1", free_port(), "udp")
    assert not await probe.sip_ok("127.0.0.1", free_port(), "tcp")
    assert time.monotonic() - began < 0.5


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


@pytest.fixture(scope="module")
def place(open_tmp: Path) -> tuple[Path, dict[str, str]]:
    """A folder, and the environment of an appliance that lives there."""
    folder = open_tmp / "up"
    folder.mkdir()
    folder.chmod(0o755)

    def urls(scheme: str, count: int) -> str:
        return orjson.dumps([f"{scheme}://127.0.0.1:{free_port()}" for _ in range(count)]).decode()

    return folder, {
        "IVR_DATA_DIR": str(folder / "var"),
        "IVR_DATABASE__EMBEDDED_DIR": str(folder / "embedded"),
        "IVR_DATABASE__EMBEDDED_PORT": str(free_port()),
        "IVR_WORKER__PORT": str(free_port()),
        "IVR_WORKER__RECORDINGS": "false",
        "IVR_SIP__PORT": str(free_port()),
        "IVR_SIP__PROCESSES": "1",
        "IVR_ENGINES__STT__URLS": urls("ws", 2),
        "IVR_ENGINES__TTS__URLS": urls("http", 2),
        "IVR_ENGINES__TURN__URLS": urls("http", 1),
        "IVR_ENGINES__EMBED__URLS": urls("http", 1),
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
    assert len(facts["pids"]) == 9

    os.kill(facts["pids"]["stt.0"], signal.SIGKILL)
    os.kill(facts["pids"]["postgres"], signal.SIGKILL)
    stt = orjson.loads(place[1]["IVR_ENGINES__STT__URLS"])[0]
    _until(lambda: "! stt.0 was killed by SIGKILL; again in 0.2 s" in appliance.errors.read_text())
    _until(lambda: "! postgres was killed by SIGKILL" in appliance.errors.read_text())
    _until(lambda: _health(stt))
    _until(lambda: _accepts(int(place[1]["IVR_DATABASE__EMBEDDED_PORT"])))

    second = Appliance(*place)
    assert second.process.wait(10) == 2
    assert second.process.stdout is not None
    second.process.stdout.close()
    assert "(worker.port) is taken" in appliance.errors.read_text()

    assert len(appliance.left()) > 9
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
