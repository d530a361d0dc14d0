"""A caller says a card number in a real SIP call, over the real recogniser: no row, no spool, no live
event and no second of the recording has it afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import pytest_asyncio
from numpy.typing import NDArray
from sqlalchemy import select

from appliance.audio import ms_of, read_wav, silence, sound_spans, write_wav
from appliance.events import Agent, CallRecord, Turn
from appliance.media.beeps import TONE_HZ
from appliance.privacy.beeping import beep_pending
from appliance.safety.digits import read_numbers
from appliance.store.database import open_engine
from appliance.store.review_models import RedactionRow
from tests.appliance_kit import LiveCall, Site, real_engine, ringing
from tests.metronome import on_a_steady_machine
from tests.soundmatch import LIKE, pieces_in
from tests.spoken import RATE_HZ, say

pytestmark = [
    pytest.mark.alone,
    pytest.mark.server,
    pytest.mark.sip,
    pytest.mark.asyncio(loop_scope="module"),
]

BEFORE = "my card number is"
CARD = "five five zero nine eight seven six five four three two one zero nine eight seven"
HARMLESS = "are you open on sundays"
WINDOW_MS = 100
LONGEST_PAUSE_MS = 800
"""Between two words of one utterance."""
SILENT_DB = -42.0
MOST_DIGITS_LEFT = 4
"""In a row, live event or spool: so many may be a price."""


@dataclass(frozen=True, slots=True)
class Left:
    """What the call has left."""

    told: list[dict[str, Any]]
    call: CallRecord
    turns: list[Turn]
    spans: list[RedactionRow]
    spool: bytes
    recorded: tuple[bytes, bytes]
    """Caller, agent."""
    digits_ms: tuple[int, int]
    """Where the digits lie in the recording, by its sound."""

    @property
    def first_beep_ms(self) -> int:
        return min(int(span["begin_ms"]) for span in self.spans)


def agents_of(sample: Agent) -> dict[str, Agent]:
    return {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(open_tmp: Path) -> AsyncIterator[Site]:
    """The whole appliance with real engines."""
    servers = {"stt": 1, "tts": 1, "turn": 1, "embed": 1}
    environment = {"IVR_ENGINES__STT__TIMEOUT_MS": "2000"}
    place = Site(
        open_tmp / "private", open_tmp / "embedded-private", servers, real_engine, environment
    )
    try:
        await asyncio.to_thread(place.open, agents_of)
        yield place
    finally:
        await asyncio.to_thread(place.close)


def bare(text: str) -> bytes:
    """Telephone speech without silence at its ends."""
    pcm = say(text, pad_ms=0)
    begin_ms, end_ms = sound_spans(pcm, RATE_HZ, floor_db=-58.0, bridge_ms=10_000)[0]
    return pcm[begin_ms * RATE_HZ // 500 : end_ms * RATE_HZ // 500]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the caller says."""
    folder = tmp_path_factory.mktemp("said")
    sounds = {"card": bare(BEFORE) + silence(60, RATE_HZ) + bare(CARD), "harmless": bare(HARMLESS)}
    for name, pcm in sounds.items():
        write_wav(folder / f"{name}.wav", [pcm], RATE_HZ)
    return {name: folder / f"{name}.wav" for name in sounds}


async def talk(call: LiveCall, files: dict[str, Path]) -> None:
    await call.event("turn_over")  # the greeting
    await call.said(files["harmless"])
    await call.event("turn_over")
    await call.said(files["card"])
    await call.event("turn_over")
    await asyncio.sleep(1.0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
@on_a_steady_machine
async def left(site: Site, files: dict[str, Path]) -> Left:
    async with ringing(site) as call:
        await call.heard("answered")
        await talk(call, files)
        spool = b"".join(path.read_bytes() for path in site.settings.spool_dir.rglob("*.jsonl"))
    record, turns = await call.rows()
    print(
        [turn.said for turn in turns],
        [(e["ms"], e["event"], e.get("text") or e.get("said")) for e in call.told],
    )
    engine = open_engine(site.postgres.url)
    try:
        async with asyncio.timeout(10):
            while True:  # the recording is finished and beeped behind the call
                async with engine.connect() as connection:
                    query = select(*RedactionRow.__table__.columns)
                    query = query.where(RedactionRow.call_id == record.call_id)
                    spans = list((await connection.execute(query)).mappings())
                recorded, _ = read_wav(site.settings.recordings_dir / record.recording)
                if ms_of(len(recorded[0]), RATE_HZ) >= call.told[-1]["ms"] - 100 and spans:
                    break
                await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
        recorded, _ = read_wav(site.settings.recordings_dir / record.recording)
    finally:
        await engine.dispose()
    digits_ms = where_the_digits_are(recorded[0])
    return Left(call.told, record, turns, spans, spool, (recorded[0], recorded[1]), digits_ms)


def where_the_digits_are(caller: bytes) -> tuple[int, int]:
    """Behind the words before them, to the end of that utterance: words and their end are looked for
    in the sound, for a busy machine tells of speech late and lengthens it."""
    pieces = pieces_in(bare(BEFORE), caller, RATE_HZ)
    known = next((piece for piece in pieces if piece.likeness >= LIKE), None)
    assert known, pieces
    begin_ms = known.at_ms - known.expected_ms + ms_of(len(bare(BEFORE)), RATE_HZ) + 60
    spans = sound_spans(caller, RATE_HZ, bridge_ms=LONGEST_PAUSE_MS)
    return begin_ms, next(end for start, end in spans if start < begin_ms < end)


NUMBER = "5509876543210987"


def digits_in(text: str) -> int:
    """The most digits of the card, in a row, that can be read in ``text``."""
    return max(
        (
            end - begin
            for run in read_numbers(text, "en").runs
            for begin in range(len(run.digits))
            for end in range(begin + 1, len(run.digits) + 1)
            if run.digits[begin:end] in NUMBER
        ),
        default=0,
    )


async def test_the_rows_have_a_label_in_its_place(left: Left) -> None:
    said = [turn.said for turn in left.turns]
    print(said)
    for turn in left.turns:
        for words in (turn.said, turn.reply, turn.heard):
            assert digits_in(words) <= MOST_DIGITS_LEFT, words


async def test_the_spool_never_had_it(left: Left) -> None:
    rows = [orjson.loads(line) for line in left.spool.splitlines()]
    assert rows
    texts = [
        row["turn"][name] for row in rows if "turn" in row for name in ("said", "reply", "heard")
    ]
    assert max(map(digits_in, texts)) <= MOST_DIGITS_LEFT


async def test_those_who_looked_on_saw_no_more(left: Left) -> None:
    shown = [
        e[name] for e in left.told for name in ("text", "said") if isinstance(e.get(name), str)
    ]
    assert any("[card]" in text for text in shown)
    assert max(map(digits_in, shown)) <= MOST_DIGITS_LEFT, shown


async def test_nothing_of_it_is_logged(left: Left, site: Site) -> None:
    assert digits_in_words(site.log("worker")) == 0


def digits_in_words(log: str) -> int:
    return sum(f"{a} {b} " in log for a, b in zip(CARD.split(), CARD.split()[1:], strict=False))


def tone_shares(pcm: NDArray[np.float64]) -> Iterator[tuple[int, float]]:
    """Of each window with sound in it: where it begins, and the beep's share of its power."""
    size = WINDOW_MS * RATE_HZ // 1000
    near = abs(np.fft.rfftfreq(size, 1 / RATE_HZ) - TONE_HZ) < 50
    for begin in range(0, len(pcm) - size + 1, size):
        window = pcm[begin : begin + size]
        power = np.abs(np.fft.rfft(window * np.hanning(size))) ** 2
        level_db = 20 * np.log10(np.sqrt(np.mean(window**2)) / 32768 + 1e-9)
        if level_db > SILENT_DB:
            yield begin * 1000 // RATE_HZ, float(power[near].sum() / power.sum())


async def test_the_recording_has_a_tone_where_the_digits_were(left: Left) -> None:
    caller = np.frombuffer(left.recorded[0], "<i2").astype(float)
    begin_ms, end_ms = left.digits_ms
    print(left.digits_ms, [(s["begin_ms"], s["end_ms"], s["kind"]) for s in left.spans])
    window = caller[begin_ms * RATE_HZ // 1000 : end_ms * RATE_HZ // 1000]
    speech = [begin_ms + at_ms for at_ms, share in tone_shares(window) if share < 0.98]
    assert not speech


async def test_the_rest_of_the_recording_is_as_it_was(left: Left, site: Site) -> None:
    caller, agent = left.recorded
    # a busy machine loses frames of the call itself; what a beep does, it does to a whole word
    pieces = pieces_in(bare(HARMLESS), caller, RATE_HZ)
    good = [piece for piece in pieces if piece.likeness >= LIKE]
    assert len(good) * 3 >= len(pieces) * 2, pieces
    before = np.frombuffer(caller, "<i2")[: left.first_beep_ms * RATE_HZ // 1000].astype(float)
    assert not [at_ms for at_ms, share in tone_shares(before) if share > 0.5]
    assert sound_spans(agent, RATE_HZ)  # the agent's side was not beeped
    assert {span["side"] for span in left.spans} == {"caller"}


async def test_the_sweep_finds_it_beeped_and_says_so(left: Left, site: Site) -> None:
    path = site.settings.recordings_dir / left.call.recording
    before = path.read_bytes()
    engine = open_engine(site.postgres.url)
    try:
        async with asyncio.timeout(30):
            while await beep_pending(engine, site.settings) < len(left.spans):
                await asyncio.sleep(1)  # some seconds after the end of a call
    finally:
        await engine.dispose()
    assert path.read_bytes() == before
