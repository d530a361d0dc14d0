"""Whether a number may be rung through a trunk. Pure: no clock, no I/O, one decision.

Every way out asks here, because every dial string is made by ``destinations.dial_plan``: calls of the
list, campaigns, transfers, queues, overflow, closed hours. What has been rung already comes in as
:class:`Usage`, counted by ``tollbook.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from appliance.errors import UserError
from appliance.numbers import (
    country_code,
    e164,
    is_premium,
    is_premium_short,
    is_public,
    is_shared_cost,
)
from appliance.settings import CallLimits, Toll
from appliance.telephony.tollranges import RANGES, range_of

LONGEST_SHORT_CODE = 6
"""Digits; what is longer and no public number is rung by nobody."""
LEAST_PREMIUM_DIGITS = 3
"""Of an entry of ``toll.allow`` that means a premium short code too: 118 in Britain, say."""
FOREIGN = "foreign"
"""Key of all calls to other countries together."""
BURST_DIGITS = 6
"""Country code and what follows it: so many digits tell one range from another."""
SHOWN_DIGITS = 6
"""Of a number in a log line."""


class Rule(StrEnum):
    """What keeps a number from being rung."""

    ALLOW = "allow"
    """No prefix of ``toll.allow`` fits it."""
    DENY = "deny"
    RANGE = "range"
    """It lies in a known range of fraud, and no longer prefix of ``toll.allow`` fits it."""
    PREMIUM = "premium"
    SHAPE = "shape"
    """It is no public number, nor a short code."""
    CARRIER = "carrier"
    """A SIP address at a carrier."""
    WORKER = "worker"
    """A worker asked for somebody whom the agent does not name."""
    NIGHT = "night"
    BURST = "burst"
    LIMIT = "limit"

    @property
    def lasting(self) -> bool:
        """Whether it refuses later too, as long as the settings stand."""
        return self not in (Rule.NIGHT, Rule.LIMIT)


class TollRefusedError(UserError):
    """A number that may not be rung; ``lasting``: not later either, as long as the settings stand."""

    def __init__(self, message: str, rule: Rule, number: str) -> None:
        super().__init__(message)
        self.rule = rule
        self.lasting = rule.lasting
        self.number = shown(number)
        """As much of it as a log may hold."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What has been rung under one key."""

    calls: int = 0
    """Now."""
    hour_s: float = 0.0
    day_s: float = 0.0


def trunk_key(name: str) -> str:
    """Key of a trunk's calls."""
    return f"trunk {name}"


def tenant_key(name: str) -> str:
    """Key of the calls of a tenant's agents."""
    return f"tenant {name}"


@dataclass(frozen=True, slots=True)
class TollGuard:
    """The rules, and what counts at this moment."""

    rules: Toll = field(default_factory=Toll)
    country: str = "IN"
    is_night: bool = False
    """``rules.foreign_hours`` are closed."""
    usage: Mapping[str, Usage] = field(default_factory=dict)
    blocked: Collection[str] = ()
    """Ranges (:func:`burst_range`) that a burst of short calls has stopped."""
    tenant: str = ""
    """Whose agent rings; empty: nobody's that we know."""

    def check(self, number: str) -> None:
        """Raises TollRefusedError where ``number`` may not be rung through any trunk, ever."""
        if barred := _barred(number, self.rules, self.country):
            rule, why = barred
            raise TollRefusedError(
                f"{shown(number)} may not be rung: {why}. The setting toll.allow says what may.",
                rule,
                number,
            )

    def check_now(self, number: str, trunk: str) -> None:
        """Raises TollRefusedError where ``number`` may not be rung through ``trunk`` now, or ever."""
        self.check(number)
        keys = {trunk_key(trunk): self.rules.trunks.get(trunk, self.rules.trunk)}
        if self.tenant:
            keys[tenant_key(self.tenant)] = self.rules.tenants.get(self.tenant, self.rules.tenant)
        if is_foreign(number, self.country):
            self._check_foreign(number)
            keys[FOREIGN] = self.rules.foreign
        for key, limits in keys.items():
            if why := _over(self.usage.get(key, Usage()), limits):
                raise TollRefusedError(
                    f"{shown(number)} is not rung now: {key} has {why}.", Rule.LIMIT, number
                )

    def _check_foreign(self, number: str) -> None:
        if self.is_night:
            raise TollRefusedError(
                f"{shown(number)} is not rung now: it is outside toll.foreign_hours.",
                Rule.NIGHT,
                number,
            )
        if burst_range(number, self.country) in self.blocked:
            raise TollRefusedError(
                f"{shown(number)} is not rung: a burst of short calls has stopped its range."
                " See `ivr trunks toll`.",
                Rule.BURST,
                number,
            )


def is_foreign(number: str, country: str) -> bool:
    """Whether ``number`` is another country's; what is no public number is nobody's."""
    return is_public(number, country) and not e164(number, country).startswith(
        country_code(country)
    )


def burst_range(number: str, country: str) -> str:
    """The range that bursts are counted for."""
    return e164(number, country)[: BURST_DIGITS + 1]


def shown(number: str) -> str:
    """As much of ``number`` as a log may hold."""
    return number if len(number) <= SHOWN_DIGITS + 1 else f"{number[: SHOWN_DIGITS + 1]}…"


def _barred(number: str, rules: Toll, country: str) -> tuple[Rule, str] | None:
    """Why never."""
    if not is_public(number, country):
        return _barred_short(number, rules, country)
    whole = e164(number, country)
    allowed = _longest(whole, rules.allow)
    denied = _longest(whole, [entry for entry in rules.deny if entry.startswith("+")])
    known = range_of(whole)
    if denied and len(denied) >= len(allowed):
        return Rule.DENY, f"toll.deny names {denied}"
    if not allowed:
        return Rule.ALLOW, "no prefix of toll.allow fits it"
    if known and len(known) > len(allowed):
        return Rule.RANGE, f"{known} is {RANGES[known]}"
    costs_more = is_premium(whole) or (is_foreign(whole, country) and is_shared_cost(whole))
    if costs_more and len(allowed) <= len(country_code(whole)):
        return Rule.PREMIUM, "it is a premium number"
    return None


def _barred_short(number: str, rules: Toll, country: str) -> tuple[Rule, str] | None:
    if not (number.isascii() and number.isdigit()) or len(number) > LONGEST_SHORT_CODE:
        return Rule.SHAPE, "it is no public number, nor a short code"
    allowed = _longest(number, [entry for entry in rules.allow if not entry.startswith("+")])
    denied = _longest(number, [entry for entry in rules.deny if not entry.startswith("+")])
    if denied and len(denied) >= len(allowed):
        return Rule.DENY, f"toll.deny names {denied}"
    if not allowed:
        return Rule.ALLOW, "no short code of toll.allow fits it"
    if len(allowed) < LEAST_PREMIUM_DIGITS and is_premium_short(number, country):
        return Rule.PREMIUM, "it is a premium short code"
    return None


def _longest(number: str, prefixes: Collection[str]) -> str:
    return max((prefix for prefix in prefixes if number.startswith(prefix)), key=len, default="")


def _over(usage: Usage, limits: CallLimits) -> str:
    """Which limit is used up, or an empty string."""
    if limits.calls and usage.calls >= limits.calls:
        return f"{usage.calls} calls out at once, of {limits.calls}"
    if limits.hour_minutes and usage.hour_s >= 60 * limits.hour_minutes:
        return f"used its {limits.hour_minutes} minutes an hour"
    if limits.day_minutes and usage.day_s >= 60 * limits.day_minutes:
        return f"used its {limits.day_minutes} minutes a day"
    return ""
