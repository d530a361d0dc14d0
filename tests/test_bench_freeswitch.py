"""The bench through a real FreeSWITCH with the shipped configuration, and `ivr switch`."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from appliance.engines.emulated_script import load_script
from appliance.errors import UserError
from appliance.ops.rehearsal.temporarysite import site
from appliance.rehearsal import script
from bench import places
from bench.places import freeswitch_place
from bench.report import figures
from tests.freeswitch_kit import needs_freeswitch

CALLS, TALK_S = 4, 15.0
HICCUP_AT_S, HICCUP_S = 2.0, 0.3


@needs_freeswitch
@pytest.mark.long
@pytest.mark.server
@pytest.mark.sip
@pytest.mark.skipif(not shutil.which("flite"), reason="flite is not installed")
@pytest.mark.skipif(not shutil.which("sipp"), reason="sipp is not installed")
def test_callers_through_freeswitch_hear_all_and_are_heard_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also after a hiccup: packets of 300 ms come in a bunch, and are caught up with."""
    monkeypatch.setattr(places, "SIPP_HOLD_S", 0.5)
    hiccups: list[float] = []

    def watch(turns: int, since_s: float) -> None:
        if since_s > HICCUP_AT_S and not hiccups:
            hiccups.append(since_s)
            time.sleep(HICCUP_S)  # all callers stand still; then they send what is due, at once

    path = script.make(tmp_path / "script")
    with site(path, CALLS) as running:
        try:
            with freeswitch_place(running, load_script(path), CALLS) as placed:
                assert set(placed.beside) == {"worker", "switch", "freeswitch"}
                done = placed.call(CALLS, TALK_S, watch)
        except UserError as e:
            if "CAP_NET_RAW" in str(e):
                pytest.skip(str(e))
            raise
    row = figures(done.rehearsal, overheard=done.trips)
    assert f"{CALLS} calls set up and torn down, 0 failed" in capsys.readouterr().err
    assert (row.errors, row.first_error, row.lost_packets) == (0, "", 0)
    assert row.frames >= CALLS * (TALK_S - 1) * 50
    assert row.said_frames is not None
    assert row.said_frames > 50  # the greetings
    assert row.lost_sound_frames == 0
    assert hiccups
    assert row.turns >= 2
    assert row.gap_p50_ms is not None
    assert row.gap_p50_ms < 460 + HICCUP_S * 1000 / 2  # 460 without any hiccup
    assert row.audio_out_p95_ms is not None
    assert 0 < row.audio_out_p95_ms < 200  # far from the figure asked for: a busy machine


def test_without_a_freeswitch_the_bench_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("bench.freeswitch_place.shutil.which", lambda name: None)
    with (
        pytest.raises(UserError, match="no `freeswitch` on PATH"),
        freeswitch_place(None, None, 1),  # type: ignore[arg-type]
    ):
        pass
