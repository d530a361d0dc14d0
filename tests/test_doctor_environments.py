"""What `ivr doctor` says of engines' environments: of another lock, and of no use any more."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from appliance.ops.doctor.check import Finding, State
from appliance.ops.doctor.environments import findings
from appliance.settings import Run, Settings


@pytest.fixture
def made_at(tmp_path: Path) -> Path:
    """As the installer leaves them: NAME -> NAME-HASH, made of a lock that lies in it."""
    for name in ("stt", "tts"):
        folder = tmp_path / "engines" / f"{name}-0123456789ab"
        (folder / "lib").mkdir(parents=True)
        (folder / "lib" / "weights.so").write_bytes(bytes(300_000))
        (folder / "lock").write_text(f"{name} 1.0\n")
        (tmp_path / "engines" / name).symlink_to(folder.name)
    (share := tmp_path / "share").mkdir()
    for name in ("stt", "tts"):
        (share / f"requirements-{name}.lock").write_text(f"{name} 1.0\n")
    return tmp_path / "engines"


def found(made_at: Path, *used: str) -> list[Finding]:
    runs = tuple(Run(engine="x", python=str(made_at / name / "bin" / "python")) for name in used)
    settings = Settings.model_validate({"engines": {"stt": {"run": runs}}})
    return findings(settings, made_at.parent / "share", made_at)


def test_all_that_are_used_are_good(made_at: Path) -> None:
    states = [one.state for one in found(made_at, "stt", "tts")]
    assert states == [State.GOOD, State.GOOD]


def test_what_no_setting_names_is_said_with_its_size_and_how_it_goes(made_at: Path) -> None:
    good, unused = found(made_at, "stt")
    assert good.state is State.GOOD
    assert (unused.state, unused.code) == (State.WARNING, "unused-environment")
    assert f"{made_at}/tts, which takes 0.0 GB" in unused.told
    assert 300_000 <= unused.detail["bytes"] < 600_000
    command = unused.advice.partition("As root: ")[2]
    subprocess.run(shlex.split(command), check=True)
    assert sorted(path.name for path in made_at.iterdir()) == ["stt", "stt-0123456789ab"]
    assert [one.state for one in found(made_at, "stt")] == [State.GOOD]


def test_one_that_is_named_by_its_folder_is_used(made_at: Path) -> None:
    assert {one.state for one in found(made_at, "stt", "tts-0123456789ab")} == {State.GOOD}


def test_what_is_half_made_or_somebodys_own_is_let_alone(made_at: Path) -> None:
    (made_at / "tts-0123456789ab" / "lock").unlink()
    (made_at / "mine").mkdir()
    (made_at / "gone").symlink_to("nowhere")
    assert [one.state for one in found(made_at, "stt")] == [State.GOOD]


def test_where_there_are_none_nothing_is_looked_at(tmp_path: Path) -> None:
    (one,) = findings(Settings(), tmp_path, tmp_path / "engines")
    assert one.state is State.SKIPPED


def test_what_another_lock_needs_is_a_command_to_copy(made_at: Path) -> None:
    (made_at.parent / "share" / "requirements-stt.lock").write_text("stt 1.1\n")
    (old,) = [one for one in found(made_at, "stt", "tts") if one.state is State.WARNING]
    assert old.code == "older-environment" and str(made_at / "stt") in old.told
    assert f"{made_at.parent}/share/install.sh --offline BUNDLE" in old.advice
