"""Is it there? Asked of a child that starts, and of a port before anything does."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from appliance.urls import in_url

PROBE_TIMEOUT_S = 1.0
"""On loopback an answer takes a millisecond; the one who asks asks again."""
HEAD_BYTES = 256
OK = b" 200 "
ANSWER_BYTES = 1 << 20
"""A longer answer is cut: the longest that is read here is vLLM's /metrics, some 100 kB."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an HTTP server said."""

    status: int
    body: bytes


async def http_ok(host: str, port: int, path: str = "/health") -> bool:
    """Whether ``GET path`` is answered with status 200."""
    request = f"GET {path} HTTP/1.1\r\nHost: {in_url(host)}:{port}\r\nConnection: close\r\n\r\n"
    return await _tcp_ok(host, port, request.encode())


async def http_get(
    host: str, port: int, path: str = "/health", headers: Mapping[str, str] | None = None
) -> Answer | None:
    """What ``GET path`` is answered with, by HTTP/1.0: a body that ends with the connection.

    None: nobody answers in ``PROBE_TIMEOUT_S``.
    """
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    request = f"GET {path} HTTP/1.0\r\nHost: {in_url(host)}:{port}\r\n{lines}\r\n"
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(request.encode())
            status = int((await reader.readuntil(b"\r\n")).split(b" ", 2)[1])
            said = bytearray()
            while len(said) < ANSWER_BYTES and (more := await reader.read(ANSWER_BYTES)):
                said += more
    except (OSError, ValueError, IndexError, EOFError, asyncio.LimitOverrunError):
        return None
    finally:
        if writer is not None:
            writer.close()
    return Answer(status, bytes(said).partition(b"\r\n\r\n")[2])


async def sip_ok(host: str, port: int, transport: str) -> bool:
    """Whether ``OPTIONS`` is answered with 200 (RFC 3261 §11): the endpoint takes calls."""
    if transport == "tcp":
        return await _tcp_ok(host, port, _options(host, port, "TCP", 0))
    with closing(_udp(host)) as peer:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await loop.sock_connect(peer, (host, port))  # a closed port then answers at once
                own = peer.getsockname()[1]
                await loop.sock_sendall(peer, _options(host, port, "UDP", own))
                return OK in (await loop.sock_recv(peer, HEAD_BYTES)).split(b"\r\n", 1)[0]
        except OSError:  # TimeoutError is one
            return False


def is_taken(host: str, port: int, kind: socket.SocketKind) -> bool:
    """Whether another socket of this ``kind`` stands on the port, or the address is not ours."""
    with socket.socket(_family(host), kind) as probe:
        if kind is socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # old calls' TIME_WAIT
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


async def _tcp_ok(host: str, port: int, request: bytes) -> bool:
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(request)
            return OK in await reader.readline()
    except (OSError, ValueError):
        return False
    finally:
        if writer is not None:
            writer.close()


def _options(host: str, port: int, transport: str, own_port: int) -> bytes:
    where = in_url(host)
    call = secrets.token_hex(8)
    lines = (
        f"OPTIONS sip:{where}:{port} SIP/2.0",
        f"Via: SIP/2.0/{transport} {where}:{own_port or 5060};rport;branch=z9hG4bK{call}",
        "Max-Forwards: 1",
        f"From: <sip:supervisor@{where}>;tag={call}",
        f"To: <sip:{where}:{port}>",
        f"Call-ID: {call}",
        "CSeq: 1 OPTIONS",
        "Content-Length: 0",
    )
    return "\r\n".join((*lines, "", "")).encode()


def _udp(host: str) -> socket.socket:
    peer = socket.socket(_family(host), socket.SOCK_DGRAM)
    peer.setblocking(False)
    peer.bind((host, 0))
    return peer


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
