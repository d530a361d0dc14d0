"""Questions and answers written as ``Q: …`` and ``A: …``, in any format."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from appliance.knowledge.reading.document import Block

_QUESTION = re.compile(
    r"^(?:Q(?:uestion|ues)?|प्रश्न|सवाल|প্রশ্ন|கேள்வி|ప్రశ్న|ಪ್ರಶ್ನೆ|ചോദ്യം|પ્રશ્ન|ਸਵਾਲ|ପ୍ରଶ୍ନ)\s*\.?\s*\d{0,3}\s*[.:)\-–]\s*(?=\S)",
    re.IGNORECASE,
)
_ANSWER = re.compile(
    r"^(?:A(?:nswer|ns)?|उत्तर|जवाब|উত্তর|பதில்|జవాబు|ಉತ್ತರ|ഉത്തരം|જવાબ|ਜਵਾਬ|ଉତ୍ତର)\s*\.?\s*\d{0,3}\s*[.:)\-–]\s*(?=\S)",
    re.IGNORECASE,
)
_ANSWER_INSIDE = re.compile(r"(?<=[?？।.])\s+" + _ANSWER.pattern.removeprefix("^"), re.IGNORECASE)


def with_questions(blocks: Sequence[Block]) -> Iterator[Block]:
    """``blocks`` with each marked question and what answers it as one block; what follows an answer
    belongs to it until the next question or heading."""
    asked: Block | None = None
    answer: list[str] = []
    for number, block in enumerate(blocks):
        following = blocks[number + 1].text if number + 1 < len(blocks) else ""
        if block.kind == "faq":
            block = _unmarked(block)
        question, first = _asked(block, following)
        if question:
            yield from _closed(asked, answer)
            asked, answer = Block("faq", "", question=question), [first] if first else []
        elif asked is not None and block.kind == "text":
            answer.append(_ANSWER.sub("", block.text, count=1) if not answer else block.text)
        else:
            yield from _closed(asked, answer)
            asked, answer = None, []
            yield block
    yield from _closed(asked, answer)


def _unmarked(block: Block) -> Block:
    question = _QUESTION.sub("", block.question, count=1)
    return replace(block, question=question, text=_ANSWER.sub("", block.text, count=1))


def _asked(block: Block, following: str) -> tuple[str, str]:
    """(question, how its answer begins); empty when nothing is asked (``Q1: sales rose``)."""
    mark = _QUESTION.match(block.text) if block.kind != "faq" else None
    if not mark:
        return "", ""
    text = block.text[mark.end() :]
    inside = _ANSWER_INSIDE.search(text)
    if inside:
        return text[: inside.start()].strip(), text[inside.end() :].strip()
    return (text, "") if "?" in text or _ANSWER.match(following) else ("", "")


def _closed(asked: Block | None, answer: list[str]) -> Iterator[Block]:
    if asked is None:
        return
    if answer:
        yield Block("faq", " ".join(answer), question=asked.question)
    else:
        yield Block("text", asked.question)
