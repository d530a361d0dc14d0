"""``ivr models pull``: from the hub, from a release, or from what was brought on a disk."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import aiohttp

from appliance.checkpoints import archives, hub
from appliance.checkpoints.catalogue import Entry, load_catalogue
from appliance.checkpoints.disk import GIGABYTE, bytes_below, in_words, require_room
from appliance.checkpoints.download import (
    FIRST_PAUSE_S,
    Gone,
    Progress,
    Wanted,
    download,
    timeouts,
)
from appliance.checkpoints.forms import LOADED_BY, Form, find_model, form_of
from appliance.checkpoints.manifest import read_manifest
from appliance.checkpoints.store import (
    check_name,
    clear,
    compare,
    installed,
    put,
    workplace,
)
from appliance.errors import UserError
from appliance.ops.console import plain, print_json
from appliance.settings import Settings

FILES = "files"
ARCHIVE = "archive"
COMMIT = "commit"
TELL_EVERY_S = 10.0
"""Between lines of progress, where there is no terminal to redraw."""
REDRAW_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Pulled:
    """What became of one name."""

    name: str
    folder: Path
    size: int
    ready: bool
    fetched: bool
    """False: it was here already."""


def pull(
    settings: Settings,
    names: Sequence[str],
    *,
    source: Path | None,
    again: bool,
    as_json: bool,
) -> None:
    """Fetch every model of ``names``; one that is here stays unless ``again``. Raises UserError."""
    done = []
    for name in names:
        pulled = _pull(settings, name, source, len(names) > 1, again)
        done.append(pulled)
        if not as_json:
            _tell(pulled)
    if as_json:
        print_json({"models": [_as_json(pulled) for pulled in done]})


def _pull(settings: Settings, name: str, source: Path | None, several: bool, again: bool) -> Pulled:
    catalogue = load_catalogue(settings)
    entry = catalogue.find(name) if source is None else catalogue.get(name)
    if entry is not None:
        name = entry.name
        if entry.form is Form.BUILT_IN:
            raise UserError(f"{name} is built into its engine: there is nothing to fetch.")
    check_name(name)
    if not again and (there := installed(settings).get(name)):
        return Pulled(name, there.folder, there.size, there.ready, fetched=False)
    with workplace(settings, name) as place:
        if source is not None:
            brought = _brought(source.expanduser(), name, entry, several)
            return _from_disk(settings, place, name, entry, brought)
        assert entry is not None
        meter = _Meter(name)
        try:
            if entry.repository:
                return asyncio.run(_from_hub(settings, place, entry, meter.tell))
            return asyncio.run(_from_release(settings, place, entry, meter.tell))
        finally:
            meter.end()


async def _from_hub(settings: Settings, place: Path, entry: Entry, progress: Progress) -> Pulled:
    token = hub.token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    # aiohttp leaves the header out where a file lies on another host
    async with aiohttp.ClientSession(
        timeout=timeouts(), headers=headers, trust_env=True
    ) as session:
        listing = await hub.list_files(session, entry.repository, entry.revision, entry.form)
        files = place / FILES
        if _read(place / COMMIT) != listing.commit:  # another version: nothing of it fits
            archives.remove(files)
            (place / COMMIT).write_text(listing.commit)
        require_room(place, max(0, listing.size - bytes_below(files)))
        before = 0
        for file in listing.files:
            wanted = Wanted(file.url, files / file.path, file.size, file.sha256)
            part = partial(_tell_part, progress, before, listing.size)
            await download(session, wanted, part, pause_s=FIRST_PAUSE_S)
            before += file.size
    return _install(settings, entry.name, entry, files, entry.source, listing.commit)


async def _from_release(
    settings: Settings, place: Path, entry: Entry, progress: Progress
) -> Pulled:
    archive = place / ARCHIVE
    packed_and_unpacked = int(2 * entry.size_gb * GIGABYTE)
    require_room(place, max(0, packed_and_unpacked - bytes_below(place)))
    async with aiohttp.ClientSession(timeout=timeouts(), trust_env=True) as session:
        for number, url in enumerate(entry.urls):
            try:
                wanted = Wanted(url, archive, sha256=entry.sha256)
                await download(session, wanted, progress, pause_s=FIRST_PAUSE_S)
                break
            except Gone:
                if number == len(entry.urls) - 1:
                    raise
    files = place / FILES
    archives.remove(files)
    try:
        await asyncio.to_thread(archives.unpack, archive, files)
        return _install(settings, entry.name, entry, files, url, "")
    except UserError:
        archive.unlink(missing_ok=True)  # it is no better the next time
        archives.remove(files)
        raise


def _brought(source: Path, name: str, entry: Entry | None, several: bool) -> Path:
    """What ``--from`` means for ``name``: a folder of several holds each by its name."""
    if not source.exists():
        raise UserError(f"There is no {source}. Name the folder or archive that was brought.")
    if source.is_dir() and form_of(source) is None:
        known = [name, f"{name}.zip", f"{name}.tar", f"{name}.tar.gz"]
        urls = entry.urls if entry else ()
        known += [PurePosixPath(urlsplit(url).path).name for url in urls]
        for candidate in known:
            if (source / candidate).exists():
                return source / candidate
    if several:
        raise UserError(f"{source} holds no {name}: name the models one by one, each with --from.")
    return source


def _from_disk(
    settings: Settings, place: Path, name: str, entry: Entry | None, brought: Path
) -> Pulled:
    files = place / FILES
    archives.remove(files)
    try:
        if brought.is_dir():
            archives.copy_folder(brought, files)
        else:
            archives.unpack(brought, files)
        return _install(settings, name, entry, files, str(brought.absolute()), "")
    except UserError:
        archives.remove(files)
        raise


def _install(
    settings: Settings, name: str, entry: Entry | None, files: Path, source: str, revision: str
) -> Pulled:
    """Look at what came, check it against the manifest that it may bring, and give it its place."""
    wanted = entry.forms if entry else frozenset({Form.HF_WHISPER, *LOADED_BY.values()})
    found = find_model(files, wanted)
    form = form_of(found)
    assert form is not None  # find_model looked
    converted = ""
    if brought := read_manifest(found):
        difference = compare(found, brought)
        if difference.bad:
            wrong = ", ".join((*difference.missing, *difference.changed)[:3])
            raise UserError(f"What {source} holds is not what its manifest says: {wrong}.")
        source, revision, converted = brought.source, brought.revision, brought.converted
    folder = put(
        settings, found, name=name, form=form, source=source, revision=revision, converted=converted
    )
    clear(settings, name)
    manifest = read_manifest(folder)
    assert manifest is not None
    return Pulled(name, folder, manifest.size, form in LOADED_BY.values(), fetched=True)


def _tell(pulled: Pulled) -> None:
    what = "is here" if pulled.fetched else "was here already"
    print(f"{plain(pulled.name)} {what}: {in_words(pulled.size)} in {plain(str(pulled.folder))}.")
    if not pulled.ready:
        print(f"Next: ivr models convert {pulled.name}")
    elif pulled.fetched:
        print(f"Next: ivr models verify {pulled.name}")


def _as_json(pulled: Pulled) -> dict[str, object]:
    return {
        "name": pulled.name,
        "folder": str(pulled.folder),
        "bytes": pulled.size,
        "ready": pulled.ready,
        "fetched": pulled.fetched,
    }


def _tell_part(progress: Progress, before: int, total: int, there: int, _: int) -> None:
    """Progress of one file of several, as progress of them all."""
    progress(before + there, total)


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


class _Meter:
    """Progress on stderr: a line that redraws on a terminal, now and then a line elsewhere."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._terminal = sys.stderr.isatty()
        self._began = self._told = time.monotonic()
        self._first = -1
        self._drawn = False

    def tell(self, there: int, total: int) -> None:
        now = time.monotonic()
        if self._first < 0:
            self._first = there
        if now - self._told < (REDRAW_EVERY_S if self._terminal else TELL_EVERY_S):
            return
        self._told = now
        speed = (there - self._first) / max(now - self._began, 0.001)
        share = f"{there * 100 // total} % of {in_words(total)}" if total else in_words(there)
        line = f"{self._name}: {share}, {in_words(speed)}/s"
        self._drawn = self._terminal
        print(f"\r{line:<70}" if self._terminal else line, end="" if self._terminal else "\n",
              file=sys.stderr, flush=True)  # fmt: skip

    def end(self) -> None:
        if self._drawn:
            print(file=sys.stderr)
