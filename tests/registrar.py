"""A small SIP server for tests of diagnosis: a registrar that can be right, wrong, odd or silent.

It listens on UDP, TCP or TLS on a free port of 127.0.0.1, in threads of its own.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from time import time

import pytest

from appliance.telephony.sipmessage import Headers, Request, Response, StreamFramer, parse

USER, PASSWORD, REALM = "911140001234", "geheim", "carrier.example"
SDP = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 0 RTP/AVP {}\r\n{}"


@dataclass
class Registrar:
    """How it behaves, and what it was asked."""

    password: str = PASSWORD
    user: str = USER
    """Others get 404."""
    algorithm: str = "MD5"
    options: int = 200
    """Status for OPTIONS; 0: silent."""
    register: int = 200
    """Status for a REGISTER that is right; 0: silent."""
    bindings: tuple[str, ...] = ()
    stale_first: bool = False
    """Its nonces last for one challenge less than others'."""
    invite: int = 503
    """Status for an INVITE; ACKs are only kept."""
    clock_s: float | None = 0.0
    """What its Date is off by; None: no Date."""
    received: str = ""
    """The address that it sees us at; empty: the true one."""
    sdp: str = ""
    lost: int = 0
    """So many datagrams it does not hear."""
    raw: bytes = b""
    """Sent instead of any answer."""
    contacts: bool = False
    """Whether a REGISTER may bind."""
    asked: list[Request] = field(default_factory=list)

    def answer(self, data: bytes, sender: tuple[str, int]) -> bytes | None:
        if self.lost:
            self.lost -= 1
            return None
        if self.raw:
            return self.raw
        request = parse(data)
        assert isinstance(request, Request)
        self.asked.append(request)
        status, extra = self._decide(request)
        return self._response(request, status, extra, sender).serialise() if status else None

    def _decide(self, request: Request) -> tuple[int, tuple[tuple[str, str], ...]]:
        if request.method == "OPTIONS":
            return self.options, ()
        if request.method in ("INVITE", "ACK"):
            return self.invite if request.method == "INVITE" else 0, ()
        if not self.contacts:
            assert not request.headers.get("contact"), "a diagnosis must not change a registration"
        if self.register in (0, 403, 405):
            return self.register, ()
        given = request.headers.get("authorization")
        if not given:
            return 401, (("WWW-Authenticate", self._challenge("n1", stale=False)),)
        fields = {k: a or b for k, a, b in re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]+))', given)}
        if fields["username"] != self.user:
            return 404, ()
        if self.stale_first and fields["nonce"] == "n1":
            return 401, (("WWW-Authenticate", self._challenge("n2", stale=True)),)
        if fields["response"] != self._expected(fields):
            return 401, (("WWW-Authenticate", self._challenge("n3", stale=False)),)
        return self.register, tuple(("Contact", binding) for binding in self.bindings)

    def _challenge(self, nonce: str, *, stale: bool) -> str:
        rest = ", stale=TRUE" if stale else ""
        return (
            f'Digest realm="{REALM}", nonce="{nonce}", algorithm={self.algorithm}, qop="auth"{rest}'
        )

    def _expected(self, fields: dict[str, str]) -> str:
        def md5(text: str) -> str:
            return hashlib.md5(text.encode()).hexdigest()

        ha1 = md5(f"{self.user}:{REALM}:{self.password}")
        ha2 = md5(f"REGISTER:{fields['uri']}")
        middle = f"{fields['nonce']}:{fields['nc']}:{fields['cnonce']}:auth"
        return md5(f"{ha1}:{middle}:{ha2}")

    def _response(
        self,
        request: Request,
        status: int,
        extra: tuple[tuple[str, str], ...],
        sender: tuple[str, int],
    ) -> Response:
        via = request.headers.get("via").replace(";rport", f";rport={sender[1]}")
        items = [("Via", f"{via};received={self.received or sender[0]}")]
        names = (("From", "from"), ("To", "to"), ("Call-ID", "call-id"), ("CSeq", "cseq"))
        items += [(written, request.headers.get(name)) for written, name in names]
        if self.clock_s is not None:
            items.append(("Date", formatdate(time() + self.clock_s, usegmt=True)))
        body = self.sdp.encode() if request.method == "OPTIONS" else b""
        return Response(status, "Said By The Test", Headers((*items, *extra)), body)


@contextmanager
def serve(
    registrar: Registrar, transport: str, certificate: Path | None = None, host: str = "127.0.0.1"
) -> Iterator[int]:
    """Let it listen; the port."""
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as listener:
        listener.bind((host, 0))
        over = threading.Event()
        listener.settimeout(0.05)
        if transport == "udp":
            work = threading.Thread(target=_datagrams, args=(registrar, listener, over))
        else:
            listener.listen()
            context = None
            if certificate is not None:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(certificate)
            work = threading.Thread(target=_streams, args=(registrar, listener, over, context))
        work.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            work.join()


def _datagrams(registrar: Registrar, udp: socket.socket, over: threading.Event) -> None:
    while not over.is_set():
        with suppress(TimeoutError):
            data, sender = udp.recvfrom(65536)
            if (answer := registrar.answer(data, sender)) is not None:
                udp.sendto(answer, sender)


def _streams(
    registrar: Registrar,
    listener: socket.socket,
    over: threading.Event,
    context: ssl.SSLContext | None,
) -> None:
    while not over.is_set():
        with suppress(TimeoutError, OSError):  # a handshake that the client broke off
            connection, sender = listener.accept()
            connection.settimeout(5)
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
            with connection:
                framer = StreamFramer()
                while data := connection.recv(4096):
                    for message in framer.feed(data)[0]:
                        if (answer := registrar.answer(message, sender)) is not None:
                            connection.sendall(answer[:50])  # in two pieces, as a network may
                            connection.sendall(answer[50:])


def make_certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate with")
    path = folder / "agent.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", path, "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + (folder / "cert.pem").read_text())
    return path
