"""What an upgrade in progress has done: one small file, on disk before the next step begins. Another
names the one service that is stopped at this moment: nobody sees of a service that does not run
that it should.

Whoever comes after a power cut or a ``kill -9`` reads in it how far it came and which way it was going.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import orjson

from appliance.errors import UserError
from appliance.files import sync_folder, write_whole
from appliance.ops.releases.release import Place


class Step(StrEnum):
    """The steps of an upgrade, in their order. Each may be done again."""

    LAY = "lay"
    BACK_UP = "back up"
    MIGRATE = "migrate"
    REPLAY = "replay"
    SWITCH = "switch"
    ROLL = "roll"
    CHECK = "check"


class Way(StrEnum):
    """Which way it goes."""

    FORWARD = "forward"
    BACK = "back"


@dataclass(frozen=True, slots=True)
class Progress:
    """An upgrade in progress."""

    old: str
    """Name of the release that was in force."""
    new: str
    """Name of the one that shall be."""
    done: tuple[Step, ...] = ()
    way: Way = Way.FORWARD
    why: str = ""
    """Why it goes back."""
    bad_before: tuple[str, ...] = ()
    """What `ivr doctor` called bad before it began."""
    spare: str = ""
    """The worker that was started to stand in for others: it is to be stopped."""
    reason: str = ""
    """Why a person had it go on in spite of what was found."""

    @property
    def has_switched(self) -> bool:
        """Whether units may already run the new release."""
        return Step.REPLAY in self.done


class Journal:
    """Keeps the :class:`Progress` of a place."""

    def __init__(self, place: Place) -> None:
        self._file = place.journal
        self._stopped = place.stopped
        self._root = place.root

    def read(self) -> Progress | None:
        """None: no upgrade is under way. Raises UserError for a file that nobody of ours wrote."""
        try:
            told = orjson.loads(self._file.read_bytes())
            return _progress(told)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as e:
            raise UserError(
                f"{self._file} cannot be understood ({e}). `ivr releases list` shows what runs;"
                " remove that file when it is as it should be."
            ) from e

    def write(self, progress: Progress) -> Progress:
        """Have it on disk when this returns."""
        write_whole(self._file, orjson.dumps(asdict(progress)), mode=0o644, sync=True)
        sync_folder(self._root)
        return progress

    def did(self, progress: Progress, step: Step) -> Progress:
        """Note a step as done."""
        return self.write(replace(progress, done=(*progress.done, step)))

    def end(self) -> None:
        """No upgrade is under way any more."""
        self._file.unlink(missing_ok=True)
        sync_folder(self._root)

    def stopped(self) -> str:
        """The service that somebody who was cut short had stopped, and may not have started again;
        empty: none."""
        try:
            return self._stopped.read_text().strip()
        except FileNotFoundError:
            return ""

    def note_stopped(self, name: str) -> None:
        """Have on disk that a service is about to be stopped; empty: it runs again."""
        if name:
            write_whole(self._stopped, name.encode(), mode=0o644, sync=True)
        else:
            self._stopped.unlink(missing_ok=True)
        sync_folder(self._root)


def _progress(told: dict[str, Any]) -> Progress:
    steps = tuple(Step(step) for step in told.pop("done"))
    way, bad = Way(told.pop("way")), tuple(map(str, told.pop("bad_before")))
    return Progress(done=steps, way=way, bad_before=bad, **told)


@contextmanager
def alone(place: Place) -> Iterator[None]:
    """Nobody else upgrades meanwhile. Raises UserError where somebody does."""
    place.root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(place.lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as e:
        raise UserError("Another upgrade or rollback is at work on this box; wait for it.") from e
    finally:
        os.close(descriptor)  # unlocks; a process that dies does so too
