"""A folder with a Wav2Vec2ForCTC of Hugging Face: its letters, its frames, how it is to be fed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from appliance.errors import UserError
from appliance.models.ctc import Letters
from appliance.models.ctc_chunks import Grid, grid

CONTROL_TOKENS = frozenset({"<s>", "</s>", "<unk>", "[UNK]", "<pad>", "[PAD]", "<mask>"})
WEIGHTS = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True, slots=True)
class Layout:
    """What the small files of a checkpoint say."""

    letters: Letters
    grid: Grid
    masked: bool
    """It was trained with a mask over padding; else parts of unequal length may not stand in one
    batch. (Its first layer's norm, where it is a group norm, goes over all of the time, padding
    included.)"""


def read_layout(folder: Path) -> Layout:
    """Raises UserError naming the file that is missing or wrong."""
    config = _json(folder, "config.json")
    if config.get("model_type") != "wav2vec2":
        raise _wrong(folder, "config.json", f"is of a {config.get('model_type')!r}, not a wav2vec2")
    if not any((folder / name).is_file() for name in WEIGHTS):
        raise _wrong(folder, WEIGHTS[0], "is missing")
    features = _json(folder, "preprocessor_config.json")
    masked = config.get("feat_extract_norm") == "layer" and features.get("return_attention_mask")
    try:
        frames = grid(tuple(config["conv_kernel"]), tuple(config["conv_stride"]))
    except (KeyError, TypeError, ValueError) as e:
        raise _wrong(folder, "config.json", "lacks conv_kernel or conv_stride") from e
    return Layout(_letters(folder, config), frames, bool(masked))


def _letters(folder: Path, config: dict[str, Any]) -> Letters:
    vocabulary = _json(folder, "vocab.json")
    if not all(isinstance(place, int) for place in vocabulary.values()):
        raise _wrong(folder, "vocab.json", "holds no single vocabulary")
    labels = {place: token for token, place in vocabulary.items()}
    outputs = config.get("vocab_size")
    if not isinstance(outputs, int) or sorted(labels) != list(range(outputs)):
        raise _wrong(folder, "vocab.json", f"has not one token for each of {outputs} outputs")
    blank = config.get("pad_token_id")
    if not isinstance(blank, int) or blank not in labels:
        raise _wrong(folder, "config.json", "names no pad_token_id, which is CTC's blank")
    tokens = _json(folder, "tokenizer_config.json")
    delimiter = tokens.get("word_delimiter_token") or "|"
    if delimiter not in vocabulary:
        raise _wrong(folder, "vocab.json", f"has no word delimiter {delimiter!r}")
    controls = {place for place, token in labels.items() if token in CONTROL_TOKENS}
    return Letters(
        tuple(labels[place] for place in range(outputs)),
        blank,
        vocabulary[delimiter],
        frozenset(controls - {blank}),
    )


def _json(folder: Path, name: str) -> dict[str, Any]:
    try:
        value = orjson.loads((folder / name).read_bytes())
    except FileNotFoundError as e:
        raise _wrong(folder, name, "is missing") from e
    except (OSError, orjson.JSONDecodeError) as e:
        raise _wrong(folder, name, f"cannot be read ({e})") from e
    if not isinstance(value, dict):
        raise _wrong(folder, name, "is no JSON object")
    return value


def _wrong(folder: Path, name: str, what: str) -> UserError:
    return UserError(
        f"{folder} is no Wav2Vec2ForCTC checkpoint that can be used: {name} {what}. Fetch the "
        "model again (ivr models pull), or name another."
    )
