"""What a participant asks of the conversation it begins, by its attributes."""

from mediaserver.livekit.protocol.access_token import AccessTokenClaims
from mediaserver.livekit.protocol.join_request import Join
from mediaserver.session_factory import SessionOptions
from mediaserver.session_limits import LANGUAGE, MODEL, VOICE, normalize_language

_RULES = {"model": MODEL, "language": LANGUAGE, "voice": VOICE}


def session_options(room: str, grant: AccessTokenClaims, join: Join) -> SessionOptions:
    """`model`, `language` and `voice` of the token's attributes, or of the join's if it may change them.

    An attribute can mean anything to an application: what cannot be a wish is none.
    """
    said = dict(join.attributes) | dict(grant.attributes) if grant.can_update_own_metadata else dict(grant.attributes)
    wishes = {name: said[name] for name, rule in _RULES.items() if rule.matches(said.get(name, ""))}
    return SessionOptions(
        label=room,
        model=wishes.get("model"),
        language=normalize_language(wishes["language"]) if "language" in wishes else None,
        voice=wishes.get("voice"),
        transport="livekit",
    )
