"""FastPitch for several phrases at once: text to spectrogram, each as it would come out alone.

Coqui's own ``inference`` takes phrases of one length only. Its layers take a mask, but not all of
them use it: the decoder's attention looks at the padding, and every convolution of a transformer
block reads one letter or frame beyond the end of a phrase, where a phrase alone has zeros. So the
mask is put in front of these layers here (hooks; Coqui's code runs as it is), and the rest is its
``inference`` with true lengths. FastPitch: Łańcucki, arXiv:2006.06873.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import pad

from appliance.models.speech_model import Letters, Spectrogram

_log = logging.getLogger(__name__)

EDGE_FRAMES = 5
"""HiFi-GAN of Coqui repeats the first and the last frame so often (its ``inference_padding``)."""
MOST_FRAMES_A_LETTER = 75
"""0.9 s at 256 samples a frame: Coqui's ``max_duration``, which its training keeps to."""
MOST_FRAMES = 2500
"""29 s of one piece: twice what its letters take; the positional encoding ends at 5000."""


class Masked:
    """Keeps what lies beyond the end of each phrase out of a stack of transformer blocks."""

    def __init__(self, blocks: Any) -> None:
        """``blocks``: Coqui's FFTransformerBlock."""
        self.mask: Any = None
        blocks.register_forward_pre_hook(self._attention, with_kwargs=True)
        for layer in blocks.fft_layers:
            layer.conv1.register_forward_pre_hook(self._silence)
            layer.conv2.register_forward_pre_hook(self._silence)

    def _attention(self, block: Any, args: Any, kwargs: Any) -> Any:
        return args[:1], {**kwargs, "mask": self.mask}

    def _silence(self, layer: Any, args: Any) -> Any:
        return (args[0] * self.mask,)


class FastPitch:
    """A loaded acoustic model. Blocking: runs in the model's thread."""

    def __init__(self, model: Any, device: str) -> None:
        """``model``: Coqui's ForwardTTS, evaluating, on ``device``."""
        self._model = model
        self._device = device
        args = model.args
        self.batches = {args.encoder_type.lower(), args.decoder_type.lower()} == {"fftransformer"}
        """Whether its layers can be masked; else phrases go through it one by one."""
        if self.batches:
            self._encoder = Masked(model.encoder.encoder)
            self._decoder = Masked(model.decoder.decoder.transformer_block)
        self._speakers = _speakers(model, device)

    @property
    def speakers(self) -> tuple[str, ...]:
        """In the model's own order; empty where it has one voice only."""
        return tuple(self._speakers)

    def spectrograms(self, batch: Sequence[Letters]) -> list[Spectrogram]:
        """Mel spectrograms with their edges repeated, as Coqui's HiFi-GAN wants them.

        Raises RuntimeError for a model that computes no numbers.
        """
        with torch.inference_mode():
            if self.batches:
                return self._made(batch)
            return [made for letters in batch for made in self._made([letters])]

    def _made(self, batch: Sequence[Letters]) -> list[Spectrogram]:
        ids, mask = self._padded(batch)
        mels, lengths = self._run(ids, mask, self._conditioning(batch))
        if not bool(torch.isfinite(mels).all()):
            raise RuntimeError("the acoustic model computes no numbers (its weights are damaged)")
        return [
            Spectrogram(
                pad(mel[None, :, :length], (EDGE_FRAMES, EDGE_FRAMES), "replicate")[0],
                length + 2 * EDGE_FRAMES,
            )
            for mel, length in zip(mels, lengths, strict=True)
        ]

    def _padded(self, batch: Sequence[Letters]) -> tuple[Any, Any]:
        """Ids (batch, letters) and their mask (batch, 1, letters)."""
        longest = max(len(letters.ids) for letters in batch)
        ids = torch.tensor([[*each.ids, *[0] * (longest - len(each.ids))] for each in batch])
        lengths = torch.tensor([len(each.ids) for each in batch])
        mask = (torch.arange(longest)[None] < lengths[:, None]).float()
        return ids.to(self._device), mask[:, None].to(self._device)

    def _conditioning(self, batch: Sequence[Letters]) -> Any:
        """(batch, channels, 1), or None of a model with one voice."""
        if not self._speakers:
            return None
        return torch.stack([self._speakers[letters.speaker] for letters in batch])

    def _run(self, ids: Any, mask: Any, speakers: Any) -> tuple[Any, list[int]]:
        """Mels (batch, channels, frames) and their lengths."""
        model = self._model
        if self.batches:
            self._encoder.mask = mask
        encoded, _, _, _ = model._forward_encoder(ids, mask, speakers)
        durations = model.format_durations(model.duration_predictor(encoded, mask), mask)
        durations = _bounded(durations.squeeze(1) * mask.squeeze(1))
        if model.args.use_pitch:
            encoded = encoded + model._forward_pitch_predictor(encoded, mask)[0]
        if model.args.use_energy:
            encoded = encoded + model._forward_energy_predictor(encoded, mask)[0]
        lengths = durations.sum(1).long()
        if self.batches:
            frames = torch.arange(int(lengths.max()), device=self._device)
            self._decoder.mask = (frames[None] < lengths[:, None]).float()[:, None]
        decoded, _ = model._forward_decoder(encoded, durations, mask, lengths, g=None)
        return decoded.transpose(1, 2), lengths.tolist()


def _speakers(model: Any, device: str) -> dict[str, Any]:
    """What conditions the model on each speaker: its embedding, (channels, 1)."""
    manager = model.speaker_manager
    if manager is None or not manager.speaker_names:
        return {}
    if hasattr(model, "emb_g"):
        rows = sorted(manager.name_to_id.items(), key=lambda item: item[1])
        weights = model.emb_g.weight.detach()
        return {name: weights[row][:, None] for name, row in rows}
    return {
        name: torch.as_tensor(manager.get_mean_embedding(name), device=device).float()[:, None]
        for name in sorted(manager.speaker_names)
    }


def _bounded(durations: Any) -> Any:
    """Whole frames of each letter: no letter and no piece takes longer than anybody speaks."""
    limited = torch.nan_to_num(durations).clamp(0, MOST_FRAMES_A_LETTER)
    total = torch.cumsum(limited, 1)
    room = (MOST_FRAMES - (total - limited)).clamp(min=0)
    if not torch.equal(limited, durations) or float(total.max()) > MOST_FRAMES:
        _log.warning("! a phrase was given an absurd length; it is cut")
    return torch.minimum(limited, room)
