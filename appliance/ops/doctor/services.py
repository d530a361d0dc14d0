"""Where systemd runs: our units run, and their logs outlive a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State
from appliance.ops.doctor.sentences import worded

SYSTEMD = Path("/run/systemd/system")
JOURNAL = Path("/var/log/journal")
SHOWN = "Id,LoadState,ActiveState,SubState,UnitFileState,NRestarts"
RESTARTED = 5
"""A unit that was started anew so often has a trouble of its own."""
PATTERN = "ivr*"


async def units(box: Box) -> list[dict[str, str]] | None:
    """Our units, as systemd shows them; None: there is no systemd, or it does not answer."""
    if not await _is_there(SYSTEMD):
        return None
    ran = await box.run("systemctl", "show", PATTERN, "--all", f"--property={SHOWN}")
    if not ran.ok:
        return None
    blocks = ran.out.strip().split("\n\n")
    found = [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks
    ]
    return [unit for unit in found if unit.get("LoadState") == "loaded" and unit.get("Id")]


async def look_at_units(box: Box) -> Sequence[Finding]:
    """``systemctl show ivr*``."""
    found = await units(box)
    if found is None:
        return [Finding("units", State.SKIPPED, "systemd does not run here: `ivr up` keeps ours.")]
    if not found:
        return [
            Finding("units", State.SKIPPED, "No unit of ours is installed: `ivr up` keeps ours.")
        ]
    troubles = [finding for unit in found for finding in _judged(unit)]
    running = sum(unit.get("ActiveState") == "active" for unit in found)
    return troubles or [
        Finding(
            "units",
            State.GOOD,
            worded("{running} of {total} units are active.", running=running, total=len(found)),
        )
    ]


def _judged(unit: dict[str, str]) -> list[Finding]:
    name, state = unit["Id"], unit.get("ActiveState", "")
    log = f"journalctl -u {name} -n 50"
    if state == "failed":
        do = worded("{log}; mend what it says, then: systemctl restart {name}", log=log, name=name)
        return [
            Finding("units", State.BAD, worded("{name} failed.", name=name), do, code="unit-failed")
        ]
    wanted = unit.get("UnitFileState") == "enabled" and name.endswith((".service", ".target"))
    if wanted and state not in ("active", "activating", "reloading"):
        do = worded("systemctl start {name}; {log}", name=name, log=log)
        return [
            Finding(
                "units",
                State.BAD,
                worded("{name} is {state}, and should run.", name=name, state=state),
                do,
                code="unit-off",
            )
        ]
    restarts = unit.get("NRestarts", "0")
    if restarts.isdigit() and int(restarts) >= RESTARTED:
        what = worded("{name} was started anew {restarts} times.", name=name, restarts=restarts)
        return [Finding("units", State.WARNING, what, log, code="unit-restarts")]
    return []


async def look_at_journal(box: Box) -> Sequence[Finding]:
    """/var/log/journal."""
    if not await _is_there(SYSTEMD):
        return [Finding("journal", State.SKIPPED, "systemd does not run here.")]
    if await _is_there(JOURNAL):
        return [Finding("journal", State.GOOD, "Logs outlive a restart of the machine.")]
    do = "mkdir -p /var/log/journal && systemctl restart systemd-journald"
    what = "Logs are kept in memory, and are gone after a restart of the machine."
    return [Finding("journal", State.WARNING, what, do)]


async def _is_there(folder: Path) -> bool:
    return await asyncio.to_thread(folder.is_dir)


CHECKS = (
    Check("units", "Units", Group.SERVICES, look_at_units, how="systemctl show ivr*"),
    Check("journal", "Journal", Group.SERVICES, look_at_journal, how="/var/log/journal"),
)
