"""What is written of bundles and their keys names the files that `ivr bundle` makes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.__main__ import main

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "install.sh", ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
KEYGEN = re.compile(r"ivr bundle keygen ([\w./]+)")
WANTED = re.compile(
    r"(install\.sh|ivr upgrade|ivr bundle (?:create|verify))[^\n#]*? --key ([\w./]+)"
)
HELP = (("bundle", "keygen"), ("bundle", "create"), ("bundle", "verify"), ("upgrade",))


@pytest.fixture(scope="module")
def texts() -> list[str]:
    helps = [CliRunner().invoke(main, [*words, "--help"]).output for words in HELP]
    return [*(page.read_text("utf-8") for page in PAGES), *helps]


@pytest.fixture
def made(tmp_path: Path) -> set[str]:
    """Names of what `ivr bundle keygen release.key` writes."""
    done = CliRunner().invoke(main, ["bundle", "keygen", str(tmp_path / "release.key")])
    assert done.exit_code == 0, done.output
    return {path.name for path in tmp_path.iterdir()}


def test_keys_are_named_as_they_are_made(texts: list[str], made: set[str]) -> None:
    private, public = sorted(made, key=len)
    assert (private, public) == ("release.key", "release.key.pub")
    assert {name for text in texts for name in KEYGEN.findall(text)} == {private, "FILE"}
    found = [one for text in texts for one in WANTED.findall(text)]
    assert {command for command, _ in found} == {
        "install.sh", "ivr upgrade", "ivr bundle create", "ivr bundle verify",
    }  # fmt: skip
    for command, named in found:
        wanted = private if command == "ivr bundle create" else public
        assert Path(named).name == wanted, (command, named)
