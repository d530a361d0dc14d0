"""The list of all checks, in the order in which they are shown."""

from __future__ import annotations

from itertools import chain

from appliance.ops.doctor import (
    backup,
    disk,
    engines,
    environments,
    files,
    freeswitch,
    gpu,
    kernel,
    leftovers,
    machine,
    models,
    names,
    numbers,
    parts,
    people,
    ports,
    queue,
    releases,
    schema,
    services,
    settings,
)
from appliance.ops.doctor.check import Check, Group

_PARTS: tuple[tuple[Check, ...], ...] = (
    backup.CHECKS,
    machine.CHECKS,
    disk.CHECKS,
    gpu.CHECKS,
    kernel.CHECKS,
    settings.CHECKS,
    leftovers.CHECKS,
    files.CHECKS,
    ports.CHECKS,
    names.CHECKS,
    parts.CHECKS,
    schema.CHECKS,
    queue.CHECKS,
    engines.CHECKS,
    environments.CHECKS,
    models.CHECKS,
    numbers.CHECKS,
    freeswitch.CHECKS,
    people.CHECKS,
    services.CHECKS,
    releases.CHECKS,
)
_GROUPS = list(Group)

CHECKS: tuple[Check, ...] = tuple(
    sorted(chain.from_iterable(_PARTS), key=lambda check: _GROUPS.index(check.group))
)
