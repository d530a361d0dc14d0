"""Bytes → text, or a refusal: text in the wrong encoding is worse than none, for nobody notices."""

from __future__ import annotations

import codecs
import re
from itertools import pairwise

from appliance.knowledge.reading.document import RefusedDocumentError
from appliance.knowledge.reading.language import SCRIPTS

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
SAMPLE_BYTES = 200_000
MOST_HIGH_SHARE = 0.1
"""Bytes from 0x80 in English text of a single-byte encoding: quotes, dashes, a few accents. ISCII and
the code pages of other scripts have 0.5 and more."""
MOST_LONE_SHARE = 0.25
"""The same in a short text where they stand alone, as quotes and accents do."""
MOST_PAIRED_SHARE = 0.2
MOST_LOST_SHARE = 0.01
"""Characters that stand for nothing (U+FFFD) in a text that may still be used."""
MOST_GARBLED = 3
"""UTF-8 read as Windows-1252 looks like this; so many may be a quotation."""
LEAST_WORDS = 30
LEGACY_SHARE = 0.25
"""Words with punctuation or capitals inside of them: text for a font such as Kruti Dev, whose letters
are Devanagari only on the screen. English has 0.02, a price list 0.1."""

_GARBLED = re.compile("à[¤¥¦§¨©ª«¬­®¯°±²³´µ].|Ã[\u0080-\u00bf]|â€[\u0090-\u00bf™œ\u009d“”˜¢¦]")
_KNOWN_LETTER = re.compile("[" + "".join(SCRIPTS.values()) + "]")
_LEGACY_WORD = re.compile(
    r"""[("']*(?:[\[{;|/][a-z]|[A-Za-z]*[a-z]+(?:[;,{}\[\]|/\\^~+=`¡-¿]+[A-Za-z]|[A-Z][a-z]))"""
)
_META = re.compile(
    rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE
)
_USUAL = frozenset(
    "utf-8 utf8 us-ascii ascii windows-1252 cp1252 iso-8859-1 iso8859-1 latin-1 latin1 utf-16 utf-16le "
    "utf-16be".split()
)


def decode(original: bytes, name: str, declared: str = "") -> str:
    """The text of ``original``. ``declared``: an encoding that it, or its server, says it has.

    Raises RefusedDocumentError when no encoding makes a readable text of it.
    """
    text = _decoded(original, name, declared)
    if text.count("\ufffd") > MOST_LOST_SHARE * len(text):
        raise _refusal(name, "letters were lost in it")
    if len(_GARBLED.findall(text)) > MOST_GARBLED:
        raise _refusal(name, "its letters were garbled by an earlier conversion")
    return text


def declared_in_html(original: bytes) -> str:
    """The encoding that a page says it has; empty when it says none."""
    found = _META.search(original[:4096])
    return found[1].decode("ascii", "replace").lower() if found else ""


def check_legacy(text: str, name: str) -> None:
    """Raises RefusedDocumentError for Indic text that only its font makes readable."""
    words = text[:SAMPLE_BYTES].split()
    plain = [word for word in words if "://" not in word and "@" not in word]
    if len(plain) < LEAST_WORDS:
        return
    legacy = sum(_LEGACY_WORD.match(word) is not None for word in plain)
    if legacy > LEGACY_SHARE * len(plain):
        raise RefusedDocumentError(
            f"{name} reads like text for a legacy Indic font (Kruti Dev and its like); "
            "convert it to Unicode and add it again."
        )


def _decoded(original: bytes, name: str, declared: str) -> str:
    for mark, encoding in _BOMS:
        if original.startswith(mark):
            return original[len(mark) :].decode(encoding, "replace")
    wide = _utf16(original)
    if wide:
        return original.decode(wide, "replace")
    try:
        return original.decode("utf-8")
    except UnicodeDecodeError:
        pass
    # cut off in the middle of a letter, or one bad byte in a megabyte: what is left still counts
    lossy = original.decode("utf-8", "replace")
    high = sum(byte >= 0x80 for byte in original)
    if lossy.count("\ufffd") <= MOST_LOST_SHARE * high:
        return lossy
    if declared and declared not in _USUAL:
        return _as_declared(original, name, declared)
    return _single_byte(original, name)


def _utf16(original: bytes) -> str:
    """UTF-16 without its mark: every other byte of a text in Latin letters is 0."""
    sample = original[:SAMPLE_BYTES]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if odd > 0.3 * len(sample) / 2 and even < odd / 10:
        return "utf-16-le"
    if even > 0.3 * len(sample) / 2 and odd < even / 10:
        return "utf-16-be"
    return ""


def _as_declared(original: bytes, name: str, declared: str) -> str:
    try:
        codec = codecs.lookup(declared)
        text, _ = codec.decode(original, "strict")
    except (LookupError, ValueError):
        raise _refusal(name, f"it says {declared[:40]} and is not") from None
    if not isinstance(text, str):  # codecs such as "hex" make bytes
        raise _refusal(name, f"it says {declared[:40]}, which is no encoding of text")
    return text


def _single_byte(original: bytes, name: str) -> str:
    sample = original[:SAMPLE_BYTES]
    high = sum(byte >= 0x80 for byte in sample)
    pairs = sum(a >= 0x80 and b >= 0x80 for a, b in pairwise(sample))
    alone = pairs <= MOST_PAIRED_SHARE * high and high <= MOST_LONE_SHARE * len(sample)
    if alone or high <= MOST_HIGH_SHARE * len(sample):
        return original.decode("cp1252", "replace")
    from charset_normalizer import from_bytes

    best = from_bytes(sample, threshold=0.1).best()
    encoding = best.encoding if best else ""
    text = original.decode(encoding, "replace") if encoding else ""
    letters = [char for char in text[:SAMPLE_BYTES] if char.isalpha()]
    ours = sum(_KNOWN_LETTER.match(char) is not None for char in letters)
    # UTF-16 and its like are told by their structure; any other page of letters would fit any bytes
    if encoding.startswith(("utf_16", "utf_32", "utf_7")) and ours > 0.9 * len(letters):
        return text
    raise _refusal(name, "its encoding cannot be told")


def _refusal(name: str, why: str) -> RefusedDocumentError:
    return RefusedDocumentError(
        f"{name} is not readable text ({why}); save it as UTF-8 and add it again."
    )
