"""``ivr bundle``: everything that an offline install or upgrade needs, in one signed file."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from appliance import shipped
from appliance.errors import UserError
from appliance.ops.releases import bundlefile, licences, wheelhouse
from appliance.ops.releases.about import About
from appliance.ops.releases.bundlefile import Progress, entry_of, no_progress
from appliance.ops.releases.laying import copy_share
from appliance.ops.releases.manifest import EPOCH, EPOCH_OF_APT, Entry, Manifest
from appliance.ops.releases.marks import contractions, expansions
from appliance.ops.releases.signing import read_private
from appliance.store.schema import Phase, revisions

GIT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Contents:
    """What goes in."""

    checkout: Path
    wheels: Path | None = None
    """Folder of wheels (and sources) to take the lock's packages from; None: pip's cache and index."""
    own: Path | None = None
    """The wheel of the appliance itself; None: it is built of the checkout."""
    debs: Path | None = None
    """Folder of Debian packages."""
    models: tuple[Path, ...] = ()
    """Folders of models, each named as `ivr models list` shows it."""
    engines: tuple[str, ...] = ()
    """Whose environments' wheels go in: of ``wheelhouse.ENGINES``."""


def create(
    contents: Contents, out: Path, key_file: Path, progress: Progress = no_progress
) -> Manifest:
    """Make a bundle at ``out``. Raises UserError: a wrong hash, a licence that forbids it, a
    migration that is not what its mark says, a file that may not be in a bundle."""
    key = read_private(key_file)
    check_marks(contents.checkout / "migrations")
    with tempfile.TemporaryDirectory(prefix="ivr-bundle-", dir=out.absolute().parent) as made:
        staged = Path(made)
        (staged / "wheels").mkdir()
        own = _own_wheel(contents, staged / "wheels")
        wheels = wheelhouse.gather(contents.checkout, staged / "wheels", contents.wheels)
        engines = _gather_engines(staged, contents)
        copy_share(contents.checkout, staged / "share")
        files = _files(staged, contents)
        entries = [entry_of(path, file) for path, file in files.items()]
        about = About(staged, entries, _version(own), _now())
        about.write(wheels, engines)
        files |= _below(about.folder, "about")
        first = [entry_of(path, file) for path, file in files.items() if path.startswith("about/")]
        manifest = Manifest(
            version=about.version,
            commit=_commit(contents.checkout),
            schema=revisions(contents.checkout / "migrations")[-1].id,
            python="{}.{}".format(*sys.version_info[:2]),
            made_at=about.made_at.isoformat(),
            files=(*first, *sorted(entries, key=_order)),
        )
        bundlefile.write(out, manifest, files, key, progress)
    return manifest


def _own_wheel(contents: Contents, out: Path) -> Path:
    if contents.own is None:
        return wheelhouse.build(contents.checkout, out)
    wanted = wheelhouse.version_of(contents.checkout)
    if (there := _version(contents.own)) != wanted:
        raise UserError(f"{contents.own} is version {there}, the checkout {wanted}; build it anew.")
    return Path(shutil.copy2(contents.own, out / contents.own.name))


def _gather_engines(staged: Path, contents: Contents) -> dict[str, tuple[Path, ...]]:
    """The wheels of each engine's environment."""
    folder = staged / "engines"
    folder.mkdir()
    return {
        name: wheelhouse.gather_engine(contents.checkout, folder, contents.wheels, name)
        for name in contents.engines
    }


def check_marks(scripts: Path) -> None:
    """Raises UserError for a migration that is not what its mark says."""
    for revision in revisions(scripts):
        if revision.phase is Phase.EXPAND and (found := contractions(scripts, revision.id)):
            raise UserError(
                f"Migration {revision.id} is marked expand, and code of before may notice it:"
                f" {found[0]}. Mark it contract, or part it."
            )
        if revision.phase is Phase.CONTRACT and (found := expansions(scripts, revision.id)):
            raise UserError(
                f"Migration {revision.id} is marked contract, and new code may need it: {found[0]}."
                " Put that into a revision of its own before it, marked expand."
            )


def _order(entry: Entry) -> tuple[int, str]:
    """Small things first, models last: a broken download is noticed early."""
    return ("share", "wheels", "debs", "engines", "models").index(
        entry.path.partition("/")[0]
    ), entry.path


def _files(staged: Path, contents: Contents) -> dict[str, Path]:
    """Every file but those of ``about``, by its path in the bundle."""
    files: dict[str, Path] = {}
    for folder in (staged / "wheels", staged / "share", staged / "engines"):
        files |= _below(folder, folder.name)
    if contents.debs:
        packages = sorted(contents.debs.glob("*.deb"))
        found = {f"debs/{file.name.replace(EPOCH_OF_APT, EPOCH)}": file for file in packages}
        if not found:
            raise UserError(f"{contents.debs} holds no .deb.")
        files |= found
    for model in contents.models:
        if not model.is_dir():
            raise UserError(f"{model} is no folder of a model; `ivr models list` shows them.")
        files |= _below(model, f"models/{model.name}")
    return files


def _below(folder: Path, name: str) -> dict[str, Path]:
    return {
        f"{name}/{file.relative_to(folder).as_posix()}": file
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def _version(wheel: Path) -> str:
    return str(licences.metadata_of(wheel)["Version"])


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _commit(checkout: Path) -> str:
    """Of git, with ``+`` where files differ from it; empty outside of a repository."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"],
            cwd=checkout, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


# --- the commands ---------------------------------------------------------------------------------


def print_created(contents: Contents, out: Path, key: Path, *, as_json: bool) -> None:
    """``ivr bundle create``. Raises UserError."""
    manifest = create(contents, out, key, no_progress if as_json else show_progress())
    facts = {"file": str(out), "bytes": out.stat().st_size, **summary(manifest)}
    _tell(facts, as_json)


def print_verified(bundle: Path, key: Path | None, *, as_json: bool) -> None:
    """``ivr bundle verify``: every byte is read. Raises UserError for what is not good."""
    from appliance.ops.releases.signing import trusted

    public = trusted(key)
    with bundlefile.opened(bundle, public) as reader:
        reader.check(no_progress if as_json else show_progress())
        facts = {"good": True, "key": public.fingerprint, **summary(reader.manifest)}
    _tell(facts, as_json)


def summary(manifest: Manifest) -> dict[str, object]:
    """What a bundle is, in short."""
    counts = {
        name: len({e.path.split("/")[1] for e in manifest.under(name)})
        for name in ("wheels", "debs", "engines", "models")
    }
    return {
        "version": manifest.version,
        "commit": manifest.commit,
        "schema": manifest.schema,
        "python": manifest.python,
        "made_at": manifest.made_at,
        "files": len(manifest.files),
        **counts,
    }


def _tell(facts: dict[str, object], as_json: bool) -> None:
    if as_json:
        print(orjson.dumps(facts).decode())
        return
    for name, value in facts.items():
        print(f"{name:9} {value}")


def show_progress() -> Progress:
    """A percentage on standard error, where somebody looks; written when it changes."""
    last = -1

    def show(done: int, total: int) -> None:
        nonlocal last
        percent = 100 * done // total if total else 100
        if percent != last and sys.stderr.isatty():
            last = percent
            end = "\n" if done >= total else ""
            print(f"\r{percent:3} %  {done / 1e9:.1f} GB", end=end, file=sys.stderr, flush=True)

    return show


def default_checkout() -> Path:
    """The checkout that this code runs from. Raises UserError where it is installed."""
    root = shipped.root()
    if not (root / "pyproject.toml").exists():
        raise UserError("A bundle is made from a checkout of the source. Name it by --checkout.")
    return root
