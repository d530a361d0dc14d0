"""Several servers of one stage: least busy first, the slow and the dead taken out and retried.

A pool knows its servers' health from two sources: their ``/health``, asked once a second, and the
calls themselves, which report a failure the moment it hurts. A server that failed is out until its
next good health answer, and a server that fails again soon after stays out for longer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import aiohttp
import orjson

from appliance.engines.door import WANTED
from appliance.engines.http import read_at_most
from appliance.engines.key import KeyFor, headers_of, no_key
from appliance.errors import EngineError
from appliance.languages import primary
from appliance.metrics.buckets import Buckets
from appliance.urls import http_of

log = logging.getLogger(__name__)

HEALTH_EVERY_S = 1.0
HEALTH_TIMEOUT_S = 1.0
FIRST_REST_S = 0.5
LONGEST_REST_S = 15.0
GOOD_FOR_S = 30.0
"""A server without trouble for this long is trusted as if it had never failed."""
HEALTH_BYTES = 1 << 18
"""A voice server names its voices; a longer answer is none."""
MOST_USES = 1_000_000
"""A server says no more of itself, and nothing below 0: else it drew all calls, or none."""
RECENT_S = 10.0
MOST_RECENT = 256
FEW_RECENT = 8
"""Fewer uses than this say nothing about how busy a stage is."""
UNKNOWN_KEY = (401, 403)
TEACH_TIMEOUT_S = 60.0
"""For all that a server must know; then it is used with what it knows."""

Teach = Callable[["Server"], Awaitable[None]]
"""Gives a server what it must know before its first use; handles its own trouble."""


class Health(Enum):
    """What a pool thinks of a server."""

    UNKNOWN = "unknown"
    """Not asked yet: used only when no other is known to be up."""
    UP = "up"
    DOWN = "down"


@dataclass(eq=False)
class Server:
    """One engine server as its pool sees it."""

    url: str
    health: Health = Health.UNKNOWN
    languages: frozenset[str] = frozenset({"*"})
    voices: frozenset[str] = frozenset()
    """What a TTS server can sound like; empty where it does not say."""
    engine: str = ""
    """As it calls itself; empty where it does not say (vLLM)."""
    capacity: int = 0
    """Uses at once that it says it carries; 0 where it does not say."""
    in_flight: int = 0
    """Uses by this process."""
    reported: int = 0
    """Uses by everybody, as its own /health says."""
    rest_s: float = field(default=FIRST_REST_S)
    rests_until: float = 0.0
    failed_at: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Of every request: the key that it asks for."""

    def __post_init__(self) -> None:
        self.json_headers = {**self.headers, "Content-Type": "application/json"}

    @property
    def http_url(self) -> str:
        """Its base URL for plain HTTP, also when the engine speaks websocket."""
        return http_of(self.url)

    @property
    def is_full(self) -> bool:
        """As far as is known: it might refuse one use more."""
        return 0 < self.capacity <= max(self.in_flight, self.reported)

    def serves(self, language: str) -> bool:
        """Whether it can work in this language (BCP 47); ``*`` asks for none in particular."""
        if "*" in (language, *self.languages):
            return True
        return language in self.languages or primary(language) in self.languages


class Pool:
    """The servers of one stage."""

    def __init__(
        self,
        stage: str,
        urls: tuple[str, ...],
        http: aiohttp.ClientSession,
        key_for: KeyFor = no_key,
    ) -> None:
        self.stage = stage
        self._key_for = key_for
        self.servers = [self._server(url) for url in urls]
        self._fixed = frozenset(urls)
        self._http = http
        self._recent: deque[tuple[float, float]] = deque(maxlen=MOST_RECENT)
        self.failures = 0
        """Times that a server was taken out."""
        self.first_answers = Buckets()
        """What :meth:`took` was told, in seconds."""
        self._teach: Teach | None = None
        self._asking: set[Server] = set()

    def teach_by(self, teach: Teach) -> None:
        """Have every server taught before it is used, also when it comes back as a new process: so
        a server that was started for the peak has its first call as quickly as any other."""
        self._teach = teach

    def follow(self, urls: Iterable[str]) -> None:
        """Take up what a roster names beside the servers of the settings; what it names no more is
        asked nothing new, and what is under way there goes on."""
        wanted = self._fixed | set(urls)
        known = {server.url for server in self.servers}
        self.servers = [server for server in self.servers if server.url in wanted]
        self.servers += [self._server(url) for url in sorted(wanted - known)]

    def _server(self, url: str) -> Server:
        return Server(url, headers=headers_of(self._key_for(url)))

    def pick(
        self,
        language: str = "*",
        avoid: frozenset[Server] = frozenset(),
        voice: str = "",
        prefer: Sequence[str] = (),
    ) -> Server:
        """The least busy server that is up and serves ``language``; one that has ``voice`` goes
        before any other, since a caller hears the difference; then the engines of ``prefer``, in
        their order, before all others.

        Raises EngineError when there is none; ``avoid`` are those already tried for this use.
        """
        able = [s for s in self.servers if s not in avoid and s.serves(language)]
        usable = [s for s in able if s.health is Health.UP] or [
            s for s in able if s.health is Health.UNKNOWN
        ]
        if not usable:
            what = "" if language == "*" else f" for language {language!r}"
            raise EngineError(self.stage, f"no server is up{what}")
        usable = [s for s in usable if voice in s.voices] or usable
        for engine in prefer:
            if preferred := [s for s in usable if s.engine == engine]:
                usable = preferred
                break
        return min(usable, key=lambda s: (s.is_full, max(s.in_flight, s.reported), s.in_flight))

    def took(self, seconds: float) -> None:
        """A use had its first answer (final words, first token, first audio) after ``seconds``."""
        self._recent.append((asyncio.get_running_loop().time(), seconds))
        self.first_answers.observe(seconds)

    def recent_s(self, quantile: float = 0.95) -> float | None:
        """What the first answers of the last 10 s took, at ``quantile``; None for too few of them."""
        since = asyncio.get_running_loop().time() - RECENT_S
        took = sorted(seconds for at, seconds in self._recent if at >= since)
        return took[int(quantile * (len(took) - 1))] if len(took) >= FEW_RECENT else None

    def is_up(self) -> bool:
        """Whether at least one server is known to be up."""
        return any(s.health is Health.UP for s in self.servers)

    @contextmanager
    def use(self, server: Server) -> Iterator[None]:
        """Count one use of ``server`` for as long as the block lasts."""
        server.in_flight += 1
        try:
            yield
        finally:
            server.in_flight -= 1

    def failed(self, server: Server, why: str) -> None:
        """Take a server out: it broke, or was too slow, in the middle of a use."""
        now = asyncio.get_running_loop().time()
        if server.health is Health.UP:
            self.failures += 1
            log.warning("! %s %s is out: %s", self.stage, server.url, why)
        elif server.health is Health.UNKNOWN:  # a place where none runs yet, as often as not
            log.info("= %s %s is not there: %s", self.stage, server.url, why)
        if now - server.failed_at > GOOD_FOR_S:
            server.rest_s = FIRST_REST_S
        else:
            server.rest_s = min(server.rest_s * 2, LONGEST_REST_S)
        server.health = Health.DOWN
        server.failed_at = now
        server.rests_until = now + server.rest_s

    async def run(self) -> None:
        """Ask every server's health once a second, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                for server in self.servers:
                    if server not in self._asking:  # it is being taught, or slow to answer
                        tasks.create_task(self._check(server))
                await asyncio.sleep(HEALTH_EVERY_S)

    async def check(self) -> None:
        """Ask every server's health once."""
        await asyncio.gather(*(self._check(server) for server in self.servers))

    async def _check(self, server: Server) -> None:
        self._asking.add(server)
        try:
            await self._ask(server)
        except Exception:  # the border of a job: one strange server ends no worker
            log.exception("! %s %s was not asked for its health", self.stage, server.url)
            self.failed(server, "health: could not be asked")
        finally:
            self._asking.discard(server)

    async def _ask(self, server: Server) -> None:
        timeout, url = aiohttp.ClientTimeout(total=HEALTH_TIMEOUT_S), server.http_url + "/health"
        try:
            async with self._http.get(url, timeout=timeout, headers=server.headers) as response:
                body = await read_at_most(response, HEALTH_BYTES)
                good = response.status < 500
        except (
            aiohttp.ClientError,
            TimeoutError,
            ValueError,
        ) as e:  # also a name no resolver takes
            if server.health is not Health.DOWN:
                self.failed(server, f"health: {type(e).__name__}")
            return
        said = _said(body)
        if response.status in UNKNOWN_KEY or said.get("key") == WANTED:
            if server.health is not Health.DOWN:
                self.failed(server, "it asks for another key than ours: see engines.key")
        elif good and asyncio.get_running_loop().time() >= server.rests_until:
            _read(server, said)
            if server.health is not Health.UP:
                await self._take_in(server)
        elif not good and server.health is Health.UP:
            self.failed(server, f"health: status {response.status}")

    async def _take_in(self, server: Server) -> None:
        if self._teach is not None:
            failed_at = server.failed_at
            try:
                async with asyncio.timeout(TEACH_TIMEOUT_S):
                    await self._teach(server)
            except TimeoutError:
                log.warning("! %s %s is slow to learn; it is used", self.stage, server.url)
            if server.failed_at != failed_at:
                return  # a use of it broke meanwhile
        if server.health is Health.DOWN:
            log.info("= %s %s is back", self.stage, server.url)
        server.health = Health.UP


def _said(body: bytes) -> dict[str, Any]:
    """What a server says of itself; nothing where it is none of ours (vLLM)."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}


def _read(server: Server, said: Mapping[str, Any]) -> None:
    """Take what our own engine servers say of themselves."""
    try:
        server.languages = frozenset(map(str, said["languages"]))
        server.voices = frozenset(map(str, said.get("voices", ())))
        server.reported = min(MOST_USES, max(0, int(said["in_flight"])))
        server.engine = str(said.get("engine", ""))
        server.capacity = min(MOST_USES, max(0, int(said.get("capacity", 0))))
    except (KeyError, TypeError, ValueError):
        return
