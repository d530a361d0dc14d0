"""AI4Bharat's Indic voices: FastPitch and HiFi-GAN by Coqui TTS, batched across calls.

What can be missing (the packages, files, memory, a GPU) is found out at the start, by speaking once
with every voice; that also measures how loud each is.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np

from appliance.errors import UserError
from appliance.models.chunk_plan import windows
from appliance.models.coqui_files import cuda_is_there, told_of
from appliance.models.coqui_voice import CoquiVoice
from appliance.models.engine import ModelOptions, VoiceInfo
from appliance.models.model_watch import ModelWatch
from appliance.models.shaping import SPEECH_DB, Wave, active_db
from appliance.models.speech_batches import SpeechBatches
from appliance.models.speech_schedule import CPU, GPU, Limits
from appliance.models.speech_text import pieces
from appliance.models.voice_folder import voice_folders

_log = logging.getLogger(__name__)

CAPACITY = {"cuda": 64, "cpu": 4}
"""Phrases at once. A CPU core speaks full-size voices twice as fast as they are heard."""
MOST_GAIN_DB = 20.0
"""A voice that is further from the level than this is broken, and is not made louder."""
RECIPE = "1"
"""Part of the identity: raised when the same checkpoint comes to sound otherwise."""


class CoquiEngine:
    """See :class:`~appliance.models.engine.TtsEngine`."""

    name = "coqui"

    def __init__(self, model: Path, options: ModelOptions, limits: Limits | None = None) -> None:
        """Load the voices in ``model``, then speak with each. Raises UserError.

        ``limits``: of batches, instead of what suits the device.
        """
        for noisy in ("TTS", "trainer"):
            logging.getLogger(noisy).setLevel(logging.ERROR)  # prints alphabets, one line a letter
        device = _device(options.device)
        half = _half(options.compute_type, device)
        limits = limits or (CPU if device == "cpu" else GPU)
        folders = voice_folders(model, options.languages)
        began = time.monotonic()
        models = {folder.name: CoquiVoice(folder, device, half) for folder in folders}
        rates = {voice.rate_hz for voice in models.values()}
        if len(rates) > 1:
            raise UserError(
                f"The voices in {model} have different sample rates {sorted(rates)}: run a server "
                "for each (--languages)."
            )
        self.rate_hz = rates.pop()
        self.capacity = options.capacity or CAPACITY[device]
        self.watch: ModelWatch | None = ModelWatch()
        self.identity = _identity([RECIPE, str(half), *(f.identity() for f in folders)])
        self._models = models
        self._speakers = {
            f"{name}-{speaker.strip().lower()}": (name, speaker)
            for name, voice in models.items()
            for speaker in voice.speakers
        }
        self.voices = tuple(VoiceInfo(id, _language(id)) for id in self._speakers)
        loaded = time.monotonic()
        with told_of(model):
            self._gains = {id: self._trial_gain(id) for id in self._speakers}
        _log.info(
            "= %s on %s as %s, loaded in %.1f s, first phrases %.1f s",
            ", ".join(self._speakers), device, "float16" if half else "float32",
            loaded - began, time.monotonic() - loaded,
        )  # fmt: skip
        self._thread = ThreadPoolExecutor(1, "speech-model")
        self._batches = SpeechBatches(models, self._execute, self.watch, limits)

    async def _execute(self, compute: Callable[[], Any]) -> Any:
        # No timeout: a thread cannot be taken back; the watch sees that it hangs.
        return await asyncio.get_running_loop().run_in_executor(self._thread, compute)

    def _trial_gain(self, voice: str) -> float:
        """Speak once; what brings this voice to the appliance's level."""
        name, speaker = self._speakers[voice]
        model = self._models[name]
        letters = model.letters(model.trial, speaker)
        if not letters.ids:
            raise UserError(f"The voice {name} has no letters: its settings' characters are empty.")
        (spectrogram,) = model.spectrograms([letters])
        plan = windows(spectrogram.frames, model.reach)
        sound = [model.waves([(spectrogram, window)])[0] for window in plan]
        level = active_db(np.concatenate(sound), self.rate_hz)
        gain = SPEECH_DB - level
        if not math.isfinite(gain) or abs(gain) > MOST_GAIN_DB:
            _log.warning(
                "! the voice %s speaks at %.0f dBFS: is its checkpoint right?", voice, level
            )
            return 0.0 if not math.isfinite(gain) else math.copysign(MOST_GAIN_DB, gain)
        return gain

    def has(self, voice: str) -> bool:
        return voice in self._speakers

    def gain_db(self, voice: str) -> float:
        """What brings ``voice`` to the appliance's speech level, as measured at the start."""
        return self._gains[voice]

    async def speak(self, text: str, voice: str) -> AsyncGenerator[bytes, None]:
        """Stream ``text`` piece by piece; closing the iterator takes it out of the batches."""
        name, speaker = self._speakers[voice]
        model = self._models[name]
        texts = [model.letters(piece, speaker) for piece in pieces(text)]
        spoken = [letters for letters in texts if letters.ids]
        async with aclosing(self._batches.speak(name, spoken)) as waves:
            async for wave in waves:
                yield _l16(wave)


def _l16(wave: Wave) -> bytes:
    scaled = np.clip(wave * 32767, -32768, 32767)
    return scaled.astype("<i2").tobytes()


def _language(voice: str) -> str:
    return voice.partition("-")[0].partition("+")[0]


def _identity(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]


def _device(wanted: str) -> str:
    """``cuda`` where there is one, or what is asked for. Raises UserError."""
    there = cuda_is_there()
    if wanted == "cuda" and not there:
        raise UserError(
            "There is no NVIDIA GPU here that PyTorch can use (see nvidia-smi). Mend its driver, "
            "install PyTorch for CUDA, or say --device cpu."
        )
    return wanted if wanted != "auto" else "cuda" if there else "cpu"


def _half(compute_type: str, device: str) -> bool:
    """Whether the vocoder computes in float16. Raises UserError."""
    if compute_type in ("", "float32"):
        return False
    if compute_type != "float16":
        raise UserError(f"--compute-type {compute_type!r}: coqui has float32 and float16.")
    if device != "cuda":
        raise UserError("float16 needs a GPU: leave --compute-type out, or say --device cuda.")
    return True
