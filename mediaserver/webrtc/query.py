"""The query of `/whip`: session options of the client."""

from collections.abc import Mapping

from pydantic import BaseModel, Field

from mediaserver.http_errors import HttpError
from mediaserver.session_factory import SessionOptions
from mediaserver.session_limits import (
    GUIDE,
    LABEL,
    LANGUAGE,
    MODEL,
    VOICE,
    GuideId,
    Label,
    Language,
    Model,
    Voice,
    normalize_language,
)

_RULES = {"session": LABEL, "model": MODEL, "language": LANGUAGE, "voice": VOICE, "guide": GUIDE}


class WhipQuery(BaseModel):
    """Session options in the query of a WHIP offer."""

    session: Label | None = Field(None, description=f"the client's own label: {LABEL.description}")
    model: Model | None = Field(None, description=MODEL.description)
    language: Language | None = Field(None, description=LANGUAGE.description)
    voice: Voice | None = Field(None, description=VOICE.description)
    guide: GuideId | None = Field(None, description=f"the guide to start with: {GUIDE.description}")


def parse_options(query: Mapping[str, str]) -> SessionOptions:
    """Read the query, ignoring unknown fields; raises `HttpError` 422 that names every wrong field."""
    given = {name: query[name] for name in _RULES if query.get(name)}
    wrong = {name: _RULES[name].description for name, value in given.items() if not _RULES[name].matches(value)}
    if wrong:
        message = "; ".join(f"`{name}` takes {accepted}" for name, accepted in wrong.items())
        fields = [{"field": name, "message": f"Takes {accepted}."} for name, accepted in wrong.items()]
        raise HttpError(422, "INVALID_FIELDS", f"{message}.", details={"fields": fields})
    return SessionOptions(
        label=given.get("session"),
        model=given.get("model"),
        language=normalize_language(given["language"]) if "language" in given else None,
        voice=given.get("voice"),
        guide=given.get("guide"),
    )
