"""Two language models as one: the smaller answers when the first does not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from math import inf
from time import monotonic

from appliance.engines.writer import EndlessReplyError, OpenAiWriter
from appliance.errors import EngineError
from appliance.events import Message
from appliance.seldom import Seldom

log = logging.getLogger(__name__)


class FailoverWriter:
    """Asks ``first``; when none of its servers gives a first token in time, or none is up, or one
    dies in mid-reply and no other goes on, asks ``fallback`` for all of the reply, or the rest."""

    def __init__(self, first: OpenAiWriter, fallback: OpenAiWriter) -> None:
        self._first = first
        self._fallback = fallback
        self._seldom = Seldom(monotonic)
        """With the first model away every reply of every call comes this way."""

    async def write(
        self,
        messages: Sequence[Message],
        *,
        speculative: bool,
        call_id: str,
        model: str = "",
        within_s: float = inf,
    ) -> AsyncGenerator[str, None]:
        """Stream the reply's text. ``model`` is the agent's, which the fallback does not have.

        Of ``within_s`` the fallback is left its own timeout, but never more than half. Raises
        EngineError when neither answers.
        """
        loop = asyncio.get_running_loop()
        deadline_s, written = loop.time() + within_s, ""
        first_s = max(within_s - self._fallback.timeout_s, within_s / 2)
        try:
            texts = self._first.write(
                messages, speculative=speculative, call_id=call_id, model=model, within_s=first_s
            )
            async with aclosing(texts):
                async for text in texts:
                    written += text
                    yield text
            return
        except EndlessReplyError:
            raise
        except EngineError as e:
            self._seldom.warn(log, "first", "! %s; the smaller model is asked", e)
        texts = self._fallback.write(
            messages,
            speculative=speculative,
            call_id=call_id,
            within_s=deadline_s - loop.time(),
            after=written,
        )
        async with aclosing(texts):
            async for text in texts:
                yield text

    @property
    def heeds_priorities(self) -> bool:
        """Whether every server of both serves replies before notes."""
        return self._first.heeds_priorities and self._fallback.heeds_priorities

    def has_room(self) -> bool:
        """Whether either may be asked for notes."""
        return self._first.has_room() or self._fallback.has_room()

    async def note(
        self,
        messages: Sequence[Message],
        *,
        call_id: str,
        model: str = "",
        max_tokens: int,
        within_s: float,
    ) -> str:
        """The whole text of what nobody waits for; ``model`` is the agent's, which the fallback
        does not have. Raises EngineError."""
        if self._first.has_room() or not self._fallback.has_room():
            return await self._first.note(
                messages, call_id=call_id, model=model, max_tokens=max_tokens, within_s=within_s
            )
        return await self._fallback.note(
            messages, call_id=call_id, max_tokens=max_tokens, within_s=within_s
        )
