"""What GPU memory a model takes: reckoned from its config.json, in bytes.

weights + what each request at once adds (KV cache, activations) + what a process takes in any case
(CUDA's context, its libraries' workspace). Activations are the largest that live together, not their
sum over layers. None of it was measured on a GPU; `ivr models plan` adds headroom for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appliance.checkpoints.catalogue import Entry

MB = 10**6
CONTEXT_BYTES = 700 * MB
"""CUDA's context and the kernels of one process that uses cuBLAS and cuDNN: 500-700 MB on Hopper."""
BYTES_PER_PARAMETER = {
    "float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "int8": 1.0, "int8_float16": 1.0,
    "int8_bfloat16": 1.0, "int8_float32": 1.0,
}  # fmt: skip
HALF = 2
"""Bytes of an activation on a GPU: float16, also beside weights of int8."""

WHISPER_FRAMES = 1500
"""Of the encoder, for its 30 s window, however short the audio is."""
WHISPER_TOKENS = 448
WHISPER_MEL_FRAMES = 3000

WAV2VEC2_WINDOW_S = 10
"""Longest stretch that is heard at once."""
WAV2VEC2_RATE_HZ = 16_000
WAV2VEC2_FRAMES_PER_S = 50
WAV2VEC2_CHANNELS = 512
WAV2VEC2_FIRST_STRIDE = 5

COQUI_PHRASE_S = 6
COQUI_FRAMES_PER_S = 22_050 / 256
COQUI_WIDEST = 8192
"""HiFi-GAN V1: channels times upsampling, the same in its last three stages (32 x 256 …)."""
COQUI_LIVE = 6
"""Tensors of that width that live together: the stage's input, its sum, and one residual block's."""
COQUI_WORKSPACE_BYTES = 512 * MB
"""cuDNN's choice of convolutions."""

VLLM_BATCH_TOKENS = 8192
"""``--max-num-batched-tokens`` of its server: what one step works on."""
VLLM_GRAPHS_BYTES = 1000 * MB
"""CUDA graphs and the allocator's loss."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """The memory of one server, in bytes."""

    weights: int
    each: int
    """More for each request at once."""
    process: int
    """Context and workspace."""

    def of(self, at_once: int) -> int:
        """All of it with ``at_once`` requests."""
        return self.weights + self.process + self.each * at_once


def footprint(
    entry: Entry | None,
    config: Mapping[str, Any],
    *,
    engine: str,
    compute_type: str = "",
    tokens: int = 0,
    weight_bytes: int = 0,
) -> Footprint:
    """What a server of ``engine`` takes.

    ``config``: the checkpoint's config.json, or its catalogue's shape. ``tokens``: of prompt and
    answer of a language model. ``weight_bytes``: of its files, where they are loaded as they are.
    Raises KeyError where the config does not say enough.
    """
    millions = entry.parameters_m if entry else 0.0
    if engine == "faster-whisper":
        return _whisper(config, millions, compute_type or "float16")
    if engine == "wav2vec2":
        return _wav2vec2(config, millions, compute_type or "float16")
    if engine == "coqui":
        return _coqui(millions, compute_type or "float32")
    return _llm(config, millions, compute_type, tokens, weight_bytes)


def kv_bytes_per_token(config: Mapping[str, Any], element_bytes: int = HALF) -> int:
    """KV cache of one token: keys and values of each layer's key-value heads."""
    heads = int(config["num_attention_heads"])
    kv_heads = int(config.get("num_key_value_heads") or heads)
    head = int(config.get("head_dim") or int(config["hidden_size"]) // heads)
    return 2 * int(config["num_hidden_layers"]) * kv_heads * head * element_bytes


def _whisper(config: Mapping[str, Any], millions: float, compute_type: str) -> Footprint:
    width, inner = int(config["d_model"]), int(config["encoder_ffn_dim"])
    deep, shallow = int(config["encoder_layers"]), int(config["decoder_layers"])
    heads = int(config["encoder_attention_heads"])
    vocabulary = int(config.get("vocab_size", 51_865))
    parameters = millions * 1e6 or (
        deep * (4 * width**2 + 2 * width * inner)
        + shallow * (8 * width**2 + 2 * width * inner)
        + vocabulary * width
    )
    cache = 2 * shallow * width * HALF * (WHISPER_FRAMES + WHISPER_TOKENS)  # cross, and its own
    scores = heads * WHISPER_FRAMES**2 * HALF
    layer = WHISPER_FRAMES * (inner + 6 * width) * HALF
    mels = WHISPER_MEL_FRAMES * int(config.get("num_mel_bins", 80)) * 4 + vocabulary * 4
    each = cache + scores + layer + mels
    return Footprint(_weights(parameters, compute_type), each, CONTEXT_BYTES)


def _wav2vec2(config: Mapping[str, Any], millions: float, compute_type: str) -> Footprint:
    width, layers = int(config["hidden_size"]), int(config["num_hidden_layers"])
    inner, heads = int(config["intermediate_size"]), int(config["num_attention_heads"])
    parameters = millions * 1e6 or layers * (4 * width**2 + 2 * width * inner) * 1.05
    frames = WAV2VEC2_WINDOW_S * WAV2VEC2_FRAMES_PER_S
    first = WAV2VEC2_WINDOW_S * WAV2VEC2_RATE_HZ // WAV2VEC2_FIRST_STRIDE * WAV2VEC2_CHANNELS
    element = HALF if compute_type in ("float16", "bfloat16") else 4
    each = element * (3 * first + heads * frames**2 + frames * (inner + 6 * width))
    return Footprint(_weights(parameters, compute_type), each, CONTEXT_BYTES)


def _coqui(millions: float, compute_type: str) -> Footprint:
    element = HALF if compute_type in ("float16", "bfloat16") else 4
    samples = int(COQUI_PHRASE_S * COQUI_FRAMES_PER_S)
    each = samples * COQUI_WIDEST * COQUI_LIVE * element
    weights = _weights(millions * 1e6, compute_type)
    return Footprint(weights, each, CONTEXT_BYTES + COQUI_WORKSPACE_BYTES)


def _llm(
    config: Mapping[str, Any], millions: float, compute_type: str, tokens: int, weight_bytes: int
) -> Footprint:
    width, inner = int(config["hidden_size"]), int(config["intermediate_size"])
    vocabulary = int(config["vocab_size"])
    kind = compute_type or str(config.get("torch_dtype") or config.get("dtype") or "bfloat16")
    weights = weight_bytes or _weights(millions * 1e6 or _llm_parameters(config), kind)
    step = VLLM_BATCH_TOKENS * (6 * width + 2 * inner) * HALF
    each = tokens * kv_bytes_per_token(config) + vocabulary * 4
    return Footprint(weights, each, CONTEXT_BYTES + VLLM_GRAPHS_BYTES + step)


def _llm_parameters(config: Mapping[str, Any]) -> float:
    width, inner = int(config["hidden_size"]), int(config["intermediate_size"])
    heads = int(config["num_attention_heads"])
    kv_heads = int(config.get("num_key_value_heads") or heads)
    head = int(config.get("head_dim") or width // heads)
    attention = width * head * (2 * heads + 2 * kv_heads)
    layers = int(config["num_hidden_layers"]) * (attention + 3 * width * inner)
    return layers + 2 * int(config["vocab_size"]) * width


def _weights(parameters: float, compute_type: str) -> int:
    return int(parameters * BYTES_PER_PARAMETER.get(compute_type, 2.0))
