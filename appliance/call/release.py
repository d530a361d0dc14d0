"""Lets a phrase be heard when its verdict is in: the guard works beside the voice, never before it.

The rules give theirs while the voice begins (microseconds against tens of milliseconds), so they cost
a caller nothing. A guard model may be later than the voice; what happens then is the agent's
``guard_mode``:

* ``release``: the phrase is heard at once; a bad verdict flags it.
* ``hold``: its audio waits, ``guard_deadline_ms`` at most. A bad verdict after that cuts what has not
  been heard yet, and flags the rest.
* ``strict``: nothing is heard without a verdict, nor when there is none to be had.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from appliance.call.history import History
from appliance.call.reply import Found, Reply
from appliance.errors import EngineError
from appliance.events import Agent
from appliance.safety.findings import Context, Finding
from appliance.safety.guard import Guard

log = logging.getLogger(__name__)

PREPARE_AFTER_S = 0.005
"""By then the request is on its way to the language model."""
MOST_READ_AHEAD = 16
"""Replies whose sources wait to be read; when full, those of another are read by its first phrase."""
NO_VERDICT = Finding("no verdict", "model", "medium", "stop", "")
"""The guard could not judge, and the agent is strict."""


class Judge(Protocol):
    """A model that judges phrases."""

    async def judge(self, context: Context, phrase: str) -> Finding | None:
        """What is wrong with ``phrase``, within a timeout of its own. Raises EngineError."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """On one phrase: what the rules found, and the model's, which may still be on its way."""

    phrase: str
    findings: tuple[Finding, ...]
    model: asyncio.Task[Finding | None] | None = None

    @property
    def stops(self) -> Finding | None:
        """What the rules stop it for."""
        return next((finding for finding in self.findings if finding.action == "stop"), None)


class Guarding:
    """The guard of a worker: its rules, which change with the site's, and the model beside them."""

    def __init__(self, guard: Guard, model: Judge | None = None) -> None:
        self.guard = guard
        self._model = model
        self._under_way: set[asyncio.Task[Finding | None]] = set()
        """Bounded by the phrases of live calls times the model's own timeout."""
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="guard")
        self._reading: set[Future[None]] = set()

    most_reading = MOST_READ_AHEAD

    @property
    def reading(self) -> int:
        """Replies whose sources wait to be read, or are."""
        return len(self._reading)

    def read_ahead(self, context: Context) -> None:
        """Read what phrases will be held against, in a thread: mostly 2 ms, but a document of nothing
        but codes and figures takes 80."""
        if len(self._reading) < MOST_READ_AHEAD:
            reading = self._reader.submit(self.guard.prepare, context)
            self._reading.add(reading)
            reading.add_done_callback(self._read)

    def _read(self, reading: Future[None]) -> None:
        self._reading.discard(reading)
        if error := reading.exception():
            log.error("! the guard broke", exc_info=error)

    def open(self, agent: Agent, reply: Reply, history: History) -> Release:
        """Watch over one reply."""
        context = Context(
            agent=agent,
            said=reply.said,
            passages=reply.passages,
            before="",
            talk=history.exchanges(),
            memory=history.memory,
        )
        return Release(self, reply, context)

    def ask_model(self, context: Context, phrase: str) -> asyncio.Task[Finding | None] | None:
        """Begin to judge a phrase; not cancelled with the reply, for part of it may be heard."""
        if self._model is None:
            return None
        task = asyncio.create_task(self._model.judge(context, phrase))
        self._under_way.add(task)
        task.add_done_callback(self._judged)
        return task

    def _judged(self, task: asyncio.Task[Finding | None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # of a reply that was dropped: nobody else asks for it


class Release:
    """The verdicts on one reply, phrase by phrase."""

    def __init__(self, guarding: Guarding, reply: Reply, context: Context) -> None:
        self._guarding = guarding
        self._reply = reply
        self._agent = context.agent
        self._context = context
        self._before = ""

    def prepare(self) -> None:
        """Read what the phrases will be held against while the language model begins."""
        loop = asyncio.get_running_loop()
        loop.call_later(PREPARE_AFTER_S, self._guarding.read_ahead, self._context)

    def look_at_caller(self) -> None:
        """Note what a person should know of the caller's words; they are answered all the same."""
        findings = self._looked(
            lambda: self._guarding.guard.check_caller(self._reply.said, self._agent)
        )
        for finding in findings:
            self._reply.found(Found(finding, "flagged", self._reply.said, "caller"))

    def ask(self, phrase: str) -> Verdict:
        """Judge the reply's next phrase: by the rules at once, by the model as soon as it can."""
        c = self._context
        context = Context(c.agent, c.said, self._reply.passages, self._before, c.talk, c.memory)
        findings = self._looked(lambda: self._guarding.guard.check_phrase(phrase, context))
        self._before = f"{self._before} {phrase}".lstrip()
        verdict = Verdict(phrase, findings)
        if verdict.stops is None and (task := self._guarding.ask_model(context, phrase)):
            verdict = Verdict(phrase, findings, task)
        return verdict

    async def may_be_heard(self, verdict: Verdict) -> bool:
        """Wait for the verdict as the agent's mode says; what was found is noted with the reply."""
        findings = verdict.findings
        if verdict.model is not None and (found := await self._model_says(verdict, verdict.model)):
            findings += (found,)
        stopped = any(finding.action == "stop" for finding in findings)
        for finding in findings:
            self._reply.found(Found(finding, "stopped" if stopped else "flagged", verdict.phrase))
        return not stopped

    async def _model_says(
        self, verdict: Verdict, task: asyncio.Task[Finding | None]
    ) -> Finding | None:
        within_s: dict[str, float | None] = {
            "release": 0.0,
            "hold": self._agent.guard_deadline_ms / 1000,
            "strict": None,  # the model's own timeout bounds it
        }
        if not task.done():
            await asyncio.wait({task}, timeout=within_s[self._agent.guard_mode])
        if not task.done():
            task.add_done_callback(lambda done: self._came_late(done, verdict.phrase))
            return None
        return self._result(task)

    def _result(self, task: asyncio.Task[Finding | None]) -> Finding | None:
        if task.cancelled() or (error := task.exception()) is None:
            return None if task.cancelled() else task.result()
        if isinstance(error, EngineError):
            self._reply.fail(f"the guard model gave no verdict: {error}")
        else:
            log.error("! the guard model broke", exc_info=error)
        return NO_VERDICT if self._agent.guard_mode == "strict" else None

    def _came_late(self, task: asyncio.Task[Finding | None], phrase: str) -> None:
        finding = self._result(task)
        if finding is None:
            return
        if finding.action == "stop" and self._agent.guard_mode == "hold":
            self._reply.cut_short(phrase)
        self._reply.found(Found(finding, "late", phrase))

    def _looked(self, look: Callable[[], tuple[Finding, ...]]) -> tuple[Finding, ...]:
        """The border of a job: a guard that breaks (a bug) stops strict agents only."""
        try:
            return look()
        except Exception:
            log.exception("! the guard broke")
            return (NO_VERDICT,) if self._agent.guard_mode == "strict" else ()
