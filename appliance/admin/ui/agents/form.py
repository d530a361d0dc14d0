"""The fields of an agent as a form: one element for each kind of field, changes told to the editing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.disableable_element import DisableableElement

from appliance.admin.agents.diff import shown
from appliance.admin.agents.problems import Problem
from appliance.admin.services.choices import Choices
from appliance.admin.ui.agents.editing import Editing
from appliance.admin.ui.agents.fields import PRESETS, SPECS, Preset, Section, Spec
from appliance.admin.ui.agents.pairs import OUTLINED, Pairs, Say
from appliance.admin.ui.page import View


class Form:
    """The elements of one editor."""

    def __init__(self, view: View, editing: Editing, choices: Choices, say: Say) -> None:
        self._view = view
        self._t = view.t
        self._editing = editing
        self._choices = choices
        self._say = say
        self._problems: dict[str, ui.label] = {}
        self._numbers: dict[str, ui.number] = {}
        self._sources: dict[str, ui.select] = {}
        self._told: Sequence[Problem] = ()
        self._draw = {
            "line": self._line, "text": self._text, "prompt": self._text, "lines": self._lines,
            "ms": self._number, "number": self._number, "switch": self._switch,
            "choice": self._choice, "several": self._several, "pairs": self._pairs,
            "source": self._source,
        }  # fmt: skip

    def section(self, section: Section) -> None:
        """A panel with its fields."""
        with ui.column().classes("panel agent-section"):
            ui.label(self._t(section.title)).classes("panel-title").props(
                "role=heading aria-level=2"
            )
            if section.help:
                ui.label(self._t(section.help)).classes("help")
            if any(spec.name == "pause_complete_ms" for spec in section.specs):
                self._presets()
            for spec in section.specs:
                with ui.column().classes("agent-field"):
                    self._draw[spec.kind](spec)
                    if spec.help and spec.kind != "switch":
                        ui.label(self._t(spec.help)).classes("help")
                    self._problems[spec.name] = ui.label("").classes("agent-problem")
                    self._problems[spec.name].props("role=alert").set_visibility(False)

    def offer(self, choices: Choices) -> None:
        """There is more, or less, to choose from."""
        self._choices = choices
        for name in self._sources:
            self._offer(name)

    def _offer(self, name: str) -> None:
        """What is chosen stays chosen: it is a person's to change."""
        options, chosen = self._options(SPECS[name])
        self._sources[name].set_options(options, value=chosen)

    def show_problems(self, problems: Sequence[Problem] | None = None) -> None:
        """Under each field what is wrong with it; None: what was last known."""
        if problems is None:
            problems = self._told
        self._told = problems
        told: dict[str, list[Problem]] = {}
        for problem in problems:
            told.setdefault(problem.field, []).append(problem)
        for name, label in self._problems.items():
            mine = told.get(name, [])
            label.set_text(" ".join(in_words(self._t, problem) for problem in mine))
            label.set_visibility(bool(mine))
            is_error = any(problem.severity == "error" for problem in mine)
            label.classes(remove="is-error is-warning")
            label.classes("is-error" if is_error else "is-warning")

    # --- kinds of fields ----------------------------------------------------------------------

    def _value(self, spec: Spec) -> Any:
        return self._editing.fields.get(spec.name)

    def _lock(self, element: DisableableElement) -> None:
        if not self._editing.may_edit:
            element.disable()

    def _line(self, spec: Spec) -> None:
        element = ui.input(
            self._t(spec.label),
            value=shown(self._value(spec)),
            on_change=lambda e: self._editing.set(spec.name, e.value or ""),
        )
        element.props(OUTLINED).classes("agent-wide")
        if spec.name == "language":
            element.on("blur", lambda: self._offer("voice"))
        self._lock(element)

    def _text(self, spec: Spec) -> None:
        with ui.row().classes("agent-line"):
            element = ui.textarea(
                self._t(spec.label),
                value=shown(self._value(spec)),
                on_change=lambda e: self._editing.set(spec.name, e.value or ""),
            )
            element.props(f"{OUTLINED} autogrow").classes("grow")
            if spec.kind == "prompt":
                element.classes("agent-prompt")
            self._lock(element)
            if spec.spoken:
                self._play(lambda: shown(self._value(spec)))

    def _lines(self, spec: Spec) -> None:
        value = self._value(spec)
        listed = value if isinstance(value, list | tuple) else ()
        element = ui.textarea(
            self._t(spec.label),
            value="\n".join(map(shown, listed)),
            on_change=lambda e: self._editing.set(spec.name, _listed(e.value)),
        )
        element.props(f"{OUTLINED} autogrow").classes("agent-wide")
        self._lock(element)

    def _number(self, spec: Spec) -> None:
        value = self._value(spec)
        element = ui.number(
            self._t(spec.label),
            value=value if isinstance(value, int) else None,
            min=spec.least,
            step=20 if spec.kind == "ms" else 1,
            suffix=self._t("ms") if spec.kind == "ms" else None,
            format="%d",
            on_change=lambda e: self._editing.set(
                spec.name, None if e.value is None else round(e.value)
            ),
        )
        element.props(OUTLINED).classes("agent-number")
        self._numbers[spec.name] = element
        self._lock(element)

    def _switch(self, spec: Spec) -> None:
        element = ui.switch(
            self._t(spec.label),
            value=bool(self._value(spec)),
            on_change=lambda e: self._editing.set(spec.name, e.value),
        )
        self._lock(element)
        if spec.help:
            ui.label(self._t(spec.help)).classes("help agent-under-switch")

    def _choice(self, spec: Spec) -> None:
        options = {value: self._t(does) for value, does in (spec.options or {}).items()}
        value = self._value(spec)
        ui.label(self._t(spec.label)).classes("agent-label")
        element = ui.radio(
            options,
            value=value if value in options else None,
            on_change=lambda e: self._editing.set(spec.name, e.value),
        )
        element.props("dense").classes("agent-radio")
        self._lock(element)

    def _several(self, spec: Spec) -> None:
        ui.label(self._t(spec.label)).classes("agent-label")
        value = self._value(spec)
        chosen = set(map(shown, value)) if isinstance(value, list | tuple) else set()
        boxes: dict[str, ui.checkbox] = {}

        def changed() -> None:
            self._editing.set(spec.name, [name for name, box in boxes.items() if box.value])

        with ui.row().classes("agent-boxes"):
            for name, does in (spec.options or {}).items():
                box = ui.checkbox(self._t(does), value=name in chosen, on_change=changed)
                boxes[name] = box.props("dense")
                self._lock(box)

    def _source(self, spec: Spec) -> None:
        options, chosen = self._options(spec)
        with ui.row().classes("agent-line"):
            element = ui.select(
                options,
                label=self._t(spec.label),
                value=chosen,
                with_input=True,
                new_value_mode=None if spec.source == "bases" else "add-unique",
                on_change=lambda e: self._editing.set(spec.name, e.value or ""),
            )
            element.props(OUTLINED).classes("agent-wide")
            self._sources[spec.name] = element
            self._lock(element)
            if spec.name == "voice":
                self._play(lambda: shown(self._editing.fields.get("greeting")) or "1, 2, 3.")

    def _options(self, spec: Spec) -> tuple[dict[str, str], str | None]:
        """Value -> what it is called, and the one that is chosen: it may be away."""
        chosen = shown(self._value(spec))
        none = {} if spec.name == "voice" else {"": self._t("(none)")}
        options = none | ({chosen: chosen} if chosen else {}) | self._offered(spec)
        return options, chosen if chosen in options else None

    def _offered(self, spec: Spec) -> dict[str, str]:
        engines, choices = self._choices.engines, self._choices
        match spec.source:
            case "voices":
                return _same(engines.voices_of(shown(self._editing.fields.get("language"))))
            case "bases":
                return _same(choices.bases)
            case "stt":
                return _same(sorted(engines.stt_engines))
            case "tts":
                return _same(sorted(engines.tts_engines))
            case "models":
                return _same(engines.models)
            case _:
                queues = {f"queue:{name}": f"queue:{name}" for name in choices.queues}
                people = {x: f"{x} {name}".strip() for x, name in choices.extensions.items()}
                return queues | people

    def _pairs(self, spec: Spec) -> None:
        ui.label(self._t(spec.label)).classes("agent-label")
        table = Pairs(self._view, self._editing, spec, self._choices.agents, self._say)
        table.draw()

    def _play(self, text: Callable[[], str]) -> None:
        if not self._editing.may_edit:
            return
        button = ui.button(icon="volume_up", on_click=self._view.act(lambda: self._say(text())))
        button.props("flat round dense").props["aria-label"] = self._t(
            "Listen, as on the telephone"
        )
        button.tooltip(self._t("Listen, as on the telephone"))

    def _presets(self) -> None:
        with ui.row().classes("agent-presets"):
            for preset in PRESETS:
                button = ui.button(on_click=partial(self._take_preset, preset))
                with button.props("outline no-caps").classes("agent-preset"):
                    with ui.column().classes("agent-preset-text"):
                        ui.label(self._t(preset.title)).classes("agent-preset-name")
                        ui.label(self._t(preset.does)).classes("help")
                self._lock(button)

    def _take_preset(self, preset: Preset) -> None:
        self._numbers["pause_complete_ms"].set_value(preset.complete_ms)
        self._numbers["pause_incomplete_ms"].set_value(preset.incomplete_ms)


def in_words(t: Callable[[str], str], problem: Problem) -> str:
    """A problem in the reader's language."""
    return t(problem.says).format(**problem.values)


def label_of(t: Callable[[str], str], name: str) -> str:
    """What a field is called."""
    spec = SPECS.get(name)
    return t(spec.label) if spec else name


def _listed(text: str | None) -> list[str]:
    return [line.strip() for line in (text or "").splitlines() if line.strip()]


def _same(names: Collection[str]) -> dict[str, str]:
    return {name: name for name in names}
