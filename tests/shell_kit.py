"""``ivr`` as typed in a shell, run in this process."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from appliance.__main__ import main
from appliance.settings import Settings

Ivr = Callable[..., Result]


def ivr_of(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Ivr:
    """With the database and the folder of these settings."""
    monkeypatch.setenv("IVR_DATABASE__URL", settings.database.url)
    monkeypatch.setenv("IVR_DATA_DIR", str(settings.data_dir))

    def run(*args: str, typed: str = "") -> Result:
        return CliRunner().invoke(main, [*args], input=typed)

    return run
