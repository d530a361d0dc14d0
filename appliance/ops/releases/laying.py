"""Lays a new release beside the old: its files, its environment made offline, then ``RELEASE``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from appliance import shipped
from appliance.errors import UserError
from appliance.ops.releases import bundlefile, wheelhouse
from appliance.ops.releases.bundlefile import Progress, no_progress
from appliance.ops.releases.manifest import Manifest
from appliance.ops.releases.release import SHARED, Place, Release
from appliance.ops.releases.signing import PublicKey
from appliance.store.schema import head_of

VENV_TIMEOUT_S = 120.0
INSTALL_TIMEOUT_S = 1800.0
"""Some hundred wheels, with their byte code, on a slow disk."""
ROOM_FACTOR = 4
"""Unpacked wheels and their byte code beside the wheels themselves."""
SPARE_BYTES = 512 << 20
REQUIREMENTS = Path("about", "requirements.txt")
VERSION_TIMEOUT_S = 60.0


class Source(Protocol):
    """What a new release is made from."""

    def name(self) -> str:
        """The release that it becomes. Raises UserError where it is not good."""

    def lay(self, place: Place) -> Release:
        """Make it, whole. Raises UserError; the folder is then made anew the next time."""


@dataclass(frozen=True, slots=True)
class BundleSource:
    """A signed bundle: what boxes are upgraded by."""

    file: Path
    key: PublicKey
    models_dir: Path
    progress: Progress = field(default=no_progress)

    def name(self) -> str:
        """The release that it becomes. Raises UserError, also for a bundle for another Python."""
        with bundlefile.opened(self.file, self.key) as reader:
            _check_python(reader.manifest)
            return reader.manifest.version

    def lay(self, place: Place) -> Release:
        """Raises UserError; the folder is then not whole, and is made anew the next time."""
        with bundlefile.opened(self.file, self.key) as reader:
            manifest = reader.manifest
            folder = _fresh(place, manifest.version)
            _check_room(folder, manifest)
            unpacked = folder / "bundle"
            reader.extract(unpacked, self.progress)
        (unpacked / "share").rename(folder / "share")
        (unpacked / "about").rename(folder / "about")
        _environment(folder)
        _install(folder, unpacked / "wheels")
        _take_models(unpacked / "models", self.models_dir)
        shutil.rmtree(unpacked)
        return _complete(place, manifest.version, manifest.commit, manifest.made_at)


@dataclass(frozen=True, slots=True)
class CheckoutSource:
    """A checkout of the source, for developers: third-party packages are those of the environment
    that runs this."""

    checkout: Path

    def name(self) -> str:
        """The version in ``pyproject.toml``. Raises UserError."""
        try:
            return wheelhouse.version_of(self.checkout)
        except (OSError, KeyError, ValueError) as e:
            raise UserError(f"{self.checkout} is no checkout of the appliance: {e}.") from e

    def lay(self, place: Place) -> Release:
        """Raises UserError."""
        version = self.name()
        folder = _fresh(place, version)
        copy_share(self.checkout, folder / "share")
        _environment(folder, "--without-pip")
        purelib = next((folder / ".venv" / "lib").glob("python*")) / "site-packages"
        (purelib / SHARED).write_text(_shared_packages())
        with tempfile.TemporaryDirectory(prefix="ivr-wheel-") as made:
            wheel = wheelhouse.build(self.checkout, Path(made))
            into = ("--python", str(folder / ".venv" / "bin" / "python"), "install", "--quiet")
            offline = ("--no-index", "--no-deps", "--no-compile", "--ignore-installed", str(wheel))
            wheelhouse.pip(*into, *offline, timeout_s=INSTALL_TIMEOUT_S)
        return _complete(place, version, "", datetime.now(UTC).isoformat(timespec="seconds"))


def _shared_packages() -> str:
    """Lines of a .pth: the folders that hold our third-party packages. A release that was itself made
    from a checkout has none, and names those that it shares."""
    own = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    for folder in own:
        if (found := Path(folder, SHARED)).exists():
            return found.read_text()
    return "\n".join(sorted(own)) + "\n"


def copy_share(root: Path, share: Path) -> None:
    """What of a checkout goes beside the environment. Raises UserError where it is none."""
    for name in shipped.REQUIRED:
        if not (root / name).exists():
            raise UserError(f"{root} is no checkout of the appliance: it has no {name}.")
    share.mkdir(parents=True)
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in shipped.NAMES:
        if (root / name).is_dir():
            shutil.copytree(root / name, share / name, ignore=ignore)
        elif (root / name).exists():
            shutil.copy2(root / name, share / name)


def _fresh(place: Place, name: str) -> Path:
    """The folder of a new release, empty. Raises UserError where that release is there, whole."""
    folder = place.folder(name)
    if place.read(name) is not None:
        raise UserError(
            f"Release {name} lies there already. `ivr releases remove {name}` removes it, unless it"
            " is in force; then give what you bring another version."
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o755)
    return folder


def _check_python(manifest: Manifest) -> None:
    ours = "{}.{}".format(*sys.version_info[:2])
    if manifest.python != ours:
        raise UserError(
            f"The bundle is for Python {manifest.python}, this box has {ours}. Get the bundle of"
            " this release that was made for it."
        )


def _check_room(folder: Path, manifest: Manifest) -> None:
    wheels = sum(entry.size for entry in manifest.under("wheels"))
    wanted = manifest.size + ROOM_FACTOR * wheels + SPARE_BYTES
    if (free := shutil.disk_usage(folder).free) < wanted:
        raise UserError(
            f"{folder} needs {wanted / 1e9:.1f} GB and has {free / 1e9:.1f}. `ivr releases list`"
            " shows old releases that can go."
        )


def base_python() -> Path:
    """The interpreter that our environment was made from."""
    return Path(sys.base_prefix, "bin", "python{}.{}".format(*sys.version_info[:2]))


def _environment(folder: Path, *options: str) -> None:
    """An empty environment, at its final place: its programs carry its path."""
    command = [str(base_python()), "-m", "venv", *options, str(folder / ".venv")]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=VENV_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError) as e:
        raise UserError(
            f"No environment can be made in {folder}: {e}. Is python3-venv installed?"
        ) from e


def _install(folder: Path, wheels: Path) -> None:
    lock = folder / REQUIREMENTS
    offline = ["--no-index", "--find-links", str(wheels), "--no-deps", "--require-hashes"]
    _pip(folder, *offline, "-r", str(lock))


def _pip(folder: Path, *arguments: str) -> None:
    python = folder / ".venv" / "bin" / "python"
    options = ["install", "--quiet", "--no-cache-dir", *arguments]
    wheelhouse.pip(*options, timeout_s=INSTALL_TIMEOUT_S, python=python)


def _take_models(brought: Path, models: Path) -> None:
    """Models that are not here yet move in; one of the same name stays as it is."""
    if not brought.is_dir():
        return
    for model in brought.iterdir():
        if (models / model.name).exists():
            continue
        models.mkdir(parents=True, exist_ok=True)
        _give_to_owner(model, models)
        shutil.move(model, models / model.name)


def _give_to_owner(what: Path, of: Path) -> None:
    if os.geteuid() == 0:
        owner = of.stat()
        for path in (what, *what.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)


def _complete(place: Place, version: str, commit: str, made_at: str) -> Release:
    """Try the program, then mark the folder whole."""
    told = run_ivr(place.ivr(version), "--version", timeout_s=VERSION_TIMEOUT_S)
    if version not in told:
        raise UserError(f"The `ivr` of release {version} says it is {told.strip()!r}.")
    schema = head_of(place.folder(version) / "share" / "migrations")
    release = Release(version, commit, schema, made_at, version)
    place.complete(release)
    return release


Say = Callable[[str], None]
"""Told one sentence of what happens."""


def run_ivr(
    ivr: Path,
    *arguments: str,
    timeout_s: float,
    environment: dict[str, str] | None = None,
    owner_of: Path | None = None,
    statuses: tuple[int, ...] = (0,),
) -> str:
    """What a release's ``ivr`` prints, run as the owner of ``owner_of`` (the service's data) where we
    are root. Raises UserError with its last words."""
    own = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "NOTIFY_SOCKET")}
    account = None if owner_of is None or os.geteuid() else owner_of.stat()
    try:
        done = subprocess.run(
            [str(ivr), *arguments], capture_output=True, text=True, check=False, cwd="/",
            timeout=timeout_s, env=own | (environment or {}), stdin=subprocess.DEVNULL,
            user=account.st_uid if account else None, group=account.st_gid if account else None,
            extra_groups=[account.st_gid] if account else None,
        )  # fmt: skip
    except subprocess.TimeoutExpired as e:
        raise UserError(f"`ivr {' '.join(arguments)}` was not done in {timeout_s:.0f} s.") from e
    except OSError as e:
        raise UserError(f"{ivr} cannot be run: {e.strerror}.") from e
    if done.returncode not in statuses:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise UserError(f"`ivr {' '.join(arguments)}` of {ivr.parents[2].name}: {' '.join(last)}")
    return done.stdout
