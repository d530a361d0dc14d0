"""installer/preflight.sh: what it makes of a machine, on faked facts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from installer_kit import bash, program

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'
UBUNTU = 'PRETTY_NAME="Ubuntu 24.04.1 LTS"\nID=ubuntu\nVERSION_ID="24.04"\n'
LISTENS = "udp UNCONN 0 0 0.0.0.0:{0} 0.0.0.0:*" + ' users:(("{1}",pid={2},fd=7))'


@dataclass
class Machine:
    """One that is fit; a test changes what it is about."""

    folder: Path
    programs: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def file(self, name: str, text: str) -> None:
        path = self.folder / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def cpu(self, count: int, flags: str) -> None:
        one = "processor\t: {}\nflags\t\t: fpu " + flags + "\n"
        self.file("proc/cpuinfo", "\n".join(one.format(i) for i in range(count)))

    def memory(self, mb: int) -> None:
        self.file("proc/meminfo", f"MemTotal:  {mb * 1024} kB\nMemFree: 1 kB\n")

    def findings(self) -> dict[str, Any]:
        """By code; of several the worst."""
        for name, body in self.programs.items():
            program(self.folder / "bin", name, body)
        answers = "\n".join(f"ANSWER[{name}]={value}" for name, value in self.answers.items())
        done = bash(
            f"{answers}\npreflight\nprint_findings_json",
            parts=("say", "places", "facts", "preflight"),
            path=self.folder / "bin",
            environment={"FACTS_ROOT": str(self.folder / "root")} | self.environment,
        )
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        found: dict[str, Any] = {"good": told["good"]}
        for one in told["findings"]:
            if one["check"] not in found or one["state"] == "bad":
                found[one["check"]] = one
            if one["state"] == "bad":
                assert one["do"], f"{one['check']} does not say what to do"
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.file("etc/os-release", DEBIAN)
    made.file("etc/apt/sources.list", "deb http://deb.debian.org/debian bookworm main\n")
    made.file("proc/locks", "1: FLOCK  ADVISORY  WRITE 1 00:11:99 0 EOF\n")
    (tmp_path / "root/run/systemd/system").mkdir(parents=True)
    made.cpu(8, "sse4_2 avx2")
    made.memory(16_000)
    made.programs = {
        "id": "echo 0",
        "uname": uname(),
        "ss": ":",
        "timedatectl": "echo yes",
        "systemd-detect-virt": "echo kvm",
        "apt-mark": ":",
        "dpkg": ":",
        "nvidia-smi": "exit 9",
        "systemctl": "exit 3",
        "getent": "echo 192.0.2.1 $2",
        "df": "echo Filesystem; echo x 1 1 90000 1 /",
        "findmnt": "echo rw,relatime",
        "ip": "echo '1: eth0 inet 192.168.1.10/24 brd'",
    }
    return made


def test_a_machine_that_is_fit(machine: Machine) -> None:
    found = machine.findings()
    assert found["good"]
    assert all(one["state"] == "good" for code, one in found.items() if code != "good")


Change = Callable[[Machine], object]


def fake(**programs: str) -> Change:
    """Programs that say something else; a dash is written as two underscores."""
    named = {name.replace("__", "-"): body for name, body in programs.items()}
    return lambda machine: machine.programs.update(named)


def uname(machine: str = "x86_64", kernel: str = "6.1.0-25-amd64") -> str:
    return f"case $1 in -m) echo {machine} ;; *) echo {kernel} ;; esac"


def freeswitch_runs(machine: Machine) -> None:
    machine.programs["systemctl"] = '[ "$3" = freeswitch ]'
    machine.answers["FREESWITCH"] = "none"


MUST, SHOULD = "must", "should"
JUDGED: tuple[tuple[str, str, str, str, Change], ...] = (
    ("root", MUST, "does not run as root", "sudo", fake(id="echo 1000")),
    (
        "os",
        MUST,
        "Debian GNU/Linux 13",
        "Debian 12",
        lambda m: m.file("etc/os-release", DEBIAN.replace("12", "13")),
    ),
    (
        "os",
        MUST,
        "unknown system",
        "Debian 12",
        lambda m: (m.folder / "root/etc/os-release").unlink(),
    ),
    (
        "freeswitch-packages",
        SHOULD,
        "no packages for Ubuntu",
        "FREESWITCH",
        lambda m: m.file("etc/os-release", UBUNTU),
    ),
    ("architecture", MUST, "aarch64", "Intel or AMD", fake(uname=uname("aarch64", "6.1.0"))),
    (
        "kernel",
        MUST,
        "Linux 4.19.0-21-amd64",
        "linux-image",
        fake(uname=uname("x86_64", "4.19.0-21-amd64")),
    ),
    ("kernel", MUST, "5.4-rc1", "linux-image", fake(uname=uname("x86_64", "5.4-rc1"))),
    (
        "systemd",
        MUST,
        "does not run this machine",
        "chroot",
        lambda m: (m.folder / "root/run/systemd/system").rmdir(),
    ),
    ("cpus", MUST, "1 CPU", "at least 2", lambda m: m.cpu(1, "sse4_2 avx2")),
    ("cpus", SHOULD, "3 CPUs", "4 or more", lambda m: m.cpu(3, "sse4_2 avx2")),
    ("cpu-flags", MUST, "no SSE4.2", "host", lambda m: m.cpu(8, "sse2")),
    ("cpu-flags", SHOULD, "no AVX2", "host", lambda m: m.cpu(8, "sse4_2 avx avx512f")),
    ("memory", MUST, "2000 MB", "4 GB", lambda m: m.memory(2000)),
    ("memory", SHOULD, "3900 MB", "8 GB", lambda m: m.memory(3900)),
    ("disk", MUST, "500 MB are free", "apt-get clean", fake(df="echo x; echo x 1 1 500 1 /")),
    ("disk", SHOULD, "9000 MB are free", "retention", fake(df="echo x; echo x 1 1 9000 1 /")),
    (
        "noexec",
        MUST,
        "/opt is mounted noexec",
        "remount,exec",
        fake(findmnt="echo rw,noexec,relatime"),
    ),
    ("virtualisation", MUST, "WSL", "VM", fake(systemd__detect__virt="echo wsl")),
    ("virtualisation", SHOULD, "container (lxc)", "VM", fake(systemd__detect__virt="echo lxc")),
    ("clock", SHOULD, "not synchronised", "timesyncd", fake(timedatectl="echo no")),
    ("dns", MUST, "deb.debian.org pypi.org", "resolv.conf", fake(getent="exit 2")),
    (
        "dpkg",
        MUST,
        "half installed",
        "dpkg --configure",
        fake(dpkg="echo 'The following packages are only half configured'"),
    ),
    ("held", SHOULD, "postgresql-15", "unhold", fake(apt__mark="echo postgresql-15; echo vim")),
    (
        "gpu-driver",
        SHOULD,
        "no working driver",
        "nvidia-driver",
        lambda m: m.file("sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n"),
    ),
    (
        "gpu-driver",
        SHOULD,
        "driver 525.1",
        "newer",
        fake(nvidia__smi="echo 'NVIDIA L4, 23034, 525.1'"),
    ),
    ("gpu", SHOULD, "8192 MB", "models plan", fake(nvidia__smi="echo 'RTX 3050, 8192, 580.95'")),
    ("gpu", MUST, "no NVIDIA GPU", "PROFILE=demo", lambda m: m.answers.update(PROFILE="gpu")),
    ("conflict", SHOULD, "kamailio runs here", "disable", fake(systemctl='[ "$3" = kamailio ]')),
    ("conflict", SHOULD, "FreeSWITCH runs here", "existing", freeswitch_runs),
    ("upgrade", MUST, "cut short", "--resume", lambda m: m.file("opt/ivr/upgrade.json", "{}")),
    ("firewall", SHOULD, "another firewall", "FIREWALL=no", fake(systemctl='[ "$3" = ufw ]')),
    (
        "address",
        MUST,
        "192.168.7.7",
        "ip -4 addr",
        lambda m: m.answers.update(PUBLIC_ADDRESS="192.168.7.7"),
    ),
)


@pytest.mark.parametrize(
    ("code", "level", "what", "remedy", "change"), JUDGED, ids=[f"{x[0]}-{x[2]}" for x in JUDGED]
)
def test_what_is_wrong_is_said_with_its_remedy(
    machine: Machine, code: str, level: str, what: str, remedy: str, change: Change
) -> None:
    change(machine)
    found = machine.findings()
    assert found[code]["state"] == "bad"
    assert found[code]["level"] == level
    assert what in found[code]["what"]
    assert remedy in found[code]["do"]
    assert found["good"] is (level == SHOULD)


def test_ubuntu_is_taken(machine: Machine) -> None:
    machine.file("etc/os-release", UBUNTU)
    found = machine.findings()
    assert found["good"] and found["os"]["state"] == "good"


def test_a_port_that_another_server_has(machine: Machine) -> None:
    machine.programs["ss"] = f"echo '{LISTENS.format(5060, 'asterisk', 77)}'"
    machine.file("proc/77/cgroup", "0::/system.slice/asterisk.service\n")
    found = machine.findings()
    assert not found["good"]
    assert "udp port 5060 (SIP) is taken by asterisk" in found["port-5060"]["what"]
    assert "disable --now asterisk" in found["port-5060"]["do"]


@pytest.mark.parametrize(
    "unit",
    ["ivr-sip.service", "ivr-worker@7000.service", "redis-server@ivr.service"],
)
def test_our_own_services_do_not_stand_in_the_way(machine: Machine, unit: str) -> None:
    machine.programs["ss"] = f"echo '{LISTENS.format(5060, 'ivr', 77)}'"
    machine.file("proc/77/cgroup", f"0::/ivr.slice/ivr-calls.slice/{unit}\n")
    assert machine.findings()["ports"]["state"] == "good"


def test_freeswitch_has_its_ports_where_it_is_wanted(machine: Machine) -> None:
    machine.programs["ss"] = f"echo '{LISTENS.format(5060, 'freeswitch', 77)}'"
    machine.file("proc/77/cgroup", "0::/system.slice/freeswitch.service\n")
    machine.answers["FREESWITCH"] = "none"
    assert not machine.findings()["good"]
    machine.answers["FREESWITCH"] = "existing"
    assert machine.findings()["good"]


def test_a_web_server_on_the_console_port_of_the_answers(machine: Machine) -> None:
    line = LISTENS.format(443, "apache2", 77).replace("udp UNCONN", "tcp LISTEN")
    machine.programs["ss"] = f"echo '{line}'"
    assert machine.findings()["good"], "nobody wants port 443"
    machine.answers["CONSOLE_PORT"] = "443"
    found = machine.findings()
    assert "apache2" in found["port-443"]["what"] and "CONSOLE_PORT" in found["port-443"]["do"]


def test_a_lock_of_apt_is_seen(machine: Machine) -> None:
    machine.file("var/lib/dpkg/lock-frontend", "")
    inode = (machine.folder / "root/var/lib/dpkg/lock-frontend").stat().st_ino
    machine.file("proc/locks", f"1: POSIX  ADVISORY  WRITE 812 fd:01:{inode} 0 EOF\n")
    found = machine.findings()
    assert found["good"] and found["apt-lock"]["state"] == "bad"


def test_names_are_not_asked_for_offline_or_behind_a_proxy(machine: Machine) -> None:
    machine.programs["getent"] = "exit 2"
    machine.environment["https_proxy"] = "http://proxy:3128"
    assert machine.findings()["dns"]["state"] == "skipped"


def test_the_index_of_pip_is_the_one_that_is_asked_for(machine: Machine) -> None:
    machine.file("etc/pip.conf", "[global]\nindex-url = https://u:p@pypi.example:8443/simple\n")
    machine.programs["getent"] = "[ $2 = deb.debian.org ]"
    assert "resolved: pypi.example" in machine.findings()["dns"]["what"]


def test_a_gpu_that_is_enough(machine: Machine) -> None:
    machine.answers["PROFILE"] = "gpu"
    machine.programs["df"] = "echo Filesystem; echo x 1 1 200000 1 /"
    machine.programs["nvidia-smi"] = "echo 'NVIDIA H100 80GB HBM3, 81559, 580.95.05'"
    found = machine.findings()
    assert found["good"] and "81559 MB" in found["gpu"]["what"]


def test_a_gpu_wants_room_for_its_engines(machine: Machine) -> None:
    machine.answers["PROFILE"] = "gpu"
    machine.programs["nvidia-smi"] = "echo 'NVIDIA H100 80GB HBM3, 81559, 580.95.05'"
    found = machine.findings()  # 90 GB are free where all of it goes
    assert not found["good"] and "the installation needs 113000" in found["disk"]["what"]
