"""The login: password, then code, then what somebody must do before they begin.

No page but these is seen without a session, and no session is opened before every step is done: a new
password where the old one came from somebody else, a second factor where everybody must have one.
"""

from __future__ import annotations

from contextlib import suppress
from typing import cast
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.requests import ClientDisconnect

from appliance.access import account, proving
from appliance.access.account import actor_of_user
from appliance.access.actor import Actor, NotFoundError
from appliance.access.passwords import BusyError
from appliance.access.proving import Asked, Factor, WrongError
from appliance.admin.api.access import ConsoleOf
from appliance.admin.console import Console
from appliance.admin.gate import COOKIE
from appliance.admin.login import tickets
from appliance.admin.login.forms import language_of, qr_picture, render
from appliance.admin.login.tickets import Ticket
from appliance.admin.rates import Rates, site_of
from appliance.errors import UserError
from appliance.store import users as store
from appliance.store.users import Credentials

router = APIRouter(include_in_schema=False)

TRIES_A_MINUTE = 20
"""Of one address: passwords and codes together."""
LARGEST_FORM_BYTES = 16_384
MOST_FIELDS = 10

_TOO_OLD = "This page was open for too long. Log in again."
_TOO_OFTEN = "Too many tries from your address. Wait a minute."
_NOT_ALIKE = "The two passwords are not alike."
_THE_SAME = "This is the password that you have; choose another."
_BUSY = "Too many people are logging in at this moment. Try again in a second."


@router.get("/login")
async def login(request: Request, console: ConsoleOf, next: str = "", lang: str = "") -> Response:
    """Ask for login and password."""
    if request.state.actor is not None:
        return RedirectResponse(tickets.safe_next(next), 303)
    ticket = Ticket("password", tickets.safe_next(next), language_of(request, lang))
    return _ask(request, console, ticket)


@router.post("/login")
async def log_in(request: Request, console: ConsoleOf) -> Response:
    """Login and password."""
    form, ticket = await _form(request), tickets.read(request, console.settings)
    onward = tickets.safe_next(form.get("next", ""))
    if ticket is None or not tickets.is_its_form(ticket, form.get("csrf", "")):
        fresh = Ticket("password", onward, language_of(request))
        return _ask(request, console, fresh, _TOO_OLD, 400)
    ticket = Ticket("password", onward, ticket.language)
    typed = form.get("login", "")
    if not _may_try(request):
        return _ask(request, console, ticket, _TOO_OFTEN, 429, typed)
    try:
        found = await proving.prove_password(
            console.engine, console.settings, typed, form.get("password", ""), _asked(request)
        )
    except WrongError as e:
        return _ask(request, console, ticket, str(e), 401, typed)
    except BusyError:
        return _ask(request, console, ticket, _BUSY, 503, typed)
    proven = Ticket("code", onward, ticket.language, user_id=found.user.id, password_at=_at(found))
    if found.user.has_second_factor:
        return _go(console, proven)
    return await _after_factor(request, console, proven, found)


@router.get("/login/second-factor")
async def second_factor(request: Request, console: ConsoleOf) -> Response:
    """Ask for a code: of the second factor that they have, or of the one that they begin."""
    proven = await _proven(request, console, "code", "enrol")
    if proven is None:
        return _begin_again()
    return _ask(request, console, proven[0], found=proven[1])


@router.post("/login/second-factor")
async def check_second_factor(request: Request, console: ConsoleOf) -> Response:
    """The code."""
    form, proven = await _form(request), await _proven(request, console, "code", "enrol")
    if proven is None or not tickets.is_its_form(proven[0], form.get("csrf", "")):
        return _begin_again()
    ticket, found = proven
    if not _may_try(request):
        return _ask(request, console, ticket, _TOO_OFTEN, 429, found=found)
    try:
        if ticket.stage == "enrol":
            return await _enrol(request, console, ticket, found, form.get("code", ""))
        _, factor = await proving.prove_code(
            console.engine, console.settings, found.user.id, form.get("code", ""), _asked(request)
        )
    except UserError as e:
        return _ask(request, console, ticket.at(ticket.stage), str(e), 401, found=found)
    return await _after_factor(request, console, ticket.at("code", factor=factor), found)


@router.get("/login/password")
async def password(request: Request, console: ConsoleOf) -> Response:
    """Ask for a password of their own."""
    proven = await _proven(request, console, "change")
    if proven is None:
        return _begin_again()
    return _ask(request, console, proven[0], login=proven[1].user.login)


@router.post("/login/password")
async def choose_password(request: Request, console: ConsoleOf) -> Response:
    """The new password."""
    form, proven = await _form(request), await _proven(request, console, "change")
    if proven is None or not tickets.is_its_form(proven[0], form.get("csrf", "")):
        return _begin_again()
    ticket, found = proven
    login, new = found.user.login, form.get("new", "")
    if not _may_try(request):
        return _ask(request, console, ticket, _TOO_OFTEN, 429, login)
    if new != form.get("again", ""):
        return _ask(request, console, ticket.at("change"), _NOT_ALIKE, 400, login)
    try:
        if await account.is_password_of(found, new):
            return _ask(request, console, ticket.at("change"), _THE_SAME, 400, login)
        await account.choose_password(console.engine, _actor(request, found), new)
    except UserError as e:
        return _ask(request, console, ticket.at("change"), str(e), 400, login)
    async with console.engine.connect() as connection:
        changed = await store.credentials(connection, user_id=found.user.id)
    if changed is None:
        return _begin_again()
    return await _after_factor(
        request, console, ticket.at("code", password_at=_at(changed)), changed
    )


@router.post("/logout")
async def log_out(request: Request, console: ConsoleOf) -> Response:
    """End the session."""
    actor: Actor | None = request.state.actor
    if actor is not None and actor.via == "session":
        with suppress(NotFoundError):  # ended meanwhile
            await account.log_out(console.engine, actor)
    response = _begin_again()
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return response


@router.get("/login/none")
async def nothing(request: Request) -> Response:
    """For somebody whose role lets them see no page."""
    return render(request, "nothing", language_of(request), status=403)


async def _after_factor(
    request: Request, console: Console, ticket: Ticket, found: Credentials
) -> Response:
    """What is still to be done before somebody is let in, if anything."""
    if found.user.must_change:
        return _go(console, ticket.at("change"))
    required = console.settings.admin.second_factor == "required"
    if required and not found.user.has_second_factor:
        begun = account.begin_enrolment(console.settings, _actor(request, found))
        return _go(console, ticket.at("enrol", enrolment=begun.ticket))
    response = RedirectResponse(ticket.next, 303)
    await _let_in(request, console, ticket, found, response)
    return response


async def _enrol(
    request: Request, console: Console, ticket: Ticket, found: Credentials, code: str
) -> Response:
    """Put their second factor in force, let them in, and show the recovery codes. Raises UserError."""
    codes = await account.confirm_enrolment(
        console.engine, console.settings, _actor(request, found), ticket.enrolment, code
    )
    ticket = ticket.at("enrol", factor="code")
    response = render(request, "recovery", ticket.language, codes=codes, next=ticket.next)
    await _let_in(request, console, ticket, found, response)
    return response


async def _let_in(
    request: Request, console: Console, ticket: Ticket, found: Credentials, response: Response
) -> None:
    """A new session; one that the browser had is ended."""
    before: Actor | None = request.state.actor
    if before is not None and before.via == "session":
        with suppress(NotFoundError):
            await account.log_out(console.engine, before)
    factor = cast(Factor, ticket.factor) if ticket.factor else None
    browser = request.headers.get("user-agent", "")
    opened = await account.log_in(
        console.engine, console.settings, found.user, factor, _asked(request), browser
    )
    tickets.take_away(response)
    response.set_cookie(
        COOKIE, opened.token, path="/", secure=True, httponly=True, samesite="strict"
    )


async def _proven(
    request: Request, console: Console, *stages: tickets.Stage
) -> tuple[Ticket, Credentials] | None:
    """Whoever has come to one of ``stages``, as they are now. None: nobody, or they were shut out,
    got a new password or a second factor meanwhile."""
    ticket = tickets.read(request, console.settings)
    if ticket is None or ticket.stage not in stages:
        return None
    async with console.engine.connect() as connection:
        found = await store.credentials(connection, user_id=ticket.user_id)
    if found is None or not found.user.enabled or _at(found) != ticket.password_at:
        return None
    if ticket.stage == "enrol" and found.user.has_second_factor:
        return None
    return ticket, found


def _ask(
    request: Request, console: Console, ticket: Ticket, error: str = "", status: int = 200,
    login: str = "", found: Credentials | None = None,
) -> Response:  # fmt: skip
    """The form of the ticket's stage, and the ticket."""
    values = {"csrf": ticket.csrf, "next": ticket.next, "login": login[: proving.LONGEST_LOGIN]}
    if ticket.stage == "enrol" and found is not None:
        try:
            begun = account.resume_enrolment(
                console.settings, _actor(request, found), ticket.enrolment
            )
        except UserError:  # too old
            return _begin_again()
        values |= {"secret": begun.secret, "qr": qr_picture(begun.uri)}
    response = render(request, ticket.stage, ticket.language, error=error, status=status, **values)
    tickets.give(response, console.settings, ticket)
    return response


def _go(console: Console, ticket: Ticket) -> Response:
    """To the page of the ticket's stage."""
    page = "password" if ticket.stage == "change" else "second-factor"
    response = RedirectResponse(f"/login/{page}", 303)
    tickets.give(response, console.settings, ticket)
    return response


def _begin_again() -> Response:
    response = RedirectResponse("/login", 303)
    tickets.take_away(response)
    return response


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form; an unreadable one has none."""
    body = b""
    with suppress(ClientDisconnect):
        async for piece in request.stream():
            body += piece
            if len(body) > LARGEST_FORM_BYTES:
                return {}
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}


def _may_try(request: Request) -> bool:
    tries: Rates | None = getattr(request.app.state, "login_tries", None)
    if tries is None:
        tries = request.app.state.login_tries = Rates(TRIES_A_MINUTE)
    return tries.allow(site_of(_address(request)))


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _asked(request: Request) -> Asked:
    return Asked.at(_address(request))


def _actor(request: Request, found: Credentials) -> Actor:
    return actor_of_user(found.user, _address(request))


def _at(found: Credentials) -> str:
    return found.password_changed_at.isoformat()
