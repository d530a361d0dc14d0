"""A Debian box for tests: a root of its own, booted by its own systemd in namespaces of its own.

The root is made by debootstrap once a machine and kept; a box sees it through an overlay, so that
what a test does to it is gone with the box. Needs root, debootstrap and a Debian mirror: where one of
them is missing the test is skipped, and says which.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

SUITE = "bookworm"
ROOTS = Path("/var/tmp/ivr-test-boxes")
BASE = (
    *("systemd", "systemd-sysv", "dbus", "ca-certificates", "iproute2", "procps"),
    *("python3", "python3-venv", "netbase", "tzdata"),
)
BUILD_TIMEOUT_S = 420.0
BOOT_TIMEOUT_S = 60.0
PROGRAMS = ("debootstrap", "unshare", "nsenter", "chroot", "ip", "nft")
_MASKED = (
    *("getty@tty1.service", "serial-getty@ttyS0.service", "console-getty.service"),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "systemd-networkd-wait-online.service"),
    *("systemd-udevd.service", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket"),
    *("systemd-modules-load.service", "systemd-sysctl.service", "systemd-random-seed.service"),
)
_BOOT = """
set -e
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$PLACE/upper,workdir=$PLACE/work" "$PLACE/root"
cd "$PLACE/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys 2>/dev/null || mount --rbind /sys sys
mount -t tmpfs tmpfs sys/fs/cgroup && umount sys/fs/cgroup
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for name in null zero full random urandom tty net/tun; do
    [ -e "/dev/$name" ] || continue
    mkdir -p "dev/$(dirname "$name")"
    touch "dev/$name"
    mount --bind "/dev/$name" "dev/$name"
done
while IFS=: read -r from to; do
    [ -n "$from" ] || continue
    if [ -d "$from" ]; then mkdir -p "./$to"; else mkdir -p "./$(dirname "$to")"; touch "./$to"; fi
    mount --bind "$from" "./$to"
    mount -o remount,bind,ro "./$to"
done <"$PLACE/binds"
ip link set lo up
pivot_root . mnt
umount -l /mnt
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb \\
    /lib/systemd/systemd --system --log-target=journal --show-status=0
"""


class Box:
    """One that runs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        """Of its systemd, as we see it."""
        self.address = "127.0.0.1"
        """Where we reach it, with ``online``."""

    @property
    def path(self) -> Path:
        """Its root, from outside."""
        return Path(f"/proc/{self.pid}/root")

    def run(
        self,
        command: str,
        *,
        check: bool = True,
        timeout_s: float = 60.0,
        environment: Mapping[str, str] | None = None,
        stdin: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a line of bash in the box as root. With ``check`` a failure fails the test, with what
        was said."""
        done = subprocess.run(
            [*self.enter, *_assigned(environment), "bash", "-c", command],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            input=stdin,
            check=False,
        )
        if check and done.returncode:
            pytest.fail(f"{command}: {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
        return done

    @property
    def enter(self) -> list[str]:
        """The beginning of a command that runs in the box."""
        return [
            *("nsenter", "--target", str(self.pid), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"),
            *("env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            *("HOME=/root", "LANG=C.UTF-8", "TERM=dumb"),
        ]


@contextmanager
def box(
    *,
    packages: Sequence[str] = (),
    binds: Mapping[Path, str] | None = None,
    online: bool = False,
) -> Iterator[Box]:
    """Boot a box; its systemd has come up, ``running`` or ``degraded``.

    ``packages``: Debian packages on top of ``BASE``, installed once a machine for each set of them.
    ``binds``: files and folders of this machine that it sees, read-only. Its network is its own:
    loopback alone, or with ``online`` an interface ``outside`` too, at ``Box.address``, which this
    machine forwards, so that apt and pip find what they find here.
    """
    _require()
    lower = _root(tuple(sorted(packages)))
    place = Path(tempfile.mkdtemp(prefix="box-", dir=ROOTS))
    for name in ("upper", "work", "root"):
        (place / name).mkdir()
    lines = [f"{source}:{target}\n" for source, target in (binds or {}).items()]
    (place / "binds").write_text("".join(lines))
    group = _cgroup(place.name)
    process = _boot(lower, place, group)
    try:
        started = Box(_init_of(process, place))
        with _line(started) if online else nullcontext():
            _await_boot(started)
            yield started
    finally:
        process.kill()
        process.wait()
        _remove_cgroup(group)
        shutil.rmtree(place, ignore_errors=True)


def _require() -> None:
    if os.geteuid() != 0:
        pytest.skip("a box needs root")
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(
            f"a box needs {', '.join(missing)} (apt-get install debootstrap nftables iproute2)"
        )
    if "overlay" not in Path("/proc/filesystems").read_text():
        pytest.skip("a box needs overlayfs")


def _root(packages: tuple[str, ...]) -> Path:
    """The root with ``packages``, made if it is not there."""
    ROOTS.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (ROOTS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        base = _made((), None)
        return _made(packages, base) if packages else base


def _made(packages: tuple[str, ...], base: Path | None) -> Path:
    key = hashlib.sha256(" ".join((SUITE, *BASE, "+", *packages)).encode()).hexdigest()[:12]
    root = ROOTS / f"{SUITE}-{key}"
    if root.exists():
        return root
    made = ROOTS / f"{root.name}.{os.getpid()}"
    try:
        if base is None:
            include = f"--include={','.join(BASE)}"
            _build("debootstrap", "--variant=minbase", include, SUITE, str(made))
            for unit in _MASKED:
                (made / "etc/systemd/system" / unit).symlink_to("/dev/null")
            (made / "etc/machine-id").write_text("")
        else:
            _build("cp", "-a", "--reflink=auto", str(base), str(made))
            for name in ("etc/resolv.conf", "etc/hosts"):
                shutil.copy(f"/{name}", made / name)
            install = "apt-get update && apt-get install -y --no-install-recommends "
            _build("chroot", str(made), "sh", "-c", _QUIETLY + install + " ".join(packages))
        made.rename(root)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return root


_QUIETLY = (
    "export DEBIAN_FRONTEND=noninteractive; printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d;"
    " chmod +x /usr/sbin/policy-rc.d; trap 'rm /usr/sbin/policy-rc.d' EXIT; "
)
"""Nothing that is installed starts in a root that is not booted."""


def _build(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=BUILD_TIMEOUT_S)
    except subprocess.CalledProcessError as e:
        said = (e.stdout + e.stderr).decode(errors="replace")[-500:]
        pytest.skip(f"no root for a box: {command[0]} failed, no mirror in reach? {said}")


def _boot(lower: Path, place: Path, group: Path) -> subprocess.Popen[bytes]:
    join = f'echo $$ >"{group}/cgroup.procs"'
    script = f'{join}; exec unshare -m -p -f -u -i -n -C --kill-child bash -c "$1"'
    with (place / "boot.log").open("wb") as log:
        return subprocess.Popen(
            ["bash", "-c", script, "boot", _BOOT],
            env={"PATH": os.environ["PATH"], "LOWER": str(lower), "PLACE": str(place)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _init_of(process: subprocess.Popen[bytes], place: Path) -> int:
    """The pid of its systemd: the child of ``unshare``, once it is systemd."""
    until = time.monotonic() + BOOT_TIMEOUT_S
    while time.monotonic() < until and process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        with suppress(OSError, IndexError):
            pid = int(children.read_text().split()[0])
            if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                return pid
        time.sleep(0.05)
    said = (place / "boot.log").read_text(errors="replace")[-500:]
    pytest.skip(f"systemd does not boot in namespaces here: {said}")


def _await_boot(started: Box) -> None:
    until = time.monotonic() + BOOT_TIMEOUT_S
    state = ""
    while time.monotonic() < until:
        done = started.run("systemctl is-system-running --wait", check=False, timeout_s=30)
        if (state := done.stdout.strip()) in ("running", "degraded"):
            return
        time.sleep(0.1)
    pytest.fail(f"the box did not come up: {state}")


@contextmanager
def _line(started: Box) -> Iterator[None]:
    """An interface to the box, forwarded to where we reach; and where apt and pip of this machine
    look, its own look too."""
    names = ("etc/resolv.conf", "etc/hosts", "etc/pip.conf", "etc/ssl/certs/ca-certificates.crt")
    for name in names:
        if Path("/", name).exists():
            (started.path / name).write_bytes(Path("/", name).read_bytes())
    third, name = started.pid % 250, f"box{started.pid}"
    ours, started.address = f"10.213.{third}.1", f"10.213.{third}.2"
    forwarding = Path("/proc/sys/net/ipv4/ip_forward")
    before = forwarding.read_text()
    _network(
        f"ip link add {name} type veth peer name outside netns {started.pid}",
        f"ip address add {ours}/24 dev {name}",
        f"ip link set {name} up",
        f"nft add table ip {name}",
        f"nft add chain ip {name} out {{ type nat hook postrouting priority 100 ; }}",
        f"nft add rule ip {name} out ip saddr {started.address} masquerade",
    )
    forwarding.write_text("1")
    started.run(f"ip address add {started.address}/24 dev outside; ip link set outside up")
    started.run(f"ip route add default via {ours}")
    try:
        yield
    finally:
        forwarding.write_text(before)
        _network(f"nft delete table ip {name}", f"ip link delete {name}")


def _network(*lines: str) -> None:
    for line in lines:
        subprocess.run(line.split(), check=True, capture_output=True, timeout=10)


def _cgroup(name: str) -> Path:
    """A group of the unified hierarchy, which the box takes for the whole of it."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    unified = next((Path(m[1]) for m in mounts if m[2] == "cgroup2"), None)
    if unified is None:
        pytest.skip("a box needs cgroup2")
    group = unified / f"ivr-{name}"
    group.mkdir()
    return group


def _remove_cgroup(group: Path) -> None:
    for _ in range(50):
        for folder in sorted(group.rglob("*"), reverse=True):
            if folder.is_dir():
                with suppress(OSError):
                    folder.rmdir()
        with suppress(OSError):
            group.rmdir()
        if not group.exists():
            return
        time.sleep(0.1)


def _assigned(environment: Mapping[str, str] | None) -> list[str]:
    return [f"{name}={value}" for name, value in (environment or {}).items()]
