"""The support bundle: secrets, numbers and words planted everywhere, and looked for in all of it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import orjson
import pytest

from appliance.ops.doctor.bundle import command, harmless, journal
from appliance.ops.doctor.bundle.masking import gap, log_line, sentence
from appliance.settings import Settings

PLANTED = {
    "password": "hunter2-Pa55",
    "key": "sk-9f8e7d6c5b4a39281706",
    "phone": "+919812345678",
    "spaced": "98123 45678",
    "aadhaar": "2345 6789 0124",
    "pan": "ABCDE1234F",
    "otp": "483920",
    "said": "mera bijli ka bill galat hai",
    "hindi": "मेरा बिल गलत है",
    "name": "Asha Raghunathan",
    "mail": "asha@example.in",
}


def leaks(data: bytes) -> list[str]:
    """What was planted and stands there."""
    text = data.decode()
    return [name for name, value in PLANTED.items() if value in text]


def planted_settings(folder: Path) -> Settings:
    """Something secret or personal in every setting of text."""
    p = PLANTED
    return Settings.model_validate(
        {
            "data_dir": folder / "var",
            "database": {"url": f"postgresql://{p['name'][:4]}:{p['password']}@127.0.0.1:9/x"},
            "redis": {"url": f"redis://:{p['password']}@127.0.0.1:9/0"},
            "sip": {"username": p["phone"], "password": p["password"], "registrar": p["phone"]},
            "switch": {"failure_to": p["phone"]},
            "guard": {
                "url": f"http://u:{p['password']}@h/v1",
                "api_key": p["key"],
                "prompt": p["said"],
            },
            "engines": {
                "llm": {"urls": [f"http://u:{p['password']}@10.0.0.9:8000"], "api_key": p["key"]},
                "stt": {"run": [{"engine": "pocketsphinx", "options": ["--token", p["key"]]}]},
            },
            "admin": {"public_url": f"https://{p['mail']}/"},
        }
    )


def test_settings_show_kinds_and_names_that_are_known_alone(tmp_path: Path) -> None:
    shown = harmless.shown(planted_settings(tmp_path))
    assert leaks(orjson.dumps(shown)) == []
    assert shown["worker"]["port"] == 7000 and shown["switch"]["timezone"] == "Asia/Kolkata"
    assert shown["sip"]["password"] == "(set)" and shown["engines"]["tts"]["timeout_ms"] == 2000
    assert shown["engines"]["llm"]["urls"] == ["http://10.0.0.9:8000"]
    assert shown["engines"]["stt"]["run"][0]["engine"] == "pocketsphinx"


def test_a_setting_that_is_new_is_not_shown_by_its_absence_from_a_list() -> None:
    """Every text that is shown in full is named; what is not named is hidden, whatever comes."""
    text = {"worker": {}, "guard": {"model": "m", "unsafe": PLANTED["said"]}}
    assert leaks(orjson.dumps(harmless.shown(Settings.model_validate(text)))) == []


@pytest.mark.parametrize("value", PLANTED.values())
def test_no_line_of_the_log_lets_a_word_in(value: str) -> None:
    lines = (
        value,
        f"< call from {value} to 1001",
        f"! stt: {value}; moving on",
        f"= agent {value} version 1 published",
        f"KeyError: {value}",
        f"! the message {value} is no number",
        f"Traceback (most recent call last): {value}",
        f"connection failed: {value}",
    )
    for line in lines:
        assert value not in log_line(line) and value not in sentence(line), line
    assert gap(value) == "…"


def test_what_tells_of_the_appliance_stays() -> None:
    assert log_line("! stt: the connection broke; moving on") == (
        "! stt: the connection broke; moving on"
    )
    assert log_line("= listening on 127.0.0.1:7101 (stt, pocketsphinx)") == (
        "= listening on 127.0.0.1:7101 (stt, pocketsphinx)"
    )
    assert log_line("= agent Asha version 3 published") == "= agent … version 3 published"
    line = '  File "/opt/ivr/current/.venv/lib/site-packages/aiohttp/client.py", line 9, in get'
    assert log_line(line).endswith("aiohttp/client.py:9 get") and "/opt" not in log_line(line)
    assert log_line("ConnectionResetError: peer Asha went") == "ConnectionResetError: …"
    assert sentence("2 cores are few for calls.") == "2 cores are few for calls."


def test_the_journal_shows_our_units_masked_and_others_not_at_all() -> None:
    p = PLANTED
    entries = [
        {"_SYSTEMD_UNIT": "ivr-worker@7000.service", "MESSAGE": f"< call from {p['phone']} to 1"},
        {"_SYSTEMD_UNIT": "ivr-sip.service", "PRIORITY": "4", "MESSAGE": p["said"]},
        {"_SYSTEMD_UNIT": "freeswitch.service", "MESSAGE": f"New Channel {p['phone']}"},
        {"_SYSTEMD_UNIT": "ivr-admin.service", "PRIORITY": "3", "MESSAGE": [1, 2, 3]},
    ]  # fmt: skip
    found = [journal.masked_entry(orjson.dumps(entry).decode()) for entry in entries]
    assert leaks("\n".join(found).encode()) == []
    assert "< call from … to 1" in found[0] and "(left out)" in found[2]
    assert journal.masked_entry("no json") == ""


def test_the_whole_bundle(tmp_path: Path) -> None:
    """Planted in settings, secrets, the spool, recordings, pools, plan and a log."""
    p, settings = PLANTED, planted_settings(tmp_path)
    everything = " ".join(p.values())
    settings.secrets_dir.mkdir(parents=True, mode=0o700)
    (settings.secrets_dir / "media").write_text(p["key"])
    (settings.secrets_dir / "switch").write_text(p["password"])
    for folder in (settings.spool_dir, settings.recordings_dir):
        folder.mkdir()
        (folder / f"{p['phone']}.jsonl").write_text(everything)
    (settings.data_dir / "pools.json").write_text(everything)
    settings.plan_file.write_text(everything)
    log = tmp_path / "up.log"
    log.write_text(
        f"2026-11-21T16:07:47.051+00:00 worker ab < call from {p['phone']} to 1\n{everything}\n"
    )
    file = tmp_path / "support.tar.gz"
    assert command.run(settings, file, [log], as_json=True) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(fileobj=io.BytesIO(file.read_bytes())) as tar:
        files = {one.name: tar.extractfile(one).read() for one in tar.getmembers()}  # type: ignore[union-attr]
    assert leaks(b"\n".join([*files.values(), *(name.encode() for name in files)])) == []
    found = orjson.loads(files["ivr-support/findings.json"])
    assert {"database-away", "mode"} <= {one["code"] for one in found}
    told = " ".join(one["what"] for one in found)
    assert "Postgres does not answer: calls go on from memory, rows wait on disk." in told
    assert b"ivr-appliance" in files["ivr-support/packages.json"]
    assert b"< call from \xe2\x80\xa6 to 1" in files["ivr-support/log-1.txt"]
