"""The OpenAPI document."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pydantic import BaseModel, Field

from mediaserver.api.openapi import Json, document
from mediaserver.http_route import Route
from tests.support.running_api import published

Client = TestClient[web.Request, web.Application]
MakeClient = Callable[[web.Application], Awaitable[Client]]


class Part(BaseModel):
    name: str


class Thing(BaseModel):
    parts: list[Part]
    note: str | None = None


class Search(BaseModel):
    text: str = Field(description="what to look for")
    limit: int = Field(20, ge=1, le=100)
    cursor: str | None = None


async def handler(_: web.Request) -> web.Response:
    return web.Response()


def route(**given: Any) -> Route:
    plain: dict[str, Any] = {
        "method": "POST",
        "path": "/things/{id}",
        "handler": handler,
        "summary": "Change a thing",
        "tags": ("things",),
        "answers": {200: Thing},
    }
    return Route(**{**plain, **given})


def operation(**given: Any) -> Any:
    made = document([route(**given)], version="1")
    return made["paths"]["/things/{id}"]["post"]


def test_models_stand_once_under_their_names_with_what_they_hold() -> None:
    made = document([route(body=Part), route(method="PUT")], version="1")
    schemas = made["components"]["schemas"]
    assert made["openapi"] == "3.1.0"
    assert set(schemas) == {"ErrorResponse", "ErrorBody", "Part", "Thing"}
    assert schemas["Thing"]["properties"]["parts"]["items"] == {"$ref": "#/components/schemas/Part"}
    assert "$defs" not in json.dumps(made)


def test_a_body_and_an_answer_refer_to_their_models() -> None:
    described = operation(body=Thing)
    body = described["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    answer = described["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    assert body == answer == "#/components/schemas/Thing"


def test_every_error_that_can_happen_is_told_in_the_one_shape() -> None:
    described = operation(body=Thing, needs_token=True, errors=(404, 409, 429, 503))
    assert list(described["responses"]) == ["200", "400", "401", "404", "408", "409", "413", "415", "422", "429", "503"]
    for status, answer in described["responses"].items():
        if status != "200":
            ref = answer["content"]["application/json"]["schema"]["$ref"]
            assert ref == "#/components/schemas/ErrorResponse"
    assert "Retry-After" in described["responses"]["429"]["headers"]
    assert "WWW-Authenticate" in described["responses"]["401"]["headers"]
    assert described["security"] == [{"bearer": []}]


def test_what_needs_no_token_and_no_body_asks_for_neither() -> None:
    described = operation(answers={204: None})
    assert list(described["responses"]) == ["204"]
    assert "content" not in described["responses"]["204"]
    assert "security" not in described
    assert "requestBody" not in described


def test_a_query_is_told_field_by_field_and_is_never_null() -> None:
    described = operation(query=Search, parameters={"id": "which thing"})
    by_name = {parameter["name"]: parameter for parameter in described["parameters"]}
    assert (by_name["id"]["in"], by_name["id"]["description"]) == ("path", "which thing")
    assert (by_name["text"]["required"], by_name["text"]["description"]) == (True, "what to look for")
    assert by_name["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
    assert by_name["cursor"]["schema"] == {"type": "string"}


def test_other_media_types_are_told_with_their_headers() -> None:
    described = operation(body="application/sdp", answers={201: "image/jpeg"}, headers={"Location": "where"})
    assert described["requestBody"]["content"] == {"application/sdp": {"schema": {"type": "string"}}}
    assert described["responses"]["201"]["content"] == {"image/jpeg": {}}
    assert described["responses"]["201"]["headers"]["Location"]["description"] == "where"


def operations(made: Json) -> list[tuple[str, str, Json]]:
    return [
        (path, method, described) for path, methods in made["paths"].items() for method, described in methods.items()
    ]


def test_every_operation_has_a_name_of_its_own_and_every_reference_is_met() -> None:
    _, made = published()
    names = [described["operationId"] for _, _, described in operations(made)]
    assert len(names) == len(set(names)) > 15

    def references(node: object) -> list[str]:
        match node:
            case {"$ref": str(ref)}:
                return [ref]
            case dict():
                return [ref for child in node.values() for ref in references(child)]
            case list():
                return [ref for child in node for ref in references(child)]
            case _:
                return []

    met = {f"#/components/schemas/{name}" for name in made["components"]["schemas"]}
    assert set(references(made)) <= met


def test_every_served_path_of_the_interface_is_documented() -> None:
    app, made = published()
    beside = ("/static", "/docs", "/openapi.json", "/asyncapi.json", "/favicon.ico")
    served = {
        (described.resource.canonical.rstrip("/") or "/", described.method.lower())
        for described in app.router.routes()
        if described.resource is not None
        and described.method != "HEAD"
        and not described.resource.canonical.startswith(beside)
    }
    assert served == {(path, method) for path, method, _ in operations(made)}


async def test_the_document_and_the_files_of_the_page_are_served_and_no_others(aiohttp_client: MakeClient) -> None:
    app, made = published()
    client = await aiohttp_client(app)
    response = await client.get("/openapi.json")
    assert response.content_type == "application/json"
    assert await response.json() == json.loads(json.dumps(made))
    assert (await client.get("/docs")).content_type == "text/html"
    assert (await client.get("/docs/swagger-ui-bundle.js")).content_type == "application/javascript"
    assert (await client.get("/docs/index.html")).status == 404
    assert (await client.get("/docs/..%2Fdocs.html")).status == 404


@pytest.mark.parametrize("name", ["docs.html", "docs.js", "docs.css"])
async def test_nothing_on_the_page_comes_from_elsewhere(aiohttp_client: MakeClient, name: str) -> None:
    app, _ = published()
    client = await aiohttp_client(app)
    text = await (await client.get(f"/static/{name}")).text()
    assert "http://" not in text
    assert "https://" not in text
    assert "<script>" not in text
    assert "style=" not in text
