"""Beam search over a CTC model's frames with a word language model (KenLM) and an agent's names.

pyctcdecode searches, KenLM knows which words follow which (Heafield 2011). Without either of them,
or of what they would weigh, the most probable path stands.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from appliance.errors import UserError, reason_of
from appliance.models.ctc import Letters, LogProbs

_log = logging.getLogger(__name__)

FOLDER = "language_model"
"""In a checkpoint of Hugging Face's Wav2Vec2ProcessorWithLM: attrs.json, unigrams.txt, and the
model as .arpa, .bin or .binary."""
BEAM_WIDTH = 32
"""pyctcdecode's default, 100, takes three times as long for the same words nearly always."""
HOT_WORD_WEIGHT = 6.0
"""In pyctcdecode's units (default 10): a name of the agent's must still be heard."""
MEND = "pip install '.[wav2vec2]'"
NEVER = -1e4
"""Log-probability of a control token."""


class Beam:
    """A search over a checkpoint's letters."""

    def __init__(self, decoder: Any, letters: Letters, knows_words: bool) -> None:
        """``knows_words``: it has a language model, not only the names of an agent."""
        self._decoder = decoder
        self._controls = sorted(letters.controls)
        self._knows_words = knows_words

    def search(self, frames: LogProbs, hot_words: Sequence[str]) -> str | None:
        """The most probable words, or None where there is nothing to weigh them by.

        Blocks for some 10 ms a second of audio.
        """
        if not len(frames) or not (self._knows_words or hot_words):
            return None
        allowed = np.array(frames)
        allowed[:, self._controls] = NEVER
        beams = self._decoder.decode_beams(
            allowed,
            beam_width=BEAM_WIDTH,
            hotwords=list(hot_words) or None,
            hotword_weight=HOT_WORD_WEIGHT,
        )
        return str(beams[0][0]) if beams else ""


def load_beam(folder: Path, letters: Letters) -> Beam | None:
    """The search with a checkpoint's language model; without one, or without KenLM, by an agent's
    names alone; None without pyctcdecode. One log line says which.

    Raises UserError for a language model that is damaged.
    """
    if not importlib.util.find_spec("pyctcdecode"):
        _log.warning("! pyctcdecode is not installed: no language model, no names; %s", MEND)
        return None
    for name in ("pyctcdecode.decoder", "pyctcdecode.language_model", "pyctcdecode.alphabet"):
        logging.getLogger(name).setLevel(logging.ERROR)  # chatter about every alphabet
    from pyctcdecode import BeamSearchDecoderCTC
    from pyctcdecode.alphabet import Alphabet

    model = _language_model(folder)
    decoder = BeamSearchDecoderCTC(Alphabet(_labels(letters), False), model)
    return Beam(decoder, letters, model is not None)


def _language_model(folder: Path) -> Any:
    if not (folder / FOLDER).is_dir():
        _log.info("= no %s in %s: finals are what is heard, and the agent's names", FOLDER, folder)
        return None
    if not importlib.util.find_spec("kenlm"):
        _log.warning(
            "! kenlm is not installed: the language model of %s is left out; %s", folder, MEND
        )
        return None
    from pyctcdecode.language_model import LanguageModel

    try:
        model = LanguageModel.load_from_dir(str(folder / FOLDER), unigram_encoding="utf-8")
    except Exception as e:  # the border of a load: KenLM's own errors are OSError and RuntimeError
        raise UserError(
            f"The language model in {folder / FOLDER} cannot be loaded: {reason_of(e)}. Fetch the "
            "model again, or remove that folder to hear without it."
        ) from e
    _log.info("= language model of %s", folder)
    return model


def _labels(letters: Letters) -> list[str]:
    """As pyctcdecode wants them: the blank is empty, the delimiter a space."""
    labels = list(letters.labels)
    labels[letters.blank], labels[letters.delimiter] = "", " "
    return labels
