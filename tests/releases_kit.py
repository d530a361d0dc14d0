"""Releases and services for tests of upgrades: a service manager that keeps to the unit files, and a
small release whose ``ivr`` is a program of a few lines.

Run as a program it upgrades small releases, and kills itself at the moment that a test names: before
the n-th thing that it does, or before what is written so:

    python -m tests.releases_kit ROOT run|resume|finish [KILL_AT]
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import orjson

from appliance.errors import UserError
from appliance.ops.releases.health import Doctor
from appliance.ops.releases.release import Place, Release
from appliance.ops.releases.units import Unit, release_of
from appliance.ops.releases.upgrade import Done, Options, Upgrade
from appliance.settings import Settings, load

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
POLL_S = 0.02
OLD, NEW = "0.1.0", "0.2.0"
PORTS_FILE = "ports.json"


class ProcessUnits:
    """Starts what ``ExecStart`` of a unit file says and waits for its READY=1; a process belongs to
    nobody once it runs, so that it outlives whoever upgrades."""

    def __init__(
        self, root: Path, environment: Mapping[str, str], event: Callable[[str], None]
    ) -> None:
        """``root`` stands for /opt/ivr; ``event``: told of each thing that is about to be done."""
        self._root = root
        self._folder = root / "units"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._environment = dict(environment)
        self._event = event

    def running(self) -> tuple[Unit, ...]:
        found = []
        for file in sorted(self._folder.glob("*.pid")):
            pid = int(file.read_text())
            if _alive(pid):
                found.append(Unit(file.stem, release_of(pid)))
        return tuple(found)

    def start(self, name: str) -> None:
        self._event(f"start {name}")
        if name in {unit.name for unit in self.running()}:
            return
        command, environment = self._unit(name)
        ready = f"ivr-test-{secrets.token_hex(8)}"  # abstract: a path may be too long for a socket
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(f"\0{ready}")
            told.settimeout(0.1)
            with (self._folder / f"{name}.log").open("ab") as log:
                pid = _spawn(command, environment | {"NOTIFY_SOCKET": f"@{ready}"}, log)
            (self._folder / f"{name}.pid").write_text(str(pid))
            self._until_ready(told, pid, name)

    def _until_ready(self, told: socket.socket, pid: int, name: str) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            try:
                if b"READY=1" in told.recv(4096):
                    return
            except TimeoutError:
                pass
            if not _alive(pid):
                raise UserError(f"systemctl start {name} failed: it ended.")
            if time.monotonic() > deadline:
                raise UserError(f"systemctl start {name} was not done.")

    def stop(self, name: str) -> None:
        self._event(f"stop {name}")
        file = self._folder / f"{name}.pid"
        if not file.exists():
            return
        pid = int(file.read_text())
        if _alive(pid):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while _alive(pid):
            if time.monotonic() > deadline:
                raise UserError(f"systemctl stop {name} was not done.")
            time.sleep(POLL_S)
        file.unlink()

    def install(self, folder: Path) -> None:
        self._event(f"install {folder.parents[1].name}")

    def close(self) -> None:
        """End everything."""
        for unit in self.running():
            pid = int((self._folder / f"{unit.name}.pid").read_text())
            os.kill(pid, signal.SIGKILL)

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(errors="replace")

    def _unit(self, name: str) -> tuple[list[str], dict[str, str]]:
        """The command and the environment that its unit file gives it."""
        instance = re.sub(r".*@(.*)\.service", r"\1", name)
        template = re.sub(r"@.*\.service", "@.service", name)
        text = (self._root / "current" / "share" / "systemd" / template).read_text()
        text = text.replace("%i", instance).replace("/opt/ivr/", f"{self._root}/")
        (command,) = re.findall(r"^ExecStart=(.*)$", text, re.M)
        named = dict(re.findall(r"^Environment=([A-Z_]+)=(.*)$", text, re.M))
        named.pop("IVR_SETTINGS", None)
        named.pop("XDG_CACHE_HOME", None)
        return shlex.split(command), self._environment | named


def _spawn(command: list[str], environment: Mapping[str, str], log: IO[bytes]) -> int:
    """A process that is nobody's child."""
    starter = (
        "import os, subprocess, sys\n"
        "p = subprocess.Popen(sys.argv[1:], start_new_session=True, stdout=2)\n"
        "os.write(1, str(p.pid).encode())\n"
        "os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", starter, *command],
        stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, check=True,
        env=dict(environment), cwd="/", timeout=READY_TIMEOUT_S,
    )  # fmt: skip
    return int(done.stdout)


def _alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# --- small releases -------------------------------------------------------------------------------

_IVR = """#!{python} -S
import json, os, pathlib, signal, socket, sys, time
root, version, words = pathlib.Path({root!r}), {version!r}, sys.argv[1:]
def ready():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))
with (root / "log").open("a") as log:
    log.write(version + " " + " ".join(words) + "\\n")
told = {{}}
try:
    told = json.loads((root / (version + ".json")).read_text())
except OSError:
    pass
if words == ["--version"]:
    print("ivr, version " + version)
elif words == ["doctor", "--json"]:
    bad = [{{"check": one, "code": one, "state": "bad"}} for one in told.get("bad", [])]
    print(json.dumps({{"good": not bad, "findings": bad}}))
    sys.exit(bool(bad))
elif words[:2] == ["doctor", "--call"]:
    bad = [{{"state": "bad", "what": "it was silent"}}] if told.get("call") else []
    print(json.dumps({{"good": not bad, "findings": bad}}))
    sys.exit(bool(bad))
elif words[:2] == ["releases", "replay"]:
    print(json.dumps({{"answers": told.get("answers", [])}}))
elif words[:2] == ["releases", "migrate"] or words[0] == "backup":
    sys.exit(told.get(words[0], 0))
elif words == ["worker"]:
    if told.get("worker") and "IVR_WORKER__RECORDINGS" not in os.environ:
        sys.exit("sick")
    import http.server, threading
    status, calls = "ok", root / ("calls-" + os.environ["IVR_WORKER__PORT"])
    def live():
        try:
            return int(calls.read_text())
        except FileNotFoundError:
            return 0
        except ValueError:
            return 1  # it is just being written
    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({{"status": status, "calls": live(), "version": version}}).encode()
            self.send_response(200 if status == "ok" else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *a):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["IVR_WORKER__PORT"])), Health)
    def drain(*a):
        global status
        status = "draining"
        def wait():
            while live():
                time.sleep(0.02)
            server.shutdown()
        threading.Thread(target=wait).start()
    signal.signal(signal.SIGTERM, drain)
    if "NOTIFY_SOCKET" in os.environ:
        ready()
    server.serve_forever(0.02)
else:
    signal.signal(signal.SIGTERM, lambda *a: os._exit(0))
    if "NOTIFY_SOCKET" in os.environ:
        ready()
    while True:
        signal.pause()
"""
_UNIT = "[Service]\nType=notify\n{more}ExecStart=/opt/ivr/current/.venv/bin/ivr {words}\n"


class SmallSource:
    """Makes a small release, as a bundle would become a whole one."""

    def __init__(self, version: str) -> None:
        self.version = version

    def name(self) -> str:
        return self.version

    def lay(self, place: Place) -> Release:
        folder = place.folder(self.version)
        programs = folder / ".venv" / "bin"
        programs.mkdir(parents=True, exist_ok=True)
        python = programs / "python"
        if not python.is_symlink():
            python.symlink_to(Path(sys.base_prefix, "bin", "python3"))
        text = _IVR.format(python=python, root=str(place.root), version=self.version)
        (programs / "ivr").write_text(text)
        (programs / "ivr").chmod(0o755)
        units = folder / "share" / "systemd"
        units.mkdir(parents=True, exist_ok=True)
        for name in ("worker@", "sip", "jobs", "pools"):
            more = "Environment=IVR_WORKER__PORT=%i\n" if "@" in name else ""
            text = _UNIT.format(more=more, words=name.strip("@"))
            (units / f"ivr-{name}.service").write_text(text)
        release = Release(self.version, "", "0004", "2026-11-21T10:00:00+00:00", self.version)
        place.complete(release)
        return release


def small_settings(root: Path, ports: list[int], workers: int) -> Settings:
    """Settings of a box with so many workers on the first ports, and a spare one on the next, if there
    is one; no database answers."""
    urls = orjson.dumps([f"ws://127.0.0.1:{port}" for port in ports[:workers]]).decode()
    (root / "data").mkdir(parents=True, exist_ok=True)
    environment = {
        "IVR_DATA_DIR": str(root / "data"),
        "IVR_DATABASE__URL": "postgresql://ivr@127.0.0.1:1/ivr",
        "IVR_SIP__WORKER_URLS": urls,
        "IVR_SWITCH__WORKER_URLS": urls,
        "IVR_WORKER__SPARE_PORT": str(next(iter(ports[workers:]), 0)),
        "IVR_BACKUP__RECIPIENTS": '["one"]',
    }
    return load(environ=environment)


def small_box(
    root: Path, ports: list[int], workers: int, more: tuple[str, ...] = ("sip", "jobs")
) -> None:
    """A box with the small release :data:`OLD` in force, its services running."""
    root.mkdir(parents=True, exist_ok=True)
    (root / PORTS_FILE).write_bytes(orjson.dumps([ports, workers]))
    place = Place(root)
    SmallSource(OLD).lay(place)
    place.point(OLD)
    units = ProcessUnits(root, _environ(), lambda text: None)
    for port in ports[:workers]:
        units.start(f"ivr-worker@{port}.service")
    for name in more:
        units.start(f"ivr-{name}.service")


def _environ() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("IVR_")}


class Tool:
    """An upgrade of small releases, as `ivr upgrade` would run it."""

    def __init__(self, root: Path, kill_at: str = "", options: Options | None = None) -> None:
        self.events: list[str] = []
        self._kill_at = kill_at
        self.place = Place(root)
        ports, workers = orjson.loads((root / PORTS_FILE).read_bytes())
        settings = small_settings(root, ports, workers)
        self.units = ProcessUnits(root, _environ(), self.event)
        self.work = Upgrade(
            self.place, settings, self.units, Doctor(self.place, settings.data_dir),
            options or Options(quiet_s=2.0, settle_s=0.2), self.event,
        )  # fmt: skip

    def event(self, text: str) -> None:
        """Note what is about to happen; die where the test says so."""
        self.events.append(text)
        print(text, flush=True)
        if self._kill_at in (str(len(self.events)), text):
            os.kill(os.getpid(), signal.SIGKILL)

    def run(self, what: str) -> Done:
        if what == "finish":
            return self.work.finish()
        return self.work.resume() if what == "resume" else self.work.run(SmallSource(NEW))


if __name__ == "__main__":
    try:
        Tool(Path(sys.argv[1]), (sys.argv[3:] or [""])[0]).run(sys.argv[2])
    except UserError as e:
        sys.exit(f"ivr: {e}")
