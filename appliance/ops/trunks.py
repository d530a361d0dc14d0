"""``ivr trunks``: the carriers' gateways, as an operator keeps them."""

from __future__ import annotations

import dataclasses
from typing import Any

from sqlalchemy import Connection

from appliance.access.commandline import Act, changing
from appliance.errors import UserError
from appliance.numbers import e164
from appliance.ops.console import plain, print_json, print_table, tell_change
from appliance.ops.switchclient import ask
from appliance.settings import Settings
from appliance.store import trunks as store
from appliance.store.database import in_database
from appliance.store.phonebook import Trunk, check_trunk

UNKNOWN = "unknown"
_HIDDEN = ("password",)


def print_trunks(settings: Settings, *, as_json: bool) -> None:
    """Every trunk with its state, from the switch that runs, else from the database alone."""
    trunks = in_database(settings, store.list_trunks)
    live, note = live_states(settings)
    found = [fields_of(trunk) | dataclasses.asdict(state_of(trunk, live)) for trunk in trunks]
    if as_json:
        print_json({"trunks": found, "note": note})
        return
    print_table(
        ("trunk", "carrier", "proxy", "state", "ping ms", "calls", "priority", "caller ID"),
        [
            (
                t["name"], t["carrier"], f"{t['proxy']} {t['transport']}", t["state"],
                t["ping_ms"], f"{t['calls']}/{t['max_calls'] or '∞'}", t["priority"],
                t["caller_id"] or "-",
            )
            for t in found
        ],
        "No trunks. Add one: ivr trunks add NAME --proxy sip.carrier.example",
    )  # fmt: skip
    if note:
        print(f"Note: {plain(note)}")


def add(settings: Settings, trunk: Trunk, *, as_json: bool) -> None:
    """Add a trunk. Raises UserError: a wrong field, or a trunk of that name is there."""
    country = settings.switch.country
    added = changing(
        settings,
        lambda c: insert(c, trunk, country),
        lambda made: Act("trunk.add", made.name, logged_fields(made)),
    )
    _tell(settings, added, "added", as_json)


def change(settings: Settings, name: str, changes: dict[str, Any], *, as_json: bool) -> None:
    """Change the named fields of a trunk and keep the others. Raises UserError."""
    if not changes:
        raise UserError("Nothing to change; name a field, such as --priority 5.")
    country = settings.switch.country
    shown = {key: value for key, value in changes.items() if key not in _HIDDEN}
    detail = shown | {"password_changed": "password" in changes}
    changed = changing(
        settings, lambda c: update(c, name, changes, country), Act("trunk.change", name, detail)
    )
    _tell(settings, changed, "changed", as_json)


def enable(settings: Settings, name: str, enabled: bool, *, as_json: bool) -> None:
    """Take a trunk into use, or out of it. Raises UserError when there is no such trunk."""
    act = Act("trunk.enable" if enabled else "trunk.disable", name)
    trunk = changing(settings, lambda c: set_enabled(c, name, enabled), act)
    _tell(settings, trunk, "enabled" if enabled else "disabled", as_json)


def remove(settings: Settings, name: str, *, as_json: bool) -> None:
    """Raises UserError when there is no such trunk."""
    gone = changing(
        settings,
        lambda c: delete(c, name),
        lambda was: Act("trunk.remove", name, logged_fields(was)),
    )
    _tell(settings, gone, "removed", as_json)


def read(settings: Settings, name: str) -> Trunk:
    """The trunk of that name, with its password. Raises UserError."""
    return in_database(settings, lambda connection: named(connection, name))


# --- the same in a transaction of the caller's ----------------------------------------------------


def insert(connection: Connection, trunk: Trunk, country: str) -> Trunk:
    """Add a trunk, in its normal form. Raises UserError."""
    trunk = _normal(trunk, country)
    if any(other.name == trunk.name for other in store.list_trunks(connection)):
        raise UserError(
            f"Trunk {trunk.name} is there already; `ivr trunks change {trunk.name}` changes it."
        )
    store.save_trunk(connection, trunk)
    return trunk


def update(connection: Connection, name: str, changes: dict[str, Any], country: str) -> Trunk:
    """Change the named fields of a trunk and keep the others, its password too. Raises UserError."""
    trunk = _normal(dataclasses.replace(named(connection, name), **changes), country)
    store.save_trunk(connection, trunk)
    return trunk


def set_enabled(connection: Connection, name: str, enabled: bool) -> Trunk:
    """Raises UserError when there is no such trunk."""
    named(connection, name)
    store.set_trunk_enabled(connection, name, enabled)
    return named(connection, name)


def delete(connection: Connection, name: str) -> Trunk:
    """Raises UserError when there is no such trunk."""
    trunk = named(connection, name)
    store.remove_trunk(connection, name)
    return trunk


def audio_of(settings: Settings, name: str) -> list[dict[str, int]] | None:
    """RTP packets of the last calls on a trunk; None where no switch runs, or it says nothing."""
    try:
        answer = ask(settings, "GET", f"/v1/trunks/{name}")
    except UserError:
        return None
    audio = (answer or {}).get("audio")
    return audio if isinstance(audio, list) else None


def _normal(trunk: Trunk, country: str) -> Trunk:
    return check_trunk(dataclasses.replace(trunk, caller_id=e164(trunk.caller_id, country)))


def named(connection: Connection, name: str) -> Trunk:
    """The trunk of that name. Raises UserError that names those there are."""
    found = {trunk.name: trunk for trunk in store.list_trunks(connection)}
    if name not in found:
        known = ", ".join(found) or "none yet"
        raise UserError(f"There is no trunk {name!r}; there are: {known}.")
    return found[name]


def _tell(settings: Settings, trunk: Trunk, action: str, as_json: bool) -> None:
    notes = [] if action in ("removed", "disabled") else notes_of(trunk)
    facts = {"action": action, "trunk": fields_of(trunk)}
    tell_change(settings, f"Trunk {trunk.name} {action}.", facts, notes, as_json)


def notes_of(trunk: Trunk) -> list[str]:
    """What an operator should know of a trunk as it is."""
    notes = []
    if not trunk.addresses:
        notes.append(
            f"calls are taken from the addresses of {trunk.host}; if the carrier sends from others,"
            f" say which: ivr trunks change {trunk.name} --address 203.0.113.0/28"
        )
    if not trunk.caller_id:
        notes.append("it has no caller ID; carriers refuse or hide calls without one (--caller-id)")
    if trunk.srtp == "required" and trunk.transport != "tls":
        notes.append("SRTP without TLS sends its keys in the clear (--transport tls)")
    return notes


@dataclasses.dataclass(frozen=True, slots=True)
class TrunkState:
    """What the switch that runs says of a trunk."""

    state: str
    """For people: REGED, NOREG, down (…), disabled or unknown."""
    up: bool | None
    """None: nobody knows."""
    ping_ms: str
    calls: int


def live_states(settings: Settings) -> tuple[dict[str, dict[str, Any]], str]:
    """What ``ivr switch`` says of each trunk by its name, and why it says nothing. Blocks."""
    try:
        answer = ask(settings, "GET", "/v1/trunks")
    except UserError as e:
        return {}, str(e)
    if answer is None:
        return {}, "no ivr switch runs here, so nobody knows whether the trunks are up"
    return {str(item.get("name")): item for item in answer.get("trunks", [])}, ""


def state_of(trunk: Trunk, live: dict[str, dict[str, Any]]) -> TrunkState:
    """By what :func:`live_states` gave."""
    found = live.get(trunk.name)
    if found is None:
        return TrunkState(UNKNOWN if trunk.enabled else "disabled", None, "", 0)
    up = bool(found.get("up"))
    word = str(found.get("state") or UNKNOWN)
    if trunk.enabled and not up and word != UNKNOWN:
        word = f"down ({word})"
    return TrunkState(word, up, str(found.get("ping_ms", "")), int(found.get("calls") or 0))


def fields_of(trunk: Trunk) -> dict[str, Any]:
    """All of it but its password."""
    fields = dataclasses.asdict(trunk)
    return {name: value for name, value in fields.items() if name not in _HIDDEN}


def logged_fields(trunk: Trunk) -> dict[str, Any]:
    """All of it, as the audit log has it: of the password only whether there is one."""
    return fields_of(trunk) | {"password_set": bool(trunk.password)}
