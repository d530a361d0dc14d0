"""Finding the languages of a model's folder, and saying what is wrong with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.errors import UserError
from appliance.models.voice_folder import NEEDED, voice_folders


def release(folder: Path, config: str = '{"max_audio_len": Infinity}') -> Path:
    """Files where AI4Bharat's releases have them."""
    for name in NEEDED:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(config if name.endswith("config.json") else "weights")
    return folder


def test_a_folder_of_one_language(tmp_path: Path) -> None:
    (voice,) = voice_folders(release(tmp_path / "hi"), ())
    assert (voice.name, voice.language) == ("hi", "hi")


def test_a_folder_of_several(tmp_path: Path) -> None:
    for name in ("ta", "hi", "en+hi", "brx"):
        release(tmp_path / name)
    (tmp_path / "README").write_text("not a voice")
    voices = voice_folders(tmp_path, ())
    assert [voice.name for voice in voices] == ["brx", "en+hi", "hi", "ta"]
    assert voices[1].language == "en"


def test_only_the_languages_that_are_wanted_in_their_order(tmp_path: Path) -> None:
    for name in ("ta", "hi", "te"):
        release(tmp_path / name)
    voices = voice_folders(tmp_path, ("te", "hi-IN"))
    assert [voice.name for voice in voices] == ["te", "hi"]


@pytest.mark.parametrize("name", ["indic-tts-mr", "mr"])
def test_the_language_by_the_folders_name(tmp_path: Path, name: str) -> None:
    assert voice_folders(release(tmp_path / name), ())[0].language == "mr"


def test_the_language_by_what_it_was_trained_on(tmp_path: Path) -> None:
    config = '{"datasets": [{"language": "bn"}], "max_audio_len": Infinity}'
    assert voice_folders(release(tmp_path / "release_2", config), ())[0].language == "bn"


def test_the_language_by_what_is_asked_for(tmp_path: Path) -> None:
    assert voice_folders(release(tmp_path / "release_2"), ("pa",))[0].language == "pa"
    with pytest.raises(UserError, match="Which language"):
        voice_folders(tmp_path / "release_2", ())


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    release(tmp_path / "hi")
    (tmp_path / "hi" / "hifigan" / "best_model.pth").unlink()
    with pytest.raises(UserError, match=r"hifigan/best_model\.pth missing"):
        voice_folders(tmp_path / "hi", ())


def test_a_folder_without_voices(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no voice"):
        voice_folders(tmp_path, ())


def test_a_language_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not speak 'ta'; it speaks hi"):
        voice_folders(release(tmp_path / "hi"), ("ta",))


def test_the_identity_changes_with_settings_and_weights(tmp_path: Path) -> None:
    (voice,) = voice_folders(release(tmp_path / "hi"), ())
    seen = {voice.identity()}
    weights = voice.acoustic / "best_model.pth"
    os.utime(weights, (1, 1))
    seen.add(voice.identity())
    weights.write_text("other weights")
    os.utime(weights, (1, 1))
    seen.add(voice.identity())
    (voice.vocoder / "config.json").write_text("{}")
    seen.add(voice.identity())
    assert len(seen) == 4
    assert voice.identity() in seen
