"""The API's reference, made from its own OpenAPI document."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

import orjson
from nicegui import ui

from appliance.admin.api.app import PREFIX, make_api
from appliance.admin.api.schema import PERMISSION
from appliance.admin.ui.page import View, page
from appliance.admin.ui.tables import SteadyTable

_COLOURS = {"get": "chip--accent", "post": "chip--good", "put": "chip--warn", "patch": "chip--warn",
            "delete": "chip--bad"}  # fmt: skip
_MOST_LETTERS = 4000
"""Of a body's schema, as it is shown."""


@cache
def _document() -> dict[str, Any]:
    return make_api().openapi()


@page("/reference", None, "API reference", nav="/keys")
async def reference(view: View) -> None:
    """Every route, by what it is about."""
    document = _document()
    t = view.t
    with ui.column().classes("panel"):
        ui.label(t("Send an API key with each request:")).classes("muted")
        ui.label(f"curl -H 'Authorization: Bearer ivr_…' https://…{PREFIX}/calls").classes("mono")
        with ui.row().classes("toolbar"):
            ui.link("OpenAPI", f"{PREFIX}/openapi.json")
            ui.link(t("API keys"), "/keys")
    by_tag: dict[str, list[tuple[str, str, dict[str, Any]]]] = defaultdict(list)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            by_tag[(operation.get("tags") or ["Other"])[0]].append((method, path, operation))
    for tag in sorted(by_tag):
        with ui.column().classes("panel"):
            ui.label(t(tag)).classes("panel-title")
            for method, path, operation in by_tag[tag]:
                _operation(view, document, method, path, operation)


def _operation(
    view: View, document: dict[str, Any], method: str, path: str, operation: dict[str, Any]
) -> None:
    with ui.expansion().classes("route").props("dense") as one:
        with one.add_slot("header"), ui.row().classes("toolbar route-head"):
            ui.label(method.upper()).classes(f"chip route-method {_COLOURS.get(method, '')}")
            ui.label(path).classes("mono")
            ui.label(_first_line(operation)).classes("muted grow route-summary")
            if operation.get(PERMISSION):
                ui.label(operation[PERMISSION]).classes("chip mono")

    def fill() -> None:  # when it is opened: there are a hundred
        if not one.default_slot.children:
            with one:
                _details(view, document, operation)

    one.on_value_change(fill)


def _first_line(operation: dict[str, Any]) -> str:
    text = operation.get("description") or operation.get("summary") or ""
    return str(text).partition("\n")[0]


def _details(view: View, document: dict[str, Any], operation: dict[str, Any]) -> None:
    if text := operation.get("description"):
        ui.label(text).classes("route-text")
    if parameters := operation.get("parameters"):
        _parameters(view, parameters)
    if body := operation.get("requestBody"):
        _body(view, document, body)


def _parameters(view: View, parameters: list[dict[str, Any]]) -> None:
    columns = [
        {"name": name, "label": view.t(label), "field": name, "align": "left"}
        for name, label in (
            ("name", "Name"),
            ("in", "Where"),
            ("type", "Type"),
            ("text", "Meaning"),
        )
    ]
    rows = [
        {
            "name": one["name"] + ("" if one.get("required") else " ?"),
            "in": one["in"],
            "type": _type(one.get("schema", {})),
            "text": one.get("description", ""),
        }
        for one in parameters
    ]
    SteadyTable(columns=columns, rows=rows, row_key="name").props("dense flat")


def _body(view: View, document: dict[str, Any], body: dict[str, Any]) -> None:
    kind, content = next(iter(body["content"].items()))
    shown = orjson.dumps(_resolved(document, content.get("schema", {})), option=orjson.OPT_INDENT_2)
    ui.label(f"{view.t('Body')}: {kind}").classes("muted")
    ui.label(shown.decode()[:_MOST_LETTERS]).classes("mono route-body")


def _resolved(document: dict[str, Any], schema: Any, depth: int = 0) -> Any:
    """``schema`` with what it refers to in place, a few levels deep."""
    if isinstance(schema, list):
        return [_resolved(document, one, depth) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if (name := schema.get("$ref")) and depth < 4:
        found = document["components"]["schemas"][name.rpartition("/")[2]]
        return _resolved(document, found, depth + 1)
    return {key: _resolved(document, value, depth) for key, value in schema.items()}


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " | ".join(_type(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    return str(schema.get("format") or schema.get("type") or "")
