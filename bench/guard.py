"""What the guard's rules cost a phrase: ``python -m bench.guard [--json]``.

Phrases as an agent says them in six languages, each with four passages, the talk of three turns and
1 000 rules of the site beside the built-in ones (900 of words, 100 patterns). ``prepare``: reading the
passages of a reply, which nobody has asked for before, ahead of its first phrase. Time is the CPU's:
others on the machine do not count.
"""

from __future__ import annotations

import argparse
import gc
import json
from dataclasses import replace
from time import thread_time as cpu_s

from appliance.events import Passage
from appliance.safety.grounding import cited
from appliance.safety.guard import Context, Guard
from appliance.safety.rules import RuleSet, SiteRule
from appliance.speech.phrases import Phrases
from tests.guard_scoring import cases, sample_agent, sample_passages
from tests.sunrise_questions import CALIBRATION, HELD_OUT

ROUNDS = 12
TALK = (
    (
        "hello I want to know about your plans",
        "We have three plans, called Home, Family and Office.",
    ),
    (
        "how much is the home plan",
        "The Home plan costs four hundred and ninety nine rupees a month.",
    ),
    ("and is there a discount", "Yes, if you pay for a whole year, you get two months free."),
)


def site_rules() -> list[SiteRule]:
    """A thousand rules of a site, none of which is found."""
    words = [SiteRule(n, "words", f"forbidden phrase number {n} of ours") for n in range(900)]
    patterns = [
        SiteRule(1000 + n, "pattern", rf"\bspecial offer {n}\b[^.]{{0,30}}\bonly today\b")
        for n in range(100)
    ]
    return words + patterns


def english(guard: Guard, took: dict[str, list[float]], number: int) -> None:
    """Every question of the sample, its answer phrase by phrase."""
    passages = sample_passages()
    agent = sample_agent()
    for question, heading, _ in [*CALIBRATION, *HELD_OUT]:
        at = next(n for n, passage in enumerate(passages) if passage.heading == heading)
        # a text that the process has not seen yet, as after a publication
        fresh = [passages[(at + k * 7) % len(passages)] for k in range(4)]
        found = tuple(replace(p, text=f"{p.text} ({number}.{at}.)") for p in fresh)
        splitter, context = Phrases(), Context(agent, question, found, "", TALK)
        phrases = [p for word in passages[at].text.split() for p in splitter.feed(word + " ")]
        begun = cpu_s()
        guard.prepare(context)
        took["prepare"].append((cpu_s() - begun) * 1e6)
        for phrase in [*phrases, *splitter.flush()]:
            took["english"].append(timed(guard, phrase, context))
            context = replace(context, before=f"{context.before} {phrase}".strip())


def others(guard: Guard, took: dict[str, list[float]]) -> None:
    """The clean agent's phrases of the written cases in other languages."""
    agent = sample_agent()
    extra = tuple(
        Passage(str(n), "d", "", p.text, 0.9) for n, p in enumerate(sample_passages()[:3])
    )
    for case in cases():
        if case.language == "en" or case.side != "agent" or case.expect:
            continue
        context = Context(
            replace(agent, language=case.language), case.said, (*case.passages, *extra)
        )
        guard.prepare(context)
        took["indic"].append(timed(guard, case.text, context))


def timed(guard: Guard, phrase: str, context: Context) -> float:
    """µs of CPU of one check."""
    begun = cpu_s()
    guard.check_phrase(phrase, context)
    return (cpu_s() - begun) * 1e6


def percentiles(took: list[float]) -> dict[str, int]:
    """p50, p95 and p99 in µs of CPU, and how many."""
    ordered = sorted(took)
    places = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    found = {name: round(ordered[int(len(ordered) * at)]) for name, at in places.items()}
    return found | {"n": len(ordered)}


def measure() -> dict[str, dict[str, int]]:
    """Every figure."""
    begun = cpu_s()
    guard = Guard(RuleSet(site_rules()))
    compile_ms = round((cpu_s() - begun) * 1000)
    english(guard, {"prepare": [], "english": []}, -1)
    names = ("english", "indic", "caller", "prepare", "cited")
    took: dict[str, list[float]] = {name: [] for name in names}
    agent, passages = sample_agent(), sample_passages()
    gc.freeze()  # as in a worker
    for number in range(ROUNDS):
        english(guard, took, number)
        others(guard, took)
        for question, _, _ in CALIBRATION:
            begun = cpu_s()
            guard.check_caller(question, agent)
            took["caller"].append((cpu_s() - begun) * 1e6)
        for at in range(0, len(passages), 3):
            begun = cpu_s()
            cited(passages[at].text, passages[at : at + 4])
            took["cited"].append((cpu_s() - begun) * 1e6)
    return {"compile_ms": {"all": compile_ms}} | {k: percentiles(v) for k, v in took.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="One JSON object.")
    as_json = parser.parse_args().json
    found = measure()
    if as_json:
        print(json.dumps(found))
        return
    print(f"compiled in {found.pop('compile_ms')['all']} ms")
    print("µs         p50    p95    p99      n")
    for name, figures in found.items():
        print(f"{name:8}" + "".join(f"{figures[key]:7}" for key in ("p50", "p95", "p99", "n")))


if __name__ == "__main__":
    main()
