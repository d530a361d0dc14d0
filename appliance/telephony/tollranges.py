"""Ranges of numbers that fraud is paid through: nobody rings them unless a setting names them.

Each is a prefix of E.164 and why. Whoever is paid for a range can change it, and carriers keep their
own lists to themselves (Twilio and Simwood say so of theirs), so this one is a floor and ``toll.allow``
the wall. Premium numbers within other countries come from the numbering plans (``numbers.is_premium``),
not from here. Where each comes from, looked up in November 2026:

* Global and satellite codes: ITU-T E.164 and its list of assigned country codes, as libphonenumber has
  it (9.0.43; tests hold these to the installed release): +979 has premium numbers alone, +808 shared
  cost, +870 and +881 mobiles by satellite, +882 and +883 networks of no country, some of them
  satellites, +878 personal numbers, +888 no subscribers.
* Codes that look like North America: those outside the USA and Canada in the same plan, which the FTC's
  and FCC's warnings of one-ring fraud name (268, 284, 473, 649, 664, 767, 809, 829, 849, 876) or have
  beside them; +1900 is premium by the plan.
* Small networks with high termination fees: assigned country codes, chosen from what operators publish
  as of high risk. No public list has all of them; each is refused for what it costs, not for proof.
"""

from __future__ import annotations

SATELLITE = "a satellite network"
GLOBAL = "a service of no country"
PREMIUM = "a premium service"
SHARED = "a range known for revenue share fraud"

GLOBALS: dict[str, str] = {
    "+870": SATELLITE, "+881": SATELLITE,
    "+878": GLOBAL, "+882": GLOBAL, "+883": GLOBAL, "+888": GLOBAL,
    "+808": PREMIUM, "+979": PREMIUM,
}  # fmt: skip
"""ITU's shared codes."""
LIKE_AMERICA = (
    "+1242", "+1246", "+1264", "+1268", "+1284", "+1345", "+1441", "+1473", "+1649", "+1658", "+1664",
    "+1721", "+1758", "+1767", "+1784", "+1809", "+1829", "+1849", "+1868", "+1869", "+1876",
)  # fmt: skip
"""The Caribbean and Bermuda."""
COSTLY = (
    "+211", "+216", "+220", "+222", "+223", "+224", "+225", "+226", "+227", "+228", "+231", "+232",
    "+235", "+236", "+238", "+239", "+240", "+241", "+242", "+243", "+245", "+247", "+248", "+252",
    "+253", "+257", "+258", "+261", "+263", "+265", "+267", "+268", "+269", "+290", "+291", "+297",
    "+298", "+299", "+355", "+370", "+371", "+372", "+373", "+374", "+375", "+376", "+378", "+381",
    "+382", "+383", "+387", "+389", "+423", "+500", "+501", "+509", "+53", "+590", "+592", "+594",
    "+596", "+597", "+599", "+670", "+672", "+674", "+675", "+676", "+677", "+678", "+679", "+680",
    "+681", "+682", "+683", "+685", "+686", "+687", "+688", "+689", "+690", "+691", "+692", "+850",
    "+855", "+960", "+963", "+967", "+970", "+992", "+993", "+994", "+995", "+996",
)  # fmt: skip
"""Networks with high termination fees."""
RANGES: dict[str, str] = {
    **GLOBALS, "+1900": PREMIUM, **dict.fromkeys((*LIKE_AMERICA, *COSTLY), SHARED),
}  # fmt: skip


def range_of(number: str) -> str:
    """The longest known range that ``number`` (E.164) lies in, or an empty string."""
    for length in range(min(len(number), 8), 1, -1):
        if number[:length] in RANGES:
            return number[:length]
    return ""
