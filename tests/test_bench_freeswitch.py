"""The bench through a real FreeSWITCH with the shipped configuration, and `ivr switch`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from appliance.engines.emulated_script import load_script
from appliance.errors import UserError
from bench import places, script
from bench.place import site
from bench.places import freeswitch_place
from bench.report import figures
from tests.freeswitch_kit import needs_freeswitch

CALLS, TALK_S = 2, 6.0


@needs_freeswitch
@pytest.mark.server
@pytest.mark.sip
@pytest.mark.skipif(not shutil.which("flite"), reason="flite is not installed")
@pytest.mark.skipif(not shutil.which("sipp"), reason="sipp is not installed")
def test_callers_through_freeswitch_hear_all_that_the_worker_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(places, "SIPP_HOLD_S", 0.5)
    path = script.make(tmp_path / "script")
    with site(path, CALLS) as running:
        try:
            with freeswitch_place(running, load_script(path), CALLS) as placed:
                assert set(placed.beside) == {"worker", "switch", "freeswitch"}
                rehearsal = placed.call(CALLS, TALK_S, lambda turns, since_s: None)
        except UserError as e:
            if "CAP_NET_RAW" in str(e):
                pytest.skip(str(e))
            raise
    row = figures(rehearsal)
    assert f"{CALLS} calls set up and torn down, 0 failed" in capsys.readouterr().err
    assert (row.errors, row.first_error, row.lost_packets) == (0, "", 0)
    assert row.frames >= CALLS * (TALK_S - 1) * 50
    assert row.said_frames is not None
    assert row.said_frames > 50  # the greetings
    assert row.lost_sound_frames == 0
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
