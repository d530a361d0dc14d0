"""What the spoken form of a phrase costs, beside the phrase as it is.

    python -m bench.spoken_form

Each language's phrase has an amount, a date, an address and a telephone number in about 100 letters;
then the same with a dictionary of 200 words. One line a language: milliseconds, best of five hundreds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from appliance.speech.spoken_form import spoken_form

PHRASES = {
    "en": "Your bill of Rs. 1,250.50, due on 12/11/2026: pay at www.bsnl.co.in or call 1800-123-4567.",
    "hi": "आपका BSNL plan ₹499 का है, बिल 12/11/2026 को 10:30 बजे तक भरें या 1800-123-4567 पर call करें।",
    "ta": "உங்கள் BSNL plan ₹499, கட்டணம் 12/11/2026 அன்று 10:30 மணிக்கு முன் 1800-123-4567.",
    "te": "మీ BSNL plan ₹499, బిల్లు 12/11/2026 న 10:30 గంటలకు ముందు 1800-123-4567.",
}
DICTIONARY = {f"word{n}": "spelling" for n in range(200)}
TIMES, ROUNDS = 100, 5


def cost_ms(text: str, language: str, words: Mapping[str, str]) -> float:
    """The cheapest of ``ROUNDS`` means over ``TIMES``."""
    means = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        for _ in range(TIMES):
            spoken_form(text, language, words)
        means.append((time.perf_counter() - begin) / TIMES * 1000)
    return min(means)


def main() -> None:
    """Print the table."""
    for language, text in PHRASES.items():
        begin = time.perf_counter()
        spoken_form(text, language)
        first = (time.perf_counter() - begin) * 1000
        plain, more = cost_ms(text, language, {}), cost_ms(text, language, DICTIONARY)
        print(
            f"{language}: {len(text)} letters, {plain:.2f} ms, with 200 words {more:.2f} ms"
            f" (the first, which builds the patterns, {first:.0f} ms)"
        )


if __name__ == "__main__":
    main()
