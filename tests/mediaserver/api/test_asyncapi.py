"""The AsyncAPI document."""

import json
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, get_args

import jsonschema_rs
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from mediaserver.api.asyncapi import asyncapi_document
from mediaserver.jsonws.codec import parse
from mediaserver.messages.commands import COMMANDS
from mediaserver.messages.websocket import ACTIONS
from pipeline import events
from pipeline.errors import FaultCode
from tests.support.livekit_browser import PAGES
from tests.support.running_api import published

MakeClient = Callable[[web.Application], Awaitable[TestClient[web.Request, web.Application]]]

DOCUMENT = asyncapi_document(version="1")
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]
OFFICIAL = PAGES / "node_modules" / "@asyncapi" / "specs" / "schemas" / "3.0.0.json"


def references(node: object) -> Iterator[str]:
    match node:
        case {"$ref": str(reference)}:
            yield reference
        case dict():
            for child in node.values():
                yield from references(child)
        case list():
            for child in node:
                yield from references(child)


def find(reference: str) -> Any:
    node: Any = DOCUMENT
    for name in reference.removeprefix("#/").split("/"):
        node = node[name]
    return node


def validator(action: str) -> Any:
    payload = MESSAGES[action]["payload"]
    return jsonschema_rs.Draft202012Validator({**payload, "components": DOCUMENT["components"]})


def test_the_document_is_valid_by_the_official_schema() -> None:
    if not OFFICIAL.exists():
        missing = "The schema of AsyncAPI is missing: npm ci --prefix tests/livekit_page"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    official = jsonschema_rs.validator_for(json.loads(OFFICIAL.read_text()))
    assert [str(error) for error in official.iter_errors(DOCUMENT)] == []
    assert not official.is_valid({**DOCUMENT, "channels": {"websocket": {"adress": "/ws/livekit"}}})


def test_every_reference_is_met() -> None:
    found = list(references(DOCUMENT))
    assert len(found) > 50
    for reference in found:
        assert find(reference) is not None


def actions(operation: str) -> list[str]:
    return [str(found["$ref"]).rpartition("/")[2] for found in DOCUMENT["operations"][operation]["messages"]]


def test_the_channels_list_what_is_accepted_and_sent_on_each() -> None:
    assert ", ".join(actions("receiveMessage")) == ACTIONS
    assert ", ".join(actions("receiveCommand")) == COMMANDS
    assert set(actions("sendEvent")) - set(actions("sendEventOnDataChannel")) == {"audio_output"}
    unsent = {events.TurnStarted, events.TurnUsageReport}
    sent = {event for event in get_args(events.Event) if event not in unsent and event.__name__ != "AssistantSpeech"}
    assert len(actions("sendEventOnDataChannel")) == len(sent)
    for name, operation in DOCUMENT["operations"].items():
        assert set(actions(name)) <= set(find(operation["channel"]["$ref"])["messages"])


@pytest.mark.parametrize("action", MESSAGES)
def test_every_message_has_examples_that_its_schema_accepts(action: str) -> None:
    examples = [example["payload"] for example in MESSAGES[action]["examples"]]
    assert examples
    for example in examples:
        assert example["action"] == action
        validator(action).validate(example)
        assert not validator(action).is_valid({**example, "action": "another"})


@pytest.mark.parametrize("action", ACTIONS.split(", "))
def test_the_examples_of_a_client_are_accepted(action: str) -> None:
    for example in MESSAGES[action]["examples"]:
        parse(json.dumps(example["payload"]).encode())


def test_every_error_code_is_listed_with_its_severity() -> None:
    sent = find("#/components/schemas/FaultCode")
    assert sent["enum"] == list(FaultCode)
    lines = {line.split()[1]: line for line in sent["description"].splitlines()[1:]}
    for code in FaultCode:
        assert code in lines[code.severity]


def test_the_schemas_name_the_fields_of_the_wire() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert {"sessionId", "userId", "token", "config"} <= set(schemas["StartSessionMessage"]["properties"])
    assert schemas["StartSessionMessage"]["required"] == ["action"]
    assert {"action", "sessionId", "turn", "text", "confidence"} == set(schemas["TextResponseMessage"]["required"])


async def test_the_document_is_served_and_linked_from_the_docs(aiohttp_client: MakeClient) -> None:
    app, _ = published()
    client = await aiohttp_client(app)
    response = await client.get("/asyncapi.json")
    assert response.content_type == "application/json"
    assert (await response.json())["channels"] == DOCUMENT["channels"]
    assert '<a href="/asyncapi.json">' in await (await client.get("/docs")).text()
