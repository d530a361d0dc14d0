"""installer/engines.sh: environments of their own for engines, made of locks with hashes, kept over
upgrades; and the settings that run them, from the plan that `ivr models plan` makes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from installer_kit import PARTS, ROOT, bash

from appliance.checkpoints.gpu import Gpu
from appliance.ops.doctor import environments
from appliance.ops.doctor.check import State
from appliance.ops.keeping import groups
from appliance.ops.models.plan import Question, make_plan
from appliance.ops.models.plan_view import plan_as_json
from appliance.settings import Settings, load

LANGUAGES = ("hi", "en", "or")
STEP = ("say", "bundle", "questions", "places", "python", "configuration", "start", "engines")


def plan(tmp_path: Path) -> dict[str, object]:
    """Of a GPU of 80 GB."""
    settings = Settings.model_validate({"data_dir": tmp_path})
    gpu = Gpu(0, "H100", 80_000_000_000, 0)
    return plan_as_json(make_plan(settings, gpu, Question(10, 2048, LANGUAGES)))


def read_plan(folder: Path, said: dict[str, object]) -> None:
    subprocess.run(
        [sys.executable, PARTS / "modelplan.py", folder, "/opt/ivr/engines"],
        input=json.dumps(said), text=True, check=True, timeout=20,
    )  # fmt: skip


def test_the_plan_becomes_models_environments_and_settings(tmp_path: Path) -> None:
    read_plan(tmp_path, plan(tmp_path))
    models = (tmp_path / "models.plan").read_text().split()
    assert {"indicwhisper-hi", "indicwav2vec-or", "qwen2.5-7b-instruct"} < set(models)
    engines = (tmp_path / "engines.plan").read_text().split()
    assert engines == ["stt", "wav2vec2", "tts", "llm"]
    for name in engines:
        assert (ROOT / f"requirements-{name}.lock").exists()

    file, memory = tmp_path / "ivr.toml", tmp_path / "memory"
    merged = [sys.executable, str(PARTS / "merge.py"), str(file), str(memory)]
    with (tmp_path / "engines.settings").open() as lines:
        subprocess.run(merged, stdin=lines, check=True, timeout=20)
    settings = load(file, {})
    runs = [run for _, stage in groups.sections(settings) for run in stage.run if run.python]
    assert {Path(run.python).parts[4] for run in runs} == set(engines)
    assert {run.model for run in runs} == set(models)
    assert settings.engines.llm.gpu_share > settings.engines.llm.fallback.gpu_share > 0
    assert settings.engines.turn.run[0].engine == "smart-turn", "what the plan does not name stays"


def test_a_plan_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        read_plan(tmp_path, {"fits": False, "servers": [], "settings": []})
    assert not list(tmp_path.iterdir())


def wheel(folder: Path, name: str, version: str) -> tuple[str, Path]:
    """A line of a lock, and the wheel of one module (PEP 427)."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    inside = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    inside[f"{info}/RECORD"] = "".join(f"{one},,\n" for one in [*inside, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in inside.items():
            archive.writestr(file, text)
    return f"{name}=={version} --hash=sha256:{sha256(path.read_bytes()).hexdigest()}\n", path


@dataclass
class Box:
    """A box whose plan wants one small engine, called stt."""

    root: Path

    def lock(self, line: str) -> None:
        (self.root / "source/requirements-stt.lock").write_text(line)

    def run(self, script: str, bundle: str = "") -> subprocess.CompletedProcess[str]:
        places = {
            "HERE": "source", "OPT": "opt", "ENGINES": "opt/engines", "CURRENT": "current",
            "STATE": "state", "DATA": "data", "SETTINGS": "ivr.toml", "MEMORY": "state/memory",
            "WHEELS": "wheels",
        }  # fmt: skip
        set_ = [f"{name}={self.root / value}" for name, value in places.items()]
        set_ += ["SERVICE_USER=root", "ANSWER[PROFILE]=gpu", f"BUNDLE={bundle}"]
        set_ += [f'IVR_ENVIRONMENT=("IVR_SETTINGS={self.root}/ivr.toml" "PATH=$PATH")']
        # the release's own, as whoever runs this, on models that there are none of
        set_ += ['ivr() { root_ivr "$@"; }', "engine_modules() { echo ears; }", "GENTLY=()"]
        return bash("\n".join([*set_, script]), parts=STEP)

    @property
    def folders(self) -> list[Path]:
        made = (self.root / "opt/engines").glob("*")
        return sorted(path for path in made if not path.is_symlink())

    def doctor(self) -> State:
        """What `ivr doctor` thinks of it."""
        (found,) = environments.findings(load(self.root / "ivr.toml", {}), self.root / "source")
        return found.state

    def says(self, code: str) -> subprocess.CompletedProcess[str]:
        """What the environment's Python prints, started as ``ivr pools`` does."""
        python = self.root / "opt/engines/stt/bin/python"
        ours = {"PYTHONPATH": str(Path(groups.elsewhere.__file__).parent)}
        return subprocess.run(
            [python, "-c", code], capture_output=True, text=True, cwd="/", timeout=20,
            env=dict(os.environ) | ours,
        )  # fmt: skip


@pytest.fixture
def box(tmp_path: Path) -> Box:
    if os.geteuid() != 0:
        pytest.skip("gives files to root")
    for name in ("source", "opt", "state", "data", "current"):
        (tmp_path / name).mkdir()
    (tmp_path / "current/.venv").symlink_to(sys.prefix)
    (tmp_path / "ivr.toml").write_text(f'data_dir = "{tmp_path}/data"\n')
    (tmp_path / "state/models.plan").write_text("indicwhisper-hi\n")
    (tmp_path / "state/engines.plan").write_text("stt\n")
    run = f'[{{ engine = "faster-whisper", python = "{tmp_path}/opt/engines/stt/bin/python" }}]'
    (tmp_path / "state/engines.settings").write_text(f"engines.stt.run\t{run}\n")
    made = Box(tmp_path)
    made.lock(wheel(tmp_path / "wheels", "ears", "1.0")[0])
    return made


def test_an_environment_is_made_kept_changed_and_pruned(box: Box) -> None:
    first = box.run("(engines_done) && exit 9; engines_do; engines_done")
    assert first.returncode == 0, first.stdout + first.stderr
    (made,) = box.folders
    table = tomllib.loads((box.root / "ivr.toml").read_text())
    assert table["engines"]["stt"]["run"][0]["python"].endswith("/opt/engines/stt/bin/python")
    version = "import appliance, ears; print(ears.version, appliance.__version__)"
    assert box.says(version).stdout.split()[0] == "1.0"
    assert "No module named 'aiohttp'" in box.says("import aiohttp").stderr, "nothing else of ours"

    assert box.doctor() is State.GOOD
    edited = (box.root / "ivr.toml").read_text().replace("faster-whisper", "wav2vec2")
    (box.root / "ivr.toml").write_text(edited)
    line, _ = wheel(box.root / "wheels", "ears", "1.1")
    box.lock(line)
    assert box.doctor() is State.WARNING, "until install.sh has run again"
    second = box.run("start_told; engines_do; start_told")
    assert second.returncode == 0 and "engines.stt.run stays as it was edited" in second.stdout
    assert len(box.folders) == 2 and made in box.folders, "what runs keeps its own until then"
    said = second.stdout.splitlines()
    assert said[0] != said[-1], "so what runs is started anew"
    assert (box.root / "ivr.toml").read_text() == edited
    assert box.says(version).stdout.split()[0] == "1.1"
    box.run("prune_engines")
    assert len(box.folders) == 1 and made not in box.folders


def test_a_package_that_is_not_the_locks_leaves_what_was(box: Box) -> None:
    before = (box.root / "ivr.toml").read_text()
    line, _ = wheel(box.root / "wheels", "ears", "1.1")
    box.lock(line.replace(line[-9:-1], "00000000"))
    failed = box.run("engines_do")
    assert failed.returncode != 0 and "Expected sha256" in failed.stderr
    assert len(box.folders) == 2, "begun, and where pip unpacks"
    box.run("engines_undo")
    assert not box.folders and (box.root / "ivr.toml").read_text() == before


def test_models_that_cannot_be_listed_end_it(box: Box) -> None:
    """Else what is to be converted is not, and the engines are started on it."""
    unable = 'ivr() { [ "$2" != list ] || { echo "no database"; return 2; }; root_ivr "$@"; }\n'
    failed = box.run(unable + "engines_do")
    assert failed.returncode != 0
    assert "run" not in (box.root / "ivr.toml").read_text()
    assert box.run("engines_do").returncode == 0
    assert box.run("engines_done").returncode == 0
    assert box.run(unable + "engines_done").returncode != 0


def test_settings_that_a_kill_left_unseen_are_looked_at_again(box: Box) -> None:
    """And what is put aside then does not come back over what was written since."""
    settings, aside = box.root / "ivr.toml", box.root / "state/ivr.toml.before"
    own = "certificate_done() { :; }; settings_wanted() { :; }; certificate_do() { :; }\n"
    own += "urls_of_ours() { :; }\n"
    made = box.run(own + "configuration_do; configuration_done")
    assert made.returncode == 0, made.stderr
    aside.write_bytes(settings.read_bytes())  # as after a kill
    settings.write_text(settings.read_text() + '[log]\nlevel = "WARNING"\n')
    again = box.run(own + "configuration_done && exit 9; configuration_do; configuration_done")
    assert again.returncode == 0, again.stderr
    assert not aside.exists()
    box.run("engines_undo")
    assert "WARNING" in settings.read_text()


def test_settings_that_were_refused_are_no_persons_once_they_are_mended(box: Box) -> None:
    lines = box.root / "state/engines.settings"
    good = lines.read_text()
    assert box.run("engines_do").returncode == 0
    before = (box.root / "ivr.toml").read_text()
    lines.write_text(good.replace(" }", ', number = "many" }'))
    refused = box.run("engines_do")
    assert refused.returncode != 0 and "engines.stt.run" in refused.stderr
    box.run("engines_undo")
    assert (box.root / "ivr.toml").read_text() == before
    lines.write_text(good.replace("faster-whisper", "wav2vec2"))
    mended = box.run("engines_do; engines_done")
    assert mended.returncode == 0 and "stays as it was edited" not in mended.stdout
    assert 'engine = "wav2vec2"' in (box.root / "ivr.toml").read_text()


def test_without_a_gpu_again_the_plans_settings_go(box: Box) -> None:
    """Else the box goes on starting what was planned for a GPU."""
    assert box.run("engines_do").returncode == 0
    assert "faster-whisper" in (box.root / "ivr.toml").read_text()
    demo = "ANSWER[PROFILE]=demo; (engines_done) && exit 9; engines_do; engines_done"
    assert box.run(demo).returncode == 0
    assert "faster-whisper" not in (box.root / "ivr.toml").read_text()
    load(box.root / "ivr.toml", {})


def test_offline_it_comes_from_the_bundle(box: Box) -> None:
    bundle = box.root / "bundle"
    for name in ("share", "about"):
        (bundle / name).mkdir(parents=True)
    (bundle / "manifest.json").write_text(
        json.dumps({"python": sysconfig.get_python_version()}, separators=(",", ":"))
    )
    line, _ = wheel(bundle / "engines", "ears", "2.0")
    (bundle / "share/requirements-stt.lock").write_text(line)
    without = box.run("engines_do", str(bundle))
    assert without.returncode != 0 and "--with-engines" in without.stdout
    (bundle / "about/engines-stt.txt").write_text(line)
    done = box.run("engines_do", str(bundle))
    assert done.returncode == 0, done.stderr
    assert box.says("import ears; print(ears.version)").stdout == "2.0\n"
