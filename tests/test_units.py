"""systemd/: what systemd itself says of every unit, and what a booted box does with them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from appliance.__main__ import main
from appliance.commands.releases import BACK_STATUS
from appliance.settings import Settings

ROOT = Path(__file__).parent.parent
UNITS = ROOT / "systemd"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
OF_ROOT = {
    "ivr-firewall.service": "CAP_NET_ADMIN",
    "ivr-firewall-refresh.service": "CAP_NET_ADMIN",
    "ivr-upgrade-resume.service": (
        "CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL CAP_SETGID CAP_SETUID"
    ),
}
"""They put rules into the kernel, or releases onto the disk, and what that takes. All others run as the
user ivr."""
OURS = sorted(set(SERVICES) - set(OF_ROOT))
EXPECTED = {
    "ivr-worker@.service", "ivr-sip.service", "ivr-switch.service", "ivr-pools.service",
    "ivr-stt@.service", "ivr-tts@.service", "ivr-turn@.service", "ivr-embed@.service",
    "ivr-rerank@.service", "ivr-llm@.service", "ivr-jobs.service", "ivr-admin.service",
    "ivr-postgres.service", "ivr-redis.service", "ivr-backup.service",
    "ivr-engine-settings.service",
}  # fmt: skip
WORST_EXPOSURE = 3.0
IVR = "/opt/ivr/current/.venv/bin/ivr"
ANALYZE_TIMEOUT_S = 60
CALL_PATH = ("ivr-worker@.service", "ivr-sip.service", "ivr-switch.service")
ENGINES = tuple(
    f"ivr-{stage}@.service" for stage in ("stt", "tts", "turn", "embed", "rerank", "llm")
)
systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd is missing: apt-get install systemd"
)


def _lines(name: str) -> list[str]:
    return [line for line in (UNITS / name).read_text().splitlines() if line and line[0] != "#"]


def _values(name: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in _lines(name) if line.startswith(f"{key}=")]


def _value(name: str, key: str) -> str:
    found = _values(name, key)
    assert found, f"{name} has no {key}"
    return found[-1]


def _seconds(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(ms|s|min|h)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}[unit]


def _instance(name: str) -> str:
    return name.replace("@.", "@7000.")


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments],
        capture_output=True,
        text=True,
        timeout=ANALYZE_TIMEOUT_S,
        check=False,
    )


def test_all_units_of_the_box_are_there() -> None:
    assert set(SERVICES) == EXPECTED | set(OF_ROOT)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with our units beside systemd's own, and the programs that they start."""
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(UNITS, root / "etc/systemd/system")
    shutil.copytree("/lib/systemd/system", root / "usr/lib/systemd/system", symlinks=True)
    (root / "lib").symlink_to("usr/lib")
    for path in (IVR, "/usr/sbin/nft"):
        program = root / path.lstrip("/")
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    for name in SERVICES:
        wanted_by = _values(name, "WantedBy")
        if wanted_by:  # as if all were enabled: else no cycle of theirs would be found
            folder = root / f"etc/systemd/system/{wanted_by[0]}.wants"
            folder.mkdir(exist_ok=True)
            (folder / _instance(name)).symlink_to(f"../{name}")
    return root


@systemd
def test_systemd_finds_nothing_wrong_with_any_unit(installed: Path) -> None:
    names = [
        path.name
        for path in UNITS.iterdir()
        if path.suffix in (".service", ".slice", ".timer", ".path")
    ]
    names = [_instance(name) for name in (*names, "ivr.target", "ivr-engines.target")]
    done = _analyze("verify", "--man=no", f"--root={installed}", *names)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@systemd
def test_it_does_find_what_is_wrong(installed: Path) -> None:
    """Else the test above says nothing."""
    bad = installed / "etc/systemd/system/bad.service"
    bad.write_text("[Service]\nExecStart=/nowhere\nRestartt=always\n")
    done = _analyze("verify", "--man=no", f"--root={installed}", "bad.service")
    bad.unlink()
    assert done.returncode
    assert "Restartt" in done.stderr


@systemd
@pytest.mark.parametrize("name", SERVICES)
def test_no_service_is_exposed(name: str, tmp_path: Path) -> None:
    unit = tmp_path / _instance(name)
    shutil.copy(UNITS / name, unit)
    done = _analyze("security", "--offline=true", "--no-pager", str(unit))
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= WORST_EXPOSURE


@pytest.mark.parametrize("name", sorted({*OURS, *OF_ROOT} - {"ivr-firewall.service"}))
def test_what_a_unit_starts_is_a_command_of_ours(name: str) -> None:
    program, *words = _value(name, "ExecStart").split()
    assert program == IVR
    context, group = click.Context(main), main
    for word in words:
        if not word.isalpha() or not isinstance(group, click.Group):
            break
        group = group.get_command(context, word)  # type: ignore[assignment]
        assert group is not None, f"there is no ivr {' '.join(words)}"


def test_the_same_hardening_stands_in_every_unit() -> None:
    """systemd has no include; what differs stands above the block."""
    mark = "# What it may not do"
    blocks = {
        (UNITS / name).read_text().partition(mark)[2].partition("[Install]")[0].strip()
        for name in OURS
    }
    assert len(blocks) == 1
    assert {_value(name, "User") for name in OURS} == {"ivr"}
    assert {_value(name, "CapabilityBoundingSet") for name in OURS} == {""}
    assert {name: _value(name, "CapabilityBoundingSet") for name in OF_ROOT} == OF_ROOT
    assert "NoNewPrivileges=yes" in blocks.pop()


@pytest.mark.parametrize("name", OURS)
def test_nothing_ends_for_ever(name: str) -> None:
    """A box whose database was away for a night answers again in the morning."""
    if _value(name, "Type") == "oneshot":
        return
    assert _value(name, "StartLimitIntervalSec") == "0"
    assert _value(name, "Restart") == "always"
    assert _seconds(_value(name, "RestartSec")) <= 5


@pytest.mark.parametrize(
    "name", sorted(EXPECTED - {"ivr-backup.service", "ivr-engine-settings.service"})
)
def test_whoever_hangs_is_noticed(name: str) -> None:
    assert _value(name, "Type") == "notify"
    assert _seconds(_value(name, "WatchdogSec")) <= 60


@pytest.mark.parametrize("name", CALL_PATH)
def test_the_call_path_comes_first(name: str) -> None:
    assert _value(name, "Slice") == "ivr-calls.slice"
    assert int(_value(name, "OOMScoreAdjust")) < int(
        _value("ivr-postgres.service", "OOMScoreAdjust")
    )
    assert int(_value("ivr-jobs.service", "OOMScoreAdjust")) > 500


def test_shares_put_calls_before_engines_before_what_can_wait() -> None:
    for share in ("CPUWeight", "IOWeight"):
        calls, background = (int(_value(f"ivr-{n}.slice", share)) for n in ("calls", "background"))
        engines = int(_value("ivr-engines.slice", share))
        assert calls >= 2 * engines >= 20 * background
    for bound in ("MemoryHigh", "MemoryMax", "TasksMax"):
        assert _value("ivr-background.slice", bound)


@pytest.mark.parametrize("name", ["ivr-worker@.service", "ivr-sip.service"])
def test_there_is_time_to_drain(name: str) -> None:
    assert _seconds(_value(name, "TimeoutStopSec")) > Settings().worker.drain_timeout_s
    assert _value(name, "KillMode") == "mixed"


@pytest.mark.parametrize("name", ENGINES)
def test_engines_see_their_own_key_and_no_recording(name: str) -> None:
    assert _value(name, "TemporaryFileSystem") == "/var/lib/ivr:ro"
    seen = _values(name, "BindReadOnlyPaths") + _values(name, "BindPaths")
    key = "-/var/lib/ivr/secrets/engines"
    assert " ".join(seen).split() == ["-/var/lib/ivr/models", key, "-/var/lib/ivr/cache"]
    assert _value(name, "IPAddressDeny") == "any"
    assert _value(name, "IPAddressAllow") == "localhost"


@pytest.mark.parametrize("name", [*ENGINES, "ivr-pools.service"])
def test_engines_read_settings_without_passwords(name: str) -> None:
    assert _values(name, "Environment")[0] == "IVR_SETTINGS=/run/ivr-engines/ivr.toml"
    hidden = _value(name, "InaccessiblePaths").split()
    assert {"-/etc/ivr", "-/run/postgresql", "-/run/redis"} <= set(hidden)
    assert "postgres" not in " ".join(_values(name, "BindReadOnlyPaths"))
    for key in ("Wants", "After"):
        assert "ivr-engine-settings.service" in _value(name, key)
    assert _value("ivr-engine-settings.service", "ExecStart").endswith(" /run/ivr-engines/ivr.toml")


def test_an_upgrade_that_went_back_is_not_tried_again_and_one_that_crashed_is() -> None:
    text = (UNITS / "ivr-upgrade-resume.service").read_text()
    assert f"\nSuccessExitStatus={BACK_STATUS}\n" in text and "\nRestart=on-failure\n" in text
    assert BACK_STATUS not in (1, 2), "what a crash and a refusal leave"
