"""Runs parts of the installer in bash, on facts of the test's making."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = ROOT / "installer"
TIMEOUT_S = 60.0
SYSTEM_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
"""Not ours: a FreeSWITCH of this machine is none of the faked one."""


def bash(
    script: str,
    *,
    parts: tuple[str, ...] = (),
    path: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run ``script`` after the named parts, with the programs in ``path`` before the machine's."""
    lines = ["set -euo pipefail", f"HERE={ROOT}", f"PARTS={PARTS}", "CLEANUP=()"]
    lines += ['DRY_RUN="" QUIET="" OFFLINE="" WHEELS="" BUNDLE=""', "declare -A ANSWER"]
    lines += [f". {PARTS}/{part}.sh" for part in parts]
    programs = f"{path}:" if path else ""
    return subprocess.run(
        ["bash", "-c", "\n".join([*lines, script])],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={"PATH": programs + SYSTEM_PATH, "LANG": "C.UTF-8", **(environment or {})},
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # so that a test can kill all of it
    )


def program(folder: Path, name: str, body: str) -> None:
    """A program ``name`` that does ``body``."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/bash\n{body}\n")
    file.chmod(0o755)
