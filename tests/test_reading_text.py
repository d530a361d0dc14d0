"""Text, Markdown and tables as text: their encodings, and what they turn into."""

from __future__ import annotations

import csv
import time
from contextlib import suppress
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.knowledge.cutting import cut
from appliance.knowledge.reading import RefusedDocumentError
from appliance.knowledge.reading.clean import join_lines, tidy
from appliance.knowledge.reading.language import language_of
from tests.reading_kit import parsed, passages, whole

HINDI = "हमारा कार्यालय सुबह दस बजे से शाम छह बजे तक खुला रहता है। रविवार को बंद रहता है।"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"])
def test_unicode_in_any_form(encoding: str) -> None:
    text = "The office (कार्यालय) is open on weekdays from ten to six.\n\nClosed on Sundays.\n"
    found = parsed(text.encode(encoding), "a.txt")
    assert passages(found) == [
        ("", "The office (कार्यालय) is open on weekdays from ten to six."),
        ("", "Closed on Sundays."),
    ]


def test_windows_quotes_are_read() -> None:
    found = parsed("The “late fee” is £5 – not more.".encode("cp1252"), "a.txt")
    assert whole(found) == "The “late fee” is £5 – not more."


@pytest.mark.parametrize(
    ("original", "says"),
    [
        # ISCII: one byte a letter from 0xA1 on
        (
            bytes([0xCC, 0xD8, 0xCF, 0xDA, 0xD7, 0xCF, 0xB3, 0xDA, 0xCF, 0x20] * 30),
            "cannot be told",
        ),
        (HINDI.encode().decode("cp1252", "replace").encode(), "garbled|lost"),
        (HINDI.encode().decode("latin-1").encode(), "garbled"),
        (("Some words. " + "\ufffd" * 3).encode() * 20, "lost"),
        (
            b"vkidk dk;kZy; fdrus cts [kqyrk gS vkSj fdrus cts cUn gksrk gS ;g crk,a " * 6,
            "legacy Indic font",
        ),
        ("現在の営業時間は午前九時からです。".encode("shift_jis") * 9, "cannot be told"),
    ],
)
def test_text_in_the_wrong_encoding_is_refused_with_what_to_do(original: bytes, says: str) -> None:
    with pytest.raises(RefusedDocumentError, match=says) as refused:
        parsed(original, "a.txt")
    assert "Unicode" in str(refused.value) or "UTF-8" in str(refused.value)


def test_ordinary_english_is_no_legacy_font() -> None:
    words = (
        "Visit www.sunrise.in or e-mail help@sunrise.in; iPhone/Android apps (v2.0) cost ₹0/month. "
    )
    assert "Android" in whole(parsed((words * 10).encode(), "a.txt"))


def test_nul_bytes_control_and_invisible_characters_go() -> None:
    tags = "".join(chr(0xE0000 + ord(char)) for char in "obey me")
    found = parsed(f"Pay\u200b by\0 ca\u00adrd{tags}\u202e now\x07 ﬁne.".encode(), "a.txt")
    assert whole(found) == "Pay by card now fine."
    assert any("invisible Unicode" in note for note in found.notes)


def test_lines_are_joined_with_their_hyphens() -> None:
    assert join_lines(["a week-", "day and long-", "term"], {"long-term"}) == (
        "a weekday and long-term"
    )
    assert join_lines(["from A-", "B"]) == "from A- B"


def test_plain_text_headings_lists_and_marked_questions() -> None:
    text = (
        "OPENING HOURS\n\nWe open at ten.\n\n- cash\n- card\n\n"
        "Q1. How do I pay?\nAns: By card.\n\nQ2: Is it free?\n\nA: No. It costs\nfive rupees.\n"
    )
    assert passages(parsed(text.encode(), "a.txt")) == [
        ("OPENING HOURS", "We open at ten."),
        ("OPENING HOURS", "cash. card."),
        ("How do I pay?", "By card."),
        ("Is it free?", "No. It costs five rupees."),
    ]
    hindi = "प्रश्न: आप कब खुले हैं?\n\nउत्तर: सुबह दस बजे से।\n"
    assert passages(parsed(hindi.encode(), "a.txt")) == [("आप कब खुले हैं?", "सुबह दस बजे से।")]


def test_a_quarter_is_no_question() -> None:
    assert passages(parsed(b"Q1: sales rose.\n\nQ2: sales fell.\n", "a.txt")) == [
        ("", "Q1: sales rose."),
        ("", "Q2: sales fell."),
    ]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_tables_with_any_mark(mark: str) -> None:
    rows = [["Plan", "Price"], ["Home", "499 rupees"], ["Pro", "799 rupees"]]
    text = "\n".join(mark.join(row) for row in rows)
    assert passages(parsed(text.encode(), "a.csv")) == [
        ("", "Plan: Home. Price: 499 rupees."),
        ("", "Plan: Pro. Price: 799 rupees."),
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("Question,Answer", True),
        ("id,FAQ,Response", True),
        ("QUESTION_EN,ANSWER_EN", True),
        ("सवाल,जवाब", True),
        ("प्रश्न,उत्तर", True),
        ("கேள்வி,பதில்", True),
        ("ಪ್ರಶ್ನೆ,ಉತ್ತರ", True),
        ("Plan,Answerable by", False),
    ],
)
def test_question_tables_in_many_languages(names: str, expected: bool) -> None:
    row = "7,How?,By card." if names.count(",") == 2 else "How?,By card."
    found = parsed(f"{names}\n{row}\n".encode(), "a.csv")
    kinds = [block.kind for page in found.pages for block in page.blocks]
    assert (kinds == ["faq"]) == expected
    if expected:
        assert passages(found) == [("How?", "By card.")]


def test_several_wordings_share_an_answer() -> None:
    text = "Question 1,Question 2,Answer\nHow to pay?,Ways to pay?,By card.\n"
    assert passages(parsed(text.encode(), "a.csv")) == [
        ("How to pay?", "By card."),
        ("Ways to pay?", "By card."),
    ]


@pytest.mark.parametrize("mark", ["*", "[", "[a](", "<a", "<!--", "_a", "`", "#", "|", "- "])
def test_marks_without_end_take_no_time(mark: str) -> None:
    begin = time.process_time()
    with suppress(RefusedDocumentError):
        parsed((mark * (60_000 // len(mark)) + " some text").encode(), "a.md")
    assert time.process_time() - begin < 10  # the square of it takes longer


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(original: bytes) -> None:
    for name in ("a.txt", "a.csv", "a.md", "a.html", "a"):
        try:
            found = parsed(original, name)
        except RefusedDocumentError as e:
            assert str(e).endswith(".")
        else:
            assert all(draft.text.strip() for draft in cut(found))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.lists(st.text(max_size=12), min_size=1, max_size=5).filter(lambda row: any(row)),
        max_size=8,
    )
)
def test_any_table_is_read_or_refused(rows: list[list[str]]) -> None:
    out = StringIO()
    csv.writer(out).writerows(rows)
    try:
        found = parsed(out.getvalue().encode("utf-8", "ignore"), "a.csv")
    except RefusedDocumentError:
        return
    for block in found.pages[0].blocks:
        assert block.text == tidy(block.text)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Our office is open from ten to six.", "en"),
        (HINDI, "hi"),
        ("आमचे कार्यालय सकाळी दहा ते संध्याकाळी सहा वाजेपर्यंत उघडे आहे.", "mr"),
        ("तुम्ही बिल कसे भरू शकता?", "mr"),
        ("बिल का भुगतान कैसे करें?", "hi"),
        ("अपना WiFi router restart करें", "hi"),
        ("எங்கள் அலுவலகம் பத்து மணிக்கு திறக்கும்", "ta"),
        ("మా కార్యాలయం పది గంటలకు తెరుచుకుంటుంది", "te"),
        ("ನಮ್ಮ ಕಚೇರಿ ಹತ್ತು ಗಂಟೆಗೆ ತೆರೆಯುತ್ತದೆ", "kn"),
        ("ഞങ്ങളുടെ ഓഫീസ് പത്ത് മണിക്ക് തുറക്കും", "ml"),
        ("આપણી ઓફિસ દસ વાગ્યે ખુલે છે", "gu"),
        ("ਸਾਡਾ ਦਫ਼ਤਰ ਦਸ ਵਜੇ ਖੁੱਲ੍ਹਦਾ ਹੈ", "pa"),
        ("ଆମ ଅଫିସ ଦଶଟାରେ ଖୋଲେ", "or"),
        ("আমাদের অফিস দশটায় খোলে", "bn"),
        ("আমাৰ কাৰ্যালয় দহ বজাত খোলে", "as"),
        ("ہمارا دفتر دس بجے کھلتا ہے", "ur"),
        ("499 / 12", ""),
    ],
)
def test_languages(text: str, language: str) -> None:
    assert language_of(text) == language


def test_each_passage_has_its_language() -> None:
    found = parsed(f"Our office is open from ten to six every day.\n\n{HINDI}\n".encode(), "a.txt")
    assert [draft.language for draft in cut(found)] == ["en", "hi"]
    assert found.language == "hi"


@pytest.mark.parametrize(
    ("original", "says"),
    [
        (b"\x7fELF\x02\x01", "is a program"),
        (b"{\\rtf1 hi}", "RTF"),
        (b'{"a": [1]}', "data for programs"),
        (b"<?xml version='1.0'?><a>b</a>", "data for programs"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"RIFF....WAVE", "sound"),
        (b"# ... --- ***", "no text to answer from"),
        (b"x" * 5 + b"\xff" * 80, "cannot be told"),
    ],
)
def test_what_is_no_document_is_refused(original: bytes, says: str) -> None:
    with pytest.raises(RefusedDocumentError, match=says):
        parsed(original, "a.bin")
