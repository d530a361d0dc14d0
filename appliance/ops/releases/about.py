"""What a bundle says of itself: SBOM, licences, and what pip installs from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path

from appliance.ops.releases import licences, wheelhouse
from appliance.ops.releases.manifest import Entry

SBOM, LICENCES, REQUIREMENTS = "sbom.cdx.json", "licences.txt", "requirements.txt"


@dataclass(frozen=True, slots=True)
class About:
    """The files, in ``staged``."""

    staged: Path
    entries: list[Entry]
    """Every other file of the bundle."""
    version: str
    made_at: datetime

    @property
    def folder(self) -> Path:
        """Where they are written."""
        return self.staged / "about"

    def write(self, wheels: Sequence[Path], engines: Mapping[str, tuple[Path, ...]]) -> None:
        """``wheels``: the release's; ``engines``: those of each engine's environment. Raises UserError
        for a licence that forbids import."""
        from appliance.ops.releases.sbom import sbom  # its library is only where bundles are made

        found = {wheel.name: licences.licensed(licences.metadata_of(wheel)) for wheel in wheels}
        licences.refuse_forbidden(found.values())
        for wheel in chain.from_iterable(engines.values()):
            found[wheel.name] = licences.in_engine(licences.metadata_of(wheel))
        listed = sorted(found.values(), key=lambda one: one.name)
        self.folder.mkdir()
        (self.folder / SBOM).write_bytes(sbom(self.version, self.made_at, found, self.entries))
        (self.folder / LICENCES).write_text(licences.as_text(listed))
        self._write_requirements(REQUIREMENTS, "wheels", None)
        for name, brought in engines.items():
            names = {wheel.name for wheel in brought}
            self._write_requirements(f"engines-{name}.txt", "engines", names)

    def _write_requirements(self, file: str, folder: str, names: set[str] | None) -> None:
        """Of the wheels in ``folder`` those of ``names``; None: all."""
        hashes = {
            entry.path.removeprefix(f"{folder}/"): entry.sha256
            for entry in self.entries
            if entry.path.startswith(f"{folder}/")
        }
        wanted = {name: sha256 for name, sha256 in hashes.items() if names is None or name in names}
        (self.folder / file).write_text(wheelhouse.requirements(wanted))
