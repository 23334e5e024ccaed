"""The session options that a participant sets by its attributes."""

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
    """Read `model`, `language` and `voice` from the token's attributes, or the join's if it may change them.

    Applications use attributes for other purposes too, so values of another form are ignored.
    """
    attributes = dict(grant.attributes)
    if grant.can_update_own_metadata:
        attributes = dict(join.attributes) | attributes
    options = {
        name: attributes[name] for name, accepted in _ACCEPTED.items() if accepted.fullmatch(attributes.get(name, ""))
    }
    return SessionOptions(
        label=room,
        model=options.get("model"),
        language=options.get("language"),
        voice=options.get("voice"),
        transport="livekit",
    )
