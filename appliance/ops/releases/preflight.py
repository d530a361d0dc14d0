"""What is looked at before an upgrade changes anything."""

from __future__ import annotations

from pathlib import Path

from packaging.version import Version

from appliance.errors import UserError
from appliance.ops.releases.health import Health
from appliance.ops.releases.laying import run_ivr
from appliance.ops.releases.release import Release
from appliance.ops.releases.rolling import Roller

HELP_TIMEOUT_S = 60.0


def check_order(old: Release, new: str) -> None:
    """Raises UserError unless ``new`` is later: an older bundle, however well it is signed, brings
    back what was mended since."""
    if Version(new) <= Version(old.version):
        raise UserError(
            f"{new} is not later than {old.version}, which is in force. `ivr rollback` goes back to a"
            " release that lies here."
        )


def look(health: Health, old: str, roller: Roller, reason: str) -> tuple[str, ...]:
    """What `ivr doctor` calls bad now. Raises UserError for that, or where calls could not be kept
    answered meanwhile, unless a ``reason`` is given to go on."""
    bad = health.bad(old)
    if bad and not reason:
        raise UserError(
            f"The box is not well before the upgrade: {', '.join(bad)}. See `ivr doctor`, or go on"
            " with --force REASON."
        )
    if not reason and roller.needs_spare():
        raise UserError(
            "One worker carries all calls, and none could stand in for it. Set worker.spare_port to"
            " a free port (7099) and restart `ivr sip` and `ivr switch` at a quiet hour, or go on"
            " with --force REASON: new calls are then refused while the live ones end."
        )
    return bad


def has_command(ivr: Path, name: str) -> bool:
    """Whether that release knows the command."""
    try:
        run_ivr(ivr, name, "--help", timeout_s=HELP_TIMEOUT_S)
    except UserError:
        return False
    return True
