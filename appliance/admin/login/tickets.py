"""What a browser carries from one step of a login to the next: sealed, for ten minutes, in a cookie."""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from fastapi import Request, Response

from appliance.access import sealing
from appliance.settings import Settings

Stage = Literal["password", "code", "change", "enrol"]
COOKIE = "__Host-ivr-login"
PURPOSE = "login"
TICKET_S = 600
LONGEST_NEXT = 500
_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")
"""A path of ours: printable ASCII without a backslash, which browsers take for a slash."""
_NOT_NEXT = ("/login", "/logout", "/api/")


@dataclass(frozen=True, slots=True)
class Ticket:
    """How far somebody has come."""

    stage: Stage
    next: str
    language: str
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    """What the form must send back: another site's form cannot know it."""
    user_id: int = 0
    password_at: str = ""
    """When their password was set: a new one makes the ticket worthless."""
    factor: str = ""
    """The second factor that was proven."""
    enrolment: str = field(default="", repr=False)

    def at(self, stage: Stage, **changes: str) -> Ticket:
        """The same person at another stage, with a new form."""
        return replace(self, stage=stage, csrf=secrets.token_urlsafe(16), **changes)  # type: ignore[arg-type]


def give(response: Response, settings: Settings, ticket: Ticket) -> None:
    response.set_cookie(
        COOKIE, sealing.make_ticket(settings, PURPOSE, asdict(ticket)),
        max_age=TICKET_S, path="/", secure=True, httponly=True, samesite="strict",
    )  # fmt: skip


def take_away(response: Response) -> None:
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")


def read(request: Request, settings: Settings) -> Ticket | None:
    """None: there is none, or it is too old."""
    sealed = request.cookies.get(COOKIE, "")
    facts = sealing.read_ticket(settings, PURPOSE, sealed, TICKET_S) if sealed else None
    return Ticket(**facts) if facts else None


def is_its_form(ticket: Ticket, csrf: str) -> bool:
    """Whether ``csrf`` came with the form that the ticket was given with."""
    return hmac.compare_digest(ticket.csrf.encode(), csrf.encode("utf-8", "replace"))


def safe_next(text: str) -> str:
    """A page of ours to go to after the login; anything else is the beginning."""
    ours = len(text) <= LONGEST_NEXT and _PATH.fullmatch(text)
    return text if ours and not text.startswith(_NOT_NEXT) else "/"
