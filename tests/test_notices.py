"""Notices are spoken once, by the first voice server that can, and kept."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from appliance.audio import read_wav, sound_spans
from appliance.events import Agent
from appliance.telephony.notices import Notices
from tests.knowledge_servers import KEY
from tests.serving import serving

AGENT = Agent("sunrise", 1, "Sunrise", voice="slt")


@pytest.mark.server
async def test_a_notice_is_spoken_once_and_kept(tmp_path: Path) -> None:
    async with serving(tmp_path / "data", "tts", "--engine", "flite") as served:
        urls = ("http://127.0.0.1:9", served.url)
        notices = Notices(tmp_path / "notices", urls, lambda url: KEY)
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


def test_a_voice_server_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    """It takes the request, and a byte of its answer comes now and then: no read is ever late."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                while True:
                    connection.send(b"H")
                    time.sleep(0.1)

        threading.Thread(target=drip, daemon=True).start()
        notices = Notices(tmp_path, (f"http://127.0.0.1:{server.getsockname()[1]}",))
        begun = time.monotonic()
        assert notices.render("We are closed.", AGENT, 0.5) == ""
        assert time.monotonic() - begun < 10  # what drips, drips for ever


@pytest.mark.server
async def test_a_disk_that_takes_nothing_breaks_no_call(tmp_path: Path) -> None:
    (tmp_path / "notices").write_text("in the way")
    async with serving(tmp_path / "data", "tts", "--engine", "flite") as served:
        notices = Notices(tmp_path / "notices", (served.url,), lambda url: KEY)
        assert await asyncio.to_thread(notices.render, "We are closed.", AGENT) == ""


def test_old_summaries_go_and_notices_stay(tmp_path: Path) -> None:
    notices = Notices(tmp_path, ())
    kept, summary, fresh = (notices.path(text, AGENT) for text in ("notice", "summary", "fresh"))
    for path in (kept, summary, fresh):
        path.write_bytes(b"")
    for path in (kept, summary):
        os.utime(path, (1e9, 1e9))
    notices.sweep({kept})
    assert set(tmp_path.iterdir()) == {kept, fresh}
