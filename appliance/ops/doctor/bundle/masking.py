"""A line with everything left out that is not known to be harmless."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from appliance.checkpoints.forms import LOADED_BY
from appliance.ops.doctor.bundle.forms import Form, log_forms, told_forms
from appliance.ops.doctor.check import Group

LEFT_OUT = "…"
LONGEST_LETTERS = 4000
DEPTH = 2
"""A gap may hold an error's sentence, and that one a gap."""
MOST_DIGITS = 5
"""A number of more digits may be somebody's."""
_NUMBER = re.compile(rf"[-+]?\d{{1,{MOST_DIGITS}}}(\.\d{{1,4}})?( ?(ms|s|%|MB|GB|kB|MiB|Hz))?")
_URL = re.compile(
    r"(https?|wss?)://(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?(/[a-z0-9/_.-]{0,40})?"
)
_PRIVATE = re.compile(r"(127|10|192\.168|172\.(1[6-9]|2\d|3[01]))(\.\d{1,3}){1,3}(:\d{1,5})?")
_POOL = re.compile(r"(stt|tts|turn|embed|rerank|llm)\.\d{1,3}")
_ERROR = re.compile(r"[A-Z][A-Za-z]{2,40}(Error|Exception|Timeout|Refused|Interrupted)")
_TRACE = re.compile(
    r'  File "[^"]*?((?:appliance|site-packages|lib)/[\w./-]+\.py)", line (\d+), in (\w+)'
)
WORDS = frozenset({
    "stt", "tts", "turn", "embed", "rerank", "llm", "llm.fallback", "worker", "sip", "switch", "jobs",
    "admin", "postgres", "redis", "udp", "tcp", "tls", "ok", "starting", "draining", "warm", "lost",
    "pocketsphinx", "flite", "espeak", "smart-turn", "minilm", *LOADED_BY,
    "connection refused", "no answer", "active", "inactive", "failed",
    *(group.value for group in Group),
})  # fmt: skip
"""What may stand in a gap as it is."""


def log_line(text: str) -> str:
    """A line of the log: its form with harmless gaps filled, or only how long it was."""
    text = text[:LONGEST_LETTERS]
    if trace := _TRACE.match(text):
        return f"  {trace[1]}:{trace[2]} {trace[3]}"
    return _shown(text, log_forms(), 0) or _unknown(text)


def sentence(text: str) -> str:
    """A sentence of the doctor."""
    return _shown(text, told_forms(), 0) or _shown(text, log_forms(), 0) or _unknown(text)


def _unknown(text: str) -> str:
    if _ERROR.match(text):  # the last line of a traceback: "KeyError: …"
        return f"{text.partition(':')[0].split()[0][:60]}: {LEFT_OUT}"
    return f"({len(text)} letters of no known form)"


def _shown(text: str, forms: Sequence[Form], depth: int) -> str:
    """``text`` in the most particular form that it has; empty: it has none."""
    for form in forms:
        if match := form.match(text):
            return _filled(match, depth)
    return ""


def _filled(match: re.Match[str], depth: int) -> str:
    shown, end = "", 0
    for index in range(1, match.re.groups + 1):
        shown += match.string[end : match.start(index)] + gap(match[index], depth)
        end = match.end(index)
    return shown + match.string[end:]


@lru_cache(maxsize=4096)
def gap(text: str, depth: int = 0) -> str:
    """What stood in a gap, where it is of a kind that tells nothing of a person."""
    kinds = (_NUMBER, _URL, _PRIVATE, _POOL, _ERROR)
    if not text or text.lower() in WORDS or any(kind.fullmatch(text) for kind in kinds):
        return text
    if depth < DEPTH:
        return _shown(text, log_forms(), depth + 1) or LEFT_OUT
    return LEFT_OUT
