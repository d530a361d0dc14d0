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
from appliance.errors import UserError, reason_of
from appliance.languages import primary
from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State
from appliance.ops.models.selftest import LLM_PROMPT, LLM_TOKENS, unlike_speech
from appliance.ops.models.selftest_text import ANSWER, OTHER, QUESTION
from appliance.ops.models.serve import RATE_HZ, complete, hear, say, voices
from appliance.ops.sitelook import ServerLook

ASK_TIMEOUT_S = 10.0
STAGE_TIMEOUT_S = 20.0
AT_ONCE = 2
"""Servers of a stage asked at once: calls are served beside it."""
MOST_SERVERS = 16
ANSWER_BYTES = 4 << 20
WEAK_ERROR = 0.6
"""Word error rate, of a synthetic voice at 8 kHz, that still shows a recogniser that works."""
Ask = Callable[[Box, str], Awaitable[Finding]]


def _stage(stage: str, code: str, title: str, ask: Ask, how: str) -> Check:
    """The check that asks each server of a stage that answers /health."""

    async def look(box: Box) -> Sequence[Finding]:
        servers = await _servers(box, stage)
        if servers is None:
            return [Finding(code, State.SKIPPED, f"The settings name no server of {stage}.")]
        if not servers:
            what = f"No server of {stage} answers /health, so none was asked."
            return [Finding(code, State.SKIPPED, what)]
        places = asyncio.Semaphore(AT_ONCE)

        async def one(server: ServerLook) -> Finding:
            async with places:
                return await _asked(box, code, server, ask)

        return await asyncio.gather(*(one(server) for server in servers[:MOST_SERVERS]))

    return Check(code, title, Group.ENGINES, look, timeout_s=STAGE_TIMEOUT_S, how=how)


async def _servers(box: Box, name: str) -> list[ServerLook] | None:
    """Those that are up; None: the settings name none."""
    stage = next((stage for stage in (await box.site()).stages if stage.name == name), None)
    return None if stage is None else list(stage.up)


async def _asked(box: Box, code: str, server: ServerLook, ask: Ask) -> Finding:
    """Its answer, judged; a server that is silent or refuses is bad."""
    name = f"{server.engine or 'The server'} at {server.url}"
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            found = await ask(box, "http" + server.url.removeprefix("ws").removeprefix("http"))
    except TimeoutError:
        why = f"it answers /health, but not in {ASK_TIMEOUT_S:.0f} s what it is asked"
    except UserError as e:
        why = str(e).rstrip(".").replace("It ", "it ", 1)
    except (aiohttp.ClientError, ValueError, LookupError, TypeError, OSError) as e:
        why = f"it answers /health, but not what it is asked: {reason_of(e)}"
    else:
        return Finding(code, found.state, f"{name}: {found.what}", found.do, detail=found.detail)
    do = "Look at its log and start it again; `ivr models verify` tests its model."
    return Finding(code, State.BAD, f"{name}: {why}.", do, code="engine-fails")


# --- each stage's question ------------------------------------------------------------------------


async def _speak(box: Box, url: str) -> Finding:
    offered = await voices(url)
    speakable = [one for one in offered if primary(one["language"]) in SENTENCES]
    if not speakable:
        return Finding("", State.SKIPPED, "it offers no voice of a language that we can test")
    voice = speakable[0]
    said = SENTENCES[primary(voice["language"])]
    began_s = time.monotonic()
    pcm = await say(url, said, voice=voice["id"], language=voice["language"])
    took_ms = (time.monotonic() - began_s) * 1000
    if trouble := unlike_speech(said, pcm):
        do = "Listen to it: ivr models verify; another voice may do better."
        return Finding("", State.BAD, f"what {voice['id']} says is no speech: {trouble}.", do)
    what = f"{voice['id']} speaks ({voice['language']}, {took_ms:.0f} ms)."
    return Finding("", State.GOOD, what, detail={"ms": round(took_ms)})


async def _hear(box: Box, url: str) -> Finding:
    language, pcm = await box.once("speech", lambda: _speech(box))
    if not pcm:
        return Finding("", State.SKIPPED, "no voice answers that could speak to it.")
    said = SENTENCES[language]
    texts = [said, *OTHERS] if language == "en" else [said]
    began_s = time.monotonic()
    heard = await hear(url, pcm, language=language, texts=texts)
    took_ms = (time.monotonic() - began_s) * 1000
    wrong = word_error(said, heard)
    if not set(words_of(said)) & set(words_of(heard)):
        do = "`ivr models verify` tests its model; is it meant for another language?"
        return Finding(
            "", State.WARNING, f"no word of a sentence in {language} was heard right.", do
        )
    if wrong > WEAK_ERROR:
        what = f"{100 * wrong:.0f} % of a sentence in {language} was heard wrong."
        return Finding("", State.WARNING, what, "`ivr models verify` tests its model.")
    what = f"hears {language} ({took_ms:.0f} ms, {100 * wrong:.0f} % wrong)."
    return Finding(
        "", State.GOOD, what, detail={"ms": round(took_ms), "word_error": round(wrong, 2)}
    )


async def _speech(box: Box) -> tuple[str, bytes]:
    """A sentence spoken by a voice that answers: its language, L16 at 8 kHz; empty: none does."""
    for server in await _servers(box, "tts") or ():
        try:
            for voice in await voices(server.url):
                language = primary(voice["language"])
                if language in SENTENCES:
                    said = SENTENCES[language]
                    pcm = await say(server.url, said, voice=voice["id"], language=voice["language"])
                    return language, pcm
        except (UserError, aiohttp.ClientError, TimeoutError, ValueError, LookupError):
            continue  # the check of voices tells
    return "en", b""


async def _judge(box: Box, url: str) -> Finding:
    _, pcm = await box.once("speech", lambda: _speech(box))
    body = pcm or bytes(bytes_of(1000, RATE_HZ))
    complete_ = float((await _post(box, f"{url}/v1/turn?rate={RATE_HZ}", body))["complete"])
    if not 0 <= complete_ <= 1:
        return Finding("", State.BAD, f"it answers {complete_}, which is no probability.")
    return Finding("", State.GOOD, f"judges that a turn is over with {complete_:.2f}.")


async def _embed(box: Box, url: str) -> Finding:
    texts = [QUESTION["en"], ANSWER["en"], OTHER["en"]]
    body = orjson.dumps({"input": texts, "input_type": "passage"})
    rows = (await _post(box, f"{url}/v1/embeddings", body))["data"]
    question, answer, other = ([float(x) for x in row["embedding"]] for row in rows)
    near, far = _dot(question, answer), _dot(question, other)
    if near <= far:
        what = (
            f"an answer is no nearer to its question ({near:.2f}) than something else ({far:.2f})."
        )
        return Finding("", State.WARNING, what, "Is it the model that the passages were made with?")
    return Finding("", State.GOOD, f"knows what is alike ({near:.2f} against {far:.2f}).")


async def _rerank(box: Box, url: str) -> Finding:
    body = orjson.dumps({"query": QUESTION["en"], "documents": [ANSWER["en"], OTHER["en"]]})
    rows = (await _post(box, f"{url}/rerank", body))["results"]
    scores = {row["index"]: float(row["relevance_score"]) for row in rows}
    if scores[0] <= scores[1]:
        return Finding("", State.WARNING, "it puts something else before an answer.")
    return Finding(
        "", State.GOOD, f"puts an answer first ({scores[0]:.2f} against {scores[1]:.2f})."
    )


async def _write(box: Box, url: str) -> Finding:
    llm = box.settings.engines.llm
    began_s = time.monotonic()
    text = await complete(url, llm.api_key, LLM_PROMPT, LLM_TOKENS)
    took_ms = (time.monotonic() - began_s) * 1000
    if not text.strip():
        return Finding("", State.BAD, "it writes nothing.", "Look at its log.")
    return Finding("", State.GOOD, f"writes ({took_ms:.0f} ms).", detail={"ms": round(took_ms)})


async def _post(box: Box, url: str, body: bytes) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"} if body[:1] == b"{" else {}
    async with box.http.post(url, data=body, headers=headers) as response:
        answer = await read_at_most(response, ANSWER_BYTES)
        if response.status != 200:
            raise UserError(f"It answers {response.status} to what it is asked.")
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
