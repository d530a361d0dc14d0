"""What an agent would find for a question and why, and what it would answer."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.services import asking, searching
from appliance.admin.services.searching import Earlier, Explained, Hit
from appliance.admin.ui.calls.passages import place_of, show_passage
from appliance.admin.ui.page import View
from appliance.admin.ui.show import Tone, chip
from appliance.admin.ui.words import Translate
from appliance.review.asking import Asked
from appliance.store.base_views import BaseFacts

T = TypeVar("T")


class SearchBox:
    """A question, the agent it is asked of, and what came of it."""

    def __init__(self, view: View, base: BaseFacts) -> None:
        self._view = view
        self._base = base
        t = view.t
        published = [user for user in base.users if user.published]
        agents = {"": t("No agent: the whole base")} | {u.agent_id: u.name for u in published}
        first = published[0].agent_id if published else ""
        with ui.column().classes("panel"):
            with ui.row().classes("toolbar"):
                self._agent = ui.select(agents, value=first, label=t("As this agent"))
                self._agent.props("outlined dense").classes("select")
                self._before = ui.input(t("What was said before, if it is a follow-up"))
                self._before.props("outlined dense maxlength=500").classes("grow")
            with ui.row().classes("toolbar"):
                self._question = ui.input(t("A caller's question"))
                self._question.props("outlined dense autofocus maxlength=500").classes("grow")
                self._question.on("keydown.enter", view.act(self._search))
                search = ui.button(t("Search"), icon="search", on_click=view.act(self._search))
                search.props("unelevated")
                if view.actor.may(Permission.AGENTS_TRY) and published:
                    ask = ui.button(t("Whole answer"), icon="forum", on_click=view.act(self._ask))
                    ask.props("outline")
                    ask.tooltip(t("With the language model and the guard, as in a call"))
        self._found = ui.column().classes("wide stack").props('aria-live="polite"')

    def _earlier(self) -> list[Earlier]:
        before = (self._before.value or "").strip()
        return [Earlier(before)] if before else []

    async def _search(self) -> None:
        search = searching.search(
            *(self._view.console, self._view.actor, self._base.id),
            self._question.value or "",
            agent_id=self._agent.value or "",
            earlier=self._earlier(),
        )
        found = await self._waited(search)
        with self._found:
            _explained(self._view, found)

    async def _ask(self) -> None:
        first = next(user.agent_id for user in self._base.users if user.published)
        agent_id, question = self._agent.value or first, self._question.value or ""
        ask = asking.ask(
            *(self._view.console, self._view.actor, agent_id, question), self._earlier()
        )
        asked = await self._waited(ask)
        with self._found:
            answered(self._view, asked)

    async def _waited(self, work: Awaitable[T]) -> T:
        """What ``work`` gives; meanwhile the page says that it is under way."""
        self._found.clear()
        with self._found, ui.row().classes("waiting"):
            ui.spinner(size="22px")
            ui.label(self._view.t("Searching …")).classes("muted")
        try:
            return await work
        finally:
            self._found.clear()


def _explained(view: View, found: Explained) -> None:
    t = view.t
    with ui.column().classes("panel"):
        with ui.row().classes("chips"):
            words, tone = _source(t, found.source)
            chip(words, tone)
            if found.reranked:
                chip(t("put in order by the reranker"), "accent")
            chip(t("version {n}").format(n=found.version))
            chip(f"{found.total_ms:.0f} ms")
            if found.tags:
                chip(t("only tags: {tags}").format(tags=", ".join(found.tags)))
            if found.languages:
                chip(t("only languages: {codes}").format(codes=", ".join(found.languages)))
        if found.searched != found.question:
            with ui.row().classes("fact"):
                ui.label(t("Searched as")).classes("muted")
                ui.label(found.searched).classes("strong")
        if found.note:
            ui.label(found.note).classes("notice notice--warn")
        if found.answer:
            with ui.row().classes("fact"):
                ui.label(t("Said without a language model")).classes("muted")
                ui.label(found.answer)
        else:
            sentence = t("Nothing is sure enough: the agent says that it does not know.")
            ui.label(sentence).classes("notice notice--warn")
    if not found.hits:
        ui.label(t("No passage has anything of this question.")).classes("muted")
    for place, hit in enumerate(found.hits, 1):
        _hit(view, found, hit, place)


def _source(t: Translate, source: str) -> tuple[str, Tone]:
    known: dict[str, tuple[str, Tone]] = {
        "hybrid": (t("by meaning and words"), "good"),
        "words": (t("by words alone: no embedding server answered"), "warn"),
        "memory": (t("from memory: Postgres was late"), "warn"),
        "none": (t("nothing was searched"), "bad"),
    }
    return known.get(source, (source, ""))


def _standing(t: Translate, hit: Hit) -> tuple[str, Tone]:
    known: dict[str, tuple[str, Tone]] = {
        "answers": (t("sure enough to answer"), "good"),
        "read": (t("read by the language model"), "accent"),
        "unsure": (t("too unsure: not read"), ""),
        "behind": (t("not read: the first four are"), ""),
        "left out": (t("left out by the agent's filters"), "warn"),
    }
    return known.get(hit.standing, (hit.standing, ""))


def _hit(view: View, found: Explained, hit: Hit, place: int) -> None:
    t = view.t
    faded = "" if hit.standing in ("answers", "read") else " hit--faded"
    with ui.column().classes(f"panel hit{faded}"):
        with ui.row().classes("hit-head"):
            ui.label(str(place)).classes("hit-place num")
            ui.label(place_of(view, hit.passage)).classes("strong ellipsis")
            words, tone = _standing(t, hit)
            chip(words, tone)
            ui.space()
            _score(view, found, hit.passage.score)
        if hit.passage.heading:
            ui.label(hit.passage.heading).classes("passage-heading")
        ui.label(hit.passage.text).classes("passage-text")
        ui.label(" · ".join(_why(t, hit))).classes("muted small mono")


def _why(t: Translate, hit: Hit) -> list[str]:
    facts = []
    if hit.fused is None:
        return [t("found by its words, in memory")]
    if hit.dense_rank is not None:
        facts.append(t("meaning: place {n}").format(n=hit.dense_rank))
    else:
        facts.append(t("meaning: not among the nearest 20"))
    if hit.distance is not None:
        facts.append(t("distance {d}").format(d=f"{hit.distance:.3f}"))
    if hit.sparse_rank is not None:
        facts.append(t("words: place {n}").format(n=hit.sparse_rank))
    else:
        facts.append(t("words: not among the best 20"))
    facts.append(t("fused {f}").format(f=f"{hit.fused:.4f}"))
    if hit.tags:
        facts.append(", ".join(hit.tags))
    return facts


def _score(view: View, found: Explained, score: float) -> None:
    """The score as a bar with both floors on it."""
    t = view.t
    tip = t("score {s}; read from {read} on, answered from {answer} on").format(
        s=f"{score:.2f}", read=found.context_floor, answer=found.answer_floor
    )
    with ui.row().classes("score") as row:
        with ui.element("div").classes("score-bar"):
            ui.element("div").classes("score-fill").style(f"width: {min(score, 1) * 100:.1f}%")
            for floor in (found.context_floor, found.answer_floor):
                ui.element("div").classes("score-floor").style(f"left: {floor * 100:.1f}%")
        ui.label(f"{score:.2f}").classes("mono")
    row.tooltip(tip)


def answered(view: View, asked: Asked) -> None:
    """A whole answer: what a caller would hear, what it rests on, what the guard found."""
    t = view.t
    with ui.column().classes("panel"):
        with ui.row().classes("chips"):
            chip(t("extractive") if asked.source == "extractive" else t("language model"), "accent")
            chip(t("agent version {n}").format(n=asked.agent_version))
            chip(t("knowledge version {n}").format(n=asked.knowledge_version))
            chip(f"{asked.total_ms:.0f} ms")
            if asked.stopped:
                chip(t("stopped by the guard"), "bad")
            if asked.wants_person:
                chip(t("would transfer to a person"), "warn")
        ui.label(asked.answer or t("(nothing)")).classes("answer")
        if asked.stopped and asked.written:
            with ui.row().classes("fact"):
                ui.label(t("Written, and not said")).classes("muted")
                ui.label(asked.written).classes("bad")
        if asked.failure:
            ui.label(asked.failure).classes("notice notice--bad")
        for finding in (*asked.findings, *asked.caller_findings):
            with ui.row().classes("fact"):
                chip(finding.severity, "bad" if finding.severity == "high" else "warn")
                ui.label(finding.rule).classes("mono")
                ui.label(finding.phrase)
        with ui.row().classes("chips"):
            for passage in asked.passages:
                show_passage(view, passage)
