"""``ivr tts``: the voice server, in the shape of OpenAI's speech API. docs/wires.md, section 3."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from appliance.checkpoints.manifest import folder_of
from appliance.errors import UserError
from appliance.languages import primary
from appliance.models import http, voice_cache
from appliance.models.engine import ModelOptions, TtsEngine
from appliance.models.model_watch import guarding
from appliance.models.shaping import Shaper
from appliance.models.voice_cache import VoiceCache
from appliance.settings import Settings

_log = logging.getLogger(__name__)

LONGEST_TEXT = 2000
"""Letters; a phrase of a call has about 100."""
CACHE_FOLDER = "voices"
"""Under ``cache_dir``: phrases that were asked for more than once."""
RATES_HZ = (8000, 16_000, 22_050, 24_000, 44_100, 48_000)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True, slots=True)
class Order:
    """One phrase to be spoken."""

    text: str
    voice: str
    rate_hz: int


class Server:
    """The routes of the voice server."""

    def __init__(self, engine: TtsEngine, cache: VoiceCache | None = None) -> None:
        """``cache`` keeps repeated phrases, for an engine with an identity."""
        self._engine = engine
        self._cache = cache if engine.identity else None
        self._languages = tuple(dict.fromkeys(voice.language for voice in engine.voices))
        names = tuple(voice.id for voice in engine.voices)
        self._load = http.Load("tts", engine.name, self._languages, engine.capacity, names)
        self._told: set[str] = set()
        """Unknown voices that were logged already."""

    def application(self) -> web.Application:
        app = http.application(self._load, request_bytes=64 << 10)
        app.router.add_post("/v1/audio/speech", self._speech)
        app.router.add_get("/v1/voices", self._voices)
        app.cleanup_ctx.append(self._beside)
        return app

    async def _beside(self, app: web.Application) -> AsyncIterator[None]:
        """What runs as long as the server does."""
        async with AsyncExitStack() as stack:
            if self._engine.watch is not None:
                await stack.enter_async_context(guarding(self._engine.watch, self._load))
            yield
        if self._cache is not None:
            await self._cache.flushed()

    async def _voices(self, request: web.Request) -> web.Response:
        return http.reply({"voices": self._engine.voices})

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        order = await self._order(request)
        if self._load.full or self._load.draining.is_set():
            raise http.Refused(503, f"This server speaks {self._load.capacity} phrases at once.")
        self._load.in_flight += 1
        try:
            return await self._stream(request, order)
        finally:
            self._load.in_flight -= 1

    async def _stream(self, request: web.Request, order: Order) -> web.StreamResponse:
        """200 only once there is audio: an engine that fails at the start is a 500, not a silence.

        When it fails later the connection is broken off, so that it never looks like a clean end.
        """
        response = web.StreamResponse()
        response.content_type = "audio/pcm"
        response.enable_chunked_encoding()
        try:
            async with aclosing(self._audio(order)) as audio:
                async for chunk in audio:
                    if not response.prepared:
                        await response.prepare(request)
                    await response.write(chunk)
        except ConnectionError:
            _log.debug("= the worker hung up on a phrase")
            return response
        except Exception:  # the border of a request
            if response.prepared and request.transport:
                _log.exception("! the engine failed in mid-phrase")
                request.transport.abort()
                return response
            raise
        if not response.prepared:
            raise http.Refused(400, "There is nothing in the input that this voice can speak.")
        with suppress(ConnectionError):  # it has hung up while the last words were spoken
            await response.write_eof()
        return response

    async def _audio(self, order: Order) -> AsyncGenerator[bytes, None]:
        """From the cache, or spoken and then kept there."""
        if self._cache is None or len(order.text) > voice_cache.LONGEST_TEXT:
            async with aclosing(self._shaped(order)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        name = voice_cache.key((self._engine.identity, order.voice, order.rate_hz, order.text))
        if (kept := await self._cache.get(name)) is not None:
            yield kept
            return
        parts: list[bytes] = []
        async with aclosing(self._shaped(order)) as chunks:
            async for chunk in chunks:
                parts.append(chunk)
                yield chunk
        self._cache.put(name, b"".join(parts))

    async def _shaped(self, order: Order) -> AsyncGenerator[bytes, None]:
        gain_db = self._engine.gain_db(order.voice)
        shaper = Shaper(self._engine.rate_hz, order.rate_hz, gain_db)
        async with aclosing(self._engine.speak(order.text, order.voice)) as raw:
            async for piece in raw:
                if audio := shaper.feed(piece):
                    yield audio
        if audio := shaper.flush():
            yield audio

    async def _order(self, request: web.Request) -> Order:
        """Check a request. Raises Refused."""
        value = await http.json_object(request)
        text = _CONTROL.sub(" ", http.text_field(value, "input")).strip()
        if not text:
            raise http.Refused(400, "The field input must hold text.")
        if len(text) > LONGEST_TEXT:
            raise http.Refused(413, f"The field input is longer than {LONGEST_TEXT} letters.")
        if http.text_field(value, "response_format", "pcm") != "pcm":
            raise http.Refused(400, "The only response_format is pcm.")
        rate_hz = value.get("sample_rate", 24_000)
        if rate_hz not in RATES_HZ:
            raise http.Refused(400, f"The field sample_rate must be one of {RATES_HZ}.")
        language = http.text_field(value, "language", "")
        return Order(text, self._voice(http.text_field(value, "voice", ""), language), rate_hz)

    def _voice(self, voice: str, language: str) -> str:
        """``voice`` if the engine has it, else the default of ``language``. Raises Refused."""
        if self._engine.has(voice):
            return voice
        wanted = primary(language) or self._languages[0]
        if wanted not in self._languages:
            known = ", ".join(self._languages)
            message = f"{self._engine.name} does not speak {wanted!r}; it speaks {known}."
            raise http.Refused(400, message)
        default = next(known.id for known in self._engine.voices if known.language == wanted)
        if voice and voice not in self._told and len(self._told) < 100:
            self._told.add(voice)
            _log.warning("! there is no voice %.40r; speaking with %s", voice, default)
        return default


def _engine(settings: Settings, name: str, options: ModelOptions) -> TtsEngine:
    """The engine ``name``; imported here, so that a process loads no other. Raises UserError."""
    if name == "coqui":
        if not options.model:
            raise UserError("Name coqui's voice: --model NAME (ivr models list) or a folder.")
        folder = folder_of(settings, options.model)
        from appliance.models.coqui import CoquiEngine

        return CoquiEngine(folder, options)
    if options.model or options.compute_type or options.device == "cuda":
        raise UserError(
            f"{name} has its voices built in and runs on the CPU: leave out --model, "
            "--compute-type and --device."
        )
    if name == "flite":
        from appliance.models.flite import FliteEngine

        return FliteEngine(options)
    if name == "espeak":
        from appliance.models.espeak import EspeakEngine

        return EspeakEngine(options)
    raise UserError(f"There is no voice engine {name!r}; there are flite, espeak and coqui.")


def run(
    settings: Settings, engine: str, host: str, port: int, options: ModelOptions | None = None
) -> None:
    """Serve ``engine`` until SIGTERM. Raises UserError."""

    async def build() -> web.Application:
        cache = VoiceCache(settings.cache_dir / CACHE_FOLDER)
        return Server(_engine(settings, engine, options or ModelOptions()), cache).application()

    http.run(build, host, port, partial(http.access_of, settings, settings.engines.tts))
