"""``/keys``: API keys."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.services import keys
from appliance.store.api_keys import ApiKey

router = APIRouter(prefix="/keys", tags=["keys"])

Owner = Annotated[Actor, needs(Permission.KEYS_EDIT)]
Id = Annotated[int, Path(ge=1, le=(1 << 63) - 1)]


class WantedKey(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]
    scopes: Annotated[set[Permission], Field(min_length=1, max_length=len(Permission))]
    expires_at: AwareDatetime | None = None


class ShownKey(BaseModel):
    """A key, without its secret."""

    id: int
    prefix: str
    name: str
    owner: str
    scopes: list[str]
    state: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> ShownKey:
        return cls(
            id=key.id, prefix=key.prefix, name=key.name, owner=key.owner,
            scopes=list(key.scopes), state=keys.state_of(key), created_at=key.created_at,
            expires_at=key.expires_at, last_used_at=key.last_used_at,
        )  # fmt: skip


class MadeKey(BaseModel):
    """A new key; its secret is shown this once."""

    key: ShownKey
    secret: str


@router.get("", summary="List API keys")
async def list_keys(console: ConsoleOf, actor: Owner, everybodys: bool = False) -> list[ShownKey]:
    """One's own; with ``everybodys`` those of all people of one's tenant (needs users:read)."""
    found = await keys.list_keys(console, actor, everybodys=everybodys)
    return [ShownKey.of(key) for key in found]


@router.post("", status_code=201, summary="Make an API key")
async def create_key(console: ConsoleOf, actor: Owner, body: WantedKey) -> MadeKey:
    """It may do what its scopes and its owner's role both allow."""
    made = await keys.create_key(console, actor, body.name, frozenset(body.scopes), body.expires_at)
    return MadeKey(key=ShownKey.of(made.key), secret=made.secret)


@router.delete("/{key_id}", status_code=204, summary="Revoke an API key")
async def revoke_key(console: ConsoleOf, actor: Owner, key_id: Id) -> None:
    """One's own; anybody's of one's tenant with users:edit."""
    await keys.revoke_key(console, actor, key_id)
