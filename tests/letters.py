"""A tiny real embedder for tests: unit vectors of letter counts."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.engines.base import Kind
from appliance.errors import EngineError


class Letters:
    """``down_after``: it refuses after so many texts; ``asked`` are the texts it was asked for."""

    def __init__(self, down_after: int = 1_000_000, model: str = "letters") -> None:
        self.left = down_after
        self.model = model
        self.asked: list[str] = []

    async def embed(self, texts: Sequence[str], kind: Kind = "") -> list[list[float]]:
        self.left -= len(texts)
        if self.left < 0:
            raise EngineError("embed", "down")
        self.asked += texts
        rows = []
        for text in texts:
            counts = [1.0] + [float(text.lower().count(chr(97 + n))) for n in range(26)]
            norm = sum(c * c for c in counts) ** 0.5
            rows.append([c / norm for c in counts] + [0.0] * (384 - 27))
        return rows
