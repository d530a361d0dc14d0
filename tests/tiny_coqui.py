"""A FastPitch and a HiFi-GAN of random weights, saved as AI4Bharat publishes theirs.

They say nothing, but everything around the weights is as in a real release: the folders, the
settings with the paths of the machine that trained, checkpoints with all that a trainer leaves in
them, weight norm under its old names, speakers, alphabet.

Run as a program: ``python -m tests.tiny_coqui FOLDER [--full] [LANGUAGE …]``.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

warnings.simplefilter("ignore")

from TTS.tts.configs.fast_pitch_config import FastPitchConfig  # noqa: E402
from TTS.tts.configs.shared_configs import (  # noqa: E402
    BaseAudioConfig,
    BaseDatasetConfig,
    CharactersConfig,
)
from TTS.tts.models.forward_tts import ForwardTTS, ForwardTTSArgs  # noqa: E402
from TTS.vocoder.configs import HifiganConfig  # noqa: E402
from TTS.vocoder.models.gan import GAN  # noqa: E402

ELSEWHERE = "/nlsasfs/home/ai4bharat/ttsteam/output"
"""A machine that nobody else has."""
FRAMES_A_LETTER = 6.0
"""70 ms, as people speak."""
SCRIPTS = {
    "hi": (0x0901, 0x094D),
    "mr": (0x0901, 0x094D),
    "ta": (0x0B82, 0x0BCD),
    "en": (0x61, 0x7A),
}
SENTENCES = {"hi": "नमस्ते, आपका बिल पाँच सौ रुपये है.", "mr": "नमस्कार, आपले बिल तयार आहे.",
             "ta": "வணக்கம், உங்கள் கட்டணம் தயார்.", "en": "hello, your bill is ready."}  # fmt: skip


@dataclass(frozen=True)
class Size:
    """What the published models and ours differ in."""

    hidden: int
    inner: int
    layers: int
    vocoder: int


TINY = Size(hidden=32, inner=48, layers=2, vocoder=32)
FULL = Size(hidden=512, inner=1024, layers=6, vocoder=512)
"""Of the published models: configs/train_fastpitch.sh, HiFi-GAN V1."""


def make(folder: Path, language: str = "hi", size: Size = TINY, seed: int = 5) -> Path:
    """Write ``folder/LANGUAGE`` with both models; that folder."""
    torch.manual_seed(seed)
    voice = folder / language
    for part in ("fastpitch", "hifigan"):
        (voice / part).mkdir(parents=True, exist_ok=True)
    _acoustic(voice / "fastpitch", language, size)
    _vocoder(voice / "hifigan", language, size)
    return voice


def _audio() -> BaseAudioConfig:
    return BaseAudioConfig(
        trim_db=60.0, mel_fmin=0.0, mel_fmax=8000, log_func="np.log", spec_gain=1.0,
        signal_norm=False,
    )  # fmt: skip


def _acoustic(folder: Path, language: str, size: Size) -> None:
    torch.save({"female": 0, "male": 1}, folder / "speakers.pth")
    first, last = SCRIPTS[language]
    layers = {"hidden_channels_ffn": size.inner, "num_heads": 1, "num_layers": size.layers,
              "dropout_p": 0.1}  # fmt: skip
    config = FastPitchConfig(
        audio=_audio(),
        use_phonemes=False,
        text_cleaner="multilingual_cleaners",
        characters=CharactersConfig(
            characters_class="TTS.tts.models.vits.VitsCharacters", pad="<PAD>", eos="<EOS>",
            bos="<BOS>", blank="<BLNK>", phonemes=None, punctuations="!¡'(),-.:;¿? ",
            characters="".join(chr(code) for code in range(first, last + 1)),
        ),
        datasets=[BaseDatasetConfig(path=f"/data/indictts/{language}", language=language)],
        model_args=ForwardTTSArgs(
            hidden_channels=size.hidden, encoder_params=layers, decoder_params=dict(layers),
            use_aligner=True,
        ),
        use_speaker_embedding=True,
        speakers_file=str(folder / "speakers.pth"),
        f0_cache_path=f"{ELSEWHERE}/f0_cache",
        output_path=ELSEWHERE,
        test_sentences=[SENTENCES[language]],
    )  # fmt: skip
    model = ForwardTTS(config)
    with torch.no_grad():
        model.duration_predictor.proj.bias.fill_(math.log(1 + FRAMES_A_LETTER))
        model.duration_predictor.proj.weight.mul_(0.3)
        model.emb_g.weight.mul_(10)
        model.decoder.decoder.postnet.weight.mul_(6)
    settings = config.to_dict()
    away = f"{ELSEWHERE}/{language}_fastpitch/speakers.pth"
    settings["speakers_file"] = settings["model_args"]["speakers_file"] = away
    # fields of the fork that trained the published models
    settings["model_args"] |= {
        "use_separate_optimizers": False, "use_speaker_encoder_as_loss": False,
        "speaker_encoder_config_path": "", "speaker_encoder_model_path": "",
        "vocoder_path": None, "vocoder_config_path": None,
    }  # fmt: skip
    settings |= {"lr_scheduler_aligner": "NoamLR", "aligner_epochs": 2500, "return_wav": False}
    _save(folder, settings, model.state_dict())


def _vocoder(folder: Path, language: str, size: Size) -> None:
    config = HifiganConfig(audio=_audio(), output_path=ELSEWHERE, data_path=f"/data/{language}")
    config.generator_model_params["upsample_initial_channel"] = size.vocoder
    model = GAN(config)
    with torch.no_grad():
        for parameter in model.model_g.conv_post.parameters():
            parameter.mul_(4)
    weights = {name: value for name, value in model.state_dict().items() if "model_g" in name}
    weights |= {"model_d.nets.0.bias": torch.zeros(4)}  # the discriminator is in there as well
    _save(folder, config.to_dict(), weights)


def _save(folder: Path, settings: dict[str, Any], weights: dict[str, Any]) -> None:
    (folder / "config.json").write_text(json.dumps(settings, indent=4), encoding="utf-8")
    state = {
        "config": settings, "model": {_old(name): value for name, value in weights.items()},
        "optimizer": {"state": {}, "param_groups": []}, "scaler": None, "step": 190_000,
        "epoch": 2499, "date": "August 20, 2022", "model_loss": np.float64(0.25),
    }  # fmt: skip
    torch.save(state, folder / "best_model.pth")


def _old(name: str) -> str:
    """Weight norm as torch named it before parametrizations."""
    for new, old in (("original0", "weight_g"), ("original1", "weight_v")):
        name = name.replace(f"parametrizations.weight.{new}", old)
    return name


def main() -> None:
    logging.getLogger("TTS").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("languages", nargs="*", default=["hi"])
    parser.add_argument("--full", action="store_true", help="of the published models' size")
    arguments = parser.parse_args()
    for language in arguments.languages:
        make(arguments.folder, language, FULL if arguments.full else TINY)


if __name__ == "__main__":
    main()
