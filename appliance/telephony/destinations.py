"""Whom a call is handed to, and what FreeSWITCH dials for that. Pure.

What is built here ends up in a dial string, where quotes, braces, brackets, commas, bars, spaces
and ``${…}`` are syntax: every piece is checked against a list of what is allowed, never escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from ipaddress import ip_address, ip_network

from appliance.errors import UserError
from appliance.numbers import e164, for_trunk, is_public
from appliance.store.phonebook import EXTENSION, NAME, Queue, Telephony, Trunk
from appliance.telephony.tollguard import Rule, TollGuard, TollRefusedError

RING_S = 30
"""How long one person's telephone rings when no queue says."""
PROGRESS_S = 15
"""A trunk that shows no ringing this long after the INVITE is passed over; a mobile far away
takes some 10 s to be found."""
PROFILE = "trunks"
"""Profile of SIP addresses that belong to no trunk."""

_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
_SIP = re.compile(
    rf"sip:(?P<user>[A-Za-z0-9._+-]{{1,64}})@(?P<host>{_HOST})(?::(?P<port>\d{{1,5}}))?"
    r"(?P<transport>;transport=(?:udp|tcp|tls))?",
    re.ASCII,
)
_DIALLED = re.compile(r"\+?[0-9]{2,20}", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z][A-Za-z0-9_-]*", re.ASCII)
_VALUE = re.compile(r"[A-Za-z0-9._+:/@*#-]*", re.ASCII)
_DOMAIN = re.compile(_HOST, re.ASCII)

NEXT_TRUNK_CAUSES = frozenset(
    {
        "GATEWAY_DOWN", "INVALID_GATEWAY", "INVALID_PROFILE", "NETWORK_OUT_OF_ORDER",
        "NORMAL_TEMPORARY_FAILURE", "NORMAL_CIRCUIT_CONGESTION", "NO_ROUTE_TRANSIT_NET",
        "RECOVERY_ON_TIMER_EXPIRE", "REQUESTED_CHAN_UNAVAIL", "SWITCH_CONGESTION",
        "SERVICE_UNAVAILABLE", "SERVICE_NOT_IMPLEMENTED", "BEARERCAPABILITY_NOTAVAIL",
        "BEARERCAPABILITY_NOTIMPL", "FACILITY_NOT_SUBSCRIBED", "OUTGOING_CALL_BARRED",
        "INCOMPATIBLE_DESTINATION", "PROGRESS_TIMEOUT", "INTERWORKING", "CALL_REJECTED",
        "PROTOCOL_ERROR", "NO_ROUTE_DESTINATION",
    }
)  # fmt: skip
"""Q.850 words that say something of the trunk, not of the person; 403 comes as CALL_REJECTED."""
NEVER_AGAIN = frozenset({"UNALLOCATED_NUMBER", "INVALID_NUMBER_FORMAT", "NUMBER_CHANGED"})
"""Q.850 words after which a number is not dialled a second time."""


class Kind(Enum):
    QUEUE = "queue"
    SIP = "sip"
    NUMBER = "number"
    EXTENSION = "extension"


@dataclass(frozen=True, slots=True)
class Destination:
    """Whom a call goes to; ``value`` is a queue's name, ``sip:…``, digits, or an extension."""

    kind: Kind
    value: str

    def __str__(self) -> str:
        return f"queue:{self.value}" if self.kind is Kind.QUEUE else self.value


@dataclass(frozen=True, slots=True)
class Attempt:
    """One dial string; ``trunks`` are those that it goes through (for their limits), often one."""

    dial: str
    timeout_s: int
    trunks: tuple[str, ...] = ()
    detour: bool = False
    """Another way to the people of the attempt before, to be tried only where :func:`next_trunk_helps`
    says so: a person who did not answer is not rung a second time."""


@dataclass(frozen=True, slots=True)
class DialPlan:
    """What to dial, one attempt after the other until somebody answers.

    ``max_wait_s`` bounds all of it; 0: the attempts' own times.
    """

    attempts: tuple[Attempt, ...]
    max_wait_s: int = 0

    @property
    def bridge(self) -> str:
        """All attempts as one argument of ``bridge``."""
        return "|".join(attempt.dial for attempt in self.attempts)

    @property
    def longest_s(self) -> int:
        """After so long nobody has come."""
        return self.max_wait_s or sum(attempt.timeout_s for attempt in self.attempts)


@dataclass(frozen=True, slots=True)
class Dialling:
    """What a dial plan depends on besides its destination."""

    telephony: Telephony
    country: str
    domain: str
    """Domain of our own telephones."""
    caller_id: str = ""
    """Number of the caller who is handed over; trunks with the rule ``pass`` show it."""
    without: Collection[str] = ()
    """Names of trunks that are down; used only when no other is left."""
    full: Collection[str] = ()
    """Names of trunks that carry as many calls as they may; never used."""
    toll: TollGuard = field(default_factory=TollGuard)
    """Whether a number may be rung, and through which trunk."""
    refused: Callable[[TollRefusedError], None] = lambda refusal: None
    """Told of members of a queue that may not be rung; the others' telephones ring."""
    carriers: Collection[str] = ()
    """Addresses (IP) of the trunks' proxies, as DNS says; their own text is known anyway."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Set on every leg."""


def parse_destination(text: str, country: str) -> Destination:
    """Read ``queue:NAME``, ``sip:user@host[:port][;transport=tcp]``, an extension (2 to 6 digits),
    a public number in any usual form, or ``tel:`` and a short code.

    Raises UserError for anything else.
    """
    text = text.strip()
    if text.startswith("queue:"):
        return _queue_name(text)
    if text[:4].lower() == "sip:":
        return Destination(Kind.SIP, _sip_uri("sip:" + text[4:]))
    if EXTENSION.fullmatch(text):
        return Destination(Kind.EXTENSION, text)
    number = e164(text.removeprefix("tel:"), country)
    if is_public(number, country) or (text.startswith("tel:") and _DIALLED.fullmatch(number)):
        return Destination(Kind.NUMBER, number)
    raise UserError(
        f"{text!r} is nobody to hand a call to; write queue:NAME, sip:user@host, an extension or a"
        " number like +919876543210."
    )


def dial_plan(destination: Destination, dialling: Dialling) -> DialPlan:
    """What FreeSWITCH dials for ``destination``: ordered attempts.

    Raises UserError: no such queue or extension, no trunk for a number, or a number that may not be
    rung (TollRefusedError). This is the one place where that is asked: nothing else makes dial strings.
    """
    _check(dialling)
    if destination.kind is not Kind.QUEUE:
        return DialPlan(tuple(_paths(destination, dialling, RING_S)))
    queue = dialling.telephony.queues.get(destination.value)
    if queue is None:
        raise UserError(f"There is no queue {destination.value}.")
    paths = _member_paths(queue, dialling)
    if queue.strategy == "order":
        return DialPlan(tuple(path for of_member in paths for path in of_member), queue.max_wait_s)
    return DialPlan(tuple(_together(paths)), queue.max_wait_s)


def next_trunk_helps(cause: str) -> bool:
    """Whether a call that ended with ``cause`` before it was answered may go through another trunk."""
    return cause in NEXT_TRUNK_CAUSES


def _member_paths(queue: Queue, dialling: Dialling) -> list[list[Attempt]]:
    paths, problems = [], []
    for member in queue.members:
        try:
            destination = parse_destination(member, dialling.country)
            if destination.kind is Kind.QUEUE:
                raise UserError(f"Queue {queue.name}: a queue cannot be a member.")
            paths.append(_paths(destination, dialling, queue.ring_s))
        except UserError as e:
            if isinstance(e, TollRefusedError):
                dialling.refused(e)
            problems.append(str(e))  # one wrong member does not silence the others' telephones
    if not paths:
        raise UserError(f"Nobody in queue {queue.name} can be rung: {' '.join(problems)}")
    return paths


def _together(paths: Sequence[Sequence[Attempt]]) -> list[Attempt]:
    """First everybody by their first path; then those who have a second one by that, and so on."""
    rounds = []
    for turn in range(max(map(len, paths))):
        at_once = [of_member[turn] for of_member in paths if turn < len(of_member)]
        rounds.append(
            Attempt(
                ",".join(path.dial for path in at_once),
                max(path.timeout_s for path in at_once),
                tuple(dict.fromkeys(name for path in at_once for name in path.trunks)),
                detour=turn > 0,
            )
        )
    return rounds


def _paths(destination: Destination, dialling: Dialling, ring_s: int) -> list[Attempt]:
    if destination.kind is Kind.EXTENSION:
        return [_extension(destination.value, dialling, ring_s)]
    if destination.kind is Kind.SIP:
        address = _sip_uri(destination.value).removeprefix("sip:")
        _check_host(destination.value, dialling)
        variables = _caller_id_variables(dialling.caller_id) | _times(ring_s)
        return [Attempt(_leg(dialling, variables, f"sofia/{PROFILE}/{address}"), ring_s)]
    if not _DIALLED.fullmatch(destination.value):
        raise UserError(f"{destination.value!r} is no number that can be dialled.")
    trunks = _permitted(destination.value, _usable(dialling), dialling.toll)
    paths = [_through(trunk, destination.value, dialling, ring_s) for trunk in trunks]
    return [replace(path, detour=turn > 0) for turn, path in enumerate(paths)]


def _usable(dialling: Dialling) -> list[Trunk]:
    enabled = [trunk for trunk in dialling.telephony.trunks if trunk.enabled]
    if not enabled:
        raise UserError("There is no trunk to dial through; add one with `ivr trunks add`.")
    free = [trunk for trunk in enabled if trunk.name not in dialling.full]
    if not free:
        raise UserError("Every trunk carries as many calls as it may.")
    order = sorted(free, key=lambda trunk: (trunk.priority, trunk.name))
    return [trunk for trunk in order if trunk.name not in dialling.without] or order


def _permitted(number: str, trunks: Sequence[Trunk], toll: TollGuard) -> list[Trunk]:
    """Those of ``trunks`` through which ``number`` may be rung. Raises TollRefusedError: none."""
    found, refused = [], None
    for trunk in trunks:
        try:
            toll.check_now(number, trunk.name)
            found.append(trunk)
        except TollRefusedError as e:
            refused = e
    if refused is not None and not found:
        raise refused
    return found


def _check_host(uri: str, dialling: Dialling) -> None:
    """A SIP address at a carrier would ring any number past the toll rules. Raises UserError."""
    match = _SIP.fullmatch(uri)
    host = match["host"].lower() if match else ""
    trunks = dialling.telephony.trunks
    theirs = {trunk.host.lower() for trunk in trunks} | {one.lower() for one in dialling.carriers}
    try:
        ip = ip_address(host)
    except ValueError:
        at_carrier = host.rstrip(".") in theirs
    else:
        networks = (ip_network(n, strict=False) for trunk in trunks for n in trunk.addresses)
        at_carrier = host in theirs or any(ip in network for network in networks)
    if at_carrier:
        raise TollRefusedError(
            f"{host} is a trunk's; name the number itself, as +919876543210.", Rule.CARRIER, ""
        )


def _extension(extension: str, dialling: Dialling, ring_s: int) -> Attempt:
    known = dialling.telephony.extensions.get(extension)
    if known is None or not known.enabled or not EXTENSION.fullmatch(extension):
        raise UserError(f"There is no extension {extension}.")
    variables = _caller_id_variables(dialling.caller_id) | _times(ring_s)
    return Attempt(_leg(dialling, variables, f"user/{extension}@{dialling.domain}"), ring_s)


def _through(trunk: Trunk, number: str, dialling: Dialling, ring_s: int) -> Attempt:
    if not NAME.fullmatch(trunk.name):
        raise UserError(f"{trunk.name!r} is no name for a trunk.")
    dialled = for_trunk(number, trunk.number_format, dialling.country)
    shown = for_trunk(_shown(trunk, dialling), trunk.number_format, dialling.country)
    variables = _caller_id_variables(shown) | _times(ring_s)
    variables["leg_progress_timeout"] = str(min(PROGRESS_S, ring_s))
    endpoint = f"sofia/gateway/{trunk.name}/{dialled}"
    return Attempt(_leg(dialling, variables, endpoint), ring_s, (trunk.name,))


def _shown(trunk: Trunk, dialling: Dialling) -> str:
    if trunk.caller_id_rule == "pass" and is_public(dialling.caller_id, dialling.country):
        return dialling.caller_id
    return trunk.caller_id


def _caller_id_variables(number: str) -> dict[str, str]:
    """A caller without a number, or with one that is none, is shown as the trunk shows nobody."""
    if not _DIALLED.fullmatch(number):
        return {}
    return {"origination_caller_id_number": number, "origination_caller_id_name": number}


def _times(ring_s: int) -> dict[str, str]:
    return {"leg_timeout": str(ring_s)}


def _leg(dialling: Dialling, variables: Mapping[str, str], endpoint: str) -> str:
    merged = {**variables, **dialling.variables}
    return "[" + ",".join(f"{name}={value}" for name, value in merged.items()) + "]" + endpoint


def _check(dialling: Dialling) -> None:
    if not _DOMAIN.fullmatch(dialling.domain):
        raise UserError(f"{dialling.domain!r} is no domain of telephones.")
    for name, value in dialling.variables.items():
        if not _VARIABLE.fullmatch(name) or not _VALUE.fullmatch(value):
            raise UserError(
                f"Channel variable {name!r} has a name or value that cannot be dialled."
            )


def _queue_name(text: str) -> Destination:
    name = text.removeprefix("queue:")
    if not NAME.fullmatch(name):
        raise UserError(f"{name!r} is no name of a queue: letters, digits, - and _.")
    return Destination(Kind.QUEUE, name)


def _sip_uri(text: str) -> str:
    match = _SIP.fullmatch(text)
    if not match or (match["port"] and not 0 < int(match["port"]) < 65536):
        raise UserError(f"{text!r} is no SIP address; write it like sip:desk@192.168.1.20:5060.")
    return text
