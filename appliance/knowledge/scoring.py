"""How sure a passage answers a question: one number, 0 to 1, the same for every way of search.

Measured on the sample helpline: 42 passages, 48 questions of its domain in callers' own words, 20 on
other topics (tests/sunrise_questions.py). The weight was chosen on all of them, so expect a little
less of knowledge that was never seen; ``bench/retrieval.py`` prints the outcome of meaning
and words again.
"""

from __future__ import annotations

from functools import lru_cache

LEXICAL_WEIGHT = 0.2
"""What the shared words add to the cosine. With 0.0 / 0.1 / 0.2 / 0.3 the right passage is first for
45 / 47 / 47 / 47 of the 48."""

CONTEXT_FLOOR = 0.3
"""Below it a passage is not even shown to a language model; 4 of the 20 other topics reach it."""

ANSWER_FLOOR = 0.42
"""Below it nothing is answered. By meaning and words the 48 score 0.43 to 1.0, the 20 at most 0.41.
By words alone (embedder or Postgres away) it lets 28 of the 48 be answered, 22 of them rightly, and
1 of the 20."""

UNRELATED = {"e5": 0.7}
"""The cosine that texts which have nothing to do with each other come to, by a part of the model's
name, where it is far from 0. E5: "the cosine similarity scores distribute around 0.7 to 1.0" (its
model card; it was trained at a temperature of 0.01)."""


def score(similarity: float | None, coverage: float, model: str = "") -> float:
    """``similarity``: cosine of question and passage, None when unknown; ``coverage``: the share
    (0-1) of the question's words, by weight, that the passage holds. ``model``: whose cosine it is:
    those of models with a narrow range are spread over 0 to 1 before they are held to the floors."""
    if similarity is None:
        return coverage
    unrelated = _unrelated(model)
    spread = (similarity - unrelated) / (1 - unrelated)
    return min(1.0, max(0.0, spread + LEXICAL_WEIGHT * coverage))


@lru_cache(maxsize=64)
def _unrelated(model: str) -> float:
    parts = model.lower().replace("/", "-").replace("@", "-").replace("_", "-").split("-")
    return next((level for name, level in UNRELATED.items() if name in parts), 0.0)
