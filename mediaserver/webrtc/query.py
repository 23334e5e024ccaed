"""What a client asks of its session in the query of `/whip`."""

from collections.abc import Mapping

from mediaserver.http_errors import HttpError
from mediaserver.session_factory import SessionOptions
from mediaserver.session_limits import LABEL, LANGUAGE, MODEL, VOICE, normalize_language

_RULES = {"session": LABEL, "model": MODEL, "language": LANGUAGE, "voice": VOICE}


def parse_options(query: Mapping[str, str]) -> SessionOptions:
    """Read the query; raises `HttpError` 422 that names every wrong field. What is unknown is ignored."""
    given = {name: query[name] for name in _RULES if query.get(name)}
    wrong = {name: _RULES[name].description for name, value in given.items() if not _RULES[name].matches(value)}
    if wrong:
        told = "; ".join(f"`{name}` takes {accepted}" for name, accepted in wrong.items())
        fields = [{"field": name, "message": f"Takes {accepted}."} for name, accepted in wrong.items()]
        raise HttpError(422, "INVALID_FIELDS", f"{told}.", details={"fields": fields})
    return SessionOptions(
        label=given.get("session"),
        model=given.get("model"),
        language=normalize_language(given["language"]) if "language" in given else None,
        voice=given.get("voice"),
    )
