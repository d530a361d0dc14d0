"""Which revisions the database still lacks, and which of them are safe while the old code runs.

Each file of ``migrations/versions`` is marked: ``phase = "expand"`` adds only what code that does not
know of it never notices, so it is applied before the workers change; ``phase = "contract"`` takes away
or tightens, so it waits until no release that lacks it is wanted any more; ``phase = "both"`` does the
one and the other, and takes an appliance that stands still (docs/upgrade.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from appliance.errors import UserError
from appliance.store import database


class Phase(StrEnum):
    """When a revision may be applied."""

    EXPAND = "expand"
    CONTRACT = "contract"
    BOTH = "both"
    """Of the time before there were marks; write no new ones."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One file of ``migrations/versions``."""

    id: str
    phase: Phase
    what: str
    """The first line of its docstring."""


def revisions(folder: Path | None = None) -> tuple[Revision, ...]:
    """All of ``folder`` (those of this release), the oldest first. Raises UserError for one without a
    mark."""
    scripts = ScriptDirectory(str(folder or database.MIGRATIONS))
    return tuple(
        Revision(script.revision, _phase(script.revision, script.module), script.doc)
        for script in reversed(list(scripts.walk_revisions()))
    )


def _phase(revision: str, module: object) -> Phase:
    try:
        return Phase(getattr(module, "phase", ""))
    except ValueError:
        raise UserError(
            f'Migration {revision} is not marked; write phase = "expand" or "contract" in it.'
        ) from None


def head_of(folder: Path | None = None) -> str:
    """The newest revision of the migrations in ``folder`` (those of this release)."""
    return revisions(folder)[-1].id


def current(url: str) -> str:
    """The revision that the database at ``url`` is at; empty: it has no tables yet.

    Raises UserError when it does not answer.
    """
    with database.connected(url) as connection:
        return MigrationContext.configure(connection).get_current_revision() or ""


def pending(known: Sequence[Revision], at: str) -> tuple[Revision, ...]:
    """Of ``known``, what a database at revision ``at`` lacks (empty: all).

    Raises UserError when ``at`` is none of them: the database is newer than this release.
    """
    ids = [revision.id for revision in known]
    if not at:
        return tuple(known)
    if at not in ids:
        raise UserError(
            f"The database is at revision {at}, which this release does not know: a newer one has"
            " been here. Upgrade to that one instead."
        )
    return tuple(known[ids.index(at) + 1 :])


def before_switch(known: Sequence[Revision], at: str, old_head: str) -> str:
    """The revision to bring a database at ``at`` to while the release whose newest is ``old_head``
    still runs; empty: there is nothing to do.

    A contracting revision that the old release brought itself was left for now, and may be applied.
    Raises UserError where one of the new release stands in the way of what it needs.
    """
    ids = [revision.id for revision in known]
    if old_head and old_head not in ids:
        raise UserError(
            f"The release that runs has revision {old_head}, which the new one does not know:"
            " it is no later version of the same appliance."
        )
    theirs = set(ids[: ids.index(old_head) + 1]) if old_head else set(ids)
    left, target = list(pending(known, at)), ""
    while left and (left[0].phase is Phase.EXPAND or left[0].id in theirs):
        target = left.pop(0).id
    if any(revision.phase is Phase.BOTH for revision in left):
        raise UserError(
            f"Revision {left[0].id} cannot be applied while the appliance runs. Stop it, make a backup,"
            " install the new release with install.sh, run `ivr db upgrade`, start it."
        )
    if late := [revision.id for revision in left if revision.phase is Phase.EXPAND]:
        raise UserError(
            f"Revision {late[0]} is needed by the new release, and {left[0].id} before it would break"
            " the one that runs. Upgrade in two steps: first to a version between the two."
        )
    return target
