"""The documents of a base as a table that follows what is under way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments

from appliance.access.roles import Permission
from appliance.admin.services import documents
from appliance.admin.ui.knowledge.states import TONES, progress_words
from appliance.admin.ui.layout import empty
from appliance.admin.ui.page import View
from appliance.admin.ui.show import ago, size_text
from appliance.admin.ui.tables import SteadyTable
from appliance.store.base_views import BaseFacts
from appliance.store.document_views import DocumentView
from appliance.store.documents import State

LOOK_S = 1.0
"""Between two looks, only while something is under way."""
NAME = """
<q-td :props="props"><a :href="props.row.href" class="strong doc-name">{{ props.value }}</a>
<div class="muted small doc-name" v-if="props.row.source">{{ props.row.source }}</div></q-td>
"""
STATE = """
<q-td :props="props"><span :class="'chip chip--' + props.row.tone">{{ props.value }}</span>
<q-linear-progress v-if="props.row.busy" :value="props.row.share" :indeterminate="props.row.share === 0"
 class="doc-progress" />
<span class="chip chip--warn" v-if="props.row.suspicious">{{ props.row.suspicious }}</span></q-td>
"""
TROUBLE = '<q-td :props="props"><div class="doc-trouble">{{ props.value }}</div></q-td>'
BUTTONS = """
<q-td :props="props" auto-width>
<q-btn v-if="props.row.retry" flat dense round size="sm" icon="refresh" :aria-label="props.row.retry"
 @click="$parent.$emit('retry', props.row.id)"><q-tooltip>{{ props.row.retry }}</q-tooltip></q-btn>
<q-btn v-if="props.row.remove" flat dense round size="sm" icon="delete" :aria-label="props.row.remove"
 @click="$parent.$emit('remove', props.row.id)"><q-tooltip>{{ props.row.remove }}</q-tooltip></q-btn>
</q-td>
"""


class DocumentList:
    """The table; :meth:`load` draws it, and it looks again by itself while something is under way."""

    def __init__(self, view: View, base: BaseFacts, changed: Callable[[], Awaitable[None]]) -> None:
        """``changed``: called when the documents are no longer what they were when last looked at."""
        self._view = view
        self._changed = changed
        self._base = base
        self._stamp = ""
        self._found: Sequence[DocumentView] = ()
        self._may = view.actor.may(Permission.KNOWLEDGE_EDIT)
        t = view.t
        self._holder = ui.column().classes("wide")
        columns: list[dict[str, Any]] = [
            {"name": "name", "label": t("Document"), "field": "name", "align": "left",
             "sortable": True},
            {"name": "state", "label": t("State"), "field": "state", "align": "left",
             "sortable": True},
            {"name": "pages", "label": t("Pages"), "field": "pages", "sortable": True},
            {"name": "passages", "label": t("Passages"), "field": "passages", "sortable": True},
            {"name": "size", "label": t("Size"), "field": "size"},
            {"name": "language", "label": t("Language"), "field": "language", "align": "left"},
            {"name": "tags", "label": t("Tags"), "field": "tags", "align": "left"},
            {"name": "changed", "label": t("Changed"), "field": "changed", "align": "left"},
            {"name": "trouble", "label": t("Trouble"), "field": "trouble", "align": "left"},
            {"name": "buttons", "label": "", "field": "id"},
        ]  # fmt: skip
        with self._holder:
            self._empty = ui.column().classes("wide")
            with self._empty:
                hint = t("Drop files above: each is read, cut into passages and put in force.")
                empty("upload_file", t("This knowledge base has no document yet."), hint)
            with ui.column().classes("panel panel--table") as self._panel:
                self._filter = ui.input(placeholder=t("Filter by name, state, tag"))
                self._filter.props("dense outlined clearable").classes("select")
                self._table = SteadyTable(
                    columns=columns, rows=[], row_key="id",
                    pagination={"rowsPerPage": 25, "sortBy": "name"},
                ).props("flat dense")  # fmt: skip
                self._table.bind_filter_from(self._filter, "value")
        for name, slot in (
            ("name", NAME),
            ("state", STATE),
            ("trouble", TROUBLE),
            ("buttons", BUTTONS),
        ):
            self._table.add_slot(f"body-cell-{name}", slot)
        self._table.on("retry", view.act(self._retry))
        self._table.on("remove", view.act(self._remove))
        self._timer = ui.timer(LOOK_S, self._look, active=False)

    async def load(self) -> None:
        """Read the documents, and follow them if something is under way."""
        view = self._view
        stamp, is_open = await documents.progress(view.console, view.actor, self._base.id)
        if stamp != self._stamp:
            is_first, self._stamp = not self._stamp, stamp
            self._found = await documents.documents(view.console, view.actor, self._base.id)
            self._table.rows[:] = [self._row(one) for one in self._found]
            self._table.update()
            self._empty.set_visibility(not self._found)
            self._panel.set_visibility(bool(self._found))
            if not is_first:
                await self._changed()
        self._timer.active = is_open

    async def _look(self) -> None:
        await self._view.act(self.load)()

    def _row(self, one: DocumentView) -> dict[str, Any]:
        t = self._view.t
        busy = one.state in (State.READING, State.EMBEDDING)
        failed = one.state in (State.FAILED, State.REFUSED)
        return {
            "id": one.id,
            "name": one.name,
            "href": f"/knowledge/{self._base.id}/documents/{one.id}",
            "source": "" if one.source in ("upload", one.name) else one.source,
            "state": progress_words(t, one),
            "tone": TONES.get(one.state, ""),
            "busy": busy,
            "share": one.done / one.total if busy and one.total else 0,
            "suspicious": t("{n} suspicious").format(n=one.suspicious) if one.suspicious else "",
            "pages": one.pages or "",
            "passages": one.passages,
            "size": size_text(one.size_bytes),
            "language": one.language,
            "tags": ", ".join(one.tags),
            "changed": ago(self._view, one.updated_at),
            "trouble": t(one.error or one.source_error),
            "retry": t("Read it again") if failed and self._may else "",
            "remove": t("Remove") if self._may and one.state != State.REMOVED else "",
        }

    async def _retry(self, event: GenericEventArguments) -> None:
        view = self._view
        if not await documents.retry(view.console, view.actor, self._base.id, int(event.args)):
            view.notify(view.t("There is nothing to try again."), "info")
        await self.load()

    async def _remove(self, event: GenericEventArguments) -> None:
        found = next((one for one in self._found if one.id == int(event.args)), None)
        if found is not None and await confirm_removal(self._view, self._base, found):
            await self.load()


async def confirm_removal(view: View, base: BaseFacts, one: DocumentView) -> bool:
    """Ask, saying what that does to agents, and remove the document; whether it was."""
    t = view.t
    sentences = [t("Remove {name}?").format(name=one.name)]
    if one.passages:
        sentences.append(
            t("Its {n} passages are found by no new call; calls under way go on with them.").format(
                n=one.passages
            )
        )
    if names := [user.name for user in base.users if user.published]:
        sentences.append(t("It is what {agents} answers from.").format(agents=", ".join(names)))
    if not await view.confirm(" ".join(sentences), t("Remove"), danger=True):
        return False
    taken = await documents.remove(view.console, view.actor, base.id, one.id)
    if taken.version:
        view.notify(t("Version {n} is in force without it.").format(n=taken.version))
    else:
        view.notify(t("Removed; nothing of it was in force."))
    return True
