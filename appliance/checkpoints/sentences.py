"""One everyday sentence a language, for the spoken self-test; and how words are compared.

Without digits, abbreviations or names: what is written must be what is said.
"""

from __future__ import annotations

import unicodedata

SENTENCES = {
    "as": "মই আজি ঘৰলৈ যাম কাৰণ বৰষুণ আহিছে",
    "bn": "আজ আকাশ পরিষ্কার আমি বাজারে গিয়ে ফল কিনব",
    "en": "Please tell me when your office opens in the morning.",
    "gu": "આજે હવામાન સારું છે હું બજારમાં જઈને ફળ લાવીશ",
    "hi": "आज मौसम अच्छा है मैं बाज़ार जाकर फल लाऊँगा",
    "kn": "ಇಂದು ಹವಾಮಾನ ಚೆನ್ನಾಗಿದೆ ನಾನು ಮಾರುಕಟ್ಟೆಗೆ ಹೋಗುತ್ತೇನೆ",
    "ml": "ഇന്ന് നല്ല കാലാവസ്ഥയാണ് ഞാൻ ചന്തയിൽ പോകുന്നു",
    "mr": "आज हवामान चांगले आहे मी बाजारात जाऊन फळे आणतो",
    "ne": "आज मौसम राम्रो छ म बजार गएर फलफूल ल्याउँछु",
    "or": "ଆଜି ପାଗ ଭଲ ଅଛି ମୁଁ ବଜାରକୁ ଯାଉଛି",
    "pa": "ਅੱਜ ਮੌਸਮ ਚੰਗਾ ਹੈ ਮੈਂ ਬਾਜ਼ਾਰ ਜਾ ਕੇ ਫਲ ਲਿਆਵਾਂਗਾ",
    "sa": "अद्य वातावरणं शोभनम् अस्ति अहं विपणिं गच्छामि",
    "ta": "இன்று வானிலை நன்றாக இருக்கிறது நான் கடைக்கு போகிறேன்",
    "te": "ఈరోజు వాతావరణం బాగుంది నేను బజారుకు వెళ్తున్నాను",
    "ur": "آج موسم اچھا ہے میں بازار جا کر پھل لاؤں گا",
}
OTHERS = ("I would like to speak to a person.", "How much does the large plan cost?",
          "What time do you close on Sunday?", "My bill is not right.")  # fmt: skip
"""English: what a recogniser that only knows its vocabulary could hear instead."""


def words_of(text: str) -> list[str]:
    """Words in small letters, without punctuation; marks of Indic scripts are kept."""
    plain = unicodedata.normalize("NFC", text).lower()
    kept = (" " if unicodedata.category(letter)[0] in "PSZC" else letter for letter in plain)
    return "".join(kept).split()


def word_error(said: str, heard: str) -> float:
    """Word error rate: wrong, missing and extra words over the words said (0 is perfect)."""
    wanted, found = words_of(said), words_of(heard)
    row = list(range(len(found) + 1))
    for i, word in enumerate(wanted, start=1):
        before, row[0] = row[0], i
        for j, other in enumerate(found, start=1):
            changed = before + (word != other)
            before = row[j]
            row[j] = min(row[j] + 1, row[j - 1] + 1, changed)
    return row[-1] / max(1, len(wanted))
