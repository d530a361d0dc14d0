"""What the calls of a worker share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance.call.composer import Composer
from appliance.call.past import PastCalls
from appliance.call.speaker import Journal
from appliance.engines.base import NoteTaker, Recogniser, TurnJudge
from appliance.engines.vad import VoiceActivity
from appliance.media.playout import Pacer
from appliance.media.recording import DiskWriter
from appliance.store.directory import Directory


@dataclass(frozen=True)
class Services:
    """The worker's parts, each for all of its calls."""

    directory: Directory
    past: PastCalls
    recogniser: Recogniser
    judge: TurnJudge
    composer: Composer
    vad: VoiceActivity
    pacer: Pacer
    disk: DiskWriter | None
    """None: calls are not recorded."""
    recordings: Path
    journal: Journal
    watch: Callable[[str, dict[str, object]], None]
    """Told (call id, event) of what a person may want to see live."""
    is_watched: Callable[[str, str], bool] = lambda call_id, kind: True
    """Whether anybody sees that kind of event of the call."""
    notes: NoteTaker | None = None
    """Writes the running summaries; None: there is no language model."""
