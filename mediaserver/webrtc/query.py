"""The query of `/whip`: session options of the client."""

import re
from collections.abc import Mapping

from pydantic import BaseModel, Field

from mediaserver.http_errors import HttpError
from mediaserver.session_factory import SessionOptions

_LABEL = "1 to 128 printable characters"
_MODEL = "a model's name, such as gemini-3.8-live"
_LANGUAGE = "a BCP 47 tag, such as en or pt-BR"
_VOICE = "a voice's name, such as Kore"

_ACCEPTED = {
    "session": (re.compile(r"[^\x00-\x1f\x7f]{1,128}"), _LABEL),
    "model": (re.compile(r"[A-Za-z0-9._/:-]{1,128}"), _MODEL),
    "language": (re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}"), _LANGUAGE),
    "voice": (re.compile(r"[A-Za-z0-9 ._-]{1,64}"), _VOICE),
}


class WhipQuery(BaseModel):
    """Session options in the query, as published in OpenAPI."""

    session: str | None = Field(None, description=f"the client's own label: {_LABEL}")
    model: str | None = Field(None, description=_MODEL)
    language: str | None = Field(None, description=_LANGUAGE)
    voice: str | None = Field(None, description=_VOICE)


def parse_options(query: Mapping[str, str]) -> SessionOptions:
    """Read the query, ignoring unknown fields; raises `HttpError` 422 that names every wrong field."""
    given = {name: query[name] for name in _ACCEPTED if query.get(name)}
    wrong = {name: _ACCEPTED[name][1] for name, value in given.items() if not _ACCEPTED[name][0].fullmatch(value)}
    if wrong:
        message = "; ".join(f"`{name}` takes {accepted}" for name, accepted in wrong.items())
        fields = [{"field": name, "message": f"Takes {accepted}."} for name, accepted in wrong.items()]
        raise HttpError(422, "INVALID_FIELDS", f"{message}.", details={"fields": fields})
    return SessionOptions(
        label=given.get("session"),
        model=given.get("model"),
        language=given.get("language"),
        voice=given.get("voice"),
    )
