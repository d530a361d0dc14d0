"""Whisper by faster-whisper (CTranslate2), on a GPU or a CPU: the recogniser for real callers.

Everything that can be missing (the package's libraries, the model, a GPU) is found out at the
start, by decoding once; never in a call.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ctranslate2
import faster_whisper
import numpy as np
from faster_whisper.utils import download_model
from numpy.typing import NDArray

from appliance.audio import double_rate
from appliance.errors import UserError
from appliance.models.engine import ModelOptions
from appliance.models.whisper import Decoded

_log = logging.getLogger(__name__)

RATE_HZ = 16_000
WINDOW_MS = 30_000
"""What Whisper hears at once; the wire ends an utterance there."""
COMPUTE_TYPES = {"cuda": "float16", "cpu": "int8"}
CONTEXT_TOKENS = 448
"""Prompt, control tokens and transcript together, in every Whisper; the transcript at most half."""
CONTROL_TOKENS = 5
TOKENS_PER_S = 30
"""Bounds a loop. Fast English has 8; Indic scripts, a few letters a token, up to 25."""
LEAST_NEW_TOKENS = 16
FOLDER_FILES = ("model.bin", "config.json", "tokenizer.json")
WARM_MS = 1000

Audio = NDArray[np.float32]


class FasterWhisper:
    """A loaded checkpoint; see :class:`~appliance.models.whisper.WhisperModel`."""

    def __init__(self, options: ModelOptions) -> None:
        """Load, then decode once. Raises UserError."""
        logging.getLogger("faster_whisper").setLevel(logging.WARNING)  # a line a decode
        path = _model_path(options.model)
        self.device = _device(options.device)
        began = time.monotonic()
        try:
            self._model: Any = faster_whisper.WhisperModel(
                path, self.device, compute_type=options.compute_type or COMPUTE_TYPES[self.device]
            )
            self.multilingual = bool(self._model.model.is_multilingual)
            loaded = time.monotonic()
            self._decode(bytes(WARM_MS * RATE_HZ // 1000 * 2), RATE_HZ, "en", "")
        except (RuntimeError, ValueError) as e:
            raise UserError(_cannot_run(options.model, self.device, e)) from e
        self._thread = ThreadPoolExecutor(1, "whisper")
        _log.info(
            "= %s on %s as %s, loaded in %.1f s, first decode %.0f ms",
            options.model,
            self.device,
            self._model.model.compute_type,
            loaded - began,
            (time.monotonic() - loaded) * 1000,
        )

    def speaks(self, language: str) -> bool:
        """Whether Whisper and this checkpoint have a token for ``language``."""
        if not self.multilingual:
            return language == "en"
        token = self._model.hf_tokenizer.token_to_id(f"<|{language}|>")
        return token is not None and language in self._model.supported_languages

    def tokens(self, text: str) -> int:
        """As the prompt has it, with a space before."""
        encoded = self._model.hf_tokenizer.encode(f" {text}", add_special_tokens=False)
        return len(encoded.ids)

    async def decode(self, pcm: bytes, rate_hz: int, language: str, prompt: str) -> Decoded:
        """In the model's own thread; what comes after 30 s is not heard."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._thread, self._decode, pcm, rate_hz, language, prompt
        )

    def _decode(self, pcm: bytes, rate_hz: int, language: str, prompt: str) -> Decoded:
        audio = _wide(pcm, rate_hz)
        segments, _ = self._model.transcribe(
            audio,
            language=language,
            beam_size=1,
            temperature=0,  # one try: up to six at rising temperatures would be late
            condition_on_previous_text=False,
            without_timestamps=True,
            no_speech_threshold=None,  # judged by whisper.words_of
            log_prob_threshold=None,
            compression_ratio_threshold=None,
            max_new_tokens=min(
                # CTranslate2 lets only half of the length it is told be new
                2 * most_new_tokens(len(audio)),
                CONTEXT_TOKENS - CONTROL_TOKENS - self.tokens(prompt),
            ),
            hotwords=prompt or None,
        )
        found = list(segments)  # one, or none: the audio fits in one window
        if not found:
            return Decoded("", 0.0, 1.0)
        text = "".join(segment.text for segment in found).replace("�", "").strip()
        return Decoded(text, float(found[0].avg_logprob), float(found[0].no_speech_prob))


def most_new_tokens(samples: int) -> int:
    """The longest transcript, in tokens, of so much audio at 16 kHz."""
    return min(CONTEXT_TOKENS // 2, LEAST_NEW_TOKENS + samples * TOKENS_PER_S // RATE_HZ)


def _wide(pcm: bytes, rate_hz: int) -> Audio:
    """L16 as float32 in -1..1 at 16 kHz, at most one window."""
    samples = np.frombuffer(pcm, "<i2")[: WINDOW_MS * rate_hz // 1000]
    wide = samples if rate_hz == RATE_HZ else double_rate(samples)
    return wide.astype(np.float32) / np.float32(32768)


def _device(wanted: str) -> str:
    """``cuda`` where there is one, or what is asked for. Raises UserError."""
    there = ctranslate2.get_cuda_device_count() > 0
    if wanted == "cuda" and not there:
        raise UserError(
            "There is no NVIDIA GPU here that CUDA can use (see nvidia-smi). Mend its driver, "
            "or say --device cpu."
        )
    return wanted if wanted != "auto" else "cuda" if there else "cpu"


def _model_path(model: str) -> str:
    """The folder of a model; one that is named is fetched once. Raises UserError."""
    if not model:
        raise UserError(
            "Name Whisper's model: --model large-v3-turbo (fetched once from Hugging Face), "
            "or --model FOLDER, in CTranslate2's format."
        )
    folder = Path(model).expanduser()
    if folder.is_dir():
        return str(_checked(folder))
    if model.startswith((".", "/", "~")):
        raise UserError(f"There is no folder {folder}. Name one that holds a Whisper model.")
    _log.info("= looking for the model %s, which is fetched if it is not here", model)
    try:
        return str(_checked(Path(download_model(model))))
    except (OSError, ValueError) as e:
        first = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise UserError(
            f"The model {model} cannot be fetched: {first} Without internet: fetch it elsewhere "
            "(hf download Systran/faster-whisper-large-v3 --local-dir FOLDER), bring the folder "
            "here and say --model FOLDER."
        ) from e


def _checked(folder: Path) -> Path:
    """``folder`` if it holds what is needed. Raises UserError."""
    missing = [name for name in FOLDER_FILES if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder} is no Whisper model in CTranslate2's format: {', '.join(missing)} missing. "
            f"Convert one: ct2-transformers-converter --model ORIGINAL --output_dir {folder} "
            "--force --copy_files tokenizer.json preprocessor_config.json --quantization float16"
        )
    return folder


def _cannot_run(model: str, device: str, error: Exception) -> str:
    sentence = f"The model {model} does not run on {device}: {error}."
    if "libcu" in str(error):  # CTranslate2 loads CUDA's libraries at the first decode
        return (
            f"{sentence} Install CUDA 12's cuBLAS (pip install nvidia-cublas-cu12) and name its "
            "folder, .../site-packages/nvidia/cublas/lib, in LD_LIBRARY_PATH."
        )
    return f"{sentence} See ivr stt --help for --compute-type and --device."
