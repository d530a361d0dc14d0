"""What is installed: one folder a model, with a ``manifest.json`` that says what it is made of.

``models_dir/NAME`` is what an engine loads, ``models_dir/.original/NAME`` what was fetched for it and
has yet to be converted. Both appear by a rename, so a folder that is there is whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from appliance.checkpoints.catalogue import load_catalogue
from appliance.checkpoints.forms import Form
from appliance.errors import UserError
from appliance.settings import Settings

MANIFEST = "manifest.json"
ORIGINALS = ".original"
READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model; ``path`` is below its folder, with ``/`` between its parts."""

    path: str
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model's folder holds and where it came from."""

    name: str
    form: str
    """How it lies there: a value of :class:`~appliance.checkpoints.forms.Form`."""
    source: str
    """``hf:OWNER/REPOSITORY``, a URL, a folder or an archive; after a conversion, of the original."""
    revision: str
    """Commit of a repository; else empty."""
    fetched_at: str
    """ISO 8601, UTC."""
    files: tuple[ModelFile, ...]
    converted: str = ""
    """By what, and to which number format: ``ctranslate2 4.8.5, float16``."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def folder_of(settings: Settings, name: str) -> Path:
    """The folder of the installed model ``name``, or the existing folder ``name`` itself.

    Raises UserError that says what is missing and the command that mends it.
    """
    if not name:
        raise UserError("No model is named. Choose one: ivr models list")
    path = Path(name).expanduser()
    if name.startswith(("/", ".", "~")):
        if path.is_dir():
            return path
        raise UserError(f"There is no folder {path}. Name one that holds a model, or a model.")
    installed = settings.models_dir / name
    if installed.is_dir():
        return installed
    if path.is_dir():
        return path
    entry = load_catalogue(settings).find(name)
    if entry.name != name and (settings.models_dir / entry.name).is_dir():
        return settings.models_dir / entry.name  # an alias
    name = entry.name
    if entry.form is Form.BUILT_IN:
        raise UserError(f"{name} is built into its engine: leave the model out.")
    if (settings.models_dir / ORIGINALS / name).is_dir():
        raise UserError(f"The model {name} is not converted yet. Do so: ivr models convert {name}")
    raise UserError(f"The model {name} is not here. Fetch it: ivr models pull {name}")


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of ``folder``; None where there is none (a folder put there by hand).

    Raises UserError for one that cannot be read.
    """
    path = folder / MANIFEST
    try:
        value: dict[str, Any] = orjson.loads(path.read_bytes())
        files = tuple(_file(**file) for file in value.pop("files"))
        if odd := [name for name, text in value.items() if not isinstance(text, str)]:
            raise ValueError(f"{odd[0]} is no text")
        return Manifest(**value, files=files)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as e:
        raise UserError(
            f"{path} is not a manifest that we wrote ({e}). Fetch the model again: "
            f"ivr models pull --again {folder.name}"
        ) from e


def _file(path: Any, size: Any, sha256: Any) -> ModelFile:
    """Raises ValueError: it may have been brought by a stranger."""
    if not isinstance(path, str) or type(size) is not int or not isinstance(sha256, str):
        raise ValueError("a file in it is no path, size and digest")
    return ModelFile(path, size, sha256)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put ``manifest`` into its folder, which nobody else sees yet."""
    data = orjson.dumps(asdict(manifest), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    (folder / MANIFEST).write_bytes(data)


def files_below(folder: Path) -> Iterator[Path]:
    """Every file of a model, in the order of their names; not its manifest."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / MANIFEST:
            yield path


def measure(folder: Path) -> tuple[ModelFile, ...]:
    """Path, size and SHA-256 of every file of a model."""
    return tuple(
        ModelFile(path.relative_to(folder).as_posix(), path.stat().st_size, sha256_of(path))
        for path in files_below(folder)
    )


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
