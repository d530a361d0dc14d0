"""The self-test of models of texts: does a sentence encoder, or a reranker, know what is alike?"""

from __future__ import annotations

from typing import Any

import aiohttp
import numpy as np

from appliance.engines.key import headers_of
from appliance.errors import UserError, reason_of
from appliance.ops.models.serve import ANSWER_S, At, served
from appliance.settings import Run

QUESTION = {"en": "How do I pay my bill?", "hi": "मैं अपना बिल कैसे भरूँ?"}
ANSWER = {
    "en": "An invoice can be settled by card or in cash.",
    "hi": "आप कार्ड से या नकद भुगतान कर सकते हैं।",
}
OTHER = {
    "en": "The red light of the router means that there is no signal.",
    "hi": "राउटर की लाल बत्ती का मतलब है कि सिग्नल नहीं है।",
}


async def knows_alike(stage: str, run: Run, language: str) -> tuple[float, float]:
    """How near the answer and something else are to the question. Raises UserError."""
    question, texts = QUESTION[language], [ANSWER[language], OTHER[language]]
    async with served(stage, run) as at:
        if stage == "rerank":
            said = await _post(at, "/rerank", {"query": question, "documents": texts})
            scores = {row["index"]: float(row["relevance_score"]) for row in said["results"]}
            return scores[0], scores[1]
        asked = await _vectors(at, [question], "query")
        answer, other = await _vectors(at, texts, "passage")
        return float(asked[0] @ answer), float(asked[0] @ other)


async def _vectors(at: At, texts: list[str], kind: str) -> list[Any]:
    said = await _post(at, "/v1/embeddings", {"input": texts, "input_type": kind})
    return [np.array(row["embedding"]) for row in said["data"]]


async def _post(at: At, path: str, body: dict[str, Any]) -> dict[str, Any]:
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(at.url + path, json=body, headers=headers_of(at.key)) as response,
        ):
            answer: dict[str, Any] = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as e:
        raise UserError(f"It does not answer: {reason_of(e)}.") from e
    if response.status != 200:
        raise UserError(f"It answers {response.status}: {answer.get('error', 'no reason')}")
    return answer
