"""The forms that a model's folder comes in, and how to tell them apart by what lies in it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import orjson

from appliance.errors import UserError

CONFIG = "config.json"
SHARDS = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
COQUI_PARTS = ("fastpitch", "hifigan")
COQUI_WEIGHTS = "best_model.pth"
ENCODERS = frozenset({"bert", "roberta", "xlm-roberta", "camembert"})
EXPORTS = ("onnx/model.onnx", "model.onnx")
DEEPEST = 3
"""Folders inside an archive that a model is looked for in."""
_FOREIGN = {
    ".nemo": "a NeMo model",
    ".pt": "a fairseq or PyTorch checkpoint",
    ".gguf": "a GGUF file",
}


class Form(Enum):
    """How a model lies in its folder. The value is its name in catalogues and manifests."""

    HF_WHISPER = "hf-whisper"
    """Hugging Face, ``WhisperForConditionalGeneration``: as trained and published."""
    CT2 = "ct2"
    """CTranslate2's Whisper: what faster-whisper loads."""
    HF_WAV2VEC2 = "hf-wav2vec2"
    """Hugging Face, ``Wav2Vec2ForCTC``."""
    COQUI = "coqui"
    """AI4Bharat's layout: ``fastpitch/`` and ``hifigan/``, each with ``best_model.pth``."""
    HF_LLM = "hf-llm"
    """Hugging Face, a causal language model: what vLLM loads."""
    HF_ENCODER = "hf-encoder"
    """Hugging Face, BERT or XLM-RoBERTa: a sentence encoder or a cross-encoder (reranker)."""
    BUILT_IN = "built-in"
    """Comes with the engine's own package; there is no folder."""


WORDS = {
    Form.HF_WHISPER: "a Whisper of Hugging Face",
    Form.CT2: "a Whisper of CTranslate2",
    Form.HF_WAV2VEC2: "a Wav2Vec2 of Hugging Face",
    Form.COQUI: "a Coqui voice (fastpitch/ and hifigan/, each with best_model.pth)",
    Form.HF_LLM: "a language model of Hugging Face",
    Form.HF_ENCODER: "a text encoder of Hugging Face (BERT or XLM-RoBERTa)",
    Form.BUILT_IN: "part of its engine",
}

LOADED_BY = {
    "faster-whisper": Form.CT2,
    "wav2vec2": Form.HF_WAV2VEC2,
    "coqui": Form.COQUI,
    "vllm": Form.HF_LLM,
    "onnx": Form.HF_ENCODER,
}
"""The form that each engine loads; an engine that is not here has its model built in."""


def form_of(folder: Path) -> Form | None:
    """The form of the model in ``folder`` itself; None where there is none that we know."""
    if all((folder / part / COQUI_WEIGHTS).is_file() for part in COQUI_PARTS):
        return Form.COQUI
    config = config_of(folder)
    if config is None:
        return None
    if (folder / "model.bin").is_file() and ("lang_ids" in config or "alignment_heads" in config):
        return Form.CT2
    if config.get("model_type") in ENCODERS and (folder / "tokenizer.json").is_file():
        exported = any((folder / name).is_file() for name in EXPORTS)
        return Form.HF_ENCODER if exported or has_weights(folder) else None
    if not has_weights(folder):
        return None
    if config.get("model_type") == "whisper":
        return Form.HF_WHISPER
    if config.get("model_type") == "wav2vec2":
        return Form.HF_WAV2VEC2
    architectures = config.get("architectures") or ()
    if any(
        str(name).endswith(("ForCausalLM", "ForConditionalGeneration")) for name in architectures
    ):
        return Form.HF_LLM
    return None


def config_of(folder: Path, name: str = CONFIG) -> dict[str, Any] | None:
    """``config.json`` of a folder; None where it is missing or not a JSON object."""
    try:
        if not (folder / name).is_file():  # a pipe would be waited for
            return None
        value = orjson.loads((folder / name).read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def has_weights(folder: Path) -> bool:
    """Whether Hugging Face's weights are there: all of their parts, where there are several."""
    for name in SHARDS:
        if (folder / name).is_file():
            return not missing_shards(folder)
    return any((folder / name).is_file() for name in ("model.safetensors", "pytorch_model.bin"))


def missing_shards(folder: Path) -> list[str]:
    """Parts of the weights that an index names and that are not there."""
    for name in SHARDS:
        try:
            index: Mapping[str, Any] = orjson.loads((folder / name).read_bytes())
            parts = sorted(set(index["weight_map"].values()))
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            continue
        return [part for part in parts if not (folder / str(part)).is_file()]
    return []


def find_model(folder: Path, wanted: frozenset[Form]) -> Path:
    """The folder in or below ``folder`` that holds a model of a form that is ``wanted``.

    Raises UserError that says what is there instead, and what was expected.
    """
    expected = " or ".join(WORDS[form] for form in sorted(wanted, key=lambda form: form.value))
    level = [folder]
    for _ in range(DEEPEST + 1):
        fits = [place for place in level if form_of(place) in wanted]
        if len(fits) == 1:
            return fits[0]
        if fits:
            names = ", ".join(str(place.relative_to(folder)) for place in fits)
            raise UserError(f"{folder} holds several models: {names}. Unpack it and name one.")
        level = [place for parent in level for place in _folders(parent)]
    raise UserError(f"{folder} holds {describe(folder)}, and {expected} was expected.")


def describe(folder: Path) -> str:
    """What a folder holds, in the words of a sentence about it."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return "nothing"
    places = [folder, *_folders(folder)]
    for place in places:
        if form := form_of(place):
            return WORDS[form]
    for place in places:
        if missing := missing_shards(place):
            return f"a model without a part of its weights ({', '.join(missing[:3])} missing)"
    for place in places:
        if (config := config_of(place)) is not None:
            kind = config.get("model_type") or "an unknown kind"
            weights = "" if has_weights(place) else " and no weights"
            return f"a config.json of {kind}{weights}"
    for path in sorted(folder.rglob("*")):
        if words := _FOREIGN.get(path.suffix):
            return f"{words} ({path.name})"
    return "no model that we know (there is no config.json)"


def _folders(parent: Path) -> list[Path]:
    return sorted(
        place for place in parent.iterdir() if place.is_dir() and not place.name.startswith(".")
    )
