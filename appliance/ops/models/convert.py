"""``ivr models convert``: a Whisper as it was published becomes one that faster-whisper loads."""

from __future__ import annotations

import time
from pathlib import Path

from appliance.checkpoints.catalogue import Entry, load_catalogue
from appliance.checkpoints.convert import FOR_DEVICE, candidates, convert_whisper, find_python
from appliance.checkpoints.disk import in_words
from appliance.checkpoints.forms import WORDS, Form, describe, find_model, form_of
from appliance.checkpoints.gpu import gpus
from appliance.checkpoints.manifest import ORIGINALS, read_manifest
from appliance.checkpoints.store import check_name, clear, installed, put, workplace
from appliance.errors import UserError
from appliance.ops.console import print_json
from appliance.settings import Settings

CONVERTED = "converted"


def convert(
    settings: Settings,
    model: str,
    *,
    name: str,
    python: str,
    device: str,
    quantization: str,
    again: bool,
    as_json: bool,
) -> None:
    """Convert ``model`` (a name that was pulled, or a folder). Raises UserError."""
    entry = load_catalogue(settings).get(model)
    name, original = _original(settings, entry.name if entry else model, name, entry, again)
    if not quantization:
        quantization = FOR_DEVICE[_device(device)]
    began = time.monotonic()
    others = [run.python for run in settings.engines.stt.run]
    with_python = find_python(candidates(python, others))
    with workplace(settings, name) as place:
        out = place / CONVERTED
        how = convert_whisper(with_python, original, out, quantization)
        if form_of(out) is not Form.CT2:
            raise UserError(f"The conversion made {describe(out)}. Nothing was kept.")
        source = read_manifest(original)
        folder = put(
            settings,
            out,
            name=name,
            form=Form.CT2,
            source=source.source if source else str(original.absolute()),
            revision=source.revision if source else "",
            converted=how,
        )
        clear(settings, name)
    made = read_manifest(folder)
    assert made is not None  # put wrote it
    _tell(name, folder, how, made.size, time.monotonic() - began, as_json)


def _tell(name: str, folder: Path, how: str, size: int, took_s: float, as_json: bool) -> None:
    if as_json:
        facts = {"name": name, "folder": str(folder), "converted": how, "bytes": size}
        print_json(facts | {"seconds": round(took_s, 1)})
        return
    print(f"{name} is converted ({how}): {in_words(size)} in {folder}.")
    print(f"Next: ivr models verify {name}")


def _original(
    settings: Settings, model: str, name: str, entry: Entry | None, again: bool
) -> tuple[str, Path]:
    """The name of what will be made, and the folder it is made from. Raises UserError."""
    if model.startswith(("/", ".", "~")):
        folder = Path(model).expanduser()
        if not folder.is_dir():
            raise UserError(f"There is no folder {folder}. Name one that holds a Whisper.")
        found = find_model(folder, frozenset({Form.HF_WHISPER}))
        return check_name(name or folder.resolve().name.lower()), found
    original = settings.models_dir / ORIGINALS / check_name(model)
    here = installed(settings).get(model)
    if here is not None and here.form is Form.CT2 and not (again and original.is_dir()):
        how = here.manifest.converted if here.manifest else ""
        hint = "say --again" if original.is_dir() else f"ivr models pull --again {model}"
        raise UserError(f"{model} is converted already ({how or 'as it came'}). To do it: {hint}.")
    if original.is_dir():
        return check_name(name or model), original
    if here is None:
        what = entry.name if entry else load_catalogue(settings).find(model).name
        raise UserError(f"The model {what} is not here. Fetch it: ivr models pull {what}")
    if here.form is Form.HF_WHISPER:  # put there by hand: its place is for what is made of it
        original.parent.mkdir(parents=True, exist_ok=True)
        here.folder.rename(original)
        return check_name(name or model), original
    what = WORDS[here.form] if here.form else describe(here.folder)
    raise UserError(f"{model} is {what}: its engine loads it as it is.")


def _device(device: str) -> str:
    return device if device != "auto" else "cuda" if gpus() else "cpu"
