"""How far a restore has come: a small file, so that one that was killed is gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from appliance.files import sync_folder, write_whole

JOURNAL_FILE = "restoring.json"
"""In data_dir, while a restore is not over."""


class Journal(BaseModel):
    """What stands in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Of the backup."""
    stamp: str
    """Of what was taken aside."""
    dumped: bool = False
    """The database that was here is aside, as a dump."""

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """None: no restore is under way."""
        try:
            return cls.model_validate_json(file.read_bytes())
        except (OSError, ValidationError):
            return None

    def write(self, file: Path) -> None:
        """On the disk when this returns. Raises OSError."""
        write_whole(file, self.model_dump_json().encode(), mode=0o600, sync=True)
        sync_folder(file.parent, if_it_can=True)
