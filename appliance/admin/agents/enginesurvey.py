"""Which engine servers are there now, and what they say they can: voices, languages, models."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import orjson

from appliance.engines.clients import Clients
from appliance.engines.http import read_at_most
from appliance.engines.pool import Health, Server
from appliance.languages import primary
from appliance.settings import Settings

ASK_TIMEOUT_S = 2.0
ANSWER_BYTES = 1 << 18
"""A server's list of voices or models; a longer one is none."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """One voice of one TTS engine."""

    voice: str
    language: str
    """BCP 47; ``*``: not told."""
    engine: str

    def speaks(self, language: str) -> bool:
        return self.language == "*" or primary(self.language) == primary(language)


@dataclass(frozen=True, slots=True)
class Listener:
    """One STT engine."""

    engine: str
    languages: frozenset[str]

    def hears(self, language: str) -> bool:
        return bool({"*", language, primary(language)} & self.languages)


@dataclass(frozen=True, slots=True)
class Survey:
    """What is there now. ``away``: stages (``stt``, ``tts``, ``llm``) of which some server does not
    answer, so that more may be possible than is seen."""

    speakers: tuple[Speaker, ...] = ()
    listeners: tuple[Listener, ...] = ()
    models: tuple[str, ...] = ()
    """That the first language model's servers offer, LoRA adapters included."""
    has_llm: bool = False
    """The settings name a language model."""
    away: frozenset[str] = frozenset()

    @property
    def tts_engines(self) -> frozenset[str]:
        return frozenset(speaker.engine for speaker in self.speakers if speaker.engine)

    @property
    def stt_engines(self) -> frozenset[str]:
        return frozenset(listener.engine for listener in self.listeners if listener.engine)

    def voices_of(self, language: str) -> tuple[str, ...]:
        """The voices that speak ``language``, in the order of the servers."""
        return tuple(dict.fromkeys(s.voice for s in self.speakers if s.speaks(language)))


async def survey(settings: Settings, http: aiohttp.ClientSession) -> Survey:
    """Ask every server once, some 2 s at most; never raises: who does not answer is away."""
    clients = Clients(settings, http)
    tts, stt = clients.pool("tts", settings.engines.tts), clients.pool("stt", settings.engines.stt)
    writers = clients.models
    llm = next((pool for pool in clients.pools if pool.stage == "llm"), None)
    away = set()
    try:
        async with asyncio.timeout(2 * ASK_TIMEOUT_S):
            await clients.find_servers()
    except TimeoutError:
        pass  # those that have answered by now are up
    found = {
        pool.stage: [s for s in pool.servers if s.health is Health.UP] for pool in clients.pools
    }
    for pool in clients.pools:
        if len(found[pool.stage]) < len(pool.servers) or not pool.servers:
            away.add(pool.stage)
    voices, models = await asyncio.gather(
        _voices(http, found[tts.stage]), _models(http, found.get("llm", []))
    )
    listeners = dict.fromkeys(Listener(s.engine, s.languages) for s in found[stt.stage])
    return Survey(voices, tuple(listeners), models, bool(writers and llm), frozenset(away))


async def _voices(http: aiohttp.ClientSession, servers: Sequence[Server]) -> tuple[Speaker, ...]:
    lists = await asyncio.gather(*(_ask(http, s, "/v1/voices") for s in servers))
    found: list[Speaker] = []
    for server, said in zip(servers, lists, strict=True):
        listed = said.get("voices")
        pairs = [
            (str(voice["id"]), str(voice.get("language", "*")))
            for voice in (listed if isinstance(listed, list) else ())
            if isinstance(voice, dict) and "id" in voice
        ]
        pairs = pairs or [(v, lang) for v in sorted(server.voices) for lang in server.languages]
        found += [Speaker(voice, language, server.engine) for voice, language in pairs]
    return tuple(dict.fromkeys(found))


async def _models(http: aiohttp.ClientSession, servers: Sequence[Server]) -> tuple[str, ...]:
    lists = await asyncio.gather(*(_ask(http, s, "/v1/models") for s in servers))
    names: list[str] = []
    for said in lists:
        listed = said.get("data")
        for model in listed if isinstance(listed, list) else ():
            if isinstance(model, dict) and "id" in model:
                names.append(str(model["id"]))
    return tuple(dict.fromkeys(names))


async def _ask(http: aiohttp.ClientSession, server: Server, path: str) -> dict[str, object]:
    """The JSON object at ``path`` of a server; empty where there is none to be had."""
    timeout, url = aiohttp.ClientTimeout(total=ASK_TIMEOUT_S), server.http_url + path
    try:
        async with http.get(url, timeout=timeout, headers=server.headers) as response:
            if response.status != 200:
                return {}
            said = orjson.loads(await read_at_most(response, ANSWER_BYTES))
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}
