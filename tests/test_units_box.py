"""systemd/ on a booted box: units start in order, calls are answered, whoever dies or hangs comes back,
a stop drains. The code is this checkout's, seen read-only; tests of install.sh make a true release.
"""

from __future__ import annotations

import re
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.box_kit import Box, box

pytestmark = [pytest.mark.server, pytest.mark.long]

ROOT = Path(__file__).parent.parent
SEEN = ("appliance", "migrations", "systemd", "installer", "examples", "pyproject.toml")
ENABLED = ("postgres", "redis", "pools", "worker@7000", "sip", "switch", "jobs", "admin")
COME_UP_S = 150.0
"""Everything at once, from a cold disk, on two cores that others use too."""
WATCHDOG_S = 15.0
"""Of ivr-worker@.service."""
INSTALL = r"""
set -e
mkdir -p /opt/ivr/releases/test
python3 -m venv --without-pip --system-site-packages /opt/ivr/releases/test/.venv
ln -s releases/test /opt/ivr/current
cd /opt/ivr/current/.venv
echo /opt/ivr/source >/usr/local/lib/python3.11/dist-packages/ivr.pth
printf '#!%s/bin/python\nfrom appliance.__main__ import main\nmain()\n' "$PWD" >bin/ivr
chmod 755 bin/ivr
find /opt/ivr/source/systemd -maxdepth 1 -type f -name 'ivr*' -exec cp -t /etc/systemd/system {} +
systemd-sysusers /opt/ivr/source/systemd/sysusers.d/ivr.conf
systemd-tmpfiles --create /opt/ivr/source/systemd/tmpfiles.d/ivr.conf
printf 'data_dir = "/var/lib/ivr"\n' | install -m 640 -o root -g ivr /dev/stdin /etc/ivr/ivr.toml
as_ivr() { runuser -u ivr -- env IVR_SETTINGS=/etc/ivr/ivr.toml "$@"; }
ivr() { as_ivr bin/ivr "$@"; }
as_ivr bin/python -c 'from appliance import settings as s; s.load().secret(s.ENGINES_SECRET)'
systemctl daemon-reload
systemctl start ivr-postgres ivr-pools
ivr db upgrade
until systemctl status ivr-pools | grep -q 'servers are up'; do sleep 0.2; done
ivr seed
"""
CALL = """
import asyncio, sys
from appliance.telephony.callercontrol import CallerControl

async def ring(hold_s):
    async with await CallerControl.ring("sip:1001@127.0.0.1:5060") as caller:
        await caller.wait_for("answered", 30)
        await caller.wait_for("sound", 10)
        print("hears", flush=True)
        try:
            print((await caller.wait_for("ended", hold_s))["event"], flush=True)
        except TimeoutError:
            print("goes on", flush=True)
        await caller.hang_up()

asyncio.run(ring(float(sys.argv[1])))
"""
PYTHON = "/opt/ivr/current/.venv/bin/python"
IVR = "/opt/ivr/current/.venv/bin/ivr"
PACKAGES_OF_RELEASE = "/opt/ivr/releases/test/.venv/lib/python3.11/site-packages"
"""Where they truly are: the process that reads documents sees its environment alone."""


@pytest.fixture(scope="module")
def running() -> Iterator[Box]:
    """A box on which ``ivr.target`` has been started."""
    binds = {ROOT / name: f"/opt/ivr/source/{name}" for name in SEEN}
    binds[Path(sysconfig.get_path("purelib"))] = PACKAGES_OF_RELEASE
    with box(binds=binds) as started:
        version = started.run("python3 -c 'import sys; print(sys.version_info[:2])'").stdout
        if version.strip() != "(3, 11)":
            pytest.skip(f"the box has Python {version}, and our packages are for 3.11")
        started.run(INSTALL, timeout_s=COME_UP_S)
        started.run(f"systemctl enable -q {' '.join(f'ivr-{name}' for name in ENABLED)}")
        started.run("systemctl start ivr.target", timeout_s=COME_UP_S)
        (started.path / "root/call.py").write_text(CALL)
        yield started


def _show(on: Box, unit: str, name: str) -> str:
    return on.run(f"systemctl show --value -p {name} {unit}").stdout.strip()


def _pid(on: Box, name: str) -> int:
    return int(_show(on, f"ivr-{name}", "MainPID"))


def _until(what: str, holds: Callable[[], bool], timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > end:
            pytest.fail(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.3)


def _log(on: Box, *units: str) -> str:
    chosen = " ".join(f"-u ivr-{unit}" for unit in units)
    return on.run(f"journalctl --no-pager -o cat {chosen}").stdout


def test_all_come_up_in_the_order_of_their_dependence(running: Box) -> None:
    at = {
        name: int(_show(running, f"ivr-{name}", "ActiveEnterTimestampMonotonic"))
        for name in ENABLED
    }
    assert all(at.values()), at
    assert at["postgres"] < at["worker@7000"] < min(at["sip"], at["switch"])
    assert max(at["postgres"], at["redis"]) < min(at["jobs"], at["admin"])
    assert _show(running, "ivr.target", "ActiveState") == "active"
    assert "cycle" not in running.run("journalctl --no-pager -b -t systemd").stdout
    assert running.run("systemctl list-units --failed --no-legend 'ivr*'").stdout == ""


def test_a_call_is_answered(running: Box) -> None:
    assert running.run(f"{PYTHON} /root/call.py 1").stdout.split("\n")[0] == "hears"


def test_who_reads_what_strangers_send_sees_no_secret_of_others(running: Box) -> None:
    """Looked at from inside each unit's own view of the files."""

    def seen(name: str, folder: str) -> set[str]:
        look = f"nsenter -t {_pid(running, name)} -m ls {folder}"
        return set(running.run(look, check=False).stdout.split())

    every = set(running.run("ls /var/lib/ivr/secrets").stdout.split())
    assert every > {"media", "postgres-ivr", "switch", "event-socket"}
    assert seen("sip", "/var/lib/ivr/secrets") == {"media"}
    assert seen("sip", "/var/lib/ivr") == {"secrets"}
    assert seen("pools", "/var/lib/ivr/secrets") == {"engines"}
    assert seen("pools", "/etc/ivr") == set() and seen("pools", "/run/postgresql") == set()
    assert seen("pools", "/run/ivr-engines") == {"ivr.toml"}
    assert seen("pools", "/var/lib/ivr/recordings") == set()
    assert seen("pools", "/var/lib/ivr/postgres") == set()
    assert running.run("ls /var/lib/ivr/postgres").stdout
    assert seen("jobs", "/home") == set()


def test_jobs_read_a_document_in_a_process_that_shuts_itself_in(running: Box) -> None:
    """Landlock, limits and a filter of its own are allowed in that unit."""
    page = (
        "<html><body><h1>Moon tariff</h1><p>A call to the moon costs 42 rupees.</p></body></html>"
    )
    (running.path / "tmp/moon.html").write_text(page)
    as_ivr = f"runuser -u ivr -- env IVR_SETTINGS=/etc/ivr/ivr.toml {IVR}"
    running.run(
        f"{as_ivr} knowledge add helpline /tmp/moon.html --wait --json", timeout_s=COME_UP_S
    )
    found = running.run(f"{as_ivr} knowledge search helpline 'a call to the moon'").stdout
    assert "42 rupees" in found


GREEDY = """
systemd-run --quiet --collect --unit=ivr-test-greedy --slice=ivr-background.slice -p User=ivr {how} \\
    {where} bash -c 'for one in 1 2 3 4 5 6 7 8; do while :; do :; done & done; wait'
"""
AS_JOBS = "-p Nice=10 -p CPUSchedulingPolicy=batch -p IOSchedulingClass=idle -p OOMScoreAdjust=800"
ONE_CORE = "taskset -c 0"
CALLS = f"""
systemd-run --quiet --collect --unit=ivr-test-calls --slice=ivr-calls.slice \\
    {ONE_CORE} bash -c 'while :; do :; done & wait'
"""
MUCH_MORE = 10
"""Weights are 1000 to 20."""


def _spent(on: Box, unit: str) -> int:
    """What the processes of a unit have had of the cores, in clock ticks."""
    main = _pid(on, unit)
    children = (on.path / f"proc/{main}/task/{main}/children").read_text().split()
    stats = ((on.path / f"proc/{pid}/stat").read_text().split() for pid in children)
    return sum(int(stat[13]) + int(stat[14]) for stat in stats)


def test_who_can_wait_has_what_calls_leave_of_a_core_and_no_more_memory_than_is_written(
    running: Box,
) -> None:
    """By the weights and limits of the slices alone: nobody is nice here."""
    limit = running.run(
        "cd /sys/fs/cgroup; cat memory/ivr.slice/ivr-background.slice/memory.limit_in_bytes"
        " ivr.slice/ivr-background.slice/memory.max",
        check=False,
    ).stdout
    if not limit:
        pytest.skip("this machine's kernel gives a box no CPU and memory controllers")
    assert int(limit) == pytest.approx(0.35 * psutil.virtual_memory().total, rel=0.01)
    running.run(GREEDY.format(how="", where=ONE_CORE) + CALLS)
    try:
        time.sleep(3)
        calls, greedy = _spent(running, "test-calls"), _spent(running, "test-greedy")
    finally:
        running.run("systemctl stop ivr-test-greedy ivr-test-calls")
    assert calls > MUCH_MORE * greedy


@pytest.mark.long
def test_a_greedy_job_does_not_starve_a_call(running: Box) -> None:
    """Eight spinning processes with the shares of ivr-jobs, on the cores that the call is on."""
    running.run(GREEDY.format(how=AS_JOBS, where=""))
    try:
        running.run(f"{PYTHON} /root/call.py 12", timeout_s=60)
    finally:
        running.run("systemctl stop ivr-test-greedy")
    over = re.findall(r"media over: (\d+) ms in .* late (\d+),", _log(running, "sip"))[-1]
    heard_ms, late = map(int, over)
    assert heard_ms > 10_000
    assert late < heard_ms / 20 * 0.02  # of frames of 20 ms


def test_whoever_is_killed_or_hangs_comes_back(running: Box) -> None:
    """All at once: the worker stands still, every other main process is killed by -9."""
    before = {name: _pid(running, name) for name in ENABLED}
    worker = before["worker@7000"]
    others = " ".join(str(pid) for pid in before.values() if pid != worker)
    running.run(f"kill -STOP {worker}; kill -KILL {others}")

    def healed() -> bool:
        return all(
            _show(running, f"ivr-{name}", "ActiveState") == "active"
            and _pid(running, name) not in (0, before[name])
            for name in ENABLED
        )

    _until("all units run again", healed, WATCHDOG_S + COME_UP_S)
    assert "Watchdog timeout" in _log(running, "worker@7000")
    assert _show(running, "ivr-worker@7000", "NRestarts") == "1"
    test_a_call_is_answered(running)


def test_a_stop_lets_the_call_finish(running: Box) -> None:
    ringing = subprocess.Popen(
        [*running.enter, PYTHON, "/root/call.py", "12"], stdout=subprocess.PIPE, text=True
    )
    with ringing:
        assert ringing.stdout is not None
        assert ringing.stdout.readline() == "hears\n"
        running.run("systemctl stop --no-block ivr.target")
        _until(
            "ivr-sip drains",
            lambda: _show(running, "ivr-sip", "ActiveState") == "deactivating",
            5,
        )
        assert _show(running, "ivr-worker@7000", "ActiveState") == "active"
        assert _show(running, "ivr-pools", "ActiveState") == "active"
        assert _show(running, "ivr-sip", "StatusText") == "live calls finish"
        assert ringing.stdout.readline() == "goes on\n"
        assert ringing.wait(20) == 0
    _until(
        "all have stopped",
        lambda: all(_pid(running, name) == 0 for name in ENABLED),
        60,
    )
    for name in ENABLED:
        assert _show(running, f"ivr-{name}", "Result") == "success", name
    assert "goes on" not in _log(running, "worker@7000")
    assert _log(running, "worker@7000").count("call over: NORMAL_CLEARING, by caller") >= 3


TRUNK = "198.51.100.0/28"
SITE = r"""
mkdir -p /etc/freeswitch/site
cd /etc/freeswitch/site
{
    echo '<include>'
    for one in sip_port=5060 sip_tls_port=5061 phones_port=5070 phones_tls_port=5071 \
        rtp_first_port=16384 rtp_last_port=20000; do
        echo "<X-PRE-PROCESS cmd=\"set\" data=\"$one\"/>"
    done
    echo '</include>'
} >vars.xml
echo '<include><list name="trunks" default="deny"></list></include>' >acl.xml
IVR_SETTINGS=/etc/ivr/ivr.toml /opt/ivr/current/.venv/bin/ivr firewall apply --yes
systemctl start ivr-firewall ivr-firewall-refresh.path
"""


def test_the_firewall_follows_the_trunks_and_comes_back_at_boot(running: Box) -> None:
    """As the unit of a user that is no root cannot do it: `ivr switch` only writes the list."""

    def rules() -> str:
        return running.run("nft list table inet ivr", check=False).stdout

    running.run(SITE)
    assert "policy drop" in rules()
    assert TRUNK not in rules()
    node = f'<node type="allow" cidr="{TRUNK}"/>'
    running.run(f"sed -i 's|</list>|{node}</list>|' /etc/freeswitch/site/acl.xml")
    _until("the trunk is let in", lambda: TRUNK in rules(), COME_UP_S)
    running.run("systemctl stop ivr-firewall")
    assert rules() == ""
    running.run("systemctl start ivr-firewall")  # as at boot, from the file that was kept
    assert TRUNK in rules()
