"""API keys: one's own, and for those who look after people everybody's."""

from __future__ import annotations

from datetime import UTC, datetime

from appliance.access import apikeys
from appliance.access.actor import Actor
from appliance.access.apikeys import NewKey
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.store import api_keys as store
from appliance.store.api_keys import ApiKey


async def list_keys(console: Console, actor: Actor, *, everybodys: bool = False) -> list[ApiKey]:
    """The latest first. ``everybodys``: those of all people of the actor's tenant, which needs
    users:read."""
    actor.require(Permission.USERS_READ if everybodys else Permission.KEYS_EDIT)
    async with console.engine.connect() as connection:
        if everybodys:
            return await store.list_keys(connection, tenant=actor.tenant)
        return await store.list_keys(connection, user_id=actor.user_id or 0)


async def create_key(
    console: Console,
    actor: Actor,
    name: str,
    scopes: frozenset[Permission],
    expires_at: datetime | None = None,
) -> NewKey:
    """The key itself is in the result, and nowhere else. Raises UserError, ForbiddenError."""
    actor.require(Permission.KEYS_EDIT)
    return await apikeys.create(console.engine, actor, name, scopes, expires_at)


async def revoke_key(console: Console, actor: Actor, key_id: int) -> None:
    """Raises NotFoundError, ForbiddenError."""
    actor.require(Permission.KEYS_EDIT)
    await apikeys.revoke(console.engine, actor, key_id)


def state_of(key: ApiKey) -> str:
    """``in force``, ``revoked``, ``over`` or ``owner disabled``."""
    if key.revoked_at is not None:
        return "revoked"
    if not apikeys.is_in_force(key, datetime.now(UTC)):
        return "over"
    return "in force" if key.owner_enabled else "owner disabled"
