"""Pipecat services on the appliance's own engine servers: `ivr stt`, `ivr tts`, and no cloud.

docs/wires.md sections 2 and 3 are what they speak.
"""

# mypy: ignore-errors
# ^ its packages live in an environment of its own
import asyncio
import json
from collections.abc import AsyncGenerator

import aiohttp
from loguru import logger
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterimTranscriptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.settings import STTSettings, TTSSettings
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.utils.time import time_now_iso8601

RATE_HZ = 8000
PRE_ROLL_BYTES = RATE_HZ * 2 * 500 // 1000
"""The detector speaks up some 200 ms after the caller did; the recogniser hears those too."""
CONTEXT = "pipecat-bot.1.0"
CONTEXT_TIMEOUT_S = 30
SPEECH_TIMEOUT_S = 15
STT_P99_S = 0.3


def headers_of(key: str) -> dict[str, str]:
    """What every request to a server brings that asks for ``key``; empty: it asks for none."""
    return {"Authorization": f"Bearer {key}"} if key else {}


class ApplianceStt(STTService):
    """Streams each utterance to `ivr stt`, from the detector's start to its stop."""

    def __init__(
        self, url: str, key: str, http: aiohttp.ClientSession, language: str, texts: list[str]
    ) -> None:
        """``texts``: sentences of what callers will talk about; they make the vocabulary of
        recognisers that need one."""
        super().__init__(
            sample_rate=RATE_HZ,
            ttfs_p99_latency=STT_P99_S,
            settings=STTSettings(model="appliance", language=None),
        )
        self._url = url.rstrip("/")
        self._headers = headers_of(key)
        self._http = http
        self._language = language
        self._texts = texts
        self._utterance = 0
        self._speaking = False
        self._before = bytearray()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task | None = None

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self._teach()
        self._socket = await self._http.ws_connect(self._url + "/v1/stream", headers=self._headers)
        opening = {"type": "open", "call_id": self.name, "rate": RATE_HZ, "context": CONTEXT}
        await self._socket.send_json({**opening, "language": self._language})
        ready = await self._socket.receive_json(timeout=CONTEXT_TIMEOUT_S)
        if ready["type"] != "ready":
            raise RuntimeError(f"the recogniser refuses: {ready.get('message')}")
        self._reader = self.create_task(self._read(), "stt reader")

    async def stop(self, frame: EndFrame) -> None:
        await super().stop(frame)
        await self._end()

    async def cancel(self, frame: CancelFrame) -> None:
        await super().cancel(frame)
        await self._end()

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        if self._speaking and self._socket is not None and not self._socket.closed:
            await self._socket.send_bytes(audio)
        else:
            self._before += audio
            del self._before[:-PRE_ROLL_BYTES]
        yield None

    async def _handle_vad_user_started_speaking(self, frame: VADUserStartedSpeakingFrame) -> None:
        await super()._handle_vad_user_started_speaking(frame)
        if self._socket is not None and not self._socket.closed:
            self._utterance += 1
            self._speaking = True
            await self._socket.send_json({"type": "start", "utterance": self._utterance})
            await self._socket.send_bytes(bytes(self._before))
            self._before.clear()

    async def _handle_vad_user_stopped_speaking(self, frame: VADUserStoppedSpeakingFrame) -> None:
        await super()._handle_vad_user_stopped_speaking(frame)
        if self._speaking and self._socket is not None and not self._socket.closed:
            self._speaking = False
            self.request_finalize()
            await self._socket.send_json({"type": "finish", "utterance": self._utterance})

    async def _teach(self) -> None:
        url = self._url.replace("ws", "http", 1) + f"/v1/contexts/{CONTEXT}"
        body = {"language": self._language, "texts": self._texts}
        how = {"headers": self._headers, "timeout": aiohttp.ClientTimeout(total=CONTEXT_TIMEOUT_S)}
        async with self._http.put(url, json=body, **how) as response:
            response.raise_for_status()

    async def _read(self) -> None:
        assert self._socket is not None
        async for received in self._socket:
            if received.type is not aiohttp.WSMsgType.TEXT:
                continue
            message = json.loads(received.data)
            text = message.get("text", "")
            if message["type"] == "partial":
                await self.push_frame(InterimTranscriptionFrame(text, "", time_now_iso8601()))
            elif message["type"] == "final" and text:
                logger.info(f"< caller: {text}")
                self.confirm_finalize()
                await self.push_frame(TranscriptionFrame(text, "", time_now_iso8601()))

    async def _end(self) -> None:
        if self._reader is not None:
            await self.cancel_task(self._reader)
            self._reader = None
        if self._socket is not None:
            await self._socket.close()


class ApplianceTts(TTSService):
    """`ivr tts`, streamed as it comes; any server of OpenAI's speech API that gives pcm will do."""

    def __init__(
        self, url: str, key: str, http: aiohttp.ClientSession, voice: str, language: str
    ) -> None:
        super().__init__(
            sample_rate=RATE_HZ,
            push_start_frame=True,
            push_stop_frames=True,
            settings=TTSSettings(model="appliance", voice=voice, language=None),
        )
        self._url = url.rstrip("/") + "/v1/audio/speech"
        self._headers = headers_of(key)
        self._http = http
        self._body = {"model": "tts", "voice": voice, "language": language,
                      "response_format": "pcm", "sample_rate": RATE_HZ}  # fmt: skip

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        logger.info(f"> bot: {text}")
        how = {"headers": self._headers, "timeout": aiohttp.ClientTimeout(total=SPEECH_TIMEOUT_S)}
        body = {**self._body, "input": text}
        async with self._http.post(self._url, json=body, **how) as response:
            response.raise_for_status()
            odd = b""
            async for chunk in response.content.iter_any():
                whole = odd + chunk
                odd = whole[len(whole) & ~1 :]
                yield TTSAudioRawFrame(whole[: len(whole) & ~1], RATE_HZ, 1, context_id=context_id)


class FixedAnswer(FrameProcessor):
    """In place of a language model: always the same answer, in which ``{said}`` is what was said."""

    def __init__(self, answer: str) -> None:
        super().__init__()
        self._answer = answer

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        messages = reversed(frame.context.get_messages())
        said = next((m["content"] for m in messages if m["role"] == "user"), "nothing")
        await self.push_frame(LLMFullResponseStartFrame())
        await self.push_frame(LLMTextFrame(self._answer.replace("{said}", str(said))))
        await self.push_frame(LLMFullResponseEndFrame())
