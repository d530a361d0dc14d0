"""The worker process: where the call path's parts are put together."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from time import monotonic
from typing import Any

import aiohttp
import uvloop
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance import readiness
from appliance.call.admission import Admission, Sample
from appliance.call.answerer import Answerer
from appliance.call.cached import CommonAnswers
from appliance.call.composer import Composer
from appliance.call.desk import Desk
from appliance.call.kept import KeptAudio
from appliance.call.measured import MeasuredJournal
from appliance.call.past import PastCalls
from appliance.call.release import Guarding
from appliance.call.services import Services
from appliance.call.siterules import SiteRules
from appliance.call.telling import Parts, exporter_of_worker
from appliance.call.tracing import tracer_of
from appliance.call.warmth import Warmth
from appliance.engines.clients import Clients
from appliance.engines.judge import HttpTurnJudge
from appliance.engines.recogniser import HttpRecogniser
from appliance.engines.vad import VoiceActivity
from appliance.engines.voice import HttpVoice
from appliance.errors import UserError
from appliance.events import Agent
from appliance.knowledge.search import Search
from appliance.media.playout import Pacer
from appliance.media.recording import DiskWriter
from appliance.media.server import MediaServer
from appliance.metrics.access import may_read
from appliance.metrics.calls import CallCounts
from appliance.metrics.looplag import LoopLag
from appliance.safety import redact
from appliance.safety.guard import Guard
from appliance.safety.rules import RuleSet
from appliance.seldom import Seldom
from appliance.settings import MEDIA_SECRET, METRICS_SECRET, Settings
from appliance.store.cached_answers import load_answers
from appliance.store.database import database_url, open_engine
from appliance.store.directory import Directory
from appliance.store.journal import Journal
from appliance.store.questions import common_questions

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
WARM_EVERY_S = 15.0
"""How often new versions of agents are looked for and warmed."""
FIRST_WARM_TIMEOUT_S = 20.0
"""A worker whose engines are not there by then takes calls all the same: they may come."""
OPENINGS_TIMEOUT_S = 5.0
"""For the agents' prompts on the language model's servers, before the first call."""
NEEDED_STAGES = frozenset({"stt", "tts"})
"""Calls go on without the others: by extractive answers, by words, by silence alone."""
MOST_RETIRED = 64
"""Agent versions kept warm that no number leads to any more: calls that began with them may live.
Older ones are forgotten, or each version ever published would stay in memory."""
MOST_CONNECTIONS = 512
LAST_ROWS_S = 30.0
"""After the last call its journal and recordings are written."""


def run(settings: Settings) -> None:
    """Run the worker until SIGTERM, then drain."""
    uvloop.run(_run(settings))


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        worker = await _Worker.create(settings, stack)
        port = await worker.listen()
        background = asyncio.create_task(worker.background())
        log.info("= worker listens on %s:%d", settings.worker.host, port)
        try:
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({stopping, background}, return_when=asyncio.FIRST_COMPLETED)
            if background.done():
                await background  # a bug: let it be seen
            readiness.stopping("live calls finish")
            readiness.extend(settings.worker.drain_timeout_s + LAST_ROWS_S)
            await worker.desk.drain(settings.worker.drain_timeout_s)
        finally:
            background.cancel()
            await asyncio.wait({background})
    log.info("= worker stopped")


class _Worker:
    """Everything one worker process holds."""

    def __init__(
        self,
        settings: Settings,
        http: aiohttp.ClientSession,
        engine: AsyncEngine,
        journal: Journal,
    ) -> None:
        engines = settings.engines
        self._settings = settings
        clients = Clients(settings, http)
        self._embedder = clients.embedder
        self._pools = clients.pools
        self.directory = Directory(engine, settings)
        copies = settings.cache_dir / "knowledge"
        self.search = Search(engine, clients.embedder, copies, clients.reranker)
        stt = clients.pool("stt", engines.stt)
        self.recogniser = HttpRecogniser(stt, http, engines.stt.timeout_ms, engines.stt.preferred)
        self.recogniser.learn_by(self._prepare)
        voice = HttpVoice(clients.pool("tts", engines.tts), http, engines.tts.timeout_ms)
        writer = clients.writer
        self._notes = writer
        find = partial(common_questions, engine)
        self.warmth = Warmth(clients.models, self.search, find, engines.llm.keep_warm_s)
        self.guarding = Guarding(Guard(RuleSet()), clients.guard_model)
        self.rules = SiteRules(engine, self.guarding, settings.data_dir)
        kept = KeptAudio(voice)
        common = CommonAnswers(partial(load_answers, engine), kept)
        answerer = Answerer(writer, self.search, settings.worker.search_deadline_ms)
        self.composer = Composer(voice, answerer, self.guarding, kept, common)
        turn = clients.pool("turn", engines.turn)
        self.judge = HttpTurnJudge(turn, http, engines.turn.timeout_ms)
        self._roster = clients.roster()
        self.vad = VoiceActivity()
        self.pacer = Pacer()
        self.disk = DiskWriter() if settings.worker.recordings else None
        self.journal = journal
        self.past = PastCalls(engine, journal)
        limits = settings.worker
        self._admission = (
            Admission(limits.max_calls, limits.frame_late_ms, limits.stage_late)
            if limits.admission
            else None
        )
        self.desk = Desk(limits.max_calls, self._admission)
        self._lag = LoopLag()
        self._tracer = tracer_of(settings.tracing)
        counts = CallCounts()
        self.measured = MeasuredJournal(journal, counts, self._tracer)
        self._exporter = exporter_of_worker(
            Parts(self.desk, self._admission, self._pools, self.pacer, self.disk, journal,
                  self.guarding, engine, counts),
            self._lag, limits.max_calls,
        )  # fmt: skip
        if self._tracer is not None:
            self._exporter.add(self._tracer.put)
        self._server = MediaServer(
            self.desk, settings.secret(MEDIA_SECRET), metrics=self._metrics_for
        )
        self._warmed: dict[str, Agent] = {}
        self._seldom = Seldom(monotonic)

    @classmethod
    async def create(cls, settings: Settings, stack: AsyncExitStack) -> _Worker:
        connector = aiohttp.TCPConnector(limit=MOST_CONNECTIONS, keepalive_timeout=60)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        engine = open_engine(database_url(settings))
        stack.push_async_callback(engine.dispose)
        journal = await stack.enter_async_context(Journal(engine, settings.spool_dir))
        worker = cls(settings, http, engine, journal)
        stack.push_async_callback(worker.close)
        return worker

    async def listen(self) -> int:
        """Open the media server; calls are refused until :meth:`background` has warmed up."""
        host, port = self._settings.worker.host, self._settings.worker.port
        try:
            return await self._server.start(host, port)
        except OSError as e:
            raise UserError(
                f"The worker cannot listen on {host}:{port} ({e.strerror}); "
                "free that port or set worker.port to another."
            ) from e

    async def background(self) -> None:
        """Everything that goes on beside the calls."""
        async with asyncio.TaskGroup() as tasks:

            def go(work: Coroutine[Any, Any, None]) -> None:
                tasks.create_task(work)

            go(readiness.watchdog())
            go(self.pacer.run())
            go(self.vad.run())
            go(self._watch_load())
            go(self._lag.run())
            for pool in self._pools:
                go(pool.run())
            if self._roster is not None:
                await self._roster.ask()
                go(self._roster.run())
            # Each by itself: with a stage away for long, what can be warmed still is.
            for work in (self._wait_for_engines, self.rules.refresh, self._warm):
                try:
                    async with asyncio.timeout(FIRST_WARM_TIMEOUT_S):
                        await work()
                except TimeoutError:
                    log.warning("! taking calls before everything is warm")
            await self._first_openings()
            go(self.warmth.run())
            gc.freeze()  # what is loaded by now stays: the collector need not look at it again
            self.desk.open(self._services())
            log.info("= ready for calls")
            readiness.ready("calls are taken")
            while True:
                await asyncio.sleep(WARM_EVERY_S)
                await self._warm_again()

    async def _first_openings(self) -> None:
        """Calls begin soon, whatever the language model does: it reads on beside them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(OPENINGS_TIMEOUT_S):
                await self.warmth.openings()

    async def _watch_load(self) -> None:
        """Let the worker find its knee."""
        if self._admission is None:
            return
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            was = self._admission.why
            stages_s = {pool.stage: pool.recent_s() for pool in self._pools}
            late_s = self.pacer.recent_late_s()
            self._admission.observe(loop.time(), Sample(self.desk.calls, late_s, stages_s))
            if (why := self._admission.why) and why != was:
                log.warning("! %d calls at most for now: %s", self.desk.limit, why)
            elif was and not why:
                log.info("= below the knee again")

    def _services(self) -> Services:
        return Services(
            directory=self.directory,
            past=self.past,
            recogniser=self.recogniser,
            judge=self.judge,
            composer=self.composer,
            vad=self.vad,
            pacer=self.pacer,
            disk=self.disk,
            recordings=self._settings.recordings_dir,
            journal=self.measured,
            watch=self.desk.tell,
            is_watched=self.desk.is_watched,
            notes=self._notes,
        )

    async def _wait_for_engines(self) -> None:
        """Until every stage that nothing stands in for has a server that is up."""
        told: list[str] = []
        needed = [pool for pool in self._pools if pool.stage in NEEDED_STAGES]
        while waiting := [pool.stage for pool in needed if not pool.is_up()]:
            if waiting != told:
                log.info("= waiting for %s", ", ".join(waiting))
                told = waiting
            await asyncio.sleep(0.1)

    async def _warm_again(self) -> None:
        try:
            await self.rules.refresh()
            await self._warm()
            await self.composer.refresh(list(self._warmed.values()))
        except Exception:  # the border of a job: the live calls do not depend on it
            log.exception("! agents were not warmed")

    async def _warm(self) -> None:
        """Teach the engines every agent version that may answer a call from now on."""
        agents = await self.directory.all_agents()
        self.warmth.learn(agents)
        for agent in agents:
            if agent.context not in self._warmed and await self._warm_agent(agent):
                self._warmed[agent.context] = agent
        self._forget_all_but(agents)

    def _forget_all_but(self, agents: Sequence[Agent]) -> None:
        current = {agent.context for agent in agents}
        retired = [context for context in self._warmed if context not in current]
        for context in retired[:-MOST_RETIRED]:
            del self._warmed[context]
        kept = [*agents, *self._warmed.values()]
        self.composer.keep(kept)
        self.recogniser.keep({agent.context for agent in kept})

    async def _warm_agent(self, agent: Agent) -> bool:
        known, spoken = await asyncio.gather(self._prepare(agent), self.composer.warm(agent))
        await asyncio.to_thread(redact.warm, agent.language)
        if known and spoken:
            log.info("= %s version %d is warm", agent.name, agent.version)
        return known and spoken

    async def _prepare(self, agent: Agent) -> bool:
        """What its callers' words are understood by; whether its knowledge is there."""
        known = await self.search.preload(agent.knowledge, agent.knowledge_version)
        texts = self.search.texts(agent.knowledge, agent.knowledge_version)
        await self.recogniser.prepare(agent, texts)
        if agent.knowledge and (note := self._embedder.note_on(agent.language)):
            self._seldom.warn(log, agent.context, "! %s: %s", agent.name, note)
        return known

    def _metrics_for(self, authorization: str) -> bytes | None:
        """``GET /metrics``; None for whoever may not read it."""
        host, secret = self._settings.worker.host, partial(self._settings.secret, METRICS_SECRET)
        return self._exporter.render() if may_read(host, authorization, secret) else None

    async def close(self) -> None:
        """Let go of everything."""
        self._server.close()
        if self._tracer is not None:
            await asyncio.to_thread(self._tracer.close)
        if self.disk is not None:
            await asyncio.to_thread(self.disk.close)
        await self.past.close()
        await self.directory.close()
        await self.search.close()
