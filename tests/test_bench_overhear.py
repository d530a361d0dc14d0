"""The bench's listening to the worker's datagrams, and its CPU meter, against what really happened."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from appliance.errors import UserError
from appliance.rehearsal.calls import CallReport, Rehearsal
from appliance.rehearsal.conversation import Conversation, Line, Spurt, Spurts
from appliance.rehearsal.lateness import lateness
from bench.meter import Meter
from bench.overhear import Overhearing, ended, trips, udp_towards
from bench.report import Load, edge_table, figures, share_table

SOUND = np.full(160, 4000, "<i2").tobytes()
SILENCE = bytes(320)
RATE_HZ = 8000


def test_a_pause_of_200_ms_parts_two_spurts() -> None:
    line = Spurts()
    silent = (5, 6, *range(15, 26))
    onsets = [line.add(n * 0.02, (n + 1) * 0.02) for n in range(30) if n not in silent]
    assert [s.frames for s in line.all] == [13, 4]
    assert onsets.count(True) == 2
    assert (line.all[0].begin_s, line.all[0].end_s) == pytest.approx((0.0, 0.3))


def test_what_was_said_is_matched_with_what_was_heard() -> None:
    said = {
        1: [Spurt(10.0, 12.0, 100), Spurt(20.0, 21.0, 50)],
        2: [Spurt(10.0, 12.0, 100), Spurt(15.0, 15.1, 5)],
        3: [Spurt(30.0, 30.2, 10)],
    }
    heard = {
        1: [Spurt(10.012, 12.012, 100), Spurt(20.004, 21.004, 50)],
        # the first in two pieces, 15 frames short; the second not at all
        2: [Spurt(10.02, 11.0, 45), Spurt(11.3, 12.02, 40), Spurt(19.0, 19.5, 25)],
    }
    result = trips(said, heard)
    assert sorted(result.late_ms) == pytest.approx([4.0, 12.0, 20.0])
    assert (result.spurts, result.frames) == (5, 265)
    assert (result.lost_frames, result.lost_spurts) == (15 + 5 + 10, 2)


def test_what_is_said_while_the_caller_hangs_up_does_not_count() -> None:
    spurts = [Spurt(1.0, 4.0, 150), Spurt(5.0, 9.8, 240)]
    assert ended(spurts, hung_up_s=10.0) == spurts[:1]


@pytest.mark.server
def test_datagrams_are_overheard_with_their_moment_and_no_others() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth,
    ):
        ear.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        port = ear.getsockname()[1]
        try:
            listening = Overhearing(range(port, port + 1), RATE_HZ)
        except UserError as e:
            pytest.skip(str(e))
        sent_s, done_s = [], []
        with listening:
            for pcm in (SILENCE, SOUND, SOUND, SILENCE):
                sent_s.append(time.monotonic())
                mouth.sendto(pcm, ear.getsockname())
                done_s.append(time.monotonic())
                mouth.sendto(SOUND, other.getsockname())
                time.sleep(0.005)
        heard = listening.spurts()
    assert set(heard) == {port}
    (spurt,) = heard[port]
    assert spurt.frames == 2
    assert sent_s[1] <= spurt.begin_s < done_s[1] + 0.004


def test_the_filter_ends_in_take_and_leave() -> None:
    *_, take, leave = udp_towards(range(4000, 4010))
    assert (take[3], leave[3]) == (0xFFFF, 0)


def test_the_meter_reads_another_process_to_the_millisecond() -> None:
    loop = "import time\nwhile time.process_time() < 0.1: pass\nprint(flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", loop], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stdin
        meter = Meter(process.pid)
        begun = meter.sample()
        process.stdout.readline()
        busy = meter.sample()
        time.sleep(0.02)
        idle = meter.sample()
        process.stdin.close()
    assert busy.cpu_s == pytest.approx(0.1, abs=0.02)
    assert idle.cpu_s - busy.cpu_s < 0.005
    assert meter.cores(begun.at_s, idle.at_s) > 0.01


def test_shares_and_the_way_out_stand_in_the_report() -> None:
    heard = {0: [Spurt(1.01, 2.01, 49)]}
    rehearsal = Rehearsal([], 0.0, 1.0)
    overheard = trips({0: [Spurt(1.0, 2.0, 50)]}, heard)
    report = CallReport(0, Conversation([Line("a", (SOUND,))], 320, 0), lateness([]), "", 3)
    rehearsal.calls.extend([report] * 10)
    beside = {"switch": Load(cores=0.1, rss_mb=1, idle_cores=0.05, shifting_s=0.2)}
    row = figures(rehearsal, Load(cores=1, rss_mb=1), beside=beside, overheard=overheard)
    assert row.lost_packets == 30
    share = row.shares["switch"]
    assert (share.cores_per_call, share.own_cores_per_call) == (0.01, 0.005)
    assert share.shift_ms == 20.0
    assert (row.audio_out_p50_ms, row.said_frames, row.lost_sound_frames) == (10.0, 50, 1)
    assert "not heard" in edge_table([row])
    assert "switch" in share_table([row])
