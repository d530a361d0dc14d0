"""The recogniser's vocabulary: texts to spoken words, phrases, pronunciations, model."""

from __future__ import annotations

from pathlib import Path

import pocketsphinx
import pytest

from appliance.models import pronounce, vocabulary
from appliance.models.trigrams import Trigrams

CMUDICT = Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (19, "nineteen"),
        (40, "forty"),
        (499, "four hundred and ninety nine"),
        (1500, "one thousand five hundred"),
        (250_000, "two lakh fifty thousand"),
    ],
)
def test_numbers_are_spoken(number: int, words: str) -> None:
    assert vocabulary.number_words(number) == words


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("# Plans & prices", "plans and prices"),
        ("It is ₹1,499 now.", "it is one thousand four hundred and ninety nine rupees now"),
        ("I am open at 9:30 am", "i am open at nine thirty a m"),
        ("Call 1800 267 4422", "call one thousand eight hundred two hundred and sixty seven "
         "four thousand four hundred and twenty two"),
        ("Call 9876543210", "call nine eight seven six five four three two one zero"),
        ("50 Mbps, 24/7", "fifty megabits per second twenty four seven"),
        ("You don’t pay.", "you don't pay"),
        ("नमस्ते", ""),
    ],
)  # fmt: skip
def test_texts_become_spoken_words(text: str, spoken: str) -> None:
    assert " ".join(word for words in vocabulary.sentences(text) for word in words) == spoken


def test_a_time_ends_its_sentence_only_before_a_capital() -> None:
    found = vocabulary.sentences("From 10 a.m. to 7 p.m. The shop is shut.")
    assert [" ".join(words) for words in found] == ["from ten a m to seven p m", "the shop is shut"]


def test_caller_phrases_ask_about_the_knowledge_and_are_the_same_each_time() -> None:
    knowledge = vocabulary.sentences(
        "The security deposit is returned. You can pay your bill by card."
    )
    phrases = vocabulary.caller_phrases(knowledge, 2000)
    assert phrases == vocabulary.caller_phrases(knowledge, 2000)
    assert len(phrases) == 2000
    assert any("security deposit" in phrase for phrase in phrases)
    assert any("pay my bill" in phrase for phrase in phrases)


def test_no_knowledge_still_knows_small_talk(tmp_path: Path) -> None:
    stats = vocabulary.build([], tmp_path)
    assert stats.sentences == 0
    words = {line.split()[0] for line in (tmp_path / "words.dict").read_text().splitlines()}
    assert {"goodbye", "wait", "person", "seven"} <= words


def test_every_word_has_a_pronunciation() -> None:
    found = pronounce.pronunciations({"router", "megabits", "kukatpally", "the"}, CMUDICT)
    assert len(found["the"]) > 1  # both of cmudict's
    assert found["megabits"][0].startswith("M EH G")
    for phones in found.values():
        assert all(pronounce.PHONES.issuperset(one.split()) for one in phones)


@pytest.mark.parametrize(
    ("word", "phones"),
    [("fibre", "F IH B R"), ("sms", "EH S EH M EH S"), ("tv's", "T IY V IY EH S")],
)
def test_letter_rules(word: str, phones: str) -> None:
    assert pronounce.by_rule(word) == phones


def test_probabilities_of_a_history_sum_to_one(tmp_path: Path) -> None:
    model = Trigrams([(["a", "b"], 3), (["a", "c"], 1), (["b", "c", "a"], 2)])
    model.write(tmp_path / "x.lm")
    config = pocketsphinx.Config(lm=None, dict=None, hmm=None, loglevel="FATAL")
    read = pocketsphinx.NGramModel(config, pocketsphinx.LogMath(), str(tmp_path / "x.lm"))
    math = pocketsphinx.LogMath()
    for history in (["a"], ["a", "b"], ["c", "b"]):  # pocketsphinx: newest word first
        total = sum(math.exp(read.prob([word, *history])) for word in ("a", "b", "c", "</s>"))
        assert total == pytest.approx(1.0, abs=0.01)


def test_one_word_out_of_step_costs_no_other_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pronounce, "FLITE_BATCH", 2)
    # flite reads "dr" with a full stop behind it and goes on without a pause
    found = pronounce.pronunciations({"dr", "drx", "kukatpally", "megabits"}, Path("/dev/null"))
    assert found["kukatpally"] == ["K UW K AA T P AH L IY"]
    assert all(found[word][0] for word in ("dr", "drx", "megabits"))


def test_without_flite_the_letter_rules_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = pronounce.pronunciations({"kukatpally"}, Path("/dev/null"))
    assert found == {"kukatpally": [pronounce.by_rule("kukatpally")]}


def test_a_changed_text_has_another_name() -> None:
    assert vocabulary.digest(["a", "b"]) != vocabulary.digest(["ab"])
    assert vocabulary.digest(["a"]) == vocabulary.digest(["a"])
