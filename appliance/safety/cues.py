"""Words that tell what the digits near them are: a one-time password, an account, a telephone, …"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

from appliance.safety.tokens import Token, fold, tokens


class Cue(Enum):
    """What a cue says of a number."""

    OTP = auto()
    CARD = auto()
    AADHAAR = auto()
    PAN = auto()
    ACCOUNT = auto()
    PHONE = auto()
    CITY = auto()
    """A postal code, which the post too calls a PIN."""
    OTHER = auto()
    """An order, a complaint, an error code: a number, but nobody's secret."""
    UNIT = auto()
    """Behind a number: what it counts."""


_WORDS: dict[Cue, str] = {
    Cue.OTP: (
        "otp|o t p|o.t.p|one time password|one time pass|onetime password|one time code|"
        "passcode|pass code|password|pin|p i n|mpin|m pin|tpin|t pin|upi pin|atm pin|cvv|"
        "c v v|cvc|cvv2|verification code|security code|secret code|confirmation code|"
        "login code|authentication code|access code|code sent|code i got|code i received|"
        "code you got|code you received|code that came|code aaya|secret number|ओटीपी|ओ टी पी|"
        "ओटिपी|पिन|पासवर्ड|पासकोड|सीवीवी|सी वी वी|वन टाइम पासवर्ड|गुप्त कोड|गोपनीय कोड|"
        "सत्यापन कोड|वेरिफिकेशन कोड|कोड आया|यूपीआई पिन|एमपिन|ওটিপি|ও টি পি|পিন|পাসওয়ার্ড|"
        "সিভিভি|যাচাইকরণ কোড|গোপন কোড|ஓடிபி|ஒடிபி|ஓ டி பி|ஒ டி பி|ஓட்டிபி|பின்|பின் நம்பர்|"
        "கடவுச்சொல்|சிவிவி|ரகசிய எண்|பாஸ்வேர்ட்|ఓటీపీ|ఒటిపి|ఓటిపి|ఓ టి పి|ఓ టీ పీ|పిన్|"
        "పాస్‌వర్డ్|పాస్వర్డ్|సీవీవీ|సివివి|రహస్య సంఖ్య|ಒಟಿಪಿ|ಓಟಿಪಿ|ಒ ಟಿ ಪಿ|ಓ ಟಿ ಪಿ|ಪಿನ್|"
        "ಪಾಸ್‌ವರ್ಡ್|ಸಿವಿವಿ|ರಹಸ್ಯ ಸಂಖ್ಯೆ|ഒടിപി|ഒ ടി പി|പിൻ|പാസ്‌വേഡ്|പാസ്വേർഡ്|സിവിവി|"
        "രഹസ്യ നമ്പർ|ઓટીપી|ઓ ટી પી|પિન|પાસવર્ડ|સીવીવી|ਓਟੀਪੀ|ਓ ਟੀ ਪੀ|ਪਿੰਨ|ਪਿਨ|ਪਾਸਵਰਡ|ਸੀਵੀਵੀ"
    ),
    Cue.CARD: (
        "card|card number|credit card|debit card|atm card|rupay|visa|mastercard|कार्ड|"
        "क्रेडिट कार्ड|डेबिट कार्ड|কার্ড|கார்டு|கார்ட்|அட்டை|కార్డు|కార్డ్|ಕಾರ್ಡ್|കാർഡ്|"
        "કાર્ડ|ਕਾਰਡ"
    ),
    Cue.AADHAAR: (
        "aadhaar|aadhar|adhar|adhaar|aadhaar card|aadhar card|adhar card|uid|uidai|u i d|"
        "virtual id|vid|आधार|आधार कार्ड|आधार नंबर|আধার|আধার কার্ড|ஆதார்|ஆதார் கார்டு|"
        "ஆதார் அட்டை|ఆధార్|ఆధార్ కార్డు|ಆಧಾರ್|ಆಧಾರ್ ಕಾರ್ಡ್|ആധാർ|ആധാർ കാർഡ്|આધાર|આધાર કાર્ડ|"
        "ਆਧਾਰ|ਆਧਾਰ ਕਾਰਡ"
    ),
    Cue.PAN: (
        "pan|p a n|pan card|pan number|permanent account number|पैन|पैन कार्ड|পান কার্ড|"
        "প্যান|பான்|பான் கார்டு|పాన్|పాన్ కార్డు|ಪ್ಯಾನ್|ಪಾನ್|പാൻ|પાન કાર્ડ|પેન|ਪੈਨ"
    ),
    Cue.ACCOUNT: (
        "account|account number|account no|a c|acct|acc no|acc number|bank account|"
        "savings account|current account|loan account|ifsc|i f s c|micr|iban|beneficiary|"
        "khata|khate|khaata|khata number|upi|passbook|खाता|खाते|खाता संख्या|खाता नंबर|अकाउंट|"
        "एकाउंट|अकाउंट नंबर|आईएफएससी|बैंक|खाते क्रमांक|खाता क्रमांक|অ্যাকাউন্ট|একাউন্ট|হিসাব|"
        "হিসাব নম্বর|ব্যাঙ্ক|கணக்கு|கணக்கு எண்|அக்கவுண்ட்|வங்கி|ఖాతా|ఖాతా నంబర్|అకౌంట్|"
        "బ్యాంక్|ಖಾತೆ|ಖಾತೆ ಸಂಖ್ಯೆ|ಅಕೌಂಟ್|ಬ್ಯಾಂಕ್|അക്കൗണ്ട്|അക്കൗണ്ട് നമ്പർ|ബാങ്ക്|ખાતું|ખાતા|"
        "ખાતા નંબર|એકાઉન્ટ|બેંક|ਖਾਤਾ|ਖਾਤੇ|ਅਕਾਊਂਟ"
    ),
    Cue.PHONE: (
        "phone|phone number|mobile|mobile number|mobile no|cell|telephone|landline|land line|"
        "whatsapp|contact number|call me|call me on|call me at|reach me|my number|my no|"
        "phone no|contact no|alternate number|registered number|mera number|number mera|fon|"
        "फोन|फ़ोन|मोबाइल|मोबाइल नंबर|फोन नंबर|व्हाट्सएप|मेरा नंबर|मेरे नंबर|संपर्क नंबर|"
        "लैंडलाइन|ফোন|ফোন নম্বর|মোবাইল|মোবাইল নম্বর|আমার নম্বর|போன்|ஃபோன்|மொபைல்|தொலைபேசி|"
        "கைபேசி|என் நம்பர்|போன் நம்பர்|ఫోన్|ఫోన్ నంబర్|మొబైల్|నా నంబర్|నా నెంబర్|సెల్|ಫೋನ್|"
        "ಮೊಬೈಲ್|ನನ್ನ ನಂಬರ್|ഫോൺ|മൊബൈൽ|എന്റെ നമ്പർ|ફોન|મોબાઇલ|મારો નંબર|ਫ਼ੋਨ|ਫੋਨ|ਮੋਬਾਈਲ|"
        "ਮੇਰਾ ਨੰਬਰ|माझा नंबर|फोन क्रमांक|मोबाईल|मोबाईल नंबर"
    ),
    Cue.CITY: (
        "pin code|pincode|postal code|zip|zip code|area pin|पिन कोड|पिनकोड|পিন কোড|পিনকোড|"
        "பின்கோடு|பின் கோடு|அஞ்சல் குறியீடு|పిన్ కోడ్|పిన్‌కోడ్|ಪಿನ್ ಕೋಡ್|ಪಿನ್‌ಕೋಡ್|പിൻ കോഡ്|"
        "പിൻകോഡ്|પિન કોડ|પિનકોડ|ਪਿੰਨ ਕੋਡ|ਪਿਨ ਕੋਡ"
    ),
    Cue.OTHER: (
        "order|order number|order id|order no|complaint|complaint number|complaint id|ticket|"
        "ticket number|docket|docket number|reference|reference number|ref no|ref number|"
        "tracking|tracking number|awb|invoice|invoice number|bill number|bill no|pnr|"
        "booking id|booking number|transaction id|utr|serial number|model number|model|error|"
        "error code|promo code|coupon code|coupon|std code|isd code|country code|area code|"
        "hsn code|version|train|train number|flight|room|platform|plan|plans|recharge|pack|"
        "channel|extension|press|dial|ऑर्डर|ऑर्डर नंबर|शिकायत|शिकायत नंबर|शिकायत संख्या|"
        "संदर्भ संख्या|टिकट|पीएनआर|बिल नंबर|ट्रेन|प्लान|रिचार्ज|এসটিডি কোড|অভিযোগ|অর্ডার|"
        "প্ল্যান|ரிசார்ஜ்|புகார்|புகார் எண்|ஆர்டர்|திட்டம்|ఫిర్యాదు|ఆర్డర్|ప్లాన్|ದೂರು|"
        "ಆರ್ಡರ್|ಪ್ಲಾನ್|പരാതി|ഓർഡർ|പ്ലാൻ|ફરિયાદ|ઓર્ડર|પ્લાન|ਸ਼ਿਕਾਇਤ|ਆਰਡਰ|ਪਲਾਨ"
    ),
    Cue.UNIT: (
        "rupees|rupee|rs|inr|rupaye|rupay|rupaiye|paise|dollars|dollar|percent|per cent|gb|"
        "mb|kb|tb|mbps|gbps|kbps|km|kms|kilometres|kilometers|metres|meters|kg|kilos|minutes|"
        "minute|mins|min|seconds|second|secs|hours|hour|hrs|days|day|weeks|week|months|month|"
        "years|year|am|pm|o'clock|oclock|people|members|times|channels|sms|messages|calls|"
        "units|lakh|lakhs|crore|crores|thousand|minat|ghante|din|mahine|saal|baje|रुपये|रुपए|"
        "रूपये|रूपए|रुपया|रु|पैसे|मिनट|सेकंड|घंटे|घंटा|दिन|महीने|महीना|साल|बजे|प्रतिशत|जीबी|"
        "एमबी|किलोमीटर|बार|लोग|लाख|करोड़|টাকা|টাকার|মিনিট|সেকেন্ড|ঘণ্টা|দিন|মাস|বছর|রুপি|"
        "ரூபாய்|ரூபா|நிமிடம்|நிமிடங்கள்|நாள்|நாட்கள்|மாதம்|மணி|வருடம்|రూపాయలు|రూపాయల|రూపాయి|"
        "నిమిషాలు|రోజులు|నెలలు|గంటలు|సంవత్సరాలు|ರೂಪಾಯಿ|ರೂಪಾಯಿಗಳು|ನಿಮಿಷ|ದಿನ|ತಿಂಗಳು|ಗಂಟೆ|രൂപ|"
        "മിനിറ്റ്|ദിവസം|മാസം|മണിക്കൂർ|રૂપિયા|મિનિટ|દિવસ|મહિના|વાગ્યે|ਰੁਪਏ|ਮਿੰਟ|ਦਿਨ|ਮਹੀਨੇ|"
        "वाजता|दिवस|रुपयांचा"
    ),
}
_AMOUNT_BEFORE = frozenset(
    fold(w) for w in "rs inr rupees usd rupee रुपये रु ₹ ரூ ரூபாய் టాకా টাকা రూ రూపాయలు ರೂ രൂ રૂ ਰੁ".split()
)
_LINKS = frozenset(
    fold(word)
    for word in (
        "is was are as for the my your mine this that it its of number no code here which has been "
        "now s hai mera meri mere aapka aapki ka ki ke yeh ye tha thi naya ghar home office work and "
        "है हैं मेरा मेरी मेरे आपका आपकी का की के यह ये था थी नया नंबर संख्या मला माझा माझे आहे "
        "என் எனது இது தான் ஆகும் என்று எண் நம்பர் నా నాది ఇది అని నంబర్ నెంబర్ আমার হল হলো এটা এই নম্বর "
        "ನನ್ನ ಇದು ಸಂಖ್ಯೆ ನಂಬರ್ എന്റെ ഇത് ആണ് നമ്പർ મારો મારું છે આ નંબર ਮੇਰਾ ਮੇਰੀ ਹੈ ਇਹ ਨੰਬਰ"
    ).split()
)
MOST_BEFORE, MOST_AFTER = 12, 6
"""Words between a cue and its number: "the OTP that I got on my phone just now is 4 5 6 7"."""


@dataclass(frozen=True, slots=True)
class Place:
    """A cue at tokens ``[first, last]``."""

    cue: Cue
    first: int
    last: int


@lru_cache
def _phrases() -> dict[str, list[tuple[tuple[str, ...], Cue]]]:
    """First word -> the phrases that begin with it, the longest first."""
    found: dict[str, list[tuple[tuple[str, ...], Cue]]] = {}
    for cue, words in _WORDS.items():
        for phrase in words.split("|"):
            folded = tuple(t.text for t in tokens(phrase))
            found.setdefault(folded[0], []).append((folded, cue))
    for phrases in found.values():
        phrases.sort(key=lambda entry: -len(entry[0]))
    return found


def find_cues(found: Sequence[Token]) -> list[Place]:
    """Every cue among the tokens; of overlapping ones the longest."""
    phrases = _phrases()
    texts = [token.text for token in found]
    places, at = [], 0
    while at < len(texts):
        for words, cue in phrases.get(texts[at], ()):
            if tuple(texts[at : at + len(words)]) == words:
                places.append(Place(cue, at, at + len(words) - 1))
                at += len(words)
                break
        else:
            at += 1
    return places


def is_link(token: Token) -> bool:
    """Whether the word may stand between a number and the cue behind it ("4567 is my OTP")."""
    return token.text in _LINKS


def is_money(token: Token) -> bool:
    """Whether the word before a number makes it an amount."""
    return token.text in _AMOUNT_BEFORE
