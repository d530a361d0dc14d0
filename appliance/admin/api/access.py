"""Who may call a route: each one names its permission, in its signature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Request

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.errors import UserError


class UnauthorizedError(UserError):
    """Nobody has logged in, and no key was shown; HTTP 401."""


NOBODY = "Log in, or send Authorization: Bearer with an API key."


def needs(permission: Permission | None) -> Any:
    """The dependency of a route: the Actor, who has ``permission`` (None: whoever has logged in).

    As ``actor: Annotated[Actor, needs(Permission.CALLS_READ)]``.
    """
    return Depends(_asked(permission))


def _asked(permission: Permission | None) -> Callable[[Request], Actor]:
    def actor_of(request: Request) -> Actor:
        actor: Actor | None = getattr(request.state, "actor", None)
        if actor is None:
            raise UnauthorizedError(NOBODY)
        if permission is not None:
            actor.require(permission)
        return actor

    actor_of.permission = permission  # type: ignore[attr-defined]  # for the test of all routes
    return actor_of


def _console(request: Request) -> Console:
    console: Console = request.state.console
    return console


ConsoleOf = Annotated[Console, Depends(_console)]
