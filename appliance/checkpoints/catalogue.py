"""The models that the appliance knows by name: its own list, and the operator's beside it."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from appliance.checkpoints.forms import LOADED_BY, Form
from appliance.errors import UserError
from appliance.settings import Settings

OWN_FILE = Path(__file__).with_name("catalogue.toml")
NAME_PATTERN = r"^[a-z0-9][a-z0-9._+-]*$"
"""It becomes a folder."""
NEAR = 0.5
"""How alike a name must be to be suggested, 0-1."""
SUGGESTIONS = 3


class Entry(BaseModel):
    """One model of a catalogue."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=NAME_PATTERN)
    aliases: tuple[str, ...] = ()
    """Names that its engine has for it."""
    stage: Literal["stt", "tts", "llm", "embed", "rerank"]
    engine: str
    """What ``ivr stt|tts|embed|rerank --engine`` calls what loads it; of language models, ``vllm``."""
    languages: tuple[str, ...]
    """BCP 47 primary subtags; ``*``: many."""
    form: Form
    """How it arrives."""
    repository: str = Field("", pattern=r"^$|^[\w.-]+/[\w.-]+$")
    """``OWNER/NAME`` on Hugging Face's hub; or else ``urls``."""
    revision: str = "main"
    """Branch, tag or commit of the repository."""
    urls: tuple[str, ...] = ()
    """Of one archive; the first that answers is taken."""
    sha256: str = Field("", pattern=r"^$|^[0-9a-f]{64}$")
    """Of that archive, where its publisher tells it."""
    checked: Literal["", "published", "used"] = ""
    """How the address is known: from the publisher's documentation, from others' programs."""
    gated: bool = False
    """The hub gives it to accounts that accepted its licence."""
    licence: str = ""
    size_gb: float = Field(0, ge=0)
    """Of what is fetched, 10^9 bytes."""
    parameters_m: float = Field(0, ge=0)
    """Millions."""
    shape: dict[str, Any] = {}
    """Fields of its config.json that say what memory it takes."""
    note: str = ""

    @field_validator("urls")
    @classmethod
    def _by_http(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if not url.startswith(("https://", "http://")):
                raise ValueError(f"{url} is no http(s) address")
        return urls

    @model_validator(mode="after")
    def _consistent(self) -> Entry:
        if self.form is not Form.BUILT_IN and not (self.repository or self.urls):
            raise ValueError("has neither repository nor urls")
        if not self.fits_engine(self.form):
            raise ValueError(f"the engine {self.engine} cannot load the form {self.form.value}")
        return self

    @property
    def loaded(self) -> Form:
        """The form that its engine loads."""
        return LOADED_BY.get(self.engine, Form.BUILT_IN)

    def fits_engine(self, form: Form) -> bool:
        """Whether ``form`` is what its engine loads, or can be converted to it."""
        return form is self.loaded or (form, self.loaded) == (Form.HF_WHISPER, Form.CT2)

    @property
    def forms(self) -> frozenset[Form]:
        """What may arrive under this name: as published, or already as its engine loads it."""
        return frozenset({self.form, self.loaded})

    @property
    def source(self) -> str:
        """Where it comes from, for a manifest and for people."""
        return f"hf:{self.repository}" if self.repository else self.urls[0] if self.urls else ""


class Catalogue:
    """All entries by name. The operator's come first and replace those of the same name."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self.entries = dict(entries)
        self._names = {alias: e.name for e in entries.values() for alias in e.aliases}
        self._names |= {e.repository: e.name for e in entries.values() if e.repository}

    def get(self, name: str) -> Entry | None:
        """The entry of that name, alias or repository."""
        return self.entries.get(name) or self.entries.get(self._names.get(name, ""))

    def find(self, name: str) -> Entry:
        """The entry of that name. Raises UserError with the nearest names."""
        if entry := self.get(name):
            return entry
        near = difflib.get_close_matches(name.lower(), self.entries, SUGGESTIONS, NEAR)
        hint = f"Did you mean {' or '.join(near)}?" if near else "See: ivr models list"
        raise UserError(f"No model is called {name}. {hint}")


def load_catalogue(settings: Settings) -> Catalogue:
    """Our catalogue with the operator's entries. Raises UserError for one that is wrong."""
    own_file = settings.models_dir / "catalogue.toml"
    theirs = _read(own_file) if own_file.exists() else {}
    return Catalogue({**_ours(), **theirs})


@cache
def _ours() -> dict[str, Entry]:
    return _read(OWN_FILE)


def _read(file: Path) -> dict[str, Entry]:
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, OSError, UnicodeDecodeError) as e:
        raise UserError(f"{file} cannot be read: {e}. Mend it, or move it away.") from e
    if unknown := tables.keys() - {"model", "family"}:
        raise UserError(f"{file}: there is no table {min(unknown)}; only [[model]] and [[family]].")
    found: dict[str, Entry] = {}
    for table in (*tables.get("model", ()), *_members(file, tables.get("family", ()))):
        try:
            entry = Entry.model_validate(table)
        except ValidationError as e:
            first = e.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "entry"
            name = table.get("name", "without a name") if isinstance(table, dict) else table
            raise UserError(f"{file}: model {name}, {where}: {first['msg']}.") from e
        found[entry.name] = entry
    return found


def _members(file: Path, families: Any) -> list[dict[str, Any]]:
    """A table for each member of each family: ``{code}`` and ``{word}`` of ``each`` filled in."""
    members = []
    for family in families:
        each = family.get("each") if isinstance(family, dict) else None
        if not isinstance(each, dict):
            raise UserError(f'{file}: a [[family]] needs a table each, as {{ hi = "hindi" }}.')
        spoken = family.get("spoken")
        rest = {key: value for key, value in family.items() if key not in ("each", "spoken")}
        for code, word in each.items():
            filled = {key: _filled(value, code, str(word)) for key, value in rest.items()}
            members.append({"languages": spoken or [code], **filled})
    return members


def _filled(value: Any, code: str, word: str) -> Any:
    if isinstance(value, str):
        return value.replace("{code}", code).replace("{word}", word)
    if isinstance(value, list):
        return [_filled(item, code, word) for item in value]
    return value
