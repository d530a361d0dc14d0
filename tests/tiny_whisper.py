"""A tiny Whisper of random weights in CTranslate2's own format: real files, made without torch.

It hears nothing (its words are random, though the same for the same audio), but everything around
the weights is as in a real checkpoint: the format, the vocabulary's control tokens, the tokenizer,
the mel features, the 30 s window, greedy decoding.

Run as a program: ``python -m tests.tiny_whisper FOLDER [en|endless|huge|medium|…]``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import ctranslate2
import numpy as np
import orjson
from ctranslate2.specs import common_spec, whisper_spec
from faster_whisper.tokenizer import _LANGUAGE_CODES
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers


class Shape(NamedTuple):
    """Sizes of a Whisper."""

    width: int
    inner: int
    heads: int
    layers: int
    tokens: int = 0
    """At least so many in its vocabulary."""


TINY = Shape(32, 64, 2, 2)
MEDIUM = Shape(1024, 4096, 16, 24, 51_865)
SHAPES = {
    "tiny": TINY,
    "base": Shape(512, 2048, 8, 6, 51_865),
    "small": Shape(768, 3072, 12, 12, 51_865),
    "medium": MEDIUM,
}
MELS = 80
WINDOW_FRAMES, TEXT_CONTEXT, TIMESTAMPS = 1500, 448, 1501
WORDS = """router plan bill speed month family home office card email red light cable fibre modem
street number please water paper train market green seven orange doctor school pocket simple window
garden yellow morning finger people summer winter coffee minute hotel ticket police answer
village cricket mango monsoon temple festival""".split()
QUIET = 0.1
"""What the decoder's layers add counts so much less than a word and its place: transcripts vary."""
HUGE_TOKENS = 400_000
"""100 MB of weights."""
RARE = 0.01
"""Makes bytes and control tokens improbable: transcripts are words, as long as they may be."""


def make(
    folder: Path,
    *,
    shape: Shape = TINY,
    multilingual: bool = True,
    ends: bool = True,
    seed: int = 4,
    extra: int = 0,
) -> Path:
    """Write a checkpoint (0.8 MB if tiny) that faster-whisper loads; the folder it is in.

    ``ends``: its transcripts are some words long, else as long as they may be. ``extra``: so many
    tokens more, that are never said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = text_tokens()
    vocabulary = text + ([""] if multilingual else []) + control_tokens()
    extra = max(extra, shape.tokens - len(vocabulary))
    vocabulary += [f"<|extra{index}|>" for index in range(extra)]
    spec = whisper_spec.WhisperSpec(shape.layers, shape.heads, shape.layers, shape.heads)
    _fill(spec, _Draw(seed, shape), len(vocabulary), len(text) - len(WORDS))
    if ends:
        end = vocabulary.index("<|endoftext|>")
        spec.decoder.projection.weight[end] /= np.float32(RARE)
    spec.register_vocabulary(vocabulary)
    first = vocabulary.index("<|en|>")
    spec.config.lang_ids = list(range(first, first + len(_LANGUAGE_CODES)))
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [vocabulary.index("<|endoftext|>")]
    spec.config.alignment_heads = [[1, 0]]
    spec.validate()
    spec.optimize()
    spec.save(str(folder))
    _tokenizer(vocabulary, text).save(str(folder / "tokenizer.json"))
    features = {"feature_size": MELS, "sampling_rate": 16000, "hop_length": 160, "n_fft": 400,
                "chunk_length": 30}  # fmt: skip
    (folder / "preprocessor_config.json").write_bytes(orjson.dumps(features))
    return folder


def text_tokens() -> list[str]:
    """All bytes, so that any text has tokens, and a few whole words."""
    return sorted(pre_tokenizers.ByteLevel.alphabet()) + [f"Ġ{word}" for word in WORDS]


def control_tokens() -> list[str]:
    """In the order of Whisper's vocabularies: text is below the first, timestamps come last."""
    names = ["endoftext", "startoftranscript", *_languages(), "translate", "transcribe",
             "startoflm", "startofprev", "nospeech", "notimestamps"]  # fmt: skip
    times = [f"{index * 0.02:.2f}" for index in range(TIMESTAMPS)]
    return [f"<|{name}|>" for name in names + times]


def _languages() -> list[str]:
    return ["en", *(code for code in _LANGUAGE_CODES if code != "en")]


def _tokenizer(vocabulary: list[str], text: list[str]) -> Tokenizer:
    ids = {token: index for index, token in enumerate(vocabulary) if token}
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    controls = [token for token in control_tokens() if token in ids][:-TIMESTAMPS]
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in controls])
    return tokenizer


class _Draw:
    """Random weights of the right scale."""

    def __init__(self, seed: int, shape: Shape) -> None:
        self._generator = np.random.default_rng(seed)
        self.width, self.inner = shape.width, shape.inner

    def weight(self, *shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        fan_in = int(np.prod(shape[1:]))
        return (self._generator.normal(0, 1, shape) / np.sqrt(fan_in)).astype(np.float32)

    def linear(self, spec: common_spec.LinearSpec, out: int, into: int) -> None:
        spec.weight, spec.bias = self.weight(out, into), np.zeros(out, np.float32)

    def layer(self, spec: Any) -> None:
        """One encoder or decoder layer; attention projections are fused as the format wants."""
        width, inner = self.width, self.inner
        _norm(spec.self_attention.layer_norm, width)
        self.linear(spec.self_attention.linear[0], 3 * width, width)
        self.linear(spec.self_attention.linear[1], width, width)
        if hasattr(spec, "attention"):
            _norm(spec.attention.layer_norm, width)
            for linear, out in zip(spec.attention.linear, (1, 2, 1), strict=True):
                self.linear(linear, out * width, width)
        _norm(spec.ffn.layer_norm, width)
        self.linear(spec.ffn.linear_0, inner, width)
        self.linear(spec.ffn.linear_1, width, inner)


def _norm(spec: common_spec.LayerNormSpec, width: int) -> None:
    spec.gamma, spec.beta = np.ones(width, np.float32), np.zeros(width, np.float32)


def _fill(spec: whisper_spec.WhisperSpec, draw: _Draw, tokens: int, bytes_: int) -> None:
    encoder, decoder, width = spec.encoder, spec.decoder, draw.width
    for conv, into in ((encoder.conv1, MELS), (encoder.conv2, width)):
        conv.weight, conv.bias = draw.weight(width, into, 3), np.zeros(width, np.float32)
    for side, length in ((encoder, WINDOW_FRAMES), (decoder, TEXT_CONTEXT)):
        side.position_encodings.encodings = draw.weight(length, width)
        _norm(side.layer_norm, width)
        for layer in side.layer:
            draw.layer(layer)
    for layer in decoder.layer:
        for block in (layer.self_attention, layer.attention):
            block.linear[-1].weight *= np.float32(QUIET)
        layer.ffn.linear_1.weight *= np.float32(QUIET)
    decoder.embeddings.weight = draw.weight(tokens, width)
    projection = draw.weight(tokens, width) * np.float32(np.sqrt(width))
    projection /= np.linalg.norm(projection, axis=1, keepdims=True) / np.float32(np.sqrt(width))
    projection[:bytes_] *= RARE
    projection[bytes_ + len(WORDS) :] *= RARE
    decoder.projection.weight, decoder.projection.bias = projection, np.zeros(tokens, np.float32)


if __name__ == "__main__":
    kinds = sys.argv[2:]
    made = make(
        Path(sys.argv[1]),
        shape=SHAPES[next((kind for kind in kinds if kind in SHAPES), "tiny")],
        multilingual="en" not in kinds,
        ends="endless" not in kinds,
        extra=HUGE_TOKENS if "huge" in kinds else 0,
    )
    print(made, ctranslate2.__version__)
