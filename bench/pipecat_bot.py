"""A Pipecat voice bot on the emulated engines; runs in .venv-pipecat, never in the appliance's.

Configured for speed: VAD stop 200 ms, the turn ends with the VAD as soon as the final transcript
is there (no further wait, no turn model), raw 8 kHz L16 both ways so that nothing is resampled,
streaming recogniser, sentences to the voice as Pipecat cuts them.

``python bench/pipecat_bot.py PORT STT_URL LLM_URL TTS_URL``; callers use the media websocket of
docs/wires.md §1, except that the bot's audio comes back on it, with ``{"type":"clear"}`` when an
interruption throws away what was sent ahead.
"""

# mypy: ignore-errors
# ^ its packages live in .venv-pipecat
import asyncio
import json
import sys
from collections.abc import AsyncGenerator

import aiohttp
import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.serializers.base_serializer import FrameSerializer
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.services.settings import STTSettings, TTSSettings
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.utils.time import time_now_iso8601
from pipecat.workers.runner import WorkerRunner

RATE_HZ = 8000
GREETING = "Welcome to Sunrise Broadband. How can I help you?"
STT_P99_S = 0.05
VAD_STOP_S = 0.2


class L16Serializer(FrameSerializer):
    """Raw 20 ms L16 in, raw L16 out, interruptions as a text message."""

    async def serialize(self, frame: Frame) -> str | bytes | None:
        if isinstance(frame, InterruptionFrame):
            return '{"type":"clear"}'
        return frame.audio if isinstance(frame, OutputAudioRawFrame) else None

    async def deserialize(self, data: str | bytes) -> Frame | None:
        if isinstance(data, str):
            return None
        return InputAudioRawFrame(audio=data, sample_rate=RATE_HZ, num_channels=1)


class EmulatedStt(STTService):
    """Streams every frame to the emulated recogniser; finals are asked for when the VAD stops."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        super().__init__(
            sample_rate=RATE_HZ,
            ttfs_p99_latency=STT_P99_S,
            settings=STTSettings(model="emulated", language=None),
        )
        self._url = url
        self._http = http
        self._utterance = 0
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task | None = None

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        self._socket = await self._http.ws_connect(self._url + "/v1/stream")
        opening = {"type": "open", "call_id": self.name, "rate": RATE_HZ, "language": "en"}
        await self._socket.send_json({**opening, "context": "bench.1.0"})
        await self._begin()
        self._reader = self.create_task(self._read(), "stt reader")

    async def stop(self, frame: EndFrame) -> None:
        await super().stop(frame)
        await self._end()

    async def cancel(self, frame: CancelFrame) -> None:
        await super().cancel(frame)
        await self._end()

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        if self._socket is not None and not self._socket.closed:
            await self._socket.send_bytes(audio)
        yield None

    async def _handle_vad_user_stopped_speaking(self, frame: VADUserStoppedSpeakingFrame) -> None:
        await super()._handle_vad_user_stopped_speaking(frame)
        if self._socket is not None and not self._socket.closed:
            self.request_finalize()
            await self._socket.send_json({"type": "finish", "utterance": self._utterance})
            await self._begin()

    async def _begin(self) -> None:
        self._utterance += 1
        assert self._socket is not None
        await self._socket.send_json({"type": "start", "utterance": self._utterance})

    async def _read(self) -> None:
        assert self._socket is not None
        async for received in self._socket:
            message = json.loads(received.data)
            text = message.get("text", "")
            if message["type"] == "partial":
                await self.push_frame(InterimTranscriptionFrame(text, "", time_now_iso8601()))
            elif message["type"] == "final" and text:
                self.confirm_finalize()
                await self.push_frame(TranscriptionFrame(text, "", time_now_iso8601()))

    async def _end(self) -> None:
        if self._reader is not None:
            await self.cancel_task(self._reader)
            self._reader = None
        if self._socket is not None:
            await self._socket.close()


class EmulatedTts(TTSService):
    """The emulated voice at 8 kHz, streamed as it comes."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        super().__init__(
            sample_rate=RATE_HZ,
            push_start_frame=True,
            push_stop_frames=True,
            settings=TTSSettings(model="emulated", voice="emulated", language=None),
        )
        self._url = url + "/v1/audio/speech"
        self._http = http

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        body = {"model": "emulated", "input": text, "voice": "emulated", "sample_rate": RATE_HZ}
        async with self._http.post(self._url, json={**body, "response_format": "pcm"}) as response:
            response.raise_for_status()
            odd = b""
            async for chunk in response.content.iter_any():
                whole = odd + chunk
                odd = whole[len(whole) & ~1 :]
                yield TTSAudioRawFrame(whole[: len(whole) & ~1], RATE_HZ, 1, context_id=context_id)


def make_app(stt_url: str, llm_url: str, tts_url: str) -> FastAPI:
    """The bot: one pipeline a connection on ``/call``."""
    app = FastAPI()
    http: list[aiohttp.ClientSession] = []

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.websocket("/call")
    async def call(socket: WebSocket) -> None:
        await socket.accept()
        await socket.receive_text()  # the offer
        await socket.send_text('{"type":"answer"}')
        if not http:
            http.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        await _converse(socket, http[0], stt_url, llm_url, tts_url)

    return app


async def _converse(
    socket: WebSocket, http: aiohttp.ClientSession, stt_url: str, llm_url: str, tts_url: str
) -> None:
    transport = FastAPIWebsocketTransport(
        websocket=socket,
        params=FastAPIWebsocketParams(
            audio_in_enabled=True, audio_out_enabled=True, serializer=L16Serializer()
        ),
    )
    llm = OpenAILLMService(
        api_key="none",
        base_url=llm_url + "/v1",
        settings=OpenAILLMService.Settings(
            model="emulated", system_instruction="You answer the telephone in short sentences."
        ),
    )
    aggregators = LLMContextAggregatorPair(
        LLMContext(),
        user_params=LLMUserAggregatorParams(
            vad_analyzer=SileroVADAnalyzer(params=VADParams(stop_secs=VAD_STOP_S)),
            user_turn_strategies=UserTurnStrategies(
                start=[VADUserTurnStartStrategy()],
                stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.0)],
            ),
        ),
    )
    pipeline = Pipeline(
        [
            transport.input(),
            EmulatedStt(stt_url, http),
            aggregators.user(),
            llm,
            EmulatedTts(tts_url, http),
            transport.output(),
            aggregators.assistant(),
        ]
    )
    worker = PipelineWorker(
        pipeline,
        params=PipelineParams(audio_in_sample_rate=RATE_HZ, audio_out_sample_rate=RATE_HZ),
        enable_rtvi=False,
        enable_turn_tracking=False,
        idle_timeout_secs=None,
    )

    @transport.event_handler("on_client_connected")
    async def connected(*_: object) -> None:
        await worker.queue_frames([TTSSpeakFrame(GREETING)])

    @transport.event_handler("on_client_disconnected")
    async def disconnected(*_: object) -> None:
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False, handle_sigterm=False)
    await runner.add_workers(worker)
    await runner.run()


if __name__ == "__main__":
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    port, *urls = sys.argv[1:]
    uvicorn.run(
        make_app(*urls),
        host="127.0.0.1",
        port=int(port),
        log_level="warning",
        ws_per_message_deflate=False,
    )
