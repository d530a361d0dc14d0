"""Notices are spoken once, by the first voice server that can, and kept."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from appliance.audio import read_wav, sound_spans
from appliance.events import Agent
from appliance.telephony.notices import Notices
from tests.serving import serving

AGENT = Agent("sunrise", 1, "Sunrise", voice="slt")


@pytest.mark.server
async def test_a_notice_is_spoken_once_and_kept(tmp_path: Path) -> None:
    async with serving(tmp_path / "data", "tts", "--engine", "flite") as served:
        notices = Notices(tmp_path / "notices", ("http://127.0.0.1:9", served.url))
        assert notices.ready("We are closed.", AGENT) == ""
        path = await asyncio.to_thread(notices.render, "We are closed.", AGENT)
        (pcm,), rate_hz = read_wav(Path(path))
        assert rate_hz == 8000 and sound_spans(pcm, rate_hz)
        assert Path(path).stat().st_mode & 0o777 == 0o644
    # the servers are gone now: the file stays
    assert notices.ready("We are closed.", AGENT) == path
    assert await asyncio.to_thread(notices.render, "We are closed.", AGENT) == path


def test_without_a_voice_there_is_no_notice(tmp_path: Path) -> None:
    notices = Notices(tmp_path, ("http://127.0.0.1:9",))
    assert notices.render("We are closed.", AGENT) == ""
    assert notices.render("", AGENT) == ""
    assert not list(tmp_path.iterdir())


def test_each_voice_and_language_has_its_own(tmp_path: Path) -> None:
    notices = Notices(tmp_path, ())
    hindi = Agent("sunrise", 1, "Sunrise", language="hi", voice="slt")
    texts = {notices.path("a", AGENT), notices.path("b", AGENT), notices.path("a", hindi)}
    assert len(texts) == 3
    assert notices.path("a", AGENT) == notices.path("a", AGENT)
