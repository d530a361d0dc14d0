"""install.sh's own parts: usage, shellcheck, how a step fails, and that two lists are one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from installer_kit import PARTS, ROOT, bash

from appliance import shipped

STEP = """
LOGS={folder}/log
thing_done() {{ [ -f {folder}/done ]; }}
thing_do() {{ echo "working on $$"; touch {folder}/half; {body}; touch {folder}/done; }}
thing_undo() {{ rm -f {folder}/half; }}
thing_plan() {{ echo "a thing"; }}
thing_fix() {{ echo "turn it off and on"; }}
"""


def run_step(folder: Path, body: str, after: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "log").mkdir(exist_ok=True)
    script = STEP.format(folder=folder, body=body) + 'step thing "The thing"\n' + after
    return bash(script, parts=("say", "steps"))


def test_a_step_is_done_once(tmp_path: Path) -> None:
    first, second = run_step(tmp_path, "true"), run_step(tmp_path, "false")
    assert "ok (" in first.stdout and first.returncode == 0
    assert "already done" in second.stdout and second.returncode == 0
    assert "working on" in (tmp_path / "log/install-thing.log").read_text()


@pytest.mark.parametrize("body", ["false", "no-such-program", "(exit 7)", "ls /nowhere | cat"])
def test_a_step_that_fails_stops_names_itself_and_is_undone(tmp_path: Path, body: str) -> None:
    done = run_step(tmp_path, f"{body}; echo too-far >>{tmp_path}/far", "echo next step")
    assert done.returncode == 1
    assert "FAILED" in done.stdout and "next step" not in done.stdout
    for words in ("step thing (The thing) failed", "install-thing.log", "turn it off and on"):
        assert words in done.stderr
    assert not (tmp_path / "half").exists(), "undone"
    assert not (tmp_path / "far").exists(), "the first failure ends the step"
    assert run_step(tmp_path, "true").returncode == 0, "and the next run mends it"


def test_a_step_that_is_interrupted_is_undone(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    trap = "trap interrupted INT TERM HUP\n"
    parts = "\n".join(f". {PARTS}/{part}.sh" for part in ("say", "steps"))
    script = STEP.format(folder=tmp_path, body="sleep 1") + trap + 'step thing "The thing"'
    running = subprocess.Popen(
        ["bash", "-c", f'set -euo pipefail; DRY_RUN="" QUIET=""\n{parts}\n{script}'],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + 20
    while not (tmp_path / "half").exists() and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGTERM)
    _, said = running.communicate(timeout=20)
    assert running.returncode == 1
    assert "stopped in step thing" in said and not (tmp_path / "half").exists()


def test_a_dry_run_does_nothing(tmp_path: Path) -> None:
    script = STEP.format(folder=tmp_path, body="true") + 'DRY_RUN=1\nstep thing "The thing"'
    done = bash(script, parts=("say", "steps"))
    assert "a thing" in done.stdout and not (tmp_path / "done").exists()


def test_files_are_written_whole_and_left_alone_when_they_say_the_same(tmp_path: Path) -> None:
    file = tmp_path / "file"
    owner = f"{file.owner() if file.exists() else 'root'}:root"
    if os.geteuid() != 0:
        pytest.skip("gives files to root")
    write = f"echo hello | write_file {file} 640 {owner}"
    assert bash(write, parts=("say",)).returncode == 0
    before = file.stat()
    assert bash(write, parts=("say",)).returncode == 0
    assert file.stat().st_ino == before.st_ino and file.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [file]


def test_the_shell_is_clean() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("needs shellcheck (apt-get install shellcheck)")
    files = [ROOT / "install.sh", *sorted(PARTS.glob("*.sh"))]
    done = subprocess.run(
        ["shellcheck", "-x", *map(str, files)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout


def test_every_step_says_all_five_things() -> None:
    names = [
        line.split()[1]
        for line in (ROOT / "install.sh").read_text().splitlines()
        if line.startswith("    step ")
    ]
    assert len(names) > 10
    text = "".join(file.read_text() for file in PARTS.glob("*.sh"))
    for name in names:
        for what in ("done", "do", "undo", "plan", "fix"):
            assert f"\n{name}_{what}() " in text, f"{name}_{what}"


def test_usage() -> None:
    told = subprocess.run(
        [ROOT / "install.sh", "--help"], capture_output=True, text=True, timeout=20
    )
    assert told.returncode == 0 and "Examples:" in told.stdout
    for arguments in (["--frobnicate"], ["--answers"], ["--json"], ["--keep-data"]):
        wrong = subprocess.run(
            [ROOT / "install.sh", *arguments], capture_output=True, text=True, timeout=20
        )
        assert wrong.returncode == 2 and "--help" in wrong.stderr


def test_what_goes_into_a_release_is_one_list() -> None:
    told = bash("shared_names", parts=("say", "places", "python"))
    assert told.stdout.split() == list(shipped.NAMES)


def test_the_lock_of_a_box_is_part_of_the_whole_lock() -> None:
    def pins(name: str) -> set[str]:
        lines = (ROOT / name).read_text().splitlines()
        return {line.split(" ")[0] for line in lines if "==" in line and line[0].isalnum()}

    box, whole = pins("requirements-box.lock"), pins("requirements.lock")
    assert box < whole
    assert not {"pytest", "mypy", "playwright"} & {pin.split("==")[0] for pin in box}
