"""The vectors of passages, for what is stored; questions are embedded where they are asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.engines.base import Embedder
from appliance.errors import EngineError

EMBED_AT_ONCE = 16
"""Texts in one request to the embedder: 0.2 s of its work for long passages."""
LONGEST_CHARS = 8000
"""Servers refuse more, and no model reads as much; a heading has no bound of its own."""


async def vectors_of(
    embedder: Embedder, texts: Sequence[tuple[str, str]]
) -> tuple[list[NDArray[np.float32]], str]:
    """A unit vector for each (heading, text), half the heading's and half the whole's; and the model
    that all of them come from.

    On the sample, by cosine alone, this puts the right passage first for 45 of 48 questions;
    heading and text in one vector for 43, headings alone for 42.

    Raises EngineError: no server gives them, or two servers gave those of two models.
    """
    models: set[str] = set()
    headings = await _embed(embedder, [heading or text for heading, text in texts], models)
    wholes = await _embed(embedder, [f"{heading} {text}" for heading, text in texts], models)
    if len(models) != 1:
        raise EngineError("embed", f"servers of several models answer: {', '.join(sorted(models))}")
    mean = headings + wholes
    return list(mean / np.linalg.norm(mean, axis=1, keepdims=True)), models.pop()


async def _embed(embedder: Embedder, texts: Sequence[str], models: set[str]) -> NDArray[np.float32]:
    vectors: list[list[float]] = []
    for begin in range(0, len(texts), EMBED_AT_ONCE):
        some = [text[:LONGEST_CHARS] for text in texts[begin : begin + EMBED_AT_ONCE]]
        vectors += await embedder.embed(some, "passage")
        models.add(embedder.model)
    return np.array(vectors, np.float32)
