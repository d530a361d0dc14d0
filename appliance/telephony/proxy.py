"""The SIP proxy between callers and the pjsua2 child processes (RFC 3261 §16), without I/O.

Bytes in, sends out. Stateless but for one table, Call-ID -> child (calltable.py): answers find
their way by Via, whose ``flow`` parameter names the caller's UDP address or TCP connection. Callers
come by UDP or TCP; children are on loopback UDP behind a second ("inner") socket, so a dialog is
record-routed twice, once for each side (RFC 5658).
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import IPv4Network, IPv6Network, ip_address

from appliance.errors import ProtocolError
from appliance.telephony.calltable import CallEntry, CallState, CallTable, Flow
from appliance.telephony.flood import STRANGERS_SHARE, Flood, Kind
from appliance.telephony.refusals import Refusals
from appliance.telephony.sipmessage import (
    DEFAULT_SIP_PORT,
    Headers,
    Request,
    Response,
    Uri,
    Via,
    cseq,
    parse,
    parse_uri,
    parse_via,
    tag,
)
from appliance.telephony.siptelling import OTHER, SipCounts
from appliance.urls import in_url

_log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
BRANCH_MARK = "z9hG4bKivr"
REGISTER_MARK = "z9hG4bKreg"
"""Begins the branches of our own REGISTER requests; their responses are not forwarded."""
MAX_FORWARDS = 70
LONGEST_NUMBER = 10
"""Digits of Max-Forwards; noughts may lead (RFC 4475 §3.1.1.1)."""
CHILD_PACKET_BYTES = 3900
"""pjsip drops a datagram over PJSIP_MAX_PKT_LEN = 4 000 bytes in silence; we say 513 instead."""
RETRY_AFTER_S = 10
ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK"
_KNOWN_METHODS = frozenset(ALLOW.split(", "))
SCANNER = re.compile(
    r"friendly-scanner|sipvicious|sundayddr|sipcli|sip-?scan|sipsak|vaxsipuseragent|pplsip|svmap|svwar"
    r"|svcrack|siparmyknife|smap|iwar|sivus|gulp|eyebeam_scan|voipbuster_scan",
    re.IGNORECASE,
)
"""User-Agents of tools that look for telephones to break into; they get no answer at all."""
UNWANTED = frozenset({"replaces", "join", "target-dialog", "refer-to", "referred-by"})
"""Header fields of an INVITE by which a caller takes another's call over (RFC 3891, 3911, 4538), or
sends us somewhere: no child sees them."""
BYE_CSEQ = 60_000
"""CSeq of a BYE that we send for a dead child: over any number the child can have used."""

Network = IPv4Network | IPv6Network
Refusal = tuple[int, str, tuple[tuple[str, str], ...]]
"""Status, reason and further headers of a final response of our own."""

STARTING_S = 10.0
"""The first child takes calls within this time, else something is wrong with them."""


class Gate(Enum):
    OPEN = auto()
    DRAINING = auto()
    """SIGTERM came: new calls get 503, live ones go on. Where none is live, see ``_restarting``."""


@dataclass(frozen=True, slots=True)
class ToPeer:
    """Send ``data`` to a peer outside."""

    flow: Flow
    data: bytes


@dataclass(frozen=True, slots=True)
class ToChild:
    """Send ``data`` to the child on this loopback UDP port, from the inner socket."""

    port: int
    data: bytes


Send = ToPeer | ToChild


class Proxy:
    """Routes messages; knows calls by the table, never by dialog state of its own."""

    def __init__(
        self,
        host: str,
        port: int,
        inner_port: int,
        table: CallTable,
        allow: tuple[Network, ...],
        clock: Callable[[], float],
        trunks: tuple[Network, ...] = (),
    ) -> None:
        self._host, self._port, self._inner_port = host, port, inner_port
        self._table = table
        self._allow = allow
        self._clock = clock
        self._key = secrets.token_bytes(16)
        self._flood = Flood(trunks)
        self._refusals = Refusals(clock)
        self.counts = SipCounts()
        self.gate = Gate.OPEN
        self._began_s = clock()

    def allowed(self, host: str) -> bool:
        """Whether ``host`` may talk to us at all; one log line a while when it may not."""
        address = ip_address(host.partition("%")[0])
        if any(address in network for network in self._allow):
            return True
        self.counts.dropped["network"] += 1
        self.refuse("a network that is not in sip.allow", host)
        return False

    def refuse(self, what: str, host: str) -> None:
        """Log that ``what`` was refused, at most once a while for each ``host``."""
        self._refusals.note(what, host)

    def lets_in(self, host: str) -> bool:
        """Whether one more message of ``host`` is read: before anything is done for it."""
        if not self.allowed(host):
            return False
        if self._flood.lets_in(host, Kind.MESSAGE, self._clock()):
            return True
        self.counts.dropped["flood"] += 1
        self.refuse("a flood of messages", host)
        return False

    def from_peer(self, data: bytes, source: Flow) -> list[Send]:
        """A message from outside. Malformed ones are dropped with one log line."""
        if not self.lets_in(source.host):
            return []
        try:
            message = parse(data)
            if isinstance(message, Response):
                return self._response_to_child(message)
            return self._request_from_peer(message, source)
        except ProtocolError as e:
            self.complain(source.host, e)
            return []

    def from_child(self, data: bytes, port: int) -> list[Send]:
        """A message from the child on loopback ``port``."""
        if port not in self._table.children:
            return []
        try:
            message = parse(data)
            if isinstance(message, Response):
                return self._response_to_peer(message)
            return self._request_to_peer(message)
        except ProtocolError as e:
            self.complain(f"our child on port {port}", e)
            return []

    def complain(self, who: str, error: ProtocolError) -> None:
        """Log a malformed message, at most once a while for each sender."""
        self.counts.dropped["malformed"] += 1
        self.refuse(f"a malformed message ({error})", who)

    def child_died(self, port: int) -> list[Send]:
        """Take a dead child out; its callers get 500 or BYE rather than silence."""
        self.counts.child_deaths += 1
        return [self._farewell(entry) for entry in self._table.drop_child(port)]

    def sweep(self) -> list[Send]:
        """Now and then: forget what is over, and refuse what no child could read."""
        untaken = self._table.sweep(self._clock())
        self._flood.live_hosts(self._table.live_hosts())
        for entry in untaken:
            _log.warning("> 400 to %s: pjsip did not take its INVITE", entry.flow.host)
        return [self._reply(entry.invite, entry.flow, 400, "Bad Request") for entry in untaken]

    # -- requests from callers -----------------------------------------------------------------

    def _request_from_peer(self, request: Request, source: Flow) -> list[Send]:
        known = request.method in _KNOWN_METHODS
        self.counts.requests[request.method if known else OTHER] += 1
        entry = self._table.find(request.call_id, self._clock())
        if entry is None and not self._may_begin(request, source.host):
            return []
        request = _stamp(request, source)
        back = _reply_flow(request, source)
        forwards = _max_forwards(request.headers)
        if forwards <= 0 and request.method != "ACK":
            return [self._reply(request, back, 483, "Too Many Hops")]
        if request.method not in _KNOWN_METHODS:
            # Above all REFER: pjsua would follow it and call whom a caller names.
            return [self._reply(request, back, 405, "Method Not Allowed", (("Allow", ALLOW),))]
        if entry and entry.direct and entry.flow.host == back.host:
            entry.flow = back  # a TCP caller may have connected anew
        if entry is None or _begins_again(request, entry):
            refusal = self._without_call(request)
            if refusal:
                return [self._reply(request, back, *refusal)]
            if request.method != "INVITE" or tag(request.headers.get("to")):
                return []  # an ACK of our own refusal, or of a call that is gone
            if self._restarting(back):
                return []
            entry = self._admit(request, back)
            if entry is None:
                return [self._reply(request, back, 503, "All Lines Busy", _RETRY_AFTER)]
        return self._to_child(request, entry, back, forwards)

    def _may_begin(self, request: Request, host: str) -> bool:
        """Whether a request of no known call is answered at all."""
        if request.method == "ACK":
            return True  # it is never answered
        agent = request.headers.get("user-agent") + request.headers.get("from")
        if SCANNER.search(agent):
            self.counts.dropped["scanner"] += 1
            self.refuse("a scanner", host)
            return False
        if not self._flood.lets_in(host, Kind.BEGINNING, self._clock()):
            self.counts.dropped["flood"] += 1
            self.refuse(f"a flood of {request.method}", host)
            return False
        if request.method not in _KNOWN_METHODS:
            self.refuse(f"the method {request.method}", host)
        return True

    def _without_call(self, request: Request) -> Refusal | None:
        """The answer to a request of no known call; None where it may begin one or needs none."""
        method, inside = request.method, bool(tag(request.headers.get("to")))
        if method == "ACK" or (method == "INVITE" and not inside):
            return None
        if method == "OPTIONS" and not inside:
            if self.gate is Gate.OPEN and self._table.children:
                return 200, "OK", (("Allow", ALLOW), ("Accept", "application/sdp"))
            return 503, "Service Unavailable", _RETRY_AFTER
        return 481, "Call/Transaction Does Not Exist", ()

    def _restarting(self, back: Flow) -> bool:
        """Whether an INVITE is better left unanswered: its sender sends it again in half a second
        (RFC 3261 §17.1.1.2), and by then, or a second later, there is somebody who takes calls."""
        if back.transport != "udp":
            return False
        if self.gate is Gate.DRAINING:
            return not self._table.in_use  # we end now
        return not self._table.children and self._clock() - self._began_s < STARTING_S

    def _admit(self, invite: Request, back: Flow) -> CallEntry | None:
        if self.gate is Gate.DRAINING:
            _log.info("> 503 to %s: draining", back.host)
            return None
        if self._strangers_are_many(back.host):
            self.refuse("a call: strangers have their share of the lines", back.host)
            return None
        direct = len(invite.headers.listed("via")) == 1
        now = self._clock()
        entry = self._table.assign(invite, back, direct=direct, now=now)
        if entry is None:
            _log.warning("! sip: all lines busy, 503 to %s", back.host)
        return entry

    def _strangers_are_many(self, host: str) -> bool:
        """Whether the lines that are left are the trunks'."""
        if not self._flood.names_trunks or self._flood.is_trunk(host):
            return False
        theirs = sum(not self._flood.is_trunk(one) for one in self._table.hosts_in_use())
        return theirs >= STRANGERS_SHARE * self._table.lines

    def _to_child(
        self, request: Request, entry: CallEntry, back: Flow, forwards: int
    ) -> list[Send]:
        headers = self._strip_routes(request.headers)
        headers = headers.with_value("max-forwards", "Max-Forwards", str(forwards - 1))
        if request.method == "INVITE" and not tag(headers.get("to")):
            outer = f"<sip:{self._where};transport={back.transport};lr>"
            inner = f"<sip:{LOOPBACK}:{self._inner_port};lr>"
            headers = headers.without(UNWANTED)
            headers = headers.with_listed(
                "record-route", "Record-Route", [inner, outer, *headers.listed("record-route")]
            )
        via = Via(
            "UDP",
            LOOPBACK,
            self._inner_port,
            (("branch", self._branch(request)), ("flow", _flow_token(back))),
        )
        headers = headers.with_listed("via", "Via", [str(via), *headers.listed("via")])
        data = request.with_headers(headers).serialise()
        if len(data) > CHILD_PACKET_BYTES:
            self._table.ended(entry.call_id, self._clock())
            return [self._reply(request, back, 513, "Message Too Large")]
        return [ToChild(entry.child, data)]

    # -- responses and requests of the children ------------------------------------------------

    def _response_to_peer(self, response: Response) -> list[Send]:
        mine, *rest = response.headers.listed("via")
        via = parse_via(mine)
        if via.port != self._inner_port or not rest:
            raise ProtocolError("its top Via is not ours")
        flow = _flow_of(via.get("flow") or "")
        if response.method == "INVITE" and response.status >= 200:
            self.counts.answers[response.status] += 1
            self._note_final(response)
        headers = response.headers.with_listed("via", "Via", rest)
        return [ToPeer(flow, response.with_headers(headers).serialise())]

    def _note_final(self, response: Response) -> None:
        entry = self._table.find(response.call_id, self._clock())
        if entry is None or entry.answer is not None:
            return
        if response.status < 300:
            entry.answer = response
        elif entry.state is CallState.PASSED_ON:
            self._table.ended(entry.call_id, self._clock())

    def _request_to_peer(self, request: Request) -> list[Send]:
        forwards = _max_forwards(request.headers)
        headers = self._strip_routes(request.headers)
        entry = self._table.find(request.call_id, self._clock())
        if entry is None or forwards <= 0:
            return []
        flow = self._next_hop(headers, request.uri, entry)
        via = Via(
            flow.transport.upper(),
            in_url(self._host),
            self._port,
            (("branch", self._branch(request)), ("rport", None)),
        )
        headers = headers.with_value("max-forwards", "Max-Forwards", str(forwards - 1))
        headers = headers.with_listed("via", "Via", [str(via), *headers.listed("via")])
        return [ToPeer(flow, request.with_headers(headers).serialise())]

    def _next_hop(self, headers: Headers, uri: str, entry: CallEntry) -> Flow:
        """A direct caller: its own flow (NAT, TCP connection); any other: Route or URI."""
        if entry.direct:
            return entry.flow
        routes = headers.listed("route")
        target = parse_uri(routes[0] if routes else uri)
        port = target.port or DEFAULT_SIP_PORT
        if target.host == entry.flow.host and target.transport == "tcp" == entry.flow.transport:
            return entry.flow
        return Flow(target.transport, target.host, port)

    def _response_to_child(self, response: Response) -> list[Send]:
        mine, *rest = response.headers.listed("via")
        via = parse_via(mine)
        if (via.port or DEFAULT_SIP_PORT) != self._port or not rest:
            return []  # the end of a BYE that we sent for a dead child, or not for us
        child = parse_via(rest[0])
        if child.host != LOOPBACK or child.port not in self._table.children:
            return []
        headers = response.headers.with_listed("via", "Via", rest)
        return [ToChild(child.port, response.with_headers(headers).serialise())]

    # -- small parts ---------------------------------------------------------------------------

    @property
    def _where(self) -> str:
        return f"{in_url(self._host)}:{self._port}"

    def _strip_routes(self, headers: Headers) -> Headers:
        routes = headers.listed("route")
        kept = list(routes)
        while kept and self._is_ours(parse_uri(kept[0])):
            kept.pop(0)
        return headers if kept == routes else headers.with_listed("route", "Route", kept)

    def _is_ours(self, uri: Uri) -> bool:
        where = (uri.host, uri.port or DEFAULT_SIP_PORT)
        return where in ((self._host.lower(), self._port), (LOOPBACK, self._inner_port))

    def _branch(self, request: Request) -> str:
        """The same for an INVITE, its CANCEL and its ACK, and for retransmissions (§16.11)."""
        top = request.headers.listed("via")[0]
        via = parse_via(top)
        branch = via.get("branch") or ""
        text = f"{via.host}:{via.port}|{branch}|{request.call_id}|{cseq(request.headers)[0]}"
        return BRANCH_MARK + self._hash(text)

    def _hash(self, text: str) -> str:
        raw = text.encode("utf-8", "surrogateescape")
        return hmac.new(self._key, raw, hashlib.sha256).hexdigest()[:20]

    def _reply(
        self,
        request: Request,
        flow: Flow,
        status: int,
        reason: str,
        extra: tuple[tuple[str, str], ...] = (),
    ) -> ToPeer:
        """Our own final response; its To tag is the same for a retransmission (§8.2.7)."""
        self.counts.answers[status] += 1
        headers = request.headers
        to = headers.get("to")
        if not tag(to):
            to += f";tag={self._hash(request.call_id + headers.get('from'))}"
        items = [("Via", value) for value in headers.listed("via")]
        items += [("From", headers.get("from")), ("To", to), ("Call-ID", request.call_id)]
        items += [("CSeq", headers.get("cseq")), *extra]
        return ToPeer(flow, Response(status, reason, Headers(tuple(items))).serialise())

    def _farewell(self, entry: CallEntry) -> Send:
        if entry.answer is None:
            return self._reply(entry.invite, entry.flow, 500, "Server Internal Error")
        theirs, ours = entry.invite.headers, entry.answer.headers
        via = Via(
            entry.flow.transport.upper(),
            in_url(self._host),
            self._port,
            (("branch", BRANCH_MARK + self._hash("bye" + entry.call_id)), ("rport", None)),
        )
        contact = theirs.get("contact") or theirs.get("from")
        uri = contact[contact.find("<") + 1 : contact.find(">")] if "<" in contact else contact
        items = [("Via", str(via)), ("Max-Forwards", str(MAX_FORWARDS))]
        items += [("Route", route) for route in theirs.listed("record-route")]
        items += [("From", ours.get("to")), ("To", theirs.get("from"))]
        items += [("Call-ID", entry.call_id), ("CSeq", f"{BYE_CSEQ} BYE")]
        items += [("Reason", 'SIP;cause=500;text="Server Internal Error"')]
        return ToPeer(entry.flow, Request("BYE", uri, Headers(tuple(items))).serialise())


_RETRY_AFTER = (("Retry-After", str(RETRY_AFTER_S)),)


def _begins_again(request: Request, entry: CallEntry) -> bool:
    """A caller that was refused may call anew under the same Call-ID."""
    return (
        entry.state is CallState.OVER
        and request.method == "INVITE"
        and not tag(request.headers.get("to"))
        and cseq(request.headers) != cseq(entry.invite.headers)
    )


def _stamp(request: Request, source: Flow) -> Request:
    """Note on the top Via where the request truly came from (RFC 3261 §18.2.1, RFC 3581)."""
    top, *rest = request.headers.listed("via")
    via = parse_via(top)
    if via.get("rport") is not None:
        via = via.with_param("rport", str(source.port)).with_param("received", source.host)
    elif via.host.strip("[]") != source.host:
        via = via.with_param("received", source.host)
    return request.with_headers(request.headers.with_listed("via", "Via", [str(via), *rest]))


def _reply_flow(request: Request, source: Flow) -> Flow:
    """Where responses go: the connection, or the address by ``rport`` or sent-by (§18.2.2)."""
    via = parse_via(request.headers.listed("via")[0])
    if source.transport == "tcp" or via.get("rport") is not None:
        return source
    return Flow("udp", source.host, via.port or DEFAULT_SIP_PORT)


def _max_forwards(headers: Headers) -> int:
    text = headers.get("max-forwards").strip()
    if not text:
        return MAX_FORWARDS
    if not (text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER):
        raise ProtocolError("SIP Max-Forwards header is malformed")
    return min(int(text), 255)


def _flow_token(flow: Flow) -> str:
    return f"{flow.transport} {flow.host} {flow.port}".encode().hex()


def _flow_of(token: str) -> Flow:
    try:
        transport, host, port = bytes.fromhex(token).decode().split(" ")
        return Flow(transport, host, int(port))
    except ValueError as e:
        raise ProtocolError("the flow of its Via is not ours") from e
