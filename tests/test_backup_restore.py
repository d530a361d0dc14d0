"""A box is backed up while it lives, and another one becomes it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.backup_kit import a_box, a_key, a_whole_call, count, files_below, live_on

pytestmark = pytest.mark.server


async def test_another_box_becomes_the_one_that_was(
    engine: AsyncEngine,
    database_url: str,
    empty_database_url: str,
    tmp_path: Path,
    open_tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    box = a_box(tmp_path / "old", database_url, open_tmp / "embedded")
    box.use(monkeypatch)
    identity = a_key(box)
    life = await live_on(box, engine)

    async def go_on() -> int:
        number = 0
        while True:
            await a_whole_call(box, engine, f"later-{number}", 0)
            number += 1

    living = asyncio.create_task(go_on())
    made = await asyncio.to_thread(box.create, drill=True)
    living.cancel()
    assert made.backup is not None and made.drill_error == "" and made.backup.manifest.drilled
    assert not made.warnings

    other = a_box(tmp_path / "new", empty_database_url, open_tmp / "embedded")
    other.use(monkeypatch)
    done = await asyncio.to_thread(other.restore, made.backup.folder, identity)
    rows = await count(empty_database_url, "calls")
    assert rows >= len(life.calls)
    theirs = files_below(other.settings.recordings_dir)
    ours = files_below(box.settings.recordings_dir)
    assert len(theirs) == rows and all(ours[name] == data for name, data in theirs.items())
    assert done.files == len(theirs) + 1 and done.audit_rows > 0 and not done.to_do
