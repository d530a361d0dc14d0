"""The small words by which a follow-up is known, for each language that the appliance speaks.

Closed classes only (pronouns, connectives, question words, copulas, postpositions): what is in no
list here counts as a word of topic. Urdu, Tamil and the others were written from grammars, without a
native speaker's eye; a word that is missing makes a follow-up pass as it was said, no worse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from appliance.languages import primary


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


@dataclass(frozen=True, eq=False)
class SmallWords:
    """One language's closed classes, folded."""

    refers: frozenset[str]
    """Pronouns and demonstratives that stand for what was said before."""
    joins: frozenset[str]
    """What opens a follow-up: and, but, or, no …"""
    about: frozenset[str]
    """Phrases that ask the same of something else: ``what about``; words joined by a space."""
    also: frozenset[str]
    asks: frozenset[str]
    """Question words."""
    verbs: frozenset[str]
    """Copulas, auxiliaries and subject pronouns: with one of these it is a sentence."""
    others: frozenset[str]
    """Prepositions, articles, politeness, fillers."""
    agrees: frozenset[str]
    """An offer is taken with nothing but these (and ``others``)."""
    places_it: frozenset[str] = frozenset()
    """Prepositions (postpositions): "on Sundays" is no sentence."""
    owns: frozenset[str] = frozenset()
    """What a noun follows that the speaker brings up: my, the, मेरा …"""
    addresses: frozenset[str] = frozenset()
    """The one spoken to: "who are you" is no follow-up."""
    stand_ins: frozenset[str] = frozenset()
    """What stands for a noun just said: the second *one*, दूसरा *वाला*."""
    places: Mapping[str, int] = field(default_factory=dict)
    """Ordinals and the place in a list that they mean; -1: the last."""

    @cached_property
    def small(self) -> frozenset[str]:
        """Every word that carries no topic."""
        return (
            self.refers | self.joins | self.also | self.asks | self.verbs | self.others
            | self.agrees | self.owns | self.addresses | self.stand_ins
        )  # fmt: skip


_EN = SmallWords(
    refers=_set("it its it's that that's this these those they they're them their theirs there"),
    joins=_set("and or but also then so no not nope"),
    about=frozenset(
        {"what about", "how about", "same for", "i mean", "i meant", "what of", "only for"}
    ),
    also=_set("also too either instead"),
    asks=_set("what when where which who whom whose why how much many long far often soon else"),
    verbs=_set(
        "am is are was were be been being do does did done can could will would shall should may"
        " might must have has had i we he she i'm i'd i'll i've we're what's how's where's when's"
        " isn't aren't don't doesn't didn't can't won't need want get got give tell know let say"
        " said happen happens take takes go goes come comes make makes"
    ),
    others=_set(
        "a an the of on in at for with by from to until till after before during without per as if"
        " into onto about than while because my our your me us any some all just only really please"
        " thanks thank hello hi hey ok okay well actually sorry oh right alright now uh um er again"
        " more anything something everything possible not no very ever still yet up out"
    ),
    agrees=_set(
        "yes yeah yep yup sure ok okay please certainly absolutely definitely do go ahead right"
        " alright fine exactly correct that would be good great nice i'd like"
    ),
    places_it=_set("on in at for with by from to until till after before during without per if"),
    owns=_set("the a an my our your this these those"),
    addresses=_set("you your yourself you're"),
    stand_ins=_set("one ones"),
    places={"first": 0, "second": 1, "third": 2, "fourth": 3, "last": -1},
)

_HI = SmallWords(
    refers=_set(
        "यह ये वह वो वे इस उस इसे उसे इसको उसको इसका इसकी इसके उसका उसकी उसके इनका इनकी इनके उनका"
        " उनकी उनके इनको उनको इसमें उसमें इनमें उनमें इससे उससे इसपर उसपर वही यही वहाँ वहां ऐसा"
    ),
    joins=_set("और या लेकिन मगर पर तो फिर नहीं अच्छा"),
    about=frozenset({"के बारे में", "का क्या", "की क्या", "के लिए क्या"}),
    also=_set("भी"),
    asks=_set("क्या कब कहाँ कहां कौन कौनसा कौनसी कौन-सा किस किसे किसका क्यों कैसे कितना कितनी कितने"),
    verbs=_set(
        "है हैं हूँ हूं हो था थी थे होगा होगी होंगे होता होती होते सकता सकती सकते चाहिए करना करूँ करूं"
        " करें करते करता करती करनी लगेगा लगेगी लगता लगती लगेंगे मिलेगा मिलेगी मिलता मिलती मैं मुझे हम हमें रहा"
        " रही रहे गया गई जाता जाती जाएगा"
    ),
    others=_set(
        "का की के को में से पर तक ने लिए साथ बारे वाला वाली वाले ही जी कृपया धन्यवाद नमस्ते ठीक बस अब"
        " मेरा मेरी मेरे हमारा हमारी हमारे एक कुछ कोई बताइए बताओ बताएं बताएँ दीजिए दो हाँ हां"
    ),
    agrees=_set("हाँ हां जी ठीक है बिल्कुल जरूर ज़रूर बताइए बताओ बताएं बताएँ दीजिए सही"),
    places_it=_set("को में से पर तक लिए साथ"),
    owns=_set("मेरा मेरी मेरे हमारा हमारी हमारे"),
    addresses=_set("आप आपका आपकी आपके आपको तुम"),
    stand_ins=_set("वाला वाली वाले"),
    places={"पहला": 0, "पहली": 0, "पहले": 0, "दूसरा": 1, "दूसरी": 1, "दूसरे": 1, "तीसरा": 2,
            "तीसरी": 2, "तीसरे": 2, "आखिरी": -1, "आख़िरी": -1},
)  # fmt: skip

_MR = SmallWords(
    refers=_set("तो ती ते त्या तो त्याचा त्याची त्याचे तिचा तिची तिचे त्यांचा त्यांची त्यांचे त्याला तिला त्यात हा ही हे"
                " याचा याची याचे याला यात तिथे"),
    joins=_set("आणि पण किंवा मग नाही आणखी"),
    about=frozenset({"बद्दल काय", "चं काय", "चे काय", "विषयी"}),
    also=_set("पण सुद्धा देखील"),
    asks=_set("काय कधी कुठे कोण कोणता कोणती कोणते का कसे कसा कशी किती"),
    verbs=_set("आहे आहेत होते होता होती असेल असतो असते करू करता येईल लागेल लागतो लागतात मिळेल मला आम्हाला मी"
               " पाहिजे शकतो शकते"),
    others=_set("साठी मध्ये वर पासून पर्यंत कृपया धन्यवाद नमस्कार ठीक बद्दल सांगा माझा माझी माझे आमचा एक"),
    agrees=_set("हो होय ठीक आहे बरं सांगा नक्की"),
    owns=_set("माझा माझी माझे आमचा आमची आमचे"),
    addresses=_set("तुम्ही तुमचा तुमची तुमचे तुम्हाला"),
    places={"पहिला": 0, "पहिली": 0, "दुसरा": 1, "दुसरी": 1, "तिसरा": 2, "शेवटचा": -1},
)  # fmt: skip

_BN = SmallWords(
    refers=_set("এটা এটি এটার এর ওটা ওটার ওর সেটা সেটি সেটার তার তাদের সেগুলো এগুলো এতে ওতে সেখানে এই ওই সেই"),
    joins=_set("আর এবং কিন্তু বা তাহলে না"),
    about=frozenset({"সম্পর্কে", "কী হবে", "ব্যাপারে"}),
    also=_set("ও"),
    asks=_set("কী কি কখন কবে কোথায় কে কোন কোনটা কেন কীভাবে কিভাবে কেমন কত কতটা কতক্ষণ কতদিন"),
    verbs=_set("আছে হয় হবে ছিল লাগবে লাগে পারি পারব করব করতে করি চাই দরকার আমি আমরা আমাকে পাব"),
    others=_set("জন্য মধ্যে থেকে পর্যন্ত সঙ্গে সাথে দয়া করে ধন্যবাদ নমস্কার ঠিক বলুন একটা একটি আমার আমাদের"),
    agrees=_set("হ্যাঁ হাঁ ঠিক আছে বলুন অবশ্যই আচ্ছা"),
    owns=_set("আমার আমাদের"),
    addresses=_set("আপনি আপনার আপনারা আপনাদের তুমি"),
    places={"প্রথম": 0, "প্রথমটা": 0, "দ্বিতীয়": 1, "দ্বিতীয়টা": 1, "তৃতীয়": 2, "শেষ": -1, "শেষেরটা": -1},
)  # fmt: skip

_TA = SmallWords(
    refers=_set("அது இது அதன் இதன் அதை இதை அதற்கு இதற்கு அதில் இதில் அவை இவை அவற்றை அந்த இந்த அதுக்கு அங்கே அங்கு"),
    joins=_set("மற்றும் ஆனால் அல்லது அப்புறம் சரி இல்லை அப்போ"),
    about=frozenset({"பற்றி", "பத்தி", "எப்படி"}),
    also=_set("கூட"),
    asks=_set("என்ன எப்போது எப்போ எங்கே எங்கு யார் எது எந்த ஏன் எப்படி எவ்வளவு எத்தனை"),
    verbs=_set("இருக்கிறது இருக்கு உள்ளது ஆகும் வேண்டும் முடியும் முடியுமா உண்டா நான் எனக்கு நாங்கள் செய்வது"),
    others=_set("தயவுசெய்து நன்றி வணக்கம் சொல்லுங்கள் ஒரு என் எனது எங்கள் வரை"),
    agrees=_set("ஆம் ஆமாம் சரி சொல்லுங்கள் கண்டிப்பாக"),
    owns=_set("என் எனது எங்கள்"),
    addresses=_set("நீங்கள் உங்கள் உங்களுக்கு நீ"),
    places={"முதல்": 0, "முதலாவது": 0, "இரண்டாவது": 1, "மூன்றாவது": 2, "கடைசி": -1},
)  # fmt: skip

_TE = SmallWords(
    refers=_set("అది ఇది దాని దీని దానికి దీనికి దాన్ని దీన్ని అందులో ఇందులో అవి ఇవి వాటి ఆ ఈ అక్కడ"),
    joins=_set("మరి మరియు కానీ లేదా అయితే కాదు ఇంకా"),
    about=frozenset({"గురించి", "సంగతి"}),
    also=_set("కూడా"),
    asks=_set("ఏమిటి ఏంటి ఎప్పుడు ఎక్కడ ఎవరు ఏది ఏ ఎందుకు ఎలా ఎంత ఎన్ని"),
    verbs=_set("ఉంది ఉంటుంది ఉన్నాయి అవుతుంది కావాలి చేయాలి వచ్చు నేను నాకు మేము పడుతుంది"),
    others=_set("దయచేసి ధన్యవాదాలు నమస్కారం చెప్పండి ఒక నా మా వరకు కోసం"),
    agrees=_set("అవును సరే చెప్పండి తప్పకుండా"),
    owns=_set("నా మా"),
    addresses=_set("మీరు మీ మీకు నువ్వు"),
    places={"మొదటి": 0, "మొదటిది": 0, "రెండవ": 1, "రెండోది": 1, "మూడవ": 2, "చివరి": -1, "చివరిది": -1},
)  # fmt: skip

_GU = SmallWords(
    refers=_set("તે એ આ તેનો તેની તેનું તેના એનો એની એનું એના આનો આની આનું તેને એને તેમાં એમાં તેઓ ત્યાં"),
    joins=_set("અને પણ કે અથવા તો ના પછી"),
    about=frozenset({"વિશે", "નું શું", "નો શું"}),
    also=_set("પણ"),
    asks=_set("શું ક્યારે ક્યાં કોણ કયો કઈ કયું કેમ કેવી કેવો કેવું કેટલો કેટલી કેટલું કેટલા"),
    verbs=_set("છે હતું હતો હશે થાય થશે લાગશે લાગે જોઈએ શકું શકો કરવું હું મને અમે મળશે"),
    others=_set("માટે માં થી સુધી સાથે કૃપા કરીને આભાર નમસ્તે કહો જણાવો એક મારો મારી મારું અમારો"),
    agrees=_set("હા જી ઠીક બરાબર કહો જણાવો ચોક્કસ"),
    owns=_set("મારો મારી મારું મારા અમારો"),
    addresses=_set("તમે તમારો તમારી તમારું તમને"),
    places={"પહેલો": 0, "પહેલું": 0, "પહેલી": 0, "બીજો": 1, "બીજું": 1, "બીજી": 1, "ત્રીજો": 2, "છેલ્લો": -1},
)  # fmt: skip

_KN = SmallWords(
    refers=_set("ಅದು ಇದು ಅದರ ಇದರ ಅದಕ್ಕೆ ಇದಕ್ಕೆ ಅದನ್ನು ಇದನ್ನು ಅದರಲ್ಲಿ ಇದರಲ್ಲಿ ಅವು ಇವು ಆ ಈ ಅಲ್ಲಿ"),
    joins=_set("ಮತ್ತು ಆದರೆ ಅಥವಾ ಹಾಗಾದರೆ ಇಲ್ಲ ಮತ್ತೆ"),
    about=frozenset({"ಬಗ್ಗೆ", "ಕಥೆ ಏನು"}),
    also=_set("ಕೂಡ ಸಹ"),
    asks=_set("ಏನು ಯಾವಾಗ ಎಲ್ಲಿ ಯಾರು ಯಾವುದು ಯಾವ ಏಕೆ ಯಾಕೆ ಹೇಗೆ ಎಷ್ಟು"),
    verbs=_set("ಇದೆ ಇರುತ್ತದೆ ಆಗುತ್ತದೆ ಬೇಕು ಮಾಡಬೇಕು ಬಹುದು ನಾನು ನನಗೆ ನಾವು ಸಿಗುತ್ತದೆ"),
    others=_set("ದಯವಿಟ್ಟು ಧನ್ಯವಾದ ನಮಸ್ಕಾರ ಹೇಳಿ ಒಂದು ನನ್ನ ನಮ್ಮ ವರೆಗೆ"),
    agrees=_set("ಹೌದು ಸರಿ ಹೇಳಿ ಖಂಡಿತ"),
    owns=_set("ನನ್ನ ನಮ್ಮ"),
    addresses=_set("ನೀವು ನಿಮ್ಮ ನಿಮಗೆ"),
    places={"ಮೊದಲ": 0, "ಮೊದಲನೆಯದು": 0, "ಎರಡನೇ": 1, "ಎರಡನೆಯದು": 1, "ಮೂರನೇ": 2, "ಕೊನೆಯ": -1, "ಕೊನೆಯದು": -1},
)  # fmt: skip

_ML = SmallWords(
    refers=_set("അത് ഇത് അതിന്റെ ഇതിന്റെ അതിന് ഇതിന് അതിനെ ഇതിനെ അതിൽ ഇതിൽ അവ ഇവ ആ ഈ അവിടെ"),
    joins=_set("പിന്നെ കൂടാതെ പക്ഷേ അല്ലെങ്കിൽ എങ്കിൽ അല്ല"),
    about=frozenset({"കുറിച്ച്", "കാര്യം എന്താണ്", "കാര്യമോ"}),
    also=_set("കൂടി"),
    asks=_set("എന്ത് എന്താണ് എപ്പോൾ എവിടെ ആര് ഏത് ഏതാണ് എന്തുകൊണ്ട് എങ്ങനെ എത്ര എത്രയാണ്"),
    verbs=_set("ആണ് ഉണ്ട് ഉണ്ടോ ആകും വേണം വേണോ പറ്റും പറ്റുമോ ഞാൻ എനിക്ക് ഞങ്ങൾ ചെയ്യണം"),
    others=_set("ദയവായി നന്ദി നമസ്കാരം പറയൂ ഒരു എന്റെ ഞങ്ങളുടെ വരെ"),
    agrees=_set("അതെ ശരി പറയൂ തീർച്ചയായും ഉവ്വ്"),
    owns=_set("എന്റെ ഞങ്ങളുടെ"),
    addresses=_set("നിങ്ങൾ നിങ്ങളുടെ നിങ്ങൾക്ക്"),
    places={"ആദ്യത്തെ": 0, "ആദ്യത്തേത്": 0, "രണ്ടാമത്തെ": 1, "രണ്ടാമത്തേത്": 1, "മൂന്നാമത്തെ": 2,
            "അവസാനത്തെ": -1, "അവസാനത്തേത്": -1},
)  # fmt: skip

_PA = SmallWords(
    refers=_set("ਇਹ ਉਹ ਇਸ ਉਸ ਇਸਦਾ ਇਸਦੀ ਇਸਦੇ ਉਸਦਾ ਉਸਦੀ ਉਸਦੇ ਇਸਨੂੰ ਉਸਨੂੰ ਇਹਨਾਂ ਉਹਨਾਂ ਉੱਥੇ"),
    joins=_set("ਅਤੇ ਤੇ ਜਾਂ ਪਰ ਤਾਂ ਫਿਰ ਨਹੀਂ ਹੋਰ"),
    about=frozenset({"ਬਾਰੇ", "ਦਾ ਕੀ", "ਦੀ ਕੀ"}),
    also=_set("ਵੀ"),
    asks=_set("ਕੀ ਕਦੋਂ ਕਿੱਥੇ ਕੌਣ ਕਿਹੜਾ ਕਿਹੜੀ ਕਿਉਂ ਕਿਵੇਂ ਕਿੰਨਾ ਕਿੰਨੀ ਕਿੰਨੇ"),
    verbs=_set("ਹੈ ਹਨ ਸੀ ਹੋਵੇਗਾ ਹੋਵੇਗੀ ਲੱਗੇਗਾ ਲੱਗਦਾ ਸਕਦਾ ਸਕਦੀ ਚਾਹੀਦਾ ਕਰਾਂ ਮੈਂ ਮੈਨੂੰ ਅਸੀਂ ਮਿਲੇਗਾ"),
    others=_set("ਦਾ ਦੀ ਦੇ ਨੂੰ ਵਿੱਚ ਤੋਂ ਤੱਕ ਲਈ ਨਾਲ ਕਿਰਪਾ ਕਰਕੇ ਧੰਨਵਾਦ ਦੱਸੋ ਇੱਕ ਮੇਰਾ ਮੇਰੀ ਮੇਰੇ ਜੀ ਠੀਕ"),
    agrees=_set("ਹਾਂ ਜੀ ਠੀਕ ਹੈ ਦੱਸੋ ਜ਼ਰੂਰ ਬਿਲਕੁਲ"),
    places_it=_set("ਨੂੰ ਵਿੱਚ ਤੋਂ ਤੱਕ ਲਈ ਨਾਲ"),
    owns=_set("ਮੇਰਾ ਮੇਰੀ ਮੇਰੇ ਸਾਡਾ"),
    addresses=_set("ਤੁਸੀਂ ਤੁਹਾਡਾ ਤੁਹਾਡੀ ਤੁਹਾਨੂੰ"),
    stand_ins=_set("ਵਾਲਾ ਵਾਲੀ ਵਾਲੇ"),
    places={"ਪਹਿਲਾ": 0, "ਪਹਿਲੀ": 0, "ਦੂਜਾ": 1, "ਦੂਜੀ": 1, "ਤੀਜਾ": 2, "ਆਖਰੀ": -1},
)  # fmt: skip

_UR = SmallWords(
    refers=_set("یہ وہ اس اسے اُس اِس اسکا اسکی ان اُن انہیں اسی وہی یہی وہاں ایسا"),
    joins=_set("اور یا لیکن مگر پر تو پھر نہیں اچھا"),
    about=frozenset({"کے بارے میں", "کا کیا", "کی کیا"}),
    also=_set("بھی"),
    asks=_set("کیا کب کہاں کون کونسا کونسی کس کسے کیوں کیسے کتنا کتنی کتنے"),
    verbs=_set("ہے ہیں ہوں ہو تھا تھی تھے ہوگا ہوگی ہوتا ہوتی سکتا سکتی سکتے چاہیے کرنا کروں کریں لگے"
               " گا گی لگتا ملے ملتا میں مجھے ہم ہمیں"),
    others=_set("کا کی کے کو سے تک نے لئے لیے ساتھ بارے والا والی والے ہی جی براہ کرم شکریہ سلام ٹھیک"
                " بس اب میرا میری میرے ایک کچھ کوئی بتائیں بتائیے"),
    agrees=_set("ہاں جی ٹھیک ہے بالکل ضرور بتائیں بتائیے"),
    places_it=_set("کو سے تک لئے لیے ساتھ پر"),
    owns=_set("میرا میری میرے ہمارا"),
    addresses=_set("آپ آپکا آپکی تم"),
    stand_ins=_set("والا والی والے"),
    places={"پہلا": 0, "پہلی": 0, "دوسرا": 1, "دوسری": 1, "تیسرا": 2, "آخری": -1},
)  # fmt: skip

_LANGUAGES: Mapping[str, SmallWords] = {
    "en": _EN, "hi": _HI, "mr": _MR, "bn": _BN, "ta": _TA, "te": _TE, "gu": _GU, "kn": _KN,
    "ml": _ML, "pa": _PA, "ur": _UR,
}  # fmt: skip


def small_words(language: str) -> SmallWords | None:
    """Those of a language (BCP 47); None for one that is not known here."""
    return _LANGUAGES.get(primary(language))
