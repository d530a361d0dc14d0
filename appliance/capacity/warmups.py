"""How long engine servers took to warm up: measured at every start, kept for the plan."""

from __future__ import annotations

import logging
from pathlib import Path

import orjson

from appliance.files import write_whole

_log = logging.getLogger(__name__)

FILE_NAME = "warm_up.json"
"""In ``data_dir``."""
KEPT = 8
"""Starts of each stage that are remembered."""
LONGEST_S = 3600.0


class WarmUps:
    """The last warm-ups of every stage; the slowest of them is what a plan may count on."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE_NAME
        self._seconds = _read(self._path)

    def seconds(self, stage: str, otherwise: float) -> float:
        """The slowest of the last starts of a stage; ``otherwise`` where none was measured."""
        return max(self._seconds.get(stage, ()), default=otherwise)

    def measured(self) -> dict[str, float]:
        """The same for every stage that was ever started here."""
        return {stage: max(seconds) for stage, seconds in self._seconds.items() if seconds}

    def add(self, stage: str, seconds: float) -> None:
        """Keep one more. A disk that is full costs the memory of it, and one log line."""
        # Others start servers of the same data_dir: what they measured meanwhile is kept too.
        self._seconds = _read(self._path) | self._seconds
        self._seconds[stage] = [*self._seconds.get(stage, ()), round(seconds, 2)][-KEPT:]
        try:
            write_whole(self._path, orjson.dumps(self._seconds))
        except OSError as e:
            _log.warning("! %s cannot be written: %s", self._path, e.strerror)


def _read(path: Path) -> dict[str, list[float]]:
    try:
        said = orjson.loads(path.read_bytes())
        read = {str(stage): [float(s) for s in seconds] for stage, seconds in said.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as e:
        _log.warning("! %s cannot be read (%s); warm-ups are measured anew", path, e)
        return {}
    return {
        stage: [s for s in seconds if 0 <= s <= LONGEST_S][-KEPT:]
        for stage, seconds in read.items()
    }
