"""The diagnosis's SIP client against a server that loses, delays and lies."""

from __future__ import annotations

import socket
from math import inf
from pathlib import Path

import pytest

from appliance.errors import ProtocolError
from appliance.store.phonebook import Transport
from appliance.telephony.sipclient import Reply, SipClient
from tests.pace_kit import Late, on_time_sync
from tests.registrar import Registrar, make_certificate, serve

pytestmark = pytest.mark.server


def ask(
    port: int, transport: Transport = "udp", timeout_s: float = 3, host: str = "127.0.0.1"
) -> Reply | None:
    with SipClient(("127.0.0.1", port), transport, host, timeout_s) as client:
        return client.ask("OPTIONS", f"sip:{host}", "sip:ivr@here")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_an_answer(transport: Transport) -> None:
    def late() -> Late:
        registrar = Registrar()
        with serve(registrar, transport) as port:
            reply = ask(port, transport)
        assert reply and reply.response.status == 200
        request = registrar.asked[0]
        via = request.headers.get("via")
        ours = f"SIP/2.0/{transport.upper()} 127.0.0.1:{reply.local[1]};branch=z9hG4bK"
        assert via.startswith(ours) and via.endswith(";rport")
        return {"answer": reply.ms if len(registrar.asked) == 1 else inf}  # else it was sent again

    on_time_sync(late, late_ms=500)


def test_a_lost_datagram_is_sent_again() -> None:
    def late() -> Late:
        with serve(Registrar(lost=1), "udp") as port:
            reply = ask(port)
        assert reply
        return {"answer": reply.ms - 500}  # T1

    on_time_sync(late, early_ms=100, late_ms=900)  # the next would go out 1000 ms after it


def test_silence_ends() -> None:
    with serve(Registrar(options=0), "udp") as port:
        assert ask(port, timeout_s=0.3) is None
    with serve(Registrar(options=0), "tcp") as port:
        assert ask(port, "tcp", timeout_s=0.3) is None


def test_a_closed_port_is_an_error_of_the_network() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for transport in ("udp", "tcp", "tls"):
        with pytest.raises(ConnectionRefusedError):
            ask(port, transport)  # type: ignore[arg-type]


def test_what_is_no_sip_is_a_protocol_error() -> None:
    for transport in ("udp", "tcp"):
        with serve(Registrar(raw=b"HTTP/1.1 400 Bad Request\r\n\r\n"), transport) as port:
            with pytest.raises(ProtocolError):
                ask(port, transport)  # type: ignore[arg-type]


def test_an_answer_to_somebody_elses_request_is_none() -> None:
    other = (
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKother\r\n"
        b"From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n\r\n"
    )
    with serve(Registrar(raw=other), "udp") as port:
        assert ask(port, timeout_s=0.3) is None


def test_tls_with_a_certificate_that_nobody_signed(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    with (
        serve(Registrar(), "tls", certificate) as port,
        SipClient(("127.0.0.1", port), "tls", "127.0.0.1", 3) as client,
    ):
        reply = client.ask("OPTIONS", "sip:127.0.0.1", "sip:ivr@here")
    assert reply and reply.response.status == 200
    assert "self-signed" in client.untrusted.lower().replace(" ", "-")
