"""What an operator is told of a trunk, by a registrar that can be right, wrong, odd or silent, and by
a real FreeSWITCH."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.__main__ import main
from appliance.store.database import open_sync_engine
from appliance.store.phonebook import Trunk
from appliance.store.trunks import save_trunk
from appliance.telephony.diagnose import Check, Target, diagnose, one_way, resolve
from appliance.telephony.dnssrv import Srv
from tests.freeswitch_kit import freeswitch, needs_freeswitch
from tests.registrar import PASSWORD, REALM, SDP, USER, Registrar, make_certificate, serve

TRUNK = Trunk("t", "127.0.0.1", register=True, username=USER, password=PASSWORD, realm=REALM)
ALAW = SDP.format("8 101", "a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n")
G729 = SDP.format("18 13", "a=rtpmap:13 CN/8000\r\n")


def verdicts(
    registrar: Registrar, trunk: Trunk = TRUNK, certificate: Path | None = None, **options: object
) -> dict[str, Check]:
    patience_s = 5.0 if registrar.options and registrar.register else 0.8  # silence is waited for
    with serve(registrar, trunk.transport, certificate) as port:
        proxied = replace(trunk, proxy=f"127.0.0.1:{port}")
        checks = list(diagnose(proxied, timeout_s=patience_s, **options))  # type: ignore[arg-type]
    assert all(check.what.endswith(".") for check in checks)
    assert all(check.remedy for check in checks if check.ok is False)
    assert all(PASSWORD not in check.what + check.remedy for check in checks)
    return {check.name: check for check in checks}


@pytest.mark.server
def test_all_is_well() -> None:
    binding = "<sip:gw+t@203.0.113.7:5060>;expires=500"
    audio = [{"in_packets": 1500, "out_packets": 1490}]
    found = verdicts(Registrar(sdp=ALAW, bindings=(binding,)), audio=audio)
    assert list(found) == ["DNS", "OPTIONS", "REGISTER", "codec", "clock", "NAT", "audio"]
    assert found.pop("DNS").ok is None
    assert {check.ok for check in found.values()} == {True}
    assert binding in found["REGISTER"].what and "PCMA" in found["codec"].what


@pytest.mark.server
@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_over_streams(transport: str, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path) if transport == "tls" else None
    trunk = replace(TRUNK, transport=transport)  # type: ignore[arg-type]
    found = verdicts(Registrar(), trunk, certificate)
    assert found["OPTIONS"].ok and found["REGISTER"].ok
    if transport == "tls":
        assert found["TLS"].ok is None and "not trusted" in found["TLS"].what


@pytest.mark.server
@pytest.mark.parametrize(
    ("registrar", "trunk", "ok", "says", "remedy"),
    [
        (Registrar(), TRUNK, True, "nobody is registered", "ivr switch running"),
        (Registrar(), replace(TRUNK, register=False), True, "does not register", ""),
        (Registrar(), replace(TRUNK, username=""), None, "no user name", ""),
        (Registrar(stale_first=True), TRUNK, True, "password are right", ""),
        (Registrar(password="other"), TRUNK, False, "is refused (401", "--password"),
        (Registrar(user="other"), TRUNK, False, "404", f"no user {USER}"),
        (Registrar(register=403), TRUNK, False, "403", "Ask the carrier"),
        (Registrar(register=405), TRUNK, False, "405", "--no-register"),
        (Registrar(register=503), TRUNK, False, "503", "tell the carrier"),
        (Registrar(register=488), TRUNK, False, "488", "Show this answer"),
        (Registrar(register=0), TRUNK, False, "REGISTER is not", "another server"),
        (Registrar(algorithm="AKAv1-MD5"), TRUNK, False, "do not have", "digest MD5"),
    ],
)
def test_register_in_plain_words(
    registrar: Registrar, trunk: Trunk, ok: bool | None, says: str, remedy: str
) -> None:
    check = verdicts(registrar, trunk)["REGISTER"]
    assert check.ok is ok and says in check.what and remedy in check.remedy


@pytest.mark.server
@pytest.mark.parametrize(
    ("registrar", "ok", "remedy"),
    [
        (Registrar(options=404), True, ""),
        (Registrar(options=403), False, "allow this machine"),
        (Registrar(options=503), False, "in trouble"),
        (Registrar(options=0), False, "firewall"),
        (Registrar(raw=b"\x16\x03\x01 what?\r\n\r\n"), False, "no SIP server"),
    ],
)
def test_options_in_plain_words(registrar: Registrar, ok: bool, remedy: str) -> None:
    check = verdicts(registrar)["OPTIONS"]
    assert check.ok is ok and remedy in check.remedy


def test_a_closed_port_is_called_one() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    checks = list(diagnose(replace(TRUNK, proxy=f"127.0.0.1:{port}"), timeout_s=0.5))
    assert [check.name for check in checks] == ["DNS", "OPTIONS", "audio"]
    assert checks[1].ok is False and "closed" in checks[1].what


@pytest.mark.server
def test_codecs() -> None:
    assert verdicts(Registrar(sdp=ALAW))["codec"].ok is True
    wrong = verdicts(Registrar(sdp=G729))["codec"]
    assert wrong.ok is False and "G729" in wrong.what and "CN" not in wrong.what
    only = verdicts(Registrar(sdp=ALAW), replace(TRUNK, codecs=("OPUS",)))["codec"]
    assert only.ok is False and "--codec PCMA" in only.remedy
    assert verdicts(Registrar())["codec"].ok is None


@pytest.mark.server
@pytest.mark.parametrize(
    ("off_s", "ok", "says"),
    [
        (0.0, True, "agree"),
        (-3600.0, False, "ahead of"),
        (90.0, False, "behind"),
        (None, None, "no time"),
    ],
)
def test_the_clock(off_s: float | None, ok: bool | None, says: str) -> None:
    check = verdicts(Registrar(clock_s=off_s))["clock"]
    assert check.ok is ok and says in check.what


@pytest.mark.server
def test_nat() -> None:
    assert "no NAT" in verdicts(Registrar())["NAT"].what
    behind = verdicts(Registrar(received="203.0.113.7"))["NAT"]
    assert behind.ok is False and "--external-address 203.0.113.7" in behind.remedy
    told = verdicts(Registrar(received="203.0.113.7"), external_address="203.0.113.7")["NAT"]
    assert told.ok is True and "behind NAT" in told.what


@pytest.mark.parametrize(
    ("audio", "ok", "says"),
    [
        (None, None, "No ivr switch"),
        ([], None, "No call"),
        ([(100, 100)], None, "No call"),  # 2 s
        ([(500, 500), (480, 490)], True, "both ways"),
        ([(500, 500), (0, 490)], False, "callers were not heard"),
        ([(500, 3)], False, "callers heard nothing"),
    ],
)
def test_one_way_audio(audio: list[tuple[int, int]] | None, ok: bool | None, says: str) -> None:
    calls = None
    if audio is not None:
        calls = [{"in_packets": got, "out_packets": sent} for got, sent in audio]
    check = one_way(calls)
    assert check.ok is ok and says in check.what


def test_a_name_without_a_port_is_looked_up_by_srv() -> None:
    asked = []

    def srv(name: str) -> list[Srv]:
        asked.append(name)
        return [Srv(1, 1, 5070, "127.0.0.2"), Srv(2, 1, 5080, "localhost")]

    targets, check = resolve(Trunk("t", "carrier.example"), srv)
    assert targets == [
        Target("127.0.0.2", "127.0.0.2", 5070),
        Target("localhost", "127.0.0.1", 5080),
    ]
    assert check.ok and "2 SRV records" in check.what
    resolve(Trunk("t", "carrier.example", transport="tls"), srv)
    resolve(Trunk("t", "carrier.example:5060"), srv)  # a port: no SRV (RFC 3263 §4.2)
    assert asked == ["_sip._udp.carrier.example", "_sips._tcp.carrier.example"]


def test_a_name_that_is_nowhere() -> None:
    checks = list(diagnose(Trunk("t", "no.such.host.invalid"), srv=lambda name: None))
    assert [(c.name, c.ok) for c in checks] == [("DNS", False), ("audio", None)]
    assert "no name server answered" in checks[0].what and "resolv.conf" in checks[0].remedy


def test_a_disabled_trunk_is_called_one() -> None:
    trunk = Trunk("t", "no.such.host.invalid", enabled=False)
    first = next(iter(diagnose(trunk, srv=lambda name: None)))
    assert "disabled" in first.what and "ivr trunks enable t" in first.remedy


@pytest.mark.server
def test_the_next_server_is_tried_when_the_first_is_silent() -> None:
    with (
        serve(Registrar(), "udp") as port,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf,
    ):
        deaf.bind(("127.0.0.1", 0))
        silent = deaf.getsockname()[1]
        records = [Srv(1, 1, silent, "127.0.0.1"), Srv(2, 1, port, "127.0.0.1")]
        trunk = replace(TRUNK, proxy="carrier.example")
        checks = list(diagnose(trunk, timeout_s=1.5, srv=lambda name: records))
    assert [c.ok for c in checks if c.name == "OPTIONS"] == [False, True]
    assert [c.ok for c in checks if c.name == "REGISTER"] == [True]


@pytest.mark.server
def test_the_command_ends_with_a_status(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IVR_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("IVR_DATABASE__URL", database_url)
    monkeypatch.setenv("IVR_SWITCH__API_PORT", "9")
    monkeypatch.setenv("IVR_SWITCH__CONF_DIR", str(tmp_path))
    registrar = Registrar(bindings=("<sip:x@127.0.0.1>",))
    with serve(registrar, "udp") as port:
        engine = open_sync_engine(database_url)
        with engine.begin() as connection:
            save_trunk(connection, replace(TRUNK, proxy=f"127.0.0.1:{port}"))
        engine.dispose()
        good = CliRunner().invoke(main, ["trunks", "diagnose", "t"])
        registrar.password = "other"
        bad = CliRunner().invoke(main, ["trunks", "diagnose", "t", "--json"])
    assert good.exit_code == 0 and "Nothing is wrong" in good.stdout, good.output
    told = json.loads(bad.stdout)
    assert bad.exit_code == 1 and told["ok"] is False
    assert [c["name"] for c in told["checks"] if c["ok"] is False] == ["REGISTER"]


@needs_freeswitch
@pytest.mark.server
async def test_a_real_freeswitch_as_the_carrier(tmp_path: Path) -> None:
    async with freeswitch(tmp_path) as fs:
        await fs.add_phone("1001", "right")
        trunk = Trunk(
            "t", f"127.0.0.1:{fs.phones_port}", register=True, username="1001", password="right",
            realm=fs.domain,
        )  # fmt: skip
        found = {}
        for name, tried in {
            "right": trunk,
            "wrong": replace(trunk, password="wrong"),
            "tcp": replace(trunk, transport="tcp"),
        }.items():
            checks = await asyncio.to_thread(lambda t=tried: list(diagnose(t, timeout_s=3)))
            found[name] = {check.name: check for check in checks}
    for name in ("right", "tcp"):
        assert found[name]["OPTIONS"].ok and found[name]["REGISTER"].ok, found[name]
    wrong = found["wrong"]["REGISTER"]
    assert wrong.ok is False and "password of user 1001 is refused" in wrong.what
