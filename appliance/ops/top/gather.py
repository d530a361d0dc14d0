"""Asks every part of the box, each no more than once a second, and makes one picture of it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import aiohttp
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.engines.http import read_at_most
from appliance.metrics.reading import Reading, read
from appliance.ops.alarms import alarms
from appliance.ops.sitelook import Site, StageLook, look, worker_urls
from appliance.ops.top.follow import Follower
from appliance.ops.top.machine import MachineLook
from appliance.ops.top.state import (
    AlarmLine,
    PoolLine,
    QueueLine,
    Snapshot,
    StageLine,
    TrunkLine,
    WorkerLine,
)
from appliance.settings import MEDIA_SECRET, METRICS_SECRET, Settings
from appliance.urls import http_of

SITE_EVERY_S = 5.0
"""The whole look (database, switch, disk, servers) is for alarms; workers are asked each second."""
SCRAPE_TIMEOUT_S = 1.0
LARGEST_SCRAPE_BYTES = 4 << 20
WINDOW = 60
"""Looks that quantiles are of: a minute."""


@dataclass(frozen=True, slots=True)
class _Scraped:
    at_s: float
    reading: Reading


class Gatherer:
    """Of one `ivr top`."""

    def __init__(
        self, settings: Settings, http: aiohttp.ClientSession, engine: AsyncEngine
    ) -> None:
        self._settings = settings
        self._http = http
        self._engine = engine
        self._urls = settings.worker.and_spare(worker_urls(settings))
        self._token = settings.secret(METRICS_SECRET)
        self._followers = [Follower(url, settings.secret(MEDIA_SECRET)) for url in self._urls]
        self._seen: dict[str, deque[_Scraped]] = {u: deque(maxlen=WINDOW) for u in self._urls}
        self._machine = MachineLook()
        self._site = Site(0.0)
        self._site_at_s = -SITE_EVERY_S

    async def follow(self) -> None:
        """Hear of calls, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for follower in self._followers:
                tasks.create_task(follower.run(self._http))

    async def look(self) -> Snapshot:
        """One picture, some 3 s at most, and mostly milliseconds."""
        if time.monotonic() - self._site_at_s >= SITE_EVERY_S:
            self._site_at_s = time.monotonic()
            self._site = await look(self._settings, self._http, self._engine)
        await asyncio.gather(*(self._scrape(url) for url in self._urls))
        site = self._site
        return Snapshot(
            at=f"{datetime.now().astimezone():%H:%M:%S}",
            calls=tuple(call for follower in self._followers for call in follower.calls()),
            workers=tuple(self._worker(url) for url in self._there()),
            stages=tuple(self._stage(stage) for stage in site.stages),
            pools=tuple(PoolLine(p.pool, p.wanted, p.most, p.states) for p in site.pools),
            trunks=tuple(
                TrunkLine(t.name, t.up, t.enabled, t.state, t.calls, t.max_calls)
                for t in site.switch.trunks
            ),
            queues=self._queues(),
            alarms=tuple(AlarmLine(a.severity.value, a.what, a.do) for a in alarms(site)),
            machine=self._machine.look(site.disk_free_bytes, site.disk_bytes),
            switch=self._switch(),
        )

    async def _scrape(self, url: str) -> None:
        """What a worker tells; nothing where it is away."""
        timeout = aiohttp.ClientTimeout(total=SCRAPE_TIMEOUT_S)
        headers = {"Authorization": f"Bearer {self._token}"}
        place = http_of(url) + "/metrics"
        try:
            async with self._http.get(place, headers=headers, timeout=timeout) as response:
                body = await read_at_most(response, LARGEST_SCRAPE_BYTES)
                if response.status == 200:
                    self._seen[url].append(_Scraped(time.monotonic(), read(body.decode())))
                    return
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            pass
        self._seen[url].clear()

    def _there(self) -> Iterator[str]:
        """All that shall run; the spare one only while it does."""
        spare = self._settings.worker.spare_urls()
        return (url for url in self._urls if self._seen[url] or url not in spare)

    def _worker(self, url: str) -> WorkerLine:
        told = next((w for w in self._site.workers if w.url == url), None)
        seen = self._seen[url]
        if not seen:
            return WorkerLine(url, told.status if told and told.up else "away")
        now, first = seen[-1].reading, seen[0].reading if len(seen) > 1 else None
        before = seen[-2].reading if len(seen) > 1 else None
        ready = bool(now.value("ivr_worker_ready"))
        return WorkerLine(
            url=url,
            status="ok" if ready else (told.status if told and told.status != "ok" else "starting"),
            calls=int(now.value("ivr_calls_live")),
            limit=int(now.value("ivr_calls_limit")),
            why=told.why if told else "",
            gap_p50_s=now.quantile("ivr_gap_seconds", 0.5, first),
            gap_p95_s=now.quantile("ivr_gap_seconds", 0.95, first),
            late_share=_share(now, before),
            lag_p99_s=now.quantile("ivr_event_loop_lag_seconds", 0.99, first),
            journal_behind=int(now.value("ivr_journal_rows_behind")),
            resident_bytes=int(now.value("process_resident_memory_bytes")),
        )

    def _stage(self, stage: StageLook) -> StageLine:
        slowest: float | None = None
        for seen in self._seen.values():
            if not seen:
                continue
            first = seen[0].reading if len(seen) > 1 else None
            took_s = seen[-1].reading.quantile(
                "ivr_engine_first_answer_seconds", 0.95, first, stage=stage.name
            )
            slowest = took_s if slowest is None else max(slowest, took_s or 0.0)
        up = stage.up
        needed = sum(not server.is_optional for server in stage.servers)
        servers = max(needed, len(up))
        return StageLine(stage.name, len(up), servers, stage.in_flight, stage.capacity, slowest)

    def _queues(self) -> tuple[QueueLine, ...]:
        """Of the workers; alike ones together."""
        items: dict[str, tuple[int, int]] = {}
        for seen in self._seen.values():
            if seen:
                reading = seen[-1].reading
                for queue in reading.labels("ivr_queue_items", "queue"):
                    count, limit = items.get(queue, (0, 0))
                    items[queue] = (
                        count + int(reading.value("ivr_queue_items", queue=queue)),
                        limit + int(reading.value("ivr_queue_limit", queue=queue)),
                    )
        return _fullest(items)

    def _switch(self) -> str:
        switch = self._site.switch
        if switch.up:
            return "freeswitch" if switch.freeswitch else "no freeswitch"
        return "away" if self._site.expects_switch else "none"


def _fullest(items: Mapping[str, tuple[int, int]]) -> tuple[QueueLine, ...]:
    lines = [QueueLine(name, count, limit) for name, (count, limit) in items.items() if count]
    return tuple(sorted(lines, key=lambda line: -line.items / max(1, line.limit)))


def _share(now: Reading, before: Reading | None) -> float:
    """Of frames that were late since the look before."""
    if before is None:
        return 0.0
    sent = now.value("ivr_frames_sent_total") - before.value("ivr_frames_sent_total")
    late = now.value("ivr_frames_late_total") - before.value("ivr_frames_late_total")
    return late / sent if sent > 0 else 0.0
