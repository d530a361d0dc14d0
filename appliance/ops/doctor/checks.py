"""The list of all checks, in the order in which they are shown."""

from __future__ import annotations

from itertools import chain

from appliance.ops.doctor import disk, parts, settings
from appliance.ops.doctor.check import Check, Group

_PARTS: tuple[tuple[Check, ...], ...] = (
    disk.CHECKS,
    settings.CHECKS,
    parts.CHECKS,
)
_GROUPS = list(Group)

CHECKS: tuple[Check, ...] = tuple(
    sorted(chain.from_iterable(_PARTS), key=lambda check: _GROUPS.index(check.group))
)
