"""Generates the OpenAPI 3.1 document from the routes and their models."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from mediaserver.http_route import JSON, Content, Route

Json = dict[str, Any]

_SCHEMA = "#/components/schemas/{model}"
_DESCRIPTION = (
    "A voice assistant that sees the screen you share. Get a token by logging in or, where guests are allowed, from "
    "`POST /api/v1/guests`, and send it as `Authorization: Bearer <access token>`. Talk over WebRTC (`/whip`), over "
    "LiveKit, or over the JSON WebSocket at `/ws/livekit`. Every answer carries `X-Request-ID`."
)
_ERRORS = {
    400: "The request is malformed.",
    401: "The token is missing, forged, expired or not for this server.",
    403: "This is not allowed to you.",
    404: "There is no such thing, or it is another user's.",
    408: "The body did not come in time.",
    409: "This is taken already.",
    412: "`If-Match` names something else.",
    413: "The body is too large.",
    415: "The body is of another media type.",
    422: "Fields are invalid; `details` names each with what it accepts.",
    429: "Too many requests.",
    503: "Not now: full, restarting, or something it needs is down.",
}
_ERROR_HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": "How to authenticate: `Bearer`."},
    429: {"Retry-After": "Seconds to wait."},
    503: {"Retry-After": "Seconds to wait."},
}


class ErrorBody(BaseModel):
    """The error: a code for programs and a message for people."""

    code: str = Field(description="one word for programs, such as NOT_FOUND")
    message: str = Field(description="a sentence for people")
    details: dict[str, Any] = Field(description="what else is known, by name")


class ErrorResponse(BaseModel):
    """The body of every error response."""

    error: ErrorBody


def document(routes: Iterable[Route], *, version: str) -> Json:
    """Generate the OpenAPI document of these routes as a JSON object."""
    listed = tuple(routes)
    schemas = _Schemas(listed)
    paths: dict[str, Json] = {}
    for route in listed:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Mediaserver", "version": version, "description": _DESCRIPTION},
        "paths": paths,
        "tags": [{"name": tag} for tag in dict.fromkeys(tag for route in listed for tag in route.tags)],
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


class _Schemas:
    """Collects the JSON Schema of every model; shared ones once, under their names."""

    def __init__(self, routes: Iterable[Route]):
        # The order decides how models of the same name are told apart; a set's would change from start to start.
        pairs: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(ErrorResponse, "serialization"): None}
        self.components: dict[str, Json] = {}
        self._queries: dict[type[BaseModel], Json] = {}
        for route in routes:
            if isinstance(route.body, type):
                pairs[route.body, "validation"] = None
            for answer in route.answers.values():
                if isinstance(answer, type):
                    pairs[answer, "serialization"] = None
            if route.query is not None:
                schema = route.query.model_json_schema(ref_template=_SCHEMA)
                self.components |= schema.pop("$defs", {})
                self._queries[route.query] = schema
        self._refs, definitions = models_json_schema(list(pairs), ref_template=_SCHEMA)
        self.components |= definitions["$defs"]

    def content(self, content: Content, mode: JsonSchemaMode) -> Json:
        """Describe the content of a body or a response by media type."""
        if content is None:
            return {}
        if isinstance(content, type):
            return {"content": {JSON: {"schema": self._refs[content, mode]}}}
        # OpenAPI 3.1.1, section 4.8.14.2: raw binary content has no schema.
        schema = {} if content.startswith("image/") else {"schema": {"type": "string"}}
        return {"content": {content: schema}}

    def parameters(self, query: type[BaseModel] | None) -> list[Json]:
        """One parameter for each field of a query."""
        if query is None:
            return []
        schema = self._queries[query]
        return [
            {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", ()),
                "description": field.get("description", ""),
                "schema": _without_null(field),
            }
            for name, field in schema["properties"].items()
        ]


def _operation(route: Route, schemas: _Schemas) -> Json:
    operation: Json = {
        "operationId": re.sub(r"\W+", "_", f"{route.method.lower()}{route.path}").strip("_"),
        "summary": route.summary,
        "tags": list(route.tags),
        "responses": _responses(route, schemas),
    }
    if parameters := [*_path_parameters(route), *schemas.parameters(route.query)]:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {"required": not route.is_body_optional, **schemas.content(route.body, "validation")}
    if route.needs_token:
        operation["security"] = [{"bearer": []}]
    return operation


def _responses(route: Route, schemas: _Schemas) -> Json:
    documented: dict[int, Json] = {}
    for status, answer in route.answers.items():
        headers = route.headers if status < 300 else _ERROR_HEADERS.get(status, {})
        documented[status] = {
            "description": HTTPStatus(status).phrase,
            **schemas.content(answer, "serialization"),
            **_headers(headers),
        }
    for status in route.possible_errors:
        if status not in documented:
            documented[status] = {
                "description": _ERRORS[status],
                **schemas.content(ErrorResponse, "serialization"),
                **_headers(_ERROR_HEADERS.get(status, {})),
            }
    return {str(status): documented[status] for status in sorted(documented)}


def _headers(described: Mapping[str, str]) -> Json:
    if not described:
        return {}
    return {"headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in described.items()}}


def _path_parameters(route: Route) -> list[Json]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": route.parameters.get(name, ""),
            "schema": {"type": "string", "minLength": 1},
        }
        for name in re.findall(r"{(\w+)}", route.path)
    ]


def _without_null(field: Json) -> Json:
    """Remove null from a query parameter's schema: the parameter is left out instead."""
    schema = {name: value for name, value in field.items() if name not in ("title", "description", "default")}
    if field.get("default") is not None:
        schema["default"] = field["default"]
    match schema:
        case {"anyOf": [*options]}:
            kept = [option for option in options if option != {"type": "null"}]
            schema = {**schema, "anyOf": kept} if len(kept) > 1 else {**schema, **kept[0]}
            if len(kept) == 1:
                del schema["anyOf"]
    return schema
