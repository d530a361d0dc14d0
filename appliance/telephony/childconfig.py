"""What the parent of ``ivr sip`` tells each pjsua2 child, as the first JSON line on its stdin."""

from __future__ import annotations

from dataclasses import dataclass, field

RTP_PORTS = 100
"""Each child's share of RTP ports, from ``rtp_port`` on."""


@dataclass(frozen=True, slots=True)
class ChildConfig:
    """What the parent tells a child."""

    name: str
    host: str
    """Address of RTP, and of the Contact."""
    public: str
    """``host:port`` of the proxy towards callers."""
    proxy: str
    """``host:port`` of the proxy's inner socket; only it may call."""
    rtp_port: int
    worker_urls: tuple[str, ...]
    secret: str = field(repr=False)
    silent_rtp_s: float
    """A call without RTP for so long is hung up."""
    log_level: str
    log_json: bool
    strict_rtp: bool = True
    """RTP is heard from the caller's own addresses alone (rtpguard.py)."""
