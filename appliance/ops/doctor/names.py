"""DNS: the names in the settings are known, and the name servers answer."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State
from appliance.ops.doctor.sentences import worded, words
from appliance.rehearsal.sip_message import address_of
from appliance.settings import Settings
from appliance.telephony.dnssrv import nameservers

ASK_TIMEOUT_S = 4.0
SLOW_S = 1.0


async def look(box: Box) -> Sequence[Finding]:
    """Each name that the settings hold, and this machine's own."""
    names = names_in(box.settings)
    found = await asyncio.gather(*(_asked(name, setting) for name, setting in names.items()))
    troubles = [finding for finding in found if finding is not None]
    own = await _asked(socket.gethostname(), "")
    if own is not None:
        troubles.append(own)
    servers = [host for host, _ in await asyncio.to_thread(nameservers)]
    told = (
        worded("Name servers: {servers}.", servers=", ".join(servers))
        if servers
        else words("No name server is set.")
    )
    known = (
        worded("{count} names of the settings are known.", count=len(names))
        if names
        else words("The settings hold no name.")
    )
    return troubles or [
        Finding("dns", State.GOOD, worded("{servers} {names}", servers=told, names=known))
    ]


def names_in(settings: Settings) -> dict[str, str]:
    """Host names that are no addresses, and the setting that each stands in."""
    urls = {
        "database.url": settings.database.url,
        "redis.url": settings.redis.url,
        "engines.roster_url": settings.engines.roster_url,
        "guard.url": settings.guard.url,
    }
    hosts = {urlsplit(url).hostname or "": setting for setting, url in urls.items() if url}
    if settings.sip.registrar:
        hosts[address_of(settings.sip.registrar)[0]] = "sip.registrar"
    for name, stage in settings.engines.stages().items():
        for url in stage.urls:
            hosts[urlsplit(url).hostname or ""] = f"engines.{name}.urls"
    return {host: setting for host, setting in hosts.items() if host and not _is_address(host)}


async def _asked(name: str, setting: str) -> Finding | None:
    """What is wrong with a name; None: nothing. ``setting``: empty for this machine's own."""
    loop = asyncio.get_running_loop()
    began_s = time.monotonic()
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            await loop.getaddrinfo(name, None)
    except (OSError, UnicodeError):  # TimeoutError is an OSError
        if not setting:
            do = worded("Add a line to /etc/hosts: 127.0.1.1 {name}", name=name)
            what = worded(
                "This machine's own name, {name}, is not known: programs wait for it.", name=name
            )
            return Finding("dns", State.WARNING, what, do, code="own-name")
        do = worded(
            "Check its spelling and /etc/resolv.conf, or write the address in {setting}.",
            setting=setting,
        )
        return Finding(
            "dns",
            State.BAD,
            worded("The name {name} ({setting}) is not known.", name=name, setting=setting),
            do,
        )
    took_s = time.monotonic() - began_s
    if took_s < SLOW_S:
        return None
    do = "The first name server in /etc/resolv.conf may be gone."
    return Finding(
        "dns",
        State.WARNING,
        worded("To find {name} took {seconds} s.", name=name, seconds=f"{took_s:.1f}"),
        do,
        code="slow-dns",
    )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


CHECKS = (
    Check("dns", "Names", Group.NETWORK, look, how="getaddrinfo of each name in the settings"),
)
