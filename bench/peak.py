"""A peak of five times the calls within one minute, met by the plan and by reactive scaling.

    python -m bench.peak                     # 5 weeks of calls, the last day simulated
    python -m bench.peak --json | tail -1 | jq .forecast.llm.no_slot_share

Weeks of calls are drawn (seeded): every working day at 10:00, calls at once become five times as
many within one minute, and stay so for half an hour. The appliance's own forecast and plan are made
from all but the last day; on that day every call and every request is simulated against servers that
need their warm-up time, started and stopped by the appliance's own policy: once with the plan, once
without. Nothing is measured but what the simulation counts; no process is started. Exits with 1 when
the plan does not meet the peak.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import orjson
from numpy.typing import NDArray

from appliance.capacity.forecast import Forecast, Now, forecast
from appliance.capacity.plan import CallsAt, Policy, Pool, Step, Use, over_time
from appliance.capacity.profile import Observed, Site
from appliance.settings import Capacity
from bench.serversim import Arrivals, Outcome, simulate

OUT = Path(__file__).parent / "out" / "peak.png"
ZONE = ZoneInfo("Asia/Kolkata")
FIRST_DAY = datetime(2026, 3, 2, tzinfo=ZONE)  # a Monday
PEAK_H, PEAK_MINUTES, PEAK_TIMES = 10, 30, 5.0
CALLS_A_MINUTE = 10.0
"""Outside the peak, on a working day from 8:00 to 20:00."""
HOLDING_S = 120.0
THINK_S = 8.0
"""Between two requests of one call to the language model."""
LLM_S = 1.5
REPLAN_S = 600
DAY_S = 86_400

STT = Pool("stt", Use.HELD, 0.0, capacity=16, least=1, most=20, warm_up_s=30)
LLM = Pool(
    "llm", Use.SHARED, LLM_S / (THINK_S + LLM_S), capacity=8, least=1, most=10, warm_up_s=120
)
POOLS = (STT, LLM)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Log:
    """Calls by the second they began (unix), and how long each lasted."""

    began: Floats
    seconds: Floats

    def observed(self, first_s: int, end_s: int, interval_s: int) -> Observed:
        edges = np.arange(first_s, end_s + 1, interval_s)
        arrivals = np.diff(np.searchsorted(self.began, edges))
        ended = np.searchsorted(np.sort(self.began + self.seconds), edges)
        live = np.searchsorted(self.began, edges) - ended
        return Observed(first_s, interval_s, tuple(arrivals.tolist()), tuple(live[1:].tolist()))


def rate(local: datetime) -> float:
    """Calls a minute."""
    working = local.weekday() < 6 and 8 <= local.hour < 20
    since = (local.hour - PEAK_H) * 60 + local.minute
    if not working:
        return 0.2
    if (
        since == 0
    ):  # all those that are to be there a minute later, and those that have left by then
        return CALLS_A_MINUTE * (PEAK_TIMES + (PEAK_TIMES - 1) * HOLDING_S / 60)
    return CALLS_A_MINUTE * (PEAK_TIMES if 0 < since < PEAK_MINUTES else 1.0)


def draw(days: int, seed: int) -> Log:
    """Calls by chance: Poisson in each minute, days that differ, exponential lengths."""
    dice = np.random.default_rng(seed)
    began = []
    for day in range(days):
        mood = float(np.exp(dice.normal(0, 0.08)))
        for minute in range(DAY_S // 60):
            local = FIRST_DAY + timedelta(days=day, minutes=minute)
            calls = int(dice.poisson(rate(local) * mood))
            began.append(local.timestamp() + np.sort(dice.random(calls)) * 60)
    times = np.concatenate(began)
    return Log(times, dice.exponential(HOLDING_S, len(times)))


def requests(log: Log, begin_s: float, end_s: float, seed: int) -> dict[str, Arrivals]:
    """What the calls of a time ask of each stage: (when, for how long), in order."""
    dice = np.random.default_rng(seed)
    inside = (log.began >= begin_s) & (log.began < end_s)
    began, seconds = log.began[inside], log.seconds[inside]
    times: list[float] = []
    lengths: list[float] = []
    for start, length in zip(began, seconds, strict=True):
        at = start + dice.exponential(THINK_S)
        while at < start + length:
            busy = dice.exponential(LLM_S)
            times.append(at)
            lengths.append(busy)
            at += busy + dice.exponential(THINK_S)
    order = np.argsort(times)
    llm = Arrivals(tuple(np.array(times)[order].tolist()), tuple(np.array(lengths)[order].tolist()))
    return {"stt": Arrivals(tuple(began.tolist()), tuple(seconds.tolist())), "llm": llm}


@dataclass(frozen=True, slots=True)
class Planned:
    """Plans as they were made during the day: (when, steps of each stage)."""

    made: tuple[tuple[float, dict[str, tuple[Step, ...]]], ...]
    first: Forecast

    def steps(self, stage: str, at_s: float) -> tuple[tuple[float, int], ...]:
        """Of the plan in force at that time."""
        in_force = [steps for made_s, steps in self.made if made_s <= at_s][-1]
        return tuple((step.from_s, step.servers) for step in in_force[stage])


def plan_day(log: Log, begin_s: int, end_s: int, capacity: Capacity) -> Planned:
    """Plan anew every ``REPLAN_S`` from what is known by then, as ``ivr up`` does."""
    site = Site(ZONE, capacity.interval_s)
    history = log.observed(int(FIRST_DAY.timestamp()), end_s, capacity.interval_s)
    policy = Policy(capacity.wait_share, capacity.headroom, capacity.idle_s)
    count = -(-(end_s - begin_s) // capacity.interval_s) + 1
    made, first = [], None
    for now_s in range(begin_s, end_s, REPLAN_S):
        known = history.before(now_s)
        now = Now(now_s, known.at_once[-1], HOLDING_S)
        seen = forecast(known, site, now, count, capacity.quantile)
        first = first or seen
        calls = [CallsAt(i.from_s, i.calls, i.calls_upper) for i in seen.intervals]
        steps = {pool.stage: over_time(calls, site.interval_s, pool, policy) for pool in POOLS}
        made.append((float(now_s), steps))
    assert first is not None
    return Planned(tuple(made), first)


def run(weeks: int, seed: int, begin_h: float, end_h: float) -> tuple[dict[str, Any], Any]:
    """The figures, and what the plot is made of."""
    days = weeks * 7 + 1  # the last one is a Monday, too
    log = draw(days, seed)
    midnight = FIRST_DAY + timedelta(days=days - 1)
    begin_s = int((midnight + timedelta(hours=begin_h)).timestamp())
    end_s = int((midnight + timedelta(hours=end_h)).timestamp())
    capacity = Capacity()
    planned = plan_day(log, begin_s, end_s, capacity)
    asked = requests(log, begin_s, end_s, seed)
    outcomes: dict[str, dict[str, Outcome]] = {"forecast": {}, "reactive": {}}
    for pool in POOLS:
        for mode in outcomes:
            plan = partial(planned.steps, pool.stage) if mode == "forecast" else _no_plan
            outcomes[mode][pool.stage] = simulate(
                asked[pool.stage], pool, plan, begin_s, end_s, capacity.idle_s
            )
    peak_s = (midnight + timedelta(hours=PEAK_H)).timestamp()
    live = log.observed(begin_s, end_s, 60).at_once
    minute = int(peak_s - begin_s) // 60
    figures: dict[str, Any] = {
        mode: {stage: outcome.figures() for stage, outcome in of.items()}
        for mode, of in outcomes.items()
    }
    cold = sum(outcome.cold for outcome in outcomes["forecast"].values())
    figures |= {
        "calls_before_the_peak": live[minute - 1],
        "calls_one_minute_later": live[minute],
        "calls_most": max(live),
        "met_without_cold_start": cold == 0,
        "weeks": weeks,
        "seed": seed,
    }
    return figures, (log, planned, outcomes, begin_s, end_s)


def _no_plan(at_s: float) -> tuple[tuple[float, int], ...]:
    return ()


def draw_plot(drawn: Any, path: Path) -> None:
    """Calls, servers and waits, with the plan on the left and without it on the right."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    log, planned, outcomes, begin_s, end_s = drawn
    figure, axes = pyplot.subplots(4, 2, figsize=(13, 11), sharex=True, sharey="row")
    live = log.observed(begin_s, end_s, 60)
    midnight_h = FIRST_DAY.timestamp() / 3600

    def clock(at_s: Any) -> Any:
        return (np.asarray(at_s, float) / 3600 - midnight_h) % 24

    for column, mode in enumerate(outcomes):
        top = axes[0][column]
        top.set_title("with the plan (forecast)" if column == 0 else "reactive only")
        top.plot(
            clock(begin_s + 60 * np.arange(1, len(live.at_once) + 1)), live.at_once, label="calls"
        )
        if column == 0:
            starts = [i.from_s for i in planned.first.intervals]
            upper = [i.calls_upper for i in planned.first.intervals]
            mean = [i.calls for i in planned.first.intervals]
            top.step(clock(starts), upper, where="post", label="forecast, upper quantile")
            top.step(clock(starts), mean, where="post", label="forecast, mean")
        top.set_ylabel("calls at once")
        for row, (stage, outcome) in enumerate(outcomes[mode].items(), 1):
            times = clock([t.at_s for t in outcome.ticks])
            axes[row][column].step(times, [t.started for t in outcome.ticks], where="post",
                                   label="started", linestyle=":")  # fmt: skip
            axes[row][column].step(
                times, [t.warm for t in outcome.ticks], where="post", label="warm"
            )
            axes[row][column].plot(times, [t.needed for t in outcome.ticks], label="in use", lw=0.8)
            axes[row][column].set_ylabel(f"{stage} servers")
            at, waited = zip(*outcome.waits, strict=True) if outcome.waits else ((), ())
            axes[3][column].plot(clock(at), waited, ".", ms=3, label=f"{stage}: {len(at)} waited")
        axes[3][column].set_ylabel("s until a slot was free")
        axes[3][column].set_xlabel("hour of the day")
        for one in axes[:, column]:
            one.grid(alpha=0.3)
            one.legend(loc="upper right", fontsize=8)
    figure.suptitle(f"A peak of {PEAK_TIMES:g} times the calls at {PEAK_H}:00, simulated")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 when the plan met the peak with no cold start."""
    parser = argparse.ArgumentParser(prog="python -m bench.peak", description=__doc__)
    parser.add_argument("--weeks", type=int, default=5, help="of calls to learn from")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--from", dest="begin_h", type=float, default=8.0, help="hour of the day")
    parser.add_argument("--to", dest="end_h", type=float, default=13.0, help="hour of the day")
    parser.add_argument("--plot", type=Path, default=OUT)
    parser.add_argument("--json", action="store_true", help="no table")
    chosen = parser.parse_args(arguments)
    figures, drawn = run(chosen.weeks, chosen.seed, chosen.begin_h, chosen.end_h)
    draw_plot(drawn, chosen.plot)
    if not chosen.json:
        for mode in ("forecast", "reactive"):
            for stage, of in figures[mode].items():
                print(f"{mode:9} {stage:4}", *(f"{key} {value}" for key, value in of.items()))
    print(orjson.dumps(figures).decode())
    return 0 if figures["met_without_cold_start"] else 1


if __name__ == "__main__":
    sys.exit(main())
