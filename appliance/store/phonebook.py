"""What call control knows of the telephone side: trunks, telephones, queues, numbers, agents.

Frozen values without SQL; ``store/trunks.py`` reads and writes them. Each is checked where it comes
in, because parts of it stand in FreeSWITCH's dial strings, in file names and in XML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Literal

from appliance.errors import UserError
from appliance.events import Agent
from appliance.numbers import NUMBER_FORMATS, NumberFormat, candidates
from appliance.store.models import ANY_DID

Transport = Literal["udp", "tcp", "tls"]
Srtp = Literal["off", "optional", "required"]
CallerIdRule = Literal["own", "pass"]
Strategy = Literal["all", "order"]

CODECS = ("PCMA", "PCMU", "G722", "OPUS")
"""What the shipped configuration speaks."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
"""Of a trunk or queue: it stands in file names and dial strings."""
EXTENSION = re.compile(r"[0-9]{2,6}", re.ASCII)
HOST_PORT = re.compile(
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)(?::(?P<port>\d{1,5}))?", re.ASCII
)
A1_HASH = re.compile(r"[0-9a-f]{32}", re.ASCII)
LONGEST_TEXT = 256
PING_S = (5, 3600)
RING_S = (3, 300)
WAIT_S = (5, 3600)


@dataclass(frozen=True, slots=True)
class Trunk:
    """A SIP trunk, one gateway of a carrier; the columns of ``models.TrunkRow``."""

    name: str
    proxy: str
    """host or host:port."""
    carrier: str = ""
    priority: int = 10
    transport: Transport = "udp"
    register: bool = False
    username: str = ""
    password: str = field(default="", repr=False)
    realm: str = ""
    addresses: tuple[str, ...] = ()
    codecs: tuple[str, ...] = ()
    srtp: Srtp = "optional"
    number_format: NumberFormat = "e164"
    caller_id: str = ""
    caller_id_rule: CallerIdRule = "own"
    max_calls: int = 0
    """0: no limit of its own."""
    ping_s: int = 30
    """0: no OPTIONS."""
    enabled: bool = True

    @property
    def host(self) -> str:
        """``proxy`` without its port."""
        return self.proxy.partition(":")[0]

    @property
    def port(self) -> int | None:
        """Of ``proxy``; None: the transport's own, or what DNS says."""
        _, _, port = self.proxy.partition(":")
        return int(port) if port else None


@dataclass(frozen=True, slots=True)
class Extension:
    """An operator's telephone; ``a1_hash`` is MD5(extension:realm:password) in hex (RFC 7616)."""

    extension: str
    a1_hash: str = field(repr=False)
    name: str = ""
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Queue:
    """People who share the calls transferred to ``queue:NAME``."""

    name: str
    members: tuple[str, ...]
    """Extensions, numbers or SIP URIs."""
    strategy: Strategy = "all"
    ring_s: int = 20
    max_wait_s: int = 120


@dataclass(frozen=True, slots=True)
class NumberRoute:
    """A dialled number (or ``*``): which agent answers it, when, and who does otherwise."""

    did: str
    agent: Agent
    hours: str = ""
    closed_text: str = ""
    closed_to: str = ""
    overflow_to: str = ""


@dataclass(frozen=True, slots=True)
class Telephony:
    """Everything that ``ivr switch`` needs of the database, as of one moment."""

    version: str
    """Changes with any of it; see ``telephony_version``."""
    trunks: tuple[Trunk, ...] = ()
    """In the order in which calls that we make try them: priority, then name. Disabled too."""
    extensions: Mapping[str, Extension] = field(default_factory=dict)
    queues: Mapping[str, Queue] = field(default_factory=dict)
    numbers: Mapping[str, NumberRoute] = field(default_factory=dict)
    agents: Mapping[str, Agent] = field(default_factory=dict)
    """Latest published version of each, by id."""
    tenants: Mapping[str, str] = field(default_factory=dict)
    """Whose each agent is, by the agent's id."""

    def trunk(self, name: str) -> Trunk | None:
        return next((trunk for trunk in self.trunks if trunk.name == name), None)

    def number(self, did: str, country: str) -> NumberRoute | None:
        """Whose number ``did`` is, however the trunk writes it; else the route of ``*``, or None."""
        for form in (*candidates(did, country), ANY_DID):
            if found := self.numbers.get(form):
                return found
        return None


def check_trunk(trunk: Trunk) -> Trunk:
    """``trunk`` itself. Raises UserError naming the field that is wrong and what it should be."""
    who = f"Trunk {trunk.name!r}"
    _named(trunk.name, "trunk")
    check_proxy(trunk.proxy, who)
    _one_of(who, "transport", trunk.transport, ("udp", "tcp", "tls"))
    _one_of(who, "srtp", trunk.srtp, ("off", "optional", "required"))
    _one_of(who, "number format", trunk.number_format, NUMBER_FORMATS)
    _one_of(who, "caller-ID rule", trunk.caller_id_rule, ("own", "pass"))
    for codec in trunk.codecs:
        _one_of(who, "codec", codec, CODECS)
    for address in trunk.addresses:
        _network(who, address)
    for what, text in (
        ("username", trunk.username), ("realm", trunk.realm), ("carrier", trunk.carrier),
        ("caller ID", trunk.caller_id),
    ):  # fmt: skip
        _plain(who, what, text)
    _printable(who, "password", trunk.password)  # the carrier chose it: ${ may stand in it
    if trunk.register and not (trunk.username and trunk.password):
        raise UserError(f"{who} registers and so needs a username and a password.")
    if trunk.max_calls < 0 or trunk.priority < 0:
        raise UserError(f"{who}: max calls and priority are 0 or more.")
    if trunk.ping_s:
        _between(who, "ping", trunk.ping_s, PING_S)
    return trunk


def check_extension(extension: Extension) -> Extension:
    """``extension`` itself. Raises UserError."""
    who = f"Extension {extension.extension!r}"
    if not EXTENSION.fullmatch(extension.extension):
        raise UserError(f"{who}: an extension is 2 to 6 digits.")
    if not A1_HASH.fullmatch(extension.a1_hash):
        raise UserError(f"{who}: its hash is not the 32 hex digits of an MD5.")
    _plain(who, "name", extension.name)
    return extension


def check_queue(queue: Queue) -> Queue:
    """``queue`` itself, without a look at its members' form. Raises UserError."""
    who = f"Queue {queue.name!r}"
    _named(queue.name, "queue")
    if not queue.members:
        raise UserError(f"{who} has no member; name one extension, number or SIP address at least.")
    _one_of(who, "strategy", queue.strategy, ("all", "order"))
    _between(who, "ring", queue.ring_s, RING_S)
    _between(who, "max wait", queue.max_wait_s, WAIT_S)
    return queue


def check_proxy(proxy: str, who: str) -> None:
    """Raises UserError where ``proxy`` is no host, host:port or IPv4 address."""
    match = HOST_PORT.fullmatch(proxy)
    if not match or ".." in proxy or (match["port"] and not 0 < int(match["port"]) < 65536):
        raise UserError(f"{who}: proxy {proxy!r} is no host or host:port.")


def _named(name: str, what: str) -> None:
    if not NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is no name for a {what}: letters, digits, - and _, 64 at most, and it begins"
            " with a letter or digit."
        )


def _one_of(who: str, what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(f"{who}: {what} {value!r} is none of {', '.join(allowed)}.")


def _between(who: str, what: str, value: int, limits: tuple[int, int]) -> None:
    if not limits[0] <= value <= limits[1]:
        raise UserError(f"{who}: {what} of {value} s is not from {limits[0]} to {limits[1]} s.")


def _network(who: str, address: str) -> None:
    try:
        ip_network(address, strict=False)
    except ValueError as e:
        raise UserError(
            f"{who}: {address!r} is no address or network; write it like 203.0.113.0/28."
        ) from e


def _plain(who: str, what: str, text: str) -> None:
    _printable(who, what, text)
    if "${" in text:
        raise UserError(f"{who}: its {what} holds ${{, which FreeSWITCH would replace.")


def _printable(who: str, what: str, text: str) -> None:
    if not text.isprintable() or len(text) > LONGEST_TEXT:
        raise UserError(
            f"{who}: its {what} holds control characters or is over {LONGEST_TEXT} letters."
        )
