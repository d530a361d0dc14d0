"""``ivr firewall jail``: whom fail2ban shuts out, from the settings; its filters are in
``installer/fail2ban/filter.d``."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

from appliance.ops import firewall
from appliance.settings import Settings

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
FREESWITCH_LOG = "/var/log/freeswitch/freeswitch.log"
COMMON = """\
banaction = nftables-allports
findtime = 10m
bantime = 1h
bantime.increment = true
bantime.maxtime = 1w
"""


@dataclass(frozen=True, slots=True)
class Jail:
    """One log, and how often somebody may stand in it."""

    name: str
    source: str
    """Where its lines are read; fail2ban's own words."""
    most: int


def render(settings: Settings) -> str:
    """``jail.d/ivr.conf``. Raises UserError as :func:`firewall.plan` does.

    Trunks are never shut out: whoever writes their address into a datagram would shut them out for us.
    """
    trunks = firewall.plan(settings).networks.get("trunks", settings.firewall.trunks)
    spared = dict.fromkeys(map(str, (*LOOPBACK, *trunks, *settings.firewall.machines)))
    lines = ["# Made by `ivr firewall jail`.\n"]
    for jail in _jails(settings):
        lines.append(
            f"[{jail.name}]\nenabled = true\nfilter = {jail.name}\n{jail.source}"
            f"maxretry = {jail.most}\n"
            f"{COMMON}ignoreip = {' '.join(spared)}\n"
        )
    return "\n".join(lines)


def _jails(settings: Settings) -> list[Jail]:
    """Of what is here: FreeSWITCH or ``ivr sip``, and the console."""
    freeswitch = (settings.switch.conf_dir / "site" / "vars.xml").exists()
    if freeswitch:
        log = f"backend = auto\nlogpath = {FREESWITCH_LOG}\n"
        sip = Jail("ivr-freeswitch", log, 5)
    else:
        # it says the same of the same address once in ten seconds: three lines are half a minute
        sip = Jail("ivr-sip", _journal("ivr-sip"), 3)
    return [sip, Jail("ivr-console", _journal("ivr-admin"), 10)]


def _journal(unit: str) -> str:
    return f"backend = systemd\njournalmatch = _SYSTEMD_UNIT={unit}.service\n"
