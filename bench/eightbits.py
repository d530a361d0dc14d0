"""What weights of 8 bits cost in quality: on the sample's questions, and on Debian's descriptions.

    python -m bench.eightbits [--passages 4000]

all-MiniLM-L6-v2; on the descriptions by meaning alone. Fetches Debian's package descriptions once
(bench/debian.py). Prints a line for each number format; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from appliance.models.encoder_session import Compute
from appliance.models.minilm import MiniLm
from bench import debian
from bench.followups import Judge, followed
from tests.followups import DIALOGUES, UNSEEN
from tests.sunrise_questions import CALIBRATION, HELD_OUT

QUESTIONS = 400
NEAREST = 5
AT_ONCE = 8
FORMATS: tuple[Compute, ...] = ("float32", "int8")


def recall(model: MiniLm, passages: int) -> tuple[float, float]:
    """Recall@1 and @5: a short description finds a passage of its own long one."""
    collection = debian.collection(passages)
    asked = collection.questions(QUESTIONS)
    order = sorted(range(len(collection.texts)), key=lambda n: len(collection.texts[n]))
    vectors = np.zeros((len(order), 384), np.float32)
    for begin in range(0, len(order), AT_ONCE):
        some = order[begin : begin + AT_ONCE]
        vectors[some] = model.embed([collection.texts[n] for n in some])
    first = near = 0
    for package in asked:
        found = np.argsort(-(vectors @ model.embed([package.short])[0]))[:NEAREST]
        first += found[0] in package.passages
        near += bool(set(found) & set(package.passages))
    return first / len(asked), near / len(asked)


def measure(cache: Path, compute: Compute, passages: int) -> dict[str, float | str]:
    """The figures of one number format."""
    model = MiniLm(cache, compute=compute)
    judge = Judge(model)
    at_1, at_5 = recall(model, passages)
    inside = CALIBRATION + HELD_OUT
    return {
        "format": compute,
        "sample_right_first": sum(judge.first(asked) == wanted for asked, wanted, _ in inside),
        "of": len(inside),
        "follow_ups_right": sum(
            followed(judge, some, tell=False)["with"] for some in (DIALOGUES, UNSEEN)
        ),
        "recall_at_1": round(at_1, 3),
        "recall_at_5": round(at_5, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="What weights of 8 bits cost in quality.")
    parser.add_argument("--passages", type=int, default=4000)
    passages = parser.parse_args().passages
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(Path(folder), compute, passages) for compute in FORMATS]
    for row in rows:
        print(" ".join(f"{name}={value}" for name, value in row.items()))
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
