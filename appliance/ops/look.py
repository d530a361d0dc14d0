"""A look at one engine server: is it warm, and how much does it do now?"""

from __future__ import annotations

import re
from dataclasses import dataclass

import orjson

from appliance.ops import probe

OK_STATUS = 200
_VLLM_LOAD = re.compile(rb"^vllm:num_requests_(?:running|waiting)(?:\{[^}]*\})? ([0-9.e+]+)", re.M)
"""Of vLLM's /metrics: what it works on, and what waits for it."""


@dataclass(frozen=True, slots=True)
class Look:
    """What an engine server says of itself."""

    warm: bool
    """It takes work; else it loads or drains."""
    in_flight: int
    """Calls, phrases or requests that it has under way."""
    capacity: int
    """As many as it carries at once; 0: it does not say."""


async def look(host: str, port: int) -> Look | None:
    """Ask an engine server, ours or vLLM. None: it does not answer at all."""
    answer = await probe.http_get(host, port)
    if answer is None:
        return None
    warm = answer.status == OK_STATUS
    try:
        said = orjson.loads(answer.body)
        return Look(warm, max(0, int(said["in_flight"])), max(0, int(said["capacity"])))
    except (ValueError, KeyError, TypeError):  # no page of ours
        return Look(warm, await _vllm_load(host, port) if warm else 0, 0)


async def _vllm_load(host: str, port: int) -> int:
    answer = await probe.http_get(host, port, "/metrics")
    if answer is None or answer.status != OK_STATUS:
        return 0
    return sum(int(float(value)) for value in _VLLM_LOAD.findall(answer.body))
