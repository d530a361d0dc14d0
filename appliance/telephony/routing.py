"""What becomes of a call that has just come in. Pure: no clock, no I/O, one function, frozen answers.

A mistake in a row (hours that cannot be read, a destination that is none) never costs a caller the
call: it is told in ``trouble`` and the call goes on as if the row said nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address, ip_network

from appliance.errors import UserError
from appliance.events import Agent
from appliance.store.phonebook import NumberRoute, Telephony, Trunk
from appliance.telephony.destinations import Destination, Kind, parse_destination
from appliance.telephony.hours import parse_hours
from appliance.telephony.trunkfiles import networks_of

UNKNOWN_NUMBER = "UNALLOCATED_NUMBER"
"""Q.850 1; SIP 404."""
FULL = "NORMAL_CIRCUIT_CONGESTION"
"""Q.850 34; SIP 503, on which carriers try their next route."""
SUBSCRIBER_DIGITS = 8
"""Of the end of a number, enough to tell the lines of one carrier apart."""
BARRED = "CALL_REJECTED"
"""Q.850 21; SIP 403."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call as it came."""

    did: str
    caller: str
    trunk: str = ""
    """Name; empty: from one of our own telephones."""


@dataclass(frozen=True, slots=True)
class Load:
    """Live calls besides this one."""

    calls: int = 0
    by_trunk: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Site:
    """What routing needs of ``[switch]``."""

    country: str = "IN"
    timezone: str = "Asia/Kolkata"
    max_calls: int = 200
    failure_to: str = ""


@dataclass(frozen=True, slots=True)
class Refuse:
    """End it unanswered with ``cause`` (Q.850 words)."""

    cause: str
    why: str


@dataclass(frozen=True, slots=True)
class Ring:
    """From telephone to telephone: ring ``to``."""

    to: Destination


@dataclass(frozen=True, slots=True)
class Closed:
    """Outside business hours: say ``text``, then hand over to ``to``, or end."""

    number: NumberRoute
    text: str
    to: Destination | None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Overflow:
    """No room for a talk with an agent: apologise and hand over to ``to``."""

    number: NumberRoute
    to: Destination
    why: str


@dataclass(frozen=True, slots=True)
class Menu:
    """Say ``number.agent.language_prompt`` and take one digit of ``agents``."""

    number: NumberRoute
    agents: Mapping[str, Agent]
    trouble: str = ""

    def chosen(self, digit: str) -> Agent:
        """The agent for ``digit``; the number's own for none or another."""
        return self.agents.get(digit, self.number.agent)


@dataclass(frozen=True, slots=True)
class Answer:
    """The number's own agent answers."""

    number: NumberRoute
    trouble: str = ""

    @property
    def agent(self) -> Agent:
        return self.number.agent


Route = Refuse | Ring | Closed | Overflow | Menu | Answer


def route(telephony: Telephony, arrival: Arrival, now: datetime, load: Load, site: Site) -> Route:
    """Decide; ``now`` is aware."""
    if not arrival.trunk and arrival.did in telephony.extensions:
        return Ring(Destination(Kind.EXTENSION, arrival.did))
    trunk = telephony.trunk(arrival.trunk)
    if arrival.trunk and (trunk is None or not trunk.enabled):
        return Refuse(BARRED, f"trunk {arrival.trunk} is not one of ours, or disabled")
    number = telephony.number(arrival.did, site.country)
    if number is None:
        return Refuse(UNKNOWN_NUMBER, f"no agent answers {arrival.did}")
    if closed := _closed(number, now, site):
        return closed
    if why := _full(trunk, load, site):
        to = overflow_of(number, site)
        return Overflow(number, to, why) if to else Refuse(FULL, why)
    trouble = _hours_trouble(number, site)
    menu = {
        digit: telephony.agents[id_]
        for digit, id_ in number.agent.language_menu.items()
        if id_ in telephony.agents
    }
    return Menu(number, menu, trouble) if menu else Answer(number, trouble)


def overflow_of(number: NumberRoute | None, site: Site) -> Destination | None:
    """Who takes a call of this number that no worker can carry; None: nobody is named."""
    for text in ((number.overflow_to if number else ""), site.failure_to):
        destination, _ = _destination(text, site)
        if destination:
            return destination
    return None


def trunk_by_address(
    trunks: Sequence[Trunk], address: str, resolved: Mapping[str, Sequence[str]], did: str = ""
) -> Trunk | None:
    """The enabled trunk that a call from ``address`` (IP) belongs to; the narrowest network wins.

    Of several of one network, the one whose ``caller_id`` is ``did`` in any form, else the first.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return None
    found = [
        (network.prefixlen, _same_number(trunk.caller_id, did), trunk)
        for trunk in trunks
        if trunk.enabled
        for network in map(ip_network, networks_of(trunk, resolved))
        if ip in network
    ]
    return max(found, key=lambda match: match[:2])[2] if found else None


def _same_number(one: str, other: str) -> bool:
    """Whether two numbers end in the same subscriber's number, however each is written."""
    ends = [re.sub(r"\D", "", text)[-SUBSCRIBER_DIGITS:] for text in (one, other)]
    return ends[0] == ends[1] and len(ends[0]) == SUBSCRIBER_DIGITS


def _closed(number: NumberRoute, now: datetime, site: Site) -> Closed | None:
    try:
        if parse_hours(number.hours, site.timezone).open_at(now):
            return None
    except UserError:
        return None  # told by _hours_trouble
    to, trouble = _destination(number.closed_to, site)
    return Closed(number, number.closed_text, to, trouble)


def _hours_trouble(number: NumberRoute, site: Site) -> str:
    try:
        parse_hours(number.hours, site.timezone)
    except UserError as e:
        return f"number {number.did}: {e} It is treated as always open."
    return ""


def _full(trunk: Trunk | None, load: Load, site: Site) -> str:
    if load.calls >= site.max_calls:
        return f"{load.calls} calls are live, the limit of switch.max_calls"
    if trunk and trunk.max_calls and load.by_trunk.get(trunk.name, 0) >= trunk.max_calls:
        return f"trunk {trunk.name} has its {trunk.max_calls} calls"
    return ""


def _destination(text: str, site: Site) -> tuple[Destination | None, str]:
    if not text:
        return None, ""
    try:
        return parse_destination(text, site.country), ""
    except UserError as e:
        return None, str(e)
