"""Nothing under a licence that forbids it is imported, and no secret stands in the tree."""

from __future__ import annotations

import re
import subprocess
from email.message import Message
from pathlib import Path

import pytest

from appliance.errors import UserError
from appliance.ops.releases.licences import (
    SEPARATE,
    Licensed,
    Verdict,
    licensed,
    may_import,
    of_environment,
    refuse_forbidden,
)
from appliance.ops.releases.lockfile import read_lock

ROOT = Path(__file__).parent.parent
LOCKED = [one.name for one in read_lock(ROOT / "requirements.lock")]


def test_every_package_of_the_lock_may_be_used() -> None:
    found = of_environment(LOCKED)
    assert len(found) > 0.9 * len(LOCKED)  # some are for other platforms
    refuse_forbidden(found)
    assert {one.name for one in found if one.verdict is Verdict.SEPARATE} == set(SEPARATE)


def test_gpl_is_imported_by_its_own_processes_alone() -> None:
    """pjsua2's importers are programs that ``ivr sip`` and test callers start, and nobody else
    imports those."""
    importers = _importers(r"^\s*(?:import|from) pjsua2\b")
    assert importers
    reached = set()
    for path in (ROOT / "appliance").rglob("*.py"):
        if str(path.relative_to(ROOT)) in importers:
            continue
        # at the head of a module: what a process gets by importing it
        head = re.findall(r"^(?:import|from) +(\S+)(?: import (\w+))?", path.read_text(), re.M)
        named = {".".join(filter(None, pair)) for pair in head} | {pair[0] for pair in head}
        modules = {name.removesuffix(".py").replace("/", ".") for name in importers}
        reached |= {f"{path.relative_to(ROOT)} -> {module}" for module in modules & named}
    assert reached == set()


def _importers(pattern: str) -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for path in (ROOT / "appliance").rglob("*.py")
        if re.search(pattern, path.read_text(), re.M)
    }


@pytest.mark.parametrize(
    ("expression", "good"),
    [
        ("MIT", True),
        ("MIT AND Apache-2.0", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("GPL-3.0-only", False),
        ("AGPL-3.0-only", False),
        ("SSPL-1.0", False),
        ("MPL-2.0 AND (Apache-2.0 OR GPL-2.0-only)", True),
        ("(MIT OR Apache-2.0", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only OR (MIT AND AGPL-3.0-only)", False),
        ("", False),
        ("AND", False),
        ("MIT MIT", False),
    ],
)
def test_expressions(expression: str, good: bool) -> None:
    assert may_import(expression) is good


def metadata(**fields: str) -> Message:
    message = Message()
    message["Name"], message["Version"] = "some", "1"
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    return message


@pytest.mark.parametrize(
    ("message", "licence", "verdict"),
    [
        (metadata(License_Expression="MIT"), "MIT", Verdict.ALLOWED),
        (metadata(License="GPL-3.0-only"), "GPL-3.0-only", Verdict.REFUSED),
        (metadata(Classifier="License :: OSI Approved :: MIT License"), "MIT", Verdict.ALLOWED),
        (metadata(), "", Verdict.REFUSED),
        (metadata(License="Permission is\nhereby granted"), "", Verdict.REFUSED),
    ],
)
def test_what_a_package_says(message: Message, licence: str, verdict: Verdict) -> None:
    assert licensed(message) == Licensed("some", "1", licence, verdict)


def test_a_forbidden_package_is_named() -> None:
    one = Licensed("some", "1", "AGPL-3.0-only", Verdict.REFUSED)
    with pytest.raises(UserError, match=r"some \(AGPL-3.0-only\)"):
        refuse_forbidden([one])


# --- secrets --------------------------------------------------------------------------------------

SECRETS = re.compile(
    "|".join(
        (
            "-----BEGIN (?:[A-Z]+ )*PRIVATE " + r"KEY-----\n",
            r"\bAKIA[0-9A-Z]{16}\b",  # AWS
            r"\bgh[pousr]_[A-Za-z0-9]{36,}\b",  # GitHub
            r"\bgithub_pat_[A-Za-z0-9_]{60,}\b",
            r"\bglpat-[A-Za-z0-9_-]{20,}\b",  # GitLab
            r"\bxox[abprs]-[A-Za-z0-9-]{20,}\b",  # Slack
            r"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,}\b",  # model providers
            r"\bhf_[A-Za-z0-9]{30,}\b",  # Hugging Face
            r"\bAIza[0-9A-Za-z_-]{35}\b",  # Google
            r"\bpypi-[A-Za-z0-9_-]{50,}\b",
            r"\bSK[0-9a-f]{32}\b",  # Twilio
            r"\bpat_[A-Za-z0-9]{24,}\b",  # SignalWire
            r"\bAGE-SECRET-KEY-1[0-9A-Z]{58}\b",
        )
    )
)


def test_no_secret_stands_in_the_tree() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=False, timeout=30,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a git checkout: nothing says which files are ours")
    found = []
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file() and path.stat().st_size < 4 << 20:
            found += [f"{name}: {m[0][:16]}…" for m in SECRETS.finditer(_text(path))]
    assert found == []


def _text(path: Path) -> str:
    data = path.read_bytes()
    return "" if b"\0" in data[:8192] else data.decode("utf-8", "replace")


@pytest.mark.parametrize(
    "secret",
    ["AKIA" + "A" * 16, "ghp_" + "a" * 36, "hf_" + "b" * 34, "sk-ant-" + "c" * 40,
     "-----BEGIN RSA PRIVATE " + "KEY-----\nMII", "AGE-SECRET-KEY-1" + "Q" * 58],
)  # fmt: skip
def test_secrets_are_known(secret: str) -> None:
    assert SECRETS.search(f'key = "{secret}"' if "\n" not in secret else secret)
