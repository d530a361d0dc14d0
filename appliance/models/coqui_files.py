"""Loads a voice in AI4Bharat's published form with Coqui's classes: FastPitch and HiFi-GAN.

The published settings name files of the machine that trained (``speakers_file``,
``speaker_encoder_config_path``, …): what inference needs lies in the voice's own folder, the rest is
left out. Weights are read as weights (``weights_only``): a checkpoint cannot run code.
"""

from __future__ import annotations

import collections
import json
import os
import pickle
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from appliance.errors import UserError, reason_of
from appliance.models.voice_folder import CONFIG, SPEAKERS, WEIGHTS, VoiceFolder

try:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its dependencies, about each other
        from TTS.config import load_config
        from TTS.tts.models.forward_tts import ForwardTTS
        from TTS.utils.audio import AudioProcessor
        from TTS.vocoder.models import setup_generator
except (ImportError, OSError) as error:  # OSError: torchaudio's libraries want CUDA's
    raise UserError(
        f"Coqui TTS is not installed here ({reason_of(error)}). It has an environment of its own: "
        "docs/engines-tts.md has the commands."
    ) from error

_SCALAR: Any = np.float64(0).__reduce__()[0]
_HARMLESS = [
    collections.defaultdict,
    np.dtype,
    (_SCALAR, "numpy.core.multiarray.scalar"),  # as NumPy 1 names it
    _SCALAR,
    *(type(np.dtype(name)) for name in ("float32", "float64", "int32", "int64")),
]
"""What older trainers wrote beside the weights: losses as NumPy numbers, optimiser tables."""
_DAMAGED = (
    "The weights in {} are damaged, or hold more than weights: they are not loaded. Unpack the "
    "voice's release again."
)
_TRAINING_ONLY = ("aligner.", "speaker_encoder.", "speaker_manager.")
_KEPT_FILES = {"speakers_file": SPEAKERS, "speaker_file": SPEAKERS}
_DROPPED = (
    "speaker_encoder_model_path",
    "speaker_encoder_config_path",
    "vocoder_path",
    "vocoder_config_path",
)
_NAMED_FILES = ("d_vector_file", "language_ids_file", "stats_path")


def acoustic_model(voice: VoiceFolder) -> Any:
    """Coqui's ForwardTTS with the published weights, evaluating, on the CPU. Raises UserError."""
    with told_of(voice.acoustic):
        settings = rewritten(_json(voice.acoustic / CONFIG), voice.acoustic)
        if settings.get("model") not in ("fast_pitch", "fastpitch"):
            raise UserError(
                f"{voice.acoustic} is no FastPitch: its {CONFIG} says {settings.get('model')!r}. "
                "Take the FastPitch release of the voice."
            )
        model = ForwardTTS(_settings(settings))
        _fill(model, _weights(voice.acoustic / WEIGHTS), voice.acoustic, _TRAINING_ONLY)
        if hasattr(model, "aligner"):
            del model.aligner  # finds durations in training; a sixth of the weights
        return model.eval()


def vocoder_model(voice: VoiceFolder) -> tuple[Any, Any]:
    """Coqui's HifiganGenerator with the published weights, and its AudioProcessor. UserError."""
    with told_of(voice.vocoder):
        config = _settings(rewritten(_json(voice.vocoder / CONFIG), voice.vocoder))
        if getattr(config, "generator_model", "") != "hifigan_generator":
            raise UserError(
                f"{voice.vocoder} is no HiFi-GAN: see generator_model in its {CONFIG}. Take the "
                "vocoder of the voice's release."
            )
        generator = setup_generator(config)
        weights = _weights(voice.vocoder / WEIGHTS)
        ours = {
            name.removeprefix("model_g."): value
            for name, value in weights.items()
            if not name.startswith("model_d.")
        }
        _fill(generator, ours, voice.vocoder, ())
        generator.eval().remove_weight_norm()
        return generator, AudioProcessor(config.audio)


def rewritten(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The settings with paths of the machine that trained made paths of ``folder``."""
    changed = dict(settings)
    for name in _DROPPED:
        if changed.get(name):
            changed[name] = None
    for name, value in settings.items():
        if isinstance(value, Mapping) and name in ("model_args", "audio"):
            changed[name] = rewritten(value, folder)
        elif name in _KEPT_FILES and (value or (folder / SPEAKERS).is_file()):
            changed[name] = str(folder / _KEPT_FILES[name])
        elif name in _NAMED_FILES and value:
            first = value[0] if isinstance(value, list) else value
            changed[name] = str(folder / Path(str(first)).name)
    return changed


def _settings(values: dict[str, Any]) -> Any:
    """Coqui's config object; it reads files only, so it is given one."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(json.dumps(values).encode())
        file.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fields of other versions; those we need are checked
            return load_config(file.name)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())  # not orjson: max_audio_len is Infinity in there
    except ValueError as e:
        raise UserError(f"{path} is damaged ({e}). Unpack the voice's release again.") from e
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no settings. Unpack the voice's release again.")
    return value


def _weights(path: Path) -> dict[str, Any]:
    """The tensors of a checkpoint by name."""
    with torch.serialization.safe_globals(_HARMLESS):
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    for name in ("model", "generator"):
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            return dict(state[name])
    raise UserError(f"{path} holds no weights under 'model'. Unpack the voice's release again.")


def _is_zip(path: Path) -> bool:
    """Whether it can be mapped: torch's form before 1.6 cannot."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _fill(model: Any, weights: dict[str, Any], folder: Path, spare: tuple[str, ...]) -> None:
    found = model.load_state_dict(weights, strict=False)
    missing = [name for name in found.missing_keys if not name.startswith(spare)]
    if missing:
        raise UserError(
            f"The weights in {folder} lack {len(missing)} parts of the model ({missing[0]}, …): "
            "they do not belong to its settings. Unpack the voice's release again."
        )


@contextmanager
def told_of(folder: Path) -> Iterator[None]:
    """Whatever loading raises, as one sentence about ``folder``."""
    try:
        yield
    except (UserError, KeyboardInterrupt):
        raise
    except (MemoryError, torch.OutOfMemoryError) as e:
        raise UserError(out_of_memory(folder)) from e
    except (pickle.UnpicklingError, EOFError) as e:  # its text advises to run what is in the file
        raise UserError(_DAMAGED.format(folder)) from e
    except OSError as e:
        reason = os.strerror(e.errno) if e.errno else reason_of(e)
        raise UserError(f"{e.filename or folder} cannot be read: {reason}.") from e
    except Exception as e:  # Coqui raises whatever a wrong file makes it stumble over
        if "can't allocate memory" in str(e) or "out of memory" in str(e):
            raise UserError(out_of_memory(folder)) from e
        if "PytorchStreamReader" in str(e):
            raise UserError(_DAMAGED.format(folder)) from e
        raise UserError(
            f"The voice in {folder} cannot be loaded ({type(e).__name__}: {reason_of(e)[:200]}). "
            "Unpack its release again."
        ) from e


def cuda_is_there() -> bool:
    """Whether PyTorch can use a GPU."""
    return bool(torch.cuda.is_available())


def out_of_memory(folder: Path) -> str:
    """What to do about it."""
    return (
        f"There is not enough memory for the voice in {folder}. Serve fewer languages "
        "(--languages), free the device (nvidia-smi), or say --device cpu."
    )
