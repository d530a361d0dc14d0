"""The SIP proxy without sockets, on virtual time."""

from __future__ import annotations

import logging
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telephony import calltable
from appliance.telephony.calltable import LINGER_S, TAKEN_WITHIN_S, CallTable, Flow
from appliance.telephony.proxy import CHILD_PACKET_BYTES, Gate, Proxy, Send, ToChild, ToPeer
from appliance.telephony.sipmessage import Request, Response, parse, parse_via, tag

HOST, PORT, INNER = "10.0.0.1", 5060, 40000
CALLER = Flow("udp", "10.0.0.2", 5062)
CHILD_A, CHILD_B = 41001, 41002


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A proxy with two children and a clock to turn."""

    def __init__(
        self, calls_per_child: int = 4, children: tuple[int, ...] = (CHILD_A, CHILD_B)
    ) -> None:
        self.clock = Clock()
        self.table = CallTable(calls_per_child)
        for port in children:
            self.table.add_child(port)
        allow = (IPv4Network("10.0.0.0/8"),)
        self.proxy = Proxy(HOST, PORT, INNER, self.table, allow, self.clock)

    def invite(self, call_id: str = "c1", source: Flow = CALLER, **edits: str) -> list[Send]:
        return self.proxy.from_peer(request("INVITE", call_id, source, **edits), source)


def request(
    method: str,
    call_id: str = "c1",
    source: Flow = CALLER,
    *,
    branch: str = "z9hG4bKone",
    to_tag: str = "",
    cseq: int = 1,
    extra: str = "",
    body: str = "",
    via_host: str = "192.168.1.7:5062;rport",
) -> bytes:
    to = "<sip:1001@10.0.0.1>" + (f";tag={to_tag}" if to_tag else "")
    return (
        f"{method} sip:1001@10.0.0.1 SIP/2.0\r\n"
        f"Via: SIP/2.0/{source.transport.upper()} {via_host};branch={branch}\r\n"
        f"From: <sip:jd@10.0.0.2>;tag=f\r\nTo: {to}\r\nCall-ID: {call_id}\r\n"
        f"CSeq: {cseq} {method}\r\nContact: <sip:jd@192.168.1.7:5062>\r\n{extra}"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def one(sends: list[Send]) -> tuple[Send, Request | Response]:
    assert len(sends) == 1
    return sends[0], parse(sends[0].data)


def answer(forwarded: Request, status: int, to_tag: str = "t") -> bytes:
    """What a child says to a request that it got."""
    headers = forwarded.headers.with_value("to", "To", f"<sip:1001@10.0.0.1>;tag={to_tag}")
    return Response(status, "Whatever", headers).serialise()


def test_invite_goes_to_a_child_and_its_answer_back() -> None:
    bench = Bench()
    send, forwarded = one(bench.invite())
    assert isinstance(send, ToChild) and isinstance(forwarded, Request)
    mine, theirs = (parse_via(text) for text in forwarded.headers.listed("via"))
    assert (mine.host, mine.port) == ("127.0.0.1", INNER)
    assert (theirs.get("received"), theirs.get("rport")) == ("10.0.0.2", "5062")
    assert forwarded.headers.get("max-forwards") == "69"
    assert forwarded.headers.listed("record-route") == [
        f"<sip:127.0.0.1:{INNER};lr>",
        f"<sip:{HOST}:{PORT};transport=udp;lr>",
    ]
    send, response = one(bench.proxy.from_child(answer(forwarded, 200), send.port))
    assert isinstance(send, ToPeer) and send.flow == CALLER
    assert response.headers.listed("via") == [str(theirs)]


def test_cancel_and_ack_of_a_refusal_carry_the_invites_branch() -> None:
    bench = Bench()
    branches = set()
    for method, to_tag in (("INVITE", ""), ("INVITE", ""), ("CANCEL", ""), ("ACK", "t")):
        _, forwarded = one(bench.proxy.from_peer(request(method, to_tag=to_tag), CALLER))
        branches.add(parse_via(forwarded.headers.listed("via")[0]).get("branch"))
    assert len(branches) == 1
    _, other = one(bench.proxy.from_peer(request("BYE", to_tag="t", branch="z9hG4bKtwo"), CALLER))
    assert parse_via(other.headers.listed("via")[0]).get("branch") not in branches


def test_without_rport_the_answer_goes_to_the_port_of_the_via() -> None:
    bench = Bench()
    source = Flow("udp", "10.0.0.2", 9999)
    send, forwarded = one(bench.invite(source=source, via_host="10.0.0.2:5070"))
    assert isinstance(send, ToChild) and isinstance(forwarded, Request)
    send, _ = one(bench.proxy.from_child(answer(forwarded, 180), send.port))
    assert isinstance(send, ToPeer) and send.flow == Flow("udp", "10.0.0.2", 5070)


def test_calls_are_shared_and_the_ninth_gets_503() -> None:
    bench = Bench()
    ports = [one(bench.invite(f"c{n}"))[0] for n in range(8)]
    assert [p.port for p in ports if isinstance(p, ToChild)].count(CHILD_A) == 4
    send, refusal = one(bench.invite("c9"))
    assert isinstance(send, ToPeer) and isinstance(refusal, Response)
    assert (refusal.status, refusal.headers.get("retry-after")) == (503, "10")
    assert tag(refusal.headers.get("to"))
    assert bench.invite("c9")[0].data == send.data  # a retransmission gets the same
    assert bench.proxy.from_peer(request("ACK", "c9", to_tag="x"), CALLER) == []
    bench.table.ended("c3", bench.clock())
    assert isinstance(bench.invite("c9")[0], ToChild)


def test_a_refused_call_frees_its_slot_and_may_be_tried_again() -> None:
    bench = Bench(calls_per_child=1, children=(CHILD_A,))
    send, forwarded = one(bench.invite())
    assert isinstance(send, ToChild) and isinstance(forwarded, Request)
    bench.proxy.from_child(answer(forwarded, 486), CHILD_A)
    assert bench.table.in_use == 0
    assert isinstance(bench.invite(cseq=2)[0], ToChild)  # type: ignore[arg-type]
    assert bench.table.in_use == 1


def test_bye_of_a_child_goes_over_the_callers_own_flow() -> None:
    bench = Bench()
    flow = Flow("tcp", "10.0.0.2", 33333)
    send, forwarded = one(bench.invite(source=flow))
    assert isinstance(send, ToChild) and isinstance(forwarded, Request)
    routes = "".join(f"Route: {r}\r\n" for r in forwarded.headers.listed("record-route"))
    child = Flow("udp", "127.0.0.1", send.port)
    bye = request(
        "BYE", "c1", child, to_tag="f", extra=routes, via_host=f"127.0.0.1:{send.port};rport"
    )
    sent, forwarded_bye = one(bench.proxy.from_child(bye, send.port))
    assert isinstance(sent, ToPeer) and sent.flow == flow
    assert forwarded_bye.headers.listed("route") == []
    via = parse_via(forwarded_bye.headers.listed("via")[0])
    assert (via.transport, via.host, via.port) == ("TCP", HOST, PORT)
    assert isinstance(forwarded_bye, Request)
    back, _ = one(bench.proxy.from_peer(answer(forwarded_bye, 200), flow))
    assert back == ToChild(send.port, back.data)


def test_behind_another_proxy_the_route_is_followed() -> None:
    bench = Bench()
    extra = "Via: SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKx\r\nRecord-Route: <sip:10.0.0.7:5080;lr>\r\n"
    send, forwarded = one(bench.invite(extra=extra))
    assert isinstance(send, ToChild)
    routes = "".join(f"Route: {r}\r\n" for r in forwarded.headers.listed("record-route"))
    bye = request("BYE", to_tag="f", extra=routes, via_host=f"127.0.0.1:{send.port}")
    sent, forwarded_bye = one(bench.proxy.from_child(bye, send.port))
    assert isinstance(sent, ToPeer) and sent.flow == Flow("udp", "10.0.0.7", 5080)
    assert forwarded_bye.headers.listed("route") == ["<sip:10.0.0.7:5080;lr>"]


@pytest.mark.parametrize(
    ("method", "to_tag", "status"),
    [
        ("OPTIONS", "", 200),
        ("REGISTER", "", 405),
        ("SUBSCRIBE", "", 405),
        ("BYE", "t", 481),
        ("CANCEL", "", 481),
        ("INVITE", "t", 481),
    ],
)
def test_requests_of_no_call(method: str, to_tag: str, status: int) -> None:
    _, reply = one(Bench().proxy.from_peer(request(method, to_tag=to_tag), CALLER))
    assert isinstance(reply, Response) and reply.status == status


def test_refer_is_refused_in_a_call_too() -> None:
    bench = Bench()
    bench.invite()
    refer = request("REFER", to_tag="t", extra="Refer-To: <sip:premium@example>\r\n")
    send, reply = one(bench.proxy.from_peer(refer, CALLER))
    assert isinstance(send, ToPeer) and isinstance(reply, Response) and reply.status == 405


def test_a_caller_who_connects_anew_is_reached_there() -> None:
    bench = Bench()
    old, new = Flow("tcp", "10.0.0.2", 33333), Flow("tcp", "10.0.0.2", 44444)
    send, _ = one(bench.invite(source=old))
    assert isinstance(send, ToChild)
    bench.proxy.from_peer(request("INFO", source=new, to_tag="t"), new)
    stranger = Flow("tcp", "10.0.0.3", 5)
    bench.proxy.from_peer(request("INFO", source=stranger, to_tag="t"), stranger)
    bye = request("BYE", to_tag="f", via_host=f"127.0.0.1:{send.port}")
    sent, _ = one(bench.proxy.from_child(bye, send.port))
    assert isinstance(sent, ToPeer) and sent.flow == new


def test_options_says_503_without_children_and_when_draining() -> None:
    bench = Bench(children=())
    _, reply = one(bench.proxy.from_peer(request("OPTIONS"), CALLER))
    assert isinstance(reply, Response) and reply.status == 503
    bench = Bench()
    bench.invite("live")
    bench.proxy.gate = Gate.DRAINING
    for method in ("OPTIONS", "INVITE"):
        _, reply = one(bench.proxy.from_peer(request(method, "new"), CALLER))
        assert isinstance(reply, Response) and reply.status == 503
    live = bench.proxy.from_peer(request("BYE", "live", to_tag="t"), CALLER)
    assert isinstance(live[0], ToChild)


def test_who_calls_while_it_restarts_is_not_refused_but_calls_again() -> None:
    """Nothing is live and it ends, or its first child is not up yet: by UDP there is no answer."""
    ending, tcp = Bench(), Flow("tcp", "10.0.0.2", 5)
    ending.proxy.gate = Gate.DRAINING
    assert ending.invite() == []
    _, reply = one(ending.invite(source=tcp))
    assert isinstance(reply, Response) and reply.status == 503
    starting = Bench(children=())
    assert starting.invite() == []
    starting.table.add_child(CHILD_A)
    assert isinstance(one(starting.invite())[0], ToChild)  # the same INVITE again
    broken = Bench(children=())
    broken.clock.now += 11
    _, reply = one(broken.invite())
    assert isinstance(reply, Response) and reply.status == 503


def test_forbidden_network_gets_nothing_but_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    stranger = Flow("udp", "192.0.2.1", 5060)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            assert bench.invite(source=stranger) == []
    assert [r.getMessage() for r in caplog.records] == [
        "! sip: refused a network that is not in sip.allow from 192.0.2.1"
    ]
    bench.clock.now += 11
    with caplog.at_level(logging.WARNING):
        bench.invite(source=stranger)
    assert "4 more like it" in caplog.text


def test_too_many_hops_and_too_large() -> None:
    bench = Bench()
    _, reply = one(bench.invite(extra="Max-Forwards: 0\r\n"))
    assert isinstance(reply, Response) and reply.status == 483
    _, reply = one(bench.invite("big", body="x" * CHILD_PACKET_BYTES))
    assert isinstance(reply, Response) and reply.status == 513
    assert bench.table.in_use == 0


def test_a_dead_child_takes_only_its_calls_and_tells_their_callers() -> None:
    bench = Bench()
    sent = {n: one(bench.invite(f"c{n}")) for n in range(4)}
    dead = sent[0][0].port if isinstance(sent[0][0], ToChild) else 0
    on_dead = [n for n, (s, _) in sent.items() if isinstance(s, ToChild) and s.port == dead]
    answered = on_dead[0]
    forwarded = sent[answered][1]
    assert isinstance(forwarded, Request)
    bench.proxy.from_child(answer(forwarded, 200, "ours"), dead)
    bench.table.started(f"c{answered}")
    partings = [parse(send.data) for send in bench.proxy.child_died(dead)]
    byes = [m for m in partings if isinstance(m, Request)]
    refusals = [m for m in partings if isinstance(m, Response)]
    assert [m.call_id for m in byes] == [f"c{answered}"]
    assert byes[0].uri == "sip:jd@192.168.1.7:5062"
    assert tag(byes[0].headers.get("from")) == "ours" and tag(byes[0].headers.get("to")) == "f"
    assert [(m.status, m.call_id) for m in refusals] == [(500, f"c{on_dead[1]}")]
    assert bench.table.in_use == 2
    alive = next(n for n in sent if n not in on_dead)
    assert isinstance(
        bench.proxy.from_peer(request("BYE", f"c{alive}", to_tag="t"), CALLER)[0], ToChild
    )
    again = one(bench.proxy.from_peer(request("BYE", f"c{answered}", to_tag="t"), CALLER))[1]
    assert isinstance(again, Response) and again.status == 481


def test_an_invite_that_no_child_takes_is_refused_and_frees_its_slot() -> None:
    bench = Bench()
    bench.invite("taken")
    bench.table.started("taken")
    bench.invite("odd")
    bench.clock.now += TAKEN_WITHIN_S - 0.1
    assert bench.proxy.sweep() == []
    bench.clock.now += 0.2
    send, reply = one(bench.proxy.sweep())
    assert isinstance(send, ToPeer) and send.flow == CALLER
    assert isinstance(reply, Response) and (reply.status, reply.call_id) == (400, "odd")
    assert bench.table.in_use == 1
    assert bench.proxy.sweep() == []


def test_the_table_forgets_what_is_over_but_never_a_live_call() -> None:
    bench = Bench()
    bench.invite("live")
    bench.invite("over")
    bench.table.started("live")
    bench.table.ended("over", bench.clock())
    bench.clock.now += LINGER_S + 1
    bench.proxy.sweep()
    live = bench.proxy.from_peer(request("INFO", "live", to_tag="t"), CALLER)
    assert isinstance(live[0], ToChild)
    over = one(bench.proxy.from_peer(request("INFO", "over", to_tag="t"), CALLER))[1]
    assert isinstance(over, Response) and over.status == 481


def test_refused_calls_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calltable, "MAX_LINGERING", 20)
    bench = Bench()
    bench.invite("live")
    bench.table.started("live")
    for number in range(50):
        (sent,) = bench.invite(f"c{number}", extra="X: " + "y" * CHILD_PACKET_BYTES + "\r\n")
        assert sent.data.startswith(b"SIP/2.0 513 ")
    assert bench.table.find("live", bench.clock()) and bench.table.in_use == 1
    known = [n for n in range(50) if bench.table.find(f"c{n}", bench.clock())]
    assert known == list(range(31, 50))  # the latest, for their ACKs


def test_responses_reach_no_port_but_a_childs() -> None:
    bench = Bench()
    for port in (CHILD_A + 10, 22):
        text = (
            f"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {HOST}:{PORT};branch=z9hG4bKivr\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKq\r\n"
            "From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: z\r\nCSeq: 1 BYE\r\n\r\n"
        )
        assert bench.proxy.from_peer(text.encode(), CALLER) == []


@given(st.one_of(st.binary(max_size=200), st.integers(0, 400).map(lambda n: request("INVITE")[:n])))
def test_no_bytes_crash_the_proxy(data: bytes) -> None:
    bench = Bench()
    bench.proxy.from_peer(data, CALLER)
    bench.proxy.from_child(data, CHILD_A)
    edited = request("INVITE").replace(b"z9hG4bKone", data)
    for send in bench.proxy.from_peer(edited, CALLER):
        parse(send.data)
