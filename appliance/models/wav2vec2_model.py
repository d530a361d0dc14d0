"""A Wav2Vec2ForCTC checkpoint on torch: batches of parts in, letters' probabilities out.

One thread owns the device; another searches beams, so that neither waits for the other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from appliance.errors import UserError, reason_of
from appliance.models.ctc import LogProbs
from appliance.models.ctc_beam import load_beam
from appliance.models.ctc_chunks import Chunk
from appliance.models.devices import check_lost, is_memory, no_room
from appliance.models.engine import ModelOptions
from appliance.models.wav2vec2 import RATE_HZ, Part
from appliance.models.wav2vec2_files import read_layout

_log = logging.getLogger(__name__)

COMPUTE_TYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
DEFAULT_TYPES = {"cuda": "float16", "cpu": "float32"}
UNTRAINED = ("masked_spec_embed",)
"""Weights that only training uses."""
WARM_SAMPLES = RATE_HZ


class Wav2Vec2:
    """A loaded checkpoint; see :class:`~appliance.models.wav2vec2.CtcModel`."""

    def __init__(self, options: ModelOptions, folder: Path) -> None:
        """Load, then decode once. Raises UserError."""
        layout = read_layout(folder)
        self.letters, self.grid = layout.letters, layout.grid
        self.equal_lengths = not layout.masked
        self.device = _device(options.device)
        kind = options.compute_type or DEFAULT_TYPES[self.device]
        if kind not in COMPUTE_TYPES:
            raise UserError(
                f"wav2vec2 does not compute in {kind!r}: --compute-type {', '.join(COMPUTE_TYPES)}."
            )
        self._type = COMPUTE_TYPES[kind]
        self._thread = ThreadPoolExecutor(1, "wav2vec2")
        self._searches = ThreadPoolExecutor(1, "beam")
        self._beam = load_beam(folder, self.letters)
        began = time.monotonic()
        try:
            self._model = _loaded(folder, self._type).to(self.device).eval()
            loaded = time.monotonic()
            self._decode([_warm_up(self.grid.frames(WARM_SAMPLES))])
        except UserError:
            raise
        except Exception as e:  # the border of a load: torch, safetensors, pickle have their own
            if is_memory(e):
                raise no_room(options.model, self.device, e) from e
            raise UserError(
                f"The model {options.model} does not run on {self.device}: {reason_of(e)}. If its "
                "files are damaged (ivr models verify says so), fetch it again; ivr stt --help "
                "tells of --compute-type and --device."
            ) from e
        _log.info(
            "= %s on %s as %s, loaded in %.1f s, first decode %.0f ms",
            options.model,
            self.device,
            kind,
            loaded - began,
            (time.monotonic() - loaded) * 1000,
        )

    async def decode(self, parts: Sequence[Part]) -> list[LogProbs]:
        """In the model's own thread. Raises DeviceLost."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._safely, parts)

    async def search(self, frames: LogProbs, hot_words: Sequence[str]) -> str | None:
        """In a thread of its own, for as long as a beam search takes."""
        if self._beam is None:
            return None
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._searches, self._beam.search, frames, hot_words)

    def _safely(self, parts: Sequence[Part]) -> list[LogProbs]:
        try:
            return self._decode(parts)
        except Exception as e:
            check_lost(self.device, e)
            raise

    def _decode(self, parts: Sequence[Part]) -> list[LogProbs]:
        waves = [part.samples() for part in parts]
        longest = max(self.grid.receptive, *(len(wave) for wave in waves))
        padded = np.zeros((len(waves), longest), np.float32)
        mask = np.zeros((len(waves), longest), np.int64)
        for row, wave in enumerate(waves):
            padded[row, : len(wave)] = wave
            mask[row, : len(wave)] = 1
        with torch.inference_mode():
            values = torch.from_numpy(padded).to(self.device, self._type)
            unequal = any(len(wave) < longest for wave in waves)
            attended = torch.from_numpy(mask).to(self.device) if unequal else None
            logits = self._model(values, attention_mask=attended).logits
            frames = torch.log_softmax(logits.float(), dim=-1).cpu().numpy()
        return [frames[row, : self.grid.frames(len(wave))].copy() for row, wave in enumerate(waves)]


def _loaded(folder: Path, kind: Any) -> Any:
    """Raises UserError when weights are missing: they would be random."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model, info = transformers.Wav2Vec2ForCTC.from_pretrained(
        str(folder), local_files_only=True, dtype=kind, output_loading_info=True
    )
    missing = [name for name in info["missing_keys"] if not any(part in name for part in UNTRAINED)]
    if missing:
        raise UserError(
            f"The checkpoint {folder} lacks {len(missing)} weights ({missing[0]}, …): it is not a "
            "fine-tuned recogniser. Fetch the model again, or name another."
        )
    return model


def _device(wanted: str) -> str:
    """``cuda`` where there is one, or what is asked for. Raises UserError."""
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise UserError(
            "There is no NVIDIA GPU here that torch can use (see nvidia-smi). Mend its driver, "
            "install a torch with CUDA, or say --device cpu."
        )
    return wanted if wanted != "auto" else "cuda" if there else "cpu"


def _warm_up(frames: int) -> Part:
    chunk = Chunk(0, WARM_SAMPLES, 0, 0, frames)
    return Part(bytes(2 * WARM_SAMPLES), RATE_HZ, 0.0, 1.0, chunk, None, 1000, True)
