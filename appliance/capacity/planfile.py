"""``plan.json``: the plan in force, for what starts and stops engine servers (docs/capacity.md)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from appliance.capacity.plan import CallsAt, Step
from appliance.errors import UserError
from appliance.files import write_whole

LARGEST_FILE_BYTES = 16 << 20
MOST_SERVERS = 100_000


@dataclass(frozen=True, slots=True)
class PlanFile:
    """Servers wanted of each stage over time, and the calls that they are for."""

    made_at: float
    """Unix seconds."""
    interval_s: int
    servers: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)
    """Stage (``stt``, ``tts``, ``turn``, ``embed``, ``llm``) -> steps in order, warm-up taken off."""
    calls: tuple[CallsAt, ...] = ()

    def steps(self, stage: str) -> tuple[tuple[float, int], ...]:
        """The steps of a stage as :func:`appliance.capacity.policy.wanted` takes them."""
        return tuple((step.from_s, step.servers) for step in self.servers.get(stage, ()))


def write_plan(path: Path, plan: PlanFile) -> None:
    """Write ``plan`` whole: a reader finds the old file or the new one. Raises UserError."""
    body: dict[str, Any] = {
        "made_at": plan.made_at,
        "interval_s": plan.interval_s,
        "servers": {
            stage: [{"from": step.from_s, "servers": step.servers} for step in steps]
            for stage, steps in plan.servers.items()
        },
        "calls": [{"from": c.from_s, "mean": c.mean, "upper": c.upper} for c in plan.calls],
    }
    try:
        write_whole(path, orjson.dumps(body) + b"\n", sync=True)
    except OSError as e:
        raise UserError(f"The plan cannot be written to {path}: {e.strerror or e}.") from e


def read_plan(path: Path) -> PlanFile | None:
    """The plan at ``path``, or None where none was made yet. Raises UserError for a broken one."""
    try:
        with path.open("rb") as lines:
            body = lines.read(LARGEST_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as e:
        raise UserError(f"The plan {path} cannot be read: {e.strerror or e}.") from e
    if len(body) > LARGEST_FILE_BYTES:
        raise _broken(path, f"it is over {LARGEST_FILE_BYTES >> 20} MiB")
    try:
        return _parse(orjson.loads(body))
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise _broken(path, f"{type(e).__name__}: {e}") from e


def _parse(value: Any) -> PlanFile:
    return PlanFile(
        made_at=_time(value["made_at"]),
        interval_s=int(value["interval_s"]),
        servers={str(stage): _steps(steps) for stage, steps in value["servers"].items()},
        calls=tuple(
            CallsAt(_time(c["from"]), _time(c["mean"]), _time(c["upper"])) for c in value["calls"]
        ),
    )


def _steps(value: Any) -> tuple[Step, ...]:
    steps = tuple(Step(_time(step["from"]), int(step["servers"])) for step in value)
    if any(not 0 <= step.servers <= MOST_SERVERS for step in steps):
        raise ValueError("a number of servers is out of range")
    if any(later.from_s <= step.from_s for step, later in itertools.pairwise(steps)):
        raise ValueError("the steps are not in order")
    return steps


def _time(value: Any) -> float:
    if not math.isfinite(number := float(value)):
        raise ValueError(f"{value} is no number")
    return number


def _broken(path: Path, why: str) -> UserError:
    return UserError(f"The plan {path} is broken ({why}). Make it again: ivr capacity plan --write")
