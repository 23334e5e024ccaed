"""What a client asks of its session in the query of `/whip`."""

import re
from collections.abc import Mapping

from mediaserver.http_errors import HttpError
from mediaserver.session_factory import SessionOptions

_ACCEPTED = {
    "session": (re.compile(r"[^\x00-\x1f\x7f]{1,128}"), "1 to 128 printable characters"),
    "model": (re.compile(r"[A-Za-z0-9._/:-]{1,128}"), "a model's name, such as gemini-3.8-live"),
    "language": (re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}"), "a BCP 47 tag, such as en or pt-BR"),
    "voice": (re.compile(r"[A-Za-z0-9 ._-]{1,64}"), "a voice's name, such as Kore"),
}


def parse_options(query: Mapping[str, str]) -> SessionOptions:
    """Read the query; raises `HttpError` 422 that names every wrong field. What is unknown is ignored."""
    given = {name: query[name] for name in _ACCEPTED if query.get(name)}
    wrong = {name: _ACCEPTED[name][1] for name, value in given.items() if not _ACCEPTED[name][0].fullmatch(value)}
    if wrong:
        told = "; ".join(f"`{name}` takes {accepted}" for name, accepted in wrong.items())
        fields = [{"field": name, "message": f"Takes {accepted}."} for name, accepted in wrong.items()]
        raise HttpError(422, "INVALID_FIELDS", f"{told}.", details={"fields": fields})
    return SessionOptions(
        label=given.get("session"),
        model=given.get("model"),
        language=given.get("language"),
        voice=given.get("voice"),
    )
