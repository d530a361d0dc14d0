"""What ``ivr switch`` counts and tells Prometheus. FreeSWITCH is asked nothing: what it told stands."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import gevent
from sqlalchemy import Engine

from appliance.metrics.buckets import LAG_S, Buckets
from appliance.metrics.exposition import Exporter, Sink
from appliance.metrics.looplag import LOOK_EVERY_S
from appliance.metrics.process import exporter_of, put_queue
from appliance.store.database import connections_of
from appliance.telephony.tollguard import Rule

if TYPE_CHECKING:
    from appliance.telephony.office import Office
    from appliance.telephony.records import Records
    from appliance.telephony.roster import Roster

UNKNOWN = "unknown"
"""A trunk that the phonebook does not have: strangers' addresses make no series."""
LOWEST_STATUS, HIGHEST_STATUS = 100, 699


@dataclass(slots=True)
class SwitchCounts:
    """Since the start of the process."""

    begun: Counter[str] = field(default_factory=Counter)
    """Calls, by direction."""
    ended: Counter[str] = field(default_factory=Counter)
    legs: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Legs over, by trunk and final SIP status."""

    def leg(self, trunk: str, sip_status: int, known: bool) -> None:
        """A leg of a trunk is over."""
        status = sip_status if LOWEST_STATUS <= sip_status <= HIGHEST_STATUS else 0
        self.legs[trunk if known else UNKNOWN, status] += 1


class HubLag:
    """How late gevent's hub gets round to what is due."""

    def __init__(self) -> None:
        self.seconds = Buckets(LAG_S)

    def run(self) -> None:
        """Look, for ever."""
        now: Callable[[], float] = gevent.get_hub().loop.now
        while True:
            gevent.get_hub().loop.update_now()
            due = now() + LOOK_EVERY_S
            gevent.sleep(LOOK_EVERY_S)
            gevent.get_hub().loop.update_now()
            self.seconds.observe(max(0.0, now() - due))


def exporter_of_switch(
    office: Office, records: Records, roster: Roster, engine: Engine, lag: HubLag
) -> Exporter:
    """Everything that it tells."""
    exporter = exporter_of("switch")
    exporter.add(lambda sink: sink.histogram("ivr_event_loop_lag_seconds", lag.seconds))
    exporter.add(lambda sink: _calls(sink, office))
    exporter.add(lambda sink: _trunks(sink, office, roster))
    exporter.add(lambda sink: _stores(sink, office, records, engine))
    return exporter


def _calls(sink: Sink, office: Office) -> None:
    counts, live = office.counts, Counter(c.facts.direction for c in list(office.calls.values()))
    sink.put("ivr_switch_freeswitch_up", office.freeswitch.attached)
    sink.put("ivr_switch_calls_limit", office.settings.switch.max_calls)
    for direction in ("in", "out"):
        sink.put("ivr_switch_calls_live", live[direction], direction=direction)
        sink.put("ivr_switch_calls_begun_total", counts.begun[direction], direction=direction)
        sink.put("ivr_switch_calls_ended_total", counts.ended[direction], direction=direction)
    sink.put("ivr_switch_ringing", len(list(office.ringing())))
    sink.put("ivr_switch_worker_room", office.workers.room)
    spare = office.settings.worker.spare_urls()
    for worker in office.workers.states():
        if worker["healthy"] or worker["url"] not in spare:  # nobody misses that one
            sink.put("ivr_switch_worker_healthy", bool(worker["healthy"]), worker=worker["url"])


def _trunks(sink: Sink, office: Office, roster: Roster) -> None:
    carried = office.calls_by_trunk()
    for trunk in office.telephony.trunks:
        name = trunk.name
        state = roster.states.get(name, UNKNOWN) if trunk.enabled else "disabled"
        up = trunk.enabled and office.freeswitch.attached and name not in office.down_trunks
        sink.put("ivr_trunk_enabled", trunk.enabled, trunk=name)
        sink.put("ivr_trunk_up", up, trunk=name)
        sink.put("ivr_trunk_state", 1, trunk=name, state=state)
        sink.put("ivr_trunk_calls", carried.get(name, 0), trunk=name)
        sink.put("ivr_trunk_calls_limit", trunk.max_calls, trunk=name)
    for (trunk_name, status), count in list(office.counts.legs.items()):
        sink.put("ivr_trunk_legs_ended_total", count, trunk=trunk_name, sip_status=status)


def _stores(sink: Sink, office: Office, records: Records, engine: Engine) -> None:
    for rule in Rule:
        sink.put("ivr_toll_refused_total", office.refusals.counts[rule], rule=rule.value)
    sink.put("ivr_toll_ranges_stopped", len(office.toll.blocked(time.time())))
    put_queue(sink, "legs", records.waiting, records.most)
    put_queue(sink, "callers", office.waiting.count, office.waiting.most)
    put_queue(sink, "playback ports", office.ports.in_use, office.settings.switch.playback_ports)
    sink.put("ivr_switch_rows_lost_total", records.lost)
    used, limit = connections_of(engine)
    sink.put("ivr_db_connections", used)
    sink.put("ivr_db_connections_limit", limit)
