"""How the last backup ended, and the last drill: kept here, for alarms and for the console."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from appliance.errors import UserError
from appliance.files import write_whole
from appliance.ops.backup.keys import recipients_of
from appliance.settings import Settings

STATE_FILE = "last.json"


class State(BaseModel):
    """The file ``last.json`` in ``backup_state_dir``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    tried_at: datetime | None = None
    error: str = ""
    """Why the last try failed; empty: it did not."""
    good_at: datetime | None = None
    """When the last complete one was begun."""
    name: str = ""
    seconds: float = 0.0
    bytes: int = 0
    """Written by it."""
    read_bytes: int = 0
    drilled_at: datetime | None = None
    drill_error: str = ""


@dataclass(frozen=True, slots=True)
class BackupLook:
    """How it stands with the backups of this box."""

    has_key: bool
    state: State
    late_hours: float
    """``backup.late_hours``."""

    def age_hours(self, at_s: float) -> float | None:
        """Of the last complete one at that time (Unix seconds); None: there is none."""
        if self.state.good_at is None:
            return None
        return (at_s - self.state.good_at.timestamp()) / 3600


def read_state(settings: Settings) -> State:
    """What the last run left; an empty one where there was none, or it cannot be read."""
    try:
        return State.model_validate_json((settings.backup_state_dir / STATE_FILE).read_bytes())
    except (OSError, ValidationError):
        return State()


def write_state(settings: Settings, state: State) -> None:
    """Raises OSError."""
    path = settings.backup_state_dir / STATE_FILE
    write_whole(path, state.model_dump_json(indent=1).encode(), sync=True)


def look_at_backups(settings: Settings) -> BackupLook:
    """For alarms; never fails."""
    try:
        has_key = bool(recipients_of(settings))
    except UserError:
        has_key = False
    return BackupLook(has_key, read_state(settings), settings.backup.late_hours)
