"""Number words of every language that callers speak, written in any script, -> what they stand for.

The words 0-99 and the scales are those of the voices (``speech.languages``); English ones also as
they are written in Indic scripts, and Hindi ones in Latin letters, since that is what callers mix and
recognisers write. Here stand only the spellings that those tables lack.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

from appliance.languages import primary
from appliance.safety.tokens import fold
from appliance.speech.language import Language, Script
from appliance.speech.languages import LANGUAGES, en
from appliance.speech.latin import spelt


class Kind(Enum):
    """What a number word does in a number."""

    SMALL = auto()
    """0-99: its digits."""
    HUNDREDS = auto()
    """100-900 in one word."""
    HUNDRED = auto()
    """Multiplies what stands before it by 100."""
    THOUSAND = auto()
    BIG = auto()
    """Lakh and more: what is counted, never dictated."""
    REPEAT = auto()
    """double, triple: the digit after it so many times."""


class Trust(Enum):
    """How sure it is that the word is a number."""

    SURE = auto()
    ROMAN_SURE = auto()
    """Hindi or another language in Latin letters, no English word."""
    ROMAN = auto()
    """The same, but an English word too ("do", "char"): one of a row of them, or nothing."""
    HOMOPHONE = auto()
    """An English word that a recogniser writes for a digit ("to", "for")."""


@dataclass(frozen=True, slots=True)
class NumberWord:
    """One word's part in a number."""

    kind: Kind
    value: int
    trust: Trust = Trust.SURE


_MORE_SPELLINGS = {
    "en": "oh=0 o=0 nil=0 nought=0 naught=0 niner=9 fourty=40 fivety=50 ninty=90 fourtyfour=44",
    "hi": "जीरो=0 ज़ीरो=0 जिरो=0 सिफर=0 छः=6 छे=6 छै=6 छ=6 नो=9 पांच=5 इक=1 दुई=2 अठारह=18 उन्नीस=19 "
    "सतरह=17 पन्द्रह=15 अट्ठाइस=28 उन्तीस=29 सेंतीस=37 चवालीस=44 सैतालीस=47 उन्चास=49 तिरपन=53 "
    "छयासठ=66 उनासी=79 सतासी=87 निन्नानवे=99 निन्यानबे=99 नवासी=89 पिचासी=85 पच्चासी=85 छप्पन=56",
    "mr": "जीरो=0 झिरो=0 झीरो=0 पाच=5 सहा=6 नउ=9",
    "gu": "ઝીરો=0 જીરો=0 મીંડું=0 છ=6 છો=6",
    "bn": "জিরো=0 এক=1 দু=2 ছ=6 ন=9 নই=9 সাত=7",
    "ta": "ஜீரோ=0 சைபர்=0 பூஜ்யம்=0 ஒண்ணு=1 ஒன்னு=1 ஒரு=1 ரெண்டு=2 மூணு=3 மூனு=3 நாலு=4 அஞ்சு=5 "
    "ஒம்பது=9 ஒன்பது=9 எளு=7",
    "te": "జీరో=0 సున్న=0 ఒక్కటి=1 రెండూ=2 నాల్గు=4 నాలుగూ=4 అయిదు=5 అయిదూ=5 ఎనిమిదీ=8 తొమ్మిదీ=9",
    "kn": "ಜೀರೋ=0 ಝೀರೋ=0 ಸೊನ್ನೆ=0 ಒಂದ್=1 ಎರಡ್=2 ಮೂರ್=3 ನಾಕು=4 ಐದ್=5 ಆರ್=6 ಏಳ್=7 ಎಂಟ್=8",
    "ml": "സീറോ=0 ഒന്നു=1 രണ്ടു=2 മൂന്നു=3 നാലു=4 ആറു=6 എട്ട്=8 എട്ടു=8 ഒൻപത്=9 ഒമ്പതു=9",
    "pa": "ਜ਼ੀਰੋ=0 ਜੀਰੋ=0 ਇਕ=1 ਤਿਨ=3 ਪੰਜ=5 ਛੇ=6 ਸਤ=7 ਅਠ=8 ਨੌ=9",
}
_ENGLISH_HEARD = {
    # English digits as recognisers write them in each script, beside the general transliteration
    Script.DEVANAGARI: "वन=1 टू=2 थ्री=3 फोर=4 फ़ोर=4 फाइव=5 फाईव=5 सिक्स=6 सेवन=7 सेवेन=7 एट=8 ऐट=8 नाइन=9 "
    "नाईन=9 ओ=0 टेन=10 इलेवन=11 ट्वेल्व=12 थर्टीन=13 फोर्टीन=14 फिफ्टीन=15 सिक्स्टीन=16 सेवनटीन=17 एटीन=18 "
    "नाइनटीन=19 ट्वेंटी=20 थर्टी=30 फोर्टी=40 फिफ्टी=50 सिक्सटी=60 सेवेंटी=70 सेवंटी=70 एटी=80 नाइंटी=90 नाइन्टी=90",
    Script.BENGALI: "ওয়ান=1 টু=2 থ্রি=3 ফোর=4 ফাইভ=5 সিক্স=6 সেভেন=7 এইট=8 নাইন=9 জিরো=0",
    Script.TAMIL: "ஒன்=1 வன்=1 டூ=2 டு=2 த்ரீ=3 திரி=3 ஃபோர்=4 போர்=4 ஃபைவ்=5 பைவ்=5 சிக்ஸ்=6 செவன்=7 எயிட்=8 "
    "எய்ட்=8 நைன்=9 ஜீரோ=0",
    Script.TELUGU: "వన్=1 టూ=2 టు=2 త్రీ=3 థ్రీ=3 ఫోర్=4 ఫైవ్=5 సిక్స్=6 సెవెన్=7 సెవన్=7 ఎయిట్=8 ఎయిత్=8 నైన్=9 జీరో=0",
    Script.KANNADA: "ಒನ್=1 ವನ್=1 ಟೂ=2 ತ್ರೀ=3 ಫೋರ್=4 ಫೈವ್=5 ಸಿಕ್ಸ್=6 ಸೆವೆನ್=7 ಸೆವನ್=7 ಎಯ್ಟ್=8 ಏಟ್=8 ನೈನ್=9",
    Script.MALAYALAM: "വൺ=1 വൺ=1 ടൂ=2 ത്രീ=3 ഫോർ=4 ഫൈവ്=5 സിക്സ്=6 സെവൻ=7 എയ്റ്റ്=8 എട്ട്=8 നയൻ=9 നൈൻ=9",
    Script.GUJARATI: "વન=1 ટુ=2 ટૂ=2 થ્રી=3 ફોર=4 ફાઇવ=5 ફાઈવ=5 સિક્સ=6 સેવન=7 એઇટ=8 એટ=8 નાઇન=9 નાઈન=9",
    Script.GURMUKHI: "ਵਨ=1 ਟੂ=2 ਥ੍ਰੀ=3 ਫੋਰ=4 ਫਾਈਵ=5 ਸਿਕਸ=6 ਸੈਵਨ=7 ਏਟ=8 ਅੱਠ=8 ਨਾਈਨ=9",
}
_REPEATS = {
    2: "double dabal dubble डबल दोहरा ডাবল டபுள் டபிள் డబుల్ ಡಬಲ್ ഡബിൾ ഡബിള് ડબલ ਡਬਲ",
    3: "triple treble tripple trippel ट्रिपल तिहरा ট্রিপল டிரிபிள் ட்ரிபிள் ట్రిపుల్ "
    "ట్రిపల్ ಟ್ರಿಪಲ್ ട്രിപ്പിൾ ટ્રિપલ ਟ੍ਰਿਪਲ",
    4: "quadruple",
}
_ROMAN_SURE = (
    # Hindi in Latin letters; where the word is English too it stands in _ROMAN
    "ek=1 chaar=4 paanch=5 panch=5 chhe=6 chhah=6 cheh=6 chhai=6 chey=6 saat=7 aath=8 nau=9 "
    "shunya=0 shoonya=0 sifar=0 zeero=0 jiro=0 jeero=0 gyarah=11 gyara=11 barah=12 baarah=12 "
    "terah=13 chaudah=14 choudah=14 pandrah=15 pandra=15 solah=16 satrah=17 satra=17 atharah=18 "
    "athara=18 unnis=19 unnees=19 bees=20 ikkis=21 ikkees=21 bais=22 baees=22 teis=23 teyis=23 "
    "chaubis=24 pachis=25 pachees=25 chabbis=26 sattais=27 atthais=28 athais=28 untis=29 "
    "unattis=29 tees=30 ikattis=31 iktis=31 battis=32 taintis=33 tentis=33 chauntis=34 "
    "paintis=35 chhattis=36 chattis=36 saintis=37 adtis=38 artis=38 untalis=39 chalis=40 "
    "chaalis=40 iktalis=41 bayalis=42 taintalis=43 chavalis=44 chauvalis=44 paintalis=45 "
    "chhiyalis=46 saintalis=47 adtalis=48 artalis=48 unchas=49 pachas=50 pachaas=50 ikyavan=51 "
    "bavan=52 tirpan=53 chauvan=54 pachpan=55 chhappan=56 chappan=56 sattavan=57 atthavan=58 "
    "unsath=59 iksath=61 basath=62 tirsath=63 chausath=64 painsath=65 chhiyasath=66 sadsath=67 "
    "adsath=68 unhattar=69 sattar=70 ikhattar=71 bahattar=72 tihattar=73 chauhattar=74 "
    "pachhattar=75 pachattar=75 chhihattar=76 satattar=77 sathattar=77 athattar=78 unasi=79 "
    "assi=80 ikyasi=81 bayasi=82 tirasi=83 chaurasi=84 pachasi=85 chhiyasi=86 sattasi=87 "
    "atthasi=88 navasi=89 nabbe=90 ikyanve=91 banve=92 tiranve=93 chauranve=94 pachanve=95 "
    "chhiyanve=96 sattanve=97 atthanve=98 ninyanve=99 "
    # and the digits of other languages
    "onnu=1 rendu=2 moonu=3 naalu=4 anju=5 aaru=6 ezhu=7 ettu=8 onbadhu=9 onbathu=9 ombodhu=9 "
    "poojyam=0 okati=1 moodu=3 mudu=3 nalugu=4 naalugu=4 aidu=5 edu=7 enimidi=8 tommidi=9 sunna=0 "
    "shunno=0 shunyo=0 dui=2 chhoy=6 choy=6 shaat=7 noy=9 ondu=1 eradu=2 mooru=3 nalku=4 "
    "naalku=4 elu=7 entu=8 ombattu=9 sonne=0"
)
_ROMAN = "do=2 teen=3 tin=3 char=4 che=6 sat=7 ath=8 das=10 tera=13 bis=20 tis=30 sath=60 at=8 be=2"
_HOMOPHONES = "to=2 too=2 for=4 fore=4 ate=8 won=1 tree=3 sex=6 sicks=6 fife=5 nein=9 want=1"
_HUNDRED = "hundred hundreds sau सौ शे শো শত ਸੌ"
_THOUSAND = "thousand hazaar hazar hajar hajaar हजार हज़ार"
_BIG = "lakh lakhs lac lacs crore crores million billion karod लाख करोड़ करोड লাখ লক্ষ কোটি"


@lru_cache(16)
def number_words(language: str) -> dict[str, NumberWord]:
    """Fold of a word -> what it means in a number, for a caller of ``language`` (BCP 47).

    All scripts at once: they do not meet. Of the two languages in Devanagari it is Marathi's words
    for ``mr`` and Hindi's for all others.
    """
    code = primary(language)
    found: dict[str, NumberWord] = {}
    left_out = "hi" if code == "mr" else "mr"
    for name, tables in LANGUAGES.items():
        if name != left_out:
            _add_tables(found, tables)
    for name, pairs in _MORE_SPELLINGS.items():
        if name != left_out:
            _add_pairs(found, pairs)
    for pairs in _ENGLISH_HEARD.values():
        _add_pairs(found, pairs, replace=False)
    for times, words in _REPEATS.items():
        for word in words.split():
            found[fold(word)] = NumberWord(Kind.REPEAT, times)
    for words, kind, value in (
        (_HUNDRED, Kind.HUNDRED, 100),
        (_THOUSAND, Kind.THOUSAND, 1000),
        (_BIG, Kind.BIG, 100_000),
    ):
        for word in words.split():
            found.setdefault(fold(word), NumberWord(kind, value))
    _add_roman(found)
    found["o"] = found["oh"] = NumberWord(Kind.SMALL, 0, Trust.HOMOPHONE)
    return found


def _add_tables(found: dict[str, NumberWord], language: Language) -> None:
    numbers = language.numbers
    for value, said in enumerate(numbers.below_hundred):
        first, _, second = said.replace("-", " ").partition(" ")
        if not second:
            found.setdefault(fold(said), NumberWord(Kind.SMALL, value))
        else:  # twenty-one, இருபத்து ஒன்று: the first word is the tens
            found.setdefault(fold(first), NumberWord(Kind.SMALL, value // 10 * 10))
    for count, said in [*enumerate(numbers.hundreds), *enumerate(numbers.hundreds_before)]:
        if not count:
            continue
        words = said.split()
        if len(words) > 1:
            found.setdefault(fold(words[-1]), NumberWord(Kind.HUNDRED, 100))
        else:
            found.setdefault(fold(said), NumberWord(Kind.HUNDREDS, count * 100))
    for scale in numbers.scales:
        kind = Kind.THOUSAND if scale.value == 1000 else Kind.BIG
        for said in (scale.one, scale.many, scale.one_before, scale.many_before):
            word = said.replace("{}", " ").split()[-1] if said else ""
            if word:
                found.setdefault(fold(word), NumberWord(kind, scale.value))
    if language.script is not Script.LATIN:
        for value, word in enumerate(en.LANGUAGE.numbers.below_hundred):
            if value <= 20 or value % 10 == 0:
                heard = fold(spelt(word, language))
                found.setdefault(heard, NumberWord(Kind.SMALL, value))


def _add_pairs(
    found: dict[str, NumberWord],
    pairs: str,
    trust: Trust = Trust.SURE,
    *,
    replace: bool = True,
) -> None:
    for pair in pairs.split():
        word, value = pair.split("=")
        key = fold(word)
        if replace or key not in found:
            found[key] = NumberWord(Kind.SMALL, int(value), trust)


def _add_roman(found: dict[str, NumberWord]) -> None:
    _add_pairs(found, _ROMAN_SURE, Trust.ROMAN_SURE, replace=False)
    for pairs, trust in ((_ROMAN, Trust.ROMAN), (_HOMOPHONES, Trust.HOMOPHONE)):
        _add_pairs(found, pairs, trust)
