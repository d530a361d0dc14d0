"""A look at one engine server: is it warm, and how much does it do now?"""

from __future__ import annotations

import re
from dataclasses import dataclass

import orjson

from appliance.engines.key import headers_of
from appliance.ops.keeping import probe

OK_STATUS = 200
MOST_USES = 1_000_000
"""A server says no more of itself: a figure that is nonsense must not stop who looks after them all."""
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


async def look(host: str, port: int, key: str = "") -> Look | None:
    """Ask an engine server, ours (which says little without its ``key``) or vLLM. None: it does not
    answer at all."""
    answer = await probe.http_get(host, port, headers=headers_of(key))
    if answer is None:
        return None
    warm = answer.status == OK_STATUS
    try:
        said = orjson.loads(answer.body)
        return Look(warm, _bounded(said["in_flight"]), _bounded(said["capacity"]))
    except (ValueError, KeyError, TypeError, OverflowError):  # no page of ours
        return Look(warm, await _vllm_load(host, port, key) if warm else 0, 0)


async def _vllm_load(host: str, port: int, key: str) -> int:
    answer = await probe.http_get(host, port, "/metrics", headers_of(key))
    if answer is None or answer.status != OK_STATUS:
        return 0
    try:
        return sum(_bounded(value) for value in _VLLM_LOAD.findall(answer.body))
    except (ValueError, OverflowError):
        return 0


def _bounded(said: bytes | str | float) -> int:
    return min(MOST_USES, max(0, int(float(said))))
