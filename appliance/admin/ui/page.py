"""A page of the console: its permission, the frame around it, and what its handlers need."""

from __future__ import annotations

import functools
import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import Request
from nicegui import Client, background_tasks, context, ui
from sqlalchemy.exc import SQLAlchemyError

from appliance.access import sessions
from appliance.access.actor import Actor, ForbiddenError, NotFoundError
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.admin.ui import layout
from appliance.admin.ui.leaving import is_left
from appliance.admin.ui.words import Translate, translator
from appliance.errors import UserError

log = logging.getLogger(__name__)

Kind = Literal["positive", "negative", "warning", "info"]
Handler = Callable[..., Awaitable[None]]

_BROKEN = "Something went wrong on our side; the log has the details."
_AWAY = "The database did not answer. Try again in a moment."
_ENDED = "Your session has ended. Log in again."


@dataclass(frozen=True, slots=True)
class View:
    """One page in one browser."""

    console: Console
    actor: Actor
    request: Request
    client: Client
    t: Translate
    """English -> the person's language."""

    def notify(self, text: str, kind: Kind = "positive") -> None:
        """A short message at the edge of the page; nobody reads it who has left."""
        if self.client.is_deleted:
            return
        with self.client:
            ui.notify(text, type=kind, position="top-right", close_button=kind == "negative")

    def act(self, handler: Handler) -> Handler:
        """``handler`` of an event, whose refusals become messages. It does nothing once the session
        has ended: the page may still be open then."""

        @functools.wraps(handler)
        async def guarded(*args: Any, **kwargs: Any) -> None:
            if self.client.id not in SESSIONS:
                self.notify(self.t(_ENDED), "negative")
                return
            try:
                await self._be_seen()
                await handler(*args, **kwargs)
            except UserError as e:
                self.notify(self.t(str(e)), "negative")
            except SQLAlchemyError as e:
                log.error("! %s: %s", handler.__qualname__, type(e).__name__)
                self.notify(self.t(_AWAY), "negative")
            except Exception as e:
                if is_left(e, self.client):
                    return
                log.exception("! %s", handler.__qualname__)
                self.notify(self.t(_BROKEN), "negative")

        return guarded

    async def _be_seen(self) -> None:
        """What is done on an open page keeps the session from being idle."""
        now_s = time.monotonic()
        if now_s - _SEEN_S.get(self.client.id, 0.0) > SEEN_EVERY_S:
            _SEEN_S[self.client.id] = now_s
            await sessions.touch(self.console.engine, self.actor.session_id)

    async def confirm(self, question: str, yes: str, *, danger: bool = False) -> bool:
        """Ask before something that cannot be undone. ``question`` and ``yes`` (what the button
        says) are shown as they are."""
        with self.client, ui.dialog() as dialog, ui.card().classes("dialog"):
            ui.label(question).classes("dialog-text")
            with ui.row().classes("dialog-buttons"):
                no = ui.button(self.t("Cancel"), on_click=lambda: dialog.submit(False))
                no.props("flat autofocus" if danger else "flat")  # what Enter then means
                button = ui.button(yes, on_click=lambda: dialog.submit(True))
                button.props("unelevated color=negative" if danger else "unelevated autofocus")
        answer = bool(await dialog)
        dialog.delete()
        return answer


SEEN_EVERY_S = 60.0
LONGEST_PAGE_S = 20.0
"""NiceGUI's own 3 s are too few on a machine that is busy with calls: the page would be an error."""
_SEEN_S: dict[str, float] = {}
"""Client -> when it was last told to the session."""
SESSIONS: dict[str, str] = {}
"""Client of NiceGUI -> session of the person; ``ended`` closes those whose session has ended."""


def page(
    path: str,
    permission: Permission | None,
    title: str,
    *,
    nav: str = "",
    away_s: float | None = None,
) -> Callable[[Handler], Handler]:
    """Register ``async def draw(view: View, …)`` as the page at ``path``; further parameters are of the
    path and the query, as in FastAPI.

    ``permission`` None: whoever has logged in. ``title`` in English; ``nav``: the path of the entry of
    the menu that it belongs to, if it is not ``path`` itself. ``away_s``: how long it is kept once its
    browser has gone, if not as long as others (``app.AWAY_S``).
    """

    def register(draw: Handler) -> Handler:
        signature = inspect.signature(draw, eval_str=True)
        own = list(signature.parameters.values())[1:]
        request_first = inspect.Parameter(
            "request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Request
        )

        async def show(request: Request, **values: Any) -> None:
            await _show(request, draw, permission, title, nav or path, values)

        show.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[request_first, *own], return_annotation=None
        )
        show.__name__ = draw.__name__
        ui.page(path, title=title, response_timeout=LONGEST_PAGE_S, reconnect_timeout=away_s)(show)
        PAGES[path] = permission
        return draw

    return register


PAGES: dict[str, Permission | None] = {}
"""Every page and its permission, for the test of all of them."""


async def _show(
    request: Request,
    draw: Handler,
    permission: Permission | None,
    title: str,
    nav: str,
    values: dict[str, Any],
) -> None:
    actor: Actor = request.state.actor
    client = context.client
    SESSIONS[client.id] = actor.session_id
    client.on_delete(lambda: _forget(client.id))
    t = translator(actor.language)
    client.title = f"{t(title)} · IVR"
    view = View(request.state.console, actor, request, client, t)
    with layout.frame(actor, request, t, t(title), nav):
        try:
            if permission is not None:
                actor.require(permission)
            await draw(view, **values)
        except (ForbiddenError, NotFoundError) as e:
            layout.trouble(t, "block" if isinstance(e, ForbiddenError) else "search_off", t(str(e)))
        except UserError as e:
            layout.trouble(t, "error", t(str(e)))
        except SQLAlchemyError as e:
            log.error("! %s: %s", request.url.path, type(e).__name__)
            layout.trouble(t, "cloud_off", t(_AWAY))
        except Exception as e:
            if is_left(e, client):
                return
            log.exception("! %s", request.url.path)
            layout.trouble(t, "error", t(_BROKEN))


def _forget(client_id: str) -> None:
    SESSIONS.pop(client_id, None)
    _SEEN_S.pop(client_id, None)


def in_background(view: View, work: Awaitable[None]) -> None:
    """Begin ``work`` and let the page go on; its refusals become messages."""

    async def run() -> None:
        await work

    background_tasks.create(view.act(run)())
