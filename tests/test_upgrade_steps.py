"""Upgrades of a small box: real processes, but each ``ivr`` a program of a few lines. Whatever goes
wrong, and wherever the upgrade is cut short, a worker takes calls at every moment."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from appliance.__main__ import main
from appliance.errors import UserError
from appliance.ops.keeping.ports import free_ports
from appliance.ops.releases.journal import Journal, Progress
from appliance.ops.releases.listing import previous
from appliance.ops.releases.release import Place
from appliance.ops.releases.upgrade import Options
from tests.releases_kit import NEW, OLD, SmallSource, Tool, small_box

pytestmark = pytest.mark.server

WATCH_S = 0.02
KILLS = 24
"""About as many moments as an upgrade of the small box has; the last test says if there are more."""
SHORT_KILLS = (2, 14, 16)
"""While it is laid, while a worker is stopped, while the spare one is."""


class Watch:
    """Asks every worker, all the time, whether it takes calls."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.looks = 0
        self.gaps_ms: list[float] = []

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        since = None
        while not self._stop.wait(WATCH_S):
            self.looks += 1
            if any(status(port) == "ok" for port in self._ports):
                if since is not None:
                    self.gaps_ms.append(1000 * (time.monotonic() - since))
                since = None
            elif since is None:
                since = time.monotonic()


def health(port: int) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            told: dict[str, Any] = orjson.loads(answer.read())
            return told
    except OSError:
        return {}


def status(port: int) -> str:
    return str(health(port).get("status", ""))


@contextmanager
def box(root: Path, workers: int = 1, ports: int = 2, **more: Any) -> Iterator[list[int]]:
    """A small box with one worker and a spare port."""
    found = free_ports(ports)
    small_box(root, found, workers, **more)
    try:
        yield found
    finally:
        Tool(root).units.close()


def on(root: Path) -> dict[str, str]:
    """Which release each service runs."""
    return {unit.name: unit.release for unit in Tool(root).units.running()}


def tell(root: Path, version: str, **what: Any) -> None:
    """How a release behaves."""
    (root / f"{version}.json").write_bytes(orjson.dumps(what))


def log(root: Path) -> list[str]:
    return (root / "log").read_text().splitlines()


def test_a_box_with_one_worker_is_upgraded_without_a_gap(tmp_path: Path) -> None:
    with box(tmp_path) as ports, Watch(ports) as watch:
        tool = Tool(tmp_path)
        done = tool.run("run")
        assert (done.in_force, done.why, done.left) == (NEW, "", ())
        services = on(tmp_path)
        first = f"ivr-worker@{ports[0]}.service"
        assert services == {first: NEW, "ivr-sip.service": NEW, "ivr-jobs.service": NEW}
        spare = f"ivr-worker@{ports[1]}.service"
        order = [event for event in tool.events if event.startswith(("start", "stop"))]
        assert order == [
            f"start {spare}", f"stop {first}", f"start {first}", f"stop {spare}",
            "stop ivr-jobs.service", "start ivr-jobs.service",
            "stop ivr-sip.service", "start ivr-sip.service",
        ]  # fmt: skip
    assert watch.looks > 10 and watch.gaps_ms == []
    done_by = [line for line in log(tmp_path) if "worker" not in line and "--version" not in line]
    assert done_by == [
        "0.1.0 sip", "0.1.0 jobs",
        "0.1.0 doctor --json", "0.1.0 backup --help", "0.1.0 backup create",
        "0.2.0 releases migrate --under 0004", "0.2.0 sip",
        "0.2.0 doctor --call --wait 60 --json",
        "0.1.0 releases replay --json",
        "0.2.0 jobs", "0.2.0 sip", "0.2.0 doctor --json", "0.2.0 doctor --call --wait 60 --json",
    ]  # fmt: skip


def test_several_workers_change_one_by_one(tmp_path: Path) -> None:
    with box(tmp_path, workers=3, ports=3) as ports, Watch(ports) as watch:
        tool = Tool(tmp_path)
        tool.run("run")
        order = [
            e.split()[0] for e in tool.events if e.startswith(("start ", "stop ")) and "@" in e
        ]
        assert order == ["stop", "start"] * 3
        assert set(on(tmp_path).values()) == {NEW}
    assert watch.gaps_ms == []


def test_live_calls_are_waited_for(tmp_path: Path) -> None:
    with box(tmp_path) as ports, Watch(ports) as watch:
        calls = tmp_path / f"calls-{ports[0]}"
        calls.write_text("2")
        tool = Tool(tmp_path)
        work = threading.Thread(target=tool.run, args=("run",))
        work.start()
        until(lambda: status_of_draining(ports[0]))
        until(lambda: health(ports[1]).get("version") == NEW)  # the spare one takes what comes
        calls.write_text("0")
        work.join(30)
        assert health(ports[0])["version"] == NEW
    assert watch.gaps_ms == []


def test_without_a_quiet_moment_sip_stays_as_it_is(tmp_path: Path) -> None:
    with box(tmp_path, workers=2) as ports:
        for port in ports:  # calls that end when asked to, and begin anew
            (tmp_path / f"calls-{port}").write_text("0")
        tool = Tool(tmp_path, options=Options(quiet_s=0.5, settle_s=0.2))
        tool.event = tool.events.append  # type: ignore[method-assign]
        busy = threading.Thread(target=begin_calls, args=(tmp_path, ports))
        busy.start()
        done = tool.run("run")
        busy.join()
        assert (done.in_force, done.left) == (NEW, ("ivr-sip.service",))
        assert on(tmp_path)["ivr-sip.service"] == OLD
        for port in ports:
            (tmp_path / f"calls-{port}").write_text("0")
        finished = Tool(tmp_path).work.finish()
        assert finished.left == () and set(on(tmp_path).values()) == {NEW}
        assert f"{NEW} releases migrate --all" in log(tmp_path)


def begin_calls(root: Path, ports: list[int]) -> None:
    """Once both workers run the new release there is always a call."""
    until(lambda: all(health(port).get("version") == NEW for port in ports), 30)
    (root / f"calls-{ports[0]}").write_text("1")


def status_of_draining(port: int) -> bool:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/health")
    try:
        urllib.request.urlopen(request, timeout=1).close()
    except urllib.error.HTTPError as e:
        with e:
            return b"draining" in e.read()
    except OSError:
        pass
    return False


def until(condition: Any, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


# --- what is not well -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sick", "why"),
    [
        ({"bad": ["disk"]}, "disk"),
        ({"worker": 1}, "ended"),
    ],
)
def test_a_sick_release_is_left_again(tmp_path: Path, sick: dict[str, Any], why: str) -> None:
    with box(tmp_path) as ports, Watch(ports) as watch:
        tell(tmp_path, NEW, **sick)
        done = Tool(tmp_path).run("run")
        assert (done.in_force, done.left) == (OLD, ()) and why in done.why
        assert set(on(tmp_path).values()) == {OLD} and len(on(tmp_path)) == 3
        assert not (tmp_path / "upgrade.json").exists()
        assert Place(tmp_path).rejected(NEW) and not Place(tmp_path).rejected(OLD)
    assert watch.gaps_ms == []


@pytest.mark.parametrize(
    ("sick", "why"),
    [
        ({"call": 1}, "it was silent"),
        ({"releases": 1}, "migrate"),
    ],
)
def test_what_is_sick_before_the_switch_changes_nothing(
    tmp_path: Path, sick: dict[str, Any], why: str
) -> None:
    with box(tmp_path):
        tell(tmp_path, NEW, **sick)
        tool = Tool(tmp_path)
        with pytest.raises(UserError, match=why):
            tool.run("run")
        assert set(on(tmp_path).values()) == {OLD} and not (tmp_path / "releases" / NEW).exists()
        assert not any(event.startswith(("start", "stop")) for event in tool.events)


def golden(verdict: str) -> dict[str, Any]:
    row = {"question": 1, "agent": "sunrise", "text": "when?", "answer": "at nine"}
    return row | {"source": "llm", "verdict": verdict, "why": "", "passages": []}


def test_worse_answers_stop_it_unless_somebody_says_why(tmp_path: Path) -> None:
    with box(tmp_path):
        tell(tmp_path, OLD, answers=[golden("same")])
        tell(tmp_path, NEW, answers=[golden("wrong")])
        with pytest.raises(UserError, match=r"sunrise: 'when\?' is wrong"):
            Tool(tmp_path).run("run")
        done = Tool(tmp_path, options=Options(reason="known", quiet_s=2)).run("run")
        assert done.in_force == NEW


@pytest.mark.parametrize("verdict", ["failed", "wrong"])
def test_what_the_old_one_did_no_better_does_not_stop_it(tmp_path: Path, verdict: str) -> None:
    with box(tmp_path):
        tell(tmp_path, OLD, answers=[golden(verdict)])
        tell(tmp_path, NEW, answers=[golden("wrong")])
        assert Tool(tmp_path).run("run").in_force == NEW


def test_what_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    with box(tmp_path, ports=1):
        with pytest.raises(UserError, match="none could stand in"):
            Tool(tmp_path).run("run")
        tell(tmp_path, OLD, bad=["disk"])
        with pytest.raises(UserError, match="not well before the upgrade: disk"):
            Tool(tmp_path).run("run")
        with pytest.raises(UserError, match="not later"):
            Tool(tmp_path).work.run(SmallSource("0.0.9"))
        with pytest.raises(UserError, match="nothing to resume"):
            Tool(tmp_path).run("resume")
        assert not (tmp_path / "releases" / NEW).exists()


def test_rolled_back_by_hand(tmp_path: Path) -> None:
    with box(tmp_path) as ports, Watch(ports) as watch:
        Tool(tmp_path).run("run")
        tool = Tool(tmp_path)
        done = tool.work.back(OLD)
        assert (done.in_force, set(on(tmp_path).values())) == (OLD, {OLD})
        place = Place(tmp_path)
        assert place.rejected(NEW)
        assert tool.work.run(SmallSource("0.3.0")).removed == (NEW,)
        assert previous(place) == OLD
        assert tool.work.back(previous(place)).in_force == OLD
        assert tool.work.back("0.3.0").in_force == "0.3.0"  # by name, and forward
        assert not place.rejected("0.3.0") and not place.rejected(OLD)
        tool.work.back(OLD)
        with pytest.raises(UserError, match="in force already"):
            tool.work.back(OLD)
        with pytest.raises(UserError, match="no release"):
            tool.work.back("0.0.1")
    assert watch.gaps_ms == []


# --- cut short ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kill_at",
    [
        pytest.param(n, marks=() if n in SHORT_KILLS else pytest.mark.long)
        for n in range(1, KILLS + 1)
    ],
)
def test_killed_at_any_moment_it_is_resumed(tmp_path: Path, kill_at: int) -> None:
    """``kill -9`` before the n-th thing it does; then `--resume`, until nothing is left to resume."""
    with box(tmp_path) as ports, Watch(ports) as watch:
        first = driver(tmp_path, "run", kill_at)
        assert first.returncode == -9 or kill_at >= KILLS - 2
        second = driver(tmp_path, "resume")
        if second.returncode:
            assert "nothing to resume" in second.stderr, second.stderr
        if (tmp_path / "current").readlink().name == OLD:
            assert second.returncode or f"release {NEW} has been cleared away" in second.stdout
            assert not (tmp_path / "releases" / NEW).exists()
            assert driver(tmp_path, "run").returncode == 0
        services = on(tmp_path)
        assert set(services.values()) == {NEW}, (first.stdout, second.stdout, second.stderr)
        assert len(services) == 3, (services, second.stdout, second.stderr)
        assert not (tmp_path / "upgrade.json").exists() and not Place(tmp_path).stopped.exists()
        assert (tmp_path / "current").readlink().name == NEW
    assert watch.gaps_ms == []


def test_killed_as_it_finishes_no_service_stays_stopped(tmp_path: Path) -> None:
    with box(tmp_path) as ports, Watch(ports) as watch:
        place = Place(tmp_path)
        SmallSource(NEW).lay(place)
        place.point(NEW)
        first = driver(tmp_path, "finish", "start ivr-sip.service")
        assert first.returncode == -9 and "ivr-sip.service" not in on(tmp_path)
        second = driver(tmp_path, "finish")
        assert second.returncode == 0, second.stderr
        assert set(on(tmp_path).values()) == {NEW} and len(on(tmp_path)) == 3
        assert not place.stopped.exists()
    assert watch.gaps_ms == []


@pytest.mark.parametrize(
    "kill_at", [pytest.param(2, marks=pytest.mark.long), 4, pytest.param(6, marks=pytest.mark.long)]
)
def test_killed_on_its_way_back_it_still_goes_back(tmp_path: Path, kill_at: int) -> None:
    with box(tmp_path) as ports, Watch(ports) as watch:
        tell(tmp_path, NEW, bad=["disk"])
        before = driver(tmp_path, "run", 999).stdout.splitlines()
        back = next(n for n, event in enumerate(before) if event.startswith("Going back"))
        Tool(tmp_path).place.remove(NEW)
        assert driver(tmp_path, "run", back + kill_at).returncode == -9
        assert driver(tmp_path, "resume").returncode == 0
        assert set(on(tmp_path).values()) == {OLD} and len(on(tmp_path)) == 3
        assert (tmp_path / "current").readlink().name == OLD
    assert watch.gaps_ms == []


def test_what_was_laid_by_half_is_cleared_away_and_that_is_a_success(tmp_path: Path) -> None:
    """Status 0: nothing failed, so no service manager shows a failure or tries again."""
    place = Place(tmp_path)
    SmallSource(OLD).lay(place)
    place.point(OLD)
    SmallSource(NEW).lay(place)
    Journal(place).write(Progress(OLD, NEW))
    (settings := tmp_path / "ivr.toml").write_text(f'data_dir = "{tmp_path / "data"}"\n')
    words = ["--settings", str(settings), "upgrade", "--resume", "--root", str(tmp_path), "--json"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    told = orjson.loads(done.stdout.splitlines()[-1])
    assert (told["cleared"], told["in_force"], told["why"]) == (NEW, OLD, "")
    assert f"release {NEW} has been cleared away and {OLD} is in force" in done.stderr
    assert not place.folder(NEW).exists() and Journal(place).read() is None
    again = CliRunner().invoke(main, words)
    assert again.exit_code == 2 and "nothing to resume" in again.output


def test_two_do_not_upgrade_at_once(tmp_path: Path) -> None:
    with box(tmp_path) as ports:
        calls = tmp_path / f"calls-{ports[0]}"
        calls.write_text("1")
        tool = Tool(tmp_path)
        work = threading.Thread(target=tool.run, args=("run",))
        work.start()
        until(lambda: status_of_draining(ports[0]))
        with pytest.raises(UserError, match="Another upgrade"):
            Tool(tmp_path).run("run")
        calls.write_text("0")
        work.join(30)
        assert set(on(tmp_path).values()) == {NEW}


def driver(root: Path, what: str, kill_at: int | str = "") -> subprocess.CompletedProcess[str]:
    """An upgrade in a process of its own."""
    command = [sys.executable, "-m", "tests.releases_kit", str(root), what, str(kill_at)]
    here = Path(__file__).parent.parent
    return subprocess.run(
        command, cwd=here, capture_output=True, text=True, timeout=90, check=False
    )
