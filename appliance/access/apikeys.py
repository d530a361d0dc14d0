"""API keys, ``ivr_PREFIX_SECRET``: what a program may do in the name of the person who made it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access import audit
from appliance.access.actor import Actor, ForbiddenError, NotFoundError
from appliance.access.roles import PERMISSIONS, Permission, Role
from appliance.errors import UserError
from appliance.store import api_keys as store
from appliance.store.api_keys import ApiKey, KeyInUse

MARK = "ivr"
PREFIX_BYTES = 5
"""Eight letters of Base32: shown, and looked up by."""
SECRET_BYTES = 32
LONGEST_KEY = 200
LONGEST_NAME = 80
MOST_OF_ONE = 50
"""Keys in force of one person."""
USED_EVERY = timedelta(minutes=1)
"""How exactly the database knows when a key was last used."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made."""

    key: ApiKey
    secret: str = field(repr=False)
    """The whole key, shown once."""


async def actor_of_key(
    engine: AsyncEngine, key: str, address: str, now: datetime | None = None
) -> Actor | None:
    """Whoever has this key: what its scopes and its owner's role both allow. None: no such key, or
    it is revoked or over, or its owner is disabled."""
    now = now or datetime.now(UTC)
    mark, _, rest = key.partition("_")
    prefix, _, secret = rest.partition("_")
    if mark != MARK or not secret or len(key) > LONGEST_KEY or not prefix.isascii():
        return None
    async with engine.connect() as connection:
        found = await store.find_by_prefix(connection, prefix.replace("\0", ""), now)
    if found is None or not hmac.compare_digest(found.key_hash, _hash(key)):
        return None
    if found.key.last_used_at is None or found.key.last_used_at <= now - USED_EVERY:
        async with engine.begin() as connection:
            await store.use(connection, found.key.id, now)
    return _actor(found, address)


def _actor(found: KeyInUse, address: str) -> Actor:
    role, key = Role(found.role), found.key
    return Actor(
        name=f"key {key.name} of {key.owner}",
        role=role,
        tenant=key.tenant,
        permissions=PERMISSIONS[role] & frozenset(key.scopes),
        via="key",
        user_id=key.user_id,
        address=address,
        language=found.language,
    )


async def create(
    engine: AsyncEngine,
    actor: Actor,
    name: str,
    scopes: frozenset[Permission],
    expires_at: datetime | None = None,
) -> NewKey:
    """A key of the actor's own, which may do no more than they. Raises UserError, ForbiddenError."""
    now = datetime.now(UTC)
    name = name.strip()
    if actor.user_id is None:
        raise UserError("A key belongs to a person; log in to make one.")
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise UserError(f"Give the key a name of at most {LONGEST_NAME} letters.")
    if not scopes:
        raise UserError("Choose at least one thing that the key may do.")
    if more := scopes - actor.permissions:
        raise ForbiddenError(f"You may not yourself: {', '.join(sorted(more))}.")
    if expires_at is not None and expires_at <= now:
        raise UserError("The key would be over already; choose a later day.")
    prefix = base64.b32encode(secrets.token_bytes(PREFIX_BYTES)).decode().lower()
    key = f"{MARK}_{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"
    async with engine.begin() as connection:
        mine = await store.list_keys(connection, user_id=actor.user_id)
        if sum(is_in_force(one, now) for one in mine) >= MOST_OF_ONE:
            raise UserError(f"You have {MOST_OF_ONE} keys already; revoke one that is not used.")
        key_id = await store.add_key(
            connection, prefix=prefix, key_hash=_hash(key), name=name, user_id=actor.user_id,
            scopes=sorted(scopes), expires_at=expires_at,
        )  # fmt: skip
        made = await store.find_key(connection, key_id)
        detail = {"name": name, "scopes": sorted(scopes), "expires_at": expires_at}
        await audit.append(connection, actor, "key.create", prefix, detail, actor.tenant)
    assert made is not None
    return NewKey(made, key)


async def revoke(engine: AsyncEngine, actor: Actor, key_id: int) -> None:
    """End a key of one's own; of another's, with users:edit. Raises NotFoundError, ForbiddenError."""
    async with engine.begin() as connection:
        key = await store.find_key(connection, key_id)
        if key is None or not _may_see(actor, key):
            raise NotFoundError("There is no such key.")
        if key.user_id != actor.user_id:
            actor.require(Permission.USERS_EDIT)
        if await store.revoke(connection, key_id, datetime.now(UTC)):
            detail = {"name": key.name, "owner": key.owner}
            await audit.append(connection, actor, "key.revoke", key.prefix, detail, key.tenant)


def is_in_force(key: ApiKey, now: datetime) -> bool:
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > now)


def _may_see(actor: Actor, key: ApiKey) -> bool:
    theirs = actor.may(Permission.USERS_READ) and actor.sees(key.tenant)
    return theirs or key.user_id == actor.user_id


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
