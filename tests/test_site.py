"""FreeSWITCH's configuration folder: made, repaired, upgraded; values that cannot be are refused."""

from __future__ import annotations

import stat
import xml.etree.ElementTree as ET
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from appliance.__main__ import main
from appliance.errors import UserError
from appliance.settings import Settings, Switch
from appliance.telephony.site import (
    NOBODY_MAY_CALL,
    SHIPPED,
    Options,
    configure,
    merge,
    port_range,
    read_variables,
    render_variables,
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", switch=Switch(esl_port=8055, max_calls=10))


def variables(folder: Path) -> dict[str, str]:
    return read_variables((folder / "site" / "vars.xml").read_text())


def test_a_folder_is_made_whole(tmp_path: Path, settings: Settings) -> None:
    made = configure(settings, tmp_path / "conf", Options())
    held = variables(made.folder)
    assert held == made.variables
    assert held["event_socket_password"] == settings.secret("event-socket")
    assert held["event_socket_port"] == "8055"
    assert held["max_sessions"] == "50"
    assert held["announcements_dir"] == str(settings.announcements_dir.resolve())
    assert (made.folder / "site" / "acl.xml").read_text() == NOBODY_MAY_CALL
    assert (made.folder / "sounds" / "apology-hi.wav").stat().st_size > 10_000
    mode = stat.S_IMODE((made.folder / "site" / "vars.xml").stat().st_mode)
    assert mode == 0o640
    assert not list(made.folder.rglob(".*"))


def test_what_is_copied_is_what_is_shipped(tmp_path: Path, settings: Settings) -> None:
    made = configure(settings, tmp_path / "conf", Options())
    for root, below in ((SHIPPED / "freeswitch-conf", "*"), (SHIPPED, "dialplans/*")):
        for path in root.rglob(below):
            if path.is_file():
                assert (made.folder / path.relative_to(root)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "path", [*SHIPPED.glob("freeswitch-conf/**/*.xml"), *SHIPPED.glob("dialplans/*.xml")],
    ids=lambda path: path.name,
)  # fmt: skip
def test_every_file_is_xml(path: Path) -> None:
    """A file that is not would be found by FreeSWITCH alone, on the day."""
    ET.parse(path)
    for line in path.read_text().splitlines():  # the whole of such a line is skipped
        assert "include>" not in line or line.strip() in ("<include>", "</include>")


def test_again_is_repair_and_keeps_the_site(tmp_path: Path, settings: Settings) -> None:
    conf = tmp_path / "conf"
    configure(settings, conf, Options(external_address="203.0.113.7", domain="tel.example"))
    (conf / "site" / "acl.xml").write_text("mine")
    (conf / "site" / "gateways" / "airtel.xml").write_text("mine")
    own = (conf / "site" / "vars.xml").read_text()
    own = own.replace("</include>", '  <X-PRE-PROCESS cmd="set" data="my_own=1"/>\n</include>')
    (conf / "site" / "vars.xml").write_text(own)
    (conf / "dialplans" / "trunk.xml").write_text("broken")
    (conf / "autoload_configs" / "of-an-older-version.conf.xml").write_text("<x/>")
    again = configure(settings, conf, Options(sip_port=5090))
    assert (conf / "site" / "acl.xml").read_text() == "mine"
    assert (conf / "site" / "gateways" / "airtel.xml").read_text() == "mine"
    assert "sched_transfer" in (conf / "dialplans" / "trunk.xml").read_text()
    assert not (conf / "autoload_configs" / "of-an-older-version.conf.xml").exists()
    expected = {"external_address": "203.0.113.7", "domain": "tel.example", "my_own": "1",
                "sip_port": "5090", "sip_tls_port": "5091"}  # fmt: skip
    assert expected.items() <= again.variables.items()


def test_somebody_elses_configuration_is_left_alone(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "freeswitch.xml").write_text("vanilla")
    with pytest.raises(UserError, match=r"another configuration.*Move it away"):
        configure(settings, tmp_path, Options())
    assert (tmp_path / "freeswitch.xml").read_text() == "vanilla"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (Options(external_address="sip.example.com"), "no IP address"),
        (Options(sip_port=70_000), "no port"),
        (Options(sip_port=5070), "sip_port"),
        (Options(phones_port=5061), "both 5061"),
        (Options(sip_port=8055), "both 8055"),
        (Options(rtp_ports=(5000, 6000)), "lies within"),
        (Options(rtp_ports=(40_000, 40_001)), "too few"),
        (Options(domain="a b"), "no domain"),
        (Options(domain='x"/><X-PRE-PROCESS cmd="exec"'), "no domain"),
        (Options(failure_dial='"/><X-PRE-PROCESS cmd="exec" data="id'), "neither a telephone"),
        (Options(tls_certificates=Path("/nowhere")), "agent.pem"),
        (Options(group="no-such-group"), "no-such-group"),
    ],
)
def test_what_cannot_be_is_refused(
    tmp_path: Path, settings: Settings, options: Options, says: str
) -> None:
    with pytest.raises(UserError, match=says):
        configure(settings, tmp_path / "conf", options)


def test_the_event_socket_stays_on_this_machine(tmp_path: Path) -> None:
    far = Settings(data_dir=tmp_path, switch=Switch(esl_host="10.0.0.9"))
    with pytest.raises(UserError, match="esl_host"):
        configure(far, tmp_path / "conf", Options())


def test_certificates_turn_tls_on(tmp_path: Path) -> None:
    (tmp_path / "agent.pem").touch()
    offered = merge({}, Options(tls_certificates=tmp_path))
    assert (offered["tls"], offered["tls_verify"]) == ("true", "none")
    (tmp_path / "cafile.pem").touch()
    assert merge({}, Options(tls_certificates=tmp_path))["tls_verify"] == "out"


def test_variables_come_back_as_written() -> None:
    held = {"a": "1", "sip_address": "$${local_ip_v4}", "dial": "{x=1}sofia/gateway/a/1|user/2@b"}
    assert read_variables(render_variables(held)) == held
    for bad in ('"', "<", "\n", "&"):
        with pytest.raises(UserError, match="cannot hold"):
            render_variables({"a": bad})


def test_a_range_of_ports() -> None:
    assert port_range("10000-20000") == (10000, 20000)
    for bad in ("", "10000", "a-b", "1-70000"):
        with pytest.raises(UserError, match="no port"):
            port_range(bad)


def test_the_command(tmp_path: Path) -> None:
    env = {"IVR_DATA_DIR": str(tmp_path / "data")}
    command = ["switch", "configure", str(tmp_path / "conf"), "--rtp-ports", "20000-21000"]
    done = CliRunner().invoke(main, [*command, "--json"], env=env)
    assert done.exit_code == 0, done.output
    told = orjson.loads(done.stdout)
    assert told["sip_port"] == 5060 and told["rtp_first_port"] == 20000
    assert Settings(data_dir=tmp_path / "data").secret("event-socket") not in done.output
    refused = CliRunner().invoke(main, [*command, "--address", "here"], env=env)
    assert refused.exit_code == 2 and "no IP address" in refused.stderr
    usage = CliRunner().invoke(main, ["switch", "configure", "--help"]).stdout
    assert "Example: ivr switch configure" in usage
