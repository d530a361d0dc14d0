"""One language's voice: text to letters, letters to spectrograms, spectrograms to sound."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch

from appliance.errors import UserError, reason_of
from appliance.models.chunk_plan import Window
from appliance.models.coqui_files import acoustic_model, told_of, vocoder_model
from appliance.models.fastpitch import FastPitch
from appliance.models.shaping import Wave
from appliance.models.speech_model import DeviceLost, Letters, Spectrogram
from appliance.models.vocoder import Vocoder
from appliance.models.voice_folder import VoiceFolder

_log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

MOST_REMEMBERED = 1000
"""Characters that a voice does not know and that were logged; then they may be logged again."""
STOPS = {"।": ".", "॥": ".", "…": ".", "۔": ".", "؟": "?", "،": ",", "—": ",", "–": ","}
"""Marks that a voice may not know, and what it knows instead: else a sentence would not sound ended."""
ONE_SPEAKER = "voice"
"""Whoever speaks in a model of one speaker."""


def _device_errors(method: Callable[P, T]) -> Callable[P, T]:
    """Tell apart a GPU that is full (this batch fails) from one that is gone (all do)."""

    @wraps(method)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()  # what the allocator keeps may be enough for one phrase alone
            raise
        except RuntimeError as e:
            if is_lost(e):
                raise DeviceLost(reason_of(e)) from e
            raise

    return guarded


def is_lost(error: RuntimeError) -> bool:
    """Whether CUDA reports what no later call recovers from (its errors are sticky)."""
    text = str(error)
    return "CUDA error" in text or "CUDA driver error" in text or "CUDNN_STATUS_EXECUTION" in text


class CoquiVoice:
    """See :class:`~appliance.models.speech_model.SpeechModel`."""

    def __init__(self, voice: VoiceFolder, device: str, half: bool) -> None:
        """Load both models. Raises UserError."""
        model = acoustic_model(voice)
        generator, self._vocoder_audio = vocoder_model(voice)
        with told_of(voice.folder):
            self._acoustic = FastPitch(model.to(device), device)
            self._vocoder = Vocoder(generator.to(device), device, half)
        self._audio = model.ap
        self._tokenizer = model.tokenizer
        self._alphabet = frozenset(model.tokenizer.characters.vocab)
        self._stops = {
            mark: known
            for mark, known in STOPS.items()
            if known in self._alphabet and mark not in self._alphabet
        }
        self._told: set[str] = set()
        self._language = voice.language
        self.name = voice.name
        self.rate_hz = int(self._vocoder_audio.sample_rate)
        self._check(voice)
        self.reach = self._vocoder.reach
        self.frame_s = self._vocoder.frame_samples / self.rate_hz
        self.speakers = self._acoustic.speakers or (ONE_SPEAKER,)
        self.trial = _trial(model, self._tokenizer)
        """Something that it can say, in its language."""
        if not self._acoustic.batches:
            _log.warning("! %s is no transformer: its texts go one by one", voice.acoustic)

    def _check(self, voice: VoiceFolder) -> None:
        audio = self._vocoder_audio
        if (self._audio.sample_rate, self._audio.num_mels, self._audio.hop_length) != (
            audio.sample_rate,
            audio.num_mels,
            self._vocoder.frame_samples,
        ):
            raise UserError(
                f"The vocoder in {voice.vocoder} does not go with {voice.acoustic}: sample rate, "
                "mel bands or hop differ. Take both from one release."
            )

    def letters(self, text: str, speaker: str) -> Letters:
        """In the model's alphabet; what it does not know is left out, and logged once."""
        tokenizer = self._tokenizer
        if not tokenizer.use_phonemes:
            cleaner = tokenizer.text_cleaner
            clean = cleaner(text, lang=self._language) if cleaner else text
            clean = "".join(self._stops.get(char, char) for char in clean)
            self._tell(char for char in clean if char not in self._alphabet)
            known = "".join(char for char in clean if char in self._alphabet)
            text = " ".join(known.split())  # what was left out would be a pause
        if not any(char.isalnum() for char in text):
            return Letters((), speaker)
        return Letters(tuple(tokenizer.text_to_ids(text, language=self._language)), speaker)

    def _tell(self, unknown: Iterable[str]) -> None:
        new = [char for char in dict.fromkeys(unknown) if char not in self._told]
        if not new:
            return
        if len(self._told) > MOST_REMEMBERED:
            self._told.clear()
        self._told.update(new)
        _log.warning("! the voice %s cannot say %s: left out", self.name, " ".join(new)[:200])

    @_device_errors
    def spectrograms(self, batch: Sequence[Letters]) -> list[Spectrogram]:
        """As the vocoder wants them. Raises RuntimeError, DeviceLost."""
        made = self._acoustic.spectrograms(batch)
        if not (self._audio.signal_norm or self._vocoder_audio.signal_norm):
            return made
        return [Spectrogram(self._scaled(one.data), one.frames) for one in made]

    def _scaled(self, mel: Any) -> Any:
        """From the acoustic model's range of values to the vocoder's."""
        plain = self._audio.denormalize(mel.cpu().numpy())
        return torch.from_numpy(self._vocoder_audio.normalize(plain)).to(mel.device)

    @_device_errors
    def waves(self, batch: Sequence[tuple[Spectrogram, Window]]) -> list[Wave]:
        """Raises RuntimeError, DeviceLost."""
        return self._vocoder.waves(batch)


def _trial(model: Any, tokenizer: Any) -> str:
    """A sentence of its training's test set; else its own letters."""
    for sentence in model.config.test_sentences or ():
        text = sentence[0] if isinstance(sentence, list) else sentence
        if any(char in tokenizer.characters.vocab for char in str(text)):
            return str(text)[:100]
    return "".join(char for char in tokenizer.characters.vocab if char.isalpha())[:40]
