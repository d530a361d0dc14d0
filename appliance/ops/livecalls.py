"""Making calls, and stepping into live ones, through the ``ivr switch`` that runs here."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from appliance.errors import UserError
from appliance.ops.console import print_json, print_table
from appliance.ops.switchclient import ask
from appliance.settings import Settings

POLL_S = 0.5
OVER = ("done", "failed", "refused")
NOT_RUNNING = "No ivr switch runs here; start it with `ivr switch`."


def make(settings: Settings, body: dict[str, Any], *, wait: bool, as_json: bool) -> None:
    """Put a call on the list; with ``wait`` tell what becomes of it until it is over.

    Raises UserError: no such number or agent, no ``ivr switch``.
    """
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
        call = _asked(settings, "GET", f"/v1/outbound/{id_}")
        state = f"{call['state']}  attempt {call['attempts']} of {call['max_attempts']}"
        state += f"  {call['result']}" if call["result"] else ""
        if state != told and not quiet:
            print(f"  {datetime.now():%H:%M:%S}  {state}", flush=True)
            told = state
        if call["state"] in OVER:
            return call
        if call["state"] == "waiting" and _far_away(call):
            if not quiet:
                print(f"  next attempt at {call['next_at']}; it goes on without this command.")
            return call
        time.sleep(POLL_S)


def _far_away(call: dict[str, Any]) -> bool:
    wait = datetime.fromisoformat(str(call["next_at"])) - datetime.now(UTC)
    return wait.total_seconds() > 5


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
    answer = _asked(settings, "POST", f"/v1/calls/{call}/supervise", body)
    if as_json:
        print_json(answer)
    else:
        print(f"Ringing {extension} to {mode} on call {call}.")


def whisper(settings: Settings, call: str, text: str, *, as_json: bool) -> None:
    """Tell the agent of a live call something. Raises UserError."""
    answer = _asked(settings, "POST", f"/v1/calls/{call}/whisper", {"text": text})
    if as_json:
        print_json(answer)
    else:
        print("The agent has been told; the caller does not hear it.")


def transfer(settings: Settings, call: str, to: str, mode: str, *, as_json: bool) -> None:
    """Send a live call to somebody. Raises UserError."""
    answer = _asked(settings, "POST", f"/v1/calls/{call}/transfer", {"to": to, "mode": mode})
    if as_json:
        print_json(answer)
    else:
        print(f"Transferring call {call} to {to}.")


def hang_up(settings: Settings, call: str, *, as_json: bool) -> None:
    """End a live call. Raises UserError."""
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
