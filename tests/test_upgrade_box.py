"""`ivr upgrade` on a box with its own systemd: a call goes on, a sick release is left by itself,
another is rolled back, and an upgrade that a power cut stopped is finished at boot. One box,
in this order."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from installbox_kit import PYTHON, Site, site
from upgradebox_kit import (
    UPGRADE_TIMEOUT_S,
    begin,
    finished,
    in_force,
    said,
    spoken_through,
    until_said,
)

from appliance.commands.releases import BACK_STATUS
from tests.test_upgrade_site import BAD_CHECK, checkout

pytestmark = [pytest.mark.server, pytest.mark.sip, pytest.mark.long]

OLD, NEW, SICK, NEXT = "0.1.0", "0.2.0", "0.3.0", "0.4.0"
RESUME_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 30.0
OVER = {"ActiveState=inactive", "Result=success", "NRestarts=0"}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A box with this source in force, and checkouts of later versions."""
    tmp = tmp_path_factory.mktemp("upgrade")
    (sources := tmp / "sources").mkdir()
    checkout(sources / NEW, NEW, ["9001"])
    sick = checkout(sources / SICK, SICK, ["9001", "9002"])
    with (sick / "appliance" / "ops" / "doctor" / "disk.py").open("a") as check:
        check.write(BAD_CHECK)
    checkout(sources / NEXT, NEXT, ["9001", "9002", "9003"])  # the sick one left 9002 behind
    with site(tmp, sources) as made:
        made.install("--no-call")
        yield made


def test_a_call_goes_on_while_its_box_is_upgraded(machine: Site) -> None:
    begin(machine, f"ivr upgrade --checkout /sources/{NEW}")
    spoken_through(machine, OLD)
    assert finished(machine) == 0, said(machine)
    assert in_force(machine) == (NEW, {NEW})


def test_a_sick_version_is_left_by_itself(machine: Site) -> None:
    begin(machine, f"ivr upgrade --checkout /sources/{SICK} --settle-s 5")
    assert finished(machine) == BACK_STATUS, said(machine)
    assert "sick" in said(machine) and f"Release {NEW} is in force." in said(machine)
    assert in_force(machine) == (NEW, {NEW})
    with machine.caller(1) as end:
        assert end() == "goes on"


def test_rolled_back(machine: Site) -> None:
    begin(machine, "ivr rollback")
    with machine.caller(1, python=PYTHON.replace("current", f"releases/{OLD}")) as end:
        assert end() == "goes on"
    assert finished(machine) == 0, said(machine)
    assert in_force(machine) == (OLD, {OLD})


@pytest.mark.parametrize(
    ("moment", "afterwards"), [("Laying", OLD), ("Asking", NEXT), ("stands in", NEXT)]
)
def test_after_a_power_cut_it_is_finished_or_cleared_away(
    machine: Site, moment: str, afterwards: str
) -> None:
    if in_force(machine)[0] == NEXT:
        machine.box.run(f"ivr rollback {OLD}", timeout_s=UPGRADE_TIMEOUT_S)
        machine.box.run(f"ivr releases remove {NEXT}")
    begin(machine, f"ivr upgrade --checkout /sources/{NEXT}")
    until_said(machine, moment)
    machine.box.cut()
    since = f"@{time.time():.0f}"  # the kernel, and with it the number of the boot, stay the same
    machine.box.boot()
    journal = machine.box.path / "opt/ivr/upgrade.json"
    machine.until("the upgrade is over", lambda: not journal.exists(), RESUME_TIMEOUT_S)
    told = machine.box.run(f"journalctl --no-pager -o cat -S {since} -u ivr-upgrade-resume").stdout
    assert in_force(machine) == (afterwards, {afterwards}), told
    assert ("cleared away" in told) == (afterwards == OLD), told
    with machine.caller(1) as end:
        assert end() == "goes on"
    machine.until("its service has ended well", lambda: resumed(machine) == OVER, STOP_TIMEOUT_S)


def resumed(machine: Site) -> set[str]:
    """What became of the service that resumes."""
    asked = "systemctl show -p ActiveState -p Result -p NRestarts ivr-upgrade-resume"
    return set(machine.box.run(asked).stdout.split())
