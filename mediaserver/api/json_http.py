"""JSON over HTTP: bodies and queries are read into models, and models are written as answers."""

from collections.abc import Mapping
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from mediaserver.http_errors import HttpError
from mediaserver.http_route import JSON, read_bytes

MAX_BODY = 64 * 1024

# Of the sentences pydantic makes, only these say nothing of the value that was sent.
_SAFE_SENTENCES = frozenset(
    {
        "missing",
        "string_type",
        "string_too_short",
        "string_too_long",
        "string_pattern_mismatch",
        "int_type",
        "int_parsing",
        "int_from_float",
        "float_type",
        "float_parsing",
        "bool_type",
        "bool_parsing",
        "list_type",
        "dict_type",
        "too_short",
        "too_long",
        "literal_error",
        "enum",
        "greater_than",
        "greater_than_equal",
        "less_than",
        "less_than_equal",
    }
)

M = TypeVar("M", bound=BaseModel)


async def read_body(request: web.Request, model: type[M]) -> M:
    """Read a JSON object of at most 64 kB, ignoring unknown fields; else `HttpError` 400, 408, 413, 415 or 422."""
    body = await read_bytes(request, JSON, limit=MAX_BODY)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        match error.errors(include_url=False, include_context=False, include_input=False)[0]:
            case {"type": "json_invalid"}:
                raise HttpError(400, "INVALID_JSON", "The body is not JSON.") from None
            case {"type": "model_type", "loc": ()}:
                raise HttpError(400, "INVALID_JSON", "The body must be a JSON object.") from None
        raise _invalid(error, model) from None


def read_query(request: web.Request, model: type[M]) -> M:
    """Read the query, ignoring unknown fields and repetitions; raises `HttpError` 422."""
    given = {name: request.query[name] for name in request.query}
    try:
        return model.model_validate_strings(given)
    except ValidationError as error:
        raise _invalid(error, model) from None


def json_response(model: BaseModel, status: int = 200, *, headers: Mapping[str, str] | None = None) -> web.Response:
    """Write the model as JSON that no cache may keep: every answer belongs to one user."""
    all_headers = {"Cache-Control": "no-store", **(headers or {})}
    return web.Response(
        text=model.model_dump_json(by_alias=True), status=status, content_type=JSON, headers=all_headers
    )


def _invalid(error: ValidationError, model: type[BaseModel]) -> HttpError:
    messages: dict[str, str] = {}
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        name = str(fault["loc"][0]) if fault["loc"] else "body"
        messages.setdefault(name, _accepted(name, fault["type"], fault["msg"], model))
    fields = [{"field": name, "message": message} for name, message in messages.items()]
    message = " ".join(f"`{name}`: {message}" for name, message in messages.items())
    return HttpError(422, "INVALID_FIELDS", message, details={"fields": fields})


def _accepted(name: str, kind: str, sentence: str, model: type[BaseModel]) -> str:
    """Describe the accepted values: by the model's description, else by pydantic's message if it is safe."""
    for field_name, info in model.model_fields.items():
        if name in (field_name, info.alias, info.validation_alias) and info.description:
            needed = "Required: " if kind == "missing" else "Accepts "
            return f"{needed}{info.description.rstrip('.')}."
    if kind in _SAFE_SENTENCES:
        return f"{sentence}."
    return "Not accepted."
