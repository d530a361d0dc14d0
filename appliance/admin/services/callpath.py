"""What happens when somebody rings a number: the way of the call, step by step.

It asks what ``ivr switch`` asks for each call (``telephony.routing``), for a moment that may be chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from appliance.access.actor import Actor, NotFoundError
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.admin.services.destinations import Reached, reached, read_telephony
from appliance.admin.services.numbers import NO_NUMBER, OpenState, open_state
from appliance.settings import Settings
from appliance.store.models import ANY_DID
from appliance.store.phonebook import NumberRoute, Telephony
from appliance.store.tenancy import tenant_of_agent
from appliance.telephony.destinations import Destination
from appliance.telephony.routing import (
    Answer,
    Arrival,
    Closed,
    Load,
    Menu,
    Overflow,
    Refuse,
    Ring,
    Route,
    Site,
    overflow_of,
    route,
)

LONGEST_LETTERS = 64


class Stop(StrEnum):
    """What a step of the way is."""

    NUMBER = "number"
    HOURS = "hours"
    SAYS = "says"
    AGENT = "agent"
    MENU = "menu"
    PERSON = "person"
    FULL = "full"
    ENDS = "ends"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class PathStep:
    """One stop of the way."""

    stop: Stop
    title: str
    """A number, an agent's name, a destination, what is said."""
    agent_id: str = ""
    digit: str = ""
    """Of a menu: the key that leads here."""
    open: OpenState | None = None
    reached: Reached | None = None


@dataclass(frozen=True, slots=True)
class CallPath:
    """The way that a call takes, and the ways that it would take otherwise."""

    did: str
    """As the number is stored; ``*`` where no own one is."""
    at: datetime
    taken: tuple[PathStep, ...]
    closed: tuple[PathStep, ...] = ()
    """Outside its hours, where ``taken`` is inside them; else the way inside them."""
    full: tuple[PathStep, ...] = ()
    """When every worker is full."""
    troubles: tuple[str, ...] = field(default=())


async def trace(
    console: Console,
    actor: Actor,
    did: str,
    *,
    at: datetime | None = None,
    full: bool = False,
) -> CallPath:
    """The way of a call to ``did`` at ``at`` (now), with every line of the box busy if ``full``.

    Raises NotFoundError where the number is answered by an agent of another tenant's.
    """
    actor.require(Permission.NUMBERS_READ)
    did, at = did.strip()[:LONGEST_LETTERS], at or datetime.now(UTC)
    telephony = await read_telephony(console)
    settings = console.settings
    site = _site(settings)
    number = telephony.number(did, site.country)
    if actor.tenant is not None:
        await _check_theirs(console, actor, number)
    load = Load(calls=site.max_calls if full else 0)
    found = route(telephony, Arrival(did, ""), at, load, site)
    teller = _Teller(actor, telephony, settings, site)
    if number is None or isinstance(found, Ring):
        return CallPath(did, at, teller.alone(did, found))
    hours = open_state(settings, number.hours, at)
    first = (PathStep(Stop.NUMBER, number.did), PathStep(Stop.HOURS, number.hours, open=hours))
    inside, outside = teller.inside(number), teller.outside(number)
    overflow = teller.overflow(number)
    match found:
        case Closed():
            taken, other = outside, inside
        case Overflow() | Refuse():
            taken, other = overflow, inside
        case _:
            taken, other = inside, outside if number.hours else ()
    is_full = isinstance(found, Overflow | Refuse)
    troubles = (
        [found.trouble] if isinstance(found, Closed | Menu | Answer) and found.trouble else []
    )
    troubles += [
        f"{step.reached.text}: {step.reached.problem}"
        for step in (*taken, *overflow, *outside)
        if step.reached is not None and step.reached.problem
    ]
    return CallPath(
        number.did, at, (*first, *taken), other, () if is_full else overflow,
        tuple(dict.fromkeys(troubles)),
    )  # fmt: skip


async def _check_theirs(console: Console, actor: Actor, number: NumberRoute | None) -> None:
    """Nobody learns how another tenant's numbers, or the operator's telephones, are set up."""
    tenant = None
    if number is not None:
        async with console.engine.connect() as connection:
            tenant = await tenant_of_agent(connection, number.agent.id)
    if tenant is None or not actor.sees(tenant):
        raise NotFoundError(NO_NUMBER)


def _site(settings: Settings) -> Site:
    switch = settings.switch
    return Site(switch.country, switch.timezone, switch.max_calls, switch.failure_to)


@dataclass(frozen=True, slots=True)
class _Teller:
    actor: Actor
    telephony: Telephony
    settings: Settings
    site: Site

    def alone(self, did: str, found: Route) -> tuple[PathStep, ...]:
        """Of what is no number of ours."""
        first = PathStep(Stop.NUMBER, did)
        match found:
            case Ring(to):
                return first, self._person(to)
            case Refuse(_, why):
                return first, PathStep(Stop.REFUSED, why)
            case _:
                return (first,)

    def inside(self, number: NumberRoute) -> tuple[PathStep, ...]:
        """Who answers."""
        choices = {
            digit: self.telephony.agents[id_]
            for digit, id_ in number.agent.language_menu.items()
            if id_ in self.telephony.agents
        }
        if not choices:
            return (PathStep(Stop.AGENT, number.agent.name, number.agent.id),)
        menu = PathStep(Stop.MENU, number.agent.language_prompt, number.agent.id)
        own = PathStep(Stop.AGENT, number.agent.name, number.agent.id)
        keyed = (PathStep(Stop.AGENT, a.name, a.id, digit) for digit, a in choices.items())
        return (menu, *keyed, own)

    def outside(self, number: NumberRoute) -> tuple[PathStep, ...]:
        """What happens outside its hours."""
        steps = [PathStep(Stop.SAYS, number.closed_text)] if number.closed_text else []
        if number.closed_to:
            steps.append(self._who(number.closed_to))
        return (*steps, *(() if number.closed_to else (PathStep(Stop.ENDS, ""),)))

    def overflow(self, number: NumberRoute) -> tuple[PathStep, ...]:
        """What happens when no worker can carry it."""
        full = PathStep(Stop.FULL, str(self.settings.switch.wait_s))
        to = overflow_of(number, self.site)
        return full, PathStep(Stop.REFUSED, "") if to is None else self._person(to)

    def _person(self, to: Destination) -> PathStep:
        return self._who(str(to))

    def _who(self, text: str) -> PathStep:
        found = reached(self.actor, self.telephony, self.settings, text)
        return PathStep(Stop.PERSON, text, reached=found)


def is_any(did: str) -> bool:
    """Whether the call is answered because every other number is."""
    return did == ANY_DID
