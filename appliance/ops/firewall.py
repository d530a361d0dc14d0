"""``ivr firewall``: what may reach this box from outside, as a table of nftables.

Made from the settings and from what FreeSWITCH has been told (``site/vars.xml`` its ports,
``site/acl.xml`` its trunks' networks, kept by ``ivr switch``); no database is asked. Rendered from
``installer/nftables.conf``; nothing here is known of rules of others.
"""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from string import Template

from appliance.errors import UserError
from appliance.files import write_whole
from appliance.metrics.access import is_local
from appliance.settings import Settings
from appliance.shipped import shipped
from appliance.telephony.childconfig import RTP_PORTS
from appliance.telephony.site import read_variables

Network = IPv4Network | IPv6Network

FILE = Path("/etc/ivr/firewall.nft")
"""What ivr-firewall.service loads at boot."""
TABLE = ("inet", "ivr")
NFT_TIMEOUT_S = 30.0
BURST_TIMES = 3
"""A pause of the network lets so many seconds' requests arrive at once."""
MESSAGES_TIMES = 10
"""A call takes some ten messages: INVITE, ACK, BYE, their retransmissions, keep-alives."""
BROWSER_AUDIO_PORTS = "32768-60999"
"""Where a test call from the console takes its UDP ports: the kernel's range (docs/console.md)."""


@dataclass(frozen=True, slots=True)
class Door:
    """Ports that some may reach."""

    transport: str
    """``tcp`` or ``udp``."""
    ports: str
    """As nft writes them: ``5060``, ``5060, 5061``, ``16384-32766``."""
    who: str
    """Name of a set of networks, without its 4 or 6; empty: everybody."""
    what: str
    """For the comment."""
    sip: bool = False
    """Its requests are counted."""

    def lines(self) -> list[str]:
        """One rule a family."""
        verdict = "goto sip" if self.sip else "accept"
        tail = f'{self.transport} dport {{ {self.ports} }} {verdict} comment "{self.what}"'
        if not self.who:
            return [tail]
        return [f"ip saddr @{self.who}4 {tail}", f"ip6 saddr @{self.who}6 {tail}"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What shall be open, and to whom."""

    doors: tuple[Door, ...]
    networks: dict[str, tuple[Network, ...]]
    requests_per_second: int

    def summary(self) -> dict[str, object]:
        """For ``--json``."""
        return {
            "open": [
                {"what": d.what, "transport": d.transport, "ports": d.ports, "from": d.who or "all"}
                for d in self.doors
            ],
            "networks": {name: [str(n) for n in found] for name, found in self.networks.items()},
        }


def plan(settings: Settings) -> Plan:
    """What ``settings``, and FreeSWITCH's own where it is set up, ask for. Raises UserError."""
    chosen = settings.firewall
    networks: dict[str, tuple[Network, ...]] = {"ssh": chosen.ssh, "console": chosen.console}
    doors = [Door("tcp", str(chosen.ssh_port), "ssh", "SSH")]
    site = settings.switch.conf_dir / "site"
    if (site / "vars.xml").exists():
        variables = read_variables((site / "vars.xml").read_text())
        networks |= {"trunks": (*chosen.trunks, *_acl(site / "acl.xml")), "phones": chosen.phones}
        doors += _of_freeswitch(settings, variables)
    else:
        networks["phones"] = tuple(n for n in settings.sip.allow if not n.is_loopback)
        doors += _of_ivr_sip(settings)
    if not is_local(settings.admin.host):
        doors.append(Door("tcp", str(settings.admin.port), "console", "console"))
        doors.append(Door("udp", BROWSER_AUDIO_PORTS, "console", "test calls from the console"))
    if not is_local(settings.metrics.host) and chosen.metrics:
        networks["metrics"] = chosen.metrics
        doors.append(Door("tcp", _metrics_ports(settings), "metrics", "metrics"))
    if chosen.machines:
        networks["machines"] = chosen.machines
        doors += _inner(settings)
    return Plan(tuple(doors), networks, chosen.sip_per_second)


def render(planned: Plan) -> str:
    """The file for ``nft -f``. Raises UserError where the template is missing."""
    template = Template((shipped("installer") / "nftables.conf").read_text())
    sets = [line for name, found in planned.networks.items() for line in _sets(name, found)]
    sip = [line for door in planned.doors if door.sip for line in door.lines()]
    others = [line for door in planned.doors if not door.sip for line in door.lines()]
    return template.substitute(
        sets="\n    ".join(sets),
        sip="\n        ".join(sip),
        services="\n        ".join(others),
        requests=planned.requests_per_second,
        burst=planned.requests_per_second * BURST_TIMES,
        messages=planned.requests_per_second * MESSAGES_TIMES,
    )


def check(text: str) -> None:
    """Raises UserError with nft's words when it would not take ``text``."""
    _nft(["-c", "-f", "-"], text)


def load(text: str, file: Path = FILE) -> str:
    """Put ``text`` in force, at once and whole, and keep it for the next boot; what was kept before.

    Raises UserError; then everything is as it was.
    """
    before = file.read_text() if file.exists() else ""
    _nft(["-f", "-"], text)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, text.encode(), mode=0o600)
    return before


def take_back(before: str, file: Path = FILE) -> None:
    """Put what was in force before :func:`load` there again; empty: no table of ours."""
    if before:
        load(before, file)
    else:
        remove(file)


def remove(file: Path = FILE) -> None:
    """Take our table away: everything is reachable that others' rules let in."""
    family, name = TABLE
    _nft(["-f", "-"], f"table {family} {name}\ndelete table {family} {name}\n")
    file.unlink(missing_ok=True)


def _nft(arguments: Sequence[str], text: str) -> None:
    try:
        done = subprocess.run(
            ["nft", *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=NFT_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as e:
        raise UserError("There is no nft. Run: apt-get install nftables") from e
    except subprocess.TimeoutExpired as e:
        raise UserError(f"nft did not end in {NFT_TIMEOUT_S:g} s; try again.") from e
    if done.returncode:
        raise UserError(f"nft does not take the rules: {done.stderr.strip()[:500]} Run it as root.")


def _of_freeswitch(settings: Settings, variables: dict[str, str]) -> list[Door]:
    first, last = (int(variables[f"rtp_{name}_port"]) for name in ("first", "last"))
    _check_playback(settings, first, last)
    trunks = ", ".join(variables[name] for name in ("sip_port", "sip_tls_port"))
    phones = ", ".join(variables[name] for name in ("phones_port", "phones_tls_port"))
    doors = [
        Door(transport, ports, who, f"SIP of {who}", sip=True)
        for ports, who in ((trunks, "trunks"), (phones, "phones"))
        for transport in ("udp", "tcp")
    ]
    # Audio comes from other machines of a carrier than its signalling, and nobody says from which.
    return [*doors, Door("udp", f"{first}-{last}", "", "RTP")]


def _of_ivr_sip(settings: Settings) -> list[Door]:
    sip = settings.sip
    if is_local(sip.host):
        return []
    last = sip.rtp_port + sip.processes * RTP_PORTS - 1
    doors = [Door(t, str(sip.port), "phones", "SIP", sip=True) for t in sip.transports]
    return [*doors, Door("udp", f"{sip.rtp_port}-{last}", "", "RTP")]


def _check_playback(settings: Settings, first: int, last: int) -> None:
    """FreeSWITCH takes playback from anybody: no port of it may be among those that are open."""
    switch = settings.switch
    end = switch.playback_port + switch.playback_ports - 1
    if not is_local(switch.playback_host) and switch.playback_port <= last and end >= first:
        raise UserError(
            f"switch.playback_port {switch.playback_port}-{end} lies within the RTP ports"
            f" {first}-{last}, which are open, and {switch.playback_host} is reached from outside:"
            " anybody could speak to callers. Move it, or set switch.playback_host = 127.0.0.1."
        )


def _inner(settings: Settings) -> list[Door]:
    """What other machines of ours ask: workers, engine servers, the roster; playback of workers."""
    switch = settings.switch
    ports = {settings.worker.port, settings.cluster.port}
    ports |= {
        place.port for stage in settings.engines.stages().values() for place in stage.places()
    }
    end = switch.playback_port + switch.playback_ports - 1
    return [
        Door("tcp", ", ".join(map(str, sorted(ports))), "machines", "our machines"),
        Door("udp", f"{switch.playback_port}-{end}", "machines", "playback from our machines"),
    ]


def _metrics_ports(settings: Settings) -> str:
    found = settings.metrics
    ports = (found.sip_port, found.jobs_port, found.up_port, found.pools_port)
    return ", ".join(str(port) for port in ports if port)


def _acl(path: Path) -> tuple[Network, ...]:
    """The trunks' networks, as FreeSWITCH has them; none before ``ivr switch`` has run."""
    if not path.exists():
        return ()
    try:
        nodes = ET.fromstring(path.read_text()).iter("node")
        return tuple(ip_network(node.attrib["cidr"]) for node in nodes)
    except (ET.ParseError, KeyError, ValueError) as e:
        raise UserError(
            f"{path} cannot be read: {e}. Start ivr switch, which writes it anew."
        ) from e


def _sets(name: str, networks: Iterable[Network]) -> list[str]:
    found = tuple(networks)
    lines = []
    for version, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
        elements = ", ".join(str(network) for network in found if network.version == version)
        held = f" elements = {{ {elements} }};" if elements else ""
        lines.append(f"set {name}{version} {{ type {kind}; flags interval; auto-merge;{held} }}")
    return lines
