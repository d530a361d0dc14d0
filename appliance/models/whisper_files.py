"""A folder with a Whisper model in CTranslate2's format: is it whole, does it know its languages?

A converted checkpoint can lack what tells CTranslate2 that it is multilingual; it then hears every
language as English, with no more than a log line. That is refused here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from appliance.errors import UserError

FOLDER_FILES = ("model.bin", "config.json", "tokenizer.json")
VOCABULARY = "vocabulary.json"
MULTILINGUAL_TOKENS = 51_865
"""Whisper's English checkpoints have one token less, for they lack the empty one."""
EMPTY_TOKEN_PLACE = 50_256


def checked_folder(folder: Path) -> None:
    """Raises UserError when a file is missing."""
    missing = [name for name in FOLDER_FILES if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder} is no Whisper model in CTranslate2's format: {', '.join(missing)} missing. "
            "A Whisper of Hugging Face is converted by: ivr models convert NAME|FOLDER"
        )


def checked_languages(folder: Path, multilingual: bool) -> None:
    """Raises UserError for a multilingual checkpoint that was converted without its languages."""
    if not multilingual:
        tokens = len(_json(folder / VOCABULARY, list))
        if tokens >= MULTILINGUAL_TOKENS:
            raise UserError(
                f"{folder} has the vocabulary of a multilingual Whisper without its empty token, "
                "so that CTranslate2 would hear every language as English. Convert it again (ivr "
                f'models convert), or put "" at place {EMPTY_TOKEN_PLACE} of its {VOCABULARY}.'
            )
        return
    config = _json(folder / "config.json", dict)
    for name, what in (("lang_ids", "language tokens"), ("alignment_heads", "alignment heads")):
        if not config.get(name):
            raise UserError(
                f"{folder}/config.json names no {what} ({name}): it was converted from a "
                "checkpoint whose generation_config.json lacks them. Convert it again with ivr "
                "models convert, which adds them."
            )


def _json(path: Path, kind: type) -> Any:
    try:
        value = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as e:
        raise UserError(f"{path} cannot be read ({e}). Fetch the model again.") from e
    if not isinstance(value, kind):
        raise UserError(f"{path} does not hold a JSON {kind.__name__}. Fetch the model again.")
    return value
