"""install.sh when something goes wrong, and with FreeSWITCH's packages: minutes, on one box."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from installbox_kit import Site, site

pytestmark = [pytest.mark.server, pytest.mark.long]

UNIT = "[Service]\nExecStart=/usr/bin/freeswitch\n[Install]\nWantedBy=multi-user.target\n"
MAKE_USER = "#!/bin/sh\nid freeswitch >/dev/null 2>&1 || useradd --system freeswitch\n"


def _deb(folder: Path, name: str, files: dict[str, tuple[str, int]], postinst: str = "") -> None:
    """A Debian package of ``files``: their text and mode."""
    root = folder / f"{name}.d"
    control = f"Package: {name}\nVersion: 1.10.12\nArchitecture: all\nMaintainer: nobody\n"
    told = {"DEBIAN/control": (control + "Description: stands in for it\n", 0o644)} | files
    if postinst:
        told["DEBIAN/postinst"] = (postinst, 0o755)
    for path, (text, mode) in told.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
    build = ["dpkg-deb", "--build", "--root-owner-group", str(root), str(folder / f"{name}.deb")]
    subprocess.run(build, check=True, capture_output=True, timeout=60)
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    debs = tmp_path_factory.mktemp("debs")
    program = "#!/bin/sh\nexec sleep infinity\n"
    configuration = "<document>theirs</document>\n"
    files = {
        "usr/bin/freeswitch": (program, 0o755),
        "lib/systemd/system/freeswitch.service": (UNIT, 0o644),
        "etc/freeswitch/freeswitch.xml": (configuration, 0o644),
    }
    _deb(debs, "freeswitch", files, MAKE_USER)
    module = {"usr/lib/freeswitch/mod/mod_audio_stream.so": ("", 0o644)}
    _deb(debs, "mod-audio-stream", module)
    with site(tmp_path_factory.mktemp("install"), debs=debs) as made:
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
    run = "/src/install.sh --wheels /wheels --answers /root/answers"
    machine.box.run(f"systemd-run --quiet --unit=trial -p KillMode=control-group {run}")
    machine.box.run("until pgrep -f [r]equirements-box.lock; do sleep 0.2; done", timeout_s=300)
    machine.box.run("sleep 5; systemctl kill -s KILL trial; systemctl reset-failed trial || true")
    assert machine.box.run("ls /opt/ivr/releases/*/.venv").stdout, "it was in the middle"
    done = machine.install()
    assert "Through ivr sip: answered" in done.stdout


def test_freeswitch_from_a_folder_of_packages(machine: Site) -> None:
    machine.answers(FREESWITCH="folder:/debs")
    done = machine.install(check=False)
    # what stands in for FreeSWITCH takes no calls: the box says that it cannot be rung
    assert done.returncode == 1 and "Log: /var/log/ivr/install-" in done.stderr
    kept = machine.box.run("cat /etc/freeswitch.before-ivr.*/freeswitch.xml").stdout
    assert "theirs" in kept
    site = machine.box.run("cat /etc/freeswitch/site/vars.xml; stat -c %U /etc/freeswitch/site")
    assert "sip_address=127.0.0.1" in site.stdout and site.stdout.endswith("ivr\n")
    assert machine.box.run("systemctl is-enabled ivr-switch").stdout == "enabled\n"
    assert machine.box.run("systemctl is-enabled ivr-sip", check=False).stdout == "disabled\n"
    assert "ivr" in machine.box.run("id -Gn freeswitch").stdout.split()


def test_without_it_again_and_the_data_stay(machine: Site) -> None:
    machine.answers()
    assert "Through ivr sip: answered" in machine.install().stdout
    machine.run("--uninstall", "--keep-data")
    assert "theirs" in machine.box.run("cat /etc/freeswitch/freeswitch.xml").stdout
    assert machine.box.run("ls /var/lib/ivr/secrets").stdout
    machine.box.run("test ! -e /opt/ivr && test ! -e /usr/local/bin/ivr")
    machine.run("--uninstall", "--purge-data")
    machine.box.run("test ! -e /var/lib/ivr && test ! -e /etc/ivr")
