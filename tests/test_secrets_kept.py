"""Secrets are in files of ours alone: no command line that `ps` shows, no file that others read."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from appliance.ops.processes import plan
from appliance.settings import (
    EVENT_SOCKET_SECRET,
    MEDIA_SECRET,
    REDIS_SECRET,
    SWITCH_SECRET,
    Settings,
)
from appliance.telephony.childconfig import ChildConfig
from appliance.telephony.site import Options, configure

NAMES = (MEDIA_SECRET, SWITCH_SECRET, EVENT_SOCKET_SECRET, REDIS_SECRET)
OWN = "hunter2-of-the-operator"


def made(folder: Path) -> Settings:
    return Settings.model_validate(
        {
            "data_dir": folder / "var",
            "sip": {"registrar": "sip:127.0.0.1", "username": "u", "password": OWN},
            "engines": {"llm": {"urls": ["http://127.0.0.1:1/v1"], "model": "m", "api_key": OWN}},
            "database": {"url": f"postgresql://ivr:{OWN}@127.0.0.1:1/ivr"},
            "guard": {"url": "http://127.0.0.1:1/v1", "model": "g", "api_key": OWN},
        }
    )


def test_no_command_line_holds_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IVR_DATA_DIR", str(tmp_path / "var"))
    settings = made(tmp_path)
    secrets = [settings.secret(name) for name in NAMES] + [OWN]
    programs = plan(settings).programs
    assert len(programs) > 5
    for program in programs:
        if program.name == "redis" and program.prepare:
            program.prepare()  # its configuration holds the password, its command names the file
        said = " ".join(program.command())
        assert not any(secret in said for secret in secrets), program.name


def test_generated_secrets_are_long_different_and_ours_alone(tmp_path: Path) -> None:
    settings = made(tmp_path)
    values = {settings.secret(name) for name in NAMES}
    assert len(values) == len(NAMES) and all(len(value) >= 40 for value in values)
    assert stat.S_IMODE(settings.secrets_dir.stat().st_mode) == 0o700
    for name in NAMES:
        assert stat.S_IMODE((settings.secrets_dir / name).stat().st_mode) == 0o600


def test_what_is_printed_of_settings_and_children_holds_none(tmp_path: Path) -> None:
    settings = made(tmp_path)
    assert OWN not in repr(settings)
    child = ChildConfig(
        name="sip.0", host="127.0.0.1", public="x", proxy="x", rtp_port=1, worker_urls=(),
        secret=OWN, silent_rtp_s=1, log_level="INFO", log_json=False,
    )  # fmt: skip
    assert OWN not in repr(child)


def test_freeswitchs_folder_of_the_site_is_no_strangers_business(tmp_path: Path) -> None:
    settings = made(tmp_path)
    folder = tmp_path / "freeswitch"
    configure(settings, folder, Options())
    site = folder / "site"
    assert not stat.S_IMODE(site.stat().st_mode) & stat.S_IRWXO
    text = (site / "vars.xml").read_text()
    assert settings.secret(EVENT_SOCKET_SECRET) in text and "ClueCon" not in text
    assert not stat.S_IMODE((site / "vars.xml").stat().st_mode) & stat.S_IRWXO
