"""A sentence encoder: texts to unit vectors, as the model was trained to be asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from appliance.errors import UserError
from appliance.models.encoder_files import DIMENSIONS, Encoder, Pooling
from appliance.models.encoder_session import Compute, EncoderSession

Kind = Literal["query", "passage"]


class SentenceEncoder:
    """The loaded model; :meth:`embed` may be called from several threads."""

    def __init__(
        self, encoder: Encoder, cache_dir: Path, *, threads: int = 1, compute: Compute = "float32"
    ) -> None:
        """Raises UserError: the model cannot be loaded, or makes no vectors."""
        self._session = EncoderSession(encoder, cache_dir, threads=threads, compute=compute)
        self._encoder = encoder
        suffix = "" if compute == "float32" else f"+{compute}"
        self.name = f"{encoder.name}@{encoder.revision()}{suffix}"
        """Name and revision: vectors under two names cannot be compared."""
        if self.embed(["one"]).shape != (1, DIMENSIONS):
            raise UserError(f"{encoder.folder} makes no vectors of {DIMENSIONS} numbers.")

    def prompted(self, text: str, kind: Kind) -> str:
        """``text`` as the model was trained to read it."""
        return self._encoder.prompts.get(kind, "") + text

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit-length vector a text (already prompted): float32 [batch, 384]."""
        if not texts:
            return np.zeros((0, DIMENSIONS), np.float32)
        output, mask = self._session.run(self._session.tokens(texts))
        return output if output.ndim == 2 else self._pooled(output, mask)

    def _pooled(self, states: NDArray[np.float32], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """Of a published graph that ends in a state for each token."""
        if self._encoder.pooling is Pooling.FIRST:
            vectors = states[:, 0]
        else:
            kept = mask[:, :, None].astype(np.float32)
            vectors = (states * kept).sum(1) / kept.sum(1)
        unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit
