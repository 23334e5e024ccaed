"""ICE servers for peers and their clients, with time-limited TURN credentials."""

import base64
import hashlib
import hmac
import time

from mediaserver.rtc.config import IceServer
from mediaserver.settings import Settings

TURN_CREDENTIAL_SECONDS = 24 * 3600


def ice_servers(settings: Settings) -> tuple[IceServer, ...]:
    """Return the configured servers; TURN credentials are made anew at each call."""
    plain = tuple(IceServer((url,)) for url in settings.ice_servers)
    if not settings.turn_urls or settings.turn_secret is None:
        return plain
    # As coturn's use-auth-secret takes them (draft-uberti-behave-turn-rest-00).
    username = f"{int(time.time()) + TURN_CREDENTIAL_SECONDS}:mediaserver"
    digest = hmac.new(settings.turn_secret.get_secret_value().encode(), username.encode(), hashlib.sha1).digest()
    return (*plain, IceServer(settings.turn_urls, username, base64.b64encode(digest).decode()))
