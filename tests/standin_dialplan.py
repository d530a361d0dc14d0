"""The shipped dialplans, read and routed as FreeSWITCH's mod_dialplan_xml does; pure.

Only what ``dialplans/*.xml`` use: extensions (``continue``), conditions on
``destination_number`` or ``${variable}`` with ``break="never"``, actions with ``$1``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

Lookup = Callable[[str], str]
_VARIABLE = re.compile(r"\$\{([A-Za-z0-9_]+)\}")


@dataclass(frozen=True)
class Action:
    app: str
    data: str = ""


def expand(text: str, lookup: Lookup) -> str:
    """``${name}`` by its value; what is not set is nothing."""
    return _VARIABLE.sub(lambda found: lookup(found[1]), text)


class Dialplan:
    """All contexts below one folder."""

    def __init__(self, folder: Path) -> None:
        self._contexts: dict[str, list[ElementTree.Element]] = {}
        for path in sorted(folder.glob("*.xml")):
            for context in ElementTree.parse(path).getroot().iter("context"):
                extensions = self._contexts.setdefault(context.get("name", ""), [])
                extensions += context.findall("extension")

    def route(self, context: str, destination: str, lookup: Lookup) -> list[Action]:
        """The actions for ``destination``; conditions are judged now, actions expanded later."""
        found: list[Action] = []
        for extension in self._contexts.get(context, []):
            actions, taken = _of_extension(extension, destination, lookup)
            found += actions
            if taken and extension.get("continue") != "true":
                break
        return found


def _of_extension(
    extension: ElementTree.Element, destination: str, lookup: Lookup
) -> tuple[list[Action], bool]:
    actions: list[Action] = []
    matched = False
    for condition in extension.findall("condition"):
        found = _judge(condition, destination, lookup)
        matched = found is not None
        if found is not None:
            actions += [_action(node, found) for node in condition.findall("action")]
        elif condition.get("break", "on-false") != "never":
            return [], False
    return actions, matched


def _judge(
    condition: ElementTree.Element, destination: str, lookup: Lookup
) -> Mapping[str, str] | None:
    """The groups of a condition that holds, else None."""
    expression = condition.get("expression")
    if expression is None:
        return {}
    name = condition.get("field", "")
    subject = destination if name == "destination_number" else expand(name, lookup)
    found = re.search(expression.replace(r"\z", r"\Z"), subject)
    if found is None:
        return None
    return {str(n): text or "" for n, text in enumerate((found[0], *found.groups()))}


def _action(node: ElementTree.Element, groups: Mapping[str, str]) -> Action:
    data = re.sub(r"\$(\d)", lambda found: groups.get(found[1], ""), node.get("data", ""))
    return Action(node.get("application", ""), data)
