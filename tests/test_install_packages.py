"""installer/lockedpackages.py: which files of another environment a release takes over."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

from installer_kit import PARTS, ROOT

SITE = Path(sysconfig.get_path("purelib"))
TIMEOUT_S = 60.0


def listed(folder: Path, *locks: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PARTS / "lockedpackages.py"), str(folder), *map(str, locks)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def test_the_locked_packages_and_no_others() -> None:
    """This environment holds more: what tests alone need."""
    done = listed(SITE, ROOT / "requirements-box.lock", ROOT / "requirements-weights.lock")
    assert done.returncode == 0, done.stderr
    files = done.stdout.rstrip("\0").split("\0")
    assert {"click/core.py", "numpy/__init__.py"} <= set(files)
    assert not any(name.startswith(("..", "/", "pytest/", "mypy/")) for name in files)
    assert all((SITE / name).exists() for name in files)


def test_another_version_or_none_is_said(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text("click==0.1 \\\n    --hash=sha256:00\nNo_Such.Thing[extra]==2 \\\n")
    done = listed(SITE, lock)
    assert done.returncode == 1 and done.stdout == ""
    assert "click==0.1, here " in done.stderr and "no-such-thing==2, here none" in done.stderr
