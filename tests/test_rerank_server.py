"""The reranking server with a tiny cross-encoder in the published layout, and its client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from click.testing import CliRunner

from appliance.__main__ import main
from appliance.engines.pool import Health, Pool
from appliance.engines.reranker import HttpReranker
from appliance.errors import EngineError
from appliance.models.http import Refused
from appliance.models.rerank_server import MAX_TEXTS, answer_of, pairs_of
from appliance.ops.keeping.groups import engine_groups
from appliance.settings import Settings
from tests import tiny_encoder
from tests.knowledge_servers import KEY
from tests.serving import Served, client, serving
from tests.tinyserver import tiny

QUESTION = "when are you open"
TEXTS = ["late fee", "how much is the home plan cost", "मेरा बिल", "router light red", "pay bill"]
GONE_URL = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models") / "tiny-reranker"


@pytest.fixture(scope="module")
def expected(folder: Path) -> list[float]:
    weights = tiny_encoder.make(folder, kind="xlm-roberta", cross=True)
    return [float(tiny_encoder.reference(folder, weights, QUESTION, text)) for text in TEXTS]


@pytest.fixture
async def served(tmp_path: Path, folder: Path, expected: list[float]) -> AsyncIterator[Served]:
    async with serving(tmp_path, "rerank", "--model", str(folder)) as server:
        yield server


@pytest.mark.server
async def test_the_wire(served: Served, expected: list[float]) -> None:
    async with aiohttp.ClientSession() as stranger:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            for path in ("/rerank", "/v1/rerank"):
                async with stranger.post(served.url + path, json={}, headers=headers) as response:
                    assert response.status == 401
    async with client() as http:
        async with http.get(f"{served.url}/health") as response:
            health = await response.json()
        assert health["stage"] == "rerank" and health["model"].startswith("tiny-reranker@")
        asked: dict[str, Any] = {"model": "any", "query": QUESTION, "documents": TEXTS, "top_n": 2}
        for path in ("/rerank", "/v1/rerank"):
            async with http.post(served.url + path, json=asked) as response:
                answer = await response.json()
            best = sorted(range(len(TEXTS)), key=lambda n: -expected[n])[:2]
            assert [row["index"] for row in answer["results"]] == best
            for row in answer["results"]:
                assert abs(row["relevance_score"] - expected[row["index"]]) < 1e-4
                assert row.keys() == {"index", "relevance_score"}
        objects = {"query": QUESTION, "documents": [{"text": "late fee"}], "return_documents": True}
        async with http.post(f"{served.url}/rerank", json=objects) as response:
            assert (await response.json())["results"][0]["document"] == {"text": "late fee"}
        async with http.post(f"{served.url}/rerank", json={"query": QUESTION}) as response:
            assert response.status == 400
            assert "documents must be a list" in (await response.json())["error"]["message"]


@pytest.mark.server
async def test_the_client_has_the_scores_in_the_texts_own_order(
    served: Served, expected: list[float]
) -> None:
    async with client() as http:
        pool = Pool("rerank", (GONE_URL, served.url), http, lambda url: KEY)
        reranker = HttpReranker(pool, http, 2000)
        scores = await reranker.rerank(QUESTION, TEXTS)
        assert scores == pytest.approx(expected, abs=1e-4)
        many = await asyncio.gather(*(reranker.rerank(QUESTION, TEXTS) for _ in range(10)))
        assert all(each == pytest.approx(expected, abs=1e-4) for each in many)
        assert await reranker.rerank(QUESTION, []) == []
        with pytest.raises(EngineError, match="refused with status 400"):
            await reranker.rerank(QUESTION, ["x"] * (MAX_TEXTS + 1))
        gone = HttpReranker(Pool("rerank", (GONE_URL,), http), http, 500)
        with pytest.raises(EngineError):
            await gone.rerank(QUESTION, TEXTS)


async def test_a_late_server_stays_in_and_a_wrong_answer_is_none() -> None:
    async def late(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    async def wrong(_: web.Request) -> web.Response:
        return web.json_response({"results": [{"index": 0, "relevance_score": 0.5}]})

    async with client() as http:
        async with tiny("/rerank", late) as server:
            pool = Pool("rerank", (server.url,), http)
            await pool.check()
            with pytest.raises(EngineError, match="no scores in 30 ms"):
                await HttpReranker(pool, http, 30).rerank(QUESTION, TEXTS)
            assert pool.servers[0].health is Health.UP
            assert pool.servers[0].in_flight == 0
        async with tiny("/rerank", wrong) as server:
            pool = Pool("rerank", (server.url,), http)
            with pytest.raises(EngineError):
                await HttpReranker(pool, http, 500).rerank(QUESTION, TEXTS)
            assert pool.servers[0].health is Health.DOWN


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"documents": ["a"]}, "query"),
        ({"query": "q", "documents": []}, "1 to"),
        ({"query": "q", "documents": ["a"] * (MAX_TEXTS + 1)}, "1 to"),
        ({"query": "q", "documents": ["a", 5]}, "Each of documents"),
        ({"query": "q", "documents": [{"title": "a"}]}, "Each of documents"),
        ({"query": "q", "documents": ["a" * 9000]}, "longer than"),
    ],
)
def test_bad_requests_get_one_clear_sentence(request_: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says):
        pairs_of(request_)


def test_top_n_must_be_a_number() -> None:
    for top in (0, "two", 1.5):
        with pytest.raises(Refused, match="top_n"):
            answer_of({"top_n": top}, [("q", "a")], [0.5])


def test_it_is_a_stage_like_any_other(tmp_path: Path) -> None:
    run = {"engine": "onnx", "model": "mmarco-minilm-l12", "compute_type": "int8"}
    settings = Settings.model_validate(
        {"data_dir": tmp_path, "engines": {"rerank": {"run": [run]}}}
    )
    assert not Settings.model_validate({"data_dir": tmp_path}).engines.rerank.is_served
    (group,) = [group for group in engine_groups(settings) if group.stage == "rerank"]
    (program,) = group.programs
    words = " ".join(program.command())
    assert "rerank --engine onnx --model mmarco-minilm-l12 --compute-type int8 --port 7451" in words


def test_a_model_that_is_not_here_is_one_clear_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IVR_DATA_DIR", str(tmp_path))
    for command, says in (
        (["rerank"], "A reranker needs a model"),
        (["rerank", "--model", "mmarco-minilm-l12"], "ivr models pull mmarco-minilm-l12"),
        (["embed", "--engine", "onnx"], "needs a model"),
        (["embed", "--engine", "onnx", "--model", "multilingual-e5-small"], "ivr models pull"),
        (["embed", "--model", "multilingual-e5-small"], "--engine onnx"),
        (["embed", "--compute-type", "float16"], "float32 or int8"),
        (["embed", "--device", "cuda"], "computes on the CPU"),
    ):
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 2 and says in result.output, result.output
