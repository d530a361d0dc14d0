"""What callers waited for an answer in the last minutes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

WINDOW_S = 15 * 60
MOST = 50_000
"""Of all calls in the window, 55 a second; the oldest go."""


class Gaps:
    """Gaps of all calls, ms, by their agent."""

    def __init__(self) -> None:
        self._gaps: deque[tuple[float, str, int]] = deque(maxlen=MOST)

    def add(self, now_s: float, agent_id: str, gap_ms: int) -> None:
        """A caller waited ``gap_ms`` for an answer that began at ``now_s``."""
        self._gaps.append((now_s, agent_id, gap_ms))

    def recent(self, now_s: float, sees: Callable[[str], bool]) -> list[int]:
        """Those of the window whose agent passes ``sees``, in order of size."""
        while self._gaps and now_s - self._gaps[0][0] > WINDOW_S:
            self._gaps.popleft()
        known: dict[str, bool] = {}
        found = []
        for _, agent_id, gap_ms in self._gaps:
            if agent_id not in known:
                known[agent_id] = sees(agent_id)
            if known[agent_id]:
                found.append(gap_ms)
        return sorted(found)


def percentile(ordered: list[int], share: float) -> int | None:
    """Of values in order: the one at ``share`` (0 to 1); None without any."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
