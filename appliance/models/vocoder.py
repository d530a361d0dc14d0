"""HiFi-GAN for chunks of several phrases at once: spectrogram to sound, without seams.

A convolution pads with zeros where its input ends. In a batch the shorter rows end earlier, so each
convolution's input is zeroed beyond its row's end: every row comes out as it would alone. HiFi-GAN:
Kong et al., arXiv:2010.05646.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from appliance.models.chunk_plan import Window
from appliance.models.shaping import Wave
from appliance.models.speech_model import Spectrogram

LENGTH_STEP = 8
"""On a GPU, batches are padded to multiples of this: fewer shapes, fewer kernels to choose."""


class Vocoder:
    """A loaded generator. Blocking: runs in the model's thread."""

    def __init__(self, generator: Any, device: str, half: bool) -> None:
        """``generator``: Coqui's HifiganGenerator, evaluating, without weight norm, on ``device``.

        ``half``: compute in float16.
        """
        self._generator = generator.half() if half else generator
        self._device = device
        self._type = torch.float16 if half else torch.float32
        self._masks: dict[int, Any] = {}
        """By samples a frame; empty while all rows of the batch are equally long."""
        factors = [up.stride[0] for up in generator.ups]
        self.frame_samples = math.prod(factors)
        self.reach = reach(generator)
        for layer, rate in _convolutions(generator, factors):
            layer.register_forward_pre_hook(self._silence(rate))
        self._rates = {rate for _, rate in _convolutions(generator, factors)}

    def _silence(self, rate: int) -> Any:
        def hook(layer: Any, args: Any) -> Any:
            mask = self._masks.get(rate)
            return None if mask is None else (args[0] * mask,)

        return hook

    def waves(self, batch: Sequence[tuple[Spectrogram, Window]]) -> list[Wave]:
        """float32 in -1..1: of each window what is heard. Raises RuntimeError for no numbers."""
        lengths = [window.length for _, window in batch]
        mels, longest = self._stacked(batch, max(lengths))
        self._masks = {} if {longest} == set(lengths) else self._masks_of(lengths, longest)
        with torch.inference_mode():
            sound = self._generator(mels)[:, 0].float().cpu().numpy()
        waves = []
        for (_, window), row in zip(batch, sound, strict=True):
            first = (window.keep_from - window.start) * self.frame_samples
            waves.append(row[first : first + window.heard * self.frame_samples].copy())
        if not all(math.isfinite(float(wave.sum())) for wave in waves):
            raise RuntimeError("the vocoder computes no numbers (its weights are damaged)")
        return waves

    def _stacked(
        self, batch: Sequence[tuple[Spectrogram, Window]], longest: int
    ) -> tuple[Any, int]:
        """Mels (batch, channels, frames), and how many frames."""
        if self._device != "cpu":
            longest = -(-longest // LENGTH_STEP) * LENGTH_STEP
        channels = batch[0][0].data.shape[0]
        mels = torch.zeros(len(batch), channels, longest, device=self._device, dtype=self._type)
        for row, (spectrogram, window) in zip(mels, batch, strict=True):
            row[:, : window.length] = spectrogram.data[:, window.start : window.stop]
        return mels, longest

    def _masks_of(self, lengths: Sequence[int], longest: int) -> dict[int, Any]:
        ends = torch.tensor(lengths, device=self._device)[:, None]
        inside = torch.arange(longest, device=self._device)[None] < ends
        frames = inside.to(self._type)[:, None]
        return {rate: frames.repeat_interleave(rate, 2) for rate in self._rates}


def _convolutions(generator: Any, factors: Sequence[int]) -> list[tuple[Any, int]]:
    """Every convolution, and the samples a frame of what goes into it."""
    found = [(generator.conv_pre, 1)]
    rate, blocks = 1, len(generator.resblocks) // len(factors)
    for level, (up, factor) in enumerate(zip(generator.ups, factors, strict=True)):
        found.append((up, rate))
        rate *= factor
        for block in generator.resblocks[level * blocks : (level + 1) * blocks]:
            found += [(layer, rate) for layer in block.modules() if isinstance(layer, nn.Conv1d)]
    return [*found, (generator.conv_post, rate)]


def reach(generator: Any) -> int:
    """Frames to each side that a sample depends on: the receptive field, from the layers' sizes."""
    factors = [up.stride[0] for up in generator.ups]
    blocks = len(generator.resblocks) // len(factors)
    needed = _half(generator.conv_post)  # in samples at the level's own rate, from the last back
    for level in reversed(range(len(factors))):
        group = generator.resblocks[level * blocks : (level + 1) * blocks]
        needed += max(_block_reach(block) for block in group)
        up = generator.ups[level]
        needed = -(-(needed + up.kernel_size[0] - 1) // up.stride[0])
    return int(needed + _half(generator.conv_pre))


def _block_reach(block: Any) -> int:
    return sum(_half(layer) for layer in block.modules() if isinstance(layer, nn.Conv1d))


def _half(layer: Any) -> int:
    return int(layer.dilation[0] * (layer.kernel_size[0] - 1) // 2)
