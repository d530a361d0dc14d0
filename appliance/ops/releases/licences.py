"""Under which licence each package comes, and whether we may import it.

From what the package says of itself: the SPDX expression (PEP 639), else its classifiers, else the
words of its ``License`` field. What says nothing is in :data:`STATED`, read by a person.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from email.message import Message
from email.parser import BytesParser
from enum import StrEnum
from importlib.metadata import distributions
from pathlib import Path

from packaging.utils import canonicalize_name

from appliance.errors import UserError

ALLOWED = frozenset(
    "0BSD AFL-2.1 Apache-2.0 BSD BSD-2-Clause BSD-3-Clause BSL-1.0 CC0-1.0 HPND ISC MIT MIT-0 MIT-CMU "
    "PSF-2.0 Python-2.0 Unlicense Zlib ZPL-2.1 "
    # With changes to the file or the library given back; imported, never altered or linked into ours:
    "LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later MPL-2.0".split()
)
"""What a package that our processes import may come under."""
SEPARATE = {"pjsua2-python": "only the processes of `ivr sip` import it"}
"""Under the GPL: programs of their own, never imported by the rest (pyproject.toml says so)."""
OURS = "ivr-appliance"
STATED = {
    "aiofastnet": "MIT",
    "picows": "MIT",
    "pjsua2-python": "GPL-2.0-or-later",
    "pypdfium2": "BSD-3-Clause AND Apache-2.0",
    "pyrage": "MIT",
    "tokenizers": "Apache-2.0",
}
"""Read in their LICENSE files: what the metadata leaves out, or says in no known words."""
_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "MIT License": "MIT",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "Public Domain": "Unlicense",
    "The Unlicense (Unlicense)": "Unlicense",
    "Zope Public License": "ZPL-2.1",
    "GNU General Public License (GPL)": "GPL",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.1-or-later",
}
_WORDS = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "bsd": "BSD",
    "new bsd": "BSD-3-Clause",
    "mit license": "MIT",
}
_TOKENS = re.compile(r"[()]|[^\s()]+")


class Verdict(StrEnum):
    """What may be done with a package."""

    ALLOWED = "allowed"
    SEPARATE = "separate"
    OURS = "ours"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Licensed:
    """One package."""

    name: str
    version: str
    licence: str
    """An SPDX expression; empty: it says nothing."""
    verdict: Verdict


def licensed(metadata: Message) -> Licensed:
    """What a distribution's METADATA says."""
    name = canonicalize_name(str(metadata["Name"]))
    licence = STATED.get(name) or _licence(metadata)
    if name == OURS:
        verdict = Verdict.OURS
    elif may_import(licence):
        verdict = Verdict.ALLOWED
    else:
        verdict = Verdict.SEPARATE if name in SEPARATE else Verdict.REFUSED
    return Licensed(name, str(metadata["Version"]), licence, verdict)


def in_engine(metadata: Message) -> Licensed:
    """The same, of an engine's environment: what we may not import belongs to the engine's own program
    there (CUDA's libraries, which NVIDIA lets be passed on unaltered)."""
    found = licensed(metadata)
    if found.verdict is Verdict.REFUSED:
        return replace(found, verdict=Verdict.SEPARATE)
    return found


def _licence(metadata: Message) -> str:
    if expression := metadata.get("License-Expression"):
        return str(expression)
    prefix = "License :: "
    classifiers = [str(one) for one in metadata.get_all("Classifier", [])]
    found = [one.rpartition(" :: ")[2] for one in classifiers if one.startswith(prefix)]
    if known := [_CLASSIFIERS[one] for one in found if one in _CLASSIFIERS]:
        return " OR ".join(dict.fromkeys(known))  # classifiers list what one may choose from
    words = str(metadata.get("License") or "").strip()
    if "\n" in words or len(words) > 80:
        return ""
    return _WORDS.get(words.casefold(), words)


def may_import(expression: str) -> bool:
    """Whether an SPDX expression leaves us a way to import the package: each AND, one of each OR."""
    tokens = _TOKENS.findall(expression)
    try:
        good, rest = _either(tokens)
    except (IndexError, ValueError):
        return False
    return good and not rest


def _either(tokens: list[str]) -> tuple[bool, list[str]]:
    good, tokens = _both(tokens)
    while tokens and tokens[0].upper() == "OR":
        other, tokens = _both(tokens[1:])
        good = good or other
    return good, tokens


def _both(tokens: list[str]) -> tuple[bool, list[str]]:
    good, tokens = _one(tokens)
    while tokens and tokens[0].upper() == "AND":
        other, tokens = _one(tokens[1:])
        good = good and other
    return good, tokens


def _one(tokens: list[str]) -> tuple[bool, list[str]]:
    first, *rest = tokens
    if first == "(":
        good, rest = _either(rest)
        if not rest or rest[0] != ")":
            raise ValueError("a bracket is not closed")
        return good, rest[1:]
    if rest and rest[0].upper() == "WITH":  # an exception only ever permits more
        rest = rest[2:]
    return first in ALLOWED, rest


def of_wheels(wheels: Iterable[Path]) -> tuple[Licensed, ...]:
    """Of wheel files, by name. Raises UserError for what is no wheel."""
    return _sorted(licensed(metadata_of(wheel)) for wheel in wheels)


def metadata_of(wheel: Path) -> Message:
    """METADATA of a wheel file. Raises UserError for what is no wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            name = next(
                n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n)
            )
            return BytesParser().parsebytes(archive.read(name))
    except (OSError, zipfile.BadZipFile, StopIteration) as e:
        raise UserError(f"{wheel} is no wheel.") from e


def of_environment(names: Iterable[str]) -> tuple[Licensed, ...]:
    """Of what is installed here, of these names."""
    wanted = {canonicalize_name(name) for name in names}
    found = {}
    for one in distributions():
        if (name := canonicalize_name(one.metadata["Name"])) in wanted:
            said = (one.read_text("METADATA") or "").encode()
            found[name] = licensed(BytesParser().parsebytes(said))
    return _sorted(found.values())


def _sorted(found: Iterable[Licensed]) -> tuple[Licensed, ...]:
    return tuple(sorted(found, key=lambda one: one.name))


def refuse_forbidden(found: Iterable[Licensed]) -> None:
    """Raises UserError naming each package that we may not import."""
    bad = [one for one in found if one.verdict is Verdict.REFUSED]
    if bad:
        named = ", ".join(f"{one.name} ({one.licence or 'says nothing'})" for one in bad)
        raise UserError(
            f"These packages may not be shipped for import: {named}. Leave them out, or run them as"
            " programs of their own and say so in ops/releases/licences.py."
        )


def as_text(found: Iterable[Licensed]) -> str:
    """The list for people, one package a line."""
    lines = [f"{one.name} {one.version}: {one.licence or '-'} ({one.verdict})" for one in found]
    return "\n".join(lines) + "\n"
