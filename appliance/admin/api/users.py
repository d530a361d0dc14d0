"""``/users``: who logs in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, StringConstraints

from appliance.access.actor import Actor
from appliance.access.roles import Permission, Role
from appliance.access.users import Made, Profile
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.services import users

router = APIRouter(prefix="/users", tags=["users"])

Reader = Annotated[Actor, needs(Permission.USERS_READ)]
Editor = Annotated[Actor, needs(Permission.USERS_EDIT)]
Id = Annotated[int, Path(ge=1, le=(1 << 63) - 1)]


class UserProfile(BaseModel):
    """What is set of a person."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, StringConstraints(max_length=100)] = ""
    role: Role
    tenant: Annotated[str, StringConstraints(max_length=40)] | None = None
    """None: the operator's own staff."""
    language: Literal["en", "hi"] = "en"

    def profile(self) -> Profile:
        return Profile(self.name, self.role, self.tenant, self.language)


class NewUser(UserProfile):
    """A person to be made."""

    login: Annotated[str, StringConstraints(min_length=2, max_length=64)]


class ShownUser(BaseModel):
    """A person."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    login: str
    name: str
    tenant: str | None
    role: str
    language: str
    enabled: bool
    must_change: bool
    """Their password came from somebody else."""
    has_second_factor: bool
    locked_until: datetime | None
    """After too many wrong passwords; a time in the past means nothing."""
    created_at: datetime
    last_login_at: datetime | None


class NewPassword(BaseModel):
    """A person, and the password to tell them; it is shown once, and must be changed at the login."""

    user: ShownUser
    one_time_password: str

    @classmethod
    def of(cls, made: Made) -> NewPassword:
        user = ShownUser.model_validate(made.user)
        return cls(user=user, one_time_password=made.one_time_password)


@router.get("", summary="List users")
async def list_users(console: ConsoleOf, actor: Reader) -> list[ShownUser]:
    """Everybody of one's tenant, by login."""
    found = await users.list_users(console, actor)
    return [ShownUser.model_validate(user) for user in found]


@router.post("", status_code=201, summary="Make a user")
async def create_user(console: ConsoleOf, actor: Editor, body: NewUser) -> NewPassword:
    """With a password for one time. Nobody may be given more than one may oneself."""
    return NewPassword.of(await users.create_user(console, actor, body.login, body.profile()))


@router.get("/{user_id}", summary="Show a user")
async def show_user(console: ConsoleOf, actor: Reader, user_id: Id) -> ShownUser:
    """One person."""
    return ShownUser.model_validate(await users.find_user(console, actor, user_id))


@router.put("/{user_id}", summary="Change a user")
async def change_user(
    console: ConsoleOf, actor: Editor, user_id: Id, body: UserProfile
) -> ShownUser:
    """Name, role, tenant, language. A new role or tenant ends their sessions."""
    changed = await users.change_user(console, actor, user_id, body.profile())
    return ShownUser.model_validate(changed)


@router.post("/{user_id}/disable", summary="Shut a user out")
async def disable_user(console: ConsoleOf, actor: Editor, user_id: Id) -> ShownUser:
    """Sessions and API keys end at once."""
    return ShownUser.model_validate(await users.set_enabled(console, actor, user_id, False))


@router.post("/{user_id}/enable", summary="Let a user in again")
async def enable_user(console: ConsoleOf, actor: Editor, user_id: Id) -> ShownUser:
    """Also ends a lock after too many wrong passwords."""
    return ShownUser.model_validate(await users.set_enabled(console, actor, user_id, True))


@router.post("/{user_id}/reset-password", summary="Give a user a new password")
async def reset_password(console: ConsoleOf, actor: Editor, user_id: Id) -> NewPassword:
    """A password for one time. Their sessions end."""
    return NewPassword.of(await users.reset_password(console, actor, user_id))


@router.post("/{user_id}/reset-second-factor", summary="Take a lost second factor away")
async def reset_second_factor(console: ConsoleOf, actor: Editor, user_id: Id) -> ShownUser:
    """Their sessions end."""
    return ShownUser.model_validate(await users.reset_second_factor(console, actor, user_id))
