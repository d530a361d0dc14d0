"""The embedding server: its wire, its limits, its queue, and its end on SIGTERM."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from appliance.engines.embedder import HttpEmbedder
from appliance.engines.pool import Pool
from appliance.errors import EngineError
from appliance.models import embed_queue
from appliance.models.embed_queue import EmbedQueue
from appliance.models.embed_server import MAX_TEXTS, kind_of, texts_of
from appliance.models.http import Refused
from appliance.models.lane import Full
from tests import tiny_encoder
from tests.knowledge_servers import AUTHORIZATION, KEY, EmbedProcess
from tests.serving import serving
from tests.tinyserver import tiny

GONE_URL = "http://127.0.0.1:9"  # the discard port: nobody listens


def _vectors(texts: Sequence[str]) -> np.ndarray:
    return np.array([[float(len(text)), 0.0] for text in texts], np.float32)


class _Runs:
    """A model that tells its runs apart, and waits in the first one until it may go on."""

    def __init__(self) -> None:
        self.runs: list[list[str]] = []
        self.began, self.go_on = threading.Event(), threading.Event()

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.runs.append(list(texts))
        self.began.set()
        assert self.go_on.wait(5)
        return _vectors(texts)


async def test_what_waits_together_runs_together() -> None:
    model = _Runs()
    queue = EmbedQueue(model.embed)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(queue.run())
        first = group.create_task(queue.embed(["one"], "query"))
        await asyncio.to_thread(model.began.wait, 5)
        others = [group.create_task(queue.embed(["q" * n], "query")) for n in (3, 2, 4)]
        await asyncio.sleep(0)
        model.go_on.set()
        answers = await asyncio.gather(first, *others)
        serving.cancel()
    assert model.runs == [["one"], ["qqq", "qq", "qqqq"]]
    assert [int(rows[0][0]) for rows in answers] == [3, 3, 2, 4]


async def test_a_question_does_not_wait_for_a_passage_under_way() -> None:
    slow = _Runs()

    def embed(texts: Sequence[str]) -> np.ndarray:
        return _vectors(texts) if texts[0].startswith("q") else slow.embed(texts)

    queue = EmbedQueue(embed)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(queue.run())
        passages = group.create_task(queue.embed(["passage"], "passage"))
        await asyncio.to_thread(slow.began.wait, 5)
        async with asyncio.timeout(20):
            assert int((await queue.embed(["question"], "query"))[0][0]) == 8
        assert not passages.done()
        slow.go_on.set()
        await passages
        serving.cancel()


async def test_no_run_of_passages_begins_beside_a_question() -> None:
    question = _Runs()
    order: list[str] = []

    def embed(texts: Sequence[str]) -> np.ndarray:
        if texts[0].startswith("q"):
            question.embed(texts)
        order.append(texts[0])
        return _vectors(texts)

    queue = EmbedQueue(embed)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(queue.run())
        asked = group.create_task(queue.embed(["question"], "query"))
        await asyncio.to_thread(question.began.wait, 5)
        passages = group.create_task(queue.embed(["passage"], "passage"))
        await asyncio.sleep(0.02)
        assert order == []
        question.go_on.set()
        await asyncio.gather(asked, passages)
        serving.cancel()
    assert order == ["question", "passage"]


async def test_a_run_is_bounded_by_characters_and_texts() -> None:
    runs: list[list[int]] = []

    def embed(texts: Sequence[str]) -> np.ndarray:
        runs.append([len(text) for text in texts])
        return _vectors(texts)

    queue = EmbedQueue(embed)
    waiting = asyncio.create_task(queue.embed(["x" * 600] * 3 + ["y"] * 20, "passage"))
    await asyncio.sleep(0)
    assert queue.waiting == 23
    serving = asyncio.create_task(queue.run())
    await waiting
    serving.cancel()
    # alike ones together: no short text is padded to a long one's length
    assert runs == [[1] * 8, [1] * 8, [1] * 4, [600], [600], [600]]


async def test_what_is_given_up_is_not_computed_and_a_failure_is_the_requests_own() -> None:
    seen: list[str] = []

    def embed(texts: Sequence[str]) -> np.ndarray:
        seen.extend(texts)
        if "bad" in texts:
            raise ValueError("no")
        return _vectors(texts)

    queue = EmbedQueue(embed)
    dropped = asyncio.create_task(queue.embed(["dropped"], "query"))
    await asyncio.sleep(0)
    dropped.cancel()
    await asyncio.wait([dropped])
    serving = asyncio.create_task(queue.run())
    with pytest.raises(ValueError):
        await queue.embed(["bad"], "query")
    assert len(await queue.embed(["good"], "query")) == 1
    serving.cancel()
    assert seen == ["bad", "good"]


async def test_a_full_queue_refuses_its_own_kind_only() -> None:
    queue = EmbedQueue(_vectors)
    with pytest.raises(Full):
        await queue.embed(["x"] * (embed_queue.PASSAGES.waiting + 1), "passage")
    held = asyncio.create_task(queue.embed(["x"] * embed_queue.PASSAGES.waiting, "passage"))
    await asyncio.sleep(0)
    with pytest.raises(Full):
        await queue.embed(["x"], "passage")
    serving = asyncio.create_task(queue.run())
    assert len(await queue.embed(["x"], "query")) == 1
    await held
    serving.cancel()


def test_what_a_text_is() -> None:
    assert kind_of({}, 1) == "query" and kind_of({}, 2) == "passage"
    assert kind_of({"input_type": "passage"}, 1) == "passage"
    assert kind_of({"input_type": "search_query"}, 5) == "query"
    for wrong in ("poem", 5):
        with pytest.raises(Refused, match="input_type"):
            kind_of({"input_type": wrong}, 1)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({}, "input must be a text"),
        ({"input": 5}, "input must be a text"),
        ({"input": ["a", 5]}, "input must be a text"),
        ({"input": []}, "1 to"),
        ({"input": ["a"] * (MAX_TEXTS + 1)}, "1 to"),
        ({"input": "a" * 9000}, "longer than"),
    ],
)
def test_bad_requests_get_one_clear_sentence(request_: dict[str, object], says: str) -> None:
    with pytest.raises(Refused, match=says):
        texts_of(request_)


def test_one_text_may_stand_alone() -> None:
    assert texts_of({"model": "x", "input": "hello"}) == ["hello"]


def _post(url: str, body: bytes) -> tuple[int, dict]:
    request = urllib.request.Request(
        url, body, {"Content-Type": "application/json", **AUTHORIZATION}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as e:
        with e:
            return e.code, json.loads(e.read())


@pytest.mark.server
def test_the_wire(embed_process: EmbedProcess) -> None:
    url = embed_process.url
    asking = urllib.request.Request(f"{url}/health", headers=AUTHORIZATION)
    with urllib.request.urlopen(asking, timeout=5) as response:
        health = json.loads(response.read())
    assert health["status"] == "ok" and health["stage"] == "embed" and health["engine"] == "minilm"
    assert {"languages", "in_flight", "capacity"} <= health.keys()
    assert health["languages"] == ["en"] and health["model"].startswith("all-minilm-l6-v2@")
    status, answer = _post(f"{url}/v1/embeddings", b'{"model":"m","input":["one","two"]}')
    assert status == 200 and [row["index"] for row in answer["data"]] == [0, 1]
    vector = np.array(answer["data"][0]["embedding"])
    assert vector.shape == (384,) and abs(np.linalg.norm(vector) - 1) < 1e-5
    status, answer = _post(f"{url}/v1/embeddings", b'{"input": 5}')
    assert status == 400 and answer["error"]["type"] == "invalid_request_error"
    status, answer = _post(f"{url}/v1/embeddings", b"{")
    assert status == 400 and "not valid JSON" in answer["error"]["message"]
    status, answer = _post(f"{url}/v1/embeddings", b'{"input": "' + b"a" * 1_100_000 + b'"}')
    assert status == 413 and answer["error"]["message"]


@pytest.mark.server
async def test_client_goes_on_to_another_server(embed_process: EmbedProcess) -> None:
    async with aiohttp.ClientSession() as http:
        pool = Pool("embed", (GONE_URL, embed_process.url), http, lambda url: KEY)
        embedder = HttpEmbedder(pool, http, 2000)
        assert len((await embedder.embed(["hello"]))[0]) == 384
        assert embedder.model.startswith("all-minilm-l6-v2@")
        assert await embedder.embed([]) == []
        with pytest.raises(EngineError, match="refused with status 400"):
            await embedder.embed(["x" * 9000])
        with pytest.raises(EngineError):
            await HttpEmbedder(Pool("embed", (GONE_URL,), http), http, 500).embed(["hello"])


@pytest.mark.server
async def test_a_model_of_the_operators_own_with_its_prompts(tmp_path: Path) -> None:
    folder = tmp_path / "tiny-e5"
    weights = tiny_encoder.make(folder, kind="xlm-roberta")
    command = ("embed", "--engine", "onnx", "--model", str(folder), "--languages", "hi,mr")
    async with serving(tmp_path / "var", *command) as served, aiohttp.ClientSession() as http:
        pool = Pool("embed", (served.url,), http, lambda url: KEY)
        await pool.check()
        embedder = HttpEmbedder(pool, http, 2000)
        text = "मेरा बिल कब भरना है"
        for kind in ("query", "passage"):
            (vector,) = await embedder.embed([text], kind)
            expected = tiny_encoder.reference(folder, weights, f"{kind}: {text}")
            assert float(np.dot(vector, expected)) > 0.9999
        assert embedder.model.startswith("tiny-e5@")
        assert embedder.note_on("hi-IN") == ""
        assert "tiny-e5@" in embedder.note_on("en") and "multilingual-e5" in embedder.note_on("en")


@pytest.mark.server
async def test_another_model_behind_the_same_address_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = "one@1"

    async def answer(request: web.Request) -> web.Response:
        assert (await request.json())["input_type"] == "query"
        return web.json_response({"model": model, "data": [{"index": 0, "embedding": [1.0]}]})

    async with tiny("/v1/embeddings", answer) as server, aiohttp.ClientSession() as http:
        embedder = HttpEmbedder(Pool("embed", (server.url,), http), http, 2000)
        assert embedder.model == ""
        await embedder.embed(["x"])
        assert embedder.model == "one@1" and not caplog.records
        model = "two@1"
        await embedder.embed(["x"])
    assert embedder.model == "two@1"
    assert "now come from two@1, and came from one@1" in caplog.text


@pytest.mark.server
def test_sigterm_ends_it_well(tmp_path: Path, embed_process: EmbedProcess) -> None:
    with EmbedProcess(embed_process.data_dir) as own:
        own.process.send_signal(signal.SIGTERM)
        assert own.process.wait(8) == 0


@pytest.mark.server
async def test_a_taken_port_is_one_clear_sentence(embed_process: EmbedProcess) -> None:
    port = embed_process.url.rpartition(":")[2]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "appliance", "embed", "--port", port,
        env={**os.environ, "IVR_DATA_DIR": str(embed_process.data_dir)},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await asyncio.wait_for(process.communicate(), 15)
    assert process.returncode == 2
    assert f"Cannot listen on 127.0.0.1:{port}" in said.decode() and b"Traceback" not in said
