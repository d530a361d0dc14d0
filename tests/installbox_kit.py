"""What a test needs to install into a box: the source as a folder of its own, the locked packages
fetched once a machine, answers, and what lies on the box."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from box_kit import ROOTS, Box, box
from installer_kit import ROOT

from appliance import shipped

LOCKS = ("requirements-box.lock", "requirements-weights.lock")
FETCH_TIMEOUT_S = 900.0
INSTALL_TIMEOUT_S = 900.0
PACKAGES = ("espeak-ng", "fail2ban", "iproute2", "nftables", "openssl", "python3-systemd")
"""On the box already, to spare each test their download; the installer brings the others itself."""
ANSWERS = {
    "PUBLIC_ADDRESS": "127.0.0.1",
    "FREESWITCH": "none",
    "PROFILE": "demo",
    "ADMIN_LOGIN": "asha",
    "REDIS": "package",
}
LEFT_OUT = ("/proc", "/sys", "/dev", "/run", "/tmp", "/src", "/wheels", "/debs", "/mnt")
NOT_OURS = (
    *("/var/log/journal", "/var/lib/apt", "/var/cache", "/var/lib/dpkg", "/var/log/apt"),
    *("/var/log/dpkg.log", "/var/log/alternatives.log", "/var/lib/systemd", "/etc/ld.so.cache"),
    *("/var/log/fail2ban.log", "/var/lib/fail2ban", "/var/tmp", "/root"),
)
"""What a machine writes by itself, and what packages that stay leave."""


@dataclass(frozen=True)
class Site:
    """A box to install on."""

    box: Box
    source: Path
    """What it sees as ``/src``."""
    wheels: Path

    def answers(self, **changed: str) -> None:
        """Write ``/root/answers``."""
        lines = "".join(f"{name}={value}\n" for name, value in (ANSWERS | changed).items())
        (self.box.path / "root/answers").write_text(lines)

    def install(self, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run install.sh with the answers, offline for pip."""
        told = ["--wheels", "/wheels", "--answers", "/root/answers", *options]
        return self.run(*told, check=check)

    def run(self, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.box.run(
            f"/src/install.sh {' '.join(options)}", check=check, timeout_s=INSTALL_TIMEOUT_S
        )

    def tree(self, *folders: str) -> dict[str, str]:
        """Every file below ``folders`` (all of the disk): mode, owner, and what is in it."""
        leave = " -o ".join(f"-path {name}" for name in LEFT_OUT)
        where = " ".join(folders) or "/"
        done = self.box.run(
            f"find {where} \\( {leave} -o -name __pycache__ \\) -prune -o"
            r" \( -type f -size -2M -printf '%p\t%m %u %g ' -exec sha256sum {} \; \) -o"
            r" -printf '%p\t%m %u %g %y %l\n'",
            timeout_s=300,
        )
        found = (line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line)
        return {name: what.split("  /")[0] for name, what in found if not name.startswith(NOT_OURS)}


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


@contextmanager
def site(tmp: Path, *, debs: Path | None = None) -> Iterator[Site]:
    """A Debian box that sees the source and the packages, and is online for apt."""
    source, wheels = snapshot(tmp / "source"), wheelhouse()
    binds = {source: "/src", wheels: "/wheels"} | ({debs: "/debs"} if debs else {})
    with box(packages=PACKAGES, binds=binds, online=True) as started:
        made = Site(started, source, wheels)
        made.answers()
        yield made
