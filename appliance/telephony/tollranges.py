"""Ranges of numbers that fraud is paid through: nobody rings them unless a setting names them.

Each is a prefix of E.164 and why. They are known from the numbering plans (ITU-T E.164 annexes:
satellite, global services) and from what carriers and regulators publish of international revenue share
fraud; whoever is paid for a range can change it, so this list is a floor and ``toll.allow`` the wall.
"""

from __future__ import annotations

SATELLITE = "a satellite network"
PREMIUM = "a premium service"
SHARED = "a range known for revenue share fraud"

RANGES: dict[str, str] = {
    # ITU's shared codes: satellites, global and premium services
    "+870": SATELLITE, "+881": SATELLITE, "+882": SATELLITE, "+883": SATELLITE,
    "+878": PREMIUM, "+979": PREMIUM, "+808": PREMIUM, "+888": PREMIUM,
    # India's own: audiotex
    "+911900": PREMIUM,
    # The Caribbean and others that look like North America (one-ring and PBX fraud)
    **dict.fromkeys(
        (
            "+1242", "+1246", "+1264", "+1268", "+1284", "+1345", "+1441", "+1473", "+1649", "+1658",
            "+1664", "+1721", "+1758", "+1767", "+1784", "+1809", "+1829", "+1849", "+1868", "+1869",
            "+1876", "+1900", "+1976",
        ),
        SHARED,
    ),
    # Small networks with high termination fees, again and again in fraud reports
    **dict.fromkeys(
        (
            "+211", "+216", "+220", "+222", "+223", "+224", "+225", "+226", "+227", "+228", "+231",
            "+232", "+235", "+236", "+238", "+239", "+240", "+241", "+242", "+243", "+245", "+247",
            "+248", "+252", "+253", "+257", "+258", "+261", "+263", "+265", "+267", "+268", "+269",
            "+290", "+291", "+297", "+298", "+299", "+355", "+370", "+371", "+372", "+373", "+374",
            "+375", "+376", "+378", "+381", "+382", "+383", "+387", "+389", "+423", "+500", "+501",
            "+509", "+53", "+590", "+592", "+594", "+596", "+597", "+599", "+670", "+672", "+674",
            "+675", "+676", "+677", "+678", "+679", "+680", "+681", "+682", "+683", "+685", "+686",
            "+687", "+688", "+689", "+690", "+691", "+692", "+850", "+855", "+960", "+963", "+967",
            "+970", "+992", "+993", "+994", "+995", "+996",
        ),
        SHARED,
    ),
}  # fmt: skip


def range_of(number: str) -> str:
    """The longest known range that ``number`` (E.164) lies in, or an empty string."""
    for length in range(min(len(number), 8), 1, -1):
        if number[:length] in RANGES:
            return number[:length]
    return ""
