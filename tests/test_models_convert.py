"""`ivr models convert`: a Whisper of Hugging Face in, one of CTranslate2 out, or nothing.

With the real converter where IVR_TEST_STT_PYTHON names an environment that has torch, transformers and
ctranslate2; what needs none of them runs everywhere.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from appliance.__main__ import main
from appliance.checkpoints.convert import convert_whisper, find_python
from appliance.checkpoints.forms import Form, form_of
from appliance.checkpoints.manifest import read_manifest
from appliance.errors import UserError
from tests.model_hub import ct2_folder, whisper_folder

PYTHON = os.environ.get("IVR_TEST_STT_PYTHON", "")
heavy = pytest.mark.skipif(not PYTHON, reason="IVR_TEST_STT_PYTHON names no environment with torch")
MAKER = Path(__file__).with_name("tiny_hf_whisper.py")
NAME = "indicwhisper-hi"
HINDI = 50_276
"""``<|hi|>`` in every multilingual Whisper."""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IVR_DATA_DIR", str(tmp_path / "var"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path / "var" / "models"


@pytest.fixture(scope="session")
def whispers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny originals, by what is peculiar to them."""
    found = {}
    for options in ("old", "old no-empty", "regenerate", "no-languages", "bare old", "full"):
        found[options] = tmp_path_factory.mktemp("original") / options.replace(" ", "-")
        command = [PYTHON, "-I", str(MAKER), str(found[options]), *options.split()]
        subprocess.run(command, check=True, timeout=120, capture_output=True)
    return found


def ivr(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, ["models", *arguments], env=environment)


def converted(original: Path, *options: str) -> dict[str, Any]:
    result = ivr("convert", str(original), "--name", NAME, "--python", PYTHON, "--json", *options)
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout.splitlines()[-1]))


@heavy
@pytest.mark.parametrize(
    "options", ["old", "old no-empty", "regenerate", "no-languages", "bare old"]
)
def test_the_silent_traps_are_mended(models: Path, whispers: dict[str, Path], options: str) -> None:
    facts = converted(whispers[options], "--device", "cpu")
    folder = models / NAME
    assert Path(facts["folder"]) == folder and facts["converted"].endswith(", int8")
    config = json.loads((folder / "config.json").read_text())
    vocabulary = json.loads((folder / "vocabulary.json").read_text())
    assert len(config["lang_ids"]) == 99 and HINDI in config["lang_ids"]
    assert config["alignment_heads"]
    assert len(vocabulary) == 51_865 and vocabulary[HINDI] == "<|hi|>" and "" in vocabulary
    assert vocabulary[50_364] == "<|0.00|>" and vocabulary[-1] == "<|30.00|>"
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    assert {t["content"]: t["id"] for t in tokenizer["added_tokens"]}["<|hi|>"] == HINDI
    assert form_of(folder) is Form.CT2
    # what faster-whisper itself makes of it
    ask = ("import sys, faster_whisper as f; m = f.WhisperModel(sys.argv[1], 'cpu');"
           "import numpy as n; s, i = m.transcribe(n.zeros(16000, n.float32), language='hi',"
           "max_new_tokens=2); list(s); print(m.model.is_multilingual, i.language)")  # fmt: skip
    answer = subprocess.run(
        [PYTHON, "-I", "-c", ask, str(folder)], capture_output=True, text=True, timeout=120
    )
    assert answer.stdout.split() == ["True", "hi"], answer.stderr


@heavy
def test_what_cannot_be_mended_is_refused_and_nothing_is_left(
    models: Path, whispers: dict[str, Path]
) -> None:
    result = ivr("convert", str(whispers["full"]), "--name", NAME, "--python", PYTHON)
    assert result.exit_code == 2
    assert "no empty token" in result.output and "English" in result.output
    assert not (models / NAME).exists()
    assert [p.name for p in (models / ".partial").rglob("*") if p.is_file()] == [f"{NAME}.lock"]


@heavy
def test_from_pulled_to_converted_and_again(models: Path, whispers: dict[str, Path]) -> None:
    assert ivr("pull", NAME, "--from", str(whispers["old"])).exit_code == 0
    assert ivr("convert", NAME, "--python", PYTHON, "--quantization", "float32").exit_code == 0
    manifest = read_manifest(models / NAME)
    assert manifest and manifest.converted.endswith("float32")
    assert manifest.source == str(whispers["old"])
    result = ivr("convert", NAME, "--python", PYTHON)
    assert result.exit_code == 2 and "converted already" in result.output
    assert ivr("convert", NAME, "--python", PYTHON, "--again", "--device", "cpu").exit_code == 0
    manifest = read_manifest(models / NAME)
    assert manifest and manifest.converted.endswith("int8")
    assert ivr("verify", NAME, "--files-only").exit_code == 0


@heavy
@pytest.mark.server
def test_random_weights_fail_the_spoken_test(models: Path, whispers: dict[str, Path]) -> None:
    converted(whispers["old"], "--device", "cpu")
    result = ivr("verify", NAME, "--python", PYTHON, "--device", "cpu", "--json")
    assert result.exit_code == 1
    (model,) = json.loads(result.stdout.splitlines()[-1])["models"]
    assert model["files"]["ok"] and not model["trouble"]
    (finding,) = model["spoken"]
    assert finding["verdict"] == "FAILED" and finding["why"] == "no word is right"
    assert finding["language"] == "hi" and "word" in finding["heard"]


@heavy
def test_a_corrupt_original_is_said(
    models: Path, whispers: dict[str, Path], tmp_path: Path
) -> None:
    for path in whispers["old"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"\x10" + bytes(5000))
    result = ivr("convert", str(tmp_path), "--name", NAME, "--python", PYTHON)
    assert result.exit_code == 2 and "was not converted" in result.output
    assert not (models / NAME).exists()


# Without the converter


def test_an_environment_without_torch_is_said_with_the_remedy(models: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pip install 'ivr-appliance\[convert\]'"):
        find_python(["/no/such/python"])
    with pytest.raises(UserError, match=r"--python /opt/ivr/convert/bin/python"):
        find_python(["/no/such/python", "/nor/this"])


def test_a_converter_that_dies_leaves_nothing(tmp_path: Path) -> None:
    dies = tmp_path / "python"
    dies.write_text(
        '#!/bin/sh\nmkdir "$4"; echo half > "$4/model.bin"; echo Killed >&2; kill -9 $$\n'
    )
    dies.chmod(0o755)
    original = whisper_folder(tmp_path / "w")
    with pytest.raises(UserError, match=r"status -9 \(killed: too little memory\?\).*Killed"):
        convert_whisper(str(dies), original, tmp_path / "out", "int8")
    assert not (tmp_path / "out").exists()


def test_what_is_not_to_be_converted_is_said(models: Path, tmp_path: Path) -> None:
    assert "ivr models pull indicwhisper-hi" in ivr("convert", NAME).output
    assert "mean indicwhisper-hi" in ivr("convert", "indicwisper-hi").output
    assert "no folder" in ivr("convert", "/no/such").output
    ct2_folder(models / NAME)
    assert "converted already" in ivr("convert", NAME).output
    ct2_folder(tmp_path / "c")
    result = ivr("convert", str(tmp_path / "c"), "--python", sys.executable)
    assert "a Whisper of CTranslate2, and a Whisper of Hugging Face was expected" in result.output
