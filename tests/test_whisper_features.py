"""Our Whisper features against pipecat's own file, which is loaded without importing pipecat."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from appliance.models.smart_turn import weights
from appliance.models.whisper_features import FRAMES, MELS, SAMPLES, log_mel
from tests.spoken import say


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    file = Path(weights()).parent.parent / "_whisper_features.py"
    spec = importlib.util.spec_from_file_location("reference_whisper_features", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _speech() -> np.ndarray:
    pcm = np.frombuffer(say("what are your opening hours"), "<i2").astype(np.float32) / 32768
    return np.pad(np.repeat(pcm, 2), (SAMPLES - 2 * len(pcm), 0))


@pytest.mark.parametrize(
    "samples",
    [
        _speech(),
        np.zeros(SAMPLES),
        np.random.default_rng(1).normal(0, 0.1, SAMPLES),
        np.sin(np.arange(SAMPLES) * 0.2),
    ],
    ids=["speech", "silence", "noise", "tone"],
)
def test_equal_to_the_reference(reference: ModuleType, samples: np.ndarray) -> None:
    wave = samples.astype(np.float32)
    found = log_mel(wave)
    assert found.shape == (MELS, FRAMES)
    assert found.dtype == np.float32
    wanted = reference.compute_whisper_log_mel_features(wave, do_normalize=True)
    assert np.allclose(found, wanted, atol=1e-4)


def test_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="128000"):
        log_mel(np.zeros(100, np.float32))
