"""Documents by URL: from a real server, and never from where they must not come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from aiohttp import web

from appliance.addresses import is_allowed
from appliance.errors import UserError
from appliance.knowledge import fetching
from appliance.knowledge.fetching import Seen, fetch, fetch_changed, shown, url_list
from appliance.knowledge.reading import RefusedDocumentError, UnreadableDocumentError

OURS = (ip_network("127.0.0.0/8"),)
BODY = b"%PDF-1.7 the tariff"


@dataclass
class Shelf:
    """A server with documents, and what it was asked."""

    url: str = ""
    asked: list[str] = field(default_factory=list)

    async def file(self, request: web.Request) -> web.Response:
        if request.headers.get("If-None-Match") == '"one"':
            return web.Response(status=304)
        headers = {"ETag": '"one"', "Last-Modified": "Sat, 21 Nov 2026 09:00:00 GMT"}
        return web.Response(body=BODY, content_type="application/pdf", headers=headers)

    async def named(self, request: web.Request) -> web.Response:
        disposition = 'attachment; filename="../a b.pdf"'
        return web.Response(body=BODY, headers={"Content-Disposition": disposition})

    async def status(self, request: web.Request) -> web.Response:
        return web.Response(status=int(request.match_info["rest"]))

    async def hops(self, request: web.Request) -> web.Response:
        left = int(request.match_info["rest"])
        target = f"/hops/{left - 1}" if left else "/file/a.pdf"
        return web.Response(status=302, headers={"Location": target})

    async def to(self, request: web.Request) -> web.Response:
        return web.Response(status=301, headers={"Location": request.query["url"]})

    async def nowhere(self, request: web.Request) -> web.Response:
        return web.Response(status=302)

    async def packed(self, request: web.Request) -> web.Response:
        return web.Response(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})

    async def endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            for _ in range(10_000):
                await response.write(bytes(100_000))
        return response

    async def silent(self, request: web.Request) -> web.Response:
        await asyncio.sleep(20)
        return web.Response()

    def app(self) -> web.Application:
        @web.middleware
        async def noted(request: web.Request, handler: Any) -> web.StreamResponse:
            self.asked.append(request.path)
            return await handler(request)

        app = web.Application(middlewares=[noted])
        for name in "file named status hops to nowhere packed endless silent".split():
            app.router.add_get(f"/{name}", getattr(self, name))
            app.router.add_get(f"/{name}/{{rest:.*}}", getattr(self, name))
        return app


@pytest.fixture
async def shelf() -> AsyncIterator[Shelf]:
    found = Shelf()
    runner = web.AppRunner(found.app(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    found.url = f"http://127.0.0.1:{port}"
    yield found
    await runner.cleanup()


async def test_a_document_with_its_type_and_name(shelf: Shelf) -> None:
    found = await fetch(f"{shelf.url}/file/tariff%20plans.pdf?v=2#page=3", OURS, 1000)
    assert (found.content, found.media_type) == (BODY, "application/pdf")
    assert found.name == "tariff plans.pdf"
    assert found.seen == Seen('"one"', "Sat, 21 Nov 2026 09:00:00 GMT")
    assert (await fetch(f"{shelf.url}/named/x", OURS, 1000)).name == "a b.pdf"


async def test_a_name_is_resolved_and_nothing_comes_when_nothing_changed(shelf: Shelf) -> None:
    by_name = shelf.url.replace("127.0.0.1", "localhost") + "/file/a.pdf"
    found = await fetch_changed(by_name, OURS, 1000, Seen())
    assert found is not None and found.content == BODY
    assert await fetch_changed(by_name, OURS, 1000, found.seen) is None


async def test_redirects_are_followed_three_times(shelf: Shelf) -> None:
    assert (await fetch(f"{shelf.url}/hops/2", OURS, 1000)).content == BODY
    with pytest.raises(RefusedDocumentError, match="more than 3 redirects"):
        await fetch(f"{shelf.url}/hops/3", OURS, 1000)
    with pytest.raises(RefusedDocumentError, match="redirect to nowhere"):
        await fetch(f"{shelf.url}/nowhere", OURS, 1000)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("http://169.254.169.254/latest/meta-data/", "outside of knowledge.networks"),
        ("http://10.0.0.1/", "outside of knowledge.networks"),
        ("http://[::1]/", "outside of knowledge.networks"),
        ("http://[::ffff:10.0.0.1]/", "outside of knowledge.networks"),
        ("http://2130706433.example.invalid/", "not known"),
        ("file:///etc/passwd", "no URL to read"),
        ("gopher://127.0.0.1/", "no URL to read"),
        ("http://user:pw@127.0.0.1/", "user name or password"),
    ],
)
async def test_redirects_lead_nowhere_else(shelf: Shelf, target: str, says: str) -> None:
    with pytest.raises((RefusedDocumentError, UnreadableDocumentError), match=says) as refused:
        await fetch(f"{shelf.url}/to?url={target}", OURS, 1000)
    assert "pw" not in str(refused.value)
    assert shelf.asked == ["/to"]


async def test_a_network_that_is_not_named_is_not_asked(shelf: Shelf) -> None:
    for networks in ((), (ip_network("10.0.0.0/8"),), (ip_network("0.0.0.0/0"),)):
        with pytest.raises(RefusedDocumentError, match=r"knowledge\.networks"):
            await fetch(f"{shelf.url}/file/a.pdf", networks, 1000)
    assert shelf.asked == []


async def test_sizes_statuses_and_silence(shelf: Shelf) -> None:
    with pytest.raises(RefusedDocumentError, match="larger than"):
        await fetch(f"{shelf.url}/file/a.pdf", OURS, 10)
    with pytest.raises(RefusedDocumentError, match="larger than 1 MB"):
        await fetch(f"{shelf.url}/endless", OURS, 1_000_000)
    with pytest.raises(RefusedDocumentError, match="status 404"):
        await fetch(f"{shelf.url}/nothing", OURS, 1000)
    for status in (429, 500, 503):
        with pytest.raises(UnreadableDocumentError, match=f"status {status}"):
            await fetch(f"{shelf.url}/status/{status}", OURS, 1000)
    with pytest.raises(RefusedDocumentError, match="packed"):
        await fetch(f"{shelf.url}/packed", OURS, 1000)
    with pytest.raises(UnreadableDocumentError, match=r"within 0\.2 s"):
        await fetch(f"{shelf.url}/silent", OURS, 1000, timeout_s=0.2)
    with pytest.raises(UnreadableDocumentError, match="cannot be reached"):
        await fetch("http://127.0.0.1:1/", OURS, 1000)


@pytest.mark.parametrize(
    ("address", "networks", "allowed"),
    [
        ("10.1.2.3", ["10.0.0.0/8"], True),
        ("10.1.2.3", ["192.168.0.0/16", "10.1.2.3/32"], True),
        ("11.0.0.1", ["10.0.0.0/8"], False),
        ("::ffff:10.1.2.3", ["10.0.0.0/8"], True),
        ("::ffff:127.0.0.1", ["0.0.0.0/0", "::/0"], False),
        ("127.0.0.1", ["0.0.0.0/0"], False),
        ("127.0.0.1", ["127.0.0.1/32"], True),
        ("::1", ["::/0"], False),
        ("::1", ["::1/128"], True),
        ("169.254.169.254", ["0.0.0.0/0", "169.254.0.0/16"], False),
        ("100.100.100.200", ["100.64.0.0/10"], False),
        ("fe80::1", ["::/0", "fe80::/10"], False),
        ("fd00:ec2::254", ["fd00::/8"], False),
        ("fd12::1", ["fd00::/8"], True),
        ("224.0.0.1", ["0.0.0.0/0"], False),
        ("255.255.255.255", ["0.0.0.0/0"], False),
        ("0.0.0.0", ["0.0.0.0/0"], False),
    ],
)
def test_addresses(address: str, networks: list[str], allowed: bool) -> None:
    assert is_allowed(ip_address(address), [ip_network(text) for text in networks]) == allowed


def test_lists_of_urls() -> None:
    text = (
        "# ours\nhttp://wiki.local/a?x=1#part\n\n  https://wiki.local/b  # b\nhttp://wiki.local/b\n"
    )
    assert url_list(text) == [
        "http://wiki.local/a?x=1#part",
        "https://wiki.local/b",
        "http://wiki.local/b",
    ]
    for bad in (
        "ftp://x/",
        "wiki.local/a",
        "http://",
        "http://u:p@x/",
        "http://[::1",
        "http://x/a b",
    ):
        with pytest.raises(UserError, match="Line 2: "):
            url_list(f"http://x/\n{bad}\n")


def test_what_is_shown_of_a_url() -> None:
    assert shown("http://user:pw@host/a?token=t") == "http://host/a"


@pytest.mark.parametrize("scheme", ["https", "HTTPS", "HttpS"])
async def test_what_was_asked_for_over_tls_comes_over_tls(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    async def redirects(url: str, *_: object) -> str:
        return "http://10.0.0.1/plain"

    monkeypatch.setattr(fetching, "_asked", redirects)
    with pytest.raises(RefusedDocumentError, match="from https to http"):
        await fetch(f"{scheme}://10.0.0.1/a.pdf", OURS, 1000)
