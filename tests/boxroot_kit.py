"""The root of a box: Debian, or Ubuntu, as debootstrap makes it, once a machine for each set of
packages."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import pytest

ROOTS = Path("/var/tmp/ivr-test-boxes")
BASE = (
    *("systemd", "systemd-sysv", "dbus", "ca-certificates", "iproute2", "procps"),
    *("python3", "python3-venv", "netbase", "tzdata", "openssl"),
)
"""A machine on which nothing has been installed yet."""
INSTALLED = (
    *("flite", "libflite1", "espeak-ng", "nftables", "fail2ban", "python3-systemd"),
    "redis-server",
)
"""What install.sh brings where it is missing: with these a box needs no mirror."""
BUILD_TIMEOUT_S = 420.0
FETCH_TIMEOUT_S = 60.0
_MASKED = (
    *("getty@tty1.service", "serial-getty@ttyS0.service", "console-getty.service"),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "systemd-networkd-wait-online.service"),
    *("systemd-udevd.service", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket"),
    *("systemd-modules-load.service", "systemd-sysctl.service", "systemd-random-seed.service"),
)


@dataclass(frozen=True, slots=True)
class System:
    """What debootstrap makes a root of."""

    suite: str
    mirror: str = ""
    """Empty: debootstrap's own."""
    components: str = "main"
    keyring: tuple[str, str] = ("", "")
    """A package below the mirror that has its keys, and its SHA-256; empty: debootstrap has them."""
    updates: str = ""
    """A suite more that apt of the box knows: what was mended since."""

    def make(self, packages: tuple[str, ...], to: Path) -> None:
        """Raises subprocess.CalledProcessError, and URLError where the keys cannot be had."""
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}"]
        with tempfile.TemporaryDirectory() as folder:
            command += [f"--components={self.components}"]
            if self.keyring[0]:
                command += [f"--keyring={self._keys(Path(folder))}"]
            command += [self.suite, str(to), *filter(None, [self.mirror])]
            if self.mirror:
                command += [UBUNTU_SCRIPT]
            subprocess.run(command, check=True, capture_output=True, timeout=BUILD_TIMEOUT_S)
        if self.updates:
            with (to / "etc/apt/sources.list").open("a") as sources:
                sources.write(
                    f"deb {self.mirror} {self.updates} {self.components.replace(',', ' ')}\n"
                )

    def _keys(self, folder: Path) -> Path:
        name, expected = self.keyring
        with urllib.request.urlopen(f"{self.mirror}/{name}", timeout=FETCH_TIMEOUT_S) as answer:
            found = answer.read()
        if hashlib.sha256(found).hexdigest() != expected:
            pytest.fail(f"{name} is not the package whose hash stands here")
        (folder / "keys.deb").write_bytes(found)
        subprocess.run(
            ["dpkg-deb", "-x", str(folder / "keys.deb"), str(folder)],
            check=True, capture_output=True, timeout=FETCH_TIMEOUT_S,
        )  # fmt: skip
        return folder / "usr/share/keyrings/ubuntu-archive-keyring.gpg"


DEBIAN = System("bookworm")
UBUNTU_SCRIPT = "gutsy"
"""Debootstrap's for every Ubuntu; Debian 12's does not know the name of 24.04 yet."""
UBUNTU = System(
    "noble",
    "http://archive.ubuntu.com/ubuntu",
    "main,universe",
    (
        "pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb",
        "36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8",
    ),
    "noble-updates",
)


def root(packages: tuple[str, ...], system: System = DEBIAN) -> Path:
    """The root with ``BASE`` and ``packages``, made if it is not there; else the test is skipped."""
    ROOTS.mkdir(mode=0o755, parents=True, exist_ok=True)
    wanted = (*BASE, *packages)
    key = hashlib.sha256(" ".join((system.suite, *wanted)).encode()).hexdigest()[:12]
    place = ROOTS / f"{system.suite}-{key}"
    with (ROOTS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            _make(place, wanted, system)
    return place


def _make(place: Path, packages: tuple[str, ...], system: System) -> None:
    made = place.with_suffix(f".{os.getpid()}")
    try:
        system.make(packages, made)
        for unit in _MASKED:
            (made / "etc/systemd/system" / unit).symlink_to("/dev/null")
        (made / "etc/machine-id").write_text("")
        shutil.rmtree(made / "var/cache/apt/archives", ignore_errors=True)
        made.rename(place)
    except subprocess.CalledProcessError as e:
        said = (e.stdout + e.stderr).decode(errors="replace")[-500:]
        pytest.skip(f"no root for a box: debootstrap failed, no mirror in reach? {said}")
    except URLError as e:
        pytest.skip(f"no root for a box: {system.mirror} is not in reach: {e}")
    finally:
        shutil.rmtree(made, ignore_errors=True)
