"""A receiver of webhooks as somebody else would write one: it checks each signature by itself."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Receiver:
    """A server on loopback; ``answers`` are given one after the other, the last one for ever."""

    secret: str = ""
    answers: list[Any] = field(default_factory=lambda: [200])
    """A status; ``slow``, ``redirect``, ``drop`` or ``endless``."""
    url: str = ""
    got: list[dict[str, Any]] = field(default_factory=list)
    """Payloads with a right signature."""
    ids: list[str] = field(default_factory=list)
    wrong: int = 0
    asked: int = 0
    at_once: int = 0
    most_at_once: int = 0
    elsewhere: int = 0
    """Requests to where the redirect leads."""
    headers: dict[str, str] = field(default_factory=dict)

    async def start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/hook", self._hook)
        app.router.add_route("*", "/elsewhere", self._elsewhere)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        return runner

    async def _elsewhere(self, request: web.Request) -> web.Response:
        self.elsewhere += 1
        return web.Response()

    async def _hook(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            return await self._answer(request, body, answer)
        finally:
            self.at_once -= 1

    async def _answer(self, request: web.Request, body: bytes, answer: Any) -> web.StreamResponse:
        match answer:
            case "slow":
                await asyncio.sleep(30)
            case "redirect":
                return web.Response(status=302, headers={"Location": "/elsewhere"})
            case "drop":
                assert request.transport is not None
                request.transport.close()
            case "endless":
                response = web.StreamResponse()
                await response.prepare(request)
                for _ in range(1000):
                    await response.write(b"a" * 4096)
                return response
            case int() if answer >= 400:
                return web.Response(status=answer, text="not now\x00", headers=self.headers)
        if not is_right(self.secret, request.headers, body):
            self.wrong += 1
            return web.Response(status=401, text="wrong signature")
        self.got.append(json.loads(body))
        self.ids.append(request.headers["webhook-id"])
        return web.Response(text="thank you")


def is_right(secret: str, headers: Any, body: bytes) -> bool:
    """As standardwebhooks.com has it: any of the signatures, and a timestamp of now."""
    message_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if abs(time.time() - int(timestamp)) > 300:
        return False
    key = base64.b64decode(secret[len("whsec_") :])
    content = message_id.encode() + b"." + timestamp.encode() + b"." + body
    digest = hmac.new(key, content, hashlib.sha256).digest()
    expected = base64.b64encode(digest).decode()
    versions = [part.split(",", 1) for part in headers["webhook-signature"].split(" ")]
    return any(v == "v1" and hmac.compare_digest(sig, expected) for v, sig in versions)
