"""Takes away what rotation does not keep."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from appliance.ops.backup.pool import sweep
from appliance.ops.backup.rotation import kept
from appliance.ops.backup.target import Target
from appliance.settings import Settings


def prune(settings: Settings, target: Target, now: datetime) -> list[str]:
    """Remove what rotation does not keep, then what no backup lists; names of those that went.

    Only while ``alone``. Raises UserError, OSError.
    """
    zone = ZoneInfo(settings.switch.timezone)
    backups = {backup.made_at.astimezone(zone): backup for backup in target.backups()}
    conf = settings.backup
    stay = kept(
        list(backups),
        now.astimezone(zone),
        daily=conf.daily,
        weekly=conf.weekly,
        monthly=conf.monthly,
    )
    removed = []
    for at, backup in backups.items():
        if at not in stay:
            target.remove(backup)
            removed.append(backup.manifest.name)
    sweep(target)
    return removed
