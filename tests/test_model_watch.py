"""A model that hangs, or whose device is gone, is seen from outside."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from appliance.models import model_watch
from appliance.models.ending import LOST_STATUS
from appliance.models.http import Load
from appliance.models.model_watch import ModelWatch, guarding
from tests.tinyserver import until


def test_a_step_counts_while_it_lasts() -> None:
    watch = ModelWatch()
    assert watch.stuck_s == 0
    before_s = time.monotonic()
    with watch.step():
        time.sleep(0.01)
        assert 0.01 <= watch.stuck_s <= time.monotonic() - before_s
    assert watch.stuck_s == 0


async def test_a_server_is_not_ready_while_its_model_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_watch, "HANG_S", 0.05)
    monkeypatch.setattr(model_watch, "LOOK_S", 0.01)
    watch, load = ModelWatch(), Load("tts", "coqui", ("hi",), 8)
    async with guarding(watch, load):
        with watch.step():
            await until(lambda: not load.ready)
        await until(lambda: load.ready)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("watch.lose('CUDA error: device lost')", "the GPU does not answer"),
        ("step = watch.step(); step.__enter__()", "the model has hung"),
    ],
)
def test_a_model_beyond_help_ends_its_process_and_says_why(trouble: str, said: str) -> None:
    program = f"""
import asyncio
from appliance.models import model_watch
from appliance.models.http import Load
model_watch.HUNG_S = 0.2
async def main():
    watch = model_watch.ModelWatch()
    async with model_watch.guarding(watch, Load("tts", "coqui", ("hi",), 8)):
        {trouble}
        await asyncio.sleep(120)
asyncio.run(main())
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == LOST_STATUS
    assert said in ended.stderr
