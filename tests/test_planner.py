"""The plan is kept fresh; without Postgres, or with a broken file, the last one stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.capacity.plan import Step
from appliance.capacity.planfile import PlanFile, read_plan
from appliance.errors import UserError
from appliance.ops.planner import Planner
from appliance.settings import Capacity, Settings


class Plans:
    """Makes the plan that a test wants next, or its trouble."""

    def __init__(self) -> None:
        self.servers = 1
        self.trouble: Exception | None = None

    def __call__(self, settings: Settings) -> PlanFile:
        if self.trouble:
            raise self.trouble
        return PlanFile(1000.0, 300, {"stt": (Step(900.0, self.servers),)})


async def test_a_plan_is_made_written_and_followed(tmp_path: Path) -> None:
    plans = Plans()
    settings = Settings(data_dir=tmp_path)
    planner = Planner(settings, plans)
    assert planner.steps("stt") == ()
    for plans.servers in (3, 12):
        assert await planner.renew()
        assert planner.steps("stt") == ((900.0, plans.servers),)
        assert planner.steps("tts") == ()
    written = read_plan(settings.plan_file)
    assert written is not None and written.made_at == 1000.0
    assert Planner(settings, plans).steps("stt") == ((900.0, 12),)  # of another process


@pytest.mark.parametrize("trouble", [UserError("Postgres is away."), OSError(), ValueError("bug")])
async def test_trouble_leaves_the_last_plan_in_force(
    trouble: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plans = Plans()
    planner = Planner(Settings(data_dir=tmp_path), plans)
    assert await planner.renew()
    plans.trouble = trouble
    assert not await planner.renew() and not await planner.renew()
    assert planner.steps("stt") == ((900.0, 1),)
    told = [record for record in caplog.records if "no new plan" in record.getMessage()]
    assert len(told) == (2 if isinstance(trouble, ValueError) else 1)  # a bug is told each time
    plans.trouble, plans.servers = None, 77
    assert await planner.renew() and planner.steps("stt") == ((900.0, 77),)


async def test_a_file_that_somebody_broke_or_removed_is_no_new_plan(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    planner = Planner(settings, Plans())
    assert await planner.renew() and planner.steps("stt")
    settings.plan_file.write_text("{")
    assert planner.steps("stt") == ((900.0, 1),)
    settings.plan_file.unlink()
    assert planner.steps("stt") == ((900.0, 1),)


async def test_without_planning_there_is_no_plan(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, capacity=Capacity(plan=False))
    planner = Planner(settings, Plans())
    await planner.run()
    assert not settings.plan_file.exists()
    assert await planner.renew() and planner.steps("stt") == ()
