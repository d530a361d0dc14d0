"""installer/units.sh and start.sh: which units of a box are no longer wanted; who is waited for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from installer_kit import bash, program

PARTS = ("say", "places", "questions", "packages", "database", "redis", "freeswitch", "units")


def test_what_people_enabled_for_other_machines_stays_enabled(tmp_path: Path) -> None:
    units = tmp_path / "units"
    for name in ("ivr-engines.target.wants/ivr-stt@7105", "ivr.target.wants/ivr-worker@7001"):
        link = units / f"{name}.service"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to("/nowhere")
    enabled = "ivr-sip.service enabled\nivr-admin.service enabled\nivr-stt@.service enabled"
    program(tmp_path / "bin", "systemctl", f"[ $1 != list-unit-files ] || echo '{enabled}'")
    script = (
        f"UNITS={units} SETTINGS={tmp_path}/ivr.toml CURRENT={tmp_path}\n"
        "ANSWER[DATABASE]=url ANSWER[REDIS]=url ANSWER[FREESWITCH]=existing ANSWER[FIREWALL]=no\n"
        "units_unwanted"
    )
    done = bash(script, parts=PARTS, path=tmp_path / "bin")
    assert done.returncode == 0, done.stderr
    # another entrance came, and the settings name no second worker
    assert done.stdout.split() == ["ivr-sip.service", "ivr-worker@7001.service"]


SYSTEMCTL = """echo "$*" >>{said}
case $1 in
    restart) exit {restarted} ;;
    show) case $3 in StatusText) echo '5 engine servers are up' ;; *) echo 0 ;; esac ;;
esac"""


@dataclass
class Start:
    """The step start on a box of which ``systemctl`` says that all is well."""

    root: Path
    freeswitch: str = "none"
    restarted: int = 0
    """The status of ``systemctl restart``."""

    def run(self, script: str) -> list[str]:
        """What systemctl was asked by ``script``."""
        said = self.root / "said"
        said.write_text("")
        body = SYSTEMCTL.format(said=said, restarted=self.restarted)
        program(self.root / "bin", "systemctl", body)
        lines = [f"{name.upper()}={self.root}/{name}" for name in ("state", "current", "engines")]
        lines += [f"SETTINGS={self.root}/ivr.toml", f"FREESWITCH_CONF={self.root}/freeswitch"]
        lines += ["ANSWER[DATABASE]=url", "ANSWER[REDIS]=url", "ANSWER[FIREWALL]=no"]
        lines += [f"ANSWER[FREESWITCH]={self.freeswitch}", script]
        parts = (*PARTS, "facts", "start", "engines")
        done = bash("\n".join(lines), parts=parts, path=self.root / "bin")
        assert done.returncode == 0, done.stderr
        return said.read_text().splitlines()


@pytest.fixture
def start(tmp_path: Path) -> Start:
    (tmp_path / "state").mkdir()
    (tmp_path / "freeswitch/site").mkdir(parents=True)
    for name in ("freeswitch.xml", "site/vars.xml", "site/trunks.xml"):
        (tmp_path / "freeswitch" / name).write_text(name)
    (tmp_path / "ivr.toml").touch()
    (tmp_path / "current").symlink_to("releases/1.0")
    return Start(tmp_path)


def test_who_is_slow_at_a_restart_is_waited_for(start: Start) -> None:
    """As at a start: systemd tries again by itself."""
    (start.root / "state/started").write_text("another release\n")
    start.restarted = 1
    said = start.run("start_do; start_done")
    assert any("ivr-worker@7000.service ivr-sip.service" in one for one in said if "restart" in one)
    assert "is-active --quiet ivr-sip.service" in said


def test_freeswitch_keeps_its_calls_where_its_configuration_is_the_same(start: Start) -> None:
    start.freeswitch = "existing"
    drained = "stop ivr-worker@* ivr-switch.service"
    said = start.run("start_do; start_done")
    assert said.index(drained) < said.index("restart freeswitch")
    (start.root / "state/started").write_text("another release\n")
    (start.root / "freeswitch/site/trunks.xml").write_text("one more")  # it is told of those
    said = start.run("start_done && exit 9; start_do; start_done")
    assert "start freeswitch" in said and not {drained, "restart freeswitch"} & set(said)
    (start.root / "freeswitch/site/vars.xml").write_text("another address")
    said = start.run("start_done && exit 9; start_do; start_done")
    assert said.index(drained) < said.index("restart freeswitch")
