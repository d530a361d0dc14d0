"""What the callers can call: the worker itself, ``ivr sip``, or FreeSWITCH with ``ivr switch``."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import click
import uvloop

from appliance.engines.emulated_script import Script
from appliance.ops.rehearsal.temporarysite import Site, sip_office
from appliance.rehearsal.calls import Watch, lines_for
from appliance.rehearsal.conversation import Line
from appliance.rehearsal.sip_caller import RATE_HZ, SipPlan, rehearse_sip
from bench import overhear, sipp
from bench.freeswitch_place import SwitchOffice, switch_office
from bench.report import Rehearsed
from bench.ws_caller import Plan, rehearse_ws

SIPP_CALLS, SIPP_HOLD_S = 20, 5.0
MAP_AFTER_S = 1.0
"""When the last call that was placed has long been answered."""

Caller = Callable[[int, float, Watch], Rehearsed]


@dataclasses.dataclass(frozen=True, slots=True)
class Placed:
    """What callers call, and the processes to meter beside the worker, by name."""

    call: Caller
    beside: Mapping[str, int] = dataclasses.field(default_factory=dict)


@contextmanager
def ws_place(site_: Site, script_: Script, most: int) -> Iterator[Placed]:
    """Callers on the worker's own websocket."""

    def call(calls: int, seconds: float, watch: Watch) -> Rehearsed:
        plan = Plan(site_.worker_url, site_.secret, script_, calls, seconds)
        return Rehearsed(uvloop.run(rehearse_ws(plan, watch)))

    yield Placed(call)


@contextmanager
def sip_place(site_: Site, script_: Script, most: int) -> Iterator[Placed]:
    """Callers on SIP and RTP, through ``ivr sip``; sipp has called it before."""
    with sip_office(site_, most) as target:
        _sipp_calls(target, site_, script_, most)
        lines = lines_for(script_, RATE_HZ, barge_ins=True)

        def call(calls: int, seconds: float, watch: Watch) -> Rehearsed:
            plan = SipPlan(target, calls, seconds)
            return Rehearsed(uvloop.run(rehearse_sip(plan, lines, watch)))

        yield Placed(call)


def _sipp_calls(target: str, site_: Site, script_: Script, most: int) -> None:
    count = sipp.call(target, min(most, SIPP_CALLS), SIPP_HOLD_S, script_, site_.folder)
    click.echo(
        f"sipp: {count.ok} calls set up and torn down, {count.failed} failed, "
        f"answered after {count.set_up_ms} ms on average",
        err=True,
    )


@contextmanager
def freeswitch_place(site_: Site, script_: Script, most: int) -> Iterator[Placed]:
    """Callers on SIP and RTP, through a real FreeSWITCH and ``ivr switch``; sipp before them."""
    with switch_office(site_, most) as office:
        _sipp_calls(office.target, site_, script_, most)
        lines = lines_for(script_, RATE_HZ, barge_ins=True)

        def call(calls: int, seconds: float, watch: Watch) -> Rehearsed:
            plan = SipPlan(office.target, calls, seconds)
            return _overheard(office, plan, lines, watch)

        pids = {"worker": site_.worker_pid, "switch": office.switch_pid}
        yield Placed(call, pids | {"freeswitch": office.freeswitch_pid})


def _overheard(office: SwitchOffice, plan: SipPlan, lines: list[Line], watch: Watch) -> Rehearsed:
    """A rehearsal, with what the worker said beside what the callers heard."""
    ports: dict[int, int] = {}
    asking = threading.Thread(target=lambda: ports.update(office.playback_port_of()), daemon=True)

    def both(turns: int, since_s: float) -> None:
        if (
            asking.ident is None and since_s > MAP_AFTER_S
        ):  # once, when all calls are up; beside the callers' pace
            asking.start()
        watch(turns, since_s)

    with overhear.Overhearing(office.playback_ports, RATE_HZ) as worker:
        rehearsal = uvloop.run(rehearse_sip(plan, lines, both))
    if asking.ident is not None:
        asking.join()
    by_port = worker.spurts()
    said = {n: overhear.ended(by_port.get(port, []), rehearsal.end_s) for n, port in ports.items()}
    heard = {call.number: call.conversation.spurts for call in rehearsal.calls}
    return Rehearsed(rehearsal, overhear.trips(said, heard))


Place = Callable[[Site, Script, int], AbstractContextManager[Placed]]
PLACES: dict[str, Place] = {"ws": ws_place, "sip": sip_place, "freeswitch": freeswitch_place}
