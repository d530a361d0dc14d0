"""What a model's library says when its device fails, in words that an operator can act on."""

from __future__ import annotations

from appliance.errors import UserError, reason_of
from appliance.models.batching import DeviceLost

_MEMORY = ("out of memory", "bad_alloc", "alloc_failed", "not enough memory", "allocate memory")
_LOST = ("cuda", "cublas", "cudnn", "nccl", "device-side assert")


def is_memory(error: BaseException) -> bool:
    """The device's memory is full."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(mark in text for mark in _MEMORY)


def check_lost(device: str, error: Exception) -> None:
    """Raises DeviceLost where a CUDA error leaves the process without its GPU: every later call
    fails too (CUDA's errors are sticky); a full memory does not."""
    text = str(error).lower()
    if device == "cuda" and not is_memory(error) and any(mark in text for mark in _LOST):
        raise DeviceLost(reason_of(error)) from error


def no_room(model: str, device: str, error: BaseException) -> UserError:
    """A model that does not fit."""
    reason = reason_of(error)
    if device == "cuda":
        return UserError(
            f"The model {model} does not fit into the GPU's memory: {reason}. See with nvidia-smi "
            "who holds it; then free it, say --compute-type int8_float16 (half the memory), name "
            "a smaller --model, or say --device cpu."
        )
    return UserError(
        f"The model {model} does not fit into this machine's memory: {reason}. Free some, say "
        "--compute-type int8, or name a smaller --model."
    )
