"""What settings say when they are wrong; ivr.toml.example names every one, with its default."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from appliance.errors import UserError
from appliance.settings import Settings, load

EXAMPLE = Path(__file__).resolve().parents[1] / "ivr.toml.example"


def names(section: type[BaseModel], prefix: str = "") -> set[str]:
    """Every setting below ``section``, dotted."""
    found = set()
    for name, info in section.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= names(kind, f"{prefix}{name}.")
        else:
            found.add(prefix + name)
    return found


def named(values: dict[str, Any], prefix: str = "") -> set[str]:
    found = set()
    for name, value in values.items():
        found |= named(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name}
    return found


def test_it_names_every_setting() -> None:
    assert named(tomllib.loads(EXAMPLE.read_text())) == names(Settings)


def test_its_values_are_the_defaults() -> None:
    assert load(EXAMPLE, {}) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("IVR_WORKER__PORT", "70000", "Setting worker.port = '70000': Input should be less than"),
        (
            "IVR_SIP__ALLOW",
            '["banana"]',
            "Setting sip.allow.0 = 'banana': Input is not a valid IPv4",
        ),
        ("IVR_SIP__HOTS", "127.0.0.1", "Setting sip.hots does not exist; check its spelling."),
    ],
)
def test_a_wrong_value_is_named_in_one_sentence(name: str, value: str, sentence: str) -> None:
    with pytest.raises(UserError) as raised:
        load(None, {name: value})
    assert str(raised.value).startswith(sentence)
    assert str(raised.value).count("Setting ") == 1


def test_a_variable_overrides_the_file(tmp_path: Path) -> None:
    file = tmp_path / "ivr.toml"
    file.write_text("[worker]\nport = 7001\nmax_calls = 3\n")
    settings = load(file, {"IVR_WORKER__PORT": "7002", "IVR_UNRELATED": "1"})
    assert (settings.worker.port, settings.worker.max_calls) == (7002, 3)
