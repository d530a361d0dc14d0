"""``ivr trunks toll``: whom this box may ring through its trunks, and what it has rung."""

from __future__ import annotations

from typing import Any

from appliance.access.commandline import Act, noting
from appliance.errors import UserError
from appliance.numbers import e164
from appliance.ops.console import print_json, print_table
from appliance.ops.switchclient import ask
from appliance.settings import CallLimits, Settings
from appliance.telephony.tollguard import FOREIGN, TollGuard, TollRefusedError


def run(settings: Settings, number: str, unblock: str, as_json: bool) -> bool:
    """Show, check ``number``, or let the range ``unblock`` be rung again; whether all is well.

    Raises UserError: no ivr switch runs to unblock a range in, or it refuses.
    """
    if unblock:
        return _unblock(settings, unblock, as_json)
    if number:
        return _check(settings, number, as_json)
    live = ask(settings, "GET", "/v1/toll")
    rules = settings.toll
    if as_json:
        known = live or {"usage": {}, "blocked": {}, "refused": []}
        print_json({"rules": rules.model_dump(mode="json"), **known})
        return True
    print(f"May be rung: {' '.join(rules.allow) or 'nobody'}" + _denied(rules.deny))
    print(f"Other countries: {rules.foreign_hours}, {_limits(rules.foreign)}.")
    if live is None:
        print("No ivr switch runs here: what has been rung is not known.")
        return True
    _print_live(settings, live)
    return True


def _print_live(settings: Settings, live: dict[str, Any]) -> None:
    print_table(
        ("what", "calls now", "minutes, hour", "minutes, day", "limits"),
        [
            (key, used["calls"], used["hour_s"] // 60, used["day_s"] // 60, _of(settings, key))
            for key, used in live["usage"].items()
        ],
        "Nothing has been rung in the last day.",
    )
    if refused := live.get("refused"):
        print_table(
            ("refused in the last hour", "for", "times", "why"),
            [(one["number"], one["who"], one["count"], one["why"]) for one in refused],
            "",
        )
    for found in live["blocked"]:
        print(
            f"Stopped after a burst of short calls: {found}…  (ivr trunks toll --unblock {found})"
        )


def _check(settings: Settings, number: str, as_json: bool) -> bool:
    country = settings.switch.country
    whole = e164(number, country)
    try:
        TollGuard(settings.toll, country).check(whole)
        why = ""
    except TollRefusedError as e:
        why = str(e)
    if as_json:
        print_json({"number": whole, "allowed": not why, "why": why})
    else:
        print(why or f"{whole} may be rung.")
    return not why


def _unblock(settings: Settings, found: str, as_json: bool) -> bool:
    noting(settings, Act("toll.unblock", found))
    if ask(settings, "POST", "/v1/toll/unblock", {"range": found}) is None:
        raise UserError(f"No ivr switch runs here, or {found} is not stopped: see ivr trunks toll.")
    if as_json:
        print_json({"unblocked": found})
    else:
        print(f"{found} may be rung again.")
    return True


def _of(settings: Settings, key: str) -> str:
    rules = settings.toll
    if key == FOREIGN:
        return _limits(rules.foreign)
    kind, _, name = key.partition(" ")
    if kind == "trunk":
        return _limits(rules.trunks.get(name, rules.trunk))
    return _limits(rules.tenants.get(name, rules.tenant))


def _limits(limits: CallLimits) -> str:
    named = (
        (limits.calls, "calls at once"),
        (limits.hour_minutes, "minutes an hour"),
        (limits.day_minutes, "minutes a day"),
    )
    return ", ".join(f"{most} {what}" for most, what in named if most) or "no limit"


def _denied(deny: tuple[str, ...]) -> str:
    return f", but not {' '.join(deny)}" if deny else ""
