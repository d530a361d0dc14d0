"""The releases that lie on this box, and which one is in force.

/opt/ivr/releases/VERSION/   .venv, share/, RELEASE (written last: without it the folder is half made),
                             REJECTED where the box went back from it
/opt/ivr/current             symlink to the one in force; to switch is to rename a symlink over it
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from packaging.version import Version

from appliance.errors import UserError
from appliance.files import sync_folder, write_whole

OPT = Path("/opt/ivr")
KEPT = 2
"""Old releases that stay beside the one in force."""
MARK = "RELEASE"
REJECTED = "REJECTED"
"""In the folder of a release that the box went back from: no rollback goes to it by itself."""
SHARED = "shared.pth"
"""In an environment made from a checkout: the packages of which other environments it shares."""
_KEYS = ("version", "commit", "schema", "made_at")
_NAME = re.compile(r"[0-9][A-Za-z0-9.+!-]{0,99}")


@dataclass(frozen=True, slots=True)
class Release:
    """What ``RELEASE`` says."""

    version: str
    commit: str
    schema: str
    """The newest revision of its migrations."""
    made_at: str
    """ISO 8601: when its bundle was made."""
    name: str = ""
    """Its folder: the version; the installer adds ``+`` and a hash where that version lay there with
    other contents. Not in the file."""

    @property
    def order(self) -> tuple[Version, str]:
        """Later is greater."""
        return Version(self.version), self.made_at


class Place:
    """Where releases lie."""

    def __init__(self, root: Path = OPT) -> None:
        self.root = root
        self.releases = root / "releases"
        self.current = root / "current"
        self.journal = root / "upgrade.json"
        """What an upgrade in progress has done."""
        self.stopped = root / "upgrade.stopped"
        """Which service is stopped, to be started again as the release in force."""
        self.lock = root / "upgrade.lock"

    def folder(self, name: str) -> Path:
        """Where that release lies, or would."""
        if not _NAME.fullmatch(name):
            raise UserError(f"{name!r} is no release; `ivr releases list` shows which there are.")
        return self.releases / name

    def ivr(self, name: str) -> Path:
        """The ``ivr`` of that release, by its own path: what it starts stays with it."""
        return self.folder(name) / ".venv" / "bin" / "ivr"

    def read(self, name: str) -> Release | None:
        """None: there is none, or it is half made."""
        try:
            told = orjson.loads((self.folder(name) / MARK).read_bytes())
            release = Release(**{key: str(told[key]) for key in _KEYS}, **{"name": name})
            Version(release.version)
        except (OSError, ValueError, KeyError, TypeError):  # InvalidVersion is a ValueError
            return None
        return release

    def known(self) -> tuple[Release, ...]:
        """All that are whole, the oldest version first."""
        if not self.releases.is_dir():
            return ()
        names = [path.name for path in self.releases.iterdir() if path.is_dir()]
        found = [self.read(name) for name in names if _NAME.fullmatch(name)]
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
        told = asdict(release)
        name = told.pop("name")
        data = orjson.dumps(told, option=orjson.OPT_INDENT_2)
        write_whole(self.folder(name) / MARK, data, mode=0o644, sync=True)
        sync_folder(self.folder(name))

    def point(self, name: str) -> None:
        """Put a release in force: one rename, so that there is always one."""
        if self.read(name) is None:
            raise UserError(f"There is no whole release {name} in {self.releases}.")
        temporary = self.root / ".current.new"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(Path("releases") / name)
        temporary.replace(self.current)
        sync_folder(self.root)

    def reject(self, name: str, why: str) -> None:
        """Note that the box went back from a release; nothing, where it is not there any more."""
        if (folder := self.folder(name)).is_dir():
            write_whole(folder / REJECTED, f"{why}\n".encode(), mode=0o644, sync=True)
            sync_folder(folder)

    def approve(self, name: str) -> None:
        """Note that calls were answered by it: whatever was said of it before is over."""
        (self.folder(name) / REJECTED).unlink(missing_ok=True)

    def rejected(self, name: str) -> bool:
        """Whether the box went back from it, and has not gone on from it since."""
        return (self.folder(name) / REJECTED).exists()

    def earlier(self) -> list[str]:
        """What can be gone back to: older than the one in force and not rejected, the oldest first."""
        now = self.in_force()
        older = (one.name for one in self.known() if one.order < now.order)
        return [name for name in older if not self.rejected(name)]

    def sharers(self, name: str) -> list[str]:
        """Other releases, whole ones, that use the packages of this one's environment."""
        own = f"{self.folder(name)}/"
        return [
            one.name
            for one in self.known()
            if one.name != name
            for file in (self.folder(one.name) / ".venv" / "lib").glob(f"*/site-packages/{SHARED}")
            if any(line.startswith(own) for line in file.read_text().splitlines())
        ]

    def remove(self, name: str) -> None:
        """Delete a release that is not in force, and whose packages no other one uses."""
        folder = self.folder(name)
        if self.current.is_symlink() and Path(os.readlink(self.current)).name == name:
            raise UserError(f"Release {name} is in force; roll back or upgrade first.")
        if not folder.is_dir():
            raise UserError(f"There is no release {name}; `ivr releases list` shows which are.")
        if sharers := self.sharers(name):
            raise UserError(
                f"{', '.join(sharers)} use the packages of release {name}; remove them first."
            )
        (folder / MARK).unlink(missing_ok=True)  # half removed is half made
        sync_folder(folder)
        shutil.rmtree(folder)

    def prune(self, running: Iterable[str]) -> list[str]:
        """Delete what is older than the one in force, but for the :data:`KEPT` latest that can be gone
        back to, what still runs, and whose packages others use; returns the names."""
        now = self.in_force()
        kept = {*self.earlier()[-KEPT:], *running}
        older = [one.name for one in self.known() if one.order < now.order]
        gone = []
        for name in reversed(older):  # who shares packages is the later one
            if name not in kept and not self.sharers(name):
                self.remove(name)
                gone.append(name)
        return gone[::-1]
