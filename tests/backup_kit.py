"""A box with something on it (rows, recordings, secrets, people), and a backup key."""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.roles import Role
from appliance.ops.backup import create, keys, restore
from appliance.ops.backup.create import Made
from appliance.ops.backup.keys import Identity
from appliance.ops.backup.restore import Restored
from appliance.settings import Backup, Database, Settings
from appliance.store.database import open_engine
from appliance.store.users import User
from tests.access_kit import enrolled, make_user
from tests.calls_kit import a_call, a_turn, put, record, two_tenants

CALLS = 12
FILE = """# made by hand
data_dir = "{data_dir}"

[database]
url = "{url}"

[log]
level = "INFO" # as it was

[backup]
mb_per_s = 0.0
drill = "never"
"""


@dataclass(frozen=True, slots=True)
class Box:
    """One machine: its folder, its settings file and what is in it."""

    folder: Path
    settings: Settings
    file: Path

    @property
    def backups(self) -> Path:
        return self.settings.backups_dir

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make this the box that we are on."""
        monkeypatch.setenv("IVR_SETTINGS", str(self.file))

    def with_backup(self, **values: object) -> Box:
        """The same with other settings of backups."""
        backup = self.settings.backup.model_copy(update=values)
        settings = self.settings.model_copy(update={"backup": backup})
        return dataclasses.replace(self, settings=settings)

    def create(self, **wanted: object) -> Made:
        return create.create(self.settings, create.Wanted(**wanted))  # type: ignore[arg-type]

    def restore(self, where: Path | str, identity: Identity, **wanted: object) -> Restored:
        asked = restore.Wanted(str(where), identity, **wanted)  # type: ignore[arg-type]
        return restore.restore(self.settings, asked)


def a_box(folder: Path, url: str, embedded_dir: Path, backups: Path | None = None) -> Box:
    """A machine with nothing on it but its settings file and its database."""
    settings = Settings(
        data_dir=folder / "var",
        database=Database(url=url, embedded_dir=embedded_dir),
        backup=Backup(mb_per_s=0, drill="never", target=str(backups or folder / "backups")),
    )
    file = folder / "ivr.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(FILE.format(data_dir=settings.data_dir, url=url))
    return Box(folder, settings, file)


def a_key(box: Box) -> Identity:
    """As `ivr backup key --out` writes it."""
    path = box.folder / "identity.txt"
    made = keys.make(box.settings, "box")
    path.write_text(made.text)
    keys.keep(box.settings, made)
    return keys.read_identity(path)


@dataclass(frozen=True, slots=True)
class Life:
    """What was put on a box."""

    operator: User
    totp_secret: str
    calls: tuple[str, ...]


async def live_on(box: Box, engine: AsyncEngine, calls: int = CALLS) -> Life:
    """Agents, calls with recordings, somebody with a second factor, secrets, a notice."""
    settings = box.settings
    await two_tenants(engine)
    operator = await make_user(engine, "asha", Role.OPERATOR)
    totp_secret, _ = await enrolled(engine, settings, operator)
    ids = [f"call-{number}" for number in range(calls)]
    for number, call_id in enumerate(ids):
        await a_whole_call(box, engine, call_id, number + 5)
    notices = settings.announcements_dir
    notices.mkdir(parents=True)
    (notices / "closed.wav").write_bytes(b"RIFF" + bytes(2000))
    settings.secret("media")
    settings.spool_dir.mkdir(parents=True, exist_ok=True)
    return Life(operator, totp_secret, tuple(ids))


async def a_whole_call(box: Box, engine: AsyncEngine, call_id: str, minutes_ago: float) -> None:
    """Its row, two turns and its recording."""
    call = a_call(call_id, minutes_ago)
    call = await asyncio.to_thread(record, box.settings.recordings_dir, call, 2)
    await put(engine, call, a_turn(call, 1), a_turn(call, 2))


async def count(url: str, table: str) -> int:
    """Rows of ``table``."""
    from sqlalchemy import text

    engine = open_engine(url, pool_size=1)
    try:
        async with engine.connect() as connection:
            return int(
                (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()
            )
    finally:
        await engine.dispose()


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file by its path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
