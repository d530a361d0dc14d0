"""The folder of installed models: what is there, and how a new one gets its place in one step."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.checkpoints import archives
from appliance.checkpoints.catalogue import NAME_PATTERN
from appliance.checkpoints.disk import bytes_below
from appliance.checkpoints.forms import LOADED_BY, Form, form_of
from appliance.checkpoints.manifest import (
    ORIGINALS,
    Manifest,
    measure,
    read_manifest,
    write_manifest,
)
from appliance.errors import UserError
from appliance.settings import Settings

WORKPLACE = ".partial"
"""What is being fetched or made; its parts stay there until they are whole."""


@dataclass(frozen=True, slots=True)
class Installed:
    """One model that is here."""

    name: str
    folder: Path
    form: Form | None
    """None: no model that we know."""
    manifest: Manifest | None
    """None: put there by hand."""
    size: int
    """Bytes."""
    ready: bool
    """Whether an engine can load it; else it waits to be converted."""


def installed(settings: Settings) -> dict[str, Installed]:
    """Every model that is here, by name; one that is converted hides what it was made from."""
    found = {}
    for root in (settings.models_dir / ORIGINALS, settings.models_dir):
        for folder in sorted(root.iterdir()) if root.is_dir() else ():
            if folder.is_dir() and not folder.name.startswith("."):
                found[folder.name] = _installed(folder, root.name == ORIGINALS)
    return found


def _installed(folder: Path, original: bool) -> Installed:
    try:
        manifest = read_manifest(folder)
    except UserError:  # `verify` says so; all others are listed, and this one can be removed
        manifest = None
    form = form_of(folder)
    size = manifest.size if manifest else bytes_below(folder)
    ready = not original and form in LOADED_BY.values()
    return Installed(folder.name, folder, form, manifest, size, ready)


def check_name(name: str) -> str:
    """``name``, if it can be a model's. Raises UserError."""
    if re.fullmatch(NAME_PATTERN, name):
        return name
    raise UserError(
        f"{name!r} cannot be a model's name: small letters, digits, dots and dashes, as in"
        " indicwhisper-hi."
    )


@contextmanager
def workplace(settings: Settings, name: str) -> Iterator[Path]:
    """A folder of our own to fetch or make ``name`` in; what an earlier try left is still there.

    Raises UserError while another process works on the same model: the kernel frees the lock when
    that one ends, however it does.
    """
    check_name(name)
    root = settings.models_dir / WORKPLACE
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = os.open(root / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as e:
        raise UserError(f"{root} cannot be written: {e.strerror}. Set data_dir.") from e
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as e:
        os.close(lock)
        raise UserError(f"Another ivr models is at work on {name}. Wait for it, or end it.") from e
    try:
        place = root / name
        place.mkdir(exist_ok=True)
        yield place
    finally:
        os.close(lock)


def put(
    settings: Settings,
    found: Path,
    *,
    name: str,
    form: Form,
    source: str,
    revision: str = "",
    converted: str = "",
) -> Path:
    """Give the folder ``found``, which is whole, its manifest and its place; the folder it is now.

    A model that was there before is replaced.
    """
    ready = form in LOADED_BY.values()
    target = settings.models_dir / name if ready else settings.models_dir / ORIGINALS / name
    (found / "manifest.json").unlink(missing_ok=True)  # of where it came from
    manifest = Manifest(
        name=name,
        form=form.value,
        source=source,
        revision=revision,
        fetched_at=datetime.now(UTC).isoformat(timespec="seconds"),
        files=measure(found),
        converted=converted,
    )
    write_manifest(found, manifest)
    target.parent.mkdir(parents=True, exist_ok=True)
    old = settings.models_dir / WORKPLACE / f"{name}.old"
    old.parent.mkdir(exist_ok=True)
    archives.remove(old)
    if target.exists():
        target.rename(old)
    found.rename(target)
    archives.remove(old)
    return target


def clear(settings: Settings, name: str) -> None:
    """Delete what is left in the workplace of ``name``."""
    archives.remove(settings.models_dir / WORKPLACE / check_name(name))


def delete(settings: Settings, name: str) -> None:
    """Delete the model ``name``, what it was made from, and what is half fetched of it."""
    check_name(name)
    with workplace(settings, name):
        for root in (settings.models_dir, settings.models_dir / ORIGINALS):
            archives.remove(root / name)
        clear(settings, name)


@dataclass(frozen=True, slots=True)
class Difference:
    """How a model's files differ from its manifest."""

    missing: tuple[str, ...]
    changed: tuple[str, ...]
    added: tuple[str, ...]

    @property
    def bad(self) -> bool:
        """Whether a file is missing or changed; one that was added does no harm."""
        return bool(self.missing or self.changed)


def compare(folder: Path, manifest: Manifest) -> Difference:
    """Read every file of ``folder`` and compare it with ``manifest``."""
    there = {file.path: file for file in measure(folder)}
    promised = {file.path: file for file in manifest.files}
    changed = (p for p in promised if p in there and there[p] != promised[p])
    return Difference(
        missing=tuple(sorted(promised.keys() - there.keys())),
        changed=tuple(sorted(changed)),
        added=tuple(sorted(there.keys() - promised.keys())),
    )
