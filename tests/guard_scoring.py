"""The written cases of ``tests/guard_cases`` and what the guard makes of them.

Counted by category of each case: found and meant (hit), found and not meant (false alarm), meant and
not found (miss). ``python -m tests.guard_scoring`` prints them; docs/safety.md has the table.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.events import Agent, Passage
from appliance.safety.guard import Context, Guard
from appliance.safety.rules import RuleSet
from appliance.store.agents import parse_agent
from tests.drafts_kit import drafts_of

CASES = Path(__file__).parent / "guard_cases"
SAMPLES = Path(__file__).parents[1] / "appliance" / "samples"


@dataclass(frozen=True)
class Case:
    """One text, and the categories that must be found in it."""

    file: str
    text: str
    expect: frozenset[str]
    side: str
    language: str
    said: str
    passages: tuple[Passage, ...]
    before: str


@dataclass(frozen=True)
class Judged:
    """A case, and the categories that were found."""

    case: Case
    found: frozenset[str]


def sample_agent() -> Agent:
    """Sunrise Broadband's."""
    fields = tomllib.loads((SAMPLES / "sunrise-broadband.toml").read_text("utf-8"))
    return parse_agent({"version": 0} | fields)


def sample_passages() -> list[Passage]:
    """Those of the sample agent."""
    drafts = drafts_of((SAMPLES / "sunrise-broadband.md").read_text("utf-8"))
    return [Passage(str(n), "sunrise", d.heading, d.text, 0.9) for n, d in enumerate(drafts)]


def cases() -> Iterator[Case]:
    """All of them."""
    known = {passage.heading: passage for passage in sample_passages()}
    for file in sorted(CASES.glob("*.toml")):
        table = tomllib.loads(file.read_text("utf-8"))
        for one in table["case"]:
            own = [
                Passage(f"k{n}", "k", "", text, 0.9)
                for n, text in enumerate(one.get("knowledge", ()))
            ]
            yield Case(
                file.stem,
                one["text"],
                frozenset(one.get("expect", ())),
                one.get("side", table.get("side", "agent")),
                one.get("language", table.get("language", "en")),
                one.get("said", ""),
                (*(known[heading] for heading in one.get("passages", ())), *own),
                one.get("before", ""),
            )


def judge(guard: Guard, agent: Agent, case: Case) -> Judged:
    """What the guard finds in a case."""
    agent = replace(agent, language=case.language)
    if case.side == "document":
        found = {"injection"} if guard.check_passage(case.text) else set()
        return Judged(case, frozenset(found))
    if case.side == "caller":
        findings = guard.check_caller(case.text, agent)
    else:
        context = Context(agent, case.said, case.passages, case.before)
        findings = guard.check_phrase(case.text, context)
    return Judged(case, frozenset(finding.category for finding in findings))


def judge_all() -> list[Judged]:
    """Every case."""
    guard, agent = Guard(RuleSet()), sample_agent()
    return [judge(guard, agent, case) for case in cases()]


def wrong(one: Judged) -> bool:
    """Whether something is found that is not meant, or the other way round."""
    beside = {"grounding"} if one.case.expect - {"grounding"} else set()
    return bool(one.case.expect - one.found or one.found - one.case.expect - beside)


def counts(judged: list[Judged]) -> dict[str, Counter[str]]:
    """Category -> hits, false alarms (``false``) and misses (``missed``).

    What must not be said for another reason mostly has no source either: that is not counted.
    """
    found: dict[str, Counter[str]] = {}
    for one in judged:
        beside = {"grounding"} if one.case.expect - {"grounding"} else set()
        for category in (one.found - beside) | one.case.expect:
            hit, meant = category in one.found, category in one.case.expect
            kind = "hits" if hit and meant else "false" if hit else "missed"
            found.setdefault(category, Counter())[kind] += 1
    return found


def main() -> None:
    """Print a table, and the cases that went wrong."""
    judged = judge_all()
    total: Counter[str] = Counter()
    print("category      hits  false  missed  precision  recall")
    for category, count in sorted(counts(judged).items()):
        total += count
        _line(category, count)
    _line("all", total)
    clean = [one for one in judged if not one.case.expect]
    disturbed = sum(bool(one.found) for one in clean)
    print(f"{len(judged)} cases, {len(clean)} of them clean, {disturbed} disturbed")
    for one in judged:
        if wrong(one):
            print(
                f"! {one.case.file}: {sorted(one.case.expect)} {sorted(one.found)} {one.case.text}"
            )


def _line(name: str, count: Counter[str]) -> None:
    hits, false, missed = count["hits"], count["false"], count["missed"]
    precision = hits / (hits + false) if hits + false else 1.0
    recall = hits / (hits + missed) if hits + missed else 1.0
    print(f"{name:12} {hits:5} {false:6} {missed:7} {precision:10.0%} {recall:7.0%}")


if __name__ == "__main__":
    main()
