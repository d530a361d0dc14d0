"""``ivr models verify``: are the files what came, and does the model hear, speak, write?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from appliance.checkpoints.catalogue import load_catalogue
from appliance.checkpoints.forms import Form
from appliance.checkpoints.store import Difference, Installed, compare, installed
from appliance.errors import UserError
from appliance.ops.console import plain, print_json
from appliance.ops.models.selftest import Finding, Subject, Verdict, findings, subject_of
from appliance.settings import Settings

SHOWN_FILES = 5
SHOWN_LETTERS = 300
"""Of what was heard: a model that loops writes more."""


def verify(
    settings: Settings,
    names: Sequence[str],
    *,
    files_only: bool,
    python: str,
    device: str,
    languages: Sequence[str],
    as_json: bool,
) -> bool:
    """Check ``names``, or all that are here; whether all is well. Raises UserError: no such model."""
    results = []
    for name in names or installed(settings):
        name, here = _find(settings, name)
        if not as_json:
            print(f"{plain(name)}")
        files = _files(here, as_json)
        spoken: list[Finding] = []
        trouble = ""
        if not files_only and files["ok"] and (here is None or here.ready):
            try:
                subject = subject_of(
                    settings, name, python=python, device=device, languages=languages
                )
                spoken = asyncio.run(_collect(settings, subject, as_json))
            except UserError as e:
                trouble = str(e)
                if not as_json:
                    print(f"  FAILED  {plain_lines(trouble)}")
        good = files["ok"] and not trouble
        good = good and all(finding.verdict is not Verdict.FAILED for finding in spoken)
        facts = [asdict(f) | {"verdict": f.verdict.value} for f in spoken]
        results.append(
            {"name": name, "ok": good, "files": files, "spoken": facts, "trouble": trouble}
        )
    ok = all(result["ok"] for result in results)
    if as_json:
        print_json({"ok": ok, "models": results})
    elif not results:
        print("No models are here. Fetch one: ivr models pull NAME")
    return ok


def _find(settings: Settings, name: str) -> tuple[str, Installed | None]:
    """The model, and what is here of it; None: it is built in. Raises UserError."""
    here = installed(settings)
    if name in here:
        return name, here[name]
    entry = load_catalogue(settings).find(name)
    if entry.form is Form.BUILT_IN:
        return entry.name, None
    if entry.name not in here:
        raise UserError(f"The model {entry.name} is not here. Fetch it: ivr models pull {name}")
    return entry.name, here[entry.name]


def _files(here: Installed | None, as_json: bool) -> dict[str, Any]:
    """Compare every file with the manifest, and say how it went."""
    if here is None or here.manifest is None:
        words = "built in" if here is None else "put here by hand: no checksums to compare with"
        if not as_json:
            print(f"  files   {words}")
        return {"ok": True, "checked": 0, "note": words}
    difference = compare(here.folder, here.manifest)
    if not as_json:
        _tell_files(here, difference)
    return {
        "ok": not difference.bad,
        "checked": len(here.manifest.files),
        "missing": list(difference.missing),
        "changed": list(difference.changed),
        "added": list(difference.added),
    }


def _tell_files(here: Installed, difference: Difference) -> None:
    assert here.manifest is not None
    if not difference.bad:
        print(f"  files   good: {len(here.manifest.files)}, as they came")
    for word, paths in (("missing", difference.missing), ("changed", difference.changed)):
        for path in paths[:SHOWN_FILES]:
            print(f"  files   FAILED: {plain(path)} is {word}")
        if len(paths) > SHOWN_FILES:
            print(f"  files   FAILED: and {len(paths) - SHOWN_FILES} more are {word}")
    if difference.bad:
        print(f"          Fetch it again: ivr models pull --again {here.name}")
    if difference.added:
        print(f"  files   note: {len(difference.added)} more, which nobody vouches for")


async def _collect(settings: Settings, subject: Subject, as_json: bool) -> list[Finding]:
    found = []
    async with contextlib.aclosing(findings(settings, subject)) as stream:
        async for finding in stream:
            found.append(finding)
            if not as_json:
                _tell(finding)
    return found


def _tell(finding: Finding) -> None:
    error = "" if finding.word_error is None else f", word error {finding.word_error:.0%}"
    who = " ".join(filter(None, (finding.language, finding.voice)))
    seconds = f" ({finding.seconds:.1f} s{error})" if finding.seconds else ""
    print(f"  {finding.verdict.value:<7} {who}{seconds} {plain(finding.why)}".rstrip())
    if finding.said:
        print(f"          {'said' if finding.language else 'asked'}: {plain(finding.said)}")
    if finding.heard:
        heard = plain(finding.heard[:SHOWN_LETTERS])
        print(f"          {'heard' if finding.language else 'wrote'}: {heard}")


def plain_lines(text: str) -> str:
    """Several lines, each fit for a terminal."""
    return "\n          ".join(plain(line) for line in text.splitlines())
