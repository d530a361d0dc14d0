"""A Pipecat bot that answers telephone calls through the appliance.

It is an ordinary Twilio bot: FastAPI, a websocket, Pipecat's stock TwilioFrameSerializer. The
appliance connects to ``ws://HOST:PORT/ws`` for each call of an agent whose ``bot_url`` that is.
Settings are environment variables; README.md lists them.
"""

# mypy: ignore-errors
# ^ its packages live in an environment of its own
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner
from services import RATE_HZ, ApplianceStt, ApplianceTts, FixedAnswer

VAD_STOP_S = 0.3
TURN_WAIT_S = 0.2
"""How long after the detector's stop a turn may still go on."""
DEFAULT_TEXTS = Path(__file__).with_name("texts.txt")


def setting(name: str, default: str) -> str:
    """An environment variable of the bot."""
    return os.environ.get(f"BOT_{name}", default)


def vocabulary() -> list[str]:
    """Sentences of what callers talk about."""
    return Path(setting("TEXTS", str(DEFAULT_TEXTS))).read_text().splitlines()


def language_model():
    """An OpenAI-compatible server if there is one, else the fixed answer."""
    url = setting("LLM_URL", "")
    if not url:
        return FixedAnswer(setting("ANSWER", "You said: {said}."))
    return OpenAILLMService(
        api_key=setting("LLM_KEY", "none"),
        base_url=url,
        settings=OpenAILLMService.Settings(
            model=setting("LLM_MODEL", "default"),
            system_instruction=setting("PROMPT", "You answer the telephone in short sentences."),
        ),
    )


def serializer(stream_sid: str, call_sid: str) -> TwilioFrameSerializer:
    """Pipecat's own, but for its hang-up over Twilio's REST API: closing the websocket does it."""
    params = TwilioFrameSerializer.InputParams(auto_hang_up=False)
    return TwilioFrameSerializer(stream_sid, call_sid, params=params)


async def converse(socket: WebSocket, http: aiohttp.ClientSession) -> None:
    """One call, from its start message to the hang-up."""
    kind, call = await parse_telephony_websocket(socket)
    logger.info(f"= a {kind} call from {call.from_number} to {call.to_number}")
    transport = FastAPIWebsocketTransport(
        websocket=socket,
        params=FastAPIWebsocketParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            serializer=serializer(call.stream_id, call.call_id),
        ),
    )
    language = setting("LANGUAGE", "en")
    url, key = setting("STT_URL", "ws://127.0.0.1:7101"), setting("STT_KEY", "")
    stt = ApplianceStt(url, key, http, language, vocabulary())
    url, key = setting("TTS_URL", "http://127.0.0.1:7201"), setting("TTS_KEY", "")
    tts = ApplianceTts(url, key, http, setting("VOICE", "slt"), language)
    aggregators = LLMContextAggregatorPair(
        LLMContext(),
        user_params=LLMUserAggregatorParams(
            vad_analyzer=SileroVADAnalyzer(params=VADParams(stop_secs=VAD_STOP_S)),
            user_turn_strategies=UserTurnStrategies(
                start=[VADUserTurnStartStrategy()],
                stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=TURN_WAIT_S)],
            ),
        ),
    )
    worker = PipelineWorker(
        Pipeline(
            [
                transport.input(),
                stt,
                aggregators.user(),
                language_model(),
                tts,
                transport.output(),
                aggregators.assistant(),
            ]
        ),
        params=PipelineParams(audio_in_sample_rate=RATE_HZ, audio_out_sample_rate=RATE_HZ),
        enable_rtvi=False,
        idle_timeout_secs=None,
    )

    @transport.event_handler("on_client_connected")
    async def connected(*_: object) -> None:
        await worker.queue_frames([TTSSpeakFrame(setting("GREETING", "Hello, this is your bot."))])

    @transport.event_handler("on_client_disconnected")
    async def disconnected(*_: object) -> None:
        logger.info("= the call is over")
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False, handle_sigterm=False)
    await runner.add_workers(worker)
    await runner.run()


def make_app() -> FastAPI:
    """The server: ``/ws`` for calls, ``/health`` for whoever watches it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        async with aiohttp.ClientSession() as http:
            app.state.http = http
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.websocket("/ws")
    async def call(socket: WebSocket) -> None:
        await socket.accept()
        await converse(socket, app.state.http)

    return app


if __name__ == "__main__":
    logger.remove()
    logger.add(sys.stderr, level=setting("LOG", "INFO"))
    host, port = setting("HOST", "127.0.0.1"), int(setting("PORT", "7860"))
    uvicorn.run(make_app(), host=host, port=port, log_level="warning")
