"""What other parts say of a trouble, known again as sentences with places, so that the console can say
it in another language too.

An error is English when it is caught, and the parts that raise it know nothing of the doctor. A test
looks for each of these in the part that says it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from appliance.ops.doctor.sentences import worded

SENTENCES = (
    # store/database.py, store/schema.py
    "The database {url} has no tables yet. Run `ivr db upgrade`.",
    "The database {url} did not answer as it should: {why}. Start it with `ivr up`, or set"
    " database.url to one that runs.",
    "Setting database.url names {driver}; only PostgreSQL serves.",
    "Setting database.url is not a database URL; write it as"
    " postgresql://user:password@host:port/name.",
    "The database is at revision {at}, which this release does not know: a newer one has been here."
    " Upgrade to that one instead.",
    # ops/doctor/box.py, ops/backup/target.py
    "The secrets in {folder} cannot be read: {why}. Look as root, or as the user that the appliance"
    " runs as.",
    "Nothing is mounted at {mount} (backup.mount), so nothing is written: it would fill this disk."
    " Mount it, and try again.",
    "backup.target {folder} does not lie below backup.mount {mount}.",
    # ops/releases/release.py, ops/releases/journal.py
    "There is no release in force at {link}. Install one with install.sh.",
    "{file} cannot be understood ({why}). `ivr releases list` shows what runs; remove that file when"
    " it is as it should be.",
    # checkpoints: presence.py, manifest.py, catalogue.py
    "{setting}: there is no Python interpreter {python}. Make that environment, or name one that"
    " exists.",
    "{setting}: the engine {engine} needs a model. Choose one: ivr models list, and name it:"
    ' model = "…".',
    "{setting}: {folder} is a Whisper of Hugging Face, which faster-whisper cannot load. Convert it:"
    " ivr models convert {model}",
    "{setting}: {folder} is {what}, and {engine} loads {wanted}. Name another.",
    "No model is called {name}. {hint}",
    "{name} is built into its engine: leave the model out.",
    "There is no folder {folder}. Name one that holds a model, or a model.",
    "The model {name} is not here. Fetch it: ivr models pull {again}",
    "The model {name} is not converted yet. Do so: ivr models convert {again}",
)
PARTS = (
    # ops/models/serve.py and ops/doctor/engines.py, within a sentence about a server
    "it does not speak: {why}",
    "it does not answer: {why}",
    "it does not take the call: {why}",
    "it gives up: {why}",
    "it answers {status} to what it is asked",
    "it answers {status}: {why}",
)
SETTING = re.compile(r"(engines\.[a-z.]+\.run): (.+)", re.DOTALL)
"""What presence.py puts before what manifest.py says."""
_PLACE = re.compile(r"\\\{(\w+)\\\}")


def said(text: str) -> str:
    """``text``, a whole sentence of another part, as :func:`worded` would have made it; unknown ones
    stay as they are."""
    found = _known(text, _forms(SENTENCES))
    if found is None and (behind := SETTING.fullmatch(text)):
        inner = _known(behind[2], _forms(SENTENCES))
        found = inner and worded("{setting}: {why}", setting=behind[1], why=inner)
    return found or text


def said_within(text: str) -> str:
    """The same, as a part of another sentence: without its capital and its full stop."""
    part = (text[:1].lower() + text[1:]).rstrip(".")
    return _known(part, _forms(PARTS)) or part


def _known(text: str, forms: Iterable[tuple[str, re.Pattern[str]]]) -> str | None:
    for template, form in forms:
        if found := form.fullmatch(text):
            return worded(template, **found.groupdict())
    return None


@cache
def _forms(templates: tuple[str, ...]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple(
        (one, re.compile(_PLACE.sub(r"(?P<\1>.+?)", re.escape(one)), re.DOTALL))
        for one in templates
    )
