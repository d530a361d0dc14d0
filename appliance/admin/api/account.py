"""``/account``: one's own, for whoever has logged in with a browser."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, StringConstraints

from appliance.access.actor import Actor
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.api.users import ShownUser
from appliance.admin.services import account

router = APIRouter(prefix="/account", tags=["account"])

Anybody = Annotated[Actor, needs(None)]
SessionId = Annotated[str, Path(min_length=1, max_length=64)]
Password = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Code = Annotated[str, StringConstraints(min_length=1, max_length=40)]
Ticket = Annotated[str, StringConstraints(min_length=1, max_length=2000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ChangedPassword(_Body):
    """The password that one has, and the one to have."""

    old: Password
    new: Password


class Language(_Body):
    """Of the console."""

    language: Literal["en", "hi"]


class Proof(_Body):
    """The password once more, before something that matters."""

    password: Password
    code: Annotated[str, StringConstraints(max_length=40)] = ""
    """Of the second factor that one has, if any; or a recovery code."""


class FirstCode(_Body):
    """The first code of a new second factor."""

    ticket: Ticket
    """As it was given when the second factor was begun."""
    code: Code


class ACode(_Body):
    """A code of the second factor, or a recovery code."""

    code: Code


class BothProofs(_Body):
    """Password and code."""

    password: Password
    code: Code


class ShownAccount(BaseModel):
    """Oneself."""

    user: ShownUser
    permissions: list[str]
    second_factor_required: bool
    recovery_codes_left: int


class ShownSession(BaseModel):
    """A browser that one is logged in with."""

    id: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    address: str
    browser: str
    is_this: bool


class ShownEnrolment(BaseModel):
    """A second factor that waits for its first code."""

    secret: str
    uri: str
    ticket: str


class RecoveryCodes(BaseModel):
    """Each lets one in once; they are not shown again."""

    recovery_codes: list[str]


@router.get("", summary="Show oneself")
async def show_account(console: ConsoleOf, actor: Anybody) -> ShownAccount:
    """Who one is and what one may do."""
    mine = await account.show_mine(console, actor)
    return ShownAccount(
        user=ShownUser.model_validate(mine.user),
        permissions=list(mine.permissions),
        second_factor_required=mine.second_factor_required,
        recovery_codes_left=mine.user.recovery_left,
    )


@router.post("/password", status_code=204, summary="Change one's password")
async def change_password(console: ConsoleOf, actor: Anybody, body: ChangedPassword) -> None:
    """All other sessions end."""
    await account.change_password(console, actor, body.old, body.new)


@router.put("/language", status_code=204, summary="Choose the console's language")
async def set_language(console: ConsoleOf, actor: Anybody, body: Language) -> None:
    """From the next page on."""
    await account.set_language(console, actor, body.language)


@router.get("/sessions", summary="List one's sessions")
async def list_sessions(console: ConsoleOf, actor: Anybody) -> list[ShownSession]:
    """The latest first."""
    return [
        ShownSession(
            id=one.session.id, created_at=one.session.created_at, seen_at=one.session.seen_at,
            expires_at=one.session.expires_at, address=one.session.address,
            browser=one.session.browser, is_this=one.is_this,
        )
        for one in await account.list_sessions(console, actor)
    ]  # fmt: skip


@router.delete("/sessions/{session_id}", status_code=204, summary="End one of one's sessions")
async def end_session(console: ConsoleOf, actor: Anybody, session_id: SessionId) -> None:
    """At once."""
    await account.end_session(console, actor, session_id)


@router.delete("/sessions", summary="End all of one's sessions but this one")
async def end_other_sessions(console: ConsoleOf, actor: Anybody) -> dict[str, int]:
    """Says how many."""
    return {"ended": await account.end_other_sessions(console, actor)}


@router.post("/second-factor", summary="Begin a second factor")
async def begin_second_factor(console: ConsoleOf, actor: Anybody, body: Proof) -> ShownEnrolment:
    """It is in force once a code of it has come back."""
    begun = await account.begin_second_factor(console, actor, body.password, body.code)
    return ShownEnrolment(secret=begun.secret, uri=begun.uri, ticket=begun.ticket)


@router.post("/second-factor/confirm", summary="Put a second factor in force")
async def confirm_second_factor(
    console: ConsoleOf, actor: Anybody, body: FirstCode
) -> RecoveryCodes:
    """Other sessions end."""
    codes = await account.confirm_second_factor(console, actor, body.ticket, body.code)
    return RecoveryCodes(recovery_codes=codes)


@router.post("/second-factor/recovery-codes", summary="Make new recovery codes")
async def renew_recovery_codes(console: ConsoleOf, actor: Anybody, body: ACode) -> RecoveryCodes:
    """The old ones are worth nothing from then on."""
    codes = await account.renew_recovery_codes(console, actor, body.code)
    return RecoveryCodes(recovery_codes=codes)


@router.post("/second-factor/remove", status_code=204, summary="Take one's second factor off")
async def remove_second_factor(console: ConsoleOf, actor: Anybody, body: BothProofs) -> None:
    """Not where everybody must have one."""
    await account.remove_second_factor(console, actor, body.password, body.code)
