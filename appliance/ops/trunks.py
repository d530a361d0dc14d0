"""``ivr trunks``: the carriers' gateways, as an operator keeps them."""

from __future__ import annotations

import dataclasses
from typing import Any

from sqlalchemy import Connection

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
    try:
        live, note = _live(settings)
    except UserError as e:
        live, note = {}, str(e)
    found = [_fields(trunk) | _state(trunk, live) for trunk in trunks]
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
    trunk = _normal(trunk, settings.switch.country)

    def work(connection: Connection) -> None:
        if any(other.name == trunk.name for other in store.list_trunks(connection)):
            raise UserError(
                f"Trunk {trunk.name} is there already; `ivr trunks change {trunk.name}` changes it."
            )
        store.save_trunk(connection, trunk)

    in_database(settings, work)
    _tell(settings, trunk, "added", as_json)


def change(settings: Settings, name: str, changes: dict[str, Any], *, as_json: bool) -> None:
    """Change the named fields of a trunk and keep the others. Raises UserError."""

    def work(connection: Connection) -> Trunk:
        trunk = dataclasses.replace(_named(connection, name), **changes)
        trunk = _normal(trunk, settings.switch.country)
        store.save_trunk(connection, trunk)
        return trunk

    if not changes:
        raise UserError("Nothing to change; name a field, such as --priority 5.")
    _tell(settings, in_database(settings, work), "changed", as_json)


def enable(settings: Settings, name: str, enabled: bool, *, as_json: bool) -> None:
    """Take a trunk into use, or out of it. Raises UserError when there is no such trunk."""

    def work(connection: Connection) -> Trunk:
        _named(connection, name)
        store.set_trunk_enabled(connection, name, enabled)
        return _named(connection, name)

    _tell(settings, in_database(settings, work), "enabled" if enabled else "disabled", as_json)


def remove(settings: Settings, name: str, *, as_json: bool) -> None:
    """Raises UserError when there is no such trunk."""

    def work(connection: Connection) -> Trunk:
        trunk = _named(connection, name)
        store.remove_trunk(connection, name)
        return trunk

    _tell(settings, in_database(settings, work), "removed", as_json)


def read(settings: Settings, name: str) -> Trunk:
    """The trunk of that name, with its password. Raises UserError."""
    return in_database(settings, lambda connection: _named(connection, name))


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


def _named(connection: Connection, name: str) -> Trunk:
    found = {trunk.name: trunk for trunk in store.list_trunks(connection)}
    if name not in found:
        known = ", ".join(found) or "none yet"
        raise UserError(f"There is no trunk {name!r}; there are: {known}.")
    return found[name]


def _tell(settings: Settings, trunk: Trunk, action: str, as_json: bool) -> None:
    notes = [] if action in ("removed", "disabled") else _notes(trunk)
    facts = {"action": action, "trunk": _fields(trunk)}
    tell_change(settings, f"Trunk {trunk.name} {action}.", facts, notes, as_json)


def _notes(trunk: Trunk) -> list[str]:
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


def _live(settings: Settings) -> tuple[dict[str, dict[str, Any]], str]:
    answer = ask(settings, "GET", "/v1/trunks")
    if answer is None:
        return {}, "no ivr switch runs here, so nobody knows whether the trunks are up"
    return {str(item.get("name")): item for item in answer.get("trunks", [])}, ""


def _state(trunk: Trunk, live: dict[str, dict[str, Any]]) -> dict[str, Any]:
    found = live.get(trunk.name)
    if found is None:
        state = UNKNOWN if trunk.enabled else "disabled"
        return {"state": state, "up": None, "ping_ms": "", "calls": 0}
    up = bool(found.get("up"))
    word = str(found.get("state") or UNKNOWN)
    if trunk.enabled and not up and word != UNKNOWN:
        word = f"down ({word})"
    ping_ms, calls = found.get("ping_ms", ""), found.get("calls", 0)
    return {"state": word, "up": up, "ping_ms": ping_ms, "calls": calls}


def _fields(trunk: Trunk) -> dict[str, Any]:
    fields = dataclasses.asdict(trunk)
    return {name: value for name, value in fields.items() if name not in _HIDDEN}
