"""Microphone and loudspeaker of a test call, in the browser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from nicegui import ui
from nicegui.events import GenericEventArguments

from appliance.admin.ui.words import Translate


@dataclass(frozen=True, slots=True)
class SoundOffer:
    """What the browser can do for a call."""

    sdp: str
    """Empty: no sound at all."""
    microphone: bool
    why: str
    """Why there is no microphone, in a sentence; empty where there is one, or none was wanted."""


class Sound(ui.element, component="tryit.js"):
    """Level meter, mute button, and the agent's voice."""

    def __init__(self, t: Translate, on_offer: Callable[[SoundOffer], Awaitable[None]]) -> None:
        """``on_offer``: told after :meth:`start`, once."""
        super().__init__()
        self._props["words"] = _words(t)

        async def offered(event: GenericEventArguments) -> None:
            await on_offer(_offer(event.args))

        self.on("offer", offered)

    def start(self, *, microphone: bool) -> None:
        """Open the microphone if it is wanted, and make an offer."""
        self.run_method("start", microphone)

    def answer(self, sdp: str) -> None:
        """The console's answer."""
        self.run_method("answer", sdp)

    def stop(self) -> None:
        """Close microphone and loudspeaker."""
        self.run_method("stop")


def _offer(args: object) -> SoundOffer:
    """A browser may send anything."""
    told = args if isinstance(args, dict) else {}
    sdp, why = told.get("sdp"), told.get("why")
    return SoundOffer(
        sdp if isinstance(sdp, str) else "",
        told.get("microphone") is True,
        why[:300] if isinstance(why, str) else "",
    )


def _words(t: Translate) -> dict[str, str]:
    return {
        "level": t("Level of the microphone"),
        "mute": t("Mute the microphone"),
        "unmute": t("Switch the microphone on"),
        "refused": t("The browser was not allowed to use the microphone. Type instead."),
        "none": t("No microphone was found. Type instead."),
        "insecure": t("Browsers open microphones on HTTPS pages only. Type instead."),
        "silent": t("The browser plays no sound on this page yet: click anywhere."),
        "broken": t("This browser has no WebRTC. Type instead."),
    }
