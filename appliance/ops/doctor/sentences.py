"""What a check says, so that it can be said in another language: a template, and what stands in it."""

from __future__ import annotations

from collections.abc import Callable

Translate = Callable[[str], str]
"""An English sentence or template -> the same in another language; unknown ones stay English."""


class Sentence(str):
    """English, as it is told at the keyboard; it knows what it was made of."""

    template: str
    """With ``{name}`` in it."""
    values: dict[str, str]
    """Of each name. Words among them are sentences of their own; all else is shown as it is."""


def worded(template: str, **values: object) -> str:
    """``template`` with ``values`` in it: names, numbers, paths, and other sentences."""
    shown = {name: one if isinstance(one, str) else str(one) for name, one in values.items()}
    sentence = Sentence(template.format_map(shown) if shown else template)
    sentence.template, sentence.values = template, shown
    return sentence


def words(text: str) -> str:
    """``text`` as a part of another sentence that is words, and no name."""
    return text if isinstance(text, Sentence) else worded(text)


def in_words(text: str, t: Translate) -> str:
    """``text`` in the language of ``t``; what :func:`worded` did not make is looked up whole."""
    if not isinstance(text, Sentence) or not text.values:
        return t(str(text))
    values = {
        name: in_words(value, t) if isinstance(value, Sentence) else value
        for name, value in text.values.items()
    }
    return t(text.template).format_map(values)
