"""Whisper by faster-whisper (CTranslate2), on a GPU or a CPU: the recogniser for real callers.

Everything that can be missing (the package's libraries, the model, a GPU) is found out at the
start, by decoding once; never in a call. A batch is encoded and decoded greedily in one run of
CTranslate2 on a thread of its own, mel features included.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ctranslate2
import faster_whisper
import numpy as np
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens

from appliance.audio import silence
from appliance.errors import UserError, reason_of
from appliance.models.cublas import load_cublas
from appliance.models.devices import check_lost, is_memory, no_room
from appliance.models.engine import ModelOptions
from appliance.models.guards import Decoded
from appliance.models.mel_stream import MelStream
from appliance.models.whisper import Window
from appliance.models.whisper_files import checked_folder, checked_languages

_log = logging.getLogger(__name__)

COMPUTE_TYPES = {"cuda": "float16", "cpu": "int8"}
CONTEXT_TOKENS = 448
"""Prompt, control tokens and transcript together, in every Whisper; the transcript at most half."""
TOKENS_PER_S = 30
"""Bounds a loop. Fast English has 8; Indic scripts, a few letters a token, up to 25."""
LEAST_NEW_TOKENS = 16
WARM_MS = 1000
WARM_RATE_HZ = 8000


class FasterWhisper:
    """A loaded checkpoint; see :class:`~appliance.models.whisper.WhisperModel`."""

    def __init__(self, options: ModelOptions, folder: Path) -> None:
        """Load, then decode once. Raises UserError."""
        logging.getLogger("faster_whisper").setLevel(logging.WARNING)
        checked_folder(folder)
        self.device = _device(options.device)
        began = time.monotonic()
        self._thread = ThreadPoolExecutor(1, "whisper")
        self._controls: dict[str, Any] = {}
        """By language: the tokens that steer a decode."""
        try:
            model: Any = faster_whisper.WhisperModel(
                str(folder),
                self.device,
                compute_type=options.compute_type or COMPUTE_TYPES[self.device],
            )
            self._tokenizer: Any = model.hf_tokenizer
            self._languages = frozenset(model.supported_languages)
            self._model: Any = model.model
            self.multilingual = bool(self._model.is_multilingual)
            self.mels = int(self._model.n_mels)
            checked_languages(folder, self.multilingual)
            loaded = time.monotonic()
            self._decode([_warm_up(self.mels)])
        except UserError:
            raise
        except Exception as e:  # the border of a load: pybind, tokenizers and json have their own
            if is_memory(e):
                raise no_room(options.model, self.device, e) from e
            raise UserError(_cannot_run(options.model, self.device, e)) from e
        _log.info(
            "= %s on %s as %s, loaded in %.1f s, first decode %.0f ms",
            options.model,
            self.device,
            self._model.compute_type,
            loaded - began,
            (time.monotonic() - loaded) * 1000,
        )

    def speaks(self, language: str) -> bool:
        """Whether Whisper and this checkpoint have a token for ``language``."""
        if not self.multilingual:
            return language == "en"
        token = self._tokenizer.token_to_id(f"<|{language}|>")
        return token is not None and language in self._languages

    def tokens(self, text: str) -> tuple[int, ...]:
        """As the prompt has it, with a space before."""
        return tuple(self._tokenizer.encode(f" {text}", add_special_tokens=False).ids)

    async def decode(self, windows: Sequence[Window]) -> list[Decoded]:
        """In the model's own thread; what comes after 30 s is not heard. Raises DeviceLost."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._safely, windows)

    def _safely(self, windows: Sequence[Window]) -> list[Decoded]:
        try:
            return self._decode(windows)
        except Exception as e:
            check_lost(self.device, e)
            raise

    def _decode(self, windows: Sequence[Window]) -> list[Decoded]:
        prompts = [self._prompt(window) for window in windows]
        most = [most_new_tokens(window.audio_ms) for window in windows]
        features = np.stack([window.mel.window(window.pcm) for window in windows])
        results = self._model.generate(
            ctranslate2.StorageView.from_array(features),
            prompts,
            beam_size=1,
            sampling_temperature=0,  # one try: up to six at rising temperatures would be late
            # CTranslate2 lets only half of the length it is told be new
            max_length=min(CONTEXT_TOKENS, max(2 * max(most), len(prompts[0]) + max(most))),
            suppress_blank=True,
            suppress_tokens=list(get_suppressed_tokens(self._of_language("en"), [-1])),
            return_scores=True,
            return_no_speech_prob=True,
        )
        return [
            self._decoded(result, longest) for result, longest in zip(results, most, strict=True)
        ]

    def _decoded(self, result: Any, longest: int) -> Decoded:
        """A neighbour in the batch may have let it run on; its words are cut to its own length."""
        tokens = result.sequences_ids[0]
        # CTranslate2's score is the mean over the tokens; Whisper's counts the end's as one more
        logprob = float(result.scores[0]) * len(tokens) / (len(tokens) + 1) if tokens else 0.0
        text = self._tokenizer.decode(tokens[:longest]).replace("�", "").strip()
        return Decoded(text, logprob, float(result.no_speech_prob))

    def _prompt(self, window: Window) -> list[int]:
        controls = self._of_language(window.language)
        if not window.prompt:
            return [*controls.sot_sequence, controls.no_timestamps]
        before = [controls.sot_prev, *window.prompt]
        return [*before, *controls.sot_sequence, controls.no_timestamps]

    def _of_language(self, language: str) -> Any:
        if language not in self._controls:
            self._controls[language] = Tokenizer(
                self._tokenizer, self.multilingual, "transcribe", language
            )
        return self._controls[language]


def most_new_tokens(audio_ms: int) -> int:
    """The longest transcript, in tokens, of so much audio."""
    return min(CONTEXT_TOKENS // 2, LEAST_NEW_TOKENS + audio_ms * TOKENS_PER_S // 1000)


def _warm_up(mels: int) -> Window:
    pcm = silence(WARM_MS, WARM_RATE_HZ)
    return Window(pcm, "en", (), MelStream(mels, WARM_RATE_HZ), WARM_MS, True)


def _device(wanted: str) -> str:
    """``cuda`` where there is one, or what is asked for. Raises UserError."""
    there = ctranslate2.get_cuda_device_count() > 0
    if wanted == "cuda" and not there:
        raise UserError(
            "There is no NVIDIA GPU here that CUDA can use (see nvidia-smi). Mend its driver, "
            "or say --device cpu."
        )
    if there and wanted != "cpu":
        load_cublas()
    return wanted if wanted != "auto" else "cuda" if there else "cpu"


def _cannot_run(model: str, device: str, error: Exception) -> str:
    sentence = f"The model {model} does not run on {device}: {reason_of(error)}."
    if "libcu" in str(error):  # CTranslate2 loads CUDA's libraries at the first decode
        return (
            f"{sentence} Install CUDA 12's cuBLAS in this environment: pip install"
            " nvidia-cublas-cu12."
        )
    return (
        f"{sentence} If its files are damaged (ivr models verify says so), fetch it again; "
        "ivr stt --help tells of --compute-type and --device."
    )
