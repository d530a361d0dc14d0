"""What a bundle is made of, as CycloneDX 1.6 JSON: wheels, Debian packages, models, with hashes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from appliance.errors import UserError
from appliance.ops.releases.licences import OURS, Licensed
from appliance.ops.releases.manifest import EPOCH, Entry

try:
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL
except ImportError as e:  # pragma: no cover - the extra is part of dev
    raise UserError(
        f"The SBOM needs {e.name}: pip install 'ivr-appliance[bundle]', where bundles are made."
    ) from e


def sbom(
    version: str,
    made_at: datetime,
    wheels: Mapping[str, Licensed],
    entries: Iterable[Entry],
) -> bytes:
    """The JSON. ``wheels``: what each file of ``wheels/`` and ``engines/`` is; ``entries``: every
    file of the bundle."""
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, f"{OURS} {version} {made_at.isoformat()}"))
    bom.metadata.timestamp = made_at
    bom.metadata.component = Component(
        name=OURS, version=version, type=ComponentType.APPLICATION, bom_ref=f"{OURS}@{version}"
    )
    for entry in entries:
        folder, _, name = entry.path.partition("/")
        if folder in ("wheels", "engines") and name in wheels:
            bom.components.add(_package(wheels[name], entry, folder))
        elif folder == "debs":
            bom.components.add(_deb(name, entry))
        elif folder == "models":
            bom.components.add(_file(name, entry, ComponentType.MACHINE_LEARNING_MODEL))
    bom.register_dependency(bom.metadata.component, bom.components)
    return JsonV1Dot6(bom).output_as_string(indent=1).encode()


def _package(one: Licensed, entry: Entry, folder: str) -> Component:
    licences = [LicenseFactory().make_from_string(one.licence)] if one.licence else []
    purl = PackageURL("pypi", name=one.name, version=one.version)
    return Component(
        name=one.name,
        version=one.version,
        type=ComponentType.LIBRARY,
        purl=purl,
        bom_ref=str(purl) if folder == "wheels" else f"{folder}:{purl}",
        licenses=licences,
        hashes=_hashes(entry),
        properties=[Property(name="ivr:use", value=str(one.verdict))],
    )


def _deb(file: str, entry: Entry) -> Component:
    name, _, rest = Path(file).stem.partition("_")
    version = (rest.rpartition("_")[0] or rest).replace(EPOCH, ":")
    purl = PackageURL("deb", "debian", name, version)
    return Component(
        name=name, version=version, type=ComponentType.LIBRARY, purl=purl,
        bom_ref=f"deb:{file}", hashes=_hashes(entry),
    )  # fmt: skip


def _file(name: str, entry: Entry, kind: ComponentType) -> Component:
    return Component(name=name, type=kind, bom_ref=f"file:{entry.path}", hashes=_hashes(entry))


def _hashes(entry: Entry) -> list[HashType]:
    return [HashType(alg=HashAlgorithm.SHA_256, content=entry.sha256)]
