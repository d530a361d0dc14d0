"""The list of checks and the round that asks them: bounds, failures, what is told, what is mended."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import orjson
import pytest

from appliance.errors import UserError
from appliance.ops.alarms import Severity
from appliance.ops.doctor import command
from appliance.ops.doctor.box import Box, open_box
from appliance.ops.doctor.check import Check, Finding, Group, State, state_of, worst
from appliance.ops.doctor.checks import CHECKS
from appliance.ops.doctor.command import Options
from appliance.ops.doctor.run import chosen, examine, facts
from appliance.settings import Settings
from tests.doctor_kit import look, trouble

ROOT = Path(__file__).parent.parent


def check(
    code: str, finding: Finding | Exception | None, wait_s: float = 0.0, timeout_s: float = 20.0
) -> Check:
    async def ask(box: Box) -> Sequence[Finding]:
        await asyncio.sleep(wait_s)
        if isinstance(finding, Exception):
            raise finding
        return [finding] if finding else []

    return Check(code, code.title(), Group.MACHINE, ask, timeout_s=timeout_s)


def ivr(*arguments: str, environment: dict[str, str], status: int) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "appliance", "doctor", *arguments],
        env={k: v for k, v in os.environ.items() if not k.startswith("IVR_")} | environment,
        cwd=ROOT, text=True, check=False, capture_output=True, timeout=90,
    )  # fmt: skip
    assert done.returncode == status, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def test_every_check_has_a_name_of_its_own_and_says_how_it_looks() -> None:
    codes = [check.code for check in CHECKS]
    assert len(codes) == len(set(codes)) and len(codes) > 35
    assert all(check.how and check.title for check in CHECKS)
    groups = [list(Group).index(check.group) for check in CHECKS]
    assert groups == sorted(groups)


def test_the_worst_decides_and_an_alarm_is_a_state() -> None:
    found = [Finding("x", state, "") for state in (State.GOOD, State.SKIPPED, State.WARNING)]
    assert worst(found) is State.WARNING and worst(found[:2]) is State.GOOD
    assert worst(found[1:2]) is State.SKIPPED and worst([]) is State.SKIPPED
    assert [state_of(s) for s in (None, Severity.CRITICAL, Severity.WARNING)] == [
        State.GOOD, State.BAD, State.WARNING,
    ]  # fmt: skip


def test_a_finding_is_a_template_with_values_or_a_plain_text() -> None:
    finding = Finding("x", State.BAD, "{a} is {b}.", "Mend {a}.", {"a": "It", "b": "off"}, code="y")
    assert (finding.told, finding.advice, finding.facts()["code"]) == (
        "It is off.",
        "Mend It.",
        "y",
    )
    assert Finding("x", State.BAD, "{as it stands}").told == "{as it stands}"


async def test_no_check_fails_another_and_each_has_its_time(tmp_path: Path) -> None:
    checks = (
        check("slow", None, wait_s=60, timeout_s=0.2),
        check("good", Finding("good", State.GOOD, "Well.")),
        check("wrong", UserError("The disk is gone.")),
        check("away", OSError("no route")),
        check("bug", ZeroDivisionError()),
    )
    async with open_box(Settings(data_dir=tmp_path)) as box:
        found = [outcome async for outcome in examine(box, checks)]
    states = [(outcome.check.code, outcome.state) for outcome in found]
    assert states == [
        ("slow", State.WARNING), ("good", State.GOOD), ("wrong", State.BAD),
        ("away", State.SKIPPED), ("bug", State.WARNING),
    ]  # fmt: skip
    assert "longer than 0 s" in found[0].findings[0].told
    assert facts(found)["good"] is False and facts(found[:2])["good"] is True


async def test_looking_leaves_no_trace(tmp_path: Path) -> None:
    """A check that made secrets as root would break the service that reads them as another user."""
    settings = Settings(data_dir=tmp_path / "var")
    async with open_box(settings) as box:
        assert [outcome async for outcome in examine(box, CHECKS)]
    assert not settings.data_dir.exists()


def test_only_what_is_named_is_looked_at() -> None:
    assert [one.code for one in chosen(CHECKS, ("memory",))] == ["memory"]
    assert {one.group for one in chosen(CHECKS, ("engines",))} == {Group.ENGINES}
    assert chosen(CHECKS, ()) == CHECKS
    with pytest.raises(UserError, match="no check nonsense"):
        chosen(CHECKS, ("nonsense",))


def test_settings_that_cannot_be_read_are_a_finding(tmp_path: Path) -> None:
    file = tmp_path / "ivr.toml"
    file.write_text('data_dir = "var"\n[worker]\nprot = 7000\n')
    said = ivr("--json", environment={"IVR_SETTINGS": str(file)}, status=1)
    found = orjson.loads(said.splitlines()[-1])
    assert found["good"] is False
    assert "worker.prot does not exist" in found["findings"][0]["what"]


def run(settings: Settings, **options: Any) -> tuple[int, str]:
    """The command, in this process: status, and what it printed."""
    out = io.StringIO()
    with redirect_stdout(out):
        status = command.run(lambda: settings, Options(**options))
    return status, out.getvalue()


def test_what_cannot_be_looked_at_is_status_2(tmp_path: Path) -> None:
    ivr("--only", "nonsense", environment={"IVR_DATA_DIR": str(tmp_path)}, status=2)


def test_fix_says_what_it_does_does_it_and_looks_again(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "var")
    settings.secret("media")
    secret = settings.secrets_dir / "media"
    secret.chmod(0o644)
    half = settings.data_dir / ".plan.json.0123456789abcdef"
    half.touch()
    os.utime(half, (0, 0))
    only = ("files", "data")
    status, before = run(settings, only=only)
    assert status == 1 and str(secret) in before and secret.stat().st_mode & 0o777 == 0o644
    status, said = run(settings, only=only, fix=True)
    assert status == 0 and "Looking again" in said
    assert f"Set the mode of {secret} to 0600" in said and f"Remove {half}" in said
    assert secret.stat().st_mode & 0o777 == 0o600 and not half.exists()
    status, said = run(settings, only=only, fix=True, as_json=True)
    assert status == 0 and orjson.loads(said)["fixed"] == []


def test_what_changes_more_is_mended_with_yes_alone(
    empty_database_url: str, tmp_path: Path
) -> None:
    database = {"url": empty_database_url}
    settings = Settings.model_validate({"data_dir": tmp_path, "database": database})
    status, said = run(settings, only=("schema",), fix=True)
    assert status == 1 and "Not done without --yes" in said
    status, said = run(settings, only=("schema",), fix=True, yes=True)
    assert status == 0 and "as this version wants" in said


async def test_settings_that_open_doors_are_told(tmp_path: Path) -> None:
    open_sip = Settings.model_validate({"data_dir": tmp_path, "sip": {"allow": ["0.0.0.0/0"]}})
    assert (await trouble(open_sip, "settings")).code == "open-sip"
    plain = {"data_dir": tmp_path, "admin": {"tls": False, "host": "0.0.0.0"}}
    assert (await trouble(Settings.model_validate(plain), "settings")).code == "plain-console"
    wide = {"data_dir": tmp_path, "switch": {"playback_host": "0.0.0.0"}}
    assert (await trouble(Settings.model_validate(wide), "settings")).code == "not-loopback"


async def test_a_name_that_nobody_knows_is_told_with_its_setting(tmp_path: Path) -> None:
    settings = {"data_dir": tmp_path, "guard": {"url": "http://nowhere.invalid:8000/v1"}}
    found = await look(Settings.model_validate(settings), "dns")
    bad = [finding for finding in found if finding.state is State.BAD]
    assert len(bad) == 1 and "nowhere.invalid (guard.url)" in bad[0].told
