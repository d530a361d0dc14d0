"""A tiny Wav2Vec2ForCTC of random weights, saved as real checkpoints are: IndicWav2Vec's layout.

It hears nothing, but everything around the weights is as in a real one: the convolutions and their
norm, the vocabulary of Devanagari letters, the processor's files, a KenLM language model.

Run as a program: ``python -m tests.tiny_wav2vec2 FOLDER [group] [lm] [headless] [large|…]``.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import torch
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC, Wav2Vec2Model

CONTROLS = ["<pad>", "<s>", "</s>", "<unk>", "|"]
LETTERS = list("अआइईउऊएऐओऔकखगघचछजझटठडढणतथदधनपफबभमयरलवशषसहािीुूेैोौं्ड़")
WORDS = ["नमस्ते", "मेरा", "बिल", "कितना", "है", "पुणे"]
LOUD = 12.0
"""Over the frames' mean: what is heard varies from frame to frame, as in a trained model."""

OFTEN = 1.2
"""Standard deviations that blanks and word ends are more probable than letters."""


TINY: dict[str, Any] = {
    "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 96,
    "conv_dim": (32,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
LARGE: dict[str, Any] = {
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
    "intermediate_size": 4096,
}  # fmt: skip
BASE: dict[str, Any] = {}
SHAPES = {"tiny": TINY, "base": BASE, "large": LARGE}
"""Base and large: the two of the paper (Baevski et al. 2020); IndicWav2Vec's is large."""


def make(
    folder: Path,
    *,
    shape: dict[str, Any] = TINY,
    norm: str = "layer",
    lm: bool = False,
    seed: int = 5,
) -> Path:
    """Write a checkpoint (0.3 MB if tiny); the folder it is in."""
    torch.manual_seed(seed)
    labels = CONTROLS + sorted(set(LETTERS))
    config = Wav2Vec2Config(
        vocab_size=len(labels), feat_extract_norm=norm, conv_bias=norm == "layer",
        do_stable_layer_norm=norm == "layer", pad_token_id=0, bos_token_id=1, eos_token_id=2,
        **shape,
    )  # fmt: skip
    model = Wav2Vec2ForCTC(config).eval()
    with torch.no_grad():
        _spread(model)
    model.save_pretrained(folder)
    _write(folder / "vocab.json", {label: place for place, label in enumerate(labels)})
    _write(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "Wav2Vec2CTCTokenizer", "pad_token": "<pad>", "unk_token": "<unk>",
         "word_delimiter_token": "|", "do_lower_case": False},
    )  # fmt: skip
    _write(
        folder / "preprocessor_config.json",
        {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16000,
         "do_normalize": True, "return_attention_mask": norm == "layer", "feature_size": 1,
         "padding_value": 0.0},
    )  # fmt: skip
    if lm:
        _language_model(folder / "language_model")
    return folder


def headless(folder: Path) -> Path:
    """A pretrained model that was never fine-tuned: no letters, though the files look alike."""
    make(folder)
    config = Wav2Vec2Config.from_pretrained(folder)
    Wav2Vec2Model(config).save_pretrained(folder)
    return folder


def _spread(model: Wav2Vec2ForCTC) -> None:
    """The head sees how a frame differs from the mean of some noise."""
    heard: list[torch.Tensor] = []
    hook = model.lm_head.register_forward_hook(lambda _m, inputs, _o: heard.append(inputs[0]))
    model(torch.randn(1, 32_000))
    hook.remove()
    weight = torch.randn_like(model.lm_head.weight) * LOUD
    model.lm_head.weight.copy_(weight)
    model.lm_head.bias.copy_(-(weight @ heard[0][0].mean(dim=0)))
    spread = (heard[0][0] @ weight.T).std(dim=0).mean()
    for often in ("<pad>", "|"):
        model.lm_head.bias[CONTROLS.index(often)] += OFTEN * spread
    for never in ("<s>", "</s>", "<unk>"):
        model.lm_head.bias[CONTROLS.index(never)] -= 9 * spread


def _language_model(folder: Path) -> None:
    """KenLM reads ARPA as well as its own binary."""
    folder.mkdir()
    words = ["<unk>", "<s>", "</s>", *WORDS]
    pairs = list(pairwise(["<s>", *WORDS, "</s>"]))
    lines = ["\\data\\", f"ngram 1={len(words)}", f"ngram 2={len(pairs)}", "", "\\1-grams:"]
    lines += [f"{-99 if word == '<s>' else -1.0}\t{word}\t-0.3" for word in words]
    lines += ["", "\\2-grams:", *(f"-0.2\t{one} {other}" for one, other in pairs)]
    (folder / "lm.arpa").write_text("\n".join([*lines, "", "\\end\\", ""]), encoding="utf-8")
    (folder / "unigrams.txt").write_text("\n".join(WORDS), encoding="utf-8")
    attributes = {"alpha": 0.5, "beta": 1.5, "unk_score_offset": -10.0, "score_boundary": True}
    _write(folder / "attrs.json", attributes)


def _write(path: Path, value: object) -> None:
    path.write_bytes(orjson.dumps(value))


if __name__ == "__main__":
    kinds = sys.argv[2:]
    if "headless" in kinds:
        print(headless(Path(sys.argv[1])))
    else:
        norm = "group" if "group" in kinds else "layer"
        shape = SHAPES[next((kind for kind in kinds if kind in SHAPES), "tiny")]
        print(make(Path(sys.argv[1]), shape=shape, norm=norm, lm="lm" in kinds))
