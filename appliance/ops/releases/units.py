"""The service manager, as an upgrade needs it; systemd's own is the only one that boxes have."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import orjson

from appliance.errors import UserError
from appliance.files import write_whole

UNITS = Path("/etc/systemd/system")
QUICK_TIMEOUT_S = 30.0
START_TIMEOUT_S = 300.0
"""Of the longest: an engine that loads its model. systemd's own limit of the unit ends it before."""
STOP_MARGIN_S = 90.0
"""Above ``worker.drain_timeout_s``: systemd's own limit of the unit ends it before."""
_OURS = re.compile(r"ivr-(?P<kind>[a-z]+)(?:@(?P<instance>[0-9]+))?\.service")
_RELEASE = re.compile(r"/releases/([^/\0]+)/\.venv/")


@dataclass(frozen=True, slots=True)
class Unit:
    """One of our services that runs."""

    name: str
    """``ivr-worker@7000.service``."""
    release: str
    """Whose code it runs, from its command line; empty: that cannot be seen."""

    @property
    def kind(self) -> str:
        """``worker``, ``stt``, ``jobs``, …"""
        match = _OURS.fullmatch(self.name)
        return match["kind"] if match else ""

    @property
    def port(self) -> int | None:
        """The instance of a template."""
        match = _OURS.fullmatch(self.name)
        return int(match["instance"]) if match and match["instance"] else None


class Units(Protocol):
    """What an upgrade asks of a service manager. Each blocks until it is done and raises UserError
    where it is not."""

    def running(self) -> tuple[Unit, ...]:
        """Our services that run now."""

    def start(self, name: str) -> None:
        """Start, and wait until it says that it is ready."""

    def stop(self, name: str) -> None:
        """End it as its own code wants: a worker finishes its calls first."""

    def install(self, folder: Path) -> None:
        """Take the unit files of ``folder``, where they differ."""


class Systemctl:
    """systemd."""

    def __init__(self, drain_s: float, units: Path = UNITS) -> None:
        """``drain_s``: how long a worker finishes its calls."""
        self._stop_timeout_s = drain_s + STOP_MARGIN_S
        self._units = units

    def running(self) -> tuple[Unit, ...]:
        listed = orjson.loads(
            _systemctl(
                "list-units", "ivr-*.service", "--state=active,activating,reloading,deactivating",
                "--output=json", "--no-pager", timeout_s=QUICK_TIMEOUT_S,
            )
        )  # fmt: skip
        names = [str(one["unit"]) for one in listed if _OURS.fullmatch(str(one["unit"]))]
        return tuple(Unit(name, release_of(self._pid(name))) for name in sorted(names))

    def _pid(self, name: str) -> int:
        command = ("show", name, "--property=MainPID", "--value")
        return int(_systemctl(*command, timeout_s=QUICK_TIMEOUT_S).strip() or 0)

    def start(self, name: str) -> None:
        _systemctl("start", name, timeout_s=START_TIMEOUT_S)

    def stop(self, name: str) -> None:
        _systemctl("stop", name, timeout_s=self._stop_timeout_s)

    def install(self, folder: Path) -> None:
        changed = False
        for file in sorted(folder.glob("ivr*")) if folder.is_dir() else ():
            there = self._units / file.name
            if file.is_file() and (not there.exists() or there.read_bytes() != file.read_bytes()):
                write_whole(there, file.read_bytes(), mode=0o644, sync=True)
                changed = True
        if changed:
            _systemctl("daemon-reload", timeout_s=QUICK_TIMEOUT_S)


def _systemctl(*arguments: str, timeout_s: float) -> str:
    try:
        done = subprocess.run(
            ["systemctl", *arguments],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        raise UserError(
            f"systemctl {' '.join(arguments)} was not done in {timeout_s:.0f} s."
        ) from e
    except OSError as e:
        raise UserError(f"systemctl cannot be run: {e.strerror}.") from e
    if done.returncode:
        last = done.stderr.strip().splitlines()[:1]
        raise UserError(f"systemctl {' '.join(arguments)} failed: {' '.join(last)}")
    return done.stdout


def release_of(pid: int) -> str:
    """The release whose environment a process runs from; empty: none, or it has gone.

    Programs of an environment name its interpreter by its own path, so that this holds after
    ``current`` has been switched.
    """
    try:
        said = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    found = _RELEASE.search(said.decode("utf-8", "replace"))
    return found[1] if found else ""
