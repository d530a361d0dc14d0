"""What of a web page its readers see, without a browser: styles in the page itself, and the usual ways
to hide a text or to say that it is none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from appliance.knowledge.reading.clean import one_line
from appliance.knowledge.reading.parsed import Hidden

NOT_TEXT = frozenset(
    "script style noscript template head iframe object embed svg math canvas audio video map select "
    "option button input textarea datalist progress meter dialog".split()
)
AROUND = frozenset(("nav", "footer", "aside", "form"))
AROUND_ROLES = frozenset(("navigation", "banner", "contentinfo", "search", "menu", "complementary"))
AROUND_NAMES = re.compile(
    r"(?:^|[\s_-])(?:nav|navbar|navigation|breadcrumbs?|menu|sidebar|cookies?|cookie-banner|share|social|"
    r"pagination|footer|advert|ads)(?:$|[\s_-])",
    re.IGNORECASE,
)
LEAST_FONT_PX = 3.0
FAR_PX = 500.0
LIGHT = 0xF0

_DECLARATION = re.compile(r"([\w-]+)\s*:\s*([^;]+)")
_LENGTH = re.compile(r"(-?\d*\.?\d+)\s*(px|pt|em|rem|%|vw|vh)?")
_RULE = re.compile(r"([^{}]{1,500})\{([^{}]{0,2000})\}")
_SIMPLE = re.compile(r"^([a-z][a-z0-9]*)?([.#][\w-]+)?$", re.IGNORECASE)
_RGB = re.compile(r"rgba?\(\s*(\d+)\s*[, ]\s*(\d+)\s*[, ]\s*(\d+)(?:\s*[,/]\s*([\d.]+%?))?")
_MOST_CSS_CHARS = 500_000


class Sight:
    """Judges the elements of one page."""

    def __init__(self, root: Any, hidden: Hidden) -> None:
        self._hidden = hidden
        self._rules = dict(_hiding_rules(root))

    def sees(self, element: Any) -> bool:
        """Whether a reader sees ``element`` as part of the page's text; what is hidden is counted."""
        if not isinstance(element.tag, str) or element.tag in NOT_TEXT:
            return False
        if _is_around(element):
            return False
        why = self._why(element)
        if why:
            self._hidden.add(why, " ".join(_words(element)))
        return not why

    def text(self, element: Any, without: Any = None) -> str:
        """The visible text below ``element`` on one line; ``without``: a part that is left out."""
        found: list[str] = []
        # an explicit stack: pages are nested as deep as an attacker likes
        stack: list[Any] = [element]
        while stack:
            part = stack.pop()
            if isinstance(part, str):
                found.append(part)
                continue
            if part is not element:
                stack.append(part.tail or "")
                if part is without or not self.sees(part):
                    continue
            stack.extend(reversed([part.text or "", *part]))
            if part.tag in ("br", "p", "li", "div", "td", "th"):
                found.append(" ")
        return one_line("".join(found))

    def _why(self, element: Any) -> str:
        if element.get("hidden") is not None or element.get("aria-hidden") == "true":
            return "hidden text"
        style = element.get("style")
        why = _hides(style) if style else ""
        if why or not self._rules:
            return why
        names = [f".{name}" for name in (element.get("class") or "").split()]
        if element.get("id"):
            names.append(f"#{element.get('id')}")
        for name in names:
            why = self._rules.get(name) or self._rules.get(f"{element.tag}{name}") or ""
            if why:
                return why
        return self._rules.get(element.tag, "")


def _is_around(element: Any) -> bool:
    """Menus, footers and their like, which stand on every page of a site."""
    if element.tag in AROUND or element.get("role") in AROUND_ROLES:
        return True
    if element.tag == "header":
        return (
            element.find(".//h1") is None and next(element.iterancestors("article"), None) is None
        )
    if element.tag not in ("div", "section", "ul", "ol", "p"):
        return False
    return any(AROUND_NAMES.search(element.get(name) or "") for name in ("class", "id"))


def _words(element: Any) -> Iterator[str]:
    for part in element.iter():
        if isinstance(part.tag, str) and part.tag not in NOT_TEXT:
            yield one_line(part.text or "")
            if part is not element:
                yield one_line(part.tail or "")


def _hiding_rules(root: Any) -> Iterator[tuple[str, str]]:
    """Selectors of one name (``.x``, ``#x``, ``p``, ``p.x``) in the page's styles that hide what they
    select, with why."""
    for sheet in root.iter("style"):
        for selectors, style in _RULE.findall((sheet.text or "")[:_MOST_CSS_CHARS]):
            why = _hides(style)
            if not why:
                continue
            for selector in selectors.split(","):
                name = selector.strip()
                if name and name not in ("body", "html") and _SIMPLE.match(name):
                    yield name, why


def _hides(style: str) -> str:
    """Why a style shows nothing; empty when it does not say so."""
    said = {name.lower(): value.strip().lower() for name, value in _DECLARATION.findall(style)}
    value = {name: text.replace("!important", "").strip() for name, text in said.items()}
    if value.get("display") == "none" or value.get("visibility") in ("hidden", "collapse"):
        return "hidden text"
    if _number(value.get("opacity")) == 0:
        return "transparent text"
    size = value.get("font-size", "")
    if size and _pixels(size, 16.0) < LEAST_FONT_PX and _LENGTH.match(size):
        return "text too small to be read"
    if _is_off(value):
        return "text off the page"
    return _unseen_colour(value)


def _is_off(value: dict[str, str]) -> bool:
    if value.get("position") in ("absolute", "fixed"):
        if any(_pixels(value.get(edge, ""), 16.0) <= -FAR_PX for edge in ("left", "top", "right")):
            return True
        if value.get("clip", "").replace(" ", "") in ("rect(0,0,0,0)", "rect(0000)"):
            return True
    if _pixels(value.get("text-indent", ""), 16.0) <= -FAR_PX:
        return True
    small = any(value.get(side) in ("0", "0px", "1px") for side in ("height", "width"))
    return small and value.get("overflow") == "hidden"


def _unseen_colour(value: dict[str, str]) -> str:
    colour = _colour(value.get("color", ""))
    if value.get("color") == "transparent" or (colour and colour[3] == 0):
        return "transparent text"
    ground = value.get("background-color") or value.get("background") or ""
    painted = _colour(ground)
    if colour and painted:
        near = max(abs(a - b) for a, b in zip(colour[:3], painted[:3], strict=True)) < 16
        return "text in the colour of its background" if near else ""
    if colour and not ground and min(colour[:3]) >= LIGHT:
        return "white text on white"
    return ""


def _colour(text: str) -> tuple[int, int, int, float] | None:
    """Red, green, blue (0-255) and opacity (0-1); None for what names none that we know."""
    text = text.split()[0] if text.startswith("#") else text
    if text in ("white", "black"):
        level = 255 if text == "white" else 0
        return level, level, level, 1.0
    if re.fullmatch(r"#[0-9a-f]{3,8}", text):
        digits = text[1:] if len(text) > 5 else "".join(2 * digit for digit in text[1:])
        red, green, blue = (int(digits[n : n + 2], 16) for n in (0, 2, 4))
        return red, green, blue, int(digits[6:8], 16) / 255 if len(digits) == 8 else 1.0
    found = _RGB.match(text)
    if found:
        red, green, blue = (min(255, int(part[:4])) for part in found.groups()[:3])
        return red, green, blue, _number(found[4]) if found[4] else 1.0
    return None


def _number(text: str | None) -> float:
    try:
        return float((text or "1").rstrip("%")) / (100 if text and text.endswith("%") else 1)
    except ValueError:
        return 1.0


def _pixels(text: str, of: float) -> float:
    """A CSS length; ``of`` is what 1 em is. Infinite for what is none: it hides nothing."""
    found = _LENGTH.match(text)
    if not found:
        return float("inf")
    factor = {"px": 1.0, "pt": 4 / 3, "em": of, "rem": of, "%": of / 100, "vw": 10.0, "vh": 10.0}
    return float(found[1]) * factor.get(found[2] or "px", 1.0)
