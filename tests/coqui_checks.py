"""Compares our batches with Coqui's own inference, on a real checkpoint: run where Coqui is.

``python -m tests.coqui_checks MODEL_FOLDER`` prints one JSON object of greatest differences.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from appliance.models.chunk_plan import Window, windows
from appliance.models.coqui_files import acoustic_model, vocoder_model
from appliance.models.coqui_voice import CoquiVoice
from appliance.models.speech_model import Spectrogram
from appliance.models.voice_folder import VoiceFolder, voice_folders

TEXTS = (
    "हाँ.",
    "नमस्ते, आपका बिल पाँच सौ रुपये है.",
    "कृपया अपना राउटर बंद करके दो मिनट बाद फिर चालू करें, और तब तक फ़ोन न रखें.",
    "ठीक है, धन्यवाद",
)


def coquis_own(folder: VoiceFolder, texts: list[Any]) -> list[tuple[Any, Any]]:
    """Spectrogram (channels, frames) and sound of each text, by Coqui's inference alone."""
    model, (generator, _) = acoustic_model(folder), vocoder_model(folder)
    made = []
    for letters in texts:
        row = model.speaker_manager.name_to_id[letters.speaker]
        aux = {"d_vectors": None, "speaker_ids": torch.tensor([row])}
        mel = model.inference(torch.tensor([letters.ids]), aux)["model_outputs"]
        mel = mel.transpose(1, 2)
        made.append((mel[0].numpy(), generator.inference(mel)[0, 0].numpy()))
    return made


def whole(spectrogram: Spectrogram) -> Window:
    return Window(0, spectrogram.frames, 0, spectrogram.frames)


def greatest(pairs: list[tuple[Any, Any]]) -> float:
    return max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)


class Lines(logging.Handler):
    """What was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def main() -> None:
    (folder,) = voice_folders(Path(sys.argv[1]), ())
    voice = CoquiVoice(folder, "cpu", half=False)
    texts = [voice.letters(text, voice.speakers[n % 2]) for n, text in enumerate(TEXTS)]
    theirs = coquis_own(folder, texts)
    batch = voice.spectrograms(texts)
    alone = [voice.spectrograms([letters])[0] for letters in texts]
    edge = 5
    together = voice.waves([(spectrogram, whole(spectrogram)) for spectrogram in batch])
    plans = [windows(spectrogram.frames, voice.reach) for spectrogram in batch]
    single = [
        np.concatenate([voice.waves([(spectrogram, window)])[0] for window in plan])
        for spectrogram, plan in zip(batch, plans, strict=True)
    ]
    mixed = voice.waves(
        [(spectrogram, plan[-1]) for spectrogram, plan in zip(batch, plans, strict=True)]
    )
    narrow = windows(batch[2].frames, voice.reach // 3)
    seams = np.concatenate([voice.waves([(batch[2], window)])[0] for window in narrow])
    lines = Lines()
    logging.getLogger("appliance.models.coqui_voice").addHandler(lines)
    for _ in range(3):
        voice.letters("漢字 नमस्ते", voice.speakers[0])
    print(json.dumps({
        "unknown_lines": len(lines.said),
        "danda_is_a_stop": voice.letters("नमस्ते।", voice.speakers[0])
        == voice.letters("नमस्ते.", voice.speakers[0]),
        "frames": [spectrogram.frames - 2 * edge for spectrogram in batch],
        "coquis_frames": [mel.shape[1] for mel, _ in theirs],
        "mel_level": float(np.abs(theirs[1][0]).mean()),
        "sound_level": float(np.sqrt((theirs[1][1] ** 2).mean())),
        "mel_batch_vs_coqui": greatest([
            (ours.data[:, edge:-edge].numpy(), mel)
            for ours, (mel, _) in zip(batch, theirs, strict=True)
        ]),
        "mel_alone_vs_coqui": greatest([
            (ours.data[:, edge:-edge].numpy(), mel)
            for ours, (mel, _) in zip(alone, theirs, strict=True)
        ]),
        "sound_batch_vs_coqui": greatest(list(zip(together, [w for _, w in theirs], strict=True))),
        "sound_chunks_vs_coqui": greatest(list(zip(single, [w for _, w in theirs], strict=True))),
        "sound_last_chunks_vs_coqui": greatest([
            (ours, wave[-len(ours):]) for ours, (_, wave) in zip(mixed, theirs, strict=True)
        ]),
        "sound_too_little_beside": greatest([(seams, theirs[2][1])]),
        "chunks": [len(plan) for plan in plans],
        "reach": voice.reach,
        "speakers_differ": greatest([
            tuple(one.data.numpy()[:, :40] for one in voice.spectrograms(
                [voice.letters(TEXTS[1], speaker) for speaker in voice.speakers]))
        ]),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
