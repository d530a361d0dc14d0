"""The releases that lie on this box, and which one is in force.

/opt/ivr/releases/VERSION/   .venv, share/, RELEASE (written last: without it the folder is half made)
/opt/ivr/current             symlink to the one in force; to switch is to rename a symlink over it
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from packaging.version import InvalidVersion, Version

from appliance.errors import UserError
from appliance.files import write_whole

OPT = Path("/opt/ivr")
KEPT = 2
"""Old releases that stay beside the one in force."""
MARK = "RELEASE"


@dataclass(frozen=True, slots=True)
class Release:
    """What ``RELEASE`` says."""

    version: str
    commit: str
    schema: str
    """The newest revision of its migrations."""
    made_at: str
    """ISO 8601: when its bundle was made."""

    @property
    def order(self) -> Version:
        return Version(self.version)


class Place:
    """Where releases lie."""

    def __init__(self, root: Path = OPT) -> None:
        self.root = root
        self.releases = root / "releases"
        self.current = root / "current"
        self.journal = root / "upgrade.json"
        """What an upgrade in progress has done."""
        self.lock = root / "upgrade.lock"

    def folder(self, version: str) -> Path:
        """Where that release lies, or would."""
        try:
            if str(Version(version)) == version:
                return self.releases / version
        except InvalidVersion:
            pass
        raise UserError(f"{version!r} is no version; `ivr releases list` shows which there are.")

    def ivr(self, version: str) -> Path:
        """The ``ivr`` of that release, by its own path: what it starts stays with it."""
        return self.folder(version) / ".venv" / "bin" / "ivr"

    def read(self, version: str) -> Release | None:
        """None: there is none, or it is half made."""
        try:
            told = orjson.loads((self.folder(version) / MARK).read_bytes())
            return Release(**{name: str(told[name]) for name in Release.__slots__})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def known(self) -> tuple[Release, ...]:
        """All that are whole, the oldest version first."""
        if not self.releases.is_dir():
            return ()
        names = [path.name for path in self.releases.iterdir() if path.is_dir()]
        found = [self.read(name) for name in names if _is_version(name)]
        return tuple(sorted((one for one in found if one), key=lambda one: one.order))

    def in_force(self) -> Release:
        """Raises UserError where nothing is installed."""
        try:
            release = self.read(Path(os.readlink(self.current)).name)
        except OSError:
            release = None
        if release is None:
            raise UserError(
                f"There is no release in force at {self.current}. Install one with install.sh."
            )
        return release

    def complete(self, release: Release) -> None:
        """Mark a folder as whole: everything in it is on disk now."""
        os.sync()
        write_whole(
            self.folder(release.version) / MARK,
            orjson.dumps(asdict(release), option=orjson.OPT_INDENT_2),
            mode=0o644,
            sync=True,
        )

    def point(self, version: str) -> None:
        """Put a release in force: one rename, so that there is always one."""
        if self.read(version) is None:
            raise UserError(f"There is no whole release {version} in {self.releases}.")
        temporary = self.root / ".current.new"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(Path("releases") / version)
        temporary.replace(self.current)
        sync_folder(self.root)

    def remove(self, version: str) -> None:
        """Delete a release that is not in force."""
        folder = self.folder(version)
        if self.current.is_symlink() and Path(os.readlink(self.current)).name == version:
            raise UserError(f"Release {version} is in force; roll back or upgrade first.")
        if not folder.is_dir():
            raise UserError(f"There is no release {version}; `ivr releases list` shows which are.")
        (folder / MARK).unlink(missing_ok=True)  # half removed is half made
        sync_folder(folder)
        shutil.rmtree(folder)

    def prune(self, running: Iterable[str]) -> list[str]:
        """Delete what is older than the :data:`KEPT` latest before the one in force, but for what
        still runs; returns the versions."""
        now = self.in_force()
        older = [one.version for one in self.known() if one.order < now.order]
        gone = [version for version in older[:-KEPT] if version not in set(running)]
        for version in gone:
            self.remove(version)
        return gone


def _is_version(name: str) -> bool:
    try:
        return str(Version(name)) == name
    except InvalidVersion:
        return False


def sync_folder(folder: Path) -> None:
    """Have the names in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
