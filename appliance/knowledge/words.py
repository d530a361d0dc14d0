"""The words of a text as the lexical side of retrieval counts them: folded, without endings."""

from __future__ import annotations

import re

from appliance.knowledge.folding import folded
from appliance.knowledge.stems import stem
from appliance.knowledge.stopwords import stop_words
from appliance.languages import primary
from appliance.spelling import MARKS

_WORD = re.compile(f"(?:[^\\W_]|[{MARKS}])+")


def content_words(text: str, language: str = "") -> list[str]:
    """The stems of the words of ``text`` that carry its topic, in order.

    ``language`` (BCP 47) only says which words are left out as telling nothing: stems depend on the
    script alone, so a question finds a passage whatever either was said to be written in.
    """
    left_out = stop_words(primary(language))
    return [stem(word) for word in _WORD.findall(folded(text)) if word not in left_out]
