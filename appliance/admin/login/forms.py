"""The pages of the login: plain HTML forms, so that password managers and keyboards work."""

from __future__ import annotations

from typing import Any, Literal

import segno
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from appliance.admin.ui.layout import THEME_COOKIE
from appliance.admin.ui.words import LANGUAGES, translator

Template = Literal["password", "code", "change", "enrol", "recovery", "nothing", "lost", "broken"]
QR_SCALE = 6
_templates = Environment(
    loader=PackageLoader("appliance.admin.login"), autoescape=True, undefined=StrictUndefined
)


def render(
    request: Request,
    template: Template,
    language: str,
    *,
    error: str = "",
    status: int = 200,
    **values: Any,
) -> HTMLResponse:
    """``error`` in English, as the words know it; ``values`` are escaped."""
    theme = request.cookies.get(THEME_COOKIE, "")
    first = template == "password"
    page = _templates.get_template(f"{template}.html").render(
        t=translator(language),
        language=language,
        languages=LANGUAGES if first else {},
        theme=theme if theme in ("light", "dark") else "",
        error=error,
        **{"next": ""} | values,
    )
    return HTMLResponse(page, status)


def qr_picture(uri: str) -> str:
    """A QR code as a data: URI of an SVG, black on white."""
    return segno.make(uri, error="m").svg_data_uri(scale=QR_SCALE, border=2)


def language_of(request: Request, wanted: str = "") -> str:
    """``wanted`` if we speak it, else the first of ours that the browser asks for, else English."""
    if wanted in LANGUAGES:
        return wanted
    for part in request.headers.get("accept-language", "").split(",")[:10]:
        code = part.partition(";")[0].partition("-")[0].strip().lower()
        if code in LANGUAGES:
            return code
    return "en"
