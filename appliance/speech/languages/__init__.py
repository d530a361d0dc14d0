"""One file a language, to be corrected by whoever speaks it: words only, no rules.

Found by code (BCP 47; the region is not looked at: ``hi-IN`` is ``hi``).
"""

from __future__ import annotations

from appliance.speech.language import Language
from appliance.speech.languages import bn, en, gu, hi, kn, ml, mr, pa, ta, te

LANGUAGES: dict[str, Language] = {
    module.LANGUAGE.code: module.LANGUAGE for module in (bn, en, gu, hi, kn, ml, mr, pa, ta, te)
}


def language_of(code: str) -> Language | None:
    """The tables of a language; None when there are none."""
    return LANGUAGES.get(code.replace("_", "-").partition("-")[0].lower())
