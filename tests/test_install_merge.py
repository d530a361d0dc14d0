"""installer/merge.py: the installer's settings in a file that a person edits too."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from installer_kit import PARTS

sys.path.insert(0, str(PARTS))
from merge import clear, digest, drop, lookup, merge, put

sys.path.remove(str(PARTS))

WANTED = {
    "data_dir": '"/var/lib/ivr"',
    "sip.host": '"192.168.1.10"',
    "sip.allow": '["127.0.0.0/8", "192.168.1.0/24"]',
    "admin.port": "7900",
}


def test_a_new_file_holds_what_is_wanted() -> None:
    text, kept = merge("# ours\n", WANTED, memory := {})
    assert tomllib.loads(text)["sip"] == {
        "host": "192.168.1.10",
        "allow": ["127.0.0.0/8", "192.168.1.0/24"],
    }
    assert not kept and memory.keys() == WANTED.keys()
    assert "192.168" not in str(memory), "hashes, for some are secrets"


def test_again_changes_nothing() -> None:
    text, _ = merge("", WANTED, memory := {})
    assert merge(text, WANTED, memory) == (text, [])


def test_what_a_person_changed_stays_and_is_said() -> None:
    text, _ = merge("", WANTED, memory := {})
    edited = text.replace("7900", "8443  # the proxy's") + '\n[log]\nlevel = "DEBUG"\n'
    after, kept = merge(edited, WANTED | {"admin.port": "7901", "sip.host": '"10.0.0.9"'}, memory)
    told = tomllib.loads(after)
    assert told["admin"]["port"] == 8443 and kept == ["admin.port"]
    assert told["sip"]["host"] == "10.0.0.9", "what they left alone follows the answers"
    assert told["log"]["level"] == "DEBUG" and "# the proxy's" in after


def test_what_a_person_wrote_before_the_installer_stays() -> None:
    text, kept = merge('[sip]\nhost = "10.9.9.9"\n', WANTED, {})
    assert tomllib.loads(text)["sip"]["host"] == "10.9.9.9" and kept == ["sip.host"]


def test_a_list_over_several_lines_is_left_alone() -> None:
    text, _ = merge("", WANTED, memory := {})
    several = text.replace('["127.0.0.0/8", "192.168.1.0/24"]', '[\n  "127.0.0.0/8",\n]')
    memory["sip.allow"] = digest(["127.0.0.0/8"])
    after, kept = merge(several, WANTED, memory)
    assert after == several and kept == ["sip.allow"]


def test_a_setting_that_was_removed_comes_back_only_if_it_was_never_touched() -> None:
    text, _ = merge("", WANTED, memory := {})
    without = text.replace("port = 7900\n", "")
    after, kept = merge(without, WANTED, memory)
    assert lookup(tomllib.loads(after), "admin.port") is None and kept == ["admin.port"]


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,4}(\.[a-z]{1,4})?", fullmatch=True),
        st.one_of(st.integers(0, 99).map(str), st.just('"x # y"'), st.just('["a", "b"]')),
        max_size=8,
    )
)
def test_whatever_is_written_can_be_read(wanted: dict[str, str]) -> None:
    tables = {name.split(".")[0] for name in wanted if "." in name}
    wanted = {name: value for name, value in wanted.items() if name not in tables}
    text, kept = merge("# a comment\n", wanted, memory := {})
    told = tomllib.loads(text)
    for name, value in wanted.items():
        assert lookup(told, name) == tomllib.loads(f"x = {value}")["x"]
    assert not kept and merge(text, wanted, memory) == (text, [])


def test_put_keeps_every_other_line() -> None:
    text = "# a\n[sip]\n# b\nport = 1 # c\n\n[log]\nlevel = 2\n"
    assert put(text, "sip.port", "3") == text.replace("port = 1 # c", "port = 3")
    assert put(text, "sip.host", '"h"') == text.replace("# c\n", '# c\nhost = "h"\n')


def test_what_is_no_longer_wanted_goes_unless_a_person_changed_it() -> None:
    old = {"engines.llm.run": "[1]", "engines.llm.fallback.run": "[2]", "engines.tts.run": "[3]"}
    text, _ = merge("[sip]\nport = 1 # c\n", old, memory := dict[str, str]())
    new = {"engines.llm.run": "[1]"}
    after, kept = clear(text.replace("[3]", "[4]"), new, memory, "engines.")
    told = tomllib.loads(after)
    assert told == {
        "sip": {"port": 1},
        "engines": {"llm": {"run": [1], "fallback": {}}, "tts": {"run": [4]}},
    }
    assert "port = 1 # c" in after and kept == ["engines.tts.run"]
    assert memory.keys() == new.keys()
    assert clear(after, new, memory, "engines.") == (after, [])


def test_only_a_line_of_its_own_is_dropped() -> None:
    text = "[a]\nkeys = [\n  1,\n]\n[b]\nkeys = 2\n"
    assert drop(text, "b.keys") == text.replace("keys = 2\n", "")
    assert drop(text, "a.keys") is None and drop(text, "a.other") is None


def run(
    settings: Path, memory: Path, *options: str, wanted: dict[str, str] = WANTED
) -> subprocess.CompletedProcess[str]:
    lines = "".join(f"{name}\t{value}\n" for name, value in wanted.items())
    return subprocess.run(
        [sys.executable, PARTS / "merge.py", *options, settings, memory],
        input=lines, capture_output=True, text=True, timeout=20,
    )  # fmt: skip


def test_the_command(tmp_path: Path) -> None:
    settings, memory = tmp_path / "ivr.toml", tmp_path / "memory.json"
    assert run(settings, memory, "--check").returncode == 1 and not settings.exists()
    assert run(settings, memory).returncode == 0
    assert settings.stat().st_mode & 0o777 == 0o640 and memory.stat().st_mode & 0o777 == 0o600
    assert run(settings, memory, "--check").returncode == 0
    settings.write_text(settings.read_text().replace("7900", "8443"))
    assert "admin.port stays as it was edited" in run(settings, memory).stdout
    before = settings.read_text()
    assert run(settings, memory, "--check", "--all-of", "sip.").returncode == 0
    (gone := dict(WANTED)).pop("sip.host")
    assert run(settings, memory, "--check", "--all-of", "sip.", wanted=gone).returncode == 1
    assert settings.read_text() == before
    assert run(settings, memory, "--all-of", "sip.", wanted=gone).returncode == 0
    assert settings.read_text() == before.replace('host = "192.168.1.10"\n', "")


@pytest.mark.parametrize("name", ["ivr.toml", "memory.json"])
def test_a_broken_file_is_not_made_worse(tmp_path: Path, name: str) -> None:
    settings, memory = tmp_path / "ivr.toml", tmp_path / "memory.json"
    run(settings, memory)
    (tmp_path / name).write_text("[broken")
    assert run(settings, memory).returncode == 1
    assert (tmp_path / name).read_text() == "[broken"
