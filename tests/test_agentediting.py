"""What is typed into an editor is saved a moment later, and never lost."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.access.actor import Actor
from appliance.admin.console import Console
from appliance.admin.services import drafts
from appliance.admin.ui.agents import editing as module
from appliance.admin.ui.agents.editing import Editing, State
from appliance.ops.keeping.ports import free_port
from appliance.store.database import open_engine
from appliance.store.drafts import LARGEST_BYTES
from tests.test_agent_services import ASHA, BELA, console, make

pytestmark = pytest.mark.server
__all__ = ["console"]  # the fixture


async def editing_of(console: Console, actor: Actor = ASHA, may_edit: bool = True) -> Editing:
    view: Any = SimpleNamespace(console=console, actor=actor)
    return Editing(view, await drafts.read(console, actor, "help"), lambda: None, may_edit)


def state_of(editing: Editing) -> State:
    return editing.state


async def stored(console: Console, name: str = "greeting") -> Any:
    return (await drafts.read(console, ASHA, "help")).fields[name]


async def test_typing_is_saved_when_it_rests(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(console)
    now_s = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: now_s[0])
    editing = await editing_of(console)
    editing.set("greeting", editing.fields["greeting"])  # no change
    assert editing.state is State.SAVED and not editing.is_due
    editing.set("greeting", "H")
    now_s[0] += 0.6
    editing.set("greeting", "He")
    now_s[0] += 0.6
    assert state_of(editing) is State.CHANGED and not editing.is_due
    now_s[0] += 0.6
    assert editing.is_due and await editing.save()
    assert editing.state is State.SAVED and await stored(console) == "He"
    assert await editing.save()  # nothing to do


async def test_who_may_not_edit_changes_nothing(console: Console) -> None:
    await make(console)
    editing = await editing_of(console, may_edit=False)
    editing.set("greeting", "Hacked.")
    assert editing.state is State.SAVED and editing.fields["greeting"] != "Hacked."


async def test_what_is_refused_stays_and_is_saved_once_it_is_mended(console: Console) -> None:
    await make(console)
    editing = await editing_of(console)
    editing.set("greeting", "Kept.")
    editing.set("prompt", "x" * LARGEST_BYTES)
    assert not await editing.save()
    assert editing.state is State.FAILED and "256 kB at most" in editing.message
    assert not editing.is_due  # the same again would be refused again
    assert editing.fields["greeting"] == "Kept." != await stored(console)
    editing.set("prompt", "short")
    assert await editing.save() and editing.message == ""
    assert await stored(console) == "Kept."


async def test_a_database_that_is_away_loses_nothing(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(console)
    away = open_engine(f"postgresql://x:y@127.0.0.1:{free_port()}/z")
    view: Any = SimpleNamespace(console=replace(console, engine=away), actor=ASHA)
    editing = Editing(view, await drafts.read(console, ASHA, "help"), lambda: None, True)
    editing.set("greeting", "Later.")
    assert not await editing.save() and editing.state is State.FAILED and not editing.is_due
    monkeypatch.setattr(module, "monotonic", lambda: 1e9)
    assert editing.is_due  # it is tried again by itself
    view.console = console
    assert await editing.save() and await stored(console) == "Later."
    await away.dispose()


async def test_in_a_conflict_a_person_decides(console: Console) -> None:
    await make(console)
    asha, bela = await editing_of(console), await editing_of(console, BELA)
    bela.set("greeting", "Bela's.")
    assert await bela.save()
    asha.set("greeting", "Asha's.")
    assert not await asha.save()
    assert asha.state is State.CONFLICT and asha.message.startswith("bela changed")
    asha.set("goodbye", "Asha's too.")
    assert not await asha.save() and asha.state is State.CONFLICT
    assert await stored(console) == "Bela's."
    assert await asha.save_over()
    assert (await stored(console), await stored(console, "goodbye")) == ("Asha's.", "Asha's too.")
    bela.set("greeting", "Again.")
    assert not await bela.save()
    await drafts.discard(console, ASHA, "help", asha.edited.revision)
    assert await bela.save_over() is False  # that it was discarded is told too
    assert "discarded" in bela.message
    assert await bela.save_over() and await stored(console) == "Again."
