"""What a backup says of itself: in the open what a box without the identity must know, sealed; and
inside the encryption what is nobody's business.
"""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.errors import UserError
from appliance.ops.backup.keys import sealed

FORMAT = 1
MANIFEST, DATABASE, FILES, OBJECTS = "manifest.json", "database.age", "files.age", "objects"
LARGEST_MANIFEST_BYTES = 1 << 20
LARGEST_CONTENTS_BYTES = 1 << 29
"""Two million recordings."""
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
ObjectId = Annotated[str, Field(pattern="^[0-9a-f]{40}$")]
Name = Annotated[str, Field(pattern=r"^\d{8}T\d{6}Z$")]


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(_Facts):
    """One file of the backup, as it lies on the target."""

    bytes: int = Field(ge=0)
    sha256: Hash


class Manifest(_Facts):
    """The file ``manifest.json``: it stands only in a backup that is complete."""

    format: Literal[1]
    name: Name
    made_at: datetime
    release: str
    """Version of the appliance that made it."""
    revision: str
    """Of the migrations."""
    server_version: int
    """Of Postgres: 180004."""
    tool_version: int
    """Major version of the ``pg_dump`` that wrote it: one as new must read it."""
    scheduled: bool
    drilled: bool
    """It was restored into a scratch database while it was made, and was the same there."""
    parts: dict[Literal["database.age", "files.age", "objects"], Part]
    object_count: int = Field(ge=0)
    object_bytes: int = Field(ge=0)
    """Encrypted, those that earlier backups list too included."""
    database_bytes: int = Field(ge=0)
    """On the server's disk: what a restore needs there."""
    plain_bytes: int = Field(ge=0)
    """Of recordings and other large files: what a restore needs in data_dir."""
    seal: str = ""
    """HMAC over all other fields."""

    def with_seal(self, seal: str) -> Manifest:
        """The same, sealed."""
        return self.model_copy(update={"seal": sealed(seal, "manifest", self._plain())})

    def is_sealed_by(self, seal: str) -> bool:
        """Whether it was made by a box that has that secret."""
        return hmac.compare_digest(self.seal, sealed(seal, "manifest", self._plain()))

    def to_bytes(self) -> bytes:
        """JSON, indented: people look into it."""
        return orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_INDENT_2)

    def _plain(self) -> bytes:
        facts = self.model_dump(mode="json", exclude={"seal"})
        return orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)


class Table(_Facts):
    """One table of the database, as :class:`store.backing.TableSum`."""

    name: str
    rows: int
    sum: str


class Kept(_Facts):
    """A large file."""

    tree: Literal["recordings", "announcements", "models"]
    path: str
    """Below its folder, with slashes."""
    id: ObjectId
    bytes: int = Field(ge=0)
    sha256: Hash
    mtime_ns: int
    mode: int = Field(ge=0, le=0o777)


class Model(_Facts):
    """A folder of ``models/``: its weights are fetched again by name, or kept too."""

    name: str
    bytes: int
    files: int
    checkpoint: str
    """What its own manifest says, as text; empty: it has none."""


class Contents(_Facts):
    """The file ``contents.json``, first in ``files.age``."""

    tables: tuple[Table, ...]
    audit_head: str
    kept: tuple[Kept, ...]
    models: tuple[Model, ...]
    host: str
    data_dir: str


def read_manifest(data: bytes, where: str) -> Manifest:
    """Raises UserError: it is none, or of a format that this release does not know."""
    try:
        facts = orjson.loads(data)
        if isinstance(facts, dict) and isinstance(facts.get("format"), int):
            if facts["format"] > FORMAT:
                raise UserError(
                    f"{where} was made by a newer release ({facts.get('release', '?')}). Install that"
                    " release first, then restore."
                )
        return Manifest.model_validate(facts)
    except (orjson.JSONDecodeError, ValidationError) as e:
        raise UserError(f"{where} is no manifest of a backup; it is damaged or foreign.") from e


def read_contents(data: bytes) -> Contents:
    """Raises UserError."""
    try:
        return Contents.model_validate(orjson.loads(data))
    except (orjson.JSONDecodeError, ValidationError) as e:
        raise UserError("The list of contents in this backup is damaged.") from e
