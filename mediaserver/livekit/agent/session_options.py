"""The session options that a participant sets by its attributes."""

from mediaserver.bounded_json import JsonError, parse_json
from mediaserver.livekit.protocol.access_token import AccessTokenClaims
from mediaserver.livekit.protocol.join_request import Join
from mediaserver.session_factory import SessionOptions
from mediaserver.session_limits import GUIDE, LANGUAGE, MODEL, VOICE, normalize_language

_RULES = {"model": MODEL, "language": LANGUAGE, "voice": VOICE, "guide": GUIDE}


def session_options(room: str, grant: AccessTokenClaims, join: Join) -> SessionOptions:
    """Read `model`, `language`, `voice` and `guide` from the token's attributes, or the join's if it may change them.

    `guide` may also stand in the metadata, if that is a JSON object.

    Applications use attributes for other purposes too, so values of another form are ignored.
    """
    attributes = _in_metadata(grant.metadata) | dict(grant.attributes)
    if grant.can_update_own_metadata:
        attributes = _in_metadata(join.metadata) | dict(join.attributes) | attributes
    options = {name: attributes[name] for name, rule in _RULES.items() if rule.matches(attributes.get(name, ""))}
    return SessionOptions(
        label=room,
        model=options.get("model"),
        language=normalize_language(options["language"]) if "language" in options else None,
        voice=options.get("voice"),
        guide=options.get("guide"),
        transport="livekit",
    )


def _in_metadata(metadata: str) -> dict[str, str]:
    try:
        content = parse_json(metadata) if metadata.startswith("{") else None
    except JsonError:
        return {}
    match content:
        case {"guide": str(guide)}:
            return {"guide": guide}
        case _:
            return {}
