"""A small SIP client (RFC 3261 §17.1.2): one request outside of any call, one final answer.

For diagnosis only, with blocking sockets, so that what the network says (refused, unreachable, no
trust in a certificate) reaches the operator as it is.
"""

from __future__ import annotations

import secrets
import socket
import ssl
import time
from dataclasses import dataclass
from types import TracebackType

from appliance.errors import ProtocolError
from appliance.store.phonebook import Transport
from appliance.telephony.sipmessage import (
    MAX_MESSAGE_BYTES,
    Headers,
    Request,
    Response,
    StreamFramer,
    cseq,
    parse,
    parse_via,
)

T1_S = 0.5
"""First retransmission over UDP; doubled each time."""
BRANCH = "z9hG4bKdiag"
MAX_FORWARDS = 70
USER_AGENT = "IVR"


@dataclass(frozen=True, slots=True)
class Reply:
    """A final answer, how long it took, and which address it was asked from."""

    response: Response
    ms: float
    local: tuple[str, int]
    at: float
    """Unix time at which it came, by our clock."""


class SipClient:
    """A way to one server. ``with SipClient(...) as client`` connects and closes.

    Connecting raises OSError; over TLS ``untrusted`` says why the certificate is not trusted, and
    the connection goes on without that trust, as FreeSWITCH's does.
    """

    def __init__(
        self, address: tuple[str, int], transport: Transport, host: str, timeout_s: float
    ) -> None:
        self._address = address
        self._transport = transport
        self._host = host
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._framer = StreamFramer()
        self._call_id = secrets.token_hex(12)
        self._tag = secrets.token_hex(6)
        self._cseq = 0
        self.untrusted = ""

    def __enter__(self) -> SipClient:
        if self._transport == "udp":
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.connect(self._address)
        elif self._transport == "tcp":
            self._socket = socket.create_connection(self._address, self._timeout_s)
        else:
            self._socket = self._connect_tls()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._socket is not None:
            self._socket.close()

    def ask(
        self, method: str, uri: str, identity: str, extra: tuple[tuple[str, str], ...] = ()
    ) -> Reply | None:
        """Send ``method`` to ``uri`` as ``identity`` (a SIP URI); the final answer, or None.

        Raises OSError where the network says no, ProtocolError where the answer is no SIP.
        """
        assert self._socket is not None
        self._cseq += 1
        host, port = self._socket.getsockname()[:2]
        branch = f"{BRANCH}{secrets.token_hex(8)}"
        message = self._request(method, uri, identity, extra, (host, port), branch).serialise()
        begun = time.monotonic()
        wait_s, deadline = T1_S, begun + self._timeout_s
        while (now := time.monotonic()) < deadline:
            self._socket.settimeout(deadline - now)
            self._socket.sendall(message)
            until = min(now + wait_s, deadline) if self._transport == "udp" else deadline
            response = self._answer(branch, method, until)
            if response is not None:
                ms = (time.monotonic() - begun) * 1000
                return Reply(response, ms, (host, port), time.time())
            wait_s *= 2
        return None

    def _connect_tls(self) -> ssl.SSLSocket:
        trusting = ssl.create_default_context()
        try:
            plain = socket.create_connection(self._address, self._timeout_s)
            return trusting.wrap_socket(plain, server_hostname=self._host)
        except ssl.SSLCertVerificationError as e:
            self.untrusted = e.verify_message or str(e)
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        plain = socket.create_connection(self._address, self._timeout_s)
        return trusting.wrap_socket(plain, server_hostname=self._host)

    def _request(
        self,
        method: str,
        uri: str,
        identity: str,
        extra: tuple[tuple[str, str], ...],
        local: tuple[str, int],
        branch: str,
    ) -> Request:
        where = f"{local[0]}:{local[1]}"
        transport = self._transport.upper()
        items = (
            ("Via", f"SIP/2.0/{transport} {where};branch={branch};rport"),
            ("Max-Forwards", str(MAX_FORWARDS)),
            ("From", f"<{identity}>;tag={self._tag}"),
            ("To", f"<{identity if method == 'REGISTER' else uri}>"),
            ("Call-ID", self._call_id),
            ("CSeq", f"{self._cseq} {method}"),
            ("Accept", "application/sdp"),
            ("User-Agent", USER_AGENT),
            *extra,
        )
        return Request(method, uri, Headers(items))

    def _answer(self, branch: str, method: str, until: float) -> Response | None:
        """The final answer to our request before ``until`` (monotonic), or None."""
        while (left_s := until - time.monotonic()) > 0:
            for data in self._receive(left_s):
                message = parse(data)
                if not isinstance(message, Response) or message.status < 200:
                    continue
                via = parse_via(message.headers.listed("via")[0])
                if via.get("branch") == branch and cseq(message.headers) == (self._cseq, method):
                    return message
        return None

    def _receive(self, timeout_s: float) -> list[bytes]:
        assert self._socket is not None
        self._socket.settimeout(timeout_s)
        try:
            data = self._socket.recv(MAX_MESSAGE_BYTES)
        except TimeoutError:
            return []
        if self._transport == "udp":
            return [data] if data.strip() else []
        if not data:
            raise ProtocolError("the server closed the connection without an answer")
        return self._framer.feed(data)[0]
