"""What is wrong with the box, in plain sentences with what to do: the same for console and doctor.

Pure: from one look (``ops/sitelook.py``) to a list. A sentence is a template and its values, so that
it can be said in another language.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from appliance.ops.sitelook import Site, StageLook

NEEDED = frozenset({"stt", "tts"})
"""Stages that nothing stands in for."""
ALMOST_FULL = 0.9
"""Share of all workers' places."""
STAGE_BUSY = 0.9
DISK_WARNING, DISK_CRITICAL = 0.10, 0.03
"""Share of the disk that is free."""
SPOOL_BYTES = 1 << 20
DATABASE_SLOW_MS = 250.0
CERTIFICATE_DAYS = 21
LATE_FRAMES_SHARE = 0.02
"""Of the last quarter's calls."""
FAILURES_SHARE = 0.05
"""Of the last quarter's turns."""
LEAST_CALLS, LEAST_TURNS = 5, 20
"""Fewer prove nothing."""
MAKE_ROOM = (
    "Make room, or keep recordings for fewer days ([retention]); a full disk ends recordings."
)


class Severity(StrEnum):
    CRITICAL = "critical"
    """Callers notice it now."""
    WARNING = "warning"
    """They will, or some do."""
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that is wrong."""

    code: str
    """The same for the same trouble, for programs."""
    severity: Severity
    says: str
    """A sentence with ``{name}`` of :attr:`values` in it."""
    remedy: str
    """What to do, in the same form."""
    values: dict[str, str] = field(default_factory=dict)

    @property
    def what(self) -> str:
        """The sentence in English."""
        return self.says.format_map(self.values)

    @property
    def do(self) -> str:
        """What to do, in English."""
        return self.remedy.format_map(self.values)


def alarms(site: Site) -> tuple[Alarm, ...]:
    """Everything that is wrong, the worst first."""
    parts = (of_workers, of_stages, of_telephony, of_database, of_jobs, of_disk, of_calls)
    found = [alarm for part in (*parts, of_certificate, of_backups) for alarm in part(site)]
    order = list(Severity)
    return tuple(sorted(found, key=lambda alarm: order.index(alarm.severity)))


def of_workers(site: Site) -> Iterator[Alarm]:
    """Workers that are away, starting, ending, full, or take fewer calls."""
    up = [worker for worker in site.workers if worker.up]
    if not up:
        yield Alarm(
            "no-worker", Severity.CRITICAL, "No worker answers: no call can be carried.",
            "Start one with `ivr worker` (or `ivr up`); its log says why it ended.",
        )  # fmt: skip
        return
    for worker in site.workers:
        if not worker.up:
            yield Alarm(
                "worker-away", Severity.WARNING, "Worker {url} does not answer.",
                "Look at its log and start it again.", {"url": worker.url},
            )  # fmt: skip
        elif worker.status == "starting":
            yield Alarm(
                "worker-starting", Severity.NOTICE, "Worker {url} is warming up.",
                "Wait; if it lasts for minutes, an engine server that it needs is missing.",
                {"url": worker.url},
            )  # fmt: skip
        elif worker.status == "draining":
            yield Alarm(
                "worker-draining", Severity.NOTICE,
                "Worker {url} ends: it finishes {calls} calls and takes no new ones.",
                "Nothing; start another if it is not being replaced.",
                {"url": worker.url, "calls": str(worker.calls)},
            )  # fmt: skip
        if worker.why:
            yield Alarm(
                "admission", Severity.WARNING,
                "Worker {url} takes {capacity} calls at most for now: {why}.",
                "Give the stage that is slow more servers, or this machine fewer calls.",
                {"url": worker.url, "capacity": str(worker.capacity), "why": worker.why},
            )  # fmt: skip
    ready = [worker for worker in up if worker.status == "ok"]
    calls, places = sum(w.calls for w in ready), sum(w.capacity for w in ready)
    if places and calls >= ALMOST_FULL * places:
        full = calls >= places
        yield Alarm(
            "full", Severity.CRITICAL if full else Severity.WARNING,
            "{calls} of {places} places for calls are taken.",
            "Start more workers, or raise worker.max_calls; until then callers hold or overflow.",
            {"calls": str(calls), "places": str(places)},
        )  # fmt: skip


def of_stages(site: Site) -> Iterator[Alarm]:
    """Engine servers that are away, or at their limit."""
    for stage in site.stages:
        values = {"stage": stage.name, "down": "", "up": str(len(stage.up))}
        if not stage.up:
            needed = stage.name in NEEDED
            yield Alarm(
                "stage-away", Severity.CRITICAL if needed else Severity.WARNING,
                "No server of the stage {stage} answers.",
                "Start it (`ivr pools`, `ivr {stage}`) or mend engines.{stage} in the settings;"
                " `ivr pools status` says what it does."
                if stage.name != "llm.fallback" else
                "Start it or mend engines.llm.fallback in the settings.", values,
            )  # fmt: skip
            continue
        down = [s.url for s in stage.servers if not s.up and not s.is_optional]
        if down:
            yield Alarm(
                "server-away", Severity.WARNING,
                "Of the stage {stage}, {down} does not answer; {up} others do.",
                "Look at its log; whoever keeps it starts it again.",
                values | {"down": ", ".join(down[:5])},
            )  # fmt: skip
        if _is_busy(stage):
            yield Alarm(
                "stage-busy", Severity.WARNING,
                "The stage {stage} is at its limit: {load} of {capacity} requests at once.",
                "Raise `most` in engines.{stage}.run, or add servers.",
                values | {"load": str(stage.in_flight), "capacity": str(stage.capacity)},
            )  # fmt: skip
    for pool in site.pools:
        if lost := pool.states.count("lost"):
            yield Alarm(
                "pool-lost", Severity.WARNING,
                "{count} servers of {pool} die again and again, or are silent.",
                "Their last words are in the log of `ivr up` or `ivr pools`.",
                {"pool": pool.pool, "count": str(lost)},
            )  # fmt: skip


def _is_busy(stage: StageLook) -> bool:
    return stage.capacity > 0 and stage.in_flight >= STAGE_BUSY * stage.capacity


def of_telephony(site: Site) -> Iterator[Alarm]:
    """``ivr switch``, FreeSWITCH, and its trunks."""
    switch = site.switch
    if not switch.up:
        if switch.error or site.expects_switch:
            yield Alarm(
                "switch-away", Severity.CRITICAL,
                "ivr switch does not answer: calls are not routed, transferred or supervised.",
                "Start it with `ivr switch`; live calls go on, and it adopts them.",
            )  # fmt: skip
        return
    if not switch.freeswitch:
        yield Alarm(
            "freeswitch-away", Severity.CRITICAL,
            "FreeSWITCH is not there: no call comes in or goes out.",
            "Start it; see that switch.esl_port and its event socket's password are right.",
        )  # fmt: skip
        return
    for found in switch.blocked_ranges:
        yield Alarm(
            "toll-burst", Severity.CRITICAL,
            "Calls to {range}… are stopped: many short ones in a few minutes, as fraud makes them.",
            "Find who made them (`ivr outbound`, the call log), then: ivr trunks toll --unblock"
            " {range}",
            {"range": found},
        )  # fmt: skip
    if switch.refused:
        last, count = switch.refused[0], sum(one.count for one in switch.refused)
        yield Alarm(
            "toll-refused", Severity.WARNING,
            "{count} calls were refused by the toll rules in the last hour. The last: {why} It was for"
            " {who}.",
            "Whoever asked for them must not, or toll.allow lacks a number: ivr trunks toll, and the"
            " audit log (toll.refuse)",
            {"count": str(count), "why": last.why, "who": last.who},
        )  # fmt: skip
    for trunk in switch.trunks:
        if trunk.enabled and not trunk.up:
            yield Alarm(
                "trunk-down", Severity.CRITICAL, "Trunk {trunk} is down ({state}).",
                "`ivr trunks diagnose {trunk}` says what is wrong.",
                {"trunk": trunk.name, "state": trunk.state or "no answer"},
            )  # fmt: skip
        elif trunk.enabled and trunk.max_calls and trunk.calls >= trunk.max_calls:
            yield Alarm(
                "trunk-full", Severity.WARNING,
                "Trunk {trunk} is full: {calls} of {most} calls.",
                "Ask the carrier for more channels, or raise its limit in Trunks.",
                {"trunk": trunk.name, "calls": str(trunk.calls), "most": str(trunk.max_calls)},
            )  # fmt: skip


def of_database(site: Site) -> Iterator[Alarm]:
    """Postgres, and what waits on disk for it."""
    database = site.database
    if not database.up:
        yield Alarm(
            "database-away", Severity.CRITICAL,
            "Postgres does not answer: calls go on from memory, rows wait on disk.",
            "Start it; see database.url. What waits is written when it is back.",
        )  # fmt: skip
    elif database.ms > DATABASE_SLOW_MS:
        yield Alarm(
            "database-slow", Severity.WARNING, "Postgres took {ms} ms to answer.",
            "Look at what else its machine does: disk, memory, long queries.",
            {"ms": f"{database.ms:.0f}"},
        )  # fmt: skip
    if site.spool_bytes > SPOOL_BYTES:
        yield Alarm(
            "spool", Severity.WARNING, "{mb} MB of call rows wait on disk for Postgres.",
            "They are written when it answers; if it does, see the worker's log.",
            {"mb": f"{site.spool_bytes / 1e6:.1f}"},
        )  # fmt: skip


def of_jobs(site: Site) -> Iterator[Alarm]:
    """Redis and ``ivr jobs``; documents that wait."""
    if not site.jobs_expected:
        return
    if not site.redis_up:
        yield Alarm(
            "redis-away", Severity.WARNING,
            "Redis does not answer: documents, reviews and campaigns wait; calls go on.",
            "Start it (`ivr up` has one), or mend redis.url.",
        )  # fmt: skip
    elif not site.jobs_ready:
        yield Alarm(
            "jobs-away", Severity.WARNING,
            "ivr jobs does not run: documents, reviews and campaigns wait; calls go on.",
            "Start it with `ivr jobs` (or `ivr up`).",
        )  # fmt: skip
    backlog = site.database.backlog
    if backlog is not None and backlog.waiting_long:
        yield Alarm(
            "documents-wait", Severity.WARNING,
            "{count} documents have waited for more than five minutes to be read.",
            "See that `ivr jobs` runs; jobs.processes says how many are read at once.",
            {"count": str(backlog.waiting_long)},
        )  # fmt: skip


def disk_severity(share: float) -> Severity | None:
    """How grave it is that this share (0-1) of a disk is free; None: it is not."""
    if share < DISK_CRITICAL:
        return Severity.CRITICAL
    return Severity.WARNING if share < DISK_WARNING else None


def of_disk(site: Site) -> Iterator[Alarm]:
    """Room on the disk of ``data_dir``."""
    free = site.disk_free_bytes / site.disk_bytes if site.disk_bytes else 1.0
    severity = disk_severity(free)
    if severity is not None:
        yield Alarm(
            "disk", severity,
            "The disk of data_dir is nearly full: {gb} GB are free ({share} %).", MAKE_ROOM,
            {"gb": f"{site.disk_free_bytes / 1e9:.1f}", "share": f"{100 * free:.0f}"},
        )  # fmt: skip


def of_certificate(site: Site) -> Iterator[Alarm]:
    """How long the console's certificate is good for."""
    if site.certificate_ends is not None:
        now = datetime.fromtimestamp(site.at_s, UTC)
        days = (site.certificate_ends - now).days
        if days < CERTIFICATE_DAYS:
            yield Alarm(
                "certificate", Severity.CRITICAL if days < 0 else Severity.WARNING,
                "The console's certificate ends on {day}.",
                "Put a new one at admin.certificate and admin.key and start `ivr admin` again;"
                " its own is renewed at its start.",
                {"day": f"{site.certificate_ends:%Y-%m-%d}"},
            )  # fmt: skip


def of_backups(site: Site) -> Iterator[Alarm]:
    """Whether there is a backup, how old it is, and whether the last one and its drill went well."""
    look = site.backup
    if look is None:
        return
    state, age = look.state, look.age_hours(site.at_s)
    if not look.has_key:
        yield Alarm(
            "backup-none", Severity.NOTICE, "No backups are made: there is no key for them yet.",
            "`ivr backup key --out FILE` makes one; keep that file off this box.",
        )  # fmt: skip
        return
    if state.error:
        yield Alarm(
            "backup-failed", Severity.WARNING, "The last backup failed: {why}",
            "Mend that and run `ivr backup create`.", {"why": state.error},
        )  # fmt: skip
    if state.drill_error:
        yield Alarm(
            "backup-unproven", Severity.WARNING,
            "The last backup could not be restored into a scratch database: {why}",
            "Run `ivr backup create --drill`; an older backup may be the better one.",
            {"why": state.drill_error},
        )  # fmt: skip
    if age is None or age > look.late_hours:
        old = age is not None
        yield Alarm(
            "backup-late", Severity.WARNING,
            "The last backup is {hours} hours old." if old else "There is no backup yet.",
            "`ivr backup create` makes one; see that ivr-backup.timer or `ivr jobs` runs.",
            {"hours": f"{age:.0f}"} if age is not None else {},
        )  # fmt: skip


def of_calls(site: Site) -> Iterator[Alarm]:
    """The last quarter of an hour: late frames, turns not as meant."""
    recent = site.database.recent
    if recent is None:
        return
    late = recent.calls_with_late_frames
    if recent.calls >= LEAST_CALLS and late > LATE_FRAMES_SHARE * recent.calls:
        yield Alarm(
            "late-frames", Severity.WARNING,
            "{late} of the last quarter's {calls} calls had frames that went out late.",
            "The machine of the workers has too much to do: fewer calls there, or fewer neighbours.",
            {"late": str(late), "calls": str(recent.calls)},
        )  # fmt: skip
    if recent.turns >= LEAST_TURNS and recent.failures > FAILURES_SHARE * recent.turns:
        yield Alarm(
            "failures", Severity.WARNING,
            "{failed} of the last quarter's {turns} turns were not as meant.",
            "Open such a call under Calls: each turn says what was wrong.",
            {"failed": str(recent.failures), "turns": str(recent.turns)},
        )  # fmt: skip
