"""Smart Turn v3: does what was said so far sound finished? One ONNX run over the last 8 s.

The weights lie in the pipecat-ai wheel (BSD-2), which is installed without its dependencies:
the file is found there and pipecat itself is never imported.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from appliance.audio import Samples
from appliance.errors import UserError
from appliance.models.whisper_features import RATE_HZ, SAMPLES, log_mel

Wave = NDArray[np.float32]

_WEIGHTS = "audio/turn/smart_turn/data/smart-turn-v3*.onnx"


def weights() -> Path:
    """The model's file in the installed pipecat-ai. Raises UserError."""
    spec = find_spec("pipecat")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    found = sorted(path for folder in folders for path in Path(folder).glob(_WEIGHTS))
    if not found:
        raise UserError(
            "The weights of Smart Turn are not installed. "
            "Install them: pip install --no-deps pipecat-ai==1.14.0."
        )
    return found[-1]


_HALF_TAPS = 16


def _half_band() -> Wave:
    """The samples between the samples: 32 taps of a windowed sinc at half steps."""
    at = np.arange(-_HALF_TAPS, _HALF_TAPS) + 0.5
    taps = np.sinc(at) * np.cos(np.pi * at / (2 * _HALF_TAPS)) ** 2
    unity: Wave = (taps / taps.sum()).astype(np.float32)
    return unity


_HALF_BAND = _half_band()


def _doubled(wave: Wave) -> Wave:
    """8 to 16 kHz with a sharp filter, as the model was trained.

    The two-point interpolation that serves the recogniser leaves an image above 4 kHz.
    """
    out = np.empty(2 * len(wave), np.float32)
    out[::2] = wave
    padded = np.pad(wave, (_HALF_TAPS - 1, _HALF_TAPS))
    out[1::2] = np.convolve(padded, _HALF_BAND, mode="valid") if len(wave) else ()
    return out


class SmartTurn:
    """The model; ``judge`` takes about 25 ms of one core."""

    def __init__(self, file: Path) -> None:
        options = onnxruntime.SessionOptions()
        # One thread: a second one saves little and takes a core from the calls.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )

    def judge(self, samples: Samples, rate_hz: int) -> float:
        """Probability 0-1 that the turn of L16 ``samples`` (8 or 16 kHz) is complete."""
        wave = samples[-SAMPLES:].astype(np.float32) / np.float32(32768)
        wide = _doubled(wave[-SAMPLES // 2 :]) if rate_hz != RATE_HZ else wave
        turn = np.zeros(SAMPLES, np.float32)  # a short turn stands at the end, silence before it
        if len(wide):
            turn[-len(wide) :] = wide
        (answer,) = self._session.run(None, {"input_features": log_mel(turn)[None]})
        return float(answer[0].item())
