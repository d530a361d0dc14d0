"""The box that tests of units and installers use is what it says it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.box_kit import box

pytestmark = [pytest.mark.server, pytest.mark.long]


def test_a_box_is_a_machine_of_its_own_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "given").write_text("from outside")
    with box(binds={tmp_path: "/srv/given"}) as made:
        assert made.run("cat /srv/given/given").stdout == "from outside"
        assert made.run("touch /srv/given/no", check=False).returncode != 0
        unit = "[Service]\nExecStart=/bin/sleep 100\nDynamicUser=yes\nProtectSystem=strict\n"
        (made.path / "etc/systemd/system/sleeper.service").write_text(unit)
        made.run("systemctl start sleeper")
        pid = made.run("systemctl show -p MainPID --value sleeper").stdout.strip()
        made.run(f"kill -9 {pid}")
        assert made.run("systemctl is-failed sleeper", check=False).stdout.strip() == "failed"
        assert "lo:" in made.run("ip address").stdout
        init = made.pid
    assert not Path(f"/proc/{init}/root/srv").exists()
    assert not any("ivr-box-" in line for line in Path("/proc/mounts").read_text().splitlines())
