"""From a folder that was brought to a self-test in the real engine, for each engine that is at hand.

Random weights: what is tested is that each is found, installed, served and spoken to, and that a model
that understands nothing does not pass.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from appliance.__main__ import main

CHECKOUT = Path(__file__).parent.parent
PYTHONS = {name: os.environ.get(f"IVR_TEST_{name}_PYTHON", "") for name in ("STT", "TTS", "VLLM")}
pytestmark = pytest.mark.server


def environment(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        not PYTHONS[name], reason=f"IVR_TEST_{name}_PYTHON names no environment with that engine"
    )


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IVR_DATA_DIR", str(tmp_path / "var"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path / "var"


def brought(python: str, maker: str, name: str, folder: Path) -> None:
    """Make a tiny checkpoint in its environment, and pull it from there."""
    subprocess.run(
        [python, "-m", f"tests.{maker}", str(folder)],
        cwd=CHECKOUT, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, check=True, timeout=180,
        capture_output=True,
    )  # fmt: skip
    result = CliRunner().invoke(main, ["models", "pull", name, "--from", str(folder)])
    assert result.exit_code == 0, result.output


def verified(name: str, *options: str, status: int, **variables: str) -> list[dict[str, Any]]:
    result = CliRunner().invoke(main, ["models", "verify", name, *options, "--json"], env=variables)
    assert result.exit_code == status, result.output
    (model,) = json.loads(result.stdout.splitlines()[-1])["models"]
    assert model["files"]["ok"] and not model["trouble"]
    return list(model["spoken"])


@environment("STT")
def test_wav2vec2(data_dir: Path, tmp_path: Path) -> None:
    brought(PYTHONS["STT"], "tiny_wav2vec2", "indicwav2vec-hi", tmp_path / "ctc")
    (finding,) = verified("indicwav2vec-hi", "--python", PYTHONS["STT"], status=1)
    assert finding["verdict"] == "FAILED" and finding["why"] == "no word is right"


@environment("TTS")
def test_coqui(data_dir: Path, tmp_path: Path) -> None:
    brought(PYTHONS["TTS"], "tiny_coqui", "indic-tts-hi", tmp_path / "voice")
    findings = verified("indic-tts-hi", "--python", PYTHONS["TTS"], status=0)
    assert {finding["voice"] for finding in findings} == {"hi-female", "hi-male"}
    assert all("no recogniser of hi is here" in finding["why"] for finding in findings)


@environment("VLLM")
def test_vllm(data_dir: Path, tmp_path: Path) -> None:
    name = "qwen2.5-1.5b-instruct"
    brought(PYTHONS["VLLM"], "tiny_llama", name, tmp_path / "llm")
    run = {"engine": "vllm", "model": name, "python": PYTHONS["VLLM"], "device": "cpu",
           "options": ["--enforce-eager"]}  # fmt: skip
    (finding,) = verified(
        name, status=0, IVR_ENGINES__LLM__RUN=json.dumps([run]),
        IVR_ENGINES__LLM__MAX_MODEL_LEN="512", VLLM_CPU_KVCACHE_SPACE="1",
    )  # fmt: skip
    assert finding["verdict"] == "good" and finding["heard"]
