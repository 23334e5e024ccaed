"""A server whose questions are answered by a language model of its operator's own, as its users see it."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest

from tests.support.chat_server import CutOff, Refusal, called, chat_server, said
from tests.support.server_process import ROOT, Server, serving

pytestmark = [pytest.mark.timeout(180), pytest.mark.one_python]


async def asked(socket: aiohttp.ClientWebSocketResponse, text: str) -> list[dict[str, Any]]:
    """The events of one typed question, up to the end of its answer."""
    await socket.send_json({"action": "text_input", "sessionId": "s", "text": text})
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        while not events or events[-1]["action"] != "turn_complete":
            events.append(await socket.receive_json())
    return events


def text_of(events: list[dict[str, Any]]) -> str:
    return next(str(event["text"]) for event in events if event["action"] == "text_response")


def test_own_model(tmp_path: Path) -> None:
    asyncio.run(_own_model(tmp_path))


async def _own_model(folder: Path) -> None:
    answers = [*said("It is here."), *called("now", {"place": "here"})]
    async with chat_server(
        answers, said("It is **noon**."), [*said("Well. ", "I th"), CutOff()], Refusal(429, "slow")
    ) as chat:
        environment = {"LOCAL_LLM_URL": chat.url, "LOCAL_LLM_MODEL": "scripted", "TOOLS": "examples.clock:CLOCK"}
        running = serving(folder, PYTHONPATH=str(ROOT), **environment)
        server = await asyncio.to_thread(running.__enter__)
        try:
            await _talk(server, chat.url)
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)
        (tools, result) = chat.requests[0]["tools"], chat.requests[1]["messages"][-1]
    assert {"point_at", "show_steps", "complete_step", "now"} <= {tool["function"]["name"] for tool in tools}
    assert result["role"] == "tool"
    assert '"time"' in result["content"]
    picture = chat.requests[0]["messages"][-1]["content"][1]["image_url"]["url"]
    assert base64.b64decode(picture.partition(",")[2]).startswith(b"\xff\xd8")
    assert server.greeting.endswith("answered by your own language model.\n")


async def _talk(server: Server, url: str) -> None:
    host = url.removeprefix("http://").removesuffix("/v1")
    model = {"model": "scripted", "host": host}
    async with aiohttp.ClientSession(server.address) as http:
        assert (await (await http.get("/api/v1/engine")).json())["language_model"] == model
        guest = await (await http.post("/api/v1/guests")).json()
        headers = {"Authorization": f"Bearer {guest['access_token']}"}
        async with http.ws_connect("/ws/livekit", headers=headers, max_msg_size=0) as socket:
            await socket.send_json({"action": "start_session", "sessionId": "s"})
            started = await socket.receive_json()
            assert (started["action"], started["language_model"]) == ("session_started", model)
            frame = base64.b64encode(_picture()).decode()
            await socket.send_json({"action": "screen_share_frame", "sessionId": "s", "data": frame, "format": "png"})
            assert text_of(await asked(socket, "where is it, and what time is it")) == "It is here. It is noon."
            cut = await asked(socket, "why")
            assert [event["code"] for event in cut if event["action"] == "error"] == ["LLM_CUT_OFF"]
            assert text_of(cut).startswith("Well. My language model broke off")
            limited = await asked(socket, "thanks")
            assert [event["code"] for event in limited if event["action"] == "error"] == ["LLM_RATE_LIMITED"]
            assert text_of(limited).endswith("asks me to wait. You are welcome.")
        health = await (await http.get("/health")).json()
        assert health["status"] == "ok"
        assert health["language_model"] == {**model, "state": "failing", "code": "LLM_RATE_LIMITED"}


def _picture() -> bytes:
    return cv2.imencode(".png", np.full((360, 640, 3), 255, np.uint8))[1].tobytes()
