"""What a test needs to install into a box: the source as a folder of its own, Python packages, answers,
a FreeSWITCH of straw, and a caller on the box."""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from box_kit import INSTALLED, ROOTS, Box, box
from boxroot_kit import DEBIAN, UBUNTU, System
from installer_kit import ROOT
from spoken import word_errors

from appliance import shipped

STEPS = (ROOT / "install.sh").read_text().count("\n    step ")
SERVICES = ("worker@7000", "sip", "pools", "admin", "jobs", "postgres")
UNITS = tuple(f"ivr-{name}" for name in SERVICES)
"""Of a box without FreeSWITCH, on the embedded Postgres."""
LOCKS = ("requirements-box.lock", "requirements-weights.lock")
FETCH_TIMEOUT_S = 900.0
INSTALL_TIMEOUT_S = 900.0
STOP_S = 60.0
FIRST_BUNDLE = "first.tar"
POLL_S = 0.2
ANSWERS = {
    "PUBLIC_ADDRESS": "127.0.0.1",
    "FREESWITCH": "none",
    "PROFILE": "demo",
    "ADMIN_LOGIN": "asha",
    "REDIS": "package",
}
NOT_OURS = (
    *("/src", "/packages", "/wheels", "/debs", "/bundles", "/mnt", "/root", "/var/tmp"),
    *("/var/log/journal", "/var/lib/apt", "/var/cache", "/var/lib/dpkg", "/var/log/apt"),
    *("/var/log/dpkg.log", "/var/log/alternatives.log", "/var/lib/systemd", "/etc/ld.so.cache"),
    *("/var/log/fail2ban.log", "/var/lib/fail2ban"),
)
"""What a machine writes by itself, what packages that stay leave, and what a test has put there."""
PYTHON = "/opt/ivr/current/.venv/bin/python"
_CALL = """
import asyncio, pathlib, sys
from appliance.telephony.callercontrol import CallerControl

async def ask(caller, question):
    while question:
        await caller.play(pathlib.Path(question))
        await asyncio.sleep(7)

async def ring(hold_s, question):
    async with await CallerControl.ring("sip:1001@127.0.0.1:5060") as caller:
        await caller.wait_for("answered", 30)
        await caller.wait_for("sound", 20)
        print("hears", flush=True)
        asking = asyncio.create_task(ask(caller, question))
        ended = asyncio.create_task(caller.wait_for("ended", hold_s))
        told = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
        await asyncio.wait((ended, told), return_when="FIRST_COMPLETED")
        over = ended.done() and ended.exception() is None
        print("ended" if over else "goes on", flush=True)
        asking.cancel()
        ended.cancel()
        await caller.hang_up()

asyncio.run(ring(float(sys.argv[1]), "".join(sys.argv[2:])))
"""
_UNIT = "[Service]\nExecStart=/usr/bin/freeswitch\n[Install]\nWantedBy=multi-user.target\n"
_MAKE_USER = "#!/bin/sh\nid freeswitch >/dev/null 2>&1 || useradd --system freeswitch\n"


@dataclass(frozen=True)
class Site:
    """A box to install on."""

    box: Box
    packages: tuple[str, ...]
    """The option of install.sh that says where Python packages come from."""

    def answers(self, **changed: str) -> None:
        """Write ``/root/answers``."""
        lines = "".join(f"{name}={value}\n" for name, value in (ANSWERS | changed).items())
        (self.box.path / "root/answers").write_text(lines)

    @property
    def command(self) -> str:
        """The line that installs by the answers."""
        return f"/src/install.sh {' '.join(self.packages)} --answers /root/answers"

    def install(self, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run install.sh with the answers."""
        told = f"{self.command} {' '.join(options)}"
        return self.box.run(told, check=check, timeout_s=INSTALL_TIMEOUT_S)

    def run(self, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run install.sh with these options alone."""
        told = f"/src/install.sh {' '.join(options)}"
        return self.box.run(told, check=check, timeout_s=INSTALL_TIMEOUT_S)

    def killed(self, when: str) -> None:
        """Install, and ``kill -9`` everything of it once the line ``when`` succeeds."""
        self.box.run(f"systemd-run --quiet --unit=trial -p KillMode=control-group {self.command}")
        self.box.run(f"until {when}; do sleep 0.1; done", timeout_s=300)
        self.box.run("systemctl kill -s KILL trial; systemctl reset-failed trial || true")
        self.until("the installer is dead", lambda: not self.state("trial"), 20)

    def tree(self, *folders: str) -> dict[str, tuple[object, ...]]:
        """What has been written below ``folders`` (all of the disk), without what is nobody's."""
        found = self.box.written(*folders)
        return {name: facts for name, facts in found.items() if not name.startswith(NOT_OURS)}

    # --- what an installation is judged by, on any system ----------------------------------------

    def has_rung_itself(self, said: str) -> None:
        """``said`` by the installer: it heard the question, but for a word or two that its small
        recogniser mishears, and everything runs."""
        assert re.search(r"GOOD\s+Through ivr sip: answered \d+ ms after the question", said), said
        call = re.search(r"asked +(.+)\?\n.*\n\s+heard +(.+)\n", said)
        assert call and "opening hours" in call[1], said
        assert word_errors(call[1].lower(), call[2]) <= 2, said
        units = (*UNITS, "redis-server@ivr", "fail2ban", "ivr.target")
        states = self.box.run(f"systemctl is-active {' '.join(units)}").stdout.split()
        assert states == ["active"] * len(units), dict(zip(units, states, strict=True))
        assert not self.box.run("systemctl list-units --state=failed --no-legend 'ivr*'").stdout

    def stays_as_it_is(self) -> None:
        """Installed again, nothing is written, restarted or told a second time."""
        folders = ("/etc", "/opt/ivr", "/usr/local/bin", "/var/lib/ivr-installer")
        first, pids = self.tree(*folders), self.pids(*UNITS)
        again = self.install("--no-call").stdout
        second = self.tree(*folders)
        changed = {name for name in first | second if first.get(name) != second.get(name)}
        assert changed <= {"/var/lib/ivr-installer/doctor.txt"}, changed
        assert self.pids(*UNITS) == pids
        assert again.count("already done") == STEPS - 1 and "password:" not in again

    # --- services and calls -----------------------------------------------------------------------

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.box.run(f"systemctl show --value -p {name} {unit}").stdout.strip()

    def state(self, unit: str) -> bool:
        """Whether it is active or about to be."""
        return self.show(unit, "ActiveState") not in ("inactive", "failed")

    def pids(self, *units: str) -> dict[str, int]:
        """Of the main process of each; 0: none."""
        return {unit: int(self.show(unit, "MainPID")) for unit in units}

    def until(self, what: str, holds: Callable[[], bool], timeout_s: float) -> None:
        """Wait for something; what has not come by then fails the test."""
        end = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > end:
                pytest.fail(f"not within {timeout_s:g} s: {what}")
            time.sleep(POLL_S)

    @contextmanager
    def caller(
        self, hold_s: float, *, python: str = PYTHON, question: str = ""
    ) -> Iterator[Callable[..., str]]:
        """Somebody on the box who rings it and hears it by now; calling what is yielded waits until
        ``hold_s`` are over (``at_once``: does not), and tells how the call was then: ``goes on`` or
        ``ended``. ``question``: a sound file that is said again and again, for who is silent is hung
        up on."""
        (self.box.path / "root/call.py").write_text(_CALL)
        command = [*self.box.enter, python, "/root/call.py", str(hold_s), question]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
            assert process.stdin and process.stdout and process.stderr
            heard, told, trouble = process.stdout, process.stdin, process.stderr
            if heard.readline() != "hears\n":
                process.kill()
                pytest.fail(f"nobody was heard: {trouble.read()[-2000:]}")

            def end(*, at_once: bool = False) -> str:
                if at_once:
                    told.write("\n")
                    told.flush()
                return heard.readline().strip()

            yield end
            told.close()
            process.wait(STOP_S)


def snapshot(to: Path) -> Path:
    """The source as it is, apart from whoever works in it."""
    to.mkdir()
    for name in (*shipped.NAMES, "appliance", "pyproject.toml", "README.md"):
        found = ROOT / name
        if found.is_dir():
            shutil.copytree(found, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif found.exists():
            shutil.copy2(found, to / name)
    return to


def wheelhouse() -> Path:
    """The locked packages as files, fetched once a machine (pip's own cache is asked first)."""
    text = b"".join((ROOT / name).read_bytes() for name in LOCKS)
    place = ROOTS / f"wheels-{hashlib.sha256(text).hexdigest()[:12]}"
    ROOTS.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (ROOTS / "wheels.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            made = place.with_suffix(".new")
            shutil.rmtree(made, ignore_errors=True)
            for name in LOCKS:
                subprocess.run(
                    [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                     "--require-hashes", "-r", str(ROOT / name), "-d", str(made)],
                    check=True, capture_output=True, timeout=FETCH_TIMEOUT_S,
                )  # fmt: skip
            made.rename(place)
    return place


def freeswitch_of_straw(folder: Path) -> Path:
    """Packages of FreeSWITCH and mod_audio_stream by name: what they start takes no calls."""
    folder.mkdir(exist_ok=True)
    files = {
        "usr/bin/freeswitch": ("#!/bin/sh\nexec sleep infinity\n", 0o755),
        "lib/systemd/system/freeswitch.service": (_UNIT, 0o644),
        "etc/freeswitch/freeswitch.xml": ("<document>theirs</document>\n", 0o644),
    }
    _deb(folder, "freeswitch", files, _MAKE_USER)
    module = {"usr/lib/freeswitch/mod/mod_audio_stream.so": ("", 0o644)}
    _deb(folder, "mod-audio-stream", module)
    return folder


def _deb(folder: Path, name: str, files: dict[str, tuple[str, int]], postinst: str = "") -> None:
    """A Debian package of ``files``: their text and mode."""
    root = folder / f"{name}.d"
    control = f"Package: {name}\nVersion: 1.10.12\nArchitecture: all\nMaintainer: nobody\n"
    told = {"DEBIAN/control": (control + "Description: stands in for it\n", 0o644)} | files
    if postinst:
        told["DEBIAN/postinst"] = (postinst, 0o755)
    for path, (text, mode) in told.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
    build = ["dpkg-deb", "--build", "--root-owner-group", str(root), str(folder / f"{name}.deb")]
    subprocess.run(build, check=True, capture_output=True, timeout=60)
    shutil.rmtree(root)


def debs() -> Path:
    """What a bare box lacks, and all that it depends on, as apt fetches it: once a machine."""
    place = ROOTS / f"debs-{hashlib.sha256(' '.join(INSTALLED).encode()).hexdigest()[:12]}"
    if not place.exists():
        made = Path(tempfile.mkdtemp(prefix="debs-", dir=ROOTS))
        with box(packages=(), online=True) as bare:
            fetch = (
                "apt-get -qq update && apt-get install -y --download-only --no-install-recommends "
            )
            bare.run(fetch + " ".join(INSTALLED), timeout_s=FETCH_TIMEOUT_S)
            for deb in (bare.path / "var/cache/apt/archives").glob("*.deb"):
                shutil.copy(deb, made)
        made.chmod(0o755)
        made.rename(place)
    return place


@contextmanager
def site(tmp: Path, sources: Path | None = None) -> Iterator[Site]:
    """A box on which everything of Debian's is already, without a network; Python packages are those of
    the environment that runs this test. The quick one. ``sources``: it sees them as ``/sources``."""
    own = Path(sysconfig.get_path("purelib"))
    binds = {own: "/packages"} | ({sources: "/sources"} if sources else {})
    with _box(tmp, binds, INSTALLED, online=False) as made:
        version = made.run("python3 -c 'import sys; print(*sys.version_info[:2])'").stdout.split()
        if version != [*map(str, sys.version_info[:2])]:
            pytest.skip(f"the box has Python {version}, and our packages are for another")
        (made.path / "etc/apt/sources.list").write_text("")
        yield _site(made, ("--packages", "/packages"))


@contextmanager
def online_site(tmp: Path) -> Iterator[Site]:
    """A bare box that is online for apt, and has the locked packages as wheels."""
    with _box(tmp, {wheelhouse(): "/wheels"}, (), online=True) as made:
        yield _site(made, ("--wheels", "/wheels"))


@contextmanager
def ubuntu_site(tmp: Path) -> Iterator[Site]:
    """A bare Ubuntu that is online, for apt and for the package index."""
    with _box(tmp, {}, (), online=True, system=UBUNTU) as made:
        yield _site(made, ())


@contextmanager
def cut_off_site(tmp: Path, bundles: Path) -> Iterator[Site]:
    """A bare box without any network, and what somebody has brought: ``/bundles``."""
    with _box(tmp, {bundles: "/bundles"}, (), online=False) as made:
        yield _site(made, ("--offline", f"/bundles/{FIRST_BUNDLE}", "--key", "/bundles/key.pub"))


def _site(made: Box, packages: tuple[str, ...]) -> Site:
    found = Site(made, packages)
    found.answers()
    return found


@contextmanager
def _box(
    tmp: Path,
    binds: Mapping[Path, str],
    packages: tuple[str, ...],
    *,
    online: bool,
    system: System = DEBIAN,
) -> Iterator[Box]:
    ours = {snapshot(tmp / "source"): "/src", freeswitch_of_straw(tmp / "debs"): "/debs"}
    with box(packages=packages, binds={**ours, **binds}, online=online, system=system) as made:
        yield made
