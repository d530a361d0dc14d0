"""Callers who wait for a worker with room: first come, first served."""

from __future__ import annotations


class WaitingRoom:
    """The line of callers; each is told to hold, and leaves when it is their turn or time is up."""

    def __init__(self, most: int) -> None:
        """``most``: callers who may wait at once."""
        self.most = most
        self._since_s: dict[str, float] = {}  # in the order of their coming; bounded by ``most``

    @property
    def count(self) -> int:
        """Who stands in line."""
        return len(self._since_s)

    def join(self, call_id: str, now_s: float) -> bool:
        """Stand in line, at the end unless one is in it already. False: it is too long."""
        if call_id not in self._since_s:
            if len(self._since_s) >= self.most:
                return False
            self._since_s[call_id] = now_s
        return True

    def leave(self, call_id: str) -> None:
        """Out of the line; without effect for one who is not in it."""
        self._since_s.pop(call_id, None)

    def waited_s(self, call_id: str, now_s: float) -> float:
        """For how long; 0 for one who is not in line."""
        return now_s - self._since_s.get(call_id, now_s)

    def is_next(self, call_id: str) -> bool:
        """Whether the next free place is theirs."""
        return next(iter(self._since_s), None) == call_id

    def ahead_of(self, call_id: str) -> int:
        """How many stand before them; all, for one who is not in line."""
        places = list(self._since_s)
        return places.index(call_id) if call_id in self._since_s else len(places)
