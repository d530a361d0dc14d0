"""``ivr models list`` and ``remove``: which models are here, which could be, and away with one."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

from appliance.checkpoints.catalogue import Entry, load_catalogue
from appliance.checkpoints.disk import GIGABYTE, in_words
from appliance.checkpoints.forms import LOADED_BY, Form
from appliance.checkpoints.presence import runs
from appliance.checkpoints.store import Installed, check_name, delete, installed
from appliance.errors import UserError
from appliance.ops.console import print_json, print_table
from appliance.settings import Settings


class State(Enum):
    """Where a model stands; the value is what people read."""

    READY = "ready"
    TO_CONVERT = "fetched, to be converted"
    UNKNOWN = "not a model that we know"
    BUILT_IN = "built in"
    NOT_HERE = "not here"


def print_models(settings: Settings, *, here_only: bool, as_json: bool) -> None:
    """Every model that is here or known."""
    here = installed(settings)
    entries = load_catalogue(settings).entries
    named = {run.model for _, run in runs(settings) if run.model}
    names = list(here) + [n for n in entries if n not in here and not here_only]
    rows = [_row(name, here.get(name), entries.get(name), name in named) for name in names]
    not_here = State.NOT_HERE.value
    rows.sort(key=lambda row: (row["state"] == not_here, row["stage"] or "", row["name"]))
    if as_json:
        print_json({"models_dir": str(settings.models_dir.absolute()), "models": rows})
        return
    print_table(
        ("model", "stage", "engine", "languages", "size", "state"),
        [
            (
                row["name"], row["stage"] or "-", row["engine"] or "-",
                _languages(row["languages"]), in_words(row["bytes"]),
                row["state"] + (", in the settings" if row["in_settings"] else ""),
            )
            for row in rows
        ],
        "No models are here. See what there is: ivr models list",
    )  # fmt: skip


def _row(
    name: str, here: Installed | None, entry: Entry | None, in_settings: bool
) -> dict[str, Any]:
    form = here.form if here else entry.form if entry else None
    engines = {loaded: engine for engine, loaded in LOADED_BY.items()}
    return {
        "name": name,
        "stage": entry.stage if entry else None,
        "engine": entry.engine if entry else engines.get(form) if form else None,
        "languages": list(entry.languages) if entry else [],
        "bytes": here.size if here else int(entry.size_gb * GIGABYTE) if entry else 0,
        "form": form.value if form else None,
        "state": _state(here, entry).value,
        "folder": str(here.folder) if here else None,
        "source": _source(here, entry),
        "address_checked": entry.checked if entry else "",
        "gated": entry.gated if entry else False,
        "licence": entry.licence if entry else "",
        "note": entry.note if entry else "",
        "in_settings": in_settings,
    }


def _source(here: Installed | None, entry: Entry | None) -> str:
    if here and here.manifest:
        return here.manifest.source
    return entry.source if entry else ""


def _state(here: Installed | None, entry: Entry | None) -> State:
    if here is None:
        built_in = entry is not None and entry.form is Form.BUILT_IN
        return State.BUILT_IN if built_in else State.NOT_HERE
    if here.ready:
        return State.READY
    return State.TO_CONVERT if here.form is Form.HF_WHISPER else State.UNKNOWN


def _languages(codes: list[str]) -> str:
    return "many" if codes == ["*"] else ",".join(codes) or "-"


def removable(settings: Settings, name: str) -> Installed:
    """The model ``name``, if it may be removed. Raises UserError: not here, or in the settings."""
    check_name(name)
    here = installed(settings).get(name)
    if here is None:
        raise UserError(f"The model {name} is not here. See: ivr models list --here")
    for setting, run in runs(settings):
        if run.model and _names(settings, run.model, here):
            raise UserError(f"{setting} names {run.model}: it stays. Take it out of the settings.")
    return here


def _names(settings: Settings, model: str, here: Installed) -> bool:
    """Whether the settings' ``model`` (a name, an alias, a folder) is the one that is here."""
    entry = load_catalogue(settings).get(model)
    if model == here.name or (entry is not None and entry.name == here.name):
        return True
    return Path(model).expanduser().resolve() == here.folder.resolve()


def remove(settings: Settings, name: str, *, as_json: bool) -> None:
    """Delete a model that :func:`removable` allows."""
    here = removable(settings, name)
    delete(settings, name)
    if as_json:
        print_json({"name": name, "removed": True, "bytes": here.size})
    else:
        print(f"{name} is removed: {in_words(here.size)} free.")
