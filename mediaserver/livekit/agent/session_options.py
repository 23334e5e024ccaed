"""What a participant asks of the conversation it begins, by its attributes."""

import re

from mediaserver.livekit.protocol.access_token import AccessTokenClaims
from mediaserver.livekit.protocol.join_request import Join
from mediaserver.session_factory import SessionOptions

_ACCEPTED = {
    "model": re.compile(r"[A-Za-z0-9._/:-]{1,128}"),
    "language": re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}"),
    "voice": re.compile(r"[A-Za-z0-9 ._-]{1,64}"),
}


def session_options(room: str, grant: AccessTokenClaims, join: Join) -> SessionOptions:
    """`model`, `language` and `voice` of the token's attributes, or of the join's if it may change them.

    An attribute can mean anything to an application: what cannot be a wish is none.
    """
    said = dict(join.attributes) | dict(grant.attributes) if grant.can_update_own_metadata else dict(grant.attributes)
    wishes = {name: said[name] for name, accepted in _ACCEPTED.items() if accepted.fullmatch(said.get(name, ""))}
    return SessionOptions(
        label=room,
        model=wishes.get("model"),
        language=wishes.get("language"),
        voice=wishes.get("voice"),
        transport="livekit",
    )
