"""Lists of contacts as people have them."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import UserError
from appliance.numbers import is_public
from appliance.outreach.campaigns.contacts import (
    LONGEST_CELL_LETTERS,
    LONGEST_NAME_LETTERS,
    MOST_COLUMNS,
    MOST_PROBLEMS,
    MOST_ROWS,
    Sheet,
    read_contacts,
)

ANNA, BRIJ = "+919811100001", "+919811100002"


def read(text: str, encoding: str = "utf-8") -> Sheet:
    return read_contacts(text.encode(encoding), "IN")


def numbers(text: str, encoding: str = "utf-8") -> list[str]:
    return [contact.number for contact in read(text, encoding).contacts]


@pytest.mark.parametrize(
    "heading",
    [
        "number,name", "Phone,Name", "Mobile No.,Customer Name", "MOBILE_NUMBER,full name",
        "Customer's WhatsApp phone,name", "मोबाइल नंबर,नाम", "फ़ोन,ग्राहक का नाम", "फ़ोन,नाम",
        "संपर्क,नाम", '"Telephone",Name',
    ],
)  # fmt: skip
def test_columns_are_known_by_their_names_in_english_and_hindi(heading: str) -> None:
    sheet = read(f"{heading.strip()}\n9811100001,अनीता\n")
    assert [(c.number, c.name, dict(c.fields)) for c in sheet.contacts] == [(ANNA, "अनीता", {})]
    assert sheet.number_column and sheet.name_column and sheet.rows == 1


def test_without_a_heading_the_column_of_numbers_is_found() -> None:
    sheet = read("Anna,98111 00001,Pune\nBrij,+91-98111-00002,Delhi\n")
    assert [c.number for c in sheet.contacts] == [ANNA, BRIJ]
    assert sheet.number_column == "column 2" and sheet.name_column == ""
    assert sheet.contacts[0].fields == {"column 1": "Anna", "column 3": "Pune"}


def test_of_two_columns_that_could_be_it_the_one_with_numbers_is() -> None:
    sheet = read("contact,mobile number,name\nAnna Rao,9811100001,x\nBrij,9811100002,y\n")
    assert sheet.number_column == "mobile number"
    assert sheet.contacts[1].fields == {"contact": "Brij"}


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("9811100001", ANNA), ("09811100001", ANNA), ("919811100001", ANNA), ("+919811100001", ANNA),
        ("'+91 98111 00001", ANNA), ('="+919811100001"', ANNA), ("९८१११००००१", ANNA),
        ("9811100001.0", ANNA), ("98111\u00a000001", ANNA), ("\u200e+919811100001", ANNA),
        ("+442079460000", "+442079460000"),
    ],
)  # fmt: skip
def test_a_number_is_read_however_a_spreadsheet_shows_it(written: str, number: str) -> None:
    quoted = io.StringIO()
    csv.writer(quoted).writerow([written, "Anna"])
    assert numbers("number,name\n" + quoted.getvalue()) == [number]


def test_problems_are_told_with_the_row_that_a_spreadsheet_shows() -> None:
    sheet = read(
        "number,name\n9811100001,Anna\n\n12,Short\n,Nobody\n9.8111E+09,Rounded\n"
        "+91 98111 00001,Again\nabc,Word\n9811100002,Brij\n"
    )
    assert [c.row for c in sheet.contacts] == [2, 9] and sheet.rows == 7
    assert [p.row for p in sheet.problems] == [4, 5, 6, 7, 8] and sheet.problem_count == 5
    told = [p.what for p in sheet.problems]
    assert "“12” is no telephone number" in told[0] and "no telephone number" in told[1]
    assert "rounded" in told[2] and f"{ANNA} stands in row 2 already" in told[3]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings_delimiters_and_line_ends(encoding: str, delimiter: str, end: str) -> None:
    rows = ["number", "name"], ["9811100001", "José, “J”"], ["9811100002", 'a "q" b']
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows(rows)
    found = read(text.getvalue(), encoding).contacts
    assert [(c.number, c.name) for c in found] == [(ANNA, "José, “J”"), (BRIJ, 'a "q" b')]


def test_what_excel_writes_first_is_obeyed() -> None:
    assert read("sep=;\r\nname;number\r\nA,B;9811100001\r\n").contacts[0].name == "A,B"


def test_a_cell_may_have_lines_and_is_bounded() -> None:
    wide = ",".join(f"c{i}" for i in range(40))
    more = ",".join("x" for _ in range(40))
    sheet = read(f'number,name,note,{wide}\n9811100001,"{"n" * 999}","two\nlines",{more}\n')
    (contact,) = sheet.contacts
    assert len(contact.name) == LONGEST_NAME_LETTERS and contact.fields["note"] == "two lines"
    assert len(contact.fields) <= MOST_COLUMNS - 2


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"), (b"\n\n  \n", "empty"), (b"PK\x03\x04rest", "XLSX"),
        (b"%PDF-1.7", "PDF"), (b"a\0b\0c", "no text"),
        (b"name,city\nAnna,Pune\n", "No column holds telephone numbers"),
        (b'number,name\n9811100001,"Anna\n9811100002,Brij\n', "opened and not closed"),
        (b"\xff\xfea", "CSV UTF-8"),
        (b"number\n" + b"x" * 200_000, "field larger"),
    ],
)  # fmt: skip
def test_what_is_no_list_is_refused_in_one_sentence(data: bytes, words: str) -> None:
    with pytest.raises(UserError, match=words):
        read_contacts(data, "IN")


def test_too_many_rows_are_refused_and_problems_are_bounded() -> None:
    with pytest.raises(UserError, match="100,000 rows"):
        read("number\n" + "1\n" * (MOST_ROWS + 1))
    sheet = read("number\n" + "1\n" * (MOST_PROBLEMS + 500))
    assert len(sheet.problems) == MOST_PROBLEMS and sheet.problem_count == MOST_PROBLEMS + 500


def test_two_columns_of_one_name_are_told_apart() -> None:
    (contact,) = read("number,note,note\n9811100001,a,b\n").contacts
    assert contact.fields == {"note": "a", "note (3)": "b"}


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_a_list_or_one_sentence(data: bytes) -> None:
    try:
        sheet = read_contacts(data, "IN")
    except UserError as e:
        assert len(str(e)) < 400 and "\n" not in str(e)
        return
    assert all(is_public(c.number, "IN") for c in sheet.contacts)


_CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(_CELL, st.lists(_CELL, max_size=4)), max_size=12))
def test_any_cells_come_back_clean_and_no_row_is_lost(rows: list[tuple[str, list[str]]]) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["number", "name", "a", "b"])
    writer.writerow(["9811100001", "Anna"])
    for number, others in rows:
        writer.writerow([number, *others])
    sheet = read_contacts(out.getvalue().encode(), "IN")
    assert len(sheet.contacts) + sheet.problem_count == sheet.rows
    assert len({c.number for c in sheet.contacts}) == len(sheet.contacts)
    for contact in sheet.contacts:
        for text in (contact.name, *contact.fields, *contact.fields.values()):
            assert text.isprintable() and len(text) <= LONGEST_CELL_LETTERS
