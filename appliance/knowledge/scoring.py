"""How sure a passage answers a question: one number, 0 to 1, the same for every way of search.

Measured on the sample helpline (42 passages; ``bench/retrieval.py`` prints it again): see
:data:`ANSWER_FLOOR`.
"""

from __future__ import annotations

LEXICAL_WEIGHT = 0.2
"""What the shared words add to the cosine. 0.0 / 0.1 / 0.2 / 0.3 put the right passage first for
44 / 46 / 46 / 46 of the 48 questions in tests/sunrise_questions.py."""

WORDS_ALONE = 0.75
"""The most that shared words are worth when the question could not be embedded."""

CONTEXT_FLOOR = 0.3
"""Below it a passage is not even shown to a language model."""

ANSWER_FLOOR = 0.42
"""Below it nothing is answered. On the sample 47 of 48 questions of its domain score higher
(0.43-1.0) and 20 of 20 others lower (highest 0.41)."""


def score(similarity: float | None, coverage: float) -> float:
    """``similarity``: cosine of question and passage, None when unknown; ``coverage``: the share
    of the question's words, by weight, that the passage holds."""
    if similarity is None:
        return WORDS_ALONE * coverage
    return min(1.0, max(0.0, similarity + LEXICAL_WEIGHT * coverage))
