"""Whisper of Hugging Face -> CTranslate2. A program for the environment that has torch.

    PYTHON -I ct2_convert.py ORIGINAL OUT QUANTIZATION

Imports nothing of the appliance. The last line of its output is one JSON object: ``{"ok": …}`` with
what was made, or ``{"error": "sentence"}``. Three traps of fine-tuned checkpoints are dealt with, each
of which ends in a model that hears English whatever it is told, without an error:

1. CTranslate2 takes a model for multilingual only if its vocabulary holds the empty token; where the
   original has a hole for it, it is put back.
2. ``_from_model_config`` in generation_config.json has Transformers make that file anew at load,
   without ``lang_to_id`` and ``alignment_heads``: it is set to false.
3. Where ``lang_to_id`` is missing, it is made from the tokenizer's language tokens.
"""

import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

LANGUAGE = re.compile(r"<\|[a-z]{2,3}\|>")
MULTILINGUAL_TOKENS = 51_865
"""Size of OpenAI's smallest multilingual vocabulary; the English one has 51 864."""
BEFORE_TIMES = "<|notimestamps|>"
SMALL_BYTES = 64 << 20
"""A file below is copied, so that it may be changed; weights are linked."""
FRAMES = 3000
"""Mel frames of Whisper's 30 s window."""


class Unfit(Exception):
    """The original cannot be converted, or what was made is not right; a sentence."""


def convert(original: Path, out: Path, quantization: str) -> dict[str, Any]:
    """Write the converted model to ``out`` and prove that it loads. Raises Unfit."""
    import ctranslate2
    import transformers
    from ctranslate2.converters import TransformersConverter

    with tempfile.TemporaryDirectory(dir=out.parent) as place:
        staged = Path(place)
        _stage(original, staged)
        _fill_hole(staged)
        tokenizer = transformers.WhisperTokenizerFast.from_pretrained(staged)
        _complete(staged, tokenizer)
        copied = ["tokenizer.json", "preprocessor_config.json"]
        converter = TransformersConverter(str(staged), copy_files=copied, low_cpu_mem_usage=True)
        converter.convert(str(out), quantization=quantization, force=True)
        shutil.copyfile(staged / "config.json", out / "original_config.json")
        _mend_vocabulary(out, tokenizer)
    made = _prove(out)
    versions = f"ctranslate2 {ctranslate2.__version__}, transformers {transformers.__version__}"
    return {**made, "versions": versions}


def _stage(original: Path, staged: Path) -> None:
    """The original's files where they may be changed."""
    for path in original.iterdir():
        if path.is_file() and path.stat().st_size < SMALL_BYTES:
            shutil.copyfile(path, staged / path.name)
        elif path.is_file():
            os.symlink(path.resolve(), staged / path.name)


def _fill_hole(staged: Path) -> None:
    """Give the first id that no token has to the empty token, before Transformers closes the gap."""
    added: dict[str, int] = {}
    if (path := staged / "added_tokens.json").exists():
        added |= _read(path)
    if (path := staged / "tokenizer_config.json").exists():
        decoder = _read(path).get("added_tokens_decoder", {})
        added |= {token["content"]: int(number) for number, token in decoder.items()}
    for name in ("vocab.json", "tokenizer.json"):
        path = staged / name
        if not path.exists():
            continue
        whole = _read(path)
        words = whole["model"]["vocab"] if name == "tokenizer.json" else whole
        if name == "tokenizer.json":
            added |= {token["content"]: token["id"] for token in whole.get("added_tokens", ())}
        taken = {*words.values(), *added.values()}
        hole = next((number for number in range(max(taken)) if number not in taken), None)
        if hole is not None and "" not in words and "" not in added:
            words[""] = hole
            path.write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")


def _complete(staged: Path, tokenizer: Any) -> None:
    """Make what the original lacks, and set right what it has wrong."""
    import transformers

    config = _read(staged / "config.json")
    if config.get("model_type") != "whisper":
        raise Unfit(f"this is no Whisper but {config.get('model_type')!r}")
    if not (staged / "tokenizer.json").exists():
        tokenizer.save_pretrained(staged)
    if not (staged / "preprocessor_config.json").exists():
        features = transformers.WhisperFeatureExtractor(feature_size=config.get("num_mel_bins", 80))
        features.save_pretrained(staged)
    generation = _generation(staged / "generation_config.json", config, tokenizer)
    (staged / "generation_config.json").write_text(json.dumps(generation))


def _generation(path: Path, config: dict[str, Any], tokenizer: Any) -> dict[str, Any]:
    found = _read(path) if path.exists() else {}
    found["_from_model_config"] = False
    for name in ("suppress_tokens", "begin_suppress_tokens"):
        if found.get(name) is None:
            found[name] = config.get(name) or []
    if not found.get("lang_to_id"):
        vocabulary = tokenizer.get_vocab()
        found["lang_to_id"] = {t: i for t, i in vocabulary.items() if LANGUAGE.fullmatch(t)}
    if found.get("alignment_heads") is None:
        found.pop("alignment_heads", None)  # CTranslate2 then takes those of the last layers
    return found


def _mend_vocabulary(out: Path, tokenizer: Any) -> None:
    """Every token at its id: a hole in the ids would have shifted all that follow."""
    path = out / "vocabulary.json"
    size = len(_read(path))
    tokens: list[str | None] = [None] * size
    for token, number in tokenizer.get_vocab().items():
        if number >= size:
            raise Unfit(f"its tokenizer has the token {token!r} that its weights have not")
        tokens[number] = token
    if BEFORE_TIMES in tokens:
        first = tokens.index(BEFORE_TIMES) + 1
        for number in range(first, size):
            tokens[number] = tokens[number] or f"<|{(number - first) * 0.02:.2f}|>"
    holes = [number for number, token in enumerate(tokens) if token is None]
    if holes and "" not in tokens:
        tokens[holes.pop(0)] = ""
    for number in holes:
        tokens[number] = f"<|unused{number}|>"
    path.write_text(json.dumps(tokens, ensure_ascii=False), encoding="utf-8")


def _prove(out: Path) -> dict[str, Any]:
    """Load what was made and decode silence once. Raises Unfit."""
    import ctranslate2
    import numpy as np

    config, tokens = _read(out / "config.json"), _read(out / "vocabulary.json")
    languages = [token for token in tokens if LANGUAGE.fullmatch(token)]
    lang_ids = config.get("lang_ids") or []
    if languages and [tokens[number] for number in lang_ids] != sorted(languages, key=tokens.index):
        raise Unfit(
            f"its config.json has {len(lang_ids)} languages, its vocabulary {len(languages)}"
        )
    if not config.get("alignment_heads"):
        raise Unfit("its config.json has no alignment_heads")
    model = ctranslate2.models.Whisper(str(out), device="cpu")
    multilingual = bool(model.is_multilingual)
    if len(languages) > 1 and len(tokens) >= MULTILINGUAL_TOKENS and not multilingual:
        raise Unfit(
            "its vocabulary has no empty token and no place for it: CTranslate2 would hear English"
            " whatever language it is told"
        )
    mels = ctranslate2.StorageView.from_array(np.zeros((1, model.n_mels, FRAMES), np.float32))
    language = languages[0] if languages else "<|en|>"
    prompt = ["<|startoftranscript|>", language, "<|transcribe|>", BEFORE_TIMES]
    known = [token for token in prompt if token in tokens]
    result = model.generate(mels, [known], max_length=len(known) + 4, beam_size=1)
    return {
        "ok": True,
        "multilingual": multilingual,
        "languages": len(languages),
        "tokens": len(result[0].sequences_ids[0]),
    }


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def main(arguments: list[str]) -> int:
    """Convert, and say how it went."""
    original, out, quantization = arguments
    try:
        told = convert(Path(original), Path(out), quantization)
    except Unfit as e:
        told = {"error": str(e)}
    except Exception as e:  # the border of this program: whatever a checkpoint can do wrong
        told = {"error": f"{type(e).__name__}: {str(e).strip().partition(chr(10))[0]}"}
    print(json.dumps(told))
    return 0 if "ok" in told else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
