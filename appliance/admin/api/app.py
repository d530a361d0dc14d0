"""The API as one FastAPI application: routers, and errors as JSON."""

from __future__ import annotations

import importlib
import logging
import pkgutil

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError, SQLAlchemyError
from starlette.exceptions import HTTPException

from appliance import __version__
from appliance.access.actor import ForbiddenError, NotFoundError
from appliance.admin import api
from appliance.admin.api.access import UnauthorizedError
from appliance.admin.api.schema import describe
from appliance.errors import UserError

log = logging.getLogger(__name__)

PREFIX = "/api/v1"
_STATUS: tuple[tuple[type[UserError], int], ...] = (
    (UnauthorizedError, 401),
    (ForbiddenError, 403),
    (NotFoundError, 404),
    (UserError, 400),
)
_AWAY = "The database did not answer. Try again in a moment."
_BROKEN = "Something went wrong on our side; the log has the details."


def make_api() -> FastAPI:
    """The API, to be served behind :class:`appliance.admin.gate.Gate`."""
    app = FastAPI(
        title="IVR appliance",
        version=__version__,
        summary="Agents, numbers, calls, knowledge and review of a voice-AI appliance.",
        description=(
            "Every request carries `Authorization: Bearer ivr_…` (an API key) or the console's"
            ' cookie. Errors are `{"error": {"message": "one sentence"}}`.'
        ),
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
    )
    for router in routers():
        app.include_router(router, prefix=PREFIX)
    app.openapi = lambda: describe(app, routers(), PREFIX)  # type: ignore[method-assign]
    app.add_exception_handler(UserError, _user_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(DataError, _unfit)
    app.add_exception_handler(SQLAlchemyError, _database_away)
    app.add_exception_handler(Exception, _broken)
    return app


def routers() -> list[APIRouter]:
    """``router`` of every module of ``admin.api`` that has one."""
    modules = (
        importlib.import_module(f"{api.__name__}.{found.name}")
        for found in pkgutil.iter_modules(api.__path__)
        if found.name not in ("app", "access", "schema")
    )
    return [module.router for module in modules if hasattr(module, "router")]


def error(status: int, message: str) -> JSONResponse:
    """The body of every refusal."""
    return JSONResponse({"error": {"message": message}}, status_code=status)


async def _user_error(request: Request, e: Exception) -> JSONResponse:
    status = next(status for kind, status in _STATUS if isinstance(e, kind))
    return error(status, str(e))


async def _invalid(request: Request, e: Exception) -> JSONResponse:
    assert isinstance(e, RequestValidationError)
    found = e.errors()[0]
    where = ".".join(str(part) for part in found["loc"][1:]) or "the body"
    return error(422, f"{where}: {found['msg']}.")


async def _http_error(request: Request, e: Exception) -> JSONResponse:
    assert isinstance(e, HTTPException)
    return error(e.status_code, str(e.detail))


async def _unfit(request: Request, e: Exception) -> JSONResponse:
    """A zero byte in a text, a number beyond what a column holds."""
    return error(400, "This holds a character or a number that cannot be stored; change it.")


async def _database_away(request: Request, e: Exception) -> JSONResponse:
    log.error("! %s: %s", request.url.path, type(e).__name__)
    return error(503, _AWAY)


async def _broken(request: Request, e: Exception) -> JSONResponse:
    log.exception("! %s", request.url.path, exc_info=e)
    return error(500, _BROKEN)
