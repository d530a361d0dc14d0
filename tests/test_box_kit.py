"""The box that tests of units and installers use is what it says it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.box_kit import ROOTS, box

pytestmark = pytest.mark.server


def left() -> list[str]:
    """Folders, mounts and control groups of boxes that this process has made."""
    name = f"box-{os.getpid()}-"
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    groups = [path.parent for path in Path("/sys/fs/cgroup").glob("**/cgroup.procs")]
    found = [*ROOTS.iterdir(), *map(Path, mounts), *groups]
    return [str(path) for path in found if path.name.removeprefix("ivr-").startswith(name)]


def test_a_box_is_a_machine_of_its_own_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "given").write_text("from outside")
    with box(binds={tmp_path: "/srv/given"}) as made:
        assert len(left()) > 1
        assert made.run("cat /srv/given/given").stdout == "from outside"
        assert made.run("touch /srv/given/no", check=False).returncode != 0
        unit = "[Service]\nExecStart=/bin/sleep 100\nDynamicUser=yes\nProtectSystem=strict\n"
        (made.path / "etc/systemd/system/sleeper.service").write_text(unit)
        made.run("systemctl start sleeper")
        pid = made.run("systemctl show -p MainPID --value sleeper").stdout.strip()
        made.run(f"kill -9 {pid}")
        assert made.run("systemctl is-failed sleeper", check=False).stdout.strip() == "failed"
        assert "lo:" in made.run("ip address").stdout
        made.run("echo kept >/root/kept")
        assert "/root/kept" in made.written("/root") and "/etc/passwd" not in made.written("/etc")
        first = made.pid
        made.cut()
        assert not Path(f"/proc/{first}/root/srv").exists()
        made.boot()
        assert made.run("cat /root/kept").stdout == "kept\n"
        assert made.run("systemctl is-active sleeper", check=False).stdout == "inactive\n"
        init = made.pid
    assert not Path(f"/proc/{init}/root/srv").exists()
    assert left() == []
