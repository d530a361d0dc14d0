"""A phrase as the pieces that a voice speaks at once: sentences, cut where they grow long.

A piece is synthesised whole, so its length is what the first sound waits for, and attention costs
its square.
"""

from __future__ import annotations

import re

LONGEST_PIECE = 200
"""Letters, some 15 s of speech; the models were trained on utterances of up to 20 s."""
_SENTENCE = re.compile(r"(?<=[.?!।॥|۔…])[\s]+|\n+|(?<=[।॥])")
_CLAUSE = re.compile(r"(?<=[,;:،])\s+")


def pieces(text: str) -> list[str]:
    """``text`` in pieces of at most ``LONGEST_PIECE`` letters, cut at the best place there is."""
    sentences = [part.strip() for part in _SENTENCE.split(text)]
    return [piece for sentence in sentences if sentence for piece in _short(sentence)]


def _short(sentence: str) -> list[str]:
    if len(sentence) <= LONGEST_PIECE:
        return [sentence]
    return _joined([word for clause in _CLAUSE.split(sentence) for word in _fitting(clause)])


def _fitting(clause: str) -> list[str]:
    """The clause, or its words, or parts of words that are longer than a piece."""
    if len(clause) <= LONGEST_PIECE:
        return [clause]
    return [
        word[at : at + LONGEST_PIECE]
        for word in clause.split()
        for at in range(0, len(word), LONGEST_PIECE)
    ]


def _joined(parts: list[str]) -> list[str]:
    """Neighbours together, as long as they fit in one piece."""
    joined: list[str] = []
    for part in parts:
        if joined and len(joined[-1]) + 1 + len(part) <= LONGEST_PIECE:
            joined[-1] += f" {part}"
        else:
            joined.append(part)
    return joined
