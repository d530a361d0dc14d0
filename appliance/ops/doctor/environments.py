"""The environments that engines have of their own: of this release's locks, of an older one's, or of
no use any more."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from appliance import shipped
from appliance.checkpoints.presence import runs
from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State
from appliance.ops.doctor.sentences import worded
from appliance.ops.releases.release import OPT
from appliance.settings import Settings

CODE = "environments"
LOCK = "lock"
"""The file in an environment that says what it was made of."""
MADE_AT = OPT / "engines"
"""Where the installer makes them: NAME is a link to NAME-HASH."""
LOOK_S = 30.0
"""An environment has some 30 000 files, whose sizes are asked of a cold disk where none uses it."""


async def look(box: Box) -> Sequence[Finding]:
    """Skipped where no engine runs in an environment of the installer's making."""
    return await asyncio.to_thread(findings, box.settings, shipped.root(), MADE_AT)


def findings(settings: Settings, share: Path, made_at: Path = MADE_AT) -> list[Finding]:
    """One for each environment; ``share`` holds the locks of the release that runs. Blocks."""
    return [*_findings(settings, share), *_unused(settings, made_at)] or [
        Finding(CODE, State.SKIPPED, "No engine has an environment of the installer's making.")
    ]


def _findings(settings: Settings, share: Path) -> Iterator[Finding]:
    for folder in _used(settings):
        lock = share / f"requirements-{folder.name}.lock"
        if not (folder / LOCK).exists() or not lock.exists():
            continue  # a person's own
        if (folder / LOCK).read_bytes() == lock.read_bytes():
            yield Finding(
                CODE, State.GOOD, worded("{folder} is of this release's lock.", folder=folder)
            )
        else:
            what = worded("{folder} holds the packages of another release.", folder=folder)
            do = worded(
                "`ivr upgrade` makes none. With the bundle of this release, made with --with-engines:"
                " {script} --offline BUNDLE. From a checkout of it: ./install.sh",
                script=share / "install.sh",
            )
            yield Finding(CODE, State.WARNING, what, do, code="older-environment")


def _used(settings: Settings) -> dict[Path, None]:
    """The environments whose Python the settings name, whoever made them; in order, each once."""
    return dict.fromkeys(Path(run.python).parent.parent for _, run in runs(settings) if run.python)


def _unused(settings: Settings, made_at: Path) -> Iterator[Finding]:
    """Whole ones of the installer's making that no setting names: of a plan that was. What an older
    lock has left beside one in use, the installer removes itself."""
    used = {folder.resolve() for folder in _used(settings)}
    for link in sorted(made_at.iterdir()) if made_at.is_dir() else ():
        folder = link.resolve()
        if not link.is_symlink() or folder in used or not (folder / LOCK).exists():
            continue
        size = _bytes(folder)
        what = worded(
            "No engine of the settings runs from {folder}, which takes {gb} GB.",
            folder=link,
            gb=f"{size / 1e9:.1f}",
        )
        do = worded(
            "No release needs it while no setting names it; install.sh makes it again where a plan"
            " wants it. As root: {command}",
            command=shlex.join(("rm", "-r", str(link), str(folder))),
        )
        detail = {"folder": str(link), "bytes": size}
        yield Finding(CODE, State.WARNING, what, do, code="unused-environment", detail=detail)


def _bytes(folder: Path) -> int:
    """What its files take on the disk."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_blocks * 512
            except OSError:
                continue  # removed meanwhile
    return total


CHECKS = (
    Check(
        CODE,
        "Engines' environments",
        Group.ENGINES,
        look,
        timeout_s=LOOK_S,
        how="their locks against the release's; those that no setting names",
    ),
)
