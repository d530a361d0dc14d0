"""The sockets of the proxy: public UDP and TCP towards callers, loopback UDP towards children."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import cast

from appliance.errors import ProtocolError, UserError
from appliance.telephony.calltable import Flow
from appliance.telephony.proxy import LOOPBACK, REGISTER_MARK, Proxy, Send, ToChild
from appliance.telephony.sipmessage import StreamFramer

_log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 2.0
MESSAGE_TIMEOUT_S = 10.0
"""A TCP peer that began a message has this long to end it."""
IDLE_TIMEOUT_S = 3600.0
MAX_CONNECTIONS = 256
MAX_CONNECTIONS_OF_ONE = 64
"""Of one host: four of them must not shut everybody else out by opening connections."""
SEND_BUFFER_BYTES = 256 * 1024
"""A TCP peer that does not read gets this much; then its connection is closed."""
RECEIVE_BUFFER_BYTES = 1 << 20
PONG = b"\r\n"

Registered = Callable[[bytes], None]


class SipTransport:
    """Owns the sockets; carries out what the proxy says."""

    def __init__(self, registered: Registered) -> None:
        self._registered = registered
        self._udp: asyncio.DatagramTransport | None = None
        self._inner: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self._connections: dict[Flow, _Connection] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._proxy: Proxy | None = None

    async def open_inner(self) -> int:
        """Bind the loopback socket; returns its port."""
        loop = asyncio.get_running_loop()
        self._inner, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self._from_child), sock=_udp_socket(LOOPBACK, 0)
        )
        return cast(int, self._inner.get_extra_info("sockname")[1])

    async def open(self, proxy: Proxy, host: str, port: int, transports: tuple[str, ...]) -> None:
        """Start serving callers. Raises UserError when the address cannot be had."""
        self._proxy = proxy
        loop = asyncio.get_running_loop()
        try:
            if "udp" in transports:
                self._udp, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self._from_udp), sock=_udp_socket(host, port)
                )
            if "tcp" in transports:
                self._server = await loop.create_server(
                    lambda: _Connection(self), host, port, backlog=64
                )
        except OSError as e:
            raise UserError(
                f"Cannot serve SIP on {host}:{port}: {e.strerror or e}. "
                "Set sip.host and sip.port to an address of this machine that is free."
            ) from e

    def send(self, sends: list[Send]) -> None:
        """Carry out the proxy's sends; what cannot be sent is lost, as on any network."""
        for item in sends:
            if isinstance(item, ToChild):
                if self._inner:
                    self._inner.sendto(item.data, (LOOPBACK, item.port))
            else:
                self.send_to(item.flow, item.data)

    def send_to(self, flow: Flow, data: bytes) -> None:
        """Send to a peer outside: by UDP, over its connection, or over a new one."""
        connection = self._connections.get(flow)
        if connection:
            connection.write(data)
        elif flow.transport == "udp" and self._udp and _is_address(flow.host):
            self._udp.sendto(data, (flow.host, flow.port))
        elif len(self._connecting) < MAX_CONNECTIONS:
            task = asyncio.get_running_loop().create_task(self._reach(flow, data))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def close(self) -> None:
        """Close every socket."""
        for task in list(self._connecting):
            task.cancel()
        if self._server:
            self._server.close()
        for connection in list(self._connections.values()):
            connection.abort()
        for transport in (self._udp, self._inner):
            if transport:
                transport.close()
        await asyncio.sleep(0)

    # -- called by the connections -------------------------------------------------------------

    def admit(self, connection: _Connection, flow: Flow) -> bool:
        """Whether a new TCP peer may stay."""
        if self._proxy is None or not self._proxy.allowed(flow.host):
            return False
        theirs = sum(other.host == flow.host for other in self._connections)
        if len(self._connections) >= MAX_CONNECTIONS or theirs >= MAX_CONNECTIONS_OF_ONE:
            self._proxy.refuse("one TCP connection too many", flow.host)
            return False
        self._connections[flow] = connection
        return True

    def forget(self, flow: Flow) -> None:
        self._connections.pop(flow, None)

    def received(self, data: bytes, flow: Flow) -> None:
        """A whole message from outside."""
        if self._proxy is None:
            return
        if REGISTER_MARK.encode() in data and data.startswith(b"SIP/2.0 "):
            if self._proxy.lets_in(flow.host):
                self._registered(data)
            return
        self.send(self._proxy.from_peer(data, flow))

    def complain(self, flow: Flow, error: ProtocolError) -> None:
        if self._proxy:
            self._proxy.complain(flow.host, error)

    # -- private -------------------------------------------------------------------------------

    def _from_udp(self, data: bytes, address: tuple[str, int]) -> None:
        if data.strip(b"\r\n\0"):  # NAT keep-alives are empty lines
            self.received(data, Flow("udp", address[0], address[1]))

    def _from_child(self, data: bytes, address: tuple[str, int]) -> None:
        if self._proxy and data.strip(b"\r\n\0") and address[0] == LOOPBACK:
            self.send(self._proxy.from_child(data, address[1]))

    async def _reach(self, flow: Flow, data: bytes) -> None:
        """Resolve or connect first, within CONNECT_TIMEOUT_S."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                if flow.transport == "udp":
                    found = await loop.getaddrinfo(flow.host, flow.port, type=socket.SOCK_DGRAM)
                    if self._udp:
                        self._udp.sendto(data, found[0][4][:2])
                    return
                _, connection = await loop.create_connection(
                    lambda: _Connection(self), flow.host, flow.port
                )
                connection.write(data)
        except (OSError, TimeoutError) as e:
            _log.warning(
                "! sip: cannot reach %s:%d by %s: %s", flow.host, flow.port, flow.transport, e
            )


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, receive: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._receive = receive

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            self._receive(data, addr)
        except Exception:  # the border of a request: one odd message must not stop the others
            _log.exception("! sip: a message from %s was not handled", addr[0])


class _Connection(asyncio.Protocol):
    """One TCP connection with a peer outside."""

    def __init__(self, owner: SipTransport) -> None:
        self._owner = owner
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self._flow = Flow("tcp", "", 0)
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        host, port = transport.get_extra_info("peername")[:2]
        self._flow = Flow("tcp", host, port)
        if not self._owner.admit(self, self._flow):
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=SEND_BUFFER_BYTES)
        self._watch()

    def data_received(self, data: bytes) -> None:
        began = self._framer.inside_message
        try:
            messages, pings = self._framer.feed(data)
        except ProtocolError as e:
            self._owner.complain(self._flow, e)
            self.abort()
            return
        try:
            for _ in range(pings):
                self.write(PONG)
            for message in messages:
                self._owner.received(message, self._flow)
        except Exception:  # the border of a request: one odd message must not stop the others
            _log.exception("! sip: a message from %s was not handled", self._flow.host)
        if messages or not (began and self._framer.inside_message):
            self._watch()  # else the message under way goes on, and so does its clock

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        self._owner.forget(self._flow)

    def pause_writing(self) -> None:
        self.abort()  # it does not read what we send

    def write(self, data: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(data)

    def abort(self) -> None:
        if self._transport:
            self._transport.abort()

    def _watch(self) -> None:
        """Close a peer that stops in mid-message, or says nothing for long."""
        if self._timer:
            self._timer.cancel()
        wait_s = MESSAGE_TIMEOUT_S if self._framer.inside_message else IDLE_TIMEOUT_S
        self._timer = asyncio.get_running_loop().call_later(wait_s, self.abort)


def _udp_socket(host: str, port: int) -> socket.socket:
    """A UDP socket whose receive buffer holds a burst of INVITEs."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
            return True
        except OSError:
            continue
    return False
