"""The headers of the console's answers."""

from __future__ import annotations

import re
from typing import Any

import pytest

from appliance.admin.answers import Dressed

PAGE = b"""<html><head>
    <script>mine()</script>
    <script type="module">own`x`; const e = {"text": "<script>evil()</script>"};</script>
</head><p>hello <script>evil()</script></p></html>"""


async def _answer(content_type: str, *bodies: bytes, tls: bool = True) -> tuple[Any, bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    dressed = Dressed(send, tls, "/calls")
    headers = [(b"content-type", content_type.encode()), (b"content-length", b"5")]
    await dressed({"type": "http.response.start", "status": 200, "headers": headers})
    for number, body in enumerate(bodies):
        more = number + 1 < len(bodies)
        await dressed({"type": "http.response.body", "body": body, "more_body": more})
    start, *parts = sent
    return dict(start["headers"]), b"".join(part.get("body", b"") for part in parts)


async def test_the_templates_scripts_carry_the_nonce_and_no_others() -> None:
    headers, page = await _answer("text/html; charset=utf-8", PAGE[:60], PAGE[60:])
    policy = headers[b"content-security-policy"].decode()
    (nonce,) = re.findall(r"'nonce-([^']+)'", policy)
    assert page.count(f'<script nonce="{nonce}"'.encode()) == 2
    assert page.count(b"<script>evil") == 2  # as it was: the browser runs neither
    assert headers[b"content-length"] == str(len(page)).encode()
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]


async def test_each_answer_has_a_nonce_of_its_own() -> None:
    first, _ = await _answer("text/html", PAGE)
    second, _ = await _answer("text/html", PAGE)
    assert first[b"content-security-policy"] != second[b"content-security-policy"]


@pytest.mark.parametrize("tls", [True, False])
async def test_what_is_no_page_is_passed_on_as_it_comes(tls: bool) -> None:
    headers, body = await _answer("application/json", b"{", b"}", tls=tls)
    assert body == b"{}"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"cache-control"] == b"no-store"
    assert (b"strict-transport-security" in headers) is tls
