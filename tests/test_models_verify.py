"""`ivr models verify`: checksums, and real speech through real servers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from appliance.__main__ import main
from appliance.checkpoints.forms import Form
from appliance.checkpoints.sentences import SENTENCES, word_error, words_of
from appliance.checkpoints.store import put
from appliance.errors import UserError
from appliance.ops.models.selftest import subject_of, unlike_speech
from appliance.settings import Settings
from tests.model_hub import ct2_folder
from tests.spoken import say

SAID = SENTENCES["en"]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("IVR_DATA_DIR", str(tmp_path))
    return Settings(data_dir=tmp_path)


def verified(*arguments: str, status: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(main, ["models", "verify", *arguments, "--json"])
    assert result.exit_code == status, result.output
    return dict(json.loads(result.stdout.splitlines()[-1]))


# Files


def test_whole_files_pass_and_tampered_ones_do_not(settings: Settings, tmp_path: Path) -> None:
    folder = put(
        settings, ct2_folder(tmp_path / "w"), name="whisper-small", form=Form.CT2, source="x"
    )
    (model,) = verified("small", "--files-only")["models"]  # by the engine's name for it
    assert (model["name"], model["ok"], model["files"]["checked"]) == ("whisper-small", True, 3)
    (folder / "model.bin").write_bytes(b"weightz" * 100)
    (folder / "tokenizer.json").unlink()
    (model,) = verified("--files-only", status=1)["models"]
    assert model["files"]["changed"] == ["model.bin"]
    assert model["files"]["missing"] == ["tokenizer.json"]
    text = CliRunner().invoke(main, ["models", "verify", "whisper-small"]).output
    assert "model.bin is changed" in text and "ivr models pull --again whisper-small" in text


def test_a_folder_put_there_by_hand_has_no_checksums(settings: Settings) -> None:
    ct2_folder(settings.models_dir / "ours")
    (model,) = verified("ours", "--files-only")["models"]
    assert "by hand" in model["files"]["note"]
    (model,) = verified("ours", status=1)["models"]
    assert "Which engine loads ours is not known" in model["trouble"]


def test_a_model_that_is_not_here_is_said(settings: Settings) -> None:
    result = CliRunner().invoke(main, ["models", "verify", "indicwhisper-hi"])
    assert result.exit_code == 2 and "ivr models pull indicwhisper-hi" in result.output
    assert verified()["models"] == []


# Speech


@pytest.mark.server
def test_a_recogniser_hears_a_spoken_sentence_right(settings: Settings) -> None:
    (model,) = verified("pocketsphinx-en")["models"]
    (finding,) = model["spoken"]
    assert finding["verdict"] == "good" and finding["word_error"] == 0
    assert finding["heard"] == "please tell me when your office opens in the morning"
    assert 2 < finding["seconds"] < 5


@pytest.mark.server
@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="needs espeak-ng")
def test_a_voice_is_listened_to(settings: Settings) -> None:
    (model,) = verified("espeak", "--languages", "hi,ta")["models"]
    assert {f["language"]: f["verdict"] for f in model["spoken"]} == {"hi": "good", "ta": "good"}
    assert all("no recogniser" in f["why"] and f["seconds"] > 1 for f in model["spoken"])


@pytest.mark.server
def test_a_recogniser_hears_every_english_voice(settings: Settings) -> None:
    (model,) = verified("flite-en")["models"]
    assert {f["voice"] for f in model["spoken"]} == {"slt", "rms", "awb", "kal16"}
    assert sum(f["word_error"] == 0 for f in model["spoken"]) >= 3


@pytest.mark.server
def test_an_engine_that_does_not_start_is_a_failed_model(settings: Settings) -> None:
    """No model is in those files, or no engine is here: what the server says is passed on."""
    ct2_folder(settings.models_dir / "whisper-small")
    (model,) = verified("whisper-small", status=1)["models"]
    assert "did not come up" in model["trouble"]


def test_speech_is_told_from_what_is_not(settings: Settings) -> None:
    spoken = say(SAID)
    assert unlike_speech(SAID, spoken) == ""
    samples = np.frombuffer(spoken, "<i2")
    assert unlike_speech(SAID, bytes(len(spoken))) == "it is silent"
    assert "ms of sound" in unlike_speech(SAID, spoken[: len(spoken) // 4])
    assert "ms of sound" in unlike_speech("Yes.", spoken)
    assert "dBFS" in unlike_speech(SAID, (samples.astype(np.int32) * 10).clip(-32768, 32767)
                                   .astype("<i2").tobytes())  # fmt: skip


# How it is served


def test_a_model_is_served_as_the_settings_run_it(settings: Settings) -> None:
    run = {"engine": "faster-whisper", "model": "small", "device": "cpu", "compute_type": "int8",
           "python": "/opt/stt/bin/python", "least": 2, "most": 4, "languages": ["ta"]}  # fmt: skip
    named = Settings.model_validate(
        {"data_dir": settings.data_dir, "engines": {"stt": {"run": [run]}}}
    )
    ct2_folder(settings.models_dir / "whisper-small")
    subject = subject_of(named, "whisper-small", python="", device="auto", languages=())
    assert (subject.stage, subject.languages) == ("stt", ("ta",))
    assert (subject.run.python, subject.run.device) == ("/opt/stt/bin/python", "cpu")
    assert (subject.run.compute_type, subject.run.most) == ("int8", 1)
    assert subject.run.model == str(settings.models_dir / "whisper-small")
    other = subject_of(named, "whisper-small", python="/p", device="cuda", languages=("hi",))
    assert (other.run.python, other.run.device, other.languages) == ("/p", "cuda", ("hi",))


def test_without_settings_it_is_served_as_the_catalogue_says(settings: Settings) -> None:
    subject = subject_of(settings, "indic-tts-hi", python="", device="auto", languages=())
    assert (subject.stage, subject.run.engine, subject.languages) == ("tts", "coqui", ("hi",))
    with pytest.raises(UserError, match="is not known"):
        subject_of(settings, "unheard-of", python="", device="auto", languages=())


# Words


def test_words_of_indian_scripts_keep_their_marks() -> None:
    assert words_of("मैं जाऊँगा।") == ["मैं", "जाऊँगा"]
    assert words_of("Tell me, please!") == ["tell", "me", "please"]
    assert all(4 <= len(words_of(sentence)) <= 12 for sentence in SENTENCES.values())


def test_word_error_counts_wrong_missing_and_extra_words() -> None:
    assert word_error("one two three four", "one too three") == 0.5
    assert word_error("one two", "one and two") == 0.5
    assert word_error("One, two!", "one two") == 0


@given(st.lists(st.sampled_from("abcd"), max_size=8), st.lists(st.sampled_from("abcd"), max_size=8))
def test_word_error_is_a_distance(said: list[str], heard: list[str]) -> None:
    errors = word_error(" ".join(said), " ".join(heard)) * max(1, len(said))
    assert (errors == 0) == (said == heard)
    assert abs(len(said) - len(heard)) - 1e-9 <= errors <= max(len(said), len(heard)) + 1e-9
