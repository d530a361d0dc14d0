"""The places of a document's passages, where some of them keep theirs. Pure.

A row that is written again is written into its base's index of vectors again (3 ms), so a passage that
stays keeps its row and its place, and new ones get fractions between their neighbours'.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise

LEAST_GAP = 1e-9
"""Between two places; a double tells 1e-11 apart at the 100 000th passage. As much as 30 documents in
a row take that put something new at one spot: its neighbours are written anew then."""


def arranged(count: int, kept: Mapping[int, float]) -> tuple[dict[int, float], set[int]]:
    """New places for a document of ``count`` passages of which those of ``kept`` (number in the
    document → place it has) were there before.

    Returns the place of each passage to be written, and which of ``kept`` are to be among these: those
    that moved, and neighbours of a spot without room.
    """
    staying = {number: kept[number] for number in _in_order(kept)}
    while True:
        places, crowded = _between(count, staying)
        if not crowded:
            return places, kept.keys() - staying.keys()
        for number in crowded:
            del staying[number]


def _in_order(kept: Mapping[int, float]) -> Sequence[int]:
    """As many as possible whose places rise with their numbers (the longest increasing subsequence,
    by patience sorting)."""
    numbers = sorted(kept)
    tops: list[float] = []
    top_numbers: list[int] = []
    before: dict[int, int | None] = {}
    for number in numbers:
        at = bisect_left(tops, kept[number])
        before[number] = top_numbers[at - 1] if at else None
        tops[at : at + 1] = [kept[number]]
        top_numbers[at : at + 1] = [number]
    found: list[int] = []
    last = top_numbers[-1] if top_numbers else None
    while last is not None:
        found.append(last)
        last = before[last]
    return found[::-1]


def _between(count: int, staying: Mapping[int, float]) -> tuple[dict[int, float], set[int]]:
    """Places for all others, and the neighbours of spots where there is no room for them."""
    if not staying:
        return {number: float(number) for number in range(count)}, set()
    numbers = sorted(staying)
    first, last = numbers[0], numbers[-1]
    places = {number: staying[first] - (first - number) for number in range(first)}
    places |= {number: staying[last] + (number - last) for number in range(last + 1, count)}
    crowded: set[int] = set()
    for left, right in pairwise(numbers):
        gap = (staying[right] - staying[left]) / (right - left)
        if right - left > 1 and gap < LEAST_GAP:
            crowded |= {left, right}
        for number in range(left + 1, right):
            places[number] = staying[left] + gap * (number - left)
    return places, crowded
