"""Questions of a text file, spoken by a voice server on the real wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.engines.emulated import EmulatedEngines
from appliance.engines.emulated_script import Script
from appliance.errors import UserError
from appliance.events import Agent
from appliance.ops.rehearsal.asked import ask_file
from appliance.settings import Settings

AGENT = Agent("sunrise", 1, "Sunrise", "en")


@pytest.fixture
async def settings(script: Script, tmp_path: Path) -> AsyncIterator[Settings]:
    engines = EmulatedEngines(script)
    await engines.start(["tts"])
    stages = {"tts": {"urls": [engines.urls["tts"]]}}
    yield Settings.model_validate({"data_dir": tmp_path, "engines": stages})
    await engines.stop()


@pytest.mark.server
async def test_each_line_is_spoken_once(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "questions.txt"
    file.write_text("When are you open?\n\n# a remark\nआप कब खुलते हैं?\nWhen are you open?\n", "utf-8")
    found = await ask_file(settings, file, AGENT)
    assert [line.id for line in found.lines] == ["When are you open?", "आप कब खुलते हैं?"]
    assert all(len(line.frames) > 20 for line in found.lines)
    assert found.name == "2 of questions.txt, spoken in en"
    assert found.first_word_ms == {}


async def test_what_cannot_be_asked_is_told(tmp_path: Path) -> None:
    away = Settings.model_validate({"engines": {"tts": {"urls": ["http://127.0.0.1:9"]}}})
    file = tmp_path / "questions.txt"
    file.write_text("When are you open?")
    with pytest.raises(UserError, match="could not be spoken in en: tts"):
        await ask_file(away, file, AGENT)
    file.write_text("# only a remark\n")
    with pytest.raises(UserError, match="has no question"):
        await ask_file(away, file, AGENT)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-8"):
        await ask_file(away, file, AGENT)
