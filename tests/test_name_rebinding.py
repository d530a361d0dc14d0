"""URLs whose names lie, in a process whose DNS is an attacker's: what is fetched, what is told and whom
an external bot's call reaches is the address that was checked, and no loopback, link-local or metadata
address by any spelling (but the operator's own bot on this machine, named plainly).

The process has a network and a resolv.conf of its own (namespaces), so it needs root. Run as a
program, this module is that process: ``python -m tests.test_name_rebinding``.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from appliance.call.botlink import BotLink
from appliance.errors import EngineError
from appliance.knowledge.fetching import fetch
from appliance.knowledge.reading.document import RefusedDocumentError, UnreadableDocumentError
from appliance.outreach.webhooks.sending import send
from appliance.outreach.webhooks.signing import new_secret
from appliance.store.agents import BOT_URL
from tests.appliance_kit import ROOT

OURS, LOOPBACK, METADATA = "10.9.9.9", "127.0.0.1", "169.254.169.254"
PORT = 8099
NETWORKS = (ip_network("10.0.0.0/8"),)
ANSWERS = {  # of each question in turn; the last of them for ever
    "inner.test": ([LOOPBACK],),
    "meta.test": ([METADATA],),
    "zero.test": (["0.0.0.0"],),
    "both.test": ([LOOPBACK, METADATA, OURS],),
    "rebind.test": ([OURS], [LOOPBACK]),
    "turn.test": ([OURS], [LOOPBACK]),
    "ours.test": ([OURS],),
}
GOOD = ("ours.test", "both.test", "rebind.test")
BAD = (
    "inner.test", "inner.test.", "INNER.test", "meta.test", "zero.test", "localhost", "localhost.",
    "127.1", "0x7f.1", "0177.0.0.1", "2130706433", "0", "[::1]", "[::ffff:127.0.0.1]",
    "[::ffff:169.254.169.254]", "[0:0:0:0:0:ffff:7f00:1]", "169.254.169.254", "10.9.9.9@127.0.0.1",
    "ours.test@127.0.0.1", "127.0.0.1#.ours.test", "[::]", "nowhere.test",
)  # fmt: skip
REDIRECTS = (*BAD, "rebind.test")
OWN_BOTS = {"localhost": LOOPBACK, "[::1]": "::1", "127.0.0.1": LOOPBACK}
"""The operator's own, on this machine: called by its plain name, and not otherwise."""
BOTS = {
    **{host: None for host in BAD if BOT_URL.fullmatch(f"ws://{host}/")},
    **{host: OURS for host in ("ours.test", "both.test", "turn.test")},
    **OWN_BOTS,
}
"""Whom each reaches."""


class Nobody:
    """The call that a bot would have."""

    def on_bot_message(self, payload: bytes) -> None: ...

    def on_bot_gone(self, why: str) -> None: ...


class Resolver(asyncio.DatagramProtocol):
    """A name server that answers A questions from :data:`ANSWERS`, with a lifetime of 0 s."""

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end, labels = 12, []
        while size := data[end]:
            labels.append(data[end + 1 : end + 1 + size].decode())
            end += 1 + size
        question, kind = data[12 : end + 5], data[end + 1 : end + 3]
        name = ".".join(labels).lower()
        found: list[str] = []
        if kind == b"\0\x01" and name in ANSWERS:
            turns = ANSWERS[name]
            found = turns[min(self._asked[name], len(turns) - 1)]
            self._asked[name] += 1
        status = b"\x81\x80" if name in ANSWERS else b"\x81\x83"
        head = data[:2] + status + b"\0\x01" + len(found).to_bytes(2) + b"\0\0\0\0"
        record = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04"
        answers = b"".join(record + ip_address(one).packed for one in found)
        self._transport.sendto(head + question + answers, addr)  # type: ignore[attr-defined]


async def _attacked() -> dict[str, list[str]]:
    """Ask every URL, straight and by a redirect; which addresses were reached."""
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(Resolver, local_addr=("127.0.0.1", 53))
    reached: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        reached.append(request.transport.get_extra_info("sockname")[0])
        if to := request.query.get("to"):
            return web.Response(status=302, headers={"Location": f"http://{to}:{PORT}/"})
        return web.Response(body=b"here", content_type="text/plain")

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    for address in (OURS, LOOPBACK, METADATA, "::1"):
        await web.TCPSite(runner, address, PORT).start()
    told: dict[str, list[str]] = {}

    async def noted(what: str, url: str, *, post: bool) -> None:
        reached.clear()
        try:
            if post:
                done = await send(url, NETWORKS, [new_secret()], "m", b"{}", timeout_s=5)
                reached.append(f"status {done.status}")
            else:
                await fetch(url, NETWORKS, 1000, 5)
        except (RefusedDocumentError, UnreadableDocumentError) as e:
            reached.append(f"refused: {e}")
        told[what] = list(reached)

    async def rung(host: str) -> None:
        reached.clear()
        with suppress(EngineError):  # nobody there is a bot
            await BotLink.open(f"ws://{host}:{PORT}/", Nobody())
        told[f"bot {host}"] = list(reached)

    for host in (*GOOD, *BAD):
        for post in (False, True):
            await noted(f"{'post' if post else 'get'} {host}", f"http://{host}:{PORT}/", post=post)
    for host in BOTS:
        await rung(host)
    for host in REDIRECTS:
        await noted(f"redirect {host}", f"http://ours.test:{PORT}/?to={host}", post=False)
    await runner.cleanup()
    return told


@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces of its own need root")
@pytest.mark.skipif(
    shutil.which("unshare") is None or shutil.which("ip") is None, reason="no tools"
)
def test_names_that_lie_lead_nowhere_else(tmp_path: Path) -> None:
    done = subprocess.run(
        ["unshare", "--mount", "--net", sys.executable, "-m", "tests.test_name_rebinding"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if "Operation not permitted" in done.stderr:
        pytest.skip("no namespaces here")
    assert done.returncode == 0, done.stderr
    told: dict[str, list[str]] = orjson.loads(done.stdout.splitlines()[-1])
    bots = {what[4:]: told.pop(what) for what in list(told) if what.startswith("bot ")}
    assert len(bots) > 20
    assert bots == {host: [address] if address else [] for host, address in BOTS.items()}
    assert len(told) == 2 * len((*GOOD, *BAD)) + len(REDIRECTS)
    reached = {
        one for found in told.values() for one in found if not one.startswith(("ref", "sta"))
    }
    assert reached == {OURS}
    for what, found in told.items():
        kind, _, host = what.partition(" ")
        if kind == "redirect":
            assert found[0] == OURS and found[1].startswith("refused"), (what, found)
        elif host == "rebind.test":  # the second question is answered with loopback
            wanted = [OURS] if kind == "get" else ["status 0"]
            assert found == wanted, (what, found)
        elif host in GOOD:
            assert found[0] == OURS, (what, found)
        else:
            assert found in ([found[0]], ["status 0"]) and OURS not in found, (what, found)


def _own_network() -> None:
    """Loopback, with addresses that stand for the company's network and the cloud's metadata."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=10)
    for address in (OURS, METADATA):
        subprocess.run(["ip", "addr", "add", f"{address}/32", "dev", "lo"], check=True, timeout=10)
    with tempfile.NamedTemporaryFile("w", suffix=".conf", delete=False) as file:
        file.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    place = Path("/etc/resolv.conf").resolve()
    subprocess.run(["mount", "--make-rprivate", "/"], check=True, timeout=10)
    subprocess.run(["mount", "--bind", file.name, str(place)], check=True, timeout=10)
    os.unlink(file.name)
    socket.setdefaulttimeout(10)


if __name__ == "__main__":
    _own_network()
    print(orjson.dumps(asyncio.run(_attacked())).decode())
