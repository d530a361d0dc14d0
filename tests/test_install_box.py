"""install.sh on a Debian of its own: it answers its own call, again changes nothing, removal leaves
nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from installbox_kit import Site, site

pytestmark = [pytest.mark.server, pytest.mark.sip, pytest.mark.long]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("install")) as made:
        yield made


@pytest.fixture(scope="module")
def before(machine: Site) -> dict[str, str]:
    """What lay on the box."""
    return machine.tree()


def test_a_port_that_is_taken_stops_it_before_anything_is_done(
    machine: Site, before: dict[str, str]
) -> None:
    machine.box.run("systemd-run --quiet --unit=other python3 -m http.server --bind 127.0.0.1 5060")
    machine.box.run("until ss -lnt | grep -q :5060; do sleep 0.1; done")
    done = machine.install(check=False)
    machine.box.run("systemctl stop other")
    assert done.returncode == 1
    assert "tcp port 5060 (SIP) is taken by python3" in done.stdout
    assert "not fit yet" in done.stderr
    assert machine.tree("/etc") == {k: v for k, v in before.items() if k.startswith("/etc")}


@pytest.fixture(scope="module")
def installed(machine: Site, before: dict[str, str]) -> str:
    """What the installer said."""
    return machine.install().stdout


def test_it_runs_and_has_rung_itself(machine: Site, installed: str) -> None:
    assert re.search(r"GOOD\s+Through ivr sip: answered \d+ ms after the question", installed)
    assert re.search(r"heard +what are your opening hours", installed)
    assert re.search(r"password: \S{32} ", installed), "of the first person, shown once"
    units = ("ivr-worker@7000", "ivr-sip", "ivr-pools", "ivr-admin", "ivr-jobs", "ivr-postgres")
    for unit in (*units, "redis-server@ivr", "fail2ban", "ivr.target"):
        machine.box.run(f"systemctl is-active {unit}")
    assert not machine.box.run("systemctl list-units --state=failed --no-legend 'ivr*'").stdout


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
    folders = ("/etc", "/opt/ivr/releases", "/usr/local/bin", "/var/lib/ivr-installer")
    first = machine.tree(*folders)
    pids = machine.box.run("systemctl show -p MainPID --value 'ivr-*.service'").stdout
    again = machine.install("--no-call").stdout
    second = machine.tree(*folders)
    changed = {name for name in first | second if first.get(name) != second.get(name)}
    assert changed <= {"/var/lib/ivr-installer/doctor.txt"}
    assert machine.box.run("systemctl show -p MainPID --value 'ivr-*.service'").stdout == pids
    assert again.count("already done") == 15 and "password:" not in again


def test_a_persons_edit_survives(machine: Site, installed: str) -> None:
    machine.box.run("sed -i 's/^port = 7900/port = 7901/' /etc/ivr/ivr.toml")
    planned = machine.install("--dry-run")
    assert "Settings" in planned.stdout
    machine.box.run("cd /src && . installer/places.sh; printf 'admin.port\\t7900\\n' |"
                    " python3 installer/merge.py $SETTINGS $STATE/settings.json")  # fmt: skip
    assert "port = 7901" in machine.box.run("cat /etc/ivr/ivr.toml").stdout


def test_removal_asks_about_the_data_and_leaves_nothing(
    machine: Site, before: dict[str, str], installed: str
) -> None:
    asked = machine.run("--uninstall", check=False)
    assert asked.returncode == 1 and "--keep-data or --purge-data" in asked.stderr
    machine.run("--uninstall", "--purge-data")
    after = machine.tree()
    # apt brought packages that stay; ours is everything with our name in it
    ours = [name for name in set(after) - set(before) if "ivr" in name]
    assert ours == []
    assert machine.box.run("getent passwd ivr", check=False).returncode == 2
    assert not machine.box.run("systemctl list-units --all --no-legend 'ivr*'").stdout
    assert "ivr" not in machine.box.run("nft list tables").stdout
    listening = machine.box.run("ss -Hlntu").stdout
    assert not re.search(r":(5060|7\d00|7379|7432)\b", listening), listening
