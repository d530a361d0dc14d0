"""installer/questions.sh: answers from a file are checked before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest
from installer_kit import ROOT, bash, program

PARTS = ("say", "places", "facts", "questions")
SETTLE = 'SETTINGS=/nowhere\nread_answers "$FILE"\nsettle_answers\n'
SHOW = 'for name in "${!ANSWER[@]}"; do echo "$name=${ANSWER[$name]}"; done'


def settle(tmp_path: Path, text: str, after: str = SHOW) -> tuple[int, dict[str, str], str]:
    """Status, the answers, and what was said."""
    file = tmp_path / "answers"
    file.write_text(text)
    program(tmp_path / "bin", "nvidia-smi", "exit 9")
    done = bash(SETTLE + after, parts=PARTS, path=tmp_path / "bin", environment={"FILE": str(file)})
    pairs = (line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return done.returncode, {name: value for name, value in pairs}, done.stderr


def test_what_is_left_out_takes_its_default(tmp_path: Path) -> None:
    status, answers, said = settle(tmp_path, "PUBLIC_ADDRESS=192.168.1.10\nADMIN_LOGIN='asha'\n")
    assert status == 0, said
    assert answers["ADMIN_LOGIN"] == "asha"
    assert answers["CONSOLE_ADDRESS"] == "192.168.1.10"
    assert (answers["FREESWITCH"], answers["PROFILE"]) == ("none", "demo")


def test_the_example_is_good(tmp_path: Path) -> None:
    status, _, said = settle(tmp_path, (ROOT / "installer/answers.example").read_text())
    assert status == 0, said


def test_the_example_names_every_answer(tmp_path: Path) -> None:
    names = 'for entry in "${QUESTIONS[@]}"; do echo "${entry%%|*}=1"; done; for n in $OTHER_ANSWERS; do echo "$n=1"; done'  # noqa: E501
    _, known, _ = settle(tmp_path, "", names)
    lines = (ROOT / "installer/answers.example").read_text().splitlines()
    assert {line.split("=")[0] for line in lines if line and line[0] != "#"} == set(known)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("PUBLIC_ADDRESS=300.1.1.1", "no IPv4 address"),
        ("PUBLIC_ADDRESS=pbx.example", "no IPv4 address"),
        ("EXTERNAL_ADDRESS=1.2.3", "no IPv4 address"),
        ("PHONE_NETWORKS=10.0.0.0/8,10.0.0.0/33", "10.0.0.0/33 is no network"),
        ("PHONE_NETWORKS=0.0.0.0/0", "whole internet"),
        ("ADMIN_LOGIN=Asha Rao", "ADMIN_LOGIN"),
        ("ADMIN_LOGIN=$(reboot)", "ADMIN_LOGIN"),
        ("PROFILE=cloud", "one of demo gpu"),
        ("LANGUAGES=english", "codes such as en,hi"),
        ("FREESWITCH=asterisk", "existing, signalwire, folder:/PATH or none"),
        ("FREESWITCH=folder:/nowhere", "no .deb file in /nowhere"),
        ("FREESWITCH=signalwire", "needs a token"),
        ("CONSOLE_PORT=70000", "no port"),
        ("CONSOLE_CERTIFICATE=/nowhere.pem", "nothing in /nowhere.pem"),
        ("DATABASE=mysql", "one of auto embedded package url"),
        ("DATABASE=url", "DATABASE_URL_FILE"),
        ("REDIS=url", "REDIS_URL_FILE"),
        ("FIREWALL=maybe", "one of yes no"),
        ("TIMEZONE=Mars/Olympus", "no time zone"),
        ("COUNTRY=India", "two letters"),
        ("BACKUP_KEY=/var/lib/ivr/identity.txt", "must not stay on this box"),
        ("BACKUP_KEY=/nowhere/identity.txt", "no folder /nowhere"),
        ("BACKUP_KEY=perhaps", "yes, or a file"),
        ("PASSWORD=secret", "there is no answer PASSWORD"),
        ("just words", "neither NAME=value nor a # comment"),
    ],
)
def test_a_wrong_answer_stops_with_its_name(tmp_path: Path, line: str, words: str) -> None:
    status, _, said = settle(tmp_path, line + "\n")
    assert status == 1
    assert words in said and "What to do" in said


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    _, _, said = settle(tmp_path, "PROFILE=x\nFIREWALL=x\nCOUNTRY=x\n")
    assert all(name in said for name in ("PROFILE=x", "FIREWALL=x", "COUNTRY=x"))


def test_a_file_of_answers_is_never_run(tmp_path: Path) -> None:
    status, answers, _ = settle(tmp_path, f"EXTERNAL_ADDRESS=$(touch {tmp_path}/ran)\n")
    assert status == 1 and not answers
    settle(tmp_path, f"TIMEZONE=`touch {tmp_path}/ran`\n")
    assert not (tmp_path / "ran").exists()
