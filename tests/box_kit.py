"""A Debian or Ubuntu box for tests: a root of its own, booted by its own systemd in its own namespaces.

The root is kept (``boxroot_kit``); a box sees it through an overlay, so that what a test does to it is
gone with the box. Needs root, debootstrap and a Debian mirror: where one of them is missing the test is
skipped, and says which.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from boxgroup_kit import Groups, groups
from boxroot_kit import DEBIAN, INSTALLED, ROOTS, System, root

__all__ = ["INSTALLED", "ROOTS", "Box", "box"]

BOOT_TIMEOUT_S = 240.0
"""A box that was installed on starts its whole appliance with it."""
MEMORY_BYTES = 8 << 30
DISK_BYTES = 64 << 30
"""Of the disk that a box in memory sees; it takes of it what it writes."""
PROGRAMS = ("debootstrap", "unshare", "setpriv", "nsenter", "chroot", "ip", "nft")
_BOOT = """
set -e
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$PLACE/upper,workdir=$PLACE/work" "$PLACE/root"
cd "$PLACE/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys 2>/dev/null || mount --rbind /sys sys
eval "$GROUPS_MOUNT"
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

    def __init__(self, lower: Path, place: Path, *, online: bool) -> None:
        """``lower``: its root as it was made; ``place``: what it writes."""
        self._lower = lower
        self._place = place
        self._online = online
        self._power = ExitStack()
        self.pid = 0
        """Of its systemd, as we see it."""
        self.address = "127.0.0.1"
        """Where we reach it, with ``online``."""

    def boot(self) -> None:
        """Switch it on; its systemd has come up, ``running`` or ``degraded``."""
        with ExitStack() as power:
            own = power.enter_context(groups(self._place.name))
            process = _boot(self._lower, self._place, own)
            power.callback(process.wait)
            power.callback(process.kill)
            power.callback(own.kill)
            self.pid = _init_of(process, self._place)
            if self._online:
                power.enter_context(_line(self))
            _await_boot(self)
            self._power = power.pop_all()

    def cut(self) -> None:
        """A power cut: PID 1 and everything in the box is gone at once. What was written stays, also
        what no ``fsync`` had brought to a real disk."""
        self._power.close()

    @property
    def path(self) -> Path:
        """Its root, from outside."""
        return Path(f"/proc/{self.pid}/root")

    def written(self, *folders: str) -> dict[str, tuple[object, ...]]:
        """Everything that it has written (below ``folders``; else all of the disk) since it was made,
        and is there: mode, owner, size, time; of a folder and a link less."""
        found = {}
        upper = self._place / "upper"
        for folder in folders or ("/",):
            for at, names, files in os.walk(upper / folder.strip("/")):
                for name in (*names, *files):
                    path = Path(at, name)
                    if not path.is_char_device():  # the overlay's mark of what was removed
                        found["/" + str(path.relative_to(upper))] = _facts(path)
        return found

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


def _facts(path: Path) -> tuple[object, ...]:
    told = path.lstat()
    facts = (oct(told.st_mode), told.st_uid, told.st_gid)
    if path.is_symlink():
        return (*facts, os.readlink(path))
    return facts if path.is_dir() else (*facts, told.st_size, told.st_mtime_ns)


@contextmanager
def box(
    *,
    packages: Sequence[str] = INSTALLED,
    binds: Mapping[Path, str] | None = None,
    online: bool = False,
    system: System = DEBIAN,
) -> Iterator[Box]:
    """Boot a box.

    ``packages``: of ``system``, on top of ``boxroot_kit.BASE``; a set more takes a minute, once a
    machine. ``binds``: files and folders of this machine that it sees, read-only. Its network is its
    own: loopback alone, or with ``online`` an interface ``outside`` too, at ``Box.address``, which this
    machine forwards, so that apt and pip find what they find here.
    """
    _require()
    lower = root(tuple(sorted(packages)), system)
    place = _place()
    lines = [f"{source}:{target}\n" for source, target in (binds or {}).items()]
    (place / "binds").write_text("".join(lines))
    made = Box(lower, place, online=online)
    try:
        made.boot()
        yield made
    finally:
        made.cut()
        _clear(place)


def _place() -> Path:
    """Where a box writes: in memory, where there is plenty (an installation is 1 GB of small files),
    else on disk. What killed tests have left is cleared away."""
    for old in ROOTS.glob("box-*"):
        if not Path("/proc", old.name.split("-")[1]).exists():
            _clear(old)
    place = Path(tempfile.mkdtemp(prefix=f"box-{os.getpid()}-", dir=ROOTS))
    if os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") > MEMORY_BYTES:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=755", "box", str(place)]
        subprocess.run(mount, check=True, capture_output=True, timeout=10)
    for name in ("upper", "work", "root"):
        (place / name).mkdir()
    return place


def _clear(place: Path) -> None:
    if place.is_mount():
        subprocess.run(["umount", str(place)], check=True, capture_output=True, timeout=30)
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


def _boot(lower: Path, place: Path, own: Groups) -> subprocess.Popen[bytes]:
    alone = "setpriv --pdeathsig KILL unshare -m -p -f -u -i -n -C --kill-child"
    script = f'{own.join}exec {alone} bash -c "$1"'
    with (place / "boot.log").open("wb") as log:
        return subprocess.Popen(
            ["bash", "-c", script, "boot", _BOOT],
            env={
                "PATH": os.environ["PATH"],
                "LOWER": str(lower),
                "PLACE": str(place),
                "GROUPS_MOUNT": own.mount,
            },
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
    """Also what it has been given to start with it has come up."""
    until = time.monotonic() + BOOT_TIMEOUT_S
    state = ""
    while state not in ("running", "degraded"):
        if time.monotonic() > until:
            pytest.fail(f"the box did not come up: {state}")
        time.sleep(0.1)
        state = started.run("systemctl is-system-running", check=False).stdout.strip()


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
        _network(f"nft delete table ip {name}", f"ip link delete {name}")
        if not any(Path("/sys/class/net").glob("box*")):  # another box may have begun meanwhile
            forwarding.write_text(before)


def _network(*lines: str) -> None:
    for line in lines:
        subprocess.run(line.split(), check=True, capture_output=True, timeout=10)


def _assigned(environment: Mapping[str, str] | None) -> list[str]:
    return [f"{name}={value}" for name, value in (environment or {}).items()]
