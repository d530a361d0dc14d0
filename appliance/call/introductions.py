"""How callers say who they are, language by language: words only, for whoever speaks it to correct.

Recognisers write no punctuation and no capitals, so a name is what stands between known words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Introductions:
    """What stands around a name; all in lower case."""

    before: tuple[str, ...]
    """"my name is": the name follows."""
    before_if: tuple[str, ...] = ()
    """"this is": the name follows only if one of ``after`` follows it."""
    after: tuple[str, ...] = ()
    """What ends such a sentence: "speaking", "calling"."""
    no_name: frozenset[str] = frozenset()
    """Words that no name holds: they end it, and where they come first there is none."""


_EN_NO_NAME = (
    "not a an the my your his her our their its it's this that these those there here and but or so "
    "i i'm im we you he she it they is are was were be been am do does did has have had will would "
    "can could should may please thanks thank sir madam hello hi from with about for to of on in at "
    "by as if when where why who what which how calling speaking regarding because wrong right "
    "correct spelled spelt missing changed different already also just only still now again no yes "
    "okay ok urgent important what's that's first second third last very really going trying"
)

INTRODUCTIONS: Mapping[str, Introductions] = {
    "en": Introductions(
        before=(
            "my name is", "my name's", "my full name is", "my good name is", "my first name is",
            "name is", "you can call me", "please call me",
        ),
        before_if=("this is", "i am", "i'm", "it's", "it is"),
        after=("speaking", "calling"),
        no_name=frozenset(_EN_NO_NAME.split()),
    ),
    "hi": Introductions(
        before=("मेरा नाम", "मेरा पूरा नाम", "mera naam", "mera nam", "मेरा शुभ नाम"),
        before_if=("मैं", "main", "mai"),
        after=("बोल", "बात", "bol", "baat"),
        no_name=frozenset(
            "है हैं हूँ हूं और तो मैं मुझे मेरा मेरी मेरे आप आपका नहीं क्या जी यह ये वो को का की के से में पर "
            "hai hoon hun aur to main mujhe mera meri aap nahi nahin kya ji".split()
        ),
    ),
    "mr": Introductions(
        before=("माझे नाव", "माझं नाव", "माझ नाव"),
        before_if=("मी",),
        after=("बोलतोय", "बोलते", "बोलत", "बोलतो", "बोलतेय"),
        no_name=frozenset("आहे आहेत आणि मी मला माझे माझी माझा नाही काय हे हा ही तुम्ही".split()),
    ),
    "bn": Introductions(
        before=("আমার নাম", "আমার নামটা"),
        before_if=("আমি",),
        after=("বলছি", "কথা", "বলছিলাম"),
        no_name=frozenset("হল হলো হচ্ছে আর এবং আমি আমার আমাকে না কি এটা আপনি আপনার ও".split()),
    ),
    "gu": Introductions(
        before=("મારું નામ", "મારુ નામ", "મારૂં નામ"),
        before_if=("હું",),
        after=("બોલું", "બોલુ", "વાત"),
        no_name=frozenset("છે અને હું મને મારું મારી મારો નથી શું આ તમે છું".split()),
    ),
    "pa": Introductions(
        before=("ਮੇਰਾ ਨਾਮ", "ਮੇਰਾ ਨਾਂ", "ਮੇਰਾ ਨਾਂਅ"),
        before_if=("ਮੈਂ",),
        after=("ਬੋਲ", "ਗੱਲ"),
        no_name=frozenset("ਹੈ ਹਾਂ ਤੇ ਅਤੇ ਮੈਂ ਮੈਨੂੰ ਮੇਰਾ ਮੇਰੀ ਮੇਰੇ ਨਹੀਂ ਕੀ ਜੀ ਇਹ ਤੁਸੀਂ".split()),
    ),
    "ta": Introductions(
        before=("என் பெயர்", "என்னுடைய பெயர்", "எனது பெயர்", "என் பேர்", "என்னோட பேர்"),
        before_if=("நான்",),
        after=("பேசுகிறேன்", "பேசறேன்", "பேசுறேன்", "அழைக்கிறேன்"),
        no_name=frozenset("ஆகும் மற்றும் நான் எனக்கு என் என்ன இல்லை இது அது நீங்கள்".split()),
    ),
    "te": Introductions(
        before=("నా పేరు", "నాపేరు"),
        before_if=("నేను",),
        after=("మాట్లాడుతున్నాను", "మాట్లాడుతున్నా", "కాల్"),
        no_name=frozenset("అండి మరియు నేను నాకు నా కాదు ఏమిటి ఇది అది మీరు లేదు".split()),
    ),
    "kn": Introductions(
        before=("ನನ್ನ ಹೆಸರು",),
        before_if=("ನಾನು",),
        after=("ಮಾತನಾಡುತ್ತಿದ್ದೇನೆ", "ಮಾತಾಡ್ತಿದ್ದೀನಿ", "ಮಾತಾಡುತ್ತಿದ್ದೇನೆ"),
        no_name=frozenset("ಆಗಿದೆ ಮತ್ತು ನಾನು ನನಗೆ ನನ್ನ ಅಲ್ಲ ಏನು ಇದು ಅದು ನೀವು ಇಲ್ಲ".split()),
    ),
    "ml": Introductions(
        before=("എന്റെ പേര്", "എൻ്റെ പേര്", "എന്റെ പേര", "എന്‍റെ പേര്"),
        before_if=("ഞാൻ", "ഞാന്‍"),
        after=("സംസാരിക്കുന്നു", "സംസാരിക്കുന്നത്", "വിളിക്കുന്നു", "വിളിക്കുന്നത്"),
        no_name=frozenset("ആണ് എന്നാണ് എന്ന് ഉം ഞാൻ എനിക്ക് എന്റെ അല്ല എന്ത് ഇത് അത് നിങ്ങൾ ഇല്ല".split()),
    ),
}  # fmt: skip
"""By primary subtag (BCP 47). English goes for every language besides its own: callers mix."""
