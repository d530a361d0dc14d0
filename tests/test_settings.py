"""Settings: one file, the environment over it, and one sentence about what is wrong."""

from __future__ import annotations

import multiprocessing
import stat
import threading
import tomllib
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import UserError
from appliance.settings import Settings, load


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "ivr.toml"
    path.write_text(text)
    return path


def test_defaults_need_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(environ={}) == Settings()


def test_the_example_has_every_setting_with_its_default() -> None:
    file = Path(__file__).parent.parent / "ivr.toml.example"
    shown = tomllib.loads(file.read_text())
    assert Settings.model_validate(shown) == Settings()
    assert _names(shown) == _names(Settings().model_dump())


def _names(values: dict[str, Any], above: str = "") -> set[str]:
    names = set()
    for name, value in values.items():
        inside = isinstance(value, dict)
        names |= _names(value, f"{above}{name}.") if inside else {f"{above}{name}"}
    return names


def test_the_file_is_read_and_the_environment_overrides_it(tmp_path: Path) -> None:
    path = written(
        tmp_path, '[worker]\nport = 7100\nhost = "0.0.0.0"\n[engines.llm]\nmodel = "m"\n'
    )
    settings = load(path, {})
    assert (settings.worker.port, settings.engines.llm.model) == (7100, "m")
    environ = {
        "IVR_WORKER__PORT": "7200",
        "IVR_ENGINES__LLM__URLS": '["http://a:1","http://b:2"]',
        "IVR_DATA_DIR": str(tmp_path),
        "IVR_SIP__ALLOW": '["10.0.0.0/8"]',
        "IVR_WORKER__RECORDINGS": "false",
        "OTHER__THING": "x",
        "IVR_SOMETHING_ELSE": "another tool's",
    }
    settings = load(path, environ)
    assert settings.worker.port == 7200 and settings.worker.host == "0.0.0.0"
    assert settings.engines.llm.urls == ("http://a:1", "http://b:2")
    assert settings.engines.llm.model == "m" and settings.data_dir == tmp_path
    assert str(settings.sip.allow[0]) == "10.0.0.0/8" and not settings.worker.recordings


def test_the_file_may_be_named_in_the_environment(tmp_path: Path) -> None:
    path = written(tmp_path, "[worker]\nport = 7100\n")
    assert load(environ={"IVR_SETTINGS": str(path)}).worker.port == 7100


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({"IVR_WORKER__PORT": "many"}, ["worker.port", "many"]),
        ({"IVR_WORKER__PORT": "0"}, ["worker.port"]),
        ({"IVR_WORKER__PORTT": "7000"}, ["worker.portt", "spelling"]),
        ({"IVR_WROKER__PORT": "7000"}, ["wroker", "spelling"]),
        ({"IVR_SIP__ALLOW": '["10.0.0.0/99"]'}, ["sip.allow"]),
        ({"IVR_SIP__ALLOW": "[10.0"}, ["IVR_SIP__ALLOW", "JSON"]),
        ({"IVR_LOG__LEVEL": "LOUD"}, ["log.level", "LOUD"]),
        ({"IVR_DATA_DIR": "var", "IVR_DATA_DIR__X": "1"}, ["DATA_DIR"]),
        ({"IVR_WORKER": "x", "IVR_WORKER__PORT": "1"}, ["IVR_WORKER__PORT"]),
        ({"IVR_WORKER": "[]"}, ["worker"]),
        ({"IVR_SETTINGS": "/nowhere/ivr.toml"}, ["/nowhere/ivr.toml"]),
    ],
)
def test_a_bad_value_is_named_in_one_sentence(
    environ: dict[str, str], names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as e:
        load(environ=environ)
    assert all(name in str(e.value) for name in names), str(e.value)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"[worker\n", ["not valid TOML"]),
        (b"[worker]\nport = 'x'\n", ["worker.port"]),
        (b"worker = 5\n", ["worker"]),
        (b"\xff\xfe", ["UTF-8"]),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: bytes, names: list[str]) -> None:
    path = tmp_path / "ivr.toml"
    path.write_bytes(content)
    with pytest.raises(UserError) as e:
        load(path, {})
    assert all(name in str(e.value) for name in names)


def test_a_file_that_is_none_or_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no settings file"):
        load(tmp_path / "none.toml", {})
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path, {})


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().worker.port = 1  # type: ignore[misc]


def test_nothing_secret_is_shown() -> None:
    environ = {
        "IVR_DATABASE__URL": "postgresql://ivr:hunter2@db/ivr",
        "IVR_ENGINES__LLM__API_KEY": "hunter2",
        "IVR_SIP__PASSWORD": "hunter2",
    }
    settings = load(environ=environ)
    assert settings.sip.password == settings.engines.llm.api_key == "hunter2"
    assert "hunter2" not in f"{settings!r} {settings} {settings.engines!r} {settings.database}"


# --- generated secrets ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "[sip]\npassword = 471147",
        "[engines.llm]\napi_key = 471147",
        "[database]\nurl = 471147",
        "[[sip]]\npassword = '471147'",
        "[engines]\nllm = [{api_key = '471147'}]",
    ],
)
def test_the_complaint_about_a_secret_does_not_tell_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "ivr.toml"
    file.write_text(text)
    with pytest.raises(UserError) as trouble:
        load(file, {})
    assert "471147" not in str(trouble.value) and "Setting " in str(trouble.value)


def test_an_empty_secret_is_none(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    settings.secret("media")
    (settings.secrets_dir / "media").write_text("\n")
    with pytest.raises(UserError, match="is empty"):
        settings.secret("media")


def test_a_secret_is_made_once_and_kept_to_ourselves(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "var")
    secret = settings.secret("media")
    assert len(secret) >= 40 and settings.secret("media") == secret
    assert settings.secret("other") != secret
    path = settings.secrets_dir / "media"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert sorted(p.name for p in path.parent.iterdir()) == ["media", "other"]


def _secret(folder: Path) -> str:
    return Settings(data_dir=folder).secret("media")


def test_processes_that_start_together_get_the_same_secret(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    with context.Pool(4) as pool:
        for n in range(5):
            assert len(set(pool.map(_secret, [tmp_path / str(n)] * 8, chunksize=1))) == 1


def test_threads_that_start_together_get_the_same_secret(tmp_path: Path) -> None:
    for n in range(20):
        got: list[str] = []
        barrier = threading.Barrier(4)

        def make(folder: Path, got: list[str] = got, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            got.append(_secret(folder))

        threads = [threading.Thread(target=make, args=(tmp_path / str(n),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 4 and len(set(got)) == 1


def test_the_spare_worker_is_given_calls_too() -> None:
    urls = ("ws://127.0.0.1:7000",)
    assert Settings().worker.and_spare(urls) == urls
    spare = load(environ={"IVR_WORKER__SPARE_PORT": "7099", "IVR_WORKER__HOST": "0.0.0.0"}).worker
    assert spare.and_spare(urls) == (*urls, "ws://127.0.0.1:7099")
    assert spare.and_spare(("ws://127.0.0.1:7099",)) == ("ws://127.0.0.1:7099",)
