"""The models that the settings run are here, and are what came."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from appliance.checkpoints.manifest import ORIGINALS
from appliance.checkpoints.presence import check
from appliance.checkpoints.store import Installed, compare, installed
from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import TIMEOUT_S, Check, Finding, Group, State
from appliance.ops.doctor.errors import said
from appliance.ops.doctor.sentences import worded, words

DEEP_TIMEOUT_S = 1800.0
MOST_NAMED = 3


async def look(box: Box) -> Sequence[Finding]:
    """Names and small files; with --deep every file against its checksum."""
    missing = await asyncio.to_thread(check, box.settings)
    found = [
        Finding("models", State.BAD, said(sentence), code="model-missing") for sentence in missing
    ]
    here = await asyncio.to_thread(installed, box.settings)
    by_hand = sorted(name for name, one in here.items() if one.manifest is None)
    if by_hand:
        what = worded(
            "{models}: put here by hand, so nobody can say what came.",
            models=", ".join(by_hand[:MOST_NAMED]),
        )
        do = "`ivr models pull NAME --again` brings it with its checksums."
        found.append(Finding("models", State.WARNING, what, do, code="model-unknown"))
    async with asyncio.timeout(DEEP_TIMEOUT_S if box.deep else TIMEOUT_S):
        broken = await asyncio.to_thread(_broken, list(here.values()), box.deep)
    for name, paths in broken:
        what = worded(
            "The model {name} is not as it came: {files}.",
            name=name,
            files=", ".join(paths[:MOST_NAMED]),
        )
        do = worded("Fetch it again: ivr models pull --again {name}", name=name)
        found.append(Finding("models", State.BAD, what, do, code="model-broken"))
    how = words("every byte compared" if box.deep else "sizes compared; --deep compares every byte")
    good = worded(
        "{count} models are here ({how}); what the settings run is there.", count=len(here), how=how
    )
    return found or [Finding("models", State.GOOD, good)]


def _broken(models: Sequence[Installed], deep: bool) -> list[tuple[str, list[str]]]:
    """Models with files that are missing or changed: by size, or by checksum where ``deep``."""
    found = []
    for one in models:
        if one.manifest is None or ORIGINALS in one.folder.parts:
            continue
        if deep:
            difference = compare(one.folder, one.manifest)
            paths = [*difference.missing, *difference.changed]
        else:
            paths = [
                file.path for file in one.manifest.files
                if not (one.folder / file.path).is_file()
                or (one.folder / file.path).stat().st_size != file.size
            ]  # fmt: skip
        if paths:
            found.append((one.name, paths))
    return found


CHECKS = (
    Check("models", "Models", Group.ENGINES, look, timeout_s=DEEP_TIMEOUT_S, how="their manifests"),
)
