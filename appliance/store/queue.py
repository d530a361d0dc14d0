"""Where the queue of background jobs is. No call asks: only who adds jobs, and who does them."""

from __future__ import annotations

from urllib.parse import quote

from appliance.settings import REDIS_SECRET, Settings

EMBEDDED_HOST = "127.0.0.1"


def redis_url(settings: Settings) -> str:
    """The URL of Redis: the one set, else the embedded server's, password included."""
    if settings.redis.url:
        return settings.redis.url
    password = quote(settings.secret(REDIS_SECRET), safe="")
    return f"redis://:{password}@{EMBEDDED_HOST}:{settings.redis.embedded_port}/0"
