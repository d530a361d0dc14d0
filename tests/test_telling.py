"""What `ivr up` tells of the processes that it keeps: a real child that ends and is started again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from appliance.metrics.looplag import LoopLag
from appliance.ops.keeping.keeper import Keeper
from appliance.ops.keeping.ports import free_port
from appliance.ops.keeping.program import Program
from appliance.ops.telling import metrics_port
from appliance.settings import Metrics, Settings
from tests.metrics_kit import assert_known, scrape

pytestmark = pytest.mark.server
POOLS = frozenset({
    "ivr_pool_servers", "ivr_pool_wanted", "ivr_pool_least", "ivr_pool_most", "ivr_pool_in_flight",
    "ivr_pool_capacity",
})  # fmt: skip


async def test_a_child_that_dies_is_seen_to_be_started_again(tmp_path: Path) -> None:
    async def ready() -> bool:
        return True

    child = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"]
    keeper = Keeper(Program("child", lambda: child, ready, ""), lambda line: None)
    settings = Settings(data_dir=tmp_path, metrics=Metrics(up_port=free_port()))
    lag = LoopLag()
    lag.seconds.observe(0.001)
    port = metrics_port(settings, "up", lambda: [keeper], [], lag)
    url = f"http://127.0.0.1:{port.open(settings.metrics.up_port)}"
    keeping = asyncio.create_task(keeper.keep())
    try:
        await keeper.healthy()
        found = await asyncio.to_thread(scrape, url)
        assert_known(found, "up", POOLS)
        assert found.value("ivr_child_up", program="child") == 1
        assert found.value("ivr_child_starts_total", program="child") == 1
        assert keeper.pid is not None
        os.kill(keeper.pid, signal.SIGKILL)
        async with asyncio.timeout(20):
            while keeper.starts < 2:
                await asyncio.sleep(0.05)
        found = await asyncio.to_thread(scrape, url)
        assert found.value("ivr_child_starts_total", program="child") == 2
    finally:
        await keeper.stop(asyncio.Event())
        await keeping
        await asyncio.to_thread(port.close)
