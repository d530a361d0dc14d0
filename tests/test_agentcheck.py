"""What is wrong with an agent, by itself and on its site."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.admin.agents.check import check
from appliance.admin.agents.defaults import DEFAULTS, blank
from appliance.admin.agents.enginesurvey import Listener, Speaker, Survey
from appliance.admin.agents.problems import Problem, Site
from appliance.events import Agent

SURVEY = Survey(
    speakers=(
        Speaker("slt", "en", "flite"),
        Speaker("hi", "hi", "espeak"),
        Speaker("any", "*", "big"),
    ),
    listeners=(
        Listener("pocketsphinx", frozenset({"en"})),
        Listener("wav2vec2", frozenset({"hi", "mr"})),
    ),
    models=("llama", "llama-lora"),
    has_llm=True,
)
SITE = Site(
    survey=SURVEY,
    bases={"faq": 3, "empty": 0},
    agents={"help": 2, "hindi": 4, "unborn": 0},
    queues={"support"},
    extensions={"1001"},
)
GOOD: dict[str, Any] = blank("en", ["slt"]) | {
    "id": "help", "version": 0, "name": "Help", "knowledge": "faq",
    "recording_notice": "This call is recorded.",
}  # fmt: skip
AWAY = Site(SURVEY.__class__(has_llm=True, away=frozenset({"stt", "tts", "llm"})), SITE.bases)


def found(site: Site = SITE, **changes: Any) -> list[tuple[str, str, str]]:
    return [(p.severity, p.field, p.sentence) for p in check(GOOD | changes, site)]


def test_a_good_agent_has_no_problem() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("changes", "severity", "field", "says"),
    [
        ({"name": " "}, "error", "name", "no name"),
        ({"name": "x" * 81}, "error", "name", "too long"),
        ({"silence_ms": "8000"}, "error", "silence_ms", "valid integer"),
        ({"silence_ms": 0}, "error", "silence_ms", "greater than 0"),
        ({"silence_ms": 500}, "warning", "silence_ms", "2000 to 60000"),
        ({"guard_mode": "loose"}, "error", "guard_mode", "'release', 'hold' or 'strict'"),
        ({"keypad": {"1": 2}}, "error", "keypad", "valid string"),
        ({"keypad": {"A": "x"}}, "error", "keypad", "'A' is no key"),
        ({"keypad": {"12": "x"}}, "error", "keypad", "'12' is no key"),
        ({"keypad": {"1": " "}}, "error", "keypad", "means nothing"),
        ({"goodbye": ""}, "error", "goodbye", "empty"),
        ({"greeting": ""}, "warning", "greeting", "empty"),
        ({"greeting": "x" * 1001}, "error", "greeting", "more than 1000"),
        ({"greeting": "नमस्ते। मैं आपकी क्या मदद करूँ?"}, "warning", "greeting", "Devanagari"),
        ({"silence_prompts": []}, "warning", "silence_prompts", "first long silence"),
        ({"silence_prompts": ["x", " "]}, "error", "silence_prompts", "empty"),
        ({"silence_prompts": ["x" * 1001]}, "error", "silence_prompts", "1000"),
        ({"recording_notice": ""}, "warning", "recording_notice", "nobody tells"),
        ({"prompt": " "}, "warning", "prompt", "told nothing"),
        ({"pronunciations": {"Jio": " "}}, "error", "pronunciations", "half empty"),
        ({"slots": {str(n): "x" for n in range(17)}}, "error", "slots", "17 entries"),
        ({"continue_minutes": 1441}, "error", "continue_minutes", "one day"),
        (
            {"continue_minutes": 5, "continue_phrase": ""},
            *("error", "continue_phrase", "empty"),
        ),
        ({"language": "ta", "voice": "any"}, "error", "language", "No recogniser"),
        ({"voice": "hi"}, "error", "voice", "There are: any, slt."),
        ({"voice": ""}, "error", "voice", "(none)"),
        ({"tts_engine": "coqui"}, "error", "tts_engine", "big, espeak, flite"),
        ({"stt_engine": "whisper"}, "error", "stt_engine", "pocketsphinx, wav2vec2"),
        ({"stt_engine": "wav2vec2"}, "warning", "stt_engine", "does not hear en"),
        ({"llm_model": "gpt"}, "error", "llm_model", "llama, llama-lora"),
        ({"knowledge": "theirs"}, "error", "knowledge", "There are: empty, faq."),
        ({"knowledge": "empty"}, "warning", "knowledge", "nothing in it"),
        ({"knowledge": ""}, "warning", "knowledge", "unproven"),
        ({"knowledge_languages": ["en-IN"]}, "warning", "knowledge_languages", "write en"),
        ({"language_menu": {"1": "theirs"}}, "error", "language_menu", "no agent theirs"),
        ({"language_menu": {"1": "unborn"}}, "error", "language_menu", "not published yet"),
        ({"language_menu": {"x": "hindi"}}, "error", "language_menu", "'x' is no key"),
        ({"language_menu": {"1": "hindi"}}, "error", "language_prompt", "empty"),
        ({"transfer_to": "somebody"}, "error", "transfer_to", "nobody to hand a call to"),
        ({"transfer_to": "queue:sales"}, "error", "transfer_to", "There are: support."),
        ({"transfer_to": "1002"}, "warning", "transfer_to", "no extension 1002"),
        ({"transfer_to": "1001", "transfer_phrase": ""}, "error", "transfer_phrase", "empty"),
        ({"transfer_key": "00"}, "error", "transfer_key", "'00' is no key"),
        (
            {"transfer_to": "1001", "keypad": {"0": "help"}},
            *("warning", "keypad", "never used"),
        ),
        ({"transfer_after_failures": -1}, "error", "transfer_after_failures", "0 for never"),
        ({"pause_complete_ms": 1450}, "error", "pause_complete_ms", "the shorter time"),
        ({"bot_url": "http://x"}, "error", "bot_url", "ws://"),
        ({"bot_url": "wss://bot.example/"}, "warning", "bot_url", "external bot"),
        ({"id": "a b"}, "error", "id", "letters, digits"),
    ],
)  # fmt: skip
def test_one_thing_that_is_wrong(
    changes: dict[str, Any], severity: str, field: str, says: str
) -> None:
    problems = found(**changes)
    assert any((s, f) == (severity, field) and says in text for s, f, text in problems), problems
    if severity == "warning":
        assert not [p for p in problems if p[0] == "error"]


def test_all_of_it_is_told_at_once_errors_first() -> None:
    problems = found(
        silence_ms=-1, goodbye="", voice="x", greeting="", knowledge="x", guard_mode="loose"
    )
    errors = {field for severity, field, _ in problems if severity == "error"}
    assert errors == {"silence_ms", "goodbye", "voice", "knowledge", "guard_mode"}
    severities = [severity for severity, _, _ in problems]
    assert severities == sorted(severities)  # error before warning


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"voice": "other"}, "language"),
        ({"tts_engine": "coqui"}, "tts_engine"),
        ({"stt_engine": "whisper"}, "stt_engine"),
        ({"llm_model": "gpt"}, "llm_model"),
    ],
)
def test_what_a_server_may_have_that_is_away_now_is_no_error(
    changes: dict[str, Any], field: str
) -> None:
    problems = found(AWAY, **changes)
    assert ("warning", field) in [(s, f) for s, f, _ in problems]
    assert "error" not in [s for s, _, _ in problems]


def test_without_a_language_model() -> None:
    site = Site(Survey(SURVEY.speakers, SURVEY.listeners), SITE.bases)
    assert ("warning", "llm_model") in [(s, f) for s, f, _ in found(site, llm_model="x")]
    (problem,) = [p for p in found(site, knowledge="", grounding="off")]
    assert "neither a language model nor" in problem[2]


def test_transfers_that_are_good() -> None:
    for to in ("queue:support", "1001", "+912066178800", "sip:desk@192.0.2.1"):
        assert found(transfer_to=to) == []
    assert found(language_menu={"1": "hindi", "2": "help"}, language_prompt="Press.") == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(DEFAULTS)), JSON, max_size=6))
def test_whatever_was_typed_gets_an_answer(changes: dict[str, Any]) -> None:
    for problem in check(GOOD | changes, SITE):
        assert isinstance(problem, Problem) and problem.sentence
        assert problem.field in DEFAULTS


def test_every_field_that_an_author_writes_is_one_of_an_agent() -> None:
    assert set(DEFAULTS) < {*Agent.__dataclass_fields__}
