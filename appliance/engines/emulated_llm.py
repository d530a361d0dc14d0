"""The emulated language model: scripted replies at a declared pace, over OpenAI's API.

A token is one word with the space before it. A client that disconnects aborts its generation,
which is counted (``aborted`` on the health page).
"""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass

import orjson
from aiohttp import web

from appliance.engines.emulated_http import Load, failure
from appliance.engines.emulated_script import Script

MODEL = "emulated"


@dataclass(frozen=True, slots=True)
class Pace:
    """The declared latency of the language model."""

    first_token_ms: float = 200
    tokens_s: float = 60


class LlmServer:
    """``/v1/chat/completions``, streamed or whole, and ``/v1/models``."""

    def __init__(self, script: Script, pace: Pace, load: Load) -> None:
        self._script = script
        self._pace = pace
        self._load = load
        self._ids = itertools.count(1)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/chat/completions", self._complete),
            web.get("/v1/models", self._models),
        ]

    async def _models(self, _: web.Request) -> web.Response:
        model = {"id": MODEL, "object": "model", "owned_by": "emulated"}
        return web.json_response({"object": "list", "data": [model]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        try:
            body = orjson.loads(await request.read())
            question = _last_user_message(body["messages"])
            limit = int(body.get("max_tokens") or body.get("max_completion_tokens") or 1 << 20)
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError):
            return failure(400, "The body must be a chat completion request with messages.")
        tokens = to_tokens(self._script.answer_to(question))
        finish = "length" if limit < len(tokens) else "stop"
        name = f"chatcmpl-{next(self._ids)}"
        answer = self._stream if body.get("stream") else self._whole
        return await self._load.answered(
            lambda begun_s: answer(request, _Reply(name, tokens[:limit], finish, begun_s))
        )

    async def _stream(self, request: web.Request, reply: _Reply) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Cache-Control": "no-cache"})
        response.content_type = "text/event-stream"
        await response.prepare(request)
        for index, token in enumerate(reply.tokens):
            await self._until(reply, index)
            delta = {"content": token} if index else {"role": "assistant", "content": token}
            await response.write(reply.chunk(delta, None))
        await response.write(reply.chunk({}, reply.finish) + b"data: [DONE]\n\n")
        return response

    async def _whole(self, _: web.Request, reply: _Reply) -> web.StreamResponse:
        await self._until(reply, len(reply.tokens) - 1)
        message = {"role": "assistant", "content": "".join(reply.tokens)}
        choice = {"index": 0, "message": message, "finish_reason": reply.finish}
        return web.json_response(
            {
                "id": reply.id,
                "object": "chat.completion",
                "created": int(time.time()),
                "model": MODEL,
                "choices": [choice],
            }
        )

    async def _until(self, reply: _Reply, index: int) -> None:
        """Wait for the time of token ``index``, on a schedule that does not drift."""
        due_s = reply.begun_s + self._pace.first_token_ms / 1000 + index / self._pace.tokens_s
        await asyncio.sleep(max(0.0, due_s - asyncio.get_running_loop().time()))


@dataclass(frozen=True, slots=True)
class _Reply:
    id: str
    tokens: list[str]
    finish: str
    begun_s: float

    def chunk(self, delta: dict[str, str], finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        event = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": MODEL,
            "choices": [choice],
        }
        return b"data: " + orjson.dumps(event) + b"\n\n"


def to_tokens(text: str) -> list[str]:
    """``text`` in words, each with the space before it; joined they are ``text`` again."""
    first, *others = text.split(" ")
    return [first, *(" " + word for word in others)]


def _last_user_message(messages: list[dict[str, object]]) -> str:
    for message in reversed(messages):
        if message["role"] == "user":
            content = message["content"]
            if isinstance(content, list):  # OpenAI's parts: [{"type": "text", "text": …}]
                return " ".join(str(part.get("text", "")) for part in content)
            return str(content)
    return ""
