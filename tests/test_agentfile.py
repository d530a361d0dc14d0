"""An agent as a TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.admin.agents.defaults import DEFAULTS, blank
from appliance.admin.agents.file import from_toml, to_toml
from appliance.errors import UserError
from appliance.ops.seed import SAMPLE, sample_agent

SAMPLES = Path(__file__).parent.parent / "appliance" / "samples"
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)
LINES = st.text('ab"\\\n\r\t é\x7f\x1b', max_size=30)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "prompt": (TEXT | LINES).map(str.strip),
            "greeting": TEXT | LINES,
            "silence_prompts": st.lists(TEXT | LINES, max_size=3),
            "keypad": st.dictionaries(TEXT | LINES, TEXT | LINES, max_size=3),
            "silence_ms": st.integers(-(2**63), 2**63 - 1),
            "barge_in": st.booleans(),
        },
    )
)
def test_what_is_written_is_read(fields: dict[str, Any]) -> None:
    assert from_toml(to_toml("help", fields)) == fields


@pytest.mark.parametrize("language", ["en", "hi", "ta"])
def test_a_whole_agent(language: str) -> None:
    fields = blank(language) | {"name": "Help"}
    text = to_toml("help", fields)
    assert from_toml(text) == fields
    assert 'prompt = """\n' in text  # a prompt stays readable


def test_the_sample_can_be_imported() -> None:
    fields = from_toml((SAMPLES / f"{SAMPLE}.toml").read_text("utf-8"))
    agent = sample_agent(SAMPLES)
    assert fields["name"] == agent.name and fields["prompt"] == agent.prompt
    assert fields["keypad"] == agent.keypad and set(fields) <= set(DEFAULTS)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name = ", "no TOML"),
        ("colour = 'red'", "no field 'colour'"),
        ("name = 2020-01-01", "no dates"),
        ("keypad = " + "[" * 5000, "no TOML|nested too deeply"),
        ("[name]\nx = nan\n[name]", "no TOML"),
    ],
)
def test_what_is_no_agent(text: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        from_toml(text)
