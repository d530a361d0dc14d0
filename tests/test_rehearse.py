"""``ivr rehearse`` through a whole site with emulated engines and ``ivr sip``: 1 call, then 3."""

from __future__ import annotations

import asyncio
import http.server
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from appliance.__main__ import main
from appliance.audio import write_wav
from appliance.engines.emulated_script import Script
from appliance.errors import UserError
from appliance.ops.keeping.ports import free_port
from appliance.ops.rehearsal.audit import audit
from appliance.ops.rehearsal.calls import mind_live_calls, questions_of
from appliance.ops.rehearsal.rehearse import STOPPED_BY, Options, as_line, rehearse
from appliance.ops.rehearsal.temporarysite import Site, sip_office, site
from appliance.rehearsal import script as scripts
from appliance.rehearsal.calls import CallReport, Rehearsal
from appliance.rehearsal.climb import End, Step, Target, climb, enough
from appliance.rehearsal.conversation import Conversation, Line
from appliance.rehearsal.lateness import lateness
from appliance.rehearsal.questions import EDGE_DB, of_folder, of_script
from appliance.rehearsal.ramp import Ramp
from appliance.settings import Settings, load
from tests.test_report import Page, pages_in

needs_flite = pytest.mark.skipif(not shutil.which("flite"), reason="flite is not installed")
RATE_HZ = 8000
CALLS = 3


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, str]]:
    """A site with emulated engines, and where to call it."""
    path = scripts.make(tmp_path_factory.mktemp("script"))
    with site(path, CALLS) as own, sip_office(own, CALLS) as uri:
        yield own, uri


@needs_flite
@pytest.mark.server
@pytest.mark.sip
def test_a_rehearsal_climbs_and_its_report_holds_together(
    running: tuple[Site, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.rehearsal.climb.OWN_LATE_MS", 1000)  # this machine may be busy
    own, uri = running
    settings = load(environ=own.environment)
    options = Options(3, seconds=3.0, limit_s=300, steps=(1, CALLS), to=uri)
    before = [signal.getsignal(number) for number in STOPPED_BY]
    report, written = rehearse(settings, options)
    assert [signal.getsignal(number) for number in STOPPED_BY] == before
    data = orjson.loads(written.data.read_bytes())
    assert [level["calls"] for level in data["levels"]] == [1, CALLS]
    for level in data["levels"]:
        assert level["turns"] >= level["calls"]
        assert 200 <= level["gap"]["p50"] <= 1500  # far from the budgets
        assert {"hear", "write", "voice", "edge"} & set(level["parts"])
        assert (level["line"]["failed"], level["line"]["reasons"]) == (0, {})
        assert level["line"]["frames"] > 300
        # what the journal says of these calls, and what their callers heard, is the same gap
        assert sum(level["parts"].values()) == pytest.approx(level["gap"]["p50"], rel=0.4)
    verdicts = {kept["name"]: kept["verdict"] for kept in data["budgets"]}
    assert verdicts["voice, first audio"] in ("kept", "missed")
    assert "not measured" not in verdicts.values()
    assert {"worker", "sip", "callers (this)"} <= set(data["usage"]["cores"])
    assert {need["stage"] for need in data["sizing"]["stages"]} == {
        "stt",
        "tts",
        "turn",
        "embed",
        "llm",
    }
    assert pages_in(written.pdf) == written.pages >= 3
    page = Page(written.html.read_text("utf-8"))
    gap = next(table for table in page.tables if table[0][0] == "calls at once")
    assert [row[2] for row in gap[1:]] == [f"{level['gap']['p50']:.0f}" for level in data["levels"]]
    assert data["summary"][0] in "".join(page.text)
    line = orjson.loads(as_line(report, written))
    assert line["levels"]["3"]["gap_p95_ms"] == data["levels"][1]["gap"]["p95"]


@needs_flite
@pytest.mark.server
@pytest.mark.sip
def test_its_calls_are_found_by_an_audit_that_asks_for_them(running: tuple[Site, str]) -> None:
    settings = load(environ=running[0].environment)
    report, _ = audit(settings, "1h", rehearsals=True)
    assert sum(level.turns for level in report.levels) >= 2
    assert {group.name for group in report.agents} == {"sunrise"}
    with pytest.raises(UserError, match="No caller was answered"):
        audit(settings, "1h")


@pytest.mark.parametrize(
    ("late_ms", "errors", "end"),
    [(1.0, 0, None), (30.0, 0, End.LATE), (1.0, 2, None), (30.0, 3, End.FAILED)],
)
def test_a_step_tells_whether_to_go_on(late_ms: float, errors: int, end: End | None) -> None:
    reports = [
        CallReport(
            n,
            Conversation([Line("a", (bytes(320),))], 320, n),
            lateness([]),
            "INVITE was answered 503" if n < errors else "",
        )
        for n in range(4)
    ]
    step = Step(1, 4, Rehearsal(reports, 0.0, 1.0, own_late_ms=[late_ms] * 100))
    assert enough(step) is end
    assert sum(step.failures.values()) == errors
    assert step.gap is None


class StopsAtOnce:
    """Sets ``stop`` in the first second of talk."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.ended: list[int] = []

    def begins(self, calls: int) -> None:
        """A step begins."""

    def talks(self, calls: int, since_s: float, seconds: float, turns: int) -> None:
        """Once a second."""
        self.stop.set()

    def ends(self, step: Step) -> None:
        """A step is over."""
        self.ended.append(step.calls)


@needs_flite
@pytest.mark.server
@pytest.mark.sip
async def test_a_rehearsal_that_is_stopped_keeps_what_there_is(
    running: tuple[Site, str], script: Script
) -> None:
    told = StopsAtOnce()
    up: list[int] = []
    target = Target(running[1], "stopped")
    ramp = Ramp((1, 2), seconds=30, limit_s=300)
    async with asyncio.timeout(10):
        climbed = await climb(target, of_script(script), ramp, told, told.stop, up.append)
    assert climbed.end is End.STOPPED
    assert [step.calls for step in climbed.steps] == told.ended == [1]
    assert up == [1, 0]
    assert climbed.steps[0].failures == {}  # hung up in good order


@needs_flite
@pytest.mark.sip
def test_where_nobody_answers_a_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.rehearsal.sip_caller.ANSWER_S", 0.3)
    settings = Settings(data_dir=tmp_path)
    uri = f"sip:1001@127.0.0.1:{free_port()}"
    with pytest.raises(
        UserError, match=r"A first call to sip:1001@127.* failed: not answered in time"
    ):
        rehearse(settings, Options(1, 1.0, 60, to=uri, yes=True))
    assert not (tmp_path / "rehearsals").exists()


# --- what is asked --------------------------------------------------------------------------------


def tone(ms: int) -> bytes:
    return (8000 * np.sin(np.arange(RATE_HZ * ms // 1000) / 3)).astype("<i2").tobytes()


def test_recordings_are_cut_to_their_sound(tmp_path: Path) -> None:
    quiet = bytes(RATE_HZ)  # half a second
    write_wav(tmp_path / "b.wav", [quiet + tone(1000) + quiet], RATE_HZ)
    write_wav(tmp_path / "a.wav", [tone(400), tone(400)], RATE_HZ)  # stereo
    write_wav(tmp_path / "c.wav", [quiet + quiet + tone(600)], 16000)
    found = of_folder(tmp_path)
    assert [line.id for line in found.lines] == ["a.wav", "b.wav", "c.wav"]
    lengths = [sum(len(frame) for frame in line.frames) / 2 / RATE_HZ for line in found.lines]
    assert lengths == pytest.approx([0.4, 1.0, 0.3], abs=0.021)
    assert found.first_word_ms == {}
    assert EDGE_DB < 0


@pytest.mark.parametrize("content", [b"no wave at all", b"RIFF\0\0\0\0WAVEfmt "])
def test_a_broken_recording_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.wav").write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.wav cannot be read"):
        of_folder(tmp_path)


def test_silence_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no \*\.wav"):
        of_folder(tmp_path)
    write_wav(tmp_path / "silent.wav", [bytes(RATE_HZ)], RATE_HZ)
    with pytest.raises(UserError, match="is silent"):
        of_folder(tmp_path)


def test_contradictions_are_refused(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with pytest.raises(UserError, match="leave out --to"):
        rehearse(settings, Options(1, 1.0, 60, to="sip:a@b", emulated=True))
    with pytest.raises(UserError, match="name one of them"):
        questions_of(settings, "sip:1001@127.0.0.1", tmp_path, tmp_path / "x")
    for wrong in ("1001", "sip:1001", "sip:a b@c", "http://x"):
        with pytest.raises(UserError, match="--to"):
            questions_of(settings, wrong, None, None)


@needs_flite
def test_the_script_says_where_first_words_end(script: Script) -> None:
    found = of_script(script)
    assert set(found.first_word_ms) == {line.id for line in found.lines}
    assert all(50 < end_ms < 1500 for end_ms in found.first_word_ms.values())
    assert any(line.barge_in for line in found.lines)


# --- what must not be disturbed -------------------------------------------------------------------


class Busy(http.server.BaseHTTPRequestHandler):
    """A worker with two live calls."""

    def do_GET(self) -> None:
        body = b'{"status":"ok","calls":2,"capacity":100}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Not on a test's terminal."""


def test_live_calls_are_not_disturbed_unasked(tmp_path: Path) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        worker = {"IVR_WORKER__PORT": str(server.server_port), "IVR_DATA_DIR": str(tmp_path)}
        settings = load(environ=worker)
        with pytest.raises(UserError, match="2 live calls"):
            mind_live_calls(settings, yes=False, ask=False)
        mind_live_calls(settings, yes=True, ask=False)
        server.shutdown()
    mind_live_calls(settings, yes=False, ask=False)  # no worker: nobody is disturbed


@pytest.mark.parametrize(
    "words", [["--steps", "3,1"], ["--calls", "0"], ["--seconds", "1"], ["--time-limit", "x"]]
)
def test_wrong_words_are_refused_before_anything_rings(words: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["rehearse", *words], env={"IVR_DATA_DIR": str(tmp_path)})
    assert done.exit_code == 2
    assert words[0] in done.output
    assert "Traceback" not in done.output
