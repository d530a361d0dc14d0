"""What alarms are made of, as checks: one look at the site, one judgement (``ops/alarms.py``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from appliance.ops import alarms
from appliance.ops.alarms import Alarm
from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State, state_of
from appliance.ops.doctor.sentences import worded
from appliance.ops.sitelook import Site

Good = tuple[State, str]
"""How it stands where there is no alarm."""


def of_alarm(check: str, alarm: Alarm) -> Finding:
    """An alarm, as a finding."""
    state = state_of(alarm.severity)
    return Finding(check, state, alarm.says, alarm.remedy, alarm.values, code=alarm.code)


def _check(
    code: str,
    title: str,
    group: Group,
    part: Callable[[Site], Iterator[Alarm]],
    good: Callable[[Site], Good],
    how: str,
) -> Check:
    async def look(box: Box) -> Sequence[Finding]:
        site = await box.site()
        found = [of_alarm(code, alarm) for alarm in part(site)]
        return found or [Finding(code, *good(site))]

    return Check(code, title, group, look, how=how)


def _workers(site: Site) -> Good:
    places = sum(worker.capacity for worker in site.workers)
    calls = sum(worker.calls for worker in site.workers)
    return State.GOOD, worded(
        "{count} answer: {calls} of {places} places taken.",
        count=len(site.workers),
        calls=calls,
        places=places,
    )


def _stages(site: Site) -> Good:
    if not site.stages:
        return State.SKIPPED, "The settings name no engine server."
    told = ", ".join(f"{stage.name} {len(stage.up)}" for stage in site.stages)
    return State.GOOD, worded("Servers that answer: {told}.", told=told)


def _telephony(site: Site) -> Good:
    if not site.switch.up:
        return State.SKIPPED, "No ivr switch has been here; calls come through ivr sip."
    up = sum(trunk.up for trunk in site.switch.trunks)
    return State.GOOD, worded(
        "FreeSWITCH is there; {up} of {total} trunks are up.", up=up, total=len(site.switch.trunks)
    )


def _database(site: Site) -> Good:
    return State.GOOD, worded(
        "Postgres {version} answered in {ms} ms.",
        version=site.database.version,
        ms=f"{site.database.ms:.0f}",
    )


def _jobs(site: Site) -> Good:
    if not site.jobs_expected:
        return State.SKIPPED, "jobs.enabled is off."
    return State.GOOD, "Redis answers, ivr jobs runs, and no document waits."


def _calls(site: Site) -> Good:
    recent = site.database.recent
    if recent is None:
        return State.SKIPPED, "Postgres could not tell of the last calls."
    return (
        State.GOOD,
        worded(
            "{calls} calls and {turns} turns ended in 15 minutes as meant.",
            calls=recent.calls,
            turns=recent.turns,
        ),
    )


def _certificate(site: Site) -> Good:
    if site.certificate_ends is None:
        return State.SKIPPED, "The console has no certificate yet, or TLS is off."
    return State.GOOD, worded(
        "The console's ends on {day}.", day=f"{site.certificate_ends:%Y-%m-%d}"
    )


CHECKS = (
    _check(
        "database", "Postgres", Group.DATABASE, alarms.of_database, _database,
        "SELECT 1, and the size of the spool",
    ),
    _check(
        "jobs", "Background jobs", Group.JOBS, alarms.of_jobs, _jobs,
        "PING of Redis, the mark of ivr jobs, documents in Postgres",
    ),
    _check(
        "servers", "Engine servers", Group.ENGINES, alarms.of_stages, _stages,
        "GET /health of each, and the state of ivr pools",
    ),
    _check(
        "workers", "Workers", Group.CALLS, alarms.of_workers, _workers, "GET /health of each",
    ),
    _check(
        "recent-calls", "The last calls", Group.CALLS, alarms.of_calls, _calls,
        "rows of the last 15 minutes",
    ),
    _check(
        "switch", "FreeSWITCH and trunks", Group.TELEPHONY, alarms.of_telephony, _telephony,
        "the API of ivr switch",
    ),
    _check(
        "certificate", "Certificate", Group.CONSOLE, alarms.of_certificate, _certificate,
        "the PEM file that the console shows",
    ),
)  # fmt: skip
