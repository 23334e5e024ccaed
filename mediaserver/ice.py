"""ICE servers for peers and their clients, with TURN credentials of one user that are valid for an hour."""

import base64
import hashlib
import hmac
import re
import time

from mediaserver.rtc.config import IceServer
from mediaserver.settings import Settings

TURN_CREDENTIAL_SECONDS = 3600

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")


def stun_servers(settings: Settings) -> tuple[IceServer, ...]:
    """Return the servers of ICE_SERVERS, which need no credentials."""
    return tuple(IceServer((url,)) for url in settings.ice_servers)


def ice_servers(settings: Settings, user: str) -> tuple[IceServer, ...]:
    """Return the configured servers for a user; TURN credentials are made anew at each call."""
    if not settings.turn_urls or settings.turn_secret is None:
        return stun_servers(settings)
    # As coturn's use-auth-secret takes them (draft-uberti-behave-turn-rest-00): "expiry:user", signed with the secret.
    username = f"{int(time.time()) + TURN_CREDENTIAL_SECONDS}:{_turn_name(user)}"
    digest = hmac.new(settings.turn_secret.get_secret_value().encode(), username.encode(), hashlib.sha1).digest()
    credential = base64.b64encode(digest).decode()
    return (*stun_servers(settings), IceServer(settings.turn_urls, username, credential))


def _turn_name(user: str) -> str:
    # Identities of LiveKit tokens are any text; this one goes into a header field and into TURN's logs.
    return user if _PLAIN.fullmatch(user) else hashlib.sha256(user.encode()).hexdigest()[:32]
