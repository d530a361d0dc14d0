"""The catalogue, the forms of a model's folder, and a model by its name."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from appliance.__main__ import main
from appliance.checkpoints.catalogue import load_catalogue
from appliance.checkpoints.forms import LOADED_BY, Form, describe, find_model, form_of
from appliance.checkpoints.manifest import (
    Manifest,
    folder_of,
    measure,
    read_manifest,
    write_manifest,
)
from appliance.checkpoints.presence import check, require, runs
from appliance.checkpoints.store import compare, installed, put
from appliance.errors import UserError
from appliance.settings import Settings, load
from tests.model_hub import CTC_CONFIG, ct2_folder, whisper_folder

LANGUAGES = ("hi", "ta", "te", "bn", "mr", "gu", "kn", "ml", "pa", "ur", "or")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


def with_run(settings: Settings, stage: str = "stt", **run: Any) -> Settings:
    return Settings.model_validate(
        {"data_dir": settings.data_dir, "engines": {stage: {"run": [run]}}}
    )


# The catalogue


def test_every_entry_says_where_it_comes_from_and_what_it_is(settings: Settings) -> None:
    entries = load_catalogue(settings).entries
    assert len(entries) > 40
    for name, entry in entries.items():
        assert entry.name == name and entry.licence and entry.size_gb
        if entry.form is not Form.BUILT_IN:
            assert entry.checked in ("published", "used"), name
            assert entry.source.startswith(("hf:", "https://")), name
            assert entry.loaded is LOADED_BY[entry.engine]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_large_indian_language_is_heard_and_spoken(settings: Settings, language: str) -> None:
    entries = load_catalogue(settings).entries.values()
    stages = {e.stage for e in entries if language in e.languages and e.engine != "espeak"}
    assert stages >= ({"stt"} if language == "ur" else {"stt", "tts"})


def test_a_name_of_the_engine_or_of_the_hub_is_the_entry(settings: Settings) -> None:
    catalogue = load_catalogue(settings)
    assert catalogue.find("large-v3-turbo").name == "whisper-large-v3-turbo"
    assert catalogue.find("Qwen/Qwen2.5-7B-Instruct").name == "qwen2.5-7b-instruct"


def test_an_unknown_name_is_answered_with_the_nearest(settings: Settings) -> None:
    with pytest.raises(UserError, match=r"called indicwisper-hi.*mean indicwhisper-hi"):
        load_catalogue(settings).find("indicwisper-hi")


def test_an_operators_entries_come_first(settings: Settings) -> None:
    settings.models_dir.mkdir()
    own = settings.models_dir / "catalogue.toml"
    own.write_text(
        """
        [[model]]
        name = "our-mr"
        stage = "stt"
        engine = "wav2vec2"
        languages = ["mr"]
        form = "hf-wav2vec2"
        repository = "ours/mr"
        [[family]]
        name = "indicwhisper-{code}"
        each = { hi = "hindi" }
        stage = "stt"
        engine = "faster-whisper"
        form = "hf-whisper"
        urls = ["http://mirror.example/{word}.zip"]
        """
    )
    catalogue = load_catalogue(settings)
    assert catalogue.find("our-mr").repository == "ours/mr"
    assert catalogue.find("indicwhisper-hi").urls == ("http://mirror.example/hindi.zip",)
    assert catalogue.find("indicwhisper-ta").urls[0].startswith("https://")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[model]\n", "cannot be read"),
        ("[[model]]\nname = 'x'", "model x, stage"),
        ("[[model]]\nname = '../x'\nstage = 'stt'", "name: String should match"),
        ("[models]\n", "no table models"),
        ("[[family]]\nname = 'x'", "needs a table each"),
        (
            "[[model]]\nname='x'\nstage='stt'\nengine='coqui'\nlanguages=['hi']\nform='hf-llm'\n"
            "repository='a/b'",
            "coqui cannot load the form hf-llm",
        ),
        (
            "[[model]]\nname='x'\nstage='stt'\nengine='coqui'\nlanguages=['hi']\nform='coqui'\n"
            "urls=['file:///etc/passwd']",
            "no http",
        ),
    ],
)
def test_a_wrong_entry_is_said_with_its_file(settings: Settings, text: str, said: str) -> None:
    settings.models_dir.mkdir()
    (settings.models_dir / "catalogue.toml").write_text(text)
    with pytest.raises(UserError, match=said) as e:
        load_catalogue(settings)
    assert "catalogue.toml" in str(e.value)


# The forms


def test_forms_are_told_by_what_lies_there(tmp_path: Path) -> None:
    assert form_of(whisper_folder(tmp_path / "w")) is Form.HF_WHISPER
    assert form_of(ct2_folder(tmp_path / "c")) is Form.CT2
    voice = tmp_path / "v"
    for part in ("fastpitch", "hifigan"):
        (voice / part).mkdir(parents=True)
        (voice / part / "best_model.pth").touch()
    assert form_of(voice) is Form.COQUI
    for config, form in ((CTC_CONFIG, Form.HF_WAV2VEC2),
                         ({"architectures": ["Qwen2ForCausalLM"]}, Form.HF_LLM)):  # fmt: skip
        folder = tmp_path / form.value
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config))
        assert form_of(folder) is None  # no weights
        (folder / "model.safetensors").touch()
        assert form_of(folder) is form


def test_a_part_of_the_weights_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "model-1.safetensors").touch()
    assert form_of(tmp_path) is None
    assert "model-2.safetensors missing" in describe(tmp_path)
    (tmp_path / "model-2.safetensors").touch()
    assert form_of(tmp_path) is Form.HF_LLM


def test_a_model_is_found_below_and_a_wrong_kind_is_named(tmp_path: Path) -> None:
    whisper_folder(tmp_path / "hindi_models" / "whisper-medium-hi")
    found = find_model(tmp_path, frozenset({Form.HF_WHISPER, Form.CT2}))
    assert found.name == "whisper-medium-hi"
    with pytest.raises(UserError, match=r"holds a config.json|holds .*Whisper.*Coqui voice"):
        find_model(tmp_path / "hindi_models", frozenset({Form.COQUI}))
    whisper_folder(tmp_path / "hindi_models" / "another")
    with pytest.raises(UserError, match="several models: hindi_models/another, hindi_models/w"):
        find_model(tmp_path, frozenset({Form.HF_WHISPER}))
    (tmp_path / "k").mkdir()
    (tmp_path / "k" / "hindi.pt").touch()
    assert "fairseq" in describe(tmp_path / "k")


# A model by its name


def test_a_folder_is_found_by_name_alias_and_path(settings: Settings, tmp_path: Path) -> None:
    here = ct2_folder(settings.models_dir / "whisper-large-v3-turbo")
    assert folder_of(settings, "whisper-large-v3-turbo") == here
    assert folder_of(settings, "large-v3-turbo") == here
    assert folder_of(settings, str(here)) == here


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("indicwhisper-hi", "not here. Fetch it: ivr models pull indicwhisper-hi"),
        ("large-v3", "Fetch it: ivr models pull whisper-large-v3"),
        ("indicwisper-hi", "mean indicwhisper-hi"),
        ("/no/such/folder", "no folder /no/such/folder"),
        ("", "No model is named"),
        ("espeak", "built into its engine"),
    ],
)
def test_what_is_not_here_is_said_with_the_command(
    settings: Settings, name: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        folder_of(settings, name)


def test_what_is_not_converted_is_said(settings: Settings) -> None:
    whisper_folder(settings.models_dir / ".original" / "indicwhisper-hi")
    with pytest.raises(UserError, match="ivr models convert indicwhisper-hi"):
        folder_of(settings, "indicwhisper-hi")


# Manifests


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = ct2_folder(tmp_path / "m")
    manifest = Manifest(
        "m", "ct2", "hf:a/b", "c0ffee", "2026-11-21T10:00:00+00:00", measure(folder)
    )
    write_manifest(folder, manifest)
    assert read_manifest(folder) == manifest
    assert manifest.size == sum(p.stat().st_size for p in folder.iterdir()) - (
        folder / "manifest.json"
    ).stat().st_size  # fmt: skip
    assert not compare(folder, manifest).bad


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "x"}', '{"files": [{"a": 1}]}'])
def test_a_manifest_that_is_not_ours_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match="not a manifest"):
        read_manifest(tmp_path)


def test_what_changed_is_missing_or_came_is_told(settings: Settings, tmp_path: Path) -> None:
    folder = put(settings, ct2_folder(tmp_path / "w"), name="x", form=Form.CT2, source="here")
    manifest = read_manifest(folder)
    assert manifest
    (folder / "model.bin").write_bytes(b"weightz" * 100)  # as long as before
    (folder / "tokenizer.json").unlink()
    (folder / "more.txt").touch()
    difference = compare(folder, manifest)
    assert (difference.changed, difference.missing, difference.added) == (
        ("model.bin",), ("tokenizer.json",), ("more.txt",),
    )  # fmt: skip


def test_a_model_put_again_replaces_the_first(settings: Settings, tmp_path: Path) -> None:
    put(settings, ct2_folder(tmp_path / "a"), name="x", form=Form.CT2, source="first")
    put(settings, ct2_folder(tmp_path / "b"), name="x", form=Form.CT2, source="second")
    here = installed(settings)["x"]
    assert here.manifest and here.manifest.source == "second" and here.ready
    assert not list((settings.models_dir / ".partial").glob("*.old"))


# Before anything starts


def test_nothing_is_missing_of_the_embedded_engines(settings: Settings) -> None:
    assert check(settings) == []


def test_a_missing_model_and_interpreter_are_said_together(settings: Settings) -> None:
    missing = check(
        with_run(settings, engine="faster-whisper", model="indicwhisper-hi", python="/no/python")
    )
    assert [line.partition(":")[0] for line in missing] == ["engines.stt.run"] * 2
    assert "no Python interpreter /no/python" in missing[0]
    assert "ivr models pull indicwhisper-hi" in missing[1]


def test_a_model_of_another_form_is_said(settings: Settings, tmp_path: Path) -> None:
    folder = str(whisper_folder(tmp_path / "w"))
    (line,) = check(with_run(settings, engine="faster-whisper", model=folder))
    assert f"ivr models convert {folder}" in line
    (line,) = check(with_run(settings, engine="wav2vec2", model=folder))
    assert "is a Whisper of Hugging Face, and wav2vec2 loads a Wav2Vec2" in line
    (line,) = check(with_run(settings, "tts", engine="coqui"))
    assert "needs a model" in line


def test_what_is_here_passes(settings: Settings) -> None:
    ct2_folder(settings.models_dir / "whisper-small")
    require(with_run(settings, engine="faster-whisper", model="small", python=sys.executable))


def test_require_says_all_of_it(settings: Settings) -> None:
    with pytest.raises(UserError, match=r"ivr models pull qwen2\.5-7b-instruct"):
        require(with_run(settings, "llm", engine="vllm", model="qwen2.5-7b-instruct"))


def test_what_the_plan_prints_is_taken_and_what_it_misses_is_named_line_by_line(
    tmp_path: Path,
) -> None:
    planned = CliRunner().invoke(
        main, ["models", "plan", "--calls", "50", "--gpu-gb", "80", "--languages", "hi,en"]
    )
    assert planned.exit_code == 0
    file = tmp_path / "ivr.toml"
    pasted = planned.stdout[planned.stdout.index("# For ivr.toml") :]
    file.write_text(f'data_dir = "{tmp_path / "var"}"\n{pasted}')
    planned_for = load(file, environ={})
    assert planned_for.engines.stt.run[0].languages == ("hi",)
    result = CliRunner().invoke(main, ["--settings", str(file), "up"])
    assert result.exit_code == 2 and not (tmp_path / "var").exists()
    lines = result.stderr.removeprefix("ivr: ").splitlines()
    commands = [line.partition("Fetch it: ")[2] for line in lines]
    named = [run.model for _, run in runs(planned_for) if run.model]
    assert commands == [f"ivr models pull {model}" for model in named] and len(named) == 6


@pytest.mark.parametrize("command", ["up", "pools"])
def test_nothing_starts_without_its_model(
    settings: Settings, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IVR_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("IVR_ENGINES__TTS__RUN", '[{"engine": "coqui", "model": "indic-tts-hi"}]')
    result = CliRunner().invoke(main, [command])
    assert result.exit_code == 2
    assert "engines.tts.run: The model indic-tts-hi is not here" in result.output
    assert "Fetch it: ivr models pull indic-tts-hi" in result.output
