"""A large, real collection of texts: the descriptions of Debian's packages, cut into passages.

Each package has a short description (one line) and a long one. The long one is cut into passages;
the short one serves as a question to which its passages are the right answer. Fetched once by apt
into ``bench/out/debian`` (nothing of the system's apt is touched), embedded once and kept there.
"""

from __future__ import annotations

import hashlib
import random
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.knowledge.words import content_words
from appliance.models.minilm import MiniLm

FOLDER = Path("bench/out/debian").absolute()
APT_TIMEOUT_S = 300
LONGEST_CHARS = 220
"""Of a passage, where a paragraph can be cut between sentences."""
SHORTEST_CHARS = 40
"""What is shorter ("This is a transitional package.") answers nothing."""
LEAST_WORDS = 4
"""Of a short description that serves as a question: with topic, after stop words."""
EMBED_AT_ONCE = 64
_STANZA = re.compile(r"Package: (\S+)\nDescription-md5: (\S+)\nDescription-en: (.*)\n((?:.|\n)*)")
_SENTENCE = re.compile(r"(?<=[.!?:;]) ")


@dataclass(frozen=True, slots=True)
class Package:
    """One description: ``passages`` are numbers of texts in the collection."""

    name: str
    short: str
    passages: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Collection:
    """Texts, none twice, and the packages that they describe; a text may describe several."""

    texts: list[str]
    packages: list[Package]

    def questions(self, count: int, seed: int = 5) -> list[Package]:
        """Packages whose short description no other has, drawn by chance."""
        shorts = [package.short.lower() for package in self.packages]
        seen: dict[str, int] = {}
        for short in shorts:
            seen[short] = seen.get(short, 0) + 1
        fit = [
            package
            for package, short in zip(self.packages, shorts, strict=True)
            if seen[short] == 1
            and package.passages
            and len(set(content_words(package.short))) >= LEAST_WORDS
        ]
        return random.Random(seed).sample(fit, count)


def _lists() -> list[Path]:
    """Debian's English descriptions; fetched by apt on the first call."""
    lists = FOLDER / "lists"
    found = sorted(lists.glob("*Translation-en*"))
    if found:
        return found
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    options = [f"Dir::State::lists={lists}", f"Dir::Cache={FOLDER / 'cache'}"]
    options += ["Acquire::Languages=en", "APT::Sandbox::User=root"]
    command = ["apt-get", "update", *(word for option in options for word in ("-o", option))]
    subprocess.run(command, check=True, capture_output=True, timeout=APT_TIMEOUT_S)
    return sorted(lists.glob("*Translation-en*"))


def _stanzas() -> Iterator[tuple[str, str, str]]:
    """(package, short description, long description) of every description, none twice."""
    seen = set()
    for file in _lists():
        text = subprocess.run(
            ["/usr/lib/apt/apt-helper", "cat-file", str(file)], check=True, capture_output=True
        ).stdout.decode("utf-8", "replace")
        for stanza in text.split("\n\n"):
            match = _STANZA.match(stanza)
            if match and match[2] not in seen:
                seen.add(match[2])
                yield match[1], match[3].strip(), match[4]


def _pieces(short: str, long: str) -> Iterator[str]:
    """Passages of a long description, without the short one where it stands in it word for word."""
    for paragraph in re.split(r"\n \.\n", long):
        text = re.sub(r"\s+", " ", paragraph).strip()
        text = re.sub(re.escape(short), "", text, flags=re.IGNORECASE).strip(" .:-")
        piece = ""
        for sentence in _SENTENCE.split(text):
            if piece and len(piece) + len(sentence) >= LONGEST_CHARS:
                yield piece
                piece = ""
            piece = f"{piece} {sentence}".strip()
        yield piece


def collection(most: int) -> Collection:
    """The descriptions of Debian's packages until they make ``most`` passages."""
    numbers: dict[str, int] = {}
    packages = []
    for name, short, long in _stanzas():
        pieces = [piece for piece in _pieces(short, long) if len(piece) >= SHORTEST_CHARS]
        if len(numbers) + len(pieces) > most:
            break
        found = tuple(dict.fromkeys(numbers.setdefault(piece, len(numbers)) for piece in pieces))
        packages.append(Package(name, short, found))
    return Collection(list(numbers), packages)


def vectors(texts: Sequence[str], cache_dir: Path, name: str) -> NDArray[np.float32]:
    """Unit vectors [texts, 384] by the appliance's own model; made once (some minutes) and kept."""
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]
    file = FOLDER / f"{name}-{digest}.npy"
    if file.exists():
        return np.asarray(np.load(file), np.float32)
    model = MiniLm(cache_dir)
    order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
    made = np.zeros((len(texts), 384), np.float32)
    for begin in range(0, len(order), EMBED_AT_ONCE):
        batch = order[begin : begin + EMBED_AT_ONCE]
        made[batch] = model.embed([texts[number] for number in batch])
    FOLDER.mkdir(parents=True, exist_ok=True)
    np.save(file, made)
    return made
