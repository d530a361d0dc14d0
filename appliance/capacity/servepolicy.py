"""Ray Serve's autoscaling policy of one pool: the plan is a floor, load comes on top.

Pickled by value into Serve's controller together with ``policy`` and ``share``: it uses these two
and the standard library, nothing else. What Serve itself counts as load is what goes through its
handles, and nothing does: the replicas tell what their engine servers have under way
(``record_autoscaling_stats``).
"""

from __future__ import annotations

import json
import math
import os
from typing import Any

from appliance.capacity.policy import wanted
from appliance.capacity.share import share

DECIDE_EVERY_S = 1.0
"""Serve asks ten times a second."""
LARGEST_PLAN_BYTES = 16 << 20
"""As of who writes it; a longer file is none of ours."""
IN_FLIGHT, CAPACITY = "in_flight", "capacity"
"""What a replica tells."""


class ServePolicy:
    """``policy_function`` of an ``AutoscalingPolicy``; the arguments are its ``policy_kwargs``."""

    def __init__(
        self,
        plan_file: str,
        stage: str,
        bounds: list[list[int]],
        position: int,
        capacity: int,
        warm_up_s: float,
        idle_s: float,
    ) -> None:
        """``bounds`` are (least, most) of every pool of the stage, ours at ``position``;
        ``plan_file`` empty: by load alone; ``capacity`` 0: as the replicas say."""
        self._plan_file = plan_file
        self._stage = stage
        self._bounds = [(least, most) for least, most in bounds]
        self._position = position
        self._capacity = capacity
        self._warm_up_s = warm_up_s
        self._idle_s = idle_s
        self._stamp: tuple[int, int] | None = None
        self._steps: list[tuple[float, int]] = []

    def __call__(self, context: Any) -> tuple[int, dict[str, Any]]:
        """Replicas wanted now, by a ``ray.serve.config.AutoscalingContext``; and the state."""
        state = dict(context.policy_state or {})
        now_s = float(context.current_time)
        if 0 <= now_s - state.get("decided_s", 0.0) < DECIDE_EVERY_S:
            return int(state["wanted"]), state
        told = context.aggregated_metrics or {}
        in_flight = round(sum(told.get(IN_FLIGHT, {}).values()))
        capacity = self._capacity or round(max(told.get(CAPACITY, {}).values(), default=0))
        least, most = self._bounds[self._position]
        count, memory = wanted(
            now_s,
            self._plan(),
            int(context.target_num_replicas),
            in_flight,
            capacity or max(1, in_flight) * 2,  # nobody has told yet: only the plan asks for more
            least,
            most,
            self._warm_up_s,
            self._idle_s,
            state.get("memory", {}),
        )
        return count, {"decided_s": now_s, "wanted": count, "memory": memory}

    def _plan(self) -> list[tuple[float, int]]:
        """Our part of the stage's steps; the last readable plan stays in force."""
        if not self._plan_file:
            return []
        try:
            stat = os.stat(self._plan_file)
            stamp = (stat.st_mtime_ns, stat.st_size)
            if stamp != self._stamp:
                with open(self._plan_file, "rb") as lines:
                    said = json.loads(lines.read(LARGEST_PLAN_BYTES))["servers"]
                steps = [
                    (float(step["from"]), int(step["servers"]))
                    for step in said.get(self._stage, ())
                ]
                if not all(math.isfinite(at) for at, _ in steps):
                    raise ValueError("a step without a time")
                self._steps = [
                    (at, share(count, self._bounds)[self._position]) for at, count in steps
                ]
                self._stamp = stamp
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            pass
        except (ArithmeticError, RecursionError):  # Infinity is JSON to Python; so is [[[[…
            pass
        return self._steps
