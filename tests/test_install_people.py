"""installer/people.sh on a real database: the line of the box's own calls, the key of its backups."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from installer_kit import bash

from appliance.ops.backup import keys

ADDRESS = "192.0.2.10"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    if os.geteuid() != 0:
        pytest.skip("what root does")
    for name in ("data", "state", "current"):
        (tmp_path / name).mkdir()
    (tmp_path / "current/.venv").symlink_to(sys.prefix)
    return tmp_path


def run(place: Path, script: str, url: str) -> subprocess.CompletedProcess[str]:
    (place / "ivr.toml").write_text(f'data_dir = "{place}/data"\n[database]\nurl = "{url}"\n')
    lines = [f"{n.upper()}={place}/{n}" for n in ("data", "state", "current")]
    kept = {"FIRST_PASSWORD": "first", "BACKUP_IDENTITY": "identity", "BACKUP_BEGUN": "begun"}
    lines += [f"{name}={place}/state/{file}" for name, file in kept.items()]
    lines += [f"SETTINGS={place}/ivr.toml", 'ivr() { root_ivr "$@"; }']
    lines += [f'IVR_ENVIRONMENT=("IVR_SETTINGS={place}/ivr.toml" "PATH=$PATH")']
    lines += ["ANSWER[FREESWITCH]=existing", f"ANSWER[PUBLIC_ADDRESS]={ADDRESS}"]
    parts = ("say", "places", "questions", "redis", "freeswitch", "people")
    return bash("\n".join([*lines, script]), parts=parts)


@pytest.mark.server
def test_this_machine_becomes_a_trunk_of_its_own_freeswitch(place: Path, database_url: str) -> None:
    done = run(place, "line_done || line_do; line_done", database_url)
    assert done.returncode == 0, done.stderr
    # who removes it is not given it again; at another address it moves along
    moved = "ANSWER[PUBLIC_ADDRESS]=192.0.2.11; line_done && exit 9; line_do; ivr trunks --json"
    told = run(place, moved, database_url).stdout.splitlines()[-1]
    assert told.count('"name":"doctor"') == 1
    assert '"proxy":"192.0.2.11:5999"' in told and '["192.0.2.11/32"]' in told


@pytest.mark.server
def test_the_key_of_backups_leaves_the_box(place: Path, database_url: str) -> None:
    disk = place / "usb"
    disk.mkdir()
    file = disk / "identity.txt"
    wanted = f"ANSWER[BACKUP_KEY]={file}; "
    done = run(place, wanted + "backup_done && exit 9; backup_do; backup_done", database_url)
    assert done.returncode == 0, done.stderr
    assert "AGE-SECRET" not in done.stdout + done.stderr
    assert file.stat().st_mode & 0o777 == 0o600 and list(disk.iterdir()) == [file]
    identity = keys.read_identity(file)
    assert identity.secret.startswith("AGE-SECRET-KEY-1") and identity.seal
    kept = b"".join(p.read_bytes() for p in (place / "data").rglob("*") if p.is_file())
    assert identity.secret.encode() not in kept


KILLED = """
ivr() { root_ivr "$@"; kill -9 -- "-$$"; }
(set -e; STEP)
"""
"""Everything of the installer, once the command has done its work."""


@pytest.mark.server
@pytest.mark.parametrize("answer", ["yes", "file"])
def test_a_key_whose_identity_was_lost_to_a_kill_is_made_again(
    place: Path, database_url: str, answer: str
) -> None:
    """Else every backup from then on would be one that nobody can read."""
    file = place / "state/identity" if answer == "yes" else place / "usb.txt"
    wanted = f"ANSWER[BACKUP_KEY]={answer if answer == 'yes' else file}; "
    killed = run(place, wanted + KILLED.replace("STEP", "backup_do"), database_url)
    assert killed.returncode != 0
    recipient = place / "data/backup/recipient"
    lost = recipient.read_text()
    assert not file.exists()
    again = run(place, wanted + "backup_done && exit 9; backup_do; backup_done", database_url)
    assert again.returncode == 0, again.stderr
    assert recipient.read_text() != lost
    assert f"# public key: {recipient.read_text()}" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.server
def test_a_key_that_could_not_be_written_is_none(place: Path, database_url: str) -> None:
    wanted = f"ANSWER[BACKUP_KEY]={place}/nowhere/file; "
    script = "set +e; (set -e; backup_do); echo status $?; backup_undo; backup_key_is_there"
    failed = run(place, wanted + script, database_url)
    assert "status 0" not in failed.stdout and "status " in failed.stdout
    assert failed.returncode == 1 and not list((place / "state").iterdir())


@pytest.mark.server
def test_the_first_password_is_known_before_it_is_one(place: Path, database_url: str) -> None:
    """And stays until somebody has seen it: what comes after it may fail, the line may break."""
    person = "ANSWER[ADMIN_LOGIN]=asha; "
    killed = run(place, person + KILLED.replace("STEP", "people_do"), database_url)
    assert killed.returncode != 0
    password = (place / "state/first").read_text()
    assert len(password) == 32 and (place / "state/first").stat().st_mode & 0o777 == 0o600
    shown = run(place, person + "people_done && people_undo; ivr users list", database_url)
    assert shown.returncode == 0 and "asha" in shown.stdout
    assert (place / "state/first").read_text() == password


FAREWELL = """
eval "$(sed -n '/^farewell()/,/^}/p; /^tell_of_backups()/,/^}/p' $HERE/install.sh)"
NO_CALL=1
ANSWER[CONSOLE_ADDRESS]=192.0.2.10 ANSWER[CONSOLE_PORT]=7900
ANSWER[ADMIN_LOGIN]=asha ANSWER[BACKUP_KEY]=yes
"""


def test_what_is_shown_once_is_kept_until_it_has_been_seen(place: Path) -> None:
    kept = {place / "state/first": "the-password", place / "state/identity": "AGE-SECRET-KEY-1X\n"}
    for file, text in kept.items():
        file.write_text(text)
    unseen = run(place, FAREWELL + "farewell >/dev/full", "")
    assert unseen.returncode and all(file.read_text() == text for file, text in kept.items())
    seen = run(place, FAREWELL + "farewell", "")
    assert seen.returncode == 0, seen.stderr
    assert "password: the-password " in seen.stdout and "AGE-SECRET-KEY-1X" in seen.stdout
    assert not any(file.exists() for file in kept)
    assert "password" not in run(place, FAREWELL + "farewell", "").stdout
