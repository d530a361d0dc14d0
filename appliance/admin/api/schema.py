"""The OpenAPI document: what FastAPI makes of the routes, with the permission of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from appliance.access.roles import Permission

BEARER, COOKIE = "apiKey", "session"
PERMISSION = "x-permission"
_SCHEMES = {
    BEARER: {"type": "http", "scheme": "bearer", "description": "An API key, `ivr_…`."},
    COOKIE: {"type": "apiKey", "in": "cookie", "name": "__Host-ivr", "description": "A login."},
}
_NOT_SAID = object()
_ERROR = {
    "description": "A refusal, in one sentence.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["error"],
                "properties": {
                    "error": {
                        "type": "object",
                        "required": ["message"],
                        "properties": {"message": {"type": "string"}},
                    }
                },
            }
        }
    },
}


def permission_of(route: APIRoute) -> Permission | None:
    """What a route asks of whoever calls it; None: that they have logged in.

    Raises LookupError: its signature has no ``needs``.
    """
    for found in _all(route.dependant):
        permission: Any = getattr(found.call, "permission", _NOT_SAID)
        if permission is not _NOT_SAID:
            return None if permission is None else Permission(permission)
    raise LookupError(route.path)


def _all(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for inner in dependant.dependencies:
        yield from _all(inner)


def describe(app: FastAPI, routers: Iterable[APIRouter], prefix: str) -> dict[str, Any]:
    """The document; the same for the life of the process."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary,
        description=app.description, routes=app.routes,
    )  # fmt: skip
    document.setdefault("components", {})["securitySchemes"] = _SCHEMES
    document["security"] = [{BEARER: []}, {COOKIE: []}]
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.include_in_schema:
                _describe_route(document["paths"][prefix + route.path_format], route)
    app.openapi_schema = document
    return document


def _describe_route(methods: dict[str, Any], route: APIRoute) -> None:
    permission = permission_of(route)
    for method in route.methods or ():
        operation = methods[method.lower()]
        operation[PERMISSION] = permission.value if permission else ""
        operation["responses"].pop("422", None)  # ours looks like every refusal
        operation["responses"]["4XX"] = _ERROR
        operation["responses"].setdefault("5XX", _ERROR)
