"""install.sh on a Debian of its own, under its own systemd: it answers its own call, again changes
nothing, whoever is killed comes back, a stop drains, removal leaves nothing. One box, in this order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from installbox_kit import STOP_S, UNITS, Site, site

pytestmark = [pytest.mark.server, pytest.mark.sip]

HEAL_S = 60.0
DRAIN_S = 15.0
"""To begin with it: before a caller who is silent is hung up on."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("install")) as made:
        yield made


@pytest.fixture(scope="module")
def before(machine: Site) -> set[str]:
    """What lay on the box beside Debian's."""
    return set(machine.tree())


def test_a_port_that_is_taken_stops_it_before_anything_is_done(
    machine: Site, before: set[str]
) -> None:
    machine.box.run("systemd-run --quiet --unit=other python3 -m http.server --bind 127.0.0.1 5060")
    machine.box.run("until ss -lnt | grep -q :5060; do sleep 0.1; done")
    done = machine.install(check=False)
    machine.box.run("systemctl stop other")
    assert done.returncode == 1
    assert "tcp port 5060 (SIP) is taken by python3" in done.stdout
    assert "not fit yet" in done.stderr
    assert set(machine.tree("/etc", "/opt")) <= before


def test_killed_in_the_middle_nothing_runs(machine: Site, before: set[str]) -> None:
    machine.killed("ls /opt/ivr/releases/*/.venv/lib/python3*/site-packages/numpy")
    assert not machine.box.run("systemctl list-units --no-legend 'ivr*'").stdout
    assert not machine.box.run("ls /opt/ivr/releases/*/RELEASE", check=False).stdout


@pytest.fixture(scope="module")
def installed(machine: Site, before: set[str]) -> str:
    """What the installer said, which goes on where the one before was killed."""
    return machine.install().stdout


def test_it_runs_and_has_rung_itself(machine: Site, installed: str) -> None:
    machine.has_rung_itself(installed)
    assert re.search(r"password: \S{32} ", installed), "of the first person, shown once"


def test_nothing_of_it_is_readable_that_should_not_be(machine: Site, installed: str) -> None:
    password = re.search(r"password: (\S{32}) ", installed)
    assert password
    redis = machine.box.run("sed -n 's/^requirepass //p' /etc/redis/redis-ivr.conf").stdout.strip()
    for secret in (password[1], redis):
        found = machine.box.run(
            f"grep -rlF -- {secret} /etc /var/log /opt/ivr/current/share", check=False
        )
        assert set(found.stdout.split()) <= {"/etc/ivr/ivr.toml", "/etc/redis/redis-ivr.conf"}
    modes = machine.box.run(
        "stat -c '%a %U:%G' /etc/ivr/ivr.toml /var/lib/ivr /var/lib/ivr/secrets /var/lib/ivr-installer"
    ).stdout.split("\n")
    assert modes[:4] == ["640 root:ivr", "750 ivr:ivr", "700 ivr:ivr", "700 root:root"]
    writable = machine.box.run("runuser -u ivr -- find /opt/ivr -writable -not -type l").stdout
    assert writable == "", "the service may not change its own code"
    assert machine.box.run("find /var/lib/ivr -user root").stdout == ""


def test_again_changes_nothing(machine: Site, installed: str) -> None:
    machine.stays_as_it_is()


def test_a_persons_edit_survives(machine: Site, installed: str) -> None:
    machine.box.run("sed -i 's/^port = 7900/port = 7901/' /etc/ivr/ivr.toml")
    planned = machine.install("--dry-run")
    assert "Settings" in planned.stdout
    machine.box.run("cd /src && . installer/places.sh; printf 'admin.port\\t7900\\n' |"
                    " python3 installer/merge.py $SETTINGS $STATE/settings.json")  # fmt: skip
    assert "port = 7901" in machine.box.run("cat /etc/ivr/ivr.toml").stdout


def test_whoever_is_killed_comes_back_and_answers(machine: Site, installed: str) -> None:
    killed = machine.pids("ivr-worker@7000", "ivr-sip", "ivr-postgres")
    machine.box.run(f"kill -KILL {' '.join(map(str, killed.values()))}")

    def healed() -> bool:
        now = machine.pids(*killed)
        return all(now[unit] not in (0, pid) for unit, pid in killed.items()) and all(
            machine.show(unit, "ActiveState") == "active" for unit in killed
        )

    machine.until("they run again", healed, HEAL_S)
    with machine.caller(0.5) as end:
        assert end() == "goes on"


def test_a_stop_lets_the_call_finish(machine: Site, installed: str) -> None:
    with machine.caller(60) as end:
        machine.box.run("systemctl stop --no-block ivr.target")
        machine.until(
            "ivr-sip drains",
            lambda: machine.show("ivr-sip", "StatusText") == "live calls finish",
            DRAIN_S,
        )
        assert machine.state("ivr-worker@7000") and machine.state("ivr-pools")
        assert end(at_once=True) == "goes on"
    machine.until("all have stopped", lambda: not any(machine.pids(*UNITS).values()), STOP_S)
    assert {machine.show(unit, "Result") for unit in UNITS} == {"success"}


def test_freeswitch_comes_from_a_folder_of_packages(machine: Site, installed: str) -> None:
    machine.answers(FREESWITCH="folder:/debs")
    machine.install("--no-call")
    kept = machine.box.run("cat /etc/freeswitch.before-ivr.*/freeswitch.xml").stdout
    assert "theirs" in kept
    site_files = machine.box.run(
        "cat /etc/freeswitch/site/vars.xml; stat -c %U /etc/freeswitch/site"
    )
    assert "sip_address=127.0.0.1" in site_files.stdout and site_files.stdout.endswith("ivr\n")
    assert machine.box.run("systemctl is-enabled ivr-switch").stdout == "enabled\n"
    assert machine.box.run("systemctl is-enabled ivr-sip", check=False).stdout == "disabled\n"
    assert machine.box.run("systemctl is-active ivr-switch freeswitch").stdout == "active\nactive\n"
    assert "ivr" in machine.box.run("id -Gn freeswitch").stdout.split()


def test_removal_asks_about_the_data_and_leaves_nothing(
    machine: Site, before: set[str], installed: str
) -> None:
    asked = machine.run("--uninstall", check=False)
    assert asked.returncode == 1 and "--keep-data or --purge-data" in asked.stderr
    machine.run("--uninstall", "--purge-data")
    # apt brought packages that stay; ours is everything with our name in it
    assert [name for name in set(machine.tree()) - before if "ivr" in name] == []
    assert "theirs" in machine.box.run("cat /etc/freeswitch/freeswitch.xml").stdout
    assert machine.box.run("getent passwd ivr", check=False).returncode == 2
    assert not machine.box.run("systemctl list-units --all --no-legend 'ivr*'").stdout
    assert "ivr" not in machine.box.run("nft list tables").stdout
    listening = machine.box.run("ss -Hlntu").stdout
    assert not re.search(r":(5060|7\d00|7379|7432)\b", listening), listening
