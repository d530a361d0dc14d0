"""The recognisers that ``ivr stt --engine`` names, each imported only by the process that runs it."""

from __future__ import annotations

from appliance.checkpoints.manifest import folder_of
from appliance.errors import UserError
from appliance.languages import primary
from appliance.models.engine import ModelOptions, SttEngine
from appliance.settings import Settings


def load_engine(name: str, settings: Settings, options: ModelOptions) -> SttEngine:
    """The engine ``name``; imported here, so that a process loads no other. Raises UserError."""
    if name == "faster-whisper":
        return _faster_whisper(settings, options)
    if name == "wav2vec2":
        return _wav2vec2(settings, options)
    if name == "pocketsphinx":
        return _pocketsphinx(settings, options)
    raise UserError(
        f"There is no recogniser {name!r}; there are pocketsphinx, faster-whisper and wav2vec2."
    )


def _pocketsphinx(settings: Settings, options: ModelOptions) -> SttEngine:
    if options.model or options.compute_type or options.device == "cuda":
        raise UserError(
            "pocketsphinx has one model and needs no GPU: --model, --device and --compute-type "
            "are for --engine faster-whisper and wav2vec2."
        )
    try:
        from appliance.models.pocketsphinx import PocketsphinxEngine
    except ImportError as e:
        raise UserError(
            'pocketsphinx is not installed. Install it: pip install "ivr-appliance[embedded]".'
        ) from e
    engine = PocketsphinxEngine(settings.cache_dir)
    if unknown := set(map(primary, options.languages)) - set(engine.languages):
        raise UserError(f"pocketsphinx knows English only, not {', '.join(sorted(unknown))}.")
    engine.capacity = options.capacity or engine.capacity
    return engine


def _faster_whisper(settings: Settings, options: ModelOptions) -> SttEngine:
    try:
        from appliance.models.faster_whisper import FasterWhisper
    except ImportError as e:
        raise UserError(
            f"faster-whisper is not installed ({e}). Install it: pip install -e '.[stt]'."
        ) from e
    from appliance.models.whisper import WhisperEngine

    return WhisperEngine(FasterWhisper(options, folder_of(settings, options.model)), options)


def _wav2vec2(settings: Settings, options: ModelOptions) -> SttEngine:
    try:
        from appliance.models.wav2vec2_model import Wav2Vec2
    except ImportError as e:
        raise UserError(
            f"torch or transformers is not installed ({e}). Install it: "
            "pip install -e '.[wav2vec2]'."
        ) from e
    from appliance.models.wav2vec2 import Wav2Vec2Engine

    folder = folder_of(settings, options.model)
    return Wav2Vec2Engine(Wav2Vec2(options, folder), options)
