"""install.sh on Ubuntu 24.04, from apt and the package index: Python 3.12, systemd 255."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from installbox_kit import Site, ubuntu_site

pytestmark = [pytest.mark.server, pytest.mark.sip, pytest.mark.long]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ubuntu_site(tmp_path_factory.mktemp("ubuntu")) as made:
        yield made


@pytest.fixture(scope="module")
def installed(machine: Site) -> str:
    """What the installer said."""
    return machine.install().stdout


def test_it_runs_and_has_rung_itself(machine: Site, installed: str) -> None:
    assert 'VERSION_ID="24.04"' in machine.box.run("cat /etc/os-release").stdout
    machine.has_rung_itself(installed)


def test_doctor_finds_nothing_bad(machine: Site, installed: str) -> None:
    found = machine.box.run("ivr doctor", check=False).stdout
    assert "Ubuntu 24.04" in found
    assert "BAD" not in found


def test_pauses_between_restarts_grow(machine: Site, installed: str) -> None:
    """systemd 254 and later know how (``systemd/backoff.conf``)."""
    assert int(machine.show("ivr-worker@7000", "RestartSteps")) > 1


def test_again_changes_nothing(machine: Site, installed: str) -> None:
    machine.stays_as_it_is()


def test_removal_leaves_nothing(machine: Site, installed: str) -> None:
    machine.run("--uninstall", "--purge-data")
    assert [name for name in machine.tree() if "ivr" in name] == []
    assert machine.box.run("getent passwd ivr", check=False).returncode == 2
