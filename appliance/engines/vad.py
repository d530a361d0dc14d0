"""Voice activity: Silero VAD (ONNX, MIT), one batched inference for all calls of a worker.

Every 10 ms the calls that have a whole chunk (32 ms at 8 kHz) are gathered into one batch, which a
thread of its own infers (onnxruntime lets go of the GIL) while the event loop goes on. The model's
weights are taken from the ``silero-vad`` wheel; the package itself, which needs torch, is not.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from appliance.audio import BYTES_PER_SAMPLE, halve_rate
from appliance.errors import UserError

RATE_HZ = 8000
CHUNK_SAMPLES = 256
CHUNK_MS = 32
CONTEXT_SAMPLES = 32
"""Tail of the chunk before, which the model expects in front of each chunk."""
STATE_SIZE = 128
BATCH_EVERY_S = 0.010
LARGEST_BATCH = 256
MOST_PENDING_CHUNKS = 32
"""One second of audio behind: the machine is overloaded, and the oldest is dropped."""

_CHUNK_BYTES = CHUNK_SAMPLES * BYTES_PER_SAMPLE

Scored = Callable[[float, int], None]


def model_path() -> Path:
    """Where the weights lie. Raises UserError when the wheel is not installed."""
    spec = importlib.util.find_spec("silero_vad")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            "The voice activity model is missing: pip install --no-deps silero-vad==6.2.3"
        )
    return Path(spec.submodule_search_locations[0]) / "data" / "silero_vad.onnx"


class VadSlot:
    """One call's audio on its way through the detector, and the model's memory of it."""

    def __init__(self, rate_hz: int, on_score: Scored, ready: asyncio.Event) -> None:
        self._ready = ready
        self._halve = rate_hz == 2 * RATE_HZ
        self.on_score = on_score
        self.pending = bytearray()
        self.dropped = 0
        """Chunks dropped since the last score, whose time that score must count."""
        self.context: NDArray[np.float32] = np.zeros(CONTEXT_SAMPLES, np.float32)
        self.state: NDArray[np.float32] = np.zeros((2, STATE_SIZE), np.float32)

    def feed(self, frame: bytes) -> None:
        """Take L16 audio of any length; scores follow through ``on_score(probability, chunk_ms)``."""
        if self._halve:
            frame = halve_rate(np.frombuffer(frame, "<i2")).tobytes()
        self.pending += frame
        if len(self.pending) > MOST_PENDING_CHUNKS * _CHUNK_BYTES:
            del self.pending[:_CHUNK_BYTES]
            self.dropped += 1
        if len(self.pending) >= _CHUNK_BYTES:
            self._ready.set()


class VoiceActivity:
    """The detector of one worker."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(model_path()), options)
        self._rate = np.array(RATE_HZ, np.int64)
        self._slots: set[VadSlot] = set()
        self._ready = asyncio.Event()
        """Set when a slot has a whole chunk."""
        self._thread = ThreadPoolExecutor(1, "vad")

    def open(self, rate_hz: int, on_score: Scored) -> VadSlot:
        """Start scoring one call; ``on_score`` is called on the event loop for each chunk."""
        slot = VadSlot(rate_hz, on_score, self._ready)
        self._slots.add(slot)
        return slot

    def close(self, slot: VadSlot) -> None:
        """Stop scoring it."""
        self._slots.discard(slot)

    async def run(self) -> None:
        """Score until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self._ready.wait()
            # Gather what comes within the next ms of many calls; one call alone does not wait.
            due = max(due + BATCH_EVERY_S, loop.time())
            await asyncio.sleep(due - loop.time())
            ready = [s for s in self._slots if len(s.pending) >= _CHUNK_BYTES]
            if not ready:
                self._ready.clear()
                continue
            batch = ready[:LARGEST_BATCH]
            chunks = [bytes(slot.pending[:_CHUNK_BYTES]) for slot in batch]
            for slot in batch:
                del slot.pending[:_CHUNK_BYTES]
            scores = await loop.run_in_executor(self._thread, self._infer, batch, chunks)
            for slot, score in zip(batch, scores, strict=True):
                if slot in self._slots:
                    lost, slot.dropped = slot.dropped, 0
                    slot.on_score(score, CHUNK_MS * (1 + lost))

    def _infer(self, batch: list[VadSlot], chunks: list[bytes]) -> list[float]:
        """On the detector's thread: speech probabilities, and the slots' memory moved on."""
        samples = np.frombuffer(b"".join(chunks), "<i2").reshape(len(batch), -1)
        audio = samples.astype(np.float32) / np.float32(32768)
        context = np.stack([slot.context for slot in batch])
        state = np.stack([slot.state for slot in batch], axis=1)
        scores, state = self._session.run(
            None,
            {"input": np.concatenate((context, audio), axis=1), "state": state, "sr": self._rate},
        )
        for row, slot in enumerate(batch):
            slot.context = audio[row, -CONTEXT_SAMPLES:]
            slot.state = state[:, row]
        return [float(score) for score in scores[:, 0]]
