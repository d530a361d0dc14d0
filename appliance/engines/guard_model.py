"""Client of a guard model: a language model that says of a phrase whether it is safe.

Any server of OpenAI's chat completions. By default it is asked in the form that Llama Guard was trained
on (Inan et al. 2023): the conversation as it would stand with the phrase said; it answers ``safe``, or
``unsafe`` and on the next line the hazards (``S1,S10``). Others are asked by a template of the site.
"""

from __future__ import annotations

import asyncio
import logging
import re

import aiohttp
import orjson

from appliance.engines.http import read_at_most
from appliance.errors import EngineError, reason_of
from appliance.safety.findings import Context, Finding
from appliance.safety.patterns import compile_pattern
from appliance.settings import Guard

log = logging.getLogger(__name__)

MOST_TOKENS = 20
"""``unsafe`` and some hazards; a verdict has no need to explain itself."""
LONGEST_ANSWER_BYTES = 64 << 10
LONGEST_TEXT = 4000
"""Letters of each side, the latest: a guard model's context is short, and its time follows it."""
MOST_FAILURES = 3
"""In a row, before it is left alone for a while: each costs a phrase its deadline."""
LEFT_ALONE_S = 5.0
_BLANK = re.compile(r"\{said\}|\{phrase\}")
SILENT_CALLER = "(The caller is on the line.)"
"""Templates of chat refuse an assistant that speaks first."""


class GuardModel:
    """One guard model. Shared by the calls of a worker; ``http`` keeps its connections."""

    def __init__(self, http: aiohttp.ClientSession, settings: Guard) -> None:
        """Raises UserError when ``settings.unsafe`` is no pattern of RE2."""
        self._http = http
        self._settings = settings
        self._unsafe = compile_pattern(settings.unsafe)
        self._url = settings.url.rstrip("/") + "/chat/completions"
        self._headers = {"Content-Type": "application/json"}
        if settings.api_key:
            self._headers["Authorization"] = f"Bearer {settings.api_key}"
        self._failures = 0
        self._alone_until = 0.0

    async def judge(self, context: Context, phrase: str) -> Finding | None:
        """What the model holds against ``phrase``, said next in this conversation; None: nothing.

        Takes ``guard.timeout_ms`` at most. Raises EngineError when there is no verdict.
        """
        now = asyncio.get_running_loop().time
        if now() < self._alone_until:
            raise EngineError("guard", "left alone for a while, for it did not answer")
        try:
            async with asyncio.timeout(self._settings.timeout_ms / 1000):
                answer = await self._ask(context, phrase)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as e:
            self._failures += 1
            if self._failures >= MOST_FAILURES:
                self._alone_until = now() + LEFT_ALONE_S
                log.warning("! guard: %d failures in a row", self._failures)
            slow = isinstance(e, TimeoutError)
            raise EngineError("guard", "the model was late" if slow else reason_of(e)) from e
        self._failures = 0
        return self._verdict(answer, phrase)

    def _verdict(self, answer: str, phrase: str) -> Finding | None:
        if self._unsafe.search(answer) is None:
            return None
        hazards = [w for w in answer.replace(",", " ").split() if w[:1] == "S" and w[1:].isdigit()]
        rule = ".".join(("model", *sorted(set(hazards))[:3]))
        return Finding(rule, "model", "high", "stop", phrase)

    async def _ask(self, context: Context, phrase: str) -> str:
        body = orjson.dumps(
            {
                "model": self._settings.model,
                "messages": self._messages(context, phrase),
                "max_tokens": MOST_TOKENS,
                "temperature": 0,
            }
        )
        async with self._http.post(self._url, data=body, headers=self._headers) as response:
            answer = await read_at_most(response, LONGEST_ANSWER_BYTES)
            if response.status != 200:
                raise ValueError(f"status {response.status}")
        try:
            content = orjson.loads(answer)["choices"][0]["message"]["content"]
        except (orjson.JSONDecodeError, KeyError, IndexError, TypeError) as e:
            raise ValueError("the answer is not OpenAI's shape") from e
        if not isinstance(content, str) or not content.strip():
            raise ValueError("the answer is empty")
        return content

    def _messages(self, context: Context, phrase: str) -> list[dict[str, str]]:
        said = context.said[-LONGEST_TEXT:] or SILENT_CALLER
        reply = f"{context.before} {phrase}".strip()[-LONGEST_TEXT:]
        if not self._settings.prompt:
            return [{"role": "user", "content": said}, {"role": "assistant", "content": reply}]
        # not str.format: a prompt of the site may hold braces, and so may what a caller says
        filled = _BLANK.sub(
            lambda blank: said if blank[0] == "{said}" else reply, self._settings.prompt
        )
        return [{"role": "user", "content": filled}]
