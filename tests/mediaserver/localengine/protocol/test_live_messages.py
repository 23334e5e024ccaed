"""Every message of the engine is on record, and the official SDK reads it as recorded (statement 32)."""

import json
from pathlib import Path
from typing import get_args

import pytest
from google import genai
from google.genai import live

from mediaserver.localengine.protocol.messages import (
    GenerationComplete,
    GoAway,
    InputTranscription,
    Interrupted,
    OutputTranscription,
    ServerMessage,
    SessionResumptionUpdate,
    SetupComplete,
    SpokenAudio,
    ToolCall,
    ToolCallCancellation,
    TurnComplete,
    Usage,
)
from mediaserver.localengine.protocol.rendering import render

GOLDEN = json.loads((Path(__file__).parents[3] / "data" / "live-messages.json").read_text(encoding="utf-8"))
MESSAGES: dict[str, ServerMessage] = {
    "SetupComplete": SetupComplete("local-1"),
    "SpokenAudio": SpokenAudio(bytes([251, 255, 190, 3, 1])),
    "InputTranscription": InputTranscription("grüß dich"),
    "InputTranscription, with a confidence": InputTranscription("stop", 0.84),
    "OutputTranscription": OutputTranscription("Hello "),
    "Interrupted": Interrupted(),
    "GenerationComplete": GenerationComplete(),
    "TurnComplete": TurnComplete(Usage({"TEXT": 4, "IMAGE": 256}, {"AUDIO": 50})),
    "ToolCall": ToolCall("c1", "point_at", {"box_2d": [1, 2, 3, 4], "label": "Save", "camelCase": None}),
    "ToolCallCancellation": ToolCallCancellation(("c1", "c2")),
    "SessionResumptionUpdate": SessionResumptionUpdate("opaque"),
    "SessionResumptionUpdate, not resumable": SessionResumptionUpdate(""),
    "GoAway": GoAway(60),
}


class OneFrame:
    """A socket on which one message and the end of its turn arrive."""

    def __init__(self, frame: bytes):
        self._frames = [frame, render(TurnComplete(Usage({}, {})))]

    async def recv(self, *, decode: bool) -> bytes:
        return self._frames.pop(0)


def test_every_message_is_on_record() -> None:
    assert set(MESSAGES) == set(GOLDEN)
    assert {type(message) for message in MESSAGES.values()} == set(get_args(ServerMessage))


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_a_message_is_sent_as_it_is_on_record(name: str) -> None:
    assert json.loads(render(MESSAGES[name])) == GOLDEN[name]["sent"]


@pytest.mark.parametrize("name", sorted(MESSAGES))
async def test_the_sdk_reads_a_message_as_it_is_on_record(name: str) -> None:
    client = genai.Client(api_key="any")
    socket = OneFrame(json.dumps(GOLDEN[name]["sent"]).encode())
    session = live.AsyncSession(api_client=client._api_client, websocket=socket)  # type: ignore[arg-type]
    message = await anext(session.receive())
    read = message.model_dump(mode="json", exclude_unset=True)
    assert without_unset(read) == GOLDEN[name]["read"]


def without_unset(value: object, *, within: str = "") -> object:
    """The value without the fields that the SDK sets to None itself; a function's arguments are as they came."""
    if isinstance(value, dict) and within != "args":
        return {name: without_unset(item, within=name) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_unset(item, within=within) for item in value]
    return value
