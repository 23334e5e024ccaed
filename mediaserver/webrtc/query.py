"""The query of `/whip`: session options of the client."""

import re
from collections.abc import Mapping
from typing import Literal

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
    TextRule,
    Voice,
    normalize_language,
)

_PRECONNECT = TextRule(
    re.compile("^[01]$"), "1 if `POST /whip/{id}/audio` will follow with what was said before the connection, else 0"
)
_RULES = {
    "session": LABEL,
    "model": MODEL,
    "language": LANGUAGE,
    "voice": VOICE,
    "guide": GUIDE,
    "preconnect": _PRECONNECT,
}


class WhipQuery(BaseModel):
    """Session options in the query of a WHIP offer."""

    session: Label | None = Field(None, description=f"the client's own label: {LABEL.description}")
    model: Model | None = Field(None, description=MODEL.description)
    language: Language | None = Field(None, description=LANGUAGE.description)
    voice: Voice | None = Field(None, description=VOICE.description)
    guide: GuideId | None = Field(None, description=f"the guide to start with: {GUIDE.description}")
    preconnect: Literal["0", "1"] | None = Field(None, description=_PRECONNECT.description)


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


def announces_recording(query: Mapping[str, str]) -> bool:
    """Whether a recording from before the connection will follow, in a query that `parse_options` accepts."""
    return query.get("preconnect") == "1"
