"""What ``ivr knowledge`` says of documents: tables and a progress bar, or one JSON object."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict
from datetime import datetime

from appliance.ops.console import plain, print_json, print_table
from appliance.ops.knowledge import documents
from appliance.ops.knowledge.bar import Bar
from appliance.ops.knowledge.documents import AddedAll, Given, Result, Tell
from appliance.settings import Settings
from appliance.store.document_views import DocumentView, SuspiciousView
from appliance.store.documents import State

LONELY_S = 20.0
"""Documents that nobody takes for so long: `ivr jobs` does not run."""
EXCERPT_CHARS = 200
GOOD = (State.PUBLISHED, State.UNCHANGED)


async def add(
    settings: Settings,
    base: str,
    wanted: Sequence[Given],
    *,
    tags: Sequence[str],
    language: str,
    tell: Tell,
    tenant: str,
    wait: bool,
    as_json: bool,
) -> bool:
    """Add documents and say what became of each; whether all went well."""
    with Bar(shown=not as_json) as bar:
        adding = bar.add("storing", len(wanted))
        added = await documents.add(
            *(settings, base, wanted),
            tags=tags,
            language=language,
            tell=tell,
            tenant=tenant,
            progress=lambda result: bar.step(adding),
        )
    if not as_json:
        _say_added(base, added, settings)
    final: list[DocumentView] = []
    if wait and added.open:
        final = await _wait(settings, base, added.open, shown=not as_json)
    refused = [r for r in added.results if r.outcome == "refused"]
    well = not refused and all(one.state in GOOD for one in final)
    if as_json:
        facts = [documents.as_facts(one) for one in final]
        said = {"base": base, "told": added.told, "results": [asdict(r) for r in added.results]}
        print_json(said | ({"documents": facts} if wait else {}) | {"well": well})
    return well


def _say_added(base: str, added: AddedAll, settings: Settings) -> None:
    counts: dict[str, int] = {}
    for result in added.results:
        counts[result.outcome] = counts.get(result.outcome, 0) + 1
        if result.why:
            print(f"{plain(result.name)}: {plain(result.why)}")
    total = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    print(f"{plain(base)}: {total}.")
    if not added.told:
        print(
            "Redis does not answer; the documents are stored, and `ivr jobs` finds them within"
            f" {settings.jobs.sweep_s:g} s of running again."
        )


async def _wait(
    settings: Settings, base: str, ids: Sequence[int], *, shown: bool
) -> list[DocumentView]:
    """Show how far the documents are until each is what it will be; then what became of them."""
    found: list[DocumentView] = []
    lonely_since, warned = time.monotonic(), False
    with Bar(shown=shown) as bar:
        all_of_them = bar.add("in force", len(ids))
        now = bar.add("", 0)
        async with aclosing(documents.watch(settings, base, ids)) as looks:
            async for found in looks:
                bar.at(all_of_them, sum(not documents.is_open(one) for one in found), len(ids))
                if busy := [o for o in found if o.state in (State.READING, State.EMBEDDING)]:
                    one = busy[0]
                    bar.at(now, one.done, one.total, f"{one.state} {plain(one.name)}")
                if any(one.state != State.WAITING for one in found):
                    lonely_since = time.monotonic()
                if not warned and time.monotonic() - lonely_since > LONELY_S:
                    warned = True
                    bar.say("Nobody has taken them yet: is `ivr jobs` (or `ivr up`) running?")
    if shown:
        for one in found:
            if one.state not in GOOD:
                print(f"{plain(one.name)}: {one.state}: {plain(one.error)}")
        done = sum(one.state in GOOD for one in found)
        print(f"{done} of {len(found)} in force, {sum(one.passages for one in found)} passages.")
    return found


async def print_bases(settings: Settings, *, as_json: bool) -> None:
    """All bases."""
    found = await documents.bases(settings)
    if as_json:
        print_json({"bases": [asdict(base) for base in found]})
        return
    print_table(
        ("base", "version", "since", "documents", "to do", "failed", "passages", "vectors of"),
        (
            (b.name, b.version, _when(b.published_at), b.documents, b.open, b.failed, b.passages,
             b.embedder)
            for b in found
        ),
        "There is no knowledge base yet; `ivr knowledge add` makes one.",
    )  # fmt: skip


async def print_documents(settings: Settings, base: str, name: str, *, as_json: bool) -> None:
    """The documents of a base, or one in full."""
    found, suspicious = await documents.of_base(settings, base, name)
    if as_json:
        print_json(
            {
                "base": base,
                "documents": [documents.as_facts(one) for one in found],
                "suspicious": [asdict(one) for one in suspicious],
            }
        )
        return
    if name:
        _print_document(found[0])
    else:
        _print_list(base, found)
    _print_suspicious(suspicious)


def _print_list(base: str, found: Sequence[DocumentView]) -> None:
    print_table(
        ("document", "state", "pages", "passages", "language", "tags", "changed", "trouble"),
        (
            (one.name, _state(one), one.pages or "", one.passages, one.language,
             ", ".join(one.tags), _when(one.updated_at), one.error or one.source_error)
            for one in found
        ),
        f"{plain(base)} has no document.",
    )  # fmt: skip


def _print_document(one: DocumentView) -> None:
    rows = {
        "document": one.name,
        "state": _state(one),
        "trouble": one.error,
        "tried again": _when(one.next_at),
        "source": documents.source_shown(one),
        "asked for": _when(one.asked_at),
        "trouble with the URL": one.source_error,
        "added by": one.added_by,
        "kind": one.media_type,
        "size": f"{one.size_bytes / 1000:.0f} kB",
        "language": one.language,
        "tags": ", ".join(one.tags),
        "pages": str(one.pages),
        "passages in force": str(one.passages),
        "changed": _when(one.updated_at),
    }
    for name, value in rows.items():
        if value:
            print(f"{name + ':':19} {plain(value)}")
    for note in one.notes:
        print(f"{'note:':19} {plain(note)}")


def _print_suspicious(found: Sequence[SuspiciousView]) -> None:
    if not found:
        return
    print("\nThese read like orders to a language model, and are not found by any search.")
    print("Let one in that is none: ivr knowledge allow BASE NUMBER")
    for one in found:
        page = f" page {one.page}" if one.page else ""
        words = f"{one.heading}: {one.text}" if one.heading else one.text
        print(f"{one.id:>8}  {plain(one.document)}{page}: {plain(words[:EXCERPT_CHARS])}")


async def retry(
    settings: Settings, base: str, names: Sequence[str], tell: Tell, *, as_json: bool
) -> None:
    """Have documents read again, and say which."""
    added = await documents.retry(settings, base, names, tell)
    if as_json:
        said = {"base": base, "told": added.told}
        print_json(said | {"documents": [result.name for result in added.results]})
    elif not added.results:
        print(f"Nothing of {plain(base)} that was asked for has failed or was refused.")
    else:
        again = (Result(r.name, "to be read again", r.document_id) for r in added.results)
        _say_added(base, AddedAll(tuple(again), added.told), settings)


async def refresh(settings: Settings, base: str, tell: Tell, *, as_json: bool) -> bool:
    """Ask for documents that have a URL again, and say what became of each; whether all went well."""
    with Bar(shown=not as_json) as bar:
        row = bar.add("asking", 0)
        asked, told = await documents.refresh(
            settings, base, tell, lambda done, total: bar.at(row, done, total)
        )
    well = not any(one.why for one in asked)
    if as_json:
        print_json(
            {"base": base, "told": told, "results": [asdict(a) for a in asked], "well": well}
        )
    elif asked:
        results = (Result(one.name, one.outcome, one.document_id, one.why) for one in asked)
        _say_added(base, AddedAll(tuple(results), told), settings)
    else:
        print(f"{plain(base)} has no document that came from a URL.")
    return well


async def remove(settings: Settings, base: str, names: Sequence[str], *, as_json: bool) -> None:
    """Take documents out, and say since which version."""
    published = await documents.remove(settings, base, names)
    if as_json:
        version = published.version if published else None
        print_json({"base": base, "removed": list(names), "version": version})
    elif published:
        print(f"{plain(base)} version {published.version}: {published.ended} passages went.")
    else:
        print(f"{plain(base)}: removed; nothing of it was in force.")


async def drop(settings: Settings, base: str, *, as_json: bool) -> None:
    """Take a base away, and say what went."""
    with Bar(shown=not as_json) as bar:
        row = bar.add("erasing", 0)
        dropped = await documents.drop(settings, base, lambda done: bar.at(row, done, 0))
    if as_json:
        print_json(asdict(dropped))
    else:
        print(f"{plain(base)}: {dropped.documents} documents and {dropped.passages} passages went.")


async def print_versions(settings: Settings, base: str, *, as_json: bool) -> None:
    """The versions of a base, the latest first."""
    found = await documents.list_versions(settings, base)
    if as_json:
        print_json({"base": base, "versions": [asdict(version) for version in found]})
        return
    print_table(
        ("version", "in force from", "passages", "new", "gone", "vectors of"),
        (
            (v.version, _when(v.published_at), *(("erased", "", "") if v.pruned else
             (v.passages, v.added, v.ended)), v.embedder)
            for v in found
        ),
        f"{plain(base)} has no version yet.",
    )  # fmt: skip


async def reembed(settings: Settings, base: str, tell: Tell, *, as_json: bool) -> None:
    """Embed a base again, and say since which version."""
    with Bar(shown=not as_json) as bar:
        row = bar.add("embedding", 0)
        published = await documents.reembed(
            settings, base, lambda done: bar.at(row, done, done), tell
        )
    if as_json:
        facts = asdict(published) if published else None
        print_json({"base": base, "published": facts})
    elif published:
        print(f"{plain(base)} version {published.version}: {published.added} passages embedded.")
    else:
        print(f"{plain(base)} has the vectors of this model already.")


async def allow(settings: Settings, base: str, ids: Sequence[int], *, as_json: bool) -> None:
    """Let passages in, and say since which version."""
    allowed, version = await documents.allow(settings, base, ids)
    if as_json:
        print_json({"base": base, "allowed": allowed, "version": version})
        return
    since = f"since version {version}" if version else "from the next version on"
    print(f"{plain(base)}: {allowed} passages are found {since}.")


def _state(one: DocumentView) -> str:
    working = one.state in (State.READING, State.EMBEDDING)
    return f"{one.state} {one.done}/{one.total}" if working and one.total else one.state


def _when(at: datetime | None) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M") if at else ""
