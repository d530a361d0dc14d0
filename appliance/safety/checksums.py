"""What makes a string of digits a card or an Aadhaar number: check digits and issuers' ranges."""

from __future__ import annotations

# The dihedral group D5 and Verhoeff's permutation (J. Verhoeff, 1969), as UIDAI uses them.
_D5 = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_PERMUTED = (
    "0123456789", "1576283094", "5803796142", "8916043527",
    "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip
_LUHN_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

_ISSUERS: tuple[tuple[int, int, frozenset[int]], ...] = (
    # first and last of a range of leading digits, lengths (ISO/IEC 7812, the schemes' own lists)
    (4, 4, frozenset({13, 16, 19})),  # Visa
    (51, 55, frozenset({16})),  # Mastercard
    (2221, 2720, frozenset({16})),  # Mastercard
    (34, 34, frozenset({15})),  # American Express
    (37, 37, frozenset({15})),  # American Express
    (300, 305, frozenset({14, 16, 19})),  # Diners Club
    (3095, 3095, frozenset({14, 16, 19})),
    (36, 36, frozenset({14, 16, 19})),
    (38, 39, frozenset({14, 16, 19})),
    (3528, 3589, frozenset({16, 17, 18, 19})),  # JCB, RuPay with it
    (60, 60, frozenset({16, 17, 18, 19})),  # RuPay, Discover
    (62, 62, frozenset({16, 17, 18, 19})),  # UnionPay
    (644, 659, frozenset({16, 17, 18, 19})),  # Discover, RuPay
    (81, 82, frozenset({16})),  # RuPay
    (500, 509, frozenset({13, 14, 15, 16, 17, 18, 19})),  # Maestro, RuPay (508)
    (56, 59, frozenset({13, 14, 15, 16, 17, 18, 19})),  # Maestro
    (63, 63, frozenset({16, 17, 18, 19})),  # Maestro
    (66, 69, frozenset({13, 14, 15, 16, 17, 18, 19})),  # Maestro
    (2200, 2204, frozenset({16})),  # Mir
)
CARD_LENGTHS = range(13, 20)
AADHAAR_DIGITS, VID_DIGITS = 12, 16


def luhn(digits: str) -> bool:
    """Whether the last of the ASCII ``digits`` is their check digit (ISO/IEC 7812-1, annex B)."""
    total = 0
    for at, digit in enumerate(reversed(digits)):
        total += _LUHN_DOUBLED[int(digit)] if at % 2 else int(digit)
    return total % 10 == 0


def issued(digits: str) -> bool:
    """Whether a card scheme issues numbers of this beginning and length."""
    length = len(digits)
    return any(
        length in lengths and first <= int(digits[: len(str(first))]) <= last
        for first, last, lengths in _ISSUERS
        if length >= CARD_LENGTHS.start
    )


def is_card(digits: str) -> bool:
    """A payment card's number (PAN of ISO/IEC 7812)."""
    return len(digits) in CARD_LENGTHS and issued(digits) and luhn(digits)


def verhoeff(digits: str) -> bool:
    """Whether the last of the ASCII ``digits`` is their Verhoeff check digit."""
    state = 0
    for at, digit in enumerate(reversed(digits)):
        state = int(_D5[state][int(_PERMUTED[at % 8][int(digit)])])
    return state == 0


def is_aadhaar(digits: str) -> bool:
    """An Aadhaar number (12 digits) or a virtual ID (16): first digit 2 to 9, Verhoeff."""
    return len(digits) in (AADHAAR_DIGITS, VID_DIGITS) and digits[0] > "1" and verhoeff(digits)
