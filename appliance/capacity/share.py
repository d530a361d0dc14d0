"""The servers planned for a stage, shared among the kinds of servers that make it up."""

from __future__ import annotations

from collections.abc import Sequence


def share(servers: int, bounds: Sequence[tuple[int, int]]) -> list[int]:
    """How many of ``servers`` each kind gets; ``bounds`` are (least, most) of each.

    Everyone gets its least; what is more goes to those that may grow, by how much they may (the
    method of the largest remainder), for nothing else is known of them in advance. Load tells more.
    """
    got = [least for least, _ in bounds]
    rooms = [most - least for least, most in bounds]
    room = sum(rooms)
    more = min(max(0, servers - sum(got)), room)
    if not more:
        return got
    parts = [divmod(more * own, room) for own in rooms]
    got = [number + whole for number, (whole, _) in zip(got, parts, strict=True)]
    left = more - sum(whole for whole, _ in parts)
    for position in sorted(range(len(parts)), key=lambda at: -parts[at][1])[:left]:
        got[position] += 1
    return got
