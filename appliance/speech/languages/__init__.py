"""One file a language, to be corrected by whoever speaks it: words only, no rules.

Found by code (BCP 47; the region is not looked at: ``hi-IN`` is ``hi``).
"""

from __future__ import annotations

from appliance.languages import primary
from appliance.speech.language import Language
from appliance.speech.languages.bn import LANGUAGE as BN
from appliance.speech.languages.en import LANGUAGE as EN
from appliance.speech.languages.gu import LANGUAGE as GU
from appliance.speech.languages.hi import LANGUAGE as HI
from appliance.speech.languages.kn import LANGUAGE as KN
from appliance.speech.languages.ml import LANGUAGE as ML
from appliance.speech.languages.mr import LANGUAGE as MR
from appliance.speech.languages.pa import LANGUAGE as PA
from appliance.speech.languages.ta import LANGUAGE as TA
from appliance.speech.languages.te import LANGUAGE as TE

LANGUAGES: dict[str, Language] = {
    language.code: language for language in (BN, EN, GU, HI, KN, ML, MR, PA, TA, TE)
}


def language_of(code: str) -> Language | None:
    """The tables of a language; None when there are none."""
    return LANGUAGES.get(primary(code))
