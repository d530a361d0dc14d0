"""Is the box well under this release? Asked of the release itself: its own doctor, its own call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import orjson

from appliance.errors import UserError
from appliance.ops.releases.laying import run_ivr
from appliance.ops.releases.release import Place

DOCTOR_TIMEOUT_S = 180.0
CALL_WAIT_S = 60
CALL_TIMEOUT_S = 180.0


class Health(Protocol):
    """Looks at the box."""

    def bad(self, release: str) -> tuple[str, ...]:
        """What is bad, as codes that say the same of the same trouble. Raises UserError where that
        cannot be told."""

    def call(self, release: str) -> None:
        """Ring the box once. Raises UserError where it does not answer as it should."""


@dataclass(frozen=True, slots=True)
class Doctor:
    """`ivr doctor` of the release."""

    place: Place
    data_dir: Path

    def bad(self, release: str) -> tuple[str, ...]:
        said = run_ivr(
            self.place.ivr(release), "doctor", "--json",
            timeout_s=DOCTOR_TIMEOUT_S, owner_of=self.data_dir, statuses=(0, 1),
        )  # fmt: skip
        try:
            findings = orjson.loads(said.splitlines()[-1])["findings"]
            bad = {
                str(one.get("code") or one["check"]) for one in findings if one["state"] == "bad"
            }
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as e:
            raise UserError(f"`ivr doctor` of {release} did not say how the box is.") from e
        return tuple(sorted(bad))

    def call(self, release: str) -> None:
        ring(self.place.ivr(release), self.data_dir)


def ring(ivr: Path, data_dir: Path, environment: dict[str, str] | None = None) -> None:
    """Have a release ring the box that its settings (and ``environment``) name. Raises UserError with
    what was not as it should be."""
    said = run_ivr(
        ivr, "doctor", "--call", "--wait", str(CALL_WAIT_S), "--json",
        timeout_s=CALL_TIMEOUT_S, environment=environment, owner_of=data_dir, statuses=(0, 1),
    )  # fmt: skip
    try:
        told = orjson.loads(said.splitlines()[-1])
        bad = [str(one["what"]) for one in told["findings"] if one["state"] == "bad"]
    except (ValueError, KeyError, IndexError, TypeError) as e:
        raise UserError("`ivr doctor --call` did not say how the call went.") from e
    if bad or not told.get("good"):
        raise UserError(f"The box was rung: {' '.join(bad) or 'it is not well.'}")


def worse(before: Sequence[str], now: Sequence[str]) -> tuple[str, ...]:
    """What is bad now and was not."""
    return tuple(code for code in now if code not in before)
