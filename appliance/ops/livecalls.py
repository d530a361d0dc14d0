"""Making calls, and stepping into live ones, through the ``ivr switch`` that runs here."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from appliance.access.commandline import Act, noting
from appliance.errors import UserError
from appliance.ops.console import print_json, print_table
from appliance.ops.switchclient import ask
from appliance.settings import Settings

POLL_S = 0.5
OVER = ("done", "failed", "refused")
AWAY_S = 20.0
"""A call that is followed goes on when ivr switch starts anew; so long we wait for it."""
NOT_RUNNING = "No ivr switch runs here; start it with `ivr switch`."


def make(settings: Settings, body: dict[str, Any], *, wait: bool, as_json: bool) -> None:
    """Put a call on the list; with ``wait`` tell what becomes of it until it is over.

    Raises UserError: no such number or agent, no ``ivr switch``.
    """
    agent = str(body.get("agent", ""))
    noting(settings, Act("call.make", agent, {"attempts": body.get("attempts")}, agent=agent))
    answer = _asked(settings, "POST", "/v1/calls", body)
    if not as_json:
        print(f"Calling {answer['number']}: {answer['id']}", flush=True)
    if wait:
        answer = _follow(settings, str(answer["id"]), quiet=as_json)
    if as_json:
        print_json(answer)


def _follow(settings: Settings, id_: str, *, quiet: bool) -> dict[str, Any]:
    told = ""
    while True:
        call = _read(settings, id_)
        state = f"{call['state']}  attempt {call['attempts']} of {call['max_attempts']}"
        state += f"  {call['result']}" if call["result"] else ""
        if state != told and not quiet:
            print(f"  {datetime.now():%H:%M:%S}  {state}", flush=True)
            told = state
        if call["state"] in OVER:
            return call
        if call["state"] == "waiting" and _far_away(call):
            if not quiet:
                print(f"  next attempt at {_next(call)}; it goes on without this command.")
            return call
        time.sleep(POLL_S)


def _read(settings: Settings, id_: str) -> dict[str, Any]:
    give_up_at_s = time.monotonic() + AWAY_S
    while True:
        try:
            return _asked(settings, "GET", f"/v1/outbound/{id_}")
        except UserError:
            if time.monotonic() > give_up_at_s:
                raise
        time.sleep(POLL_S)


def _far_away(call: dict[str, Any]) -> bool:
    wait = datetime.fromisoformat(str(call["next_at"])) - datetime.now(UTC)
    return wait.total_seconds() > 5


def print_outbound(settings: Settings, states: str, limit: int, *, as_json: bool) -> None:
    """The calls to be made and made, the latest first. Raises UserError: no such state."""
    answer = _asked(settings, "GET", f"/v1/outbound?state={states}&limit={limit}")
    if as_json:
        print_json(answer)
        return
    columns = ("id", "number", "agent", "state", "attempts", "next", "result")
    rows = [
        (
            c["id"][:8], c["number"], c["agent_id"], c["state"],
            f"{c['attempts']} of {c['max_attempts']}", _next(c), c["result"],
        )
        for c in answer["outbound"]
    ]  # fmt: skip
    print_table(columns, rows, "No calls on the list.")


def _next(call: dict[str, Any]) -> str:
    """When it is due, on the clock of this machine; empty for a call that does not wait."""
    if call["state"] != "waiting":
        return ""
    return f"{datetime.fromisoformat(str(call['next_at'])).astimezone():%Y-%m-%d %H:%M:%S}"


def cancel(settings: Settings, id_: str, *, as_json: bool) -> None:
    """Take a call that waits, or rings, off the list. Raises UserError."""
    noting(settings, Act("call.cancel", id_))
    answer = ask(settings, "POST", f"/v1/outbound/{id_}/cancel", {})
    if answer is None:
        raise UserError(f"No ivr switch runs here, or it has no call {id_}; see `ivr outbound`.")
    if as_json:
        print_json(answer)
    else:
        print(f"Call {answer['id'][:8]} to {answer['number']} is not made.")


def print_live(settings: Settings, *, as_json: bool) -> None:
    """The calls that are live now."""
    calls = _asked(settings, "GET", "/v1/calls")["calls"]
    if as_json:
        print_json({"calls": calls})
        return
    columns = ("call", "caller", "number", "trunk", "agent", "state", "worker")
    rows = [
        (c["call_id"][:8], c["caller"], c["did"], c["trunk"], c["agent"], c["state"], c["worker"])
        for c in calls
    ]
    print_table(columns, rows, "No live calls.")


def supervise(settings: Settings, call: str, extension: str, mode: str, *, as_json: bool) -> None:
    """Ring ``extension`` and connect it to a live call. Raises UserError."""
    body = {"extension": extension, "mode": mode}
    noting(settings, Act(f"live.{mode}", call, body))
    answer = _asked(settings, "POST", f"/v1/calls/{call}/supervise", body)
    if as_json:
        print_json(answer)
    else:
        print(f"Ringing {extension} to {mode} on call {call}.")


def whisper(settings: Settings, call: str, text: str, *, as_json: bool) -> None:
    """Tell the agent of a live call something. Raises UserError."""
    noting(settings, Act("live.say", call, {"letters": len(text)}))
    answer = _asked(settings, "POST", f"/v1/calls/{call}/whisper", {"text": text})
    if as_json:
        print_json(answer)
    else:
        print("The agent has been told; the caller does not hear it.")


def transfer(settings: Settings, call: str, to: str, mode: str, *, as_json: bool) -> None:
    """Send a live call to somebody. Raises UserError."""
    noting(settings, Act("live.transfer", call, {"to": to, "mode": mode}))
    answer = _asked(settings, "POST", f"/v1/calls/{call}/transfer", {"to": to, "mode": mode})
    if as_json:
        print_json(answer)
    else:
        print(f"Transferring call {call} to {to}.")


def hang_up(settings: Settings, call: str, *, as_json: bool) -> None:
    """End a live call. Raises UserError."""
    noting(settings, Act("live.hangup", call))
    answer = _asked(settings, "POST", f"/v1/calls/{call}/hangup")
    if as_json:
        print_json(answer)
    else:
        print(f"Call {call} ends.")


def _asked(
    settings: Settings, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    answer = ask(settings, method, path, body)
    if answer is None:
        raise UserError(NOT_RUNNING)
    return answer
