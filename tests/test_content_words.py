"""The words that questions and passages are compared by, in thirteen languages."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.knowledge.folding import folded
from appliance.knowledge.stopwords import STOP_WORDS, stop_words
from appliance.knowledge.words import content_words

INDIAN = st.text(
    st.sampled_from([chr(code) for code in (*range(0x900, 0xD80), *range(0x600, 0x700))]),
    max_size=30,
)
ANY = st.one_of(st.text(max_size=60), INDIAN)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("हिन्दी", "हिंदी"),
        ("\u0958ीमत", "\u0915\u093cीमत"),  # one code point, or a letter and its nukta
        ("कीमत", "क़ीमत"),
        ("हाँ", "हां"),
        ("क्\u200dष", "क्ष"),
        ("അവൻ", "അവന്\u200d"),
        ("উৎস", "উত্\u200dস"),
        ("ਪੰਜਾਬ", "ਪਂਜਾਬ"),
        ("సంబంధం", "సమ్బన్ధం"),
        ("كي", "کی"),
        ("قِیمت", "قیمت"),
        ("Café", "CAFE"),
        ("१२३ ১২৩ ௧௨௩ ౧౨౩ ۱۲۳", "123 123 123 123 123"),
        ("ﬁbre", "fibre"),
    ],
)
def test_one_spelling(one: str, other: str) -> None:
    assert folded(one) == folded(other)


@pytest.mark.parametrize(
    ("language", "forms"),
    [
        ("en", "plan plans planning planned"),
        ("hi", "बिल बिलों"),
        ("hi", "महीना महीने महीनों"),
        ("hi", "खाता खाते खातों"),
        ("mr", "बिल बिलाचा बिलाला बिलात बिलासाठी"),
        ("bn", "বিল বিলের বিলে বিলগুলো বিলটি"),
        ("as", "বিল বিলৰ"),
        ("ta", "கட்டணம் கட்டணத்தை கட்டணத்தில் கட்டணங்கள்"),
        ("te", "బిల్లులో బిల్లుకు బిల్లుని"),
        ("kn", "ಬಿಲ್ಲು ಬಿಲ್ಲಿಗೆ ಬಿಲ್ಲನ್ನು ಬಿಲ್ಲುಗಳು"),
        ("ml", "ബില്ലിന്റെ ബില്ലിൽ ബില്ല്"),
        ("gu", "બિલ બિલનું બિલમાં"),
        ("pa", "ਕਨੈਕਸ਼ਨ ਕਨੈਕਸ਼ਨਾਂ"),
        ("or", "ବିଲ୍ ବିଲ୍ର ବିଲ୍ରେ"),
        ("ur", "مہینہ مہینے مہینوں"),
    ],
)
def test_forms_of_a_word_meet(language: str, forms: str) -> None:
    assert len(set(content_words(forms, language))) == 1


@pytest.mark.parametrize(
    ("language", "question", "topic"),
    [
        ("en", "What is the late fee, please?", ["lat", "fee"]),
        ("hi", "मेरा बिल कितना है?", ["बिल"]),
        ("mr", "माझे बिल किती आहे?", ["बिल"]),
        ("bn", "আমার বিল কত?", ["বিল"]),
        ("ta", "என் பில் எவ்வளவு?", ["பில்"]),
        ("te", "నా బిల్లు ఎంత?", 1),
        ("kn", "ನನ್ನ ಬಿಲ್ಲು ಎಷ್ಟು?", 1),
        ("ml", "എന്റെ ബില്ല് എത്ര?", 1),
        ("gu", "મારું બિલ કેટલું છે?", ["બિલ"]),
        ("pa", "ਮੇਰਾ ਬਿੱਲ ਕਿੰਨਾ ਹੈ?", 1),
        ("or", "ମୋର ବିଲ୍ କେତେ?", 1),
        ("as", "মোৰ বিল কিমান?", ["বিল"]),
        ("ur", "میرا بل کتنا ہے؟", ["بل"]),
    ],
)
def test_the_topic_is_left(language: str, question: str, topic: list[str] | int) -> None:
    for said in (language, f"{language}-IN", ""):
        found = content_words(question, said)
        assert len(found) == topic if isinstance(topic, int) else found == topic


def test_stems_do_not_depend_on_the_language_said() -> None:
    assert content_words("बिलों installing", "hi") == content_words("बिलों installing", "mr")


def test_stop_words_are_written_as_texts_are_folded() -> None:
    for language, words in STOP_WORDS.items():
        assert all(folded(word) == word for word in words), language
        assert not content_words(" ".join(words), language) or language == "en"
    assert "the" in stop_words("hi") and "है" not in stop_words("en") and "है" in stop_words("xx")


@given(ANY)
def test_folding_is_done_once(text: str) -> None:
    assert folded(folded(text)) == folded(text)


@given(ANY)
def test_both_normal_forms_have_the_same_words(text: str) -> None:
    words = content_words(text)
    assert words == content_words(unicodedata.normalize("NFD", text))
    assert words == content_words(unicodedata.normalize("NFC", text))


@given(ANY)
def test_no_word_is_lost_or_made_up(text: str) -> None:
    for word in content_words(text):
        assert word and not any(sign.isspace() for sign in word)


@given(st.text(st.sampled_from("0123456789०१२३४५६७८९௦௧௨௩"), min_size=1, max_size=8))
def test_digits_of_every_script_are_the_same(text: str) -> None:
    number = "".join(str(unicodedata.digit(sign)) for sign in text)
    assert content_words(text) == [number]
