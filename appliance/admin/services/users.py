"""People who log in: listed, made, changed, shut out."""

from __future__ import annotations

from appliance.access import users
from appliance.access.actor import Actor
from appliance.access.roles import Permission, Role
from appliance.access.users import Made, Profile
from appliance.admin.console import Console
from appliance.store.users import User


async def list_users(console: Console, actor: Actor) -> list[User]:
    """Everybody of the actor's tenant; for the operator's staff everybody. By login."""
    actor.require(Permission.USERS_READ)
    return await users.list_visible(console.engine, actor)


async def find_user(console: Console, actor: Actor, user_id: int) -> User:
    """Raises NotFoundError."""
    actor.require(Permission.USERS_READ)
    return await users.find(console.engine, actor, user_id)


async def create_user(console: Console, actor: Actor, login: str, profile: Profile) -> Made:
    """With a password for one time, which the result has. Raises ForbiddenError, UserError."""
    actor.require(Permission.USERS_EDIT)
    return await users.create(console.engine, actor, login, profile)


async def change_user(console: Console, actor: Actor, user_id: int, profile: Profile) -> User:
    """A new role or tenant ends their sessions. Raises NotFoundError, ForbiddenError, UserError."""
    actor.require(Permission.USERS_EDIT)
    return await users.change(console.engine, actor, user_id, profile)


async def set_enabled(console: Console, actor: Actor, user_id: int, enabled: bool) -> User:
    """Shut out at once, or let in again, a lock included. Raises as :func:`change_user`."""
    actor.require(Permission.USERS_EDIT)
    return await users.set_enabled(console.engine, actor, user_id, enabled)


async def reset_password(console: Console, actor: Actor, user_id: int) -> Made:
    """A password for one time, which the result has. Raises NotFoundError, ForbiddenError."""
    actor.require(Permission.USERS_EDIT)
    return await users.reset_password(console.engine, actor, user_id)


async def reset_second_factor(console: Console, actor: Actor, user_id: int) -> User:
    """For somebody who has lost theirs. Raises NotFoundError, ForbiddenError."""
    actor.require(Permission.USERS_EDIT)
    return await users.reset_second_factor(console.engine, actor, user_id)


def roles_to_give(actor: Actor) -> list[Role]:
    """Those that the actor may give."""
    return users.roles_to_give(actor)
