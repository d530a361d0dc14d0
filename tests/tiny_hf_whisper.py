"""A tiny Whisper of random weights as Hugging Face has it: what `ivr models convert` starts from.

Runs as a program in an environment that has torch and transformers, and imports nothing of ours:

    PYTHON tiny_hf_whisper.py FOLDER [old] [no-empty] [regenerate] [no-languages] [bare]

The vocabulary has the size and the ids of the real multilingual one (51 865 tokens), so the traps are
the real ones. ``old``: the tokenizer's files as Transformers 4.2x wrote them, those of IndicWhisper.
``no-empty``: the empty token's place is a hole; ``full``: another token has it. ``regenerate``: a
generation_config.json that Transformers makes anew. ``no-languages``: one without ``lang_to_id``.
``bare``: none at all.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration
from transformers.models.whisper.tokenization_whisper import LANGUAGES

EMPTY, FIRST_SPECIAL, TOKENS, TIMES = 50_256, 50_257, 51_865, 1501


def byte_letters() -> list[str]:
    """GPT-2's letters for the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [256 + place for place in range(256 - len(printable))]
    return [chr(code) for code in sorted(printable + rest)]


def specials() -> list[str]:
    codes = list(LANGUAGES)[:99]  # those of the 51 865
    names = ["endoftext", "startoftranscript", *codes, "translate", "transcribe", "startoflm",
             "startofprev", "nocaptions", "notimestamps"]  # fmt: skip
    return [f"<|{name}|>" for name in names]


def vocabulary(options: set[str]) -> dict[str, int]:
    tokens = byte_letters()
    tokens += [f"word{number}" for number in range(EMPTY - len(tokens))]
    found = {token: number for number, token in enumerate(tokens)}
    if "full" in options:
        found["another"] = EMPTY
    elif "no-empty" not in options:
        found[""] = EMPTY
    return found


def write_tokenizer(folder: Path, options: set[str]) -> None:
    words = vocabulary(options)
    added = {token: FIRST_SPECIAL + number for number, token in enumerate(specials())}
    (folder / "vocab.json").write_text(json.dumps(words))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    end = "<|endoftext|>"
    config = {"tokenizer_class": "WhisperTokenizer", "unk_token": end, "bos_token": end,
              "eos_token": end, "model_max_length": 1024}  # fmt: skip
    if "old" in options:
        (folder / "added_tokens.json").write_text(json.dumps(added))
        special = {"unk_token": end, "bos_token": end, "eos_token": end,
                   "additional_special_tokens": list(added)}  # fmt: skip
        (folder / "special_tokens_map.json").write_text(json.dumps(special))
    else:
        config["added_tokens_decoder"] = {
            str(number): {"content": token, "special": True, "lstrip": False, "rstrip": False,
                          "normalized": False, "single_word": False}
            for token, number in added.items()
        }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def write_generation(folder: Path, options: set[str]) -> None:
    path = folder / "generation_config.json"
    if "bare" in options:
        path.unlink(missing_ok=True)
        return
    config = json.loads(path.read_text())
    ids = {token: FIRST_SPECIAL + number for number, token in enumerate(specials())}
    config["_from_model_config"] = "regenerate" in options
    config["alignment_heads"] = [[0, 0], [0, 1]]
    config["suppress_tokens"], config["begin_suppress_tokens"] = [1, 2], [220, 50257]
    if "no-languages" not in options:
        config["lang_to_id"] = {t: i for t, i in ids.items() if t[2:-2] in LANGUAGES}
    path.write_text(json.dumps(config))


def make(folder: Path, options: set[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(3)
    config = WhisperConfig(
        vocab_size=TOKENS, d_model=16, encoder_layers=1, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_ffn_dim=32,
    )  # fmt: skip
    WhisperForConditionalGeneration(config).save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    write_tokenizer(folder, options)
    write_generation(folder, options)


if __name__ == "__main__":
    make(Path(sys.argv[1]), set(sys.argv[2:]))
