"""``ivr sip``: answers SIP calls for the workers when there is no FreeSWITCH.

One parent (this, asyncio, no pjsua2) owns the public SIP address and shares the calls out among N
pjsua2 child processes of four calls each (docs/wires.md §1 is what they speak to the workers).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Coroutine
from functools import partial
from importlib.util import find_spec
from ipaddress import AddressValueError, IPv4Address
from typing import cast

import uvloop

from appliance import readiness
from appliance.errors import UserError
from appliance.metrics.looplag import LoopLag
from appliance.metrics.port import MetricsPort
from appliance.metrics.process import exporter_of
from appliance.settings import MEDIA_SECRET, METRICS_SECRET, Settings
from appliance.telephony.calltable import CallTable
from appliance.telephony.childconfig import RTP_PORTS, ChildConfig
from appliance.telephony.children import Child, ChildEvents
from appliance.telephony.proxy import LOOPBACK, Gate, Proxy
from appliance.telephony.registration import Registration
from appliance.telephony.sipmessage import parse_uri
from appliance.telephony.siptelling import HasPid, SipParts, put_sip
from appliance.telephony.siptransport import SipTransport

_log = logging.getLogger(__name__)

CALLS_PER_CHILD = 4
"""PJSUA_MAX_CALLS, compiled into the wheel."""
SILENT_RTP_S = 30.0
"""A call without a single RTP packet for so long is dead and is hung up."""
SWEEP_S = 1.0
DRAIN_POLL_S = 0.1
UNREGISTER_TIMEOUT_S = 2.0
READY_POLL_S = 0.05
CLOSE_TIMEOUT_S = 30.0
"""After the last call: the children's end and the registrar's answer."""
PARTING_S = 0.2
"""The 503s and the last BYE's answer get out before the sockets close."""


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then refuse new calls, wait for the live ones, and stop.

    Raises UserError for an address that cannot be served.
    """
    uvloop.run(serve(settings))


async def serve(settings: Settings) -> None:
    """``run`` on a loop that is already there; cancelling it stops at once, without a drain."""
    sip = settings.sip
    check_host(sip.host)
    if find_spec("pjsua2") is None:
        raise UserError("`ivr sip` needs pjsua2; install it with: pip install '.[embedded]'")
    office = SipOffice(settings)
    await office.open()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await stop.wait()
        readiness.stopping("live calls finish")
        readiness.extend(settings.worker.drain_timeout_s + CLOSE_TIMEOUT_S)
        await office.drain()
    finally:
        await office.close()


def check_host(host: str) -> None:
    """Raises UserError unless ``host`` is an IPv4 address that can stand in an SDP."""
    try:
        good = not IPv4Address(host).is_unspecified
    except AddressValueError:
        good = False
    if not good:
        raise UserError(
            f"Setting sip.host = {host!r} cannot stand in the SDP that callers send audio to; "
            "write the IPv4 address of this machine that they reach."
        )


class SipOffice:
    """The parent process's parts, wired together."""

    def __init__(self, settings: Settings, *, silent_rtp_s: float = SILENT_RTP_S) -> None:
        self._settings = settings
        self._silent_rtp_s = silent_rtp_s
        self._table = CallTable(CALLS_PER_CHILD)
        self._registration: Registration | None = None
        self._registering: asyncio.Task[None] | None = None
        self._transport = SipTransport(self._registered)
        self._proxy: Proxy | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._metrics: MetricsPort | None = None
        self.children: list[Child] = []

    @property
    def calls_in_use(self) -> int:
        """Live and ringing calls."""
        return self._table.in_use

    @property
    def children_ready(self) -> frozenset[int]:
        """SIP ports of the children that take calls."""
        return self._table.children

    async def open(self) -> None:
        """Bind the sockets, start the children (which become ready within a second)."""
        sip = self._settings.sip
        inner = await self._transport.open_inner()
        self._proxy = Proxy(
            sip.host, sip.port, inner, self._table, sip.allow, time.monotonic, sip.trunks
        )
        await self._transport.open(self._proxy, sip.host, sip.port, sip.transports)
        events = ChildEvents(
            ready=self._table.add_child,
            started=self._started,
            ended=self._ended,
            died=self._died,
        )
        for index in range(sip.processes):
            child = Child(self._child_config(index, inner), events)
            self.children.append(child)
            self._spawn(child.keep())
        self._spawn(self._sweep())
        self._spawn(self._tell_when_ready())
        self._spawn(readiness.watchdog())
        if sip.registrar:
            self._registration = Registration(
                sip.registrar,
                sip.username,
                sip.password,
                (sip.host, sip.port),
                self._transport.send_to,
            )
            self._warn_of_registrar(sip.registrar)
            self._registering = self._spawn(self._registration.run())
        self._open_metrics()
        _log.info(
            "= serving sip:%s:%d by %s, %d processes, %d calls",
            sip.host,
            sip.port,
            " and ".join(sip.transports),
            sip.processes,
            sip.processes * CALLS_PER_CHILD,
        )

    def _open_metrics(self) -> None:
        assert self._proxy is not None
        settings, children = self._settings, cast(list[HasPid], self.children)
        parts = SipParts(
            self._proxy.counts, self._table, children, CALLS_PER_CHILD, settings.sip.processes
        )
        lag = LoopLag()
        self._spawn(lag.run())
        exporter = exporter_of("sip", lag)
        exporter.add(lambda sink: put_sip(sink, parts, self._registration))
        secret = partial(settings.secret, METRICS_SECRET)
        self._metrics = MetricsPort(exporter, settings.metrics.host, secret)
        self._metrics.open(settings.metrics.sip_port)

    async def drain(self) -> None:
        """Refuse new calls, wait for the live ones (``worker.drain_timeout_s`` at most)."""
        if self._proxy is None:
            return
        self._proxy.gate = Gate.DRAINING
        _log.info("= draining: %d calls live", self._table.in_use)
        if self._registration and self._registering:
            self._registering.cancel()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._registration.remove(), UNREGISTER_TIMEOUT_S)
        deadline = time.monotonic() + self._settings.worker.drain_timeout_s
        while self._table.in_use and time.monotonic() < deadline:  # noqa: ASYNC110  (pure table)
            await asyncio.sleep(DRAIN_POLL_S)
        await asyncio.sleep(PARTING_S)

    async def close(self) -> None:
        """Stop the children and close the sockets."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._transport.close()
        if self._metrics is not None:
            await asyncio.to_thread(self._metrics.close)
        _log.info("= stopped")

    def _child_config(self, index: int, inner: int) -> ChildConfig:
        sip = self._settings.sip
        return ChildConfig(
            name=f"sip.{index}",
            host=sip.host,
            public=f"{sip.host}:{sip.port}",
            proxy=f"{LOOPBACK}:{inner}",
            rtp_port=sip.rtp_port + index * RTP_PORTS,
            worker_urls=self._settings.worker.and_spare(sip.worker_urls),
            secret=self._settings.secret(MEDIA_SECRET),
            silent_rtp_s=self._silent_rtp_s,
            log_level=self._settings.log.level,
            log_json=self._settings.log.json_lines,
            strict_rtp=sip.strict_rtp,
        )

    def _warn_of_registrar(self, registrar: str) -> None:
        host = parse_uri(registrar).host
        with contextlib.suppress(AddressValueError):
            if not any(IPv4Address(host) in network for network in self._settings.sip.allow):
                _log.warning("! sip.allow does not hold the registrar %s: add it", host)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(_complain)
        self._tasks.append(task)
        return task

    def _registered(self, data: bytes) -> None:
        if self._registration:
            self._registration.received(data)

    def _started(self, call_id: str) -> None:
        if self._proxy:
            self._proxy.counts.child_calls["started"] += 1
        self._table.started(call_id)

    def _ended(self, call_id: str) -> None:
        if self._proxy:
            self._proxy.counts.child_calls["ended"] += 1
        self._table.ended(call_id, time.monotonic())

    def _died(self, port: int) -> None:
        if self._proxy:
            self._transport.send(self._proxy.child_died(port))

    async def _tell_when_ready(self) -> None:
        while not self.children_ready:  # noqa: ASYNC110  (pure table)
            await asyncio.sleep(READY_POLL_S)
        readiness.ready("calls are answered")

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            if self._proxy:
                self._transport.send(self._proxy.sweep())


def _complain(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception():
        _log.error("! a part of sip failed", exc_info=task.exception())
