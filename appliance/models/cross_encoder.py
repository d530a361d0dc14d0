"""A cross-encoder: reads a question and a text together, and says how well one answers the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.errors import UserError
from appliance.models.encoder_files import Encoder
from appliance.models.encoder_session import Compute, EncoderSession


class CrossEncoder:
    """The loaded model; :meth:`scores` may be called from several threads."""

    def __init__(
        self, encoder: Encoder, cache_dir: Path, *, threads: int = 1, compute: Compute = "float32"
    ) -> None:
        """Raises UserError: the model cannot be loaded, or gives no single score."""
        self._session = EncoderSession(encoder, cache_dir, threads=threads, compute=compute)
        self._is_ours = bool(encoder.weights)
        suffix = "" if compute == "float32" else f"+{compute}"
        self.name = f"{encoder.name}@{encoder.revision()}{suffix}"
        if self.scores([("one", "two")]).shape != (1,):
            raise UserError(f"{encoder.folder} gives more than one score for a text.")

    def scores(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """One score, 0 to 1, for each (question, text): float32 [batch]."""
        if not pairs:
            return np.zeros(0, np.float32)
        output, _ = self._session.run(self._session.tokens(list(pairs)))
        if self._is_ours:
            return output
        logits = output[:, 0] if output.ndim == 2 and output.shape[1] == 1 else output
        scores: NDArray[np.float32] = (1 / (1 + np.exp(-logits))).astype(np.float32)
        return scores
