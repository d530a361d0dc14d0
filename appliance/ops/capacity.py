"""``ivr capacity``: forecast, plan, what each stage needs at N calls, and what is idle."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from appliance.capacity.backtest import Score, back_test
from appliance.capacity.plan import Sized, at_time, size
from appliance.capacity.planfile import PlanFile, write_plan
from appliance.capacity.planning import Outlook, look_ahead
from appliance.capacity.servers import Live
from appliance.capacity.services import holding_s
from appliance.capacity.warmups import WarmUps
from appliance.errors import UserError
from appliance.ops.capacityview import Hour, bars, draw, hours_ahead, hours_back
from appliance.ops.console import print_json, print_table
from appliance.settings import Settings

MOST_STEPS_SHOWN = 12
NO_STAGE = "No stage has servers in the settings: [engines]."


def show(settings: Settings, calls: int | None, *, as_json: bool) -> None:
    """What ``calls`` at once (or the forecast's most) ask of each stage. Raises UserError."""
    outlook = look_ahead(settings)
    most = max((i.calls_upper for i in outlook.forecast.intervals), default=0)
    count = most if calls is None else calls
    plan = outlook.plan()
    measured = WarmUps(settings.data_dir).measured()
    stages = [
        _stage(outlook, plan, size(count, pool, outlook.policy), stage in measured)
        for stage, pool in outlook.pools.items()
    ]
    if as_json:
        holding = outlook.history.holding
        print_json(
            {
                "calls": count,
                "live_calls": outlook.history.live,
                "forecast_most": most,
                "holding_mean_s": round(holding_s(holding), 1),
                "holding_p95_s": round(holding.p95_s, 1),
                "stages": {str(stage["stage"]): stage for stage in stages},
            }
        )
        return
    asked = f"{count} calls" if calls is not None else f"{count} calls, the most of the next day"
    print(f"{outlook.history.live} calls now. Needed for {asked}:")
    print_table(_COLUMNS, [_row(stage) for stage in stages], NO_STAGE)
    for note in _notes(stages):
        print(note)


def show_forecast(settings: Settings, hours: int, png: Path | None, *, as_json: bool) -> None:
    """The last ``hours`` against their forecast, and the next. Raises UserError."""
    outlook = look_ahead(settings, hours)
    quantile = settings.capacity.quantile
    past, coming = hours_back(outlook, hours, quantile), hours_ahead(outlook, quantile)
    score = _score(settings, outlook)
    if png is not None:
        try:
            draw(outlook, past, coming, png)
        except (OSError, ValueError) as e:  # ValueError: a format that matplotlib does not know
            raise UserError(f"The picture cannot be written to {png}: {e}.") from e
    if as_json:
        print_json(
            {
                "timezone": settings.switch.timezone,
                "past": [asdict(hour) for hour in past],
                "next": [asdict(hour) for hour in coming],
                "level": round(outlook.forecast.level, 3),
                "recent": round(outlook.forecast.recent, 3),
                "last_week": score and asdict(score),
                "png": str(png) if png else "",
            }
        )
        return
    print_table(
        ("hour", "calls", "forecast", "at most", "at once", "up to", ""),
        [_hour_row(hour, mark, bar) for hour, mark, bar in bars(past, coming, outlook.site.zone)],
        "No hour to show.",
    )
    if outlook.history.inbound is None:
        print("No call is in the journal yet: the forecast knows nothing.")
    if score and score.mape is not None and score.calls_covered is not None:
        print(
            f"The last {score.days} days, forecast a day ahead: calls of an hour off by"
            f" {score.mape:.0%} on average; calls at once within the forecast in"
            f" {score.calls_covered:.1%} of all intervals."
        )


def show_plan(settings: Settings, *, write: bool, as_json: bool) -> None:
    """The plan of the next day, and put it in force with ``write``. Raises UserError."""
    outlook = look_ahead(settings)
    plan = outlook.plan()
    if write:
        write_plan(settings.plan_file, plan)
    if as_json:
        print_json(
            {
                "made_at": plan.made_at,
                "written": str(settings.plan_file) if write else "",
                "servers": {stage: list(map(asdict, s)) for stage, s in plan.servers.items()},
                "calls_most": max((at.upper for at in plan.calls), default=0),
            }
        )
        return
    zone = outlook.site.zone
    rows = []
    for stage, steps in plan.servers.items():
        told = [f"{_clock(step.from_s, zone)} {step.servers}" for step in steps[:MOST_STEPS_SHOWN]]
        more = len(steps) - len(told)
        rows.append((stage, ", ".join(told) + (f", … {more} more" if more > 0 else "")))
    print_table(("stage", "from when how many servers"), rows, NO_STAGE)
    if write:
        print(f"In force: {settings.plan_file}.")


def _stage(
    outlook: Outlook, plan: PlanFile, sized: Sized, warm_up_measured: bool
) -> dict[str, Any]:
    stage = sized.stage
    pool, need = outlook.pools[stage], outlook.needs[stage]
    live = [one for one in outlook.live if one.stage == stage]
    running, idle = len(live), [one.url for one in live if one.capacity and not one.in_flight]
    wanted = at_time(plan.servers.get(stage, ()), outlook.at_s)
    return {
        "stage": stage,
        "use": pool.use.value,
        "a_minute": round(need.a_minute, 2),
        "busy_s": round(need.busy_s, 3),
        "measured": need.measured,
        "load_erlang": round(sized.load, 2),
        "slots": sized.slots,
        "capacity": pool.capacity,
        "servers": sized.servers,
        "most": pool.most,
        "others": pool.fixed,
        "short": sized.short,
        "waiting": round(sized.waiting, 4),
        "warm_up_s": pool.warm_up_s,
        "warm_up_measured": warm_up_measured,
        "wanted_now": wanted,
        "running": running,
        "in_flight": sum(one.in_flight for one in live),
        "idle": idle,
        "spare": max(0, running - pool.fixed - wanted),
        "running_engines": sorted({_engine(one) for one in live}),
    }


_COLUMNS = (
    "stage", "asked a call minute", "takes", "load", "slots", "a server", "servers", "most",
    "warm-up", "wanted now", "running", "in use", "idle",
)  # fmt: skip


def _row(stage: dict[str, Any]) -> tuple[str, ...]:
    mark = "" if stage["measured"] else "*"
    held = stage["use"] == "held"
    asked = f"{stage['a_minute']:.1f}" + (" s speech" if held else "")
    return (
        stage["stage"],
        asked + mark,
        "the call" if held else f"{stage['busy_s'] * 1000:.0f} ms{mark}",
        f"{stage['load_erlang']:.1f} E",
        str(stage["slots"]),
        str(stage["capacity"]),
        str(stage["servers"]) + (f" + {stage['others']}" if stage["others"] else ""),
        str(stage["most"]) + (" !" if stage["short"] else ""),
        f"{stage['warm_up_s']:.0f} s" + ("" if stage["warm_up_measured"] else "*"),
        str(stage["wanted_now"]),
        str(stage["running"]),
        str(stage["in_flight"]),
        str(len(stage["idle"])),
    )


def _notes(stages: list[dict[str, Any]]) -> list[str]:
    notes = []
    if any(not (stage["measured"] and stage["warm_up_measured"]) for stage in stages):
        notes.append("* a default: this site's journal has too little of it yet.")
    for stage in stages:
        name = stage["stage"]
        if stage["short"]:
            notes.append(
                f"! {name}: {stage['short']} servers more than `most` allows; raise it in"
                f" engines.{name}.run, or {stage['waiting']:.0%} find no slot at once."
            )
        if stage["spare"]:
            notes.append(f"{name}: {stage['spare']} servers more than the plan wants now.")
    return notes


def _hour_row(hour: Hour, mark: str, bar: str) -> tuple[str, ...]:
    came = "" if hour.calls is None else str(hour.calls)
    return (
        mark, came, f"{hour.forecast:.1f}", str(hour.upper), f"{hour.at_once:.1f}",
        str(hour.at_once_upper), bar,
    )  # fmt: skip


def _score(settings: Settings, outlook: Outlook) -> Score | None:
    history = outlook.history.inbound
    if history is None:
        return None
    holding = holding_s(outlook.history.holding)
    return back_test(history, outlook.site, holding, settings.capacity.quantile)


def _clock(at_s: float, zone: tzinfo) -> str:
    return f"{datetime.fromtimestamp(at_s, zone):%a %H:%M}"


def _engine(live: Live) -> str:
    return live.engine or "(does not say)"
