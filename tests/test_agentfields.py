"""Every field of an agent can be edited, and is explained."""

from __future__ import annotations

import re
from typing import get_type_hints

import pytest

from appliance.admin.agents.defaults import DEFAULTS
from appliance.admin.ui.agents.fields import PRESETS, SPECS, TABS
from appliance.events import Agent

HINTS = get_type_hints(Agent)


def test_every_field_stands_under_one_tab() -> None:
    names = [s.name for tab in TABS for section in tab.sections for s in section.specs]
    assert sorted(names) == sorted(DEFAULTS)


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_a_field_is_edited_as_what_it_is(name: str) -> None:
    spec, value = SPECS[name], DEFAULTS[name]
    kinds: dict[type, set[str]] = {
        bool: {"switch"},
        int: {"ms", "number"},
        list: {"lines", "several"},
        dict: {"pairs"},
        str: {"line", "text", "prompt", "choice", "source"},
    }
    assert spec.kind in kinds[type(value)]
    assert spec.label and (spec.help or spec.options)
    assert (spec.kind == "ms") == name.endswith("_ms")
    hint = str(HINTS[name])
    allowed = set(re.findall(r"'([^']+)'", hint)) if "Literal" in hint else set()
    assert allowed == set(spec.options or ())


def test_presets_go_from_quick_to_patient() -> None:
    pauses = [(p.complete_ms, p.incomplete_ms) for p in PRESETS]
    assert pauses == sorted(pauses)
    own = DEFAULTS["pause_complete_ms"], DEFAULTS["pause_incomplete_ms"]
    assert own in pauses
