"""The column beside a transcript: versions, flags, how it ended, legs, personal data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from urllib.parse import quote

from nicegui import ui

from appliance.admin.services.calls import CallView
from appliance.admin.ui.calls.words import when
from appliance.admin.ui.page import View
from appliance.store.legs import Leg

_FLAG_CHIPS = {"open": "chip--bad", "confirmed": "chip--warn", "dismissed": ""}


def details(view: View, found: CallView) -> None:
    """Draw the column; what a call does not have is left out."""
    with ui.column().classes("call-details"):
        _versions(view, found)
        _end(view, found)
        _flags(view, found)
        _remembered(view, found)
        _legs(view, found.legs)
        _personal(view, found)


def _pairs(pairs: Iterable[tuple[str, str]]) -> None:
    with ui.element("dl").classes("pairs"):
        for name, value in pairs:
            if value:
                with ui.element("dt"):
                    ui.label(name)
                with ui.element("dd"):
                    ui.label(value)


def _versions(view: View, found: CallView) -> None:
    t, call, snapshot = view.t, found.logged.call, found.snapshot
    zone = view.console.settings.switch.timezone
    with ui.column().classes("panel"):
        ui.label(t("Answered by")).classes("panel-title")
        with ui.row().classes("toolbar"):
            name = snapshot.agent_name or call.agent_id
            if snapshot.agent_name:
                ui.link(name, f"/agents/{quote(call.agent_id, safe='')}")
            else:
                ui.label(name)
            ui.label(f"{t('version')} {call.agent_version}").classes("chip")
            if snapshot.knowledge:
                version = f" {snapshot.knowledge_version}" if snapshot.knowledge_version else ""
                with ui.element("span").classes("chip"):
                    ui.icon("menu_book").props("size=12px")
                    ui.label(f"{snapshot.knowledge}{version}")
        published = when(snapshot.published_at, zone) if snapshot.published_at else ""
        _pairs(
            (
                (t("Published"), published),
                (t("Published by"), snapshot.published_by),
                (t("What was changed"), snapshot.note),
                (t("Call"), call.call_id),
            )
        )


def _end(view: View, found: CallView) -> None:
    t, call = view.t, found.logged.call
    with ui.column().classes("panel"):
        ui.label(t("How it went")).classes("panel-title")
        who, _, sign = call.answered_by.partition(":")
        _pairs(
            (
                (t("Ended by"), t(call.ended_by) if call.ended_by else ""),
                (t("Cause"), call.cause),
                (t("Answered by"), f"{t(who)} ({sign})" if who else ""),
                (t("Asked for"), call.transferred_to),
                (t("Told to them"), call.summary),
                (t("Workers"), str(call.part) if call.part > 1 else ""),
                (t("Late frames"), str(call.late_frames) if call.late_frames else ""),
            )
        )
        if call.continues:
            target = f"/calls/{quote(call.continues, safe='')}"
            ui.link(t("Goes on with a call that was cut off"), target)


def _flags(view: View, found: CallView) -> None:
    if not found.flags:
        return
    t = view.t
    with ui.column().classes("panel"):
        ui.label(t("Flags")).classes("panel-title")
        for one in found.flags:
            with ui.row().classes("call-flag"):
                ui.label(t(one.state)).classes(f"chip {_FLAG_CHIPS[one.state]}")
                ui.link(one.flag.rule, f"/flags?flag={quote(one.flag.id, safe='')}")
                ui.label(f"{t('turn')} {one.flag.turn}").classes("muted")
                ui.label(one.flag.phrase).classes("call-flag-phrase")


def _remembered(view: View, found: CallView) -> None:
    t, call = view.t, found.logged.call
    if not call.memory and not call.facts:
        return
    with ui.column().classes("panel"):
        ui.label(t("What the agent remembered")).classes("panel-title")
        _pairs(call.facts.items())
        if call.memory:
            ui.label(call.memory).classes("passage-text")


def _legs(view: View, legs: tuple[Leg, ...]) -> None:
    if not legs:
        return
    t = view.t
    with ui.column().classes("panel"):
        ui.label(t("Telephone lines")).classes("panel-title")
        for leg in legs:
            with ui.row().classes("call-leg"):
                ui.label(t(leg.kind)).classes("chip")
                ui.label(f"{leg.caller} → {leg.callee}").classes("mono")
                ui.label(_leg_facts(leg)).classes("muted")
                if leg.note:
                    ui.label(leg.note).classes("muted")


def _leg_facts(leg: Leg) -> str:
    seconds = "" if leg.ended_at is None else f"{(leg.ended_at - leg.started_at).seconds} s"
    cause = f"{leg.cause} ({leg.cause_code})" if leg.cause else ""
    status = f"SIP {leg.sip_status}" if leg.sip_status else ""
    return " · ".join(part for part in (leg.trunk, leg.codec, seconds, cause, status) if part)


def _personal(view: View, found: CallView) -> None:
    if not found.spans:
        return
    t = view.t
    kinds = Counter(span.kind for span in found.spans)
    waiting = sum(span.beeped_at is None and bool(span.recording) for span in found.spans)
    with ui.column().classes("panel"):
        ui.label(t("Personal data taken out")).classes("panel-title")
        with ui.row().classes("toolbar"):
            for kind, count in kinds.items():
                ui.label(f"{t(kind)} {count}").classes("chip")
            if waiting:
                text = t("{count} not beeped yet").format(count=waiting)
                ui.label(text).classes("chip chip--warn")
