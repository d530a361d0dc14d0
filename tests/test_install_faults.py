"""install.sh on a bare box, with apt and pip as a site has them: what goes wrong, and what each run
after it makes of it. Minutes, on one box."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from installbox_kit import Site, online_site

pytestmark = [pytest.mark.server, pytest.mark.long]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with online_site(tmp_path_factory.mktemp("install")) as made:
        yield made


def _nothing_runs(machine: Site) -> None:
    assert not machine.box.run("systemctl list-units --no-legend 'ivr*'").stdout
    assert not machine.box.run("ls -A /opt/ivr/releases").stdout, "no half of a release"


def test_a_wheel_that_somebody_changed(machine: Site) -> None:
    machine.box.run("mkdir /root/wheels && cp /wheels/* /root/wheels/")
    machine.box.run("echo changed >>$(ls /root/wheels/click-[0-9]*.whl)")
    done = machine.run("--wheels /root/wheels --answers /root/answers", check=False)
    machine.box.run("rm -r /root/wheels")
    assert done.returncode == 1
    assert "step python (Release) failed" in done.stderr and "click" in done.stderr
    assert "/var/log/ivr/install-python.log" in done.stderr and "fetch the wheels" in done.stderr
    _nothing_runs(machine)


def test_a_disk_that_is_full(machine: Site) -> None:
    machine.box.run("mount -t tmpfs -o size=60m,mode=755 tmpfs /opt/ivr")
    done = machine.install(check=False)
    machine.box.run("umount /opt/ivr")
    assert done.returncode == 1 and "step python (Release) failed" in done.stderr
    assert "No space left" in machine.box.run("cat /var/log/ivr/install-python.log").stdout
    assert "make room" in done.stderr
    _nothing_runs(machine)


def test_killed_in_the_middle_the_next_run_mends_it(machine: Site) -> None:
    machine.killed("ls /opt/ivr/releases/*/.venv/lib/python3*/site-packages/numpy")
    done = machine.install()
    assert "Through ivr sip: answered" in done.stdout


def test_freeswitch_from_a_folder_of_packages(machine: Site) -> None:
    machine.answers(FREESWITCH="folder:/debs")
    done = machine.install(check=False)
    # what stands in for FreeSWITCH takes no calls: the box says that it cannot be rung
    assert done.returncode == 1 and "Log: /var/log/ivr/install-" in done.stderr
    assert "theirs" in machine.box.run("cat /etc/freeswitch.before-ivr.*/freeswitch.xml").stdout
    assert machine.box.run("systemctl is-enabled ivr-switch").stdout == "enabled\n"


def test_without_it_again_and_the_data_stay(machine: Site) -> None:
    machine.answers()
    assert "Through ivr sip: answered" in machine.install().stdout
    machine.run("--uninstall", "--keep-data")
    assert "theirs" in machine.box.run("cat /etc/freeswitch/freeswitch.xml").stdout
    assert machine.box.run("ls /var/lib/ivr/secrets").stdout
    machine.box.run("test ! -e /opt/ivr && test ! -e /usr/local/bin/ivr")
    machine.run("--uninstall", "--purge-data")
    machine.box.run("test ! -e /var/lib/ivr && test ! -e /etc/ivr")
