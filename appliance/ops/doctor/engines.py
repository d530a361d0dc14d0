"""Engine servers are asked what calls ask: to speak, to hear, to judge, to embed; not only /health."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp
import orjson

from appliance.audio import bytes_of
from appliance.checkpoints.sentences import OTHERS, SENTENCES, word_error, words_of
from appliance.engines.http import read_at_most
from appliance.engines.key import headers_of
from appliance.errors import UserError, reason_of
from appliance.languages import primary
from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State
from appliance.ops.doctor.errors import said_within
from appliance.ops.doctor.sentences import worded, words
from appliance.ops.models.selftest import LLM_PROMPT, LLM_TOKENS, unlike_speech
from appliance.ops.models.selftest_text import ANSWER, OTHER, QUESTION
from appliance.ops.models.serve import RATE_HZ, At, complete, hear, say, voices
from appliance.ops.sitelook import ServerLook

ASK_TIMEOUT_S = 10.0
STAGE_TIMEOUT_S = 20.0
AT_ONCE = 2
"""Servers of a stage asked at once: calls are served beside it."""
MOST_SERVERS = 16
ANSWER_BYTES = 4 << 20
WEAK_ERROR = 0.6
"""Word error rate, of a synthetic voice at 8 kHz, that still shows a recogniser that works."""
Ask = Callable[[Box, At], Awaitable[Finding]]


def _stage(stage: str, code: str, title: str, ask: Ask, how: str) -> Check:
    """The check that asks each server of a stage that answers /health."""

    async def look(box: Box) -> Sequence[Finding]:
        servers = await _servers(box, stage)
        if servers is None:
            return [
                Finding(
                    code,
                    State.SKIPPED,
                    worded("The settings name no server of {stage}.", stage=stage),
                )
            ]
        if not servers:
            what = worded("No server of {stage} answers /health, so none was asked.", stage=stage)
            return [Finding(code, State.SKIPPED, what)]
        places = asyncio.Semaphore(AT_ONCE)

        async def one(server: ServerLook) -> Finding:
            async with places:
                at = await asyncio.to_thread(
                    At.of, box.settings, box.settings.engines.stages()[stage], server.url
                )
                return await _asked(box, code, server, at, ask)

        return await asyncio.gather(*(one(server) for server in servers[:MOST_SERVERS]))

    return Check(code, title, Group.ENGINES, look, timeout_s=STAGE_TIMEOUT_S, how=how)


async def _servers(box: Box, name: str) -> list[ServerLook] | None:
    """Those that are up; None: the settings name none."""
    stage = next((stage for stage in (await box.site()).stages if stage.name == name), None)
    return None if stage is None else list(stage.up)


async def _asked(box: Box, code: str, server: ServerLook, at: At, ask: Ask) -> Finding:
    """Its answer, judged; a server that is silent or refuses is bad."""
    name = worded("{engine} at {url}", engine=server.engine or words("The server"), url=server.url)
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            found = await ask(box, at)
    except TimeoutError:
        why = worded(
            "it answers /health, but not in {seconds} s what it is asked",
            seconds=f"{ASK_TIMEOUT_S:.0f}",
        )
    except UserError as e:
        why = said_within(str(e))
    except (aiohttp.ClientError, ValueError, LookupError, TypeError, OSError) as e:
        why = worded("it answers /health, but not what it is asked: {why}", why=reason_of(e))
    else:
        return Finding(
            code,
            found.state,
            worded("{name}: {what}", name=name, what=words(found.what)),
            found.do,
            detail=found.detail,
        )
    do = "Look at its log and start it again; `ivr models verify` tests its model."
    return Finding(
        code, State.BAD, worded("{name}: {why}.", name=name, why=why), do, code="engine-fails"
    )


# --- each stage's question ------------------------------------------------------------------------


async def _speak(box: Box, at: At) -> Finding:
    offered = await voices(at)
    speakable = [one for one in offered if primary(one["language"]) in SENTENCES]
    if not speakable:
        return Finding("", State.SKIPPED, "it offers no voice of a language that we can test")
    voice = speakable[0]
    said = SENTENCES[primary(voice["language"])]
    began_s = time.monotonic()
    pcm = await say(at, said, voice=voice["id"], language=voice["language"])
    took_ms = (time.monotonic() - began_s) * 1000
    if trouble := unlike_speech(said, pcm):
        do = "Listen to it: ivr models verify; another voice may do better."
        return Finding(
            "",
            State.BAD,
            worded(
                "what {voice} says is no speech: {trouble}.", voice=voice["id"], trouble=trouble
            ),
            do,
        )
    what = worded(
        "{voice} speaks ({language}, {ms} ms).",
        voice=voice["id"],
        language=voice["language"],
        ms=f"{took_ms:.0f}",
    )
    return Finding("", State.GOOD, what, detail={"ms": round(took_ms)})


async def _hear(box: Box, at: At) -> Finding:
    language, pcm = await box.once("speech", lambda: _speech(box))
    if not pcm:
        return Finding("", State.SKIPPED, "no voice answers that could speak to it.")
    said = SENTENCES[language]
    texts = [said, *OTHERS] if language == "en" else [said]
    began_s = time.monotonic()
    heard = await hear(at, pcm, language=language, texts=texts)
    took_ms = (time.monotonic() - began_s) * 1000
    wrong = word_error(said, heard)
    if not set(words_of(said)) & set(words_of(heard)):
        do = "`ivr models verify` tests its model; is it meant for another language?"
        return Finding(
            "",
            State.WARNING,
            worded("no word of a sentence in {language} was heard right.", language=language),
            do,
        )
    if wrong > WEAK_ERROR:
        what = worded(
            "{share} % of a sentence in {language} was heard wrong.",
            share=f"{100 * wrong:.0f}",
            language=language,
        )
        return Finding("", State.WARNING, what, "`ivr models verify` tests its model.")
    what = worded(
        "hears {language} ({ms} ms, {share} % wrong).",
        language=language,
        ms=f"{took_ms:.0f}",
        share=f"{100 * wrong:.0f}",
    )
    return Finding(
        "", State.GOOD, what, detail={"ms": round(took_ms), "word_error": round(wrong, 2)}
    )


async def _speech(box: Box) -> tuple[str, bytes]:
    """A sentence spoken by a voice that answers: its language, L16 at 8 kHz; empty: none does."""
    for server in await _servers(box, "tts") or ():
        try:
            at = await asyncio.to_thread(At.of, box.settings, box.settings.engines.tts, server.url)
            for voice in await voices(at):
                language = primary(voice["language"])
                if language in SENTENCES:
                    said = SENTENCES[language]
                    pcm = await say(at, said, voice=voice["id"], language=voice["language"])
                    return language, pcm
        except (UserError, aiohttp.ClientError, TimeoutError, ValueError, LookupError):
            continue  # the check of voices tells
    return "en", b""


async def _judge(box: Box, at: At) -> Finding:
    _, pcm = await box.once("speech", lambda: _speech(box))
    body = pcm or bytes(bytes_of(1000, RATE_HZ))
    complete_ = float((await _post(box, at, f"/v1/turn?rate={RATE_HZ}", body))["complete"])
    if not 0 <= complete_ <= 1:
        return Finding(
            "",
            State.BAD,
            worded("it answers {complete}, which is no probability.", complete=complete_),
        )
    return Finding(
        "", State.GOOD, worded("judges that a turn is over with {sure}.", sure=f"{complete_:.2f}")
    )


async def _embed(box: Box, at: At) -> Finding:
    texts = [QUESTION["en"], ANSWER["en"], OTHER["en"]]
    body = orjson.dumps({"input": texts, "input_type": "passage"})
    rows = (await _post(box, at, "/v1/embeddings", body))["data"]
    question, answer, other = ([float(x) for x in row["embedding"]] for row in rows)
    near, far = _dot(question, answer), _dot(question, other)
    if near <= far:
        what = worded(
            "an answer is no nearer to its question ({near}) than something else ({far}).",
            near=f"{near:.2f}",
            far=f"{far:.2f}",
        )
        return Finding("", State.WARNING, what, "Is it the model that the passages were made with?")
    return Finding(
        "",
        State.GOOD,
        worded("knows what is alike ({near} against {far}).", near=f"{near:.2f}", far=f"{far:.2f}"),
    )


async def _rerank(box: Box, at: At) -> Finding:
    body = orjson.dumps({"query": QUESTION["en"], "documents": [ANSWER["en"], OTHER["en"]]})
    rows = (await _post(box, at, "/rerank", body))["results"]
    scores = {row["index"]: float(row["relevance_score"]) for row in rows}
    if scores[0] <= scores[1]:
        return Finding("", State.WARNING, "it puts something else before an answer.")
    return Finding(
        "",
        State.GOOD,
        worded(
            "puts an answer first ({first} against {second}).",
            first=f"{scores[0]:.2f}",
            second=f"{scores[1]:.2f}",
        ),
    )


async def _write(box: Box, at: At) -> Finding:
    began_s = time.monotonic()
    text = await complete(at, LLM_PROMPT, LLM_TOKENS)
    took_ms = (time.monotonic() - began_s) * 1000
    if not text.strip():
        return Finding("", State.BAD, "it writes nothing.", "Look at its log.")
    return Finding(
        "",
        State.GOOD,
        worded("writes ({ms} ms).", ms=f"{took_ms:.0f}"),
        detail={"ms": round(took_ms)},
    )


async def _post(box: Box, at: At, path: str, body: bytes) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"} if body[:1] == b"{" else {}
    headers |= headers_of(at.key)
    async with box.http.post(at.url + path, data=body, headers=headers) as response:
        answer = await read_at_most(response, ANSWER_BYTES)
        if response.status != 200:
            raise UserError(
                worded("It answers {status} to what it is asked.", status=response.status)
            )
    said = orjson.loads(answer)
    return said if isinstance(said, dict) else {}


def _dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


CHECKS = (
    _stage("tts", "voices", "Voices", _speak, "a sentence spoken, its sound looked at"),
    _stage("stt", "recognisers", "Recognisers", _hear, "that sentence heard"),
    _stage("turn", "turns", "End of turn", _judge, "that sentence judged"),
    _stage("embed", "embeddings", "Embeddings", _embed, "a question, its answer, something else"),
    _stage("rerank", "rerankers", "Rerankers", _rerank, "the same, put in order"),
    _stage("llm", "language-model", "Language model", _write, "one word written"),
)
