"""``ivr audit``: the report of a rehearsal, made from the call log."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from appliance.errors import UserError
from appliance.ops.calls import parse_since
from appliance.ops.rehearsal.rehearse import as_line, print_report
from appliance.ops.rehearsal.sizing import recommend
from appliance.ops.rehearsal.surroundings import engines_in_words, machine_in_words
from appliance.rehearsal.assemble import of_log
from appliance.rehearsal.content import Report
from appliance.rehearsal.levels import at_once
from appliance.rehearsal.plots import require_matplotlib
from appliance.rehearsal.write import Written, folder_for, write
from appliance.settings import Settings
from appliance.store.database import answer
from appliance.store.measures import MeasuredCall, calls_since
from appliance.telephony.hours import read_zone

QUERY_TIMEOUT_S = 120.0
"""A month of a busy appliance is some 10^6 rows."""


def run(
    settings: Settings, since: str, *, agent: str | None, rehearsals: bool, as_json: bool
) -> None:
    """Write the report and say where it lies. Raises UserError, see :func:`audit`."""
    report, written = audit(settings, since, agent=agent, rehearsals=rehearsals)
    if as_json:
        click.echo(as_line(report, written))
    else:
        print_report(report, written)


def audit(
    settings: Settings, since: str, *, agent: str | None = None, rehearsals: bool = False
) -> tuple[Report, Written]:
    """The report of the calls since ``since`` (``7d``, a date).

    Raises UserError: no such time, no such calls, or the database does not answer.
    """
    require_matplotlib()
    now = datetime.now(UTC)
    start = parse_since(since, now)
    calls = answer(
        settings,
        lambda engine: calls_since(engine, start, rehearsals=rehearsals, agent_id=agent),
        QUERY_TIMEOUT_S,
    )
    if not any(turn.gap_ms is not None for call in calls for turn in call.turns):
        raise UserError(
            f"No caller was answered since {start:%Y-%m-%d %H:%M}. Name an earlier time with --since, "
            "or place some calls: `ivr rehearse`."
        )
    zone = read_zone(settings.switch.timezone)
    moments = [turn.at for call in calls for turn in call.turns if turn.gap_ms is not None]
    facts = (
        ("calls", f"{len(calls):,}, {sum(len(call.turns) for call in calls):,} turns"),
        ("from", f"{max(start, min(moments)).astimezone(zone):%Y-%m-%d %H:%M}"),
        ("to", f"{max(moments).astimezone(zone):%Y-%m-%d %H:%M} ({settings.switch.timezone})"),
        *((("agent", agent),) if agent else ()),
        ("rehearsals", "counted" if rehearsals else "left out"),
        ("engines now", engines_in_words(settings)),
        ("machine", machine_in_words()),
    )
    notes = (
        "A turn counts at the calls that were live when its caller stopped speaking. "
        "Nobody's words or number is in this report.",
    )
    most = max(1, _most_at_once(calls))
    report = of_log(calls, start, now, zone, facts, recommend(settings, most, calls), notes)
    folder = folder_for(settings.data_dir.resolve() / "rehearsals", now.astimezone())
    return report, write(report, folder)


def _most_at_once(calls: list[MeasuredCall]) -> int:
    return max(at_once(calls, [call.started_at for call in calls]), default=1)
