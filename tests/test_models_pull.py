"""`ivr models pull`, `list` and `remove`: by the command line, from a hub on loopback and from disk."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from appliance.__main__ import main
from appliance.checkpoints import disk
from appliance.checkpoints.manifest import read_manifest
from appliance.ops.keeping.ports import free_port
from tests.model_hub import COMMIT, Hub, ctc_files, serving, voice_zip, whisper_folder, zipped

CTC = "ai4bharat/indicwav2vec-hindi"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", "")
        monkeypatch.setattr("appliance.checkpoints.hub.TOKEN_FILE", Path("/no/token"))
        hub.repositories[CTC] = ctc_files()
        yield hub


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The models' folder of an appliance of its own."""
    monkeypatch.setenv("IVR_DATA_DIR", str(tmp_path / "var"))
    monkeypatch.setattr("appliance.ops.models.pull.FIRST_PAUSE_S", 0.001)
    folder = tmp_path / "var" / "models"
    folder.mkdir(parents=True)
    return folder


def release(models: Path, hub: Hub, *paths: str) -> None:
    """An operator's catalogue whose voice lies on our hub."""
    urls = ", ".join(f'"{hub.url}{path}"' for path in paths)
    (models / "catalogue.toml").write_text(
        f'[[model]]\nname = "voice-hi"\nstage = "tts"\nengine = "coqui"\nlanguages = ["hi"]\n'
        f'form = "coqui"\nurls = [{urls}]\n'
    )


def ivr(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, ["models", *arguments], env=environment)


def pulled(*arguments: str) -> dict[str, Any]:
    result = ivr("pull", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout.splitlines()[-1])["models"][0])


def listed() -> dict[str, dict[str, Any]]:
    rows = json.loads(ivr("list", "--json").stdout)["models"]
    return {row["name"]: row for row in rows}


def partials(models: Path) -> set[str]:
    place = models / ".partial"
    return {str(p.relative_to(place)) for p in place.rglob("*") if p.is_file()} - {
        f"{name}.lock" for name in ("voice-hi", "indicwav2vec-hi", "indicwhisper-hi", "our-own")
    }


# From the hub


def test_a_repository_is_fetched_checked_and_recorded(hub: Hub, models: Path) -> None:
    facts = pulled("indicwav2vec-hi")
    folder = models / "indicwav2vec-hi"
    assert Path(facts["folder"]) == folder and facts["ready"] and facts["fetched"]
    assert {p.name for p in folder.iterdir()} == {
        "config.json", "vocab.json", "model.safetensors", "manifest.json",
    }  # not the pickle beside the safe weights, nor other frameworks'  # fmt: skip
    manifest = read_manifest(folder)
    assert manifest and manifest.revision == COMMIT and manifest.source == f"hf:{CTC}"
    assert (folder / "model.safetensors").read_bytes() == hub.repositories[CTC]["model.safetensors"]
    assert partials(models) == set()
    assert listed()["indicwav2vec-hi"]["state"] == "ready"


def test_what_is_here_is_not_fetched_again_unless_asked(hub: Hub, models: Path) -> None:
    pulled("indicwav2vec-hi")
    before = hub.served
    assert not pulled("indicwav2vec-hi")["fetched"]
    assert hub.served == before
    hub.repositories[CTC]["vocab.json"] = b'{"b": 0}'
    hub.commit = "d" * 40
    assert pulled("indicwav2vec-hi", "--again")["fetched"]
    assert (models / "indicwav2vec-hi" / "vocab.json").read_bytes() == b'{"b": 0}'


def test_a_fetch_that_broke_off_goes_on_at_the_next_command(hub: Hub, models: Path) -> None:
    files = hub.repositories[CTC]
    files["model.safetensors"] = os.urandom(2_000_000)
    hub.cut_after, hub.cuts = 0, 1 << 30
    result = ivr("pull", "indicwav2vec-hi")
    assert result.exit_code == 2 and "again and again" in result.output
    hub.cut_after, hub.cuts = 700_000, 2
    assert ivr("pull", "indicwav2vec-hi").exit_code == 0
    assert len(hub.ranges) == 2
    assert (models / "indicwav2vec-hi" / "model.safetensors").read_bytes() == files[
        "model.safetensors"
    ]


def test_files_of_an_older_commit_are_not_mixed_in(hub: Hub, models: Path) -> None:
    place = models / ".partial" / "indicwav2vec-hi"
    (place / "files").mkdir(parents=True)
    (place / "commit").write_text("an older one")
    (place / "files" / "vocab.json").write_bytes(b'{"old": 0}')
    (place / "files" / "stale.json").touch()
    assert ivr("pull", "indicwav2vec-hi").exit_code == 0
    assert not (models / "indicwav2vec-hi" / "stale.json").exists()
    assert (models / "indicwav2vec-hi" / "vocab.json").read_bytes() == b'{"a": 0}'


def test_files_that_are_here_already_are_not_fetched(hub: Hub, models: Path) -> None:
    files = hub.repositories[CTC]
    place = models / ".partial" / "indicwav2vec-hi"
    (place / "files").mkdir(parents=True)
    (place / "commit").write_text(hub.commit)
    (place / "files" / "model.safetensors").write_bytes(files["model.safetensors"])
    assert ivr("pull", "indicwav2vec-hi").exit_code == 0
    assert hub.served < 5000


def test_a_lying_hub_is_found_out(hub: Hub, models: Path) -> None:
    hub.wrong_digests = True
    result = ivr("pull", "indicwav2vec-hi")
    assert result.exit_code == 2
    assert "SHA-256" in result.output and "promised" in result.output
    assert not (models / "indicwav2vec-hi").exists()


def test_an_account_is_asked_for_and_used(hub: Hub, models: Path) -> None:
    hub.token = "hf_abc"
    result = ivr("pull", "indicwav2vec-hi")
    assert result.exit_code == 2
    assert "HF_TOKEN" in result.output and f"{hub.url}/{CTC}" in result.output
    assert ivr("pull", "indicwav2vec-hi", HF_TOKEN="hf_abc").exit_code == 0
    assert "hf_abc" not in (models / "indicwav2vec-hi" / "manifest.json").read_text()


def test_no_network_is_said_with_the_way_round(models: Path) -> None:
    result = ivr("pull", "indicwav2vec-hi", HF_ENDPOINT=f"http://127.0.0.1:{free_port()}")
    assert result.exit_code == 2
    assert "cannot be reached" in result.output and "--from FOLDER" in result.output
    assert "Traceback" not in result.output


def test_a_repository_without_weights_is_said(hub: Hub, models: Path) -> None:
    del hub.repositories[CTC]["model.safetensors"], hub.repositories[CTC]["pytorch_model.bin"]
    result = ivr("pull", "indicwav2vec-hi")
    assert result.exit_code == 2
    assert "no weights" in result.output and "Wav2Vec2" in result.output


def test_a_file_name_that_climbs_out_is_refused(hub: Hub, models: Path) -> None:
    hub.repositories[CTC]["../../evil.json"] = b"{}"
    result = ivr("pull", "indicwav2vec-hi")
    assert result.exit_code == 2 and "refused" in result.output
    assert not list(models.parent.parent.rglob("evil.json"))


def test_an_unknown_name_is_answered_with_the_nearest(models: Path) -> None:
    result = ivr("pull", "indicwav2vec-hindi")
    assert result.exit_code == 2 and "Did you mean indicwav2vec-hi" in result.output
    assert "nothing to fetch" in ivr("pull", "espeak").output


# From a release


def test_a_release_is_fetched_and_unpacked(hub: Hub, models: Path) -> None:
    hub.files["/new/hi.zip"] = voice_zip("hi")
    release(models, hub, "/old/hi.zip", "/new/hi.zip")  # the first is gone
    assert pulled("voice-hi")["ready"]
    assert (models / "voice-hi" / "fastpitch" / "best_model.pth").is_file()
    manifest = read_manifest(models / "voice-hi")
    assert manifest and manifest.source == f"{hub.url}/new/hi.zip"
    assert partials(models) == set()


def test_a_release_of_another_kind_is_said_and_not_kept(hub: Hub, models: Path) -> None:
    hub.files["/hi.zip"] = zipped({"m/config.json": b'{"model_type": "whisper"}',
                                   "m/model.safetensors": b"w"})  # fmt: skip
    release(models, hub, "/hi.zip")
    result = ivr("pull", "voice-hi")
    assert result.exit_code == 2
    assert "Whisper of Hugging Face" in result.output and "Coqui voice" in result.output
    assert partials(models) == set() and not (models / "voice-hi").exists()


def test_a_hostile_release_is_refused(hub: Hub, models: Path) -> None:
    hub.files["/hi.zip"] = zipped({"../../../evil": b"x"})
    release(models, hub, "/hi.zip")
    assert "refused" in ivr("pull", "voice-hi").output
    assert not list(models.parent.parent.rglob("evil"))


def test_a_full_disk_is_said_before_the_fetch(
    hub: Hub, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "MARGIN_BYTES", 1 << 60)
    result = ivr("pull", "indicwav2vec-hi")
    assert result.exit_code == 2 and "Make room" in result.output
    assert hub.served < 2000  # the listing alone


def test_two_at_once_do_not_mix(hub: Hub, models: Path) -> None:
    (models / ".partial").mkdir()
    with (models / ".partial" / "indicwav2vec-hi.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = ivr("pull", "indicwav2vec-hi")
        assert result.exit_code == 2 and "Another ivr models is at work" in result.output
    assert ivr("pull", "indicwav2vec-hi").exit_code == 0


# From what was brought


def test_a_folder_an_archive_and_a_shelf_of_them(models: Path, tmp_path: Path) -> None:
    shelf = tmp_path / "usb"
    whisper_folder(shelf / "indicwhisper-hi" / "whisper-medium-hi")
    (shelf / "ta.zip").write_bytes(voice_zip("ta"))  # by the name of its release
    result = ivr("pull", "indicwhisper-hi", "indic-tts-ta", "--from", str(shelf))
    assert result.exit_code == 0, result.output
    assert "Next: ivr models convert indicwhisper-hi" in result.output
    assert (models / ".original" / "indicwhisper-hi" / "config.json").is_file()
    assert (models / "indic-tts-ta" / "hifigan" / "best_model.pth").is_file()
    assert listed()["indicwhisper-hi"]["state"] == "fetched, to be converted"
    result = ivr("pull", "indic-tts-te", "indic-tts-kn", "--from", str(shelf))
    assert result.exit_code == 2 and "holds no indic-tts-te" in result.output


def test_a_folder_that_we_made_brings_its_manifest(hub: Hub, models: Path, tmp_path: Path) -> None:
    pulled("indicwav2vec-hi")
    usb = tmp_path / "usb"
    (models / "indicwav2vec-hi").rename(usb)
    assert pulled("indicwav2vec-hi", "--from", str(usb))["ready"]
    manifest = read_manifest(models / "indicwav2vec-hi")
    assert manifest and manifest.source == f"hf:{CTC}" and manifest.revision == COMMIT
    (usb / "vocab.json").write_bytes(b'{"x": 0}')
    result = ivr("pull", "--again", "indicwav2vec-hi", "--from", str(usb))
    assert result.exit_code == 2 and "not what its manifest says: vocab.json" in result.output
    assert (models / "indicwav2vec-hi" / "vocab.json").read_bytes() == b'{"a": 0}'  # the old one


def test_a_model_of_ones_own_is_kept_under_its_name(models: Path, tmp_path: Path) -> None:
    whisper_folder(tmp_path / "fine-tuned")
    facts = pulled("our-own", "--from", str(tmp_path / "fine-tuned"))
    assert facts["name"] == "our-own" and not facts["ready"]
    result = ivr("pull", "../evil", "--from", str(tmp_path / "fine-tuned"))
    assert result.exit_code == 2 and "cannot be a model's name" in result.output


# Away with one


def test_a_model_is_removed_but_not_one_of_the_settings(hub: Hub, models: Path) -> None:
    pulled("indicwav2vec-hi")
    run = '[{"engine": "wav2vec2", "model": "indicwav2vec-hi"}]'
    result = ivr("remove", "indicwav2vec-hi", "--yes", IVR_ENGINES__STT__RUN=run)
    assert result.exit_code == 2 and "engines.stt.run names indicwav2vec-hi" in result.output
    folder = json.dumps([{"engine": "wav2vec2", "model": str(models / "indicwav2vec-hi")}])
    assert ivr("remove", "indicwav2vec-hi", "--yes", IVR_ENGINES__STT__RUN=folder).exit_code == 2
    result = ivr("remove", "indicwav2vec-hi")
    assert result.exit_code == 2 and "--yes" in result.output
    assert ivr("remove", "indicwav2vec-hi", "--yes").exit_code == 0
    assert not (models / "indicwav2vec-hi").exists()
    assert "not here" in ivr("remove", "indicwav2vec-hi", "--yes").output
    assert "cannot be" in ivr("remove", "../../etc", "--yes").output


def test_the_list_says_where_each_stands(models: Path) -> None:
    rows = listed()
    assert rows["pocketsphinx-en"]["state"] == "built in"
    assert rows["indicwhisper-hi"]["state"] == "not here"
    assert rows["llama-3.1-8b-instruct"]["gated"]
    assert rows["indicwhisper-hi"]["address_checked"] == "published"
    (models / "junk").mkdir()
    assert listed()["junk"]["state"] == "not a model that we know"
    assert "indicwhisper-hi" in ivr("list").output
    assert "indicwhisper-hi" not in ivr("list", "--here").output


def test_a_folder_that_cannot_be_written_is_said(models: Path, tmp_path: Path) -> None:
    (models / ".partial").write_text("in the way")
    whisper_folder(tmp_path / "w")
    result = ivr("pull", "indicwhisper-hi", "--from", str(tmp_path / "w"))
    assert result.exit_code == 2 and "cannot be written" in result.output
    assert os.path.isfile(models / ".partial")


NONSENSE: list[dict[str, Any]] = [
    {"files": [{"path": ["x"], "size": {}, "sha256": 1}]},
    {"files": [{"path": "config.json", "size": "many", "sha256": ""}]},
    {"files": 7},
    {"source": {"a": 1}},
    {"revision": [1]},
]


@pytest.mark.parametrize("change", NONSENSE)
def test_a_manifest_of_nonsense_is_said_and_blocks_no_other_model(
    hub: Hub, models: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    pulled("indicwav2vec-hi")
    usb = tmp_path / "usb"
    shutil.copytree(models / "indicwav2vec-hi", usb)
    pulled("our-own", "--from", str(usb))
    manifest = usb / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | change))
    result = ivr("pull", "again", "--from", str(usb))
    assert result.exit_code == 2 and "is not a manifest that we wrote" in result.output
    shutil.copy(manifest, models / "our-own" / "manifest.json")
    assert set(listed()) >= {"our-own", "indicwav2vec-hi"}
    assert ivr("remove", "our-own", "--yes").exit_code == 0 and not (models / "our-own").exists()


def test_an_empty_folder_and_one_with_a_pipe_are_said(models: Path, tmp_path: Path) -> None:
    (tmp_path / "usb").mkdir()
    result = ivr("pull", "our-own", "--from", str(tmp_path / "usb"))
    assert result.exit_code == 2 and "is empty" in result.output
    os.mkfifo(tmp_path / "usb" / "config.json")
    result = ivr("pull", "our-own", "--from", str(tmp_path / "usb"))
    assert result.exit_code == 2 and "not a file that can be copied" in result.output
