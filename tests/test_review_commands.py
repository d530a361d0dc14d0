"""``ivr ask``, ``flags``, ``golden`` and ``answers``, as an operator types them."""

from __future__ import annotations

import asyncio
import json
import wave
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from knowledge_servers import KEY, EmbedProcess
from review_kit import helpline, log_call

from appliance.__main__ import main
from appliance.store.database import open_engine

pytestmark = pytest.mark.server

Ivr = Callable[..., Result]


@pytest.fixture
def ivr(
    database_url: str,
    embed_process: EmbedProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Ivr:
    """Runs a command on a site with a helpline, and one call to it with a recording."""
    monkeypatch.setenv("IVR_DATABASE__URL", database_url)
    monkeypatch.setenv("IVR_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("IVR_ENGINES__EMBED__URLS", json.dumps([embed_process.url]))
    monkeypatch.setenv("IVR_ENGINES__KEY", KEY)
    monkeypatch.chdir(tmp_path)

    async def prepare() -> None:
        engine = open_engine(database_url)
        agent = await helpline(engine, tmp_path, embed_process.url)
        talk = [("what is the late fee", "It is [bold]seven\x1b[31m rupees."), ("yes", "Good.")]
        await log_call(engine, agent, talk, recording="call-1.wav")
        await log_call(engine, agent, talk, call_id="call-2")
        await engine.dispose()

    asyncio.run(prepare())
    (tmp_path / "recordings").mkdir()
    with wave.open(str(tmp_path / "recordings" / "call-1.wav"), "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(bytes(4 * 8000 * 40))

    def run(*words: str, fails: bool = False) -> Result:
        result = CliRunner().invoke(main, words)
        assert (result.exit_code != 0) == fails, result.output
        return result

    return run


def told(result: Result) -> dict:  # type: ignore[type-arg]
    return json.loads(result.stdout.strip().splitlines()[-1])


def test_a_flag_from_the_queue_to_its_decision(ivr: Ivr, tmp_path: Path) -> None:
    assert "Nothing to look at" in ivr("flags").output
    added = told(ivr("flags", "add", "call-1", "1", "--by", "zoe", "--note", "ninety", "--json"))
    flag = added["flag"]["flag"]["id"]
    assert flag[:8] in ivr("flags").output and "person" in ivr("flags").output
    shown = ivr("flags", "show", flag[:6]).output
    assert "what is the late fee" in shown and "\x1b" not in shown and "[bold]seven" in shown
    assert "12.6 s to" in shown and f"ivr flags audio {flag[:16]}" in shown

    audio = told(ivr("flags", "audio", flag, str(tmp_path / "out.wav"), "--json"))
    assert audio["begin_ms"] == 11_100 and (tmp_path / "out.wav").exists()

    right = "The late fee is ninety rupees."
    fixed = ivr("flags", "fix", flag[:6], "--answer", right, "--by", "zoe").output
    assert "before" in fixed and "after" in fixed and "ninety rupees" in fixed
    again = told(ivr("flags", "retest", flag[:6], "--json"))["flag"]["retest"]
    assert again["after"]["answer"] == right
    assert again["after"]["passages"][0]["document"] == "corrections-en.md"

    decided = told(ivr("flags", "confirm", flag, "--by", "zoe", "--json"))
    assert decided["flag"]["state"] == "confirmed"
    refused = ivr("flags", "dismiss", flag, "--by", "ravi", fails=True)
    assert refused.exit_code == 2 and "confirmed by zoe" in refused.output
    assert told(ivr("flags", "reopen", flag, "--by", "ravi", "--json"))["flag"]["state"] == "open"
    assert ivr("flags", "dismiss", flag, "--by", "ravi").output.startswith("Flag ")
    listed = told(ivr("flags", "list", "--state", "all", "--agent", "asha", "--json"))["flags"]
    assert [one["state"] for one in listed] == ["dismissed"]
    counts = told(ivr("flags", "trends", "--json"))["counts"]
    assert [(one["rule"], one["flags"]) for one in counts] == [("person", 1)]
    assert "person" in ivr("flags", "trends", "--by", "rule").output


def test_what_is_typed_wrong_is_told_in_a_sentence(ivr: Ivr) -> None:
    flag = told(ivr("flags", "add", "call-2", "1", "--json"))["flag"]["flag"]["id"]
    for words, why in (
        (("flags", "show", "zz"), "no flag"),
        (("flags", "fix", flag), "one of --answer"),
        (("flags", "fix", flag, "--rule-off", "--answer", "x"), "one of --answer"),
        (("flags", "fix", flag, "--rule-off", "--question", "x"), "goes with"),
        (("flags", "fix", flag, "--rule-off"), "no rule of the site"),
        (("flags", "audio", flag, "x.wav"), "no recording"),
        (("ask", "nobody", "hello"), "no agent"),
        (("ask", "asha", " "), "no question"),
        (("golden", "add", "nobody", "hello"), "no agent"),
        (("golden", "remove", "7"), "no golden question"),
        (("golden", "import", "asha", "gone.csv"), "cannot be read"),
        (("answers", "withdraw", "asha", "hello"), "no such answer"),
    ):
        result = ivr(*words, fails=True)
        assert result.exit_code == 2 and why in result.output, words


def test_ask_says_what_it_rests_on(ivr: Ivr) -> None:
    asked = told(ivr("ask", "asha", "what is the late fee", "--json"))
    assert asked["answer"].startswith("The late fee is one hundred rupees")
    assert asked["passages"][0]["cited"] and asked["total_ms"] > 0
    shown = ivr(
        "ask", "asha", "and when do I have to pay it", "--after", "tell me the late fee"
    ).output
    assert "late fee" in shown and "* faq.md / What is the late fee?" in shown


def test_golden_questions_from_a_file_to_a_changed_answer(ivr: Ivr, tmp_path: Path) -> None:
    file = tmp_path / "golden.csv"
    file.write_text(
        "question,expected\nwhat is the late fee,100 rupees\nwhen are you open\n\n", "utf-8"
    )
    assert told(ivr("golden", "import", "asha", str(file), "--json"))["added"] == 2
    assert "2 changed" in ivr("golden", "import", "asha", str(file)).output
    run = told(ivr("golden", "run", "--json"))["run"]
    assert run["verdicts"] == {"same": 2} and run["left"] == 0
    ivr("golden", "add", "asha", "how can I pay", "--expect", "cheque")
    assert "wrong" in ivr("golden", "run", "--agent", "asha", fails=True).output
    assert "golden.wrong" in ivr("flags").output
    listed = told(ivr("golden", "list", "--json"))["questions"]
    assert [one["last"]["verdict"] for one in listed] == ["same", "same", "wrong"]
    ivr("golden", "remove", str(listed[2]["id"]))
    ivr("golden", "run")
    file.write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in ivr("golden", "import", "asha", str(file), fails=True).output


def test_common_answers_made_and_withdrawn(ivr: Ivr) -> None:
    assert "often enough" in ivr("answers").output
    made = told(ivr("answers", "make", "--json"))
    assert made == {"asked": 1, "kept": 1, "dropped": 0}
    (one,) = told(ivr("answers", "list", "--agent", "asha", "--json"))["answers"]
    assert one["cached"]["question"] == "what is the late fee" and not one["withdrawn"]
    assert "one hundred" in ivr("answers").output
    ivr("answers", "withdraw", "asha", "What is the late fee?")
    assert told(ivr("answers", "make", "--json"))["asked"] == 0
