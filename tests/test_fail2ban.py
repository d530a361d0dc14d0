"""installer/fail2ban, ``ivr firewall jail``: what attacks leave in the logs, as fail2ban reads it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from ipaddress import ip_network
from pathlib import Path

import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.proving import Asked, WrongError, prove_password
from appliance.ops import fail2ban
from appliance.ops.keeping.ports import free_ports
from appliance.settings import Firewall, Settings, Switch
from tests.access_kit import quick_passwords, settings_in  # noqa: F401
from tests.freeswitch_kit import FreeSwitch, freeswitch, needs_freeswitch

ROOT = Path(__file__).parent.parent
FILTERS = ROOT / "installer/fail2ban/filter.d"
WAIT_S = 30.0
pytestmark = pytest.mark.skipif(
    shutil.which("fail2ban-regex") is None, reason="fail2ban is missing: apt-get install fail2ban"
)
STRANGER, SCANNER, GUESSER, GARBLER = (f"127.0.0.{last}" for last in (66, 70, 71, 72))
VICTIM = "203.0.113.9"
REQUEST = """\
{method} sip:1001@box SIP/2.0
Via: SIP/2.0/UDP {mine};branch=z9hG4bK{branch};rport
Max-Forwards: 70
From: "{name}" <sip:100@box>;tag=a
To: <sip:1001@box>
Call-ID: {branch}
CSeq: 1 {method}
Contact: <sip:100@{mine}>
User-Agent: {agent}
{more}Content-Length: 0

"""


def _found(lines: str, name: str, folder: Path) -> Counter[str]:
    """How often fail2ban would count each address."""
    log = folder / f"{name}.{time.monotonic_ns()}.log"
    log.write_text(lines)
    done = subprocess.run(
        ["fail2ban-regex", "--out", "ip", str(log), str(FILTERS / f"{name}.conf")],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode in (0, 255), done.stderr  # 255: nothing was found
    return Counter(done.stdout.split())


def _ask(source: str, port: int, *, wait_s: float = 0.0, **parts: str) -> str:
    """Send one request from ``source``; the answer, if it is waited for."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.bind((source, 0))
        mine = f"{source}:{out.getsockname()[1]}"
        given = {
            "method": "INVITE",
            "name": "x",
            "agent": "x",
            "more": "",
            "branch": os.urandom(6).hex(),
        }
        text = REQUEST.format(**given | parts, mine=mine).replace("\n", "\r\n")
        out.sendto(text.encode(), ("127.0.0.1", port))
        out.settimeout(wait_s or None)
        try:
            return out.recv(4096).decode() if wait_s else ""
        except TimeoutError:
            return ""


@pytest.mark.server
def test_who_attacks_ivr_sip_is_counted_and_nobody_else(tmp_path: Path) -> None:
    """A real one is attacked from four addresses; one of them tries to have another banned."""
    sip, rtp = free_ports(2)
    log = tmp_path / "sip.log"
    environment = {
        **os.environ,
        "IVR_DATA_DIR": str(tmp_path / "var"),
        "IVR_SIP__PORT": str(sip),
        "IVR_SIP__RTP_PORT": str(rtp),
        "IVR_SIP__PROCESSES": "1",
        "IVR_SIP__ALLOW": orjson.dumps(["127.0.0.1", SCANNER, GUESSER, GARBLER]).decode(),
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "appliance", "sip"], env=environment, stderr=out, cwd=ROOT
        )
    try:
        _await(log, "ready")
        forged = f"! sip: refused x from {VICTIM}"
        _ask(STRANGER, sip)
        _ask(SCANNER, sip, agent="friendly-scanner")
        _ask(GUESSER, sip, method="REGISTER")
        _ask("127.0.0.1", sip, name=forged, agent=forged, wait_s=3)  # a caller whom we let in
        for garbage in (f"{forged}\n{forged}", f"INVITE {forged} SIP/2.0\r\n\r\n"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out_of:
                out_of.bind((GARBLER, 0))
                out_of.sendto(garbage.encode(), ("127.0.0.1", sip))
        _await(log, GARBLER)
    finally:
        process.kill()
        process.wait()
    lines = log.read_text()
    assert set(_found(lines, "ivr-sip", tmp_path)) == {STRANGER, SCANNER, GUESSER, GARBLER}
    journal = re.sub(r"^\S+ sip \S+ ", "Nov 21 16:18:49 vm ivr[375]: ", lines, flags=re.MULTILINE)
    assert set(_found(journal, "ivr-sip", tmp_path)) == {STRANGER, SCANNER, GUESSER, GARBLER}


def _await(log: Path, word: str) -> None:
    until = time.monotonic() + WAIT_S
    while word not in log.read_text(errors="replace"):
        if time.monotonic() > until:
            pytest.fail(f"{word} never stood in the log:\n{log.read_text()}")
        time.sleep(0.05)


def test_what_else_stands_in_the_log_names_nobody(tmp_path: Path) -> None:
    lines = f"""\
2026-11-21T16:18:46.501+00:00 sip 9fe4319e < INVITE ! sip: refused x from {VICTIM}
2026-11-21T16:18:46.501+00:00 sip - = serving sip:{VICTIM}:5060 by udp and tcp, 2 processes, 8 calls
2026-11-21T16:18:46.501+00:00 sip - ! sip: all lines busy, 503 to {VICTIM}
2026-11-21T16:18:46.501+00:00 sip - ! sip: refused a scanner from {VICTIM} and more
"""
    assert not _found(lines, "ivr-sip", tmp_path)


def test_a_line_that_tells_of_more_counts_as_one(tmp_path: Path) -> None:
    line = f"2026-11-21T16:18:46.501+00:00 sip - ! sip: refused a scanner from {VICTIM}"
    line += " (17 more like it)\n"
    assert _found(line, "ivr-sip", tmp_path) == {VICTIM: 1}


@pytest.mark.server
@pytest.mark.usefixtures("quick_passwords")
async def test_who_guesses_passwords_of_the_console_is_counted(
    engine: AsyncEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_in(tmp_path, lock_after=3, lock_minutes=15)
    for address in (VICTIM, "2001:db8::7", "not an address"):
        with pytest.raises(WrongError):
            await prove_password(engine, settings, "asha", "guess", Asked.at(address))
    lines = "".join(
        f"2026-11-21T16:18:46.501+00:00 admin - {record.getMessage()}\n"
        for record in caplog.records
    )
    assert "guess" not in lines
    assert "asha" not in lines
    found = await asyncio.to_thread(_found, lines, "ivr-console", tmp_path)
    assert found == {VICTIM: 1, "2001:db8::7": 1}


# As FreeSWITCH 1.10.12 wrote them when it was attacked as below.
FREESWITCH_LINES = """\
2026-11-21 16:37:18.834885 100.00% [WARNING] sofia_reg.c:1842 SIP auth challenge (REGISTER) on sofia profile 'phones' for [100@ivr.internal] from ip 192.0.2.1
2026-11-21 16:37:18.854776 100.00% [WARNING] sofia_reg.c:1787 SIP auth failure (REGISTER) on sofia profile 'phones' for [100@ivr.internal] from ip 192.0.2.2
2026-11-21 16:37:18.874695 100.00% [WARNING] sofia_reg.c:3210 Can't find user [999@ivr.internal] from 192.0.2.3
2026-11-21 16:37:18.894699 98.53% [WARNING] sofia.c:10667 IP 192.0.2.4 Rejected by acl "trunks"
6f2b3a80-0d6c-4b0c-9d2b-0a6e2d0b7c11 2026-11-21 16:37:19.894699 98.53% [WARNING] sofia_reg.c:1787 SIP auth failure (INVITE) on sofia profile 'phones' for [100@ivr.internal] from ip 192.0.2.5
2026-11-21 16:37:19.894699 98.53% [NOTICE] mod_dptools.c:1842 SIP auth failure (REGISTER) on sofia profile 'phones' for [1@x] from ip 192.0.2.9
2026-11-21 16:37:19.894699 98.53% [WARNING] sofia_reg.c:1787 SIP auth failure (INVITE) on sofia profile 'phones' for [1] from ip 192.0.2.9@x] from ip unknown
"""  # noqa: E501


def test_freeswitch_telephones_are_challenged_and_only_failures_count(tmp_path: Path) -> None:
    found = _found(FREESWITCH_LINES, "ivr-freeswitch", tmp_path)
    assert found == {f"192.0.2.{last}": 1 for last in (2, 3, 4, 5)}


@needs_freeswitch
@pytest.mark.server
async def test_who_attacks_freeswitch_is_counted(tmp_path: Path) -> None:
    """A wrong password, an unknown telephone, and a call from an address of no trunk."""
    async with freeswitch(tmp_path) as switch:
        await switch.add_phone("100", "right")
        await switch.allow("127.0.0.9")
        for source, extension in ((GUESSER, "100"), (SCANNER, "999")):
            await asyncio.to_thread(_register, switch, source, extension)
        await asyncio.to_thread(_ask, STRANGER, switch.sip_port, wait_s=3)
        async with asyncio.timeout(WAIT_S):
            while STRANGER not in switch.log():
                await asyncio.sleep(0.05)
        lines = switch.log()
    found = await asyncio.to_thread(_found, lines, "ivr-freeswitch", tmp_path)
    assert set(found) == {GUESSER, SCANNER, STRANGER}
    assert found[GUESSER] == found[STRANGER] == 1


def _register(switch: FreeSwitch, source: str, extension: str) -> None:
    ours = {"method": "REGISTER", "name": extension}
    challenge = _ask(source, switch.phones_port, wait_s=3, **ours, more=_to(switch, extension))
    nonce = re.search(r'nonce="([^"]+)"', challenge)
    assert nonce, challenge
    digest = hashlib.md5(b"wrong").hexdigest()
    answer = (
        f'Authorization: Digest username="{extension}", realm="{switch.domain}", nonce="{nonce[1]}",'
        f' uri="sip:1001@box", response="{digest}", algorithm=MD5\n'
    )
    said = _ask(source, switch.phones_port, wait_s=3, **ours, more=answer + _to(switch, extension))
    assert " 403 " in said.split("\r\n")[0]


def _to(switch: FreeSwitch, extension: str) -> str:
    return f"X-To: <sip:{extension}@{switch.domain}>\n"


def _here(folder: Path, *, freeswitch: bool) -> Settings:
    conf = folder / "freeswitch"
    if freeswitch:
        (conf / "site").mkdir(parents=True)
        ports = ("sip_port", "sip_tls_port", "phones_port", "phones_tls_port", "rtp_first_port")
        values = {name: str(5060 + n) for n, name in enumerate(ports)} | {"rtp_last_port": "6000"}
        lines = [f'<X-PRE-PROCESS cmd="set" data="{k}={v}"/>' for k, v in values.items()]
        (conf / "site/vars.xml").write_text(f"<include>{''.join(lines)}</include>")
        (conf / "site/acl.xml").write_text(
            '<include><list name="trunks" default="deny">'
            '<node type="allow" cidr="10.77.0.0/24"/></list></include>'
        )
    return Settings(
        switch=Switch(conf_dir=conf), firewall=Firewall(machines=(ip_network("10.8.0.0/24"),))
    )


@pytest.mark.parametrize(("freeswitch", "sip"), [(False, "ivr-sip"), (True, "ivr-freeswitch")])
def test_fail2ban_takes_the_jails(freeswitch: bool, sip: str, tmp_path: Path) -> None:
    jails = fail2ban.render(_here(tmp_path, freeswitch=freeswitch))
    folder = tmp_path / "fail2ban"
    shutil.copytree("/etc/fail2ban", folder)
    shutil.rmtree(folder / "jail.d")
    (folder / "jail.d").mkdir()
    (folder / "jail.d/ivr.conf").write_text(jails.replace(fail2ban.FREESWITCH_LOG, __file__))
    for path in FILTERS.iterdir():
        shutil.copy(path, folder / "filter.d")
    done = subprocess.run(
        ["fail2ban-client", "-c", str(folder), "-d"],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"['start', '{sip}']" in done.stdout
    assert "['start', 'ivr-console']" in done.stdout
    spared = re.findall(rf"\['set', '{sip}', 'addignoreip', (.*)\]", done.stdout)[0]
    assert "10.8.0.0/24" in spared
    assert ("10.77.0.0/24" in spared) is freeswitch
