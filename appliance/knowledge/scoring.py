"""How sure a passage answers a question: one number, 0 to 1, the same for every way of search.

Measured on the sample helpline: 42 passages, 48 questions of its domain in callers' own words, 20 on
other topics (tests/sunrise_questions.py). The weight was chosen on all of them, so expect a little
less of knowledge that was never seen; ``bench/retrieval.py`` prints the outcome of meaning
and words again.
"""

from __future__ import annotations

LEXICAL_WEIGHT = 0.2
"""What the shared words add to the cosine. With 0.0 / 0.1 / 0.2 / 0.3 the right passage is first for
45 / 47 / 47 / 47 of the 48."""

CONTEXT_FLOOR = 0.3
"""Below it a passage is not even shown to a language model; 4 of the 20 other topics reach it."""

ANSWER_FLOOR = 0.42
"""Below it nothing is answered. By meaning and words the 48 score 0.43 to 1.0, the 20 at most 0.41.
By words alone (embedder or Postgres away) it lets 28 of the 48 be answered, 22 of them rightly, and
1 of the 20."""


def score(similarity: float | None, coverage: float) -> float:
    """``similarity``: cosine of question and passage, None when unknown; ``coverage``: the share
    (0-1) of the question's words, by weight, that the passage holds."""
    if similarity is None:
        return coverage
    return min(1.0, max(0.0, similarity + LEXICAL_WEIGHT * coverage))
