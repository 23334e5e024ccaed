"""An HTTP operation as a value: its models validate, render and document it."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ValidationError

from mediaserver.http_errors import HttpError

JSON = "application/json"
MAX_BODY = 64 * 1024

_READ_DEADLINE = 10.0
_BODY_ERRORS = (400, 408, 413, 415, 422)

# Only these of pydantic's messages never quote the value that was sent.
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

Content = type[BaseModel] | str | None
"""A model (JSON), another media type such as image/jpeg, or nothing."""

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method on one path, with its request and responses.

    `errors` lists the error statuses that do not follow from the token, the body or the query.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    tags: tuple[str, ...]
    answers: Mapping[int, Content]
    body: Content = None
    query: type[BaseModel] | None = None
    needs_token: bool = False
    errors: tuple[int, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Path parameters by name, each with its description."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of a successful response, each with its description."""

    @property
    def possible_errors(self) -> tuple[int, ...]:
        """Every error status: those declared, and those that follow from the token, the body and the query."""
        statuses = set(self.errors)
        if self.needs_token:
            statuses.add(401)
        if isinstance(self.body, type):
            statuses.update(_BODY_ERRORS)
        if self.query is not None:
            statuses.add(422)
        return tuple(sorted(statuses))


def add_routes(app: web.Application, routes: Iterable[Route]) -> None:
    """Register the routes; a GET route serves HEAD too."""
    for route in routes:
        if route.method == "GET":
            app.router.add_get(route.path, route.handler)
        else:
            app.router.add_route(route.method, route.path, route.handler)


async def read_body(request: web.Request, model: type[M]) -> M:
    """Read a JSON object of at most 64 kB, ignoring unknown fields; raises `HttpError` 400, 408, 413, 415 or 422."""
    if request.content_type != JSON:
        raise HttpError(415, "UNSUPPORTED_MEDIA_TYPE", f"The body must be {JSON}.")
    body = await _read(request)
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
    """Render a model as a JSON response that no cache stores, since it belongs to one user."""
    all_headers = {"Cache-Control": "no-store", **(headers or {})}
    return web.Response(
        text=model.model_dump_json(by_alias=True), status=status, content_type=JSON, headers=all_headers
    )


async def _read(request: web.Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(_READ_DEADLINE):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > MAX_BODY:
                    raise HttpError(413, "PAYLOAD_TOO_LARGE", f"The body must be at most {MAX_BODY} bytes.")
    except TimeoutError:
        raise HttpError(408, "REQUEST_TIMEOUT", "The body did not come in time.") from None
    return bytes(body)


def _invalid(error: ValidationError, model: type[BaseModel]) -> HttpError:
    messages: dict[str, str] = {}
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        name = str(fault["loc"][0]) if fault["loc"] else "body"
        messages.setdefault(name, _accepted(name, fault["type"], fault["msg"], model))
    fields = [{"field": name, "message": message} for name, message in messages.items()]
    message = " ".join(f"`{name}`: {message}" for name, message in messages.items())
    return HttpError(422, "INVALID_FIELDS", message, details={"fields": fields})


def _accepted(name: str, kind: str, sentence: str, model: type[BaseModel]) -> str:
    """Describe the values a field accepts: by the model's description, else by pydantic's message if it is safe."""
    for field_name, info in model.model_fields.items():
        if name in (field_name, info.alias, info.validation_alias) and info.description:
            needed = "Required: " if kind == "missing" else "Accepts "
            return f"{needed}{info.description.rstrip('.')}."
    if kind in _SAFE_SENTENCES:
        return f"{sentence}."
    return "Not accepted."
