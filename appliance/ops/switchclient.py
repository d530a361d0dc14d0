"""Asks the ``ivr switch`` that runs here, over its HTTP API, what only it knows."""

from __future__ import annotations

import http.client
from typing import Any

import orjson

from appliance.errors import UserError
from appliance.settings import SWITCH_SECRET, Settings

TIMEOUT_S = 10.0
"""A reload resolves names and waits for FreeSWITCH; it takes well under a second."""
LARGEST_ANSWER_BYTES = 4 << 20
IN_FORCE = "In force."
WHEN_IT_STARTS = "No ivr switch runs here: in force when it starts."


def ask(
    settings: Settings, method: str, path: str, body: object = None, timeout_s: float = TIMEOUT_S
) -> dict[str, Any] | None:
    """What it answers; None when none runs, or there is no such thing (404).

    Raises UserError: it refuses, or does not answer in time.
    """
    host = "127.0.0.1" if settings.switch.api_host == "0.0.0.0" else settings.switch.api_host
    connection = http.client.HTTPConnection(host, settings.switch.api_port, timeout=timeout_s)
    headers = {"Authorization": f"Bearer {settings.secret(SWITCH_SECRET)}"}
    payload = None if method == "GET" else orjson.dumps(body if body is not None else {})
    try:
        connection.request(method, path, payload, headers)
        response = connection.getresponse()
        status, answer = response.status, _read(response.read(LARGEST_ANSWER_BYTES))
    except ConnectionRefusedError:
        return None
    except (OSError, http.client.HTTPException) as e:
        where = f"{host}:{settings.switch.api_port}"
        raise UserError(f"ivr switch at {where} did not answer: {e or type(e).__name__}.") from e
    finally:
        connection.close()
    if status == 404:
        return None
    if status >= 400:
        raise UserError(f"ivr switch refused ({status}): {answer.get('error', 'no reason given')}")
    return answer


def put_in_force(settings: Settings) -> str:
    """Let it read the database now; one sentence that says from when a change counts."""
    try:
        return WHEN_IT_STARTS if ask(settings, "POST", "/v1/reload") is None else IN_FORCE
    except UserError as e:
        return f"Saved; ivr switch looks every 5 s by itself. {e}"


def _read(body: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}
