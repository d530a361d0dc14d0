"""An agent open in an editor: what was typed, and saved by itself a moment later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from time import monotonic
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from appliance.admin.services import drafts
from appliance.admin.services.drafts import Edited
from appliance.admin.ui.page import View
from appliance.errors import UserError
from appliance.store.drafts import DraftConflictError

log = logging.getLogger(__name__)

QUIET_S = 1.0
"""Typing is saved when it has rested for so long."""
AGAIN_S = 5.0
"""After a failure that is nobody's fault."""
_AWAY = "The database did not answer. Try again in a moment."


class State(Enum):
    """Of what was typed."""

    SAVED = "saved"
    CHANGED = "changed"
    FAILED = "failed"
    """Refused; it is saved with the next change, or after AGAIN_S where the database was away."""
    CONFLICT = "conflict"
    """Somebody else was quicker: nothing is saved until a person has decided."""


class Editing:
    """One agent in one browser; ``on_state`` is told whenever :attr:`state` may have changed."""

    def __init__(
        self, view: View, edited: Edited, on_state: Callable[[], None], may_edit: bool
    ) -> None:
        self._view = view
        self._on_state = on_state
        self._lock = asyncio.Lock()
        self._changes = 0
        self._due = 0.0
        self.may_edit = may_edit
        self.take(edited)

    def take(self, edited: Edited) -> None:
        """Begin from what is stored."""
        self.edited = edited
        self.fields: dict[str, Any] = dict(edited.fields)
        self.state = State.SAVED
        self.message = ""
        self.conflict: DraftConflictError | None = None

    def set(self, name: str, value: Any) -> None:
        """A field was changed by hand."""
        self.set_all({name: value})

    def set_all(self, values: dict[str, Any]) -> None:
        """Several fields were changed at once."""
        if not self.may_edit or all(self.fields.get(name) == x for name, x in values.items()):
            return
        self.fields |= values
        self._changes += 1
        self._due = monotonic() + QUIET_S
        if self.state is not State.CONFLICT:
            self.state = State.CHANGED
        self._on_state()

    @property
    def is_due(self) -> bool:
        """Whether there is something to save now; asked once a second."""
        waits = self.state is State.CHANGED or (
            self.state is State.FAILED and self.message == _AWAY
        )
        return waits and monotonic() >= self._due

    async def save(self) -> bool:
        """Save what was typed, if anything was; whether it is saved."""
        async with self._lock:
            while self.state in (State.CHANGED, State.FAILED):
                seen = self._changes
                if not await self._write() or self._changes == seen:
                    break
            self._on_state()
            return self.state is State.SAVED

    async def save_over(self) -> bool:
        """In a conflict: ours stands."""
        if self.conflict is not None:
            now = self.conflict.now
            self._take_revision(now.revision if now.fields else 0)
            self.conflict, self.state = None, State.CHANGED
        return await self.save()

    async def _write(self) -> bool:
        view, changes = self._view, self._changes
        try:
            self.edited = await drafts.save(
                view.console,
                view.actor,
                self.edited.agent_id,
                dict(self.fields),
                self.edited.revision,
            )
        except DraftConflictError as e:
            self.state, self.message, self.conflict = State.CONFLICT, str(e), e
            return False
        except UserError as e:
            self.state, self.message = State.FAILED, str(e)
            return False
        except SQLAlchemyError as e:
            log.error("! draft of %s not saved: %s", self.edited.agent_id, type(e).__name__)
            self.state, self.message = State.FAILED, _AWAY
            self._due = monotonic() + AGAIN_S
            return False
        self.state = State.SAVED if self._changes == changes else State.CHANGED
        self.message = ""
        return True

    def _take_revision(self, revision: int) -> None:
        self.edited = replace(self.edited, revision=revision)
