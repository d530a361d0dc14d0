"""FreeSWITCH's event socket, and each trunk's diagnosis; SIP is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address

from appliance.ops.diagnosis import checks_of
from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State
from appliance.ops.doctor.sentences import worded
from appliance.ops.keeping import probe
from appliance.settings import EVENT_SOCKET_SECRET, Settings
from appliance.store.database import in_database
from appliance.store.phonebook import Trunk
from appliance.store.trunks import load_telephony
from appliance.telephony.eventprobe import SHIPPED_PASSWORD, RefusedError, Told, ask

MOST_TRUNKS = 8
TRUNK_TIMEOUT_S = 25.0


async def look_at_event_socket(box: Box) -> Sequence[Finding]:
    """Log in, and ask for the modules that calls need."""
    settings, site = box.settings, await box.site()
    if not site.expects_switch and not site.switch.up:
        return [_no_switch("event-socket")]
    switch = settings.switch
    where = f"{switch.esl_host}:{switch.esl_port}"
    try:
        told = await asyncio.to_thread(_ask, settings)
    except RefusedError:
        do = "Run `ivr switch configure` for its configuration folder, and restart FreeSWITCH."
        what = worded("The event socket {where} refuses our password.", where=where)
        return [Finding("event-socket", State.BAD, what, do, code="event-socket-password")]
    except OSError as e:
        do = "Start FreeSWITCH; see that mod_event_socket is loaded and switch.esl_port is right."
        what = worded(
            "The event socket {where} does not answer ({why}).", where=where, why=e.strerror or e
        )
        return [Finding("event-socket", State.BAD, what, do)]
    if told is None:
        do = "Run `ivr switch configure`, which makes a password of its own; restart FreeSWITCH."
        what = worded(
            "The event socket {where} takes the password that everybody knows.", where=where
        )
        return [Finding("event-socket", State.BAD, what, do, code="default-password")]
    if told.missing:
        what = worded(
            "FreeSWITCH lacks {modules}: calls are not carried.", modules=", ".join(told.missing)
        )
        do = "Install it (mod_audio_stream: package mod-audio-stream) and restart FreeSWITCH."
        return [Finding("event-socket", State.BAD, what, do, code="module-missing")]
    good = worded("{version}; the modules that calls need are loaded.", version=told.version)
    return [Finding("event-socket", State.GOOD, good)]


def _ask(settings: Settings) -> Told | None:
    """None: it takes the password that FreeSWITCH comes with. Raises RefusedError, OSError."""
    host, port = settings.switch.esl_host, settings.switch.esl_port
    made = (settings.secrets_dir / EVENT_SOCKET_SECRET).exists()
    if made:
        try:
            return ask(host, port, settings.secret(EVENT_SOCKET_SECRET))
        except RefusedError:
            pass
    ask(host, port, SHIPPED_PASSWORD, ())  # raises RefusedError where it is another one
    return None


async def look_at_trunks(box: Box) -> Sequence[Finding]:
    """``ivr trunks diagnose`` of each that is in use."""
    site = await box.site()
    if not site.switch.up:
        return [_no_switch("trunks")]
    trunks = await asyncio.to_thread(_trunks, box.settings)
    if not trunks:
        what = "There is no trunk: calls come from our own telephones alone."
        return [Finding("trunks", State.SKIPPED, what, "Add one: ivr trunks add.")]
    found = await asyncio.gather(
        *(asyncio.to_thread(_diagnosed, box.settings, trunk) for trunk in trunks[:MOST_TRUNKS])
    )
    return [finding for findings in found for finding in findings]


def _trunks(settings: Settings) -> list[Trunk]:
    found = in_database(settings, load_telephony).trunks
    return sorted((trunk for trunk in found if trunk.enabled), key=lambda trunk: trunk.name)


def _diagnosed(settings: Settings, trunk: Trunk) -> list[Finding]:
    checks = list(checks_of(settings, trunk))
    bad = [
        Finding(
            "trunks",
            State.BAD,
            worded(
                "Trunk {trunk}, {check}: {what}", trunk=trunk.name, check=one.name, what=one.what
            ),
            one.remedy,
        )
        for one in checks
        if one.ok is False
    ]
    seen = sum(one.ok is True for one in checks)
    good = worded(
        "Trunk {trunk}: {seen} of {total} checks are well, none is bad.",
        trunk=trunk.name,
        seen=seen,
        total=len(checks),
    )
    return bad or [Finding("trunks", State.GOOD, good)]


async def look_at_sip(box: Box) -> Sequence[Finding]:
    """OPTIONS to the address that calls come to."""
    site, sip = await box.site(), box.settings.sip
    transport = "udp" if "udp" in sip.transports else "tcp"
    where = f"{sip.host}:{sip.port} ({transport})"
    if await probe.sip_ok(sip.host, sip.port, transport):
        return [Finding("sip", State.GOOD, worded("SIP is answered at {where}.", where=where))]
    if site.switch.up or site.expects_switch:
        return [Finding("sip", State.SKIPPED, "FreeSWITCH answers SIP here: see switch.")]
    if not any(ip_address(sip.host) in network for network in sip.allow):
        what = worded(
            "This machine's own address is in none of sip.allow, so {where} does not answer it.",
            where=where,
        )
        return [Finding("sip", State.SKIPPED, what)]
    do = "Start `ivr sip` (or `ivr up`); sip.host must be an address of this machine."
    return [
        Finding(
            "sip",
            State.BAD,
            worded("Nothing answers SIP at {where}: no call comes in.", where=where),
            do,
        )
    ]


def _no_switch(check: str) -> Finding:
    return Finding(check, State.SKIPPED, "No ivr switch has been here; calls come through ivr sip.")


CHECKS = (
    Check("sip", "SIP", Group.TELEPHONY, look_at_sip, how="OPTIONS (RFC 3261 §11)"),
    Check(
        "event-socket", "Event socket", Group.TELEPHONY, look_at_event_socket,
        how="auth, module_exists",
    ),
    Check(
        "trunks", "Trunks in detail", Group.TELEPHONY, look_at_trunks, timeout_s=TRUNK_TIMEOUT_S,
        how="ivr trunks diagnose of each",
    ),
)  # fmt: skip
