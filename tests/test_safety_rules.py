"""Folding of words, word rules and patterns."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import UserError
from appliance.safety.patterns import SET_SIZE, Patterns, compile_pattern
from appliance.safety.rules import (
    MOST_PATTERNS,
    RuleSet,
    SiteRule,
    builtin_texts,
    words_of,
)
from appliance.safety.site_rules import checked
from appliance.safety.wordfold import fold, fold_word, normalise, readings

RULES = RuleSet()
SOME = ("a+b", "ab?c", "^x", "y$", r"\bfoo\b", "ß", "é.", "[0-9]{3}")
SCRIPTS = st.text(
    alphabet=st.characters(
        whitelist_categories=("L", "M", "N", "P", "Z", "Cf"), max_codepoint=0x2FFF
    ),
    max_size=60,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("हिन्दी", "हिंदी"), ("माँ", "मां"), ("हज़ार", "हजार"), ("STRASSE", "straße"), ("naïve", "naive"),
        ("don't", "dont"), ("ＦＵＬＬ", "full"), ("ka\u200dm", "kam"), ("аpple", "apple"), ("എന്‍", "എൻ"),
        ("كتاب", "کتاب"),
    ],
)  # fmt: skip
def test_the_same_word_in_other_spellings_is_the_same(one: str, other: str) -> None:
    assert fold(one).words == fold(other).words


@pytest.mark.parametrize(("one", "other"), [("कम", "काम"), ("कि", "की"), ("மா", "ம"), ("కల", "కాల")])
def test_vowel_signs_make_other_words(one: str, other: str) -> None:
    assert fold(one).words != fold(other).words


@given(SCRIPTS)
def test_folding_a_fold_changes_nothing(text: str) -> None:
    for word in fold(text).words:
        assert fold_word(word) == word


@given(SCRIPTS)
def test_each_word_stands_where_its_span_says(text: str) -> None:
    folded = fold(text)
    assert folded.text == normalise(text)
    for word, (begin, end) in zip(folded.words, folded.spans, strict=True):
        assert fold_word(folded.text[begin:end]) == word


@given(SCRIPTS)
def test_case_makes_no_other_words_of_ascii(text: str) -> None:
    plain = text.encode("ascii", "ignore").decode()
    assert fold(plain.upper()).words == fold(plain).words


@pytest.mark.parametrize(
    "text", ["shiiiit", "sh1t", "$hit", "s h i t", "s.h.i.t", "ＳＨＩＴ", "shi\u200bt"]
)
def test_a_word_that_hides_is_read(text: str) -> None:
    assert any("shit" in way.words for way in readings(text))
    assert [m.rule.name for m in RULES.find(f"this is {text} now", "agent", "a", "en")] == [
        "abuse.en"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Scunthorpe and Sussex are in England", "the assessment of class documents",
        "I live in Dickson Street", "a cockpit, a cocktail, an essay", "Mr Kamineni, Mr Lund, Ms Randi",
        "shiitake mushrooms at 5 p m", "my router is dead", "kill the background process",
    ],
)  # fmt: skip
def test_a_word_within_a_word_is_none(text: str) -> None:
    assert RULES.find(text, "agent", "a", "en") == []


def test_every_built_in_rule_finds_its_own_words() -> None:
    words, _ = builtin_texts()
    assert len(words) > 700
    for text, rule in words:
        side = "caller" if rule.side == "caller" else "agent"
        found = RULES.find(text, side, "a", rule.language or "en")
        category = {match.rule.category for match in found}
        assert rule.category in category, text


def test_not_in_the_same_clause_denies() -> None:
    def names(text: str) -> list[str]:
        return [match.rule.name for match in RULES.find(text, "agent", "a", "en")]

    assert names("We never say you will be arrested.") == []
    assert names("Do not wait, you will be arrested.") == ["threat.recovery.en"]
    assert names("पैसे दोगुने नहीं होंगे") == []


def test_sides_are_kept_apart() -> None:
    rules = RuleSet([SiteRule(1, "words", "foo bar", side="caller")])
    assert rules.find("foo  BAR!", "caller", "a", "en")[0].phrase == "foo  BAR"
    assert rules.find("foo bar", "agent", "a", "en") == []


@pytest.mark.parametrize(
    "bad",
    ["(", "a{1001}", r"(a)\1", "(?=a)b", "x" * 301, "((a{30}){30}){10}", "a*", "|a", "\ud800"],
)
def test_a_bad_pattern_is_refused_in_one_sentence(bad: str) -> None:
    with pytest.raises(UserError) as e:
        compile_pattern(bad)
    assert str(e.value).endswith(".") and "\n" not in str(e.value)


def test_a_site_has_only_so_many_patterns() -> None:
    rules = [SiteRule(n, "pattern", f"x{n}") for n in range(MOST_PATTERNS + 1)]
    with pytest.raises(UserError, match="is the most"):
        RuleSet(rules)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sampled_from(SOME), min_size=1, max_size=2 * SET_SIZE),
    st.text(alphabet="abcxyfo 019ßé", max_size=40),
)
def test_patterns_together_find_what_each_finds_alone(texts: list[str], text: str) -> None:
    alone = {n for n, one in enumerate(texts) if compile_pattern(one).search(text)}
    found = Patterns(texts).find(text)
    assert {number for number, _, _ in found} == alone
    for number, begin, end in found:
        match = compile_pattern(texts[number]).search(text)
        assert match is not None and match.span() == (begin, end)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (SiteRule(0, "words", "  ,, "), "no word"),
        (SiteRule(0, "words", "a " * 13), "13 words"),
        (SiteRule(0, "words", "a" * 201), "201 letters"),
        (SiteRule(0, "pattern", "("), "not of RE2"),
        (SiteRule(0, "words", "x", side="nobody"), "The side"),  # type: ignore[arg-type]
        (SiteRule(0, "words", "x", category="Bad Words"), "small letters"),
        (SiteRule(0, "words", "x", language="12"), "language"),
        (SiteRule(0, "words", "x", action="kill"), "action"),  # type: ignore[arg-type]
    ],
)
def test_a_bad_rule_is_refused(rule: SiteRule, says: str) -> None:
    with pytest.raises(UserError, match=says):
        checked(rule)


def test_a_rule_is_tidied() -> None:
    assert checked(SiteRule(0, "words", " free  gift ", language="hi-IN")).language == "hi"
    assert words_of("Free GIFT") == ("free", "gift")
