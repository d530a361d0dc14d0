"""The whole site as one ASGI application: gate, API, login, pages."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from importlib import resources

import nicegui
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse
from nicegui import core, ui
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from appliance.access.actor import Actor
from appliance.admin import pages
from appliance.admin.api.app import PREFIX, error, make_api
from appliance.admin.console import Console
from appliance.admin.gate import HEALTH, LOGIN, Gate
from appliance.admin.login import routes as login
from appliance.admin.login.forms import language_of, render
from appliance.admin.ui.layout import MENU
from appliance.admin.ui.leaving import be_quiet_about_those_who_left
from appliance.admin.ui.sockets import guard_sockets

log = logging.getLogger(__name__)

NICEGUI_FILES = f"/_nicegui/{nicegui.__version__}/"
AWAY_S = 30.0
"""For how long a browser may be away, by a line that drops or a laptop that sleeps, and find what was
being written on its page. NiceGUI's own 3 s (and pings that must be answered within 2 s) lose forms and
clicks where either side is busy; each page that is left is kept this long."""
_NO_ROUTE = "There is no such route; see /api/v1/openapi.json."


def make_app(console: Console) -> ASGIApp:
    """Everything behind one port. NiceGUI knows one application a process: call it once."""
    app = make_api()
    app.include_router(login.router)
    app.mount("/static", StaticFiles(packages=[("appliance.admin", "static")]))
    _add_roots(app)
    for found in pkgutil.iter_modules(pages.__path__):
        importlib.import_module(f"{pages.__name__}.{found.name}")
    icon = resources.files("appliance.admin") / "static" / "icon.svg"
    ui.run_with(
        app,
        title="IVR",
        favicon=icon.read_text("utf-8"),
        tailwind=False,
        show_welcome_message=False,
        reconnect_timeout=AWAY_S,
        gzip_middleware_factory=None,  # the gate puts nonces into pages first
    )
    core.app.add_exception_handler(404, _lost)
    core.app.add_exception_handler(Exception, _broken)
    guard_sockets()
    be_quiet_about_those_who_left()
    return GZipMiddleware(Gate(app, console, NICEGUI_FILES), minimum_size=1000)


async def _lost(request: Request, e: Exception) -> Response:
    """In place of NiceGUI's own page, which keeps state for each visitor and puts the whole URL, with
    what was searched for, into the log."""
    return render(request, "lost", language_of(request), status=404)


async def _broken(request: Request, e: Exception) -> Response:
    """In place of NiceGUI's own page, which shows what the exception says."""
    log.error("! %s", request.url.path, exc_info=e)
    return render(request, "broken", language_of(request), status=500)


def _add_roots(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def begin(request: Request) -> RedirectResponse:
        actor: Actor = request.state.actor
        return RedirectResponse(first_page(actor), 303)

    @app.get(HEALTH, include_in_schema=False)
    async def health() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @app.api_route(f"{PREFIX}/{{rest:path}}", include_in_schema=False)
    async def unknown(rest: str) -> JSONResponse:
        return error(404, _NO_ROUTE)


def first_page(actor: Actor) -> str:
    """Where somebody begins: the first entry of their menu."""
    for _, entries in MENU:
        for entry in entries:
            if entry.permission is None or actor.may(entry.permission):
                return entry.path
    return f"{LOGIN}/none"
