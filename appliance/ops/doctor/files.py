"""Modes and owners: nothing that holds secrets, words or voices is open to other users."""

from __future__ import annotations

import asyncio
import os
import stat
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State, Step
from appliance.ops.doctor.sentences import worded, words
from appliance.ops.doctor.settings import file_in_force
from appliance.settings import Settings

OTHERS = stat.S_IROTH | stat.S_IWOTH | stat.S_IXOTH
GROUP_OR_OTHERS = stat.S_IRWXG | OTHERS
MOST_FILES = 200
"""Secrets and keys of one box; more are not looked at."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A file or folder that others may open, or that has the wrong owner."""

    path: Path
    what: str
    mode: int | None = None
    """The mode that mends it."""
    owner: tuple[int, int] | None = None
    """uid and gid that mend it."""


async def look(box: Box) -> Sequence[Finding]:
    """stat of the settings, the secrets, keys and the folders of callers' data."""
    found = await asyncio.to_thread(lambda: list(troubles(box.settings)))
    named = [
        Finding(
            "files",
            State.BAD,
            worded("{path} {what}.", path=one.path, what=words(one.what)),
            _remedy(one),
            detail={"path": str(one.path)},
            code="owner" if one.owner else "mode",
        )
        for one in found
    ]
    good = "Settings, secrets, keys and callers' data are closed to other users."
    return named or [Finding("files", State.GOOD, good)]


async def fix(box: Box) -> Sequence[Step]:
    """chmod and chown."""
    found = await asyncio.to_thread(lambda: list(troubles(box.settings)))
    return [_step(one) for one in found if one.mode is not None or (one.owner and box.is_root)]


def troubles(settings: Settings) -> Iterator[Trouble]:
    """Everything that is open or owned by another. Blocks."""
    file = file_in_force()
    if file and holds_secrets(file):
        yield from _closed(file, OTHERS, "may be read by every user, and holds passwords")
    yield from _private_folder(settings.secrets_dir)
    for path in _files(settings.secrets_dir):
        yield from _closed(path, GROUP_OR_OTHERS, "is a secret that other users may read")
    key = Path(settings.admin.key) if settings.admin.key else settings.tls_dir / "console.key"
    mask = OTHERS if settings.admin.key else GROUP_OR_OTHERS
    yield from _closed(key, mask, "is a private key that other users may read")
    yield from _callers_data(settings)
    yield from _owners(settings)


def holds_secrets(file: Path) -> bool:
    """Whether a settings file has a value for any setting that is never shown."""
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True  # what cannot be read is not shown to be harmless
    return _has_secret(Settings, values)


def _has_secret(model: type[BaseModel], values: dict[str, Any]) -> bool:
    for name, value in values.items():
        field = model.model_fields.get(name)
        if field is None:
            continue
        if not field.repr and value:
            return True
        inner = field.annotation
        if isinstance(value, dict) and isinstance(inner, type) and issubclass(inner, BaseModel):
            if _has_secret(inner, value):
                return True
    return False


def _callers_data(settings: Settings) -> Iterator[Trouble]:
    """Recordings, rows on disk, announcements' folder: closed by themselves, or by ``data_dir``."""
    data = _mode(settings.data_dir)
    if data is None or not data & OTHERS:
        return
    for folder in (settings.recordings_dir, settings.spool_dir, settings.jobs_dir):
        mode = _mode(folder)
        if mode is not None and mode & OTHERS:
            what = "holds callers' voices and words, and every user may open it"
            yield Trouble(folder, what, mode & ~OTHERS)


def _owners(settings: Settings) -> Iterator[Trouble]:
    """What the owner of ``data_dir`` could not write: a command ran as somebody else."""
    try:
        owner = settings.data_dir.stat()
    except OSError:
        return
    folders = (
        settings.secrets_dir, settings.recordings_dir, settings.spool_dir, settings.models_dir,
        settings.tls_dir, settings.jobs_dir, settings.announcements_dir,
    )  # fmt: skip
    for path in (*folders, *_files(settings.secrets_dir)):
        try:
            there = path.lstat()
        except OSError:
            continue
        if there.st_uid != owner.st_uid and owner.st_uid != 0:
            what = worded(
                "belongs to user {uid}, {folder} to {wanted}",
                uid=there.st_uid, folder=settings.data_dir, wanted=owner.st_uid,
            )  # fmt: skip
            yield Trouble(path, what, owner=(owner.st_uid, owner.st_gid))


def _private_folder(folder: Path) -> Iterator[Trouble]:
    yield from _closed(folder, GROUP_OR_OTHERS, "may be opened by other users")


def _closed(path: Path, mask: int, what: str) -> Iterator[Trouble]:
    mode = _mode(path)
    if mode is not None and mode & mask:
        yield Trouble(
            path, worded("{what} (mode {mode})", what=words(what), mode=f"{mode:04o}"), mode & ~mask
        )


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())[:MOST_FILES]
    except OSError:
        return []


def _mode(path: Path) -> int | None:
    """None: it is not there, or may not be looked at."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None


def _remedy(one: Trouble) -> str:
    if one.owner:
        uid, gid = one.owner
        remedy = "chown {uid}:{gid} {path}, or `ivr doctor --fix` as root."
        return worded(remedy, uid=uid, gid=gid, path=one.path)
    return worded(
        "chmod {mode} {path}, or `ivr doctor --fix`.", mode=f"{one.mode:04o}", path=one.path
    )


def _step(one: Trouble) -> Step:
    if one.owner:
        uid, gid = one.owner
        return Step(
            f"Give {one.path} to user {uid}, group {gid}",
            _in_thread(lambda: os.chown(one.path, uid, gid, follow_symlinks=False)),
        )
    mode = one.mode or 0
    return Step(
        f"Set the mode of {one.path} to {mode:04o}", _in_thread(lambda: one.path.chmod(mode))
    )


def _in_thread(work: Callable[[], None]) -> Callable[[], Any]:
    async def take() -> None:
        await asyncio.to_thread(work)

    return take


CHECKS = (
    Check("files", "Modes and owners", Group.SECURITY, look, fix, how="stat of settings and data"),
)
