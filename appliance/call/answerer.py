"""What is answered: the search, the prompt, the language model's text, or the extract without it.

There is no sound here: the composer speaks the text, and whoever reviews answers reads it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from appliance.call.history import History
from appliance.call.marker import Marker
from appliance.call.reply import Reply
from appliance.engines.base import Writer
from appliance.errors import EngineError
from appliance.events import Agent
from appliance.knowledge.answers import extract
from appliance.knowledge.rewriting import rewrite
from appliance.knowledge.search import Search
from appliance.speech.sentences import SENTENCE_ENDS

LONGEST_REPLY_LETTERS = 2000
"""Over two minutes of speech. A model that never ends (and a server that heeds no ``max_tokens``)
would fill the memory ten times as fast as the caller hears it."""


class Answerer:
    """Answers callers' questions by ``writer``, or without one by sentences of the knowledge."""

    def __init__(self, writer: Writer | None, search: Search, search_deadline_ms: int) -> None:
        self.writer = writer
        self._search = search
        self._search_deadline_ms = search_deadline_ms

    async def look_up(self, reply: Reply, agent: Agent, history: History) -> None:
        """Find the passages for a reply; what was said is completed from the talk before it."""
        question = rewrite(reply.said, history.exchanges(), agent.language)
        passages = await self._search.search(agent, question, self._search_deadline_ms)
        reply.searched(tuple(passages), question)

    async def write(
        self, reply: Reply, agent: Agent, history: History, call_id: str
    ) -> AsyncGenerator[str, None]:
        """The text of an answer as it is written; the extract where there is no language model, or
        it fails or is late. A text that breaks off in mid-sentence is followed by the extract."""
        if self.writer is None:
            yield self.extract(reply, agent)
            return
        messages = history.messages(agent, reply.passages, reply.said)
        deadline_s = agent.answer_deadline_ms / 1000
        texts = self.writer.write(
            messages,
            speculative=reply.speculative,
            call_id=call_id,
            model=agent.llm_model,
            within_s=deadline_s,
        )
        marker = Marker()
        try:
            async with aclosing(texts):
                async with asyncio.timeout(deadline_s):
                    first = await anext(texts)
                yield marker.feed(first)
                async for text in texts:
                    yield marker.feed(text)
                    if len(reply.text) > LONGEST_REPLY_LETTERS:
                        reply.fail("the language model found no end")
                        break
                reply.wants_person = marker.found
                yield marker.flush()
                return
        except StopAsyncIteration:
            reply.fail("the language model wrote nothing")
        except TimeoutError:
            reply.fail("the language model was late")
        except EngineError as e:
            reply.fail(str(e))
        if not reply.text:
            yield self.extract(reply, agent)
        elif reply.text.rstrip()[-1:] not in SENTENCE_ENDS:
            if rest := extract(reply.question, reply.passages):
                yield f". {rest}"

    def extract(self, reply: Reply, agent: Agent) -> str:
        """What the passages say, word for word, or that they do not."""
        reply.source = "extractive"
        return extract(reply.question, reply.passages) or agent.unknown_answer
