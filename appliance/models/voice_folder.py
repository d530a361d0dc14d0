"""Where the voices of AI4Bharat's Indic-TTS lie: one folder a language, as their releases unpack.

``hi/fastpitch/{best_model.pth,config.json,speakers.pth}`` and ``hi/hifigan/{best_model.pth,
config.json}`` (github.com/AI4Bharat/Indic-TTS, releases). A model is such a folder, or a folder of
several.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import UserError
from appliance.languages import primary

ACOUSTIC, VOCODER = "fastpitch", "hifigan"
WEIGHTS, CONFIG, SPEAKERS = "best_model.pth", "config.json", "speakers.pth"
NEEDED = tuple(f"{part}/{name}" for part in (ACOUSTIC, VOCODER) for name in (WEIGHTS, CONFIG))
_LANGUAGE = re.compile(r"[a-z]{2,3}(\+[a-z]{2,3})?")
"""``hi``, ``brx``, or ``en+hi`` for English with Hindi words in it."""


@dataclass(frozen=True, slots=True)
class VoiceFolder:
    """The checkpoint of one language."""

    name: str
    """``hi``, ``en+hi``: what its voices' ids begin with."""
    folder: Path

    @property
    def language(self) -> str:
        """BCP 47 primary subtag: of a code-mixed voice, its first language."""
        return self.name.partition("+")[0]

    @property
    def acoustic(self) -> Path:
        return self.folder / ACOUSTIC

    @property
    def vocoder(self) -> Path:
        return self.folder / VOCODER

    def identity(self) -> str:
        """Changes when the checkpoint does: its settings, and size and time of its weights."""
        digest = hashlib.sha256()
        for part in (self.acoustic, self.vocoder):
            status = (part / WEIGHTS).stat()
            digest.update((part / CONFIG).read_bytes())
            digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
        return digest.hexdigest()[:20]


def voice_folders(model: Path, wanted: Sequence[str]) -> tuple[VoiceFolder, ...]:
    """The languages in ``model``, in the order of ``wanted`` (all, by name, if that is empty).

    Raises UserError when there is none, files are missing, or a language is not there.
    """
    if (model / ACOUSTIC).is_dir():
        found = [VoiceFolder(_language_of(model, wanted), model)]
    else:
        inside = sorted(path for path in model.iterdir() if (path / ACOUSTIC).is_dir())
        found = [VoiceFolder(_language_of(path, ()), path) for path in inside]
    if not found:
        raise UserError(
            f"{model} holds no voice: there is no folder {ACOUSTIC} in it, nor one in a folder of "
            "it. Unpack a release of AI4Bharat's Indic-TTS there (hi.zip makes hi/fastpitch)."
        )
    if wanted:
        found = [voice for language in wanted for voice in _speaking(language, found, model)]
    for voice in found:
        _check(voice)
    return tuple(found)


def _speaking(language: str, found: Sequence[VoiceFolder], model: Path) -> list[VoiceFolder]:
    there = [voice for voice in found if primary(language) in (voice.language, voice.name)]
    if not there:
        known = ", ".join(voice.name for voice in found)
        raise UserError(
            f"{model} does not speak {language!r}; it speaks {known}. Name one of these with "
            "--languages, or another --model."
        )
    return there


def _language_of(folder: Path, wanted: Sequence[str]) -> str:
    """By the folder's name (``hi``, ``indic-tts-hi``), or what it was trained on."""
    for text in (folder.name, folder.name.rpartition("-")[2]):
        if _LANGUAGE.fullmatch(text):
            return text
    if language := _trained_on(folder / ACOUSTIC / CONFIG):
        return language
    if len(wanted) == 1:
        return primary(wanted[0])
    raise UserError(f"Which language does {folder} speak? Name its folder so (hi), or --languages.")


def _trained_on(config: Path) -> str:
    try:
        datasets = json.loads(config.read_bytes())["datasets"]  # Infinity in it: not orjson's JSON
        language = datasets[0]["language"]
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    known = isinstance(language, str) and _LANGUAGE.fullmatch(language)
    return language if known else ""


def _check(voice: VoiceFolder) -> None:
    missing = [name for name in NEEDED if not (voice.folder / name).is_file()]
    if missing:
        raise UserError(
            f"The voice in {voice.folder} is not whole: {', '.join(missing)} missing. Unpack its "
            "release there again."
        )
