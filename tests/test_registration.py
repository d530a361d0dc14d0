"""Registering at a PBX: digest by the RFC's own examples, and a small registrar on UDP."""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
from pathlib import Path
from typing import cast

import pytest
from sipkit import sip_office, sip_settings

from appliance.errors import UserError
from appliance.telephony.calltable import Flow
from appliance.telephony.registration import Registration, RegistrationState, digest
from appliance.telephony.sipmessage import Headers, Request, Response, parse
from tests.tinyserver import until


def test_digest_of_rfc_2617() -> None:
    challenge = (
        'Digest realm="testrealm@host.com", qop="auth,auth-int", '
        'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    answer = digest(
        challenge, method="GET", uri="/dir/index.html",
        username="Mufasa", password="Circle Of Life", cnonce="0a4f113b",
    )  # fmt: skip
    assert answer and 'response="6629fae49393a05397450978507c4ef1"' in answer


def test_digest_of_rfc_7616_sha_256() -> None:
    challenge = (
        'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    answer = digest(
        challenge, method="GET", uri="/dir/index.html", username="Mufasa",
        password="Circle of Life", cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )  # fmt: skip
    expected = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
    assert answer and f'response="{expected}"' in answer


@pytest.mark.parametrize(
    "challenge",
    ["", "Basic realm=x", 'Digest realm="x"', 'Digest nonce="n", algorithm=FOO',
     'Digest nonce="n", qop="auth-int"'],
)  # fmt: skip
def test_digest_of_another_kind(challenge: str) -> None:
    assert digest(challenge, method="R", uri="u", username="u", password="p", cnonce="c") is None


def test_a_registrar_that_is_no_address_stops_the_start() -> None:
    with pytest.raises(UserError, match=r"sip\.registrar"):
        Registration("pbx:5060:x", "u", "p", ("127.0.0.1", 5060), lambda flow, data: None)


async def test_a_wrong_password_is_refused_and_not_tried_in_a_hurry() -> None:
    sent: list[Request] = []

    def pbx(flow: Flow, data: bytes) -> None:
        request = parse(data)
        assert isinstance(request, Request)
        sent.append(request)
        status = 403 if request.headers.get("authorization") else 401
        headers = request.headers.with_value(
            "www-authenticate", "WWW-Authenticate", 'Digest realm="r", nonce="n"'
        )
        reply = Response(status, "No", headers).serialise()
        asyncio.get_running_loop().call_soon(registration.received, b"rubbish")
        asyncio.get_running_loop().call_soon(registration.received, reply)

    registration = Registration("sip:10.0.0.9", "u", "p", ("127.0.0.1", 5060), pbx)
    task = asyncio.ensure_future(registration.run())
    await until(lambda: registration.state is RegistrationState.REFUSED)
    await asyncio.sleep(0.1)
    assert len(sent) == 2
    task.cancel()


class Registrar(asyncio.DatagramProtocol):
    """A registrar that loses the first message, then asks for MD5 credentials."""

    def __init__(self, password: str) -> None:
        self.password = password
        self.bindings: dict[str, int] = {}
        self.changed = asyncio.Event()
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not self._lost:
            self._lost = True
            return
        request = parse(data)
        assert isinstance(request, Request) and request.method == "REGISTER"
        given = request.headers.get("authorization")
        if self._right(given):
            seconds = int(request.headers.get("expires"))
            self.bindings[request.headers.get("contact")] = seconds
            self.changed.set()
            extra, status = (("Expires", str(seconds)),), 200
        else:
            extra, status = (("WWW-Authenticate", 'Digest realm="pbx", nonce="abc"'),), 401
        kept = tuple(
            item for item in request.headers.items
            if item[0] in ("Via", "From", "To", "Call-ID", "CSeq")
        )  # fmt: skip
        self.transport.sendto(Response(status, "X", Headers(kept + extra)).serialise(), addr)

    def _right(self, given: str) -> bool:
        def md5(text: str) -> str:
            return hashlib.md5(text.encode()).hexdigest()

        uri = re.search(r'uri="([^"]*)"', given)
        if uri is None:
            return False
        ha1, ha2 = md5(f"7001:pbx:{self.password}"), md5(f"REGISTER:{uri[1]}")
        return f'response="{md5(f"{ha1}:abc:{ha2}")}"' in given


@pytest.mark.sip
async def test_a_challenge_that_is_no_answer_to_us_gets_no_digest() -> None:
    """A telephone in sip.allow, which cannot see our REGISTER, must not fish for the password."""
    sent: list[Request] = []

    def pbx(flow: Flow, data: bytes) -> None:
        request = parse(data)
        assert isinstance(request, Request)
        sent.append(request)
        headers = request.headers.with_value("call-id", "Call-ID", "guessed")
        headers = headers.with_value(
            "www-authenticate", "WWW-Authenticate", 'Digest realm="r", nonce="chosen"'
        )
        registration.received(Response(401, "Unauthorized", headers).serialise())

    registration = Registration("sip:pbx", "u", "p", ("127.0.0.1", 5060), pbx)
    task = asyncio.create_task(registration.run())
    await until(lambda: sent)
    await asyncio.sleep(0.1)
    task.cancel()
    assert len(sent) == 1 and not sent[0].headers.get("authorization")


async def test_ivr_sip_registers_and_takes_its_binding_back(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        transport, registrar = await loop.create_datagram_endpoint(
            lambda: Registrar("pässword"), sock=sock
        )
        port = sock.getsockname()[1]
        settings = sip_settings(
            tmp_path,
            ("ws://127.0.0.1:1",),
            registrar=f"sip:127.0.0.1:{port}",
            username="7001",
            password="pässword",
        )
        async with sip_office(settings, ready=False) as office:
            await asyncio.wait_for(registrar.changed.wait(), 20)
            contact = f"<sip:7001@127.0.0.1:{settings.sip.port};transport=udp>"
            assert registrar.bindings == {f"{contact};expires=300": 300}
            await office.drain()
            assert registrar.bindings[f"{contact};expires=0"] == 0
        transport.close()
