"""The published interface from end to end, on a server process: account, WebSocket session, history, metrics."""

import asyncio
import base64
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest

from tests.support.server_process import GEMINI, RECORDING, Server, serving

pytestmark = pytest.mark.timeout(180)

Event = dict[str, Any]


class Desk:
    """A client of the JSON WebSocket that notes what it is told."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse):
        self.socket = socket
        self.events: list[Event] = []

    async def send(self, action: str, **fields: object) -> None:
        await self.socket.send_json({"action": action, "sessionId": "session456", **fields})

    async def until(self, is_it: Callable[[Event], bool]) -> Event:
        """Wait for the next event of that kind, keeping all on the way."""
        async with asyncio.timeout(60):
            while True:
                event: Event = await self.socket.receive_json()
                self.events.append(event)
                assert event["action"] != "error", event
                if is_it(event):
                    return event

    def audio_of(self, turn: int) -> bytes:
        """The voice of a turn, as it came: WAV files one after the other."""
        pieces = [event["data"] for event in self.events if event["action"] == "audio_output" and event["turn"] == turn]
        return b"".join(base64.b64decode(piece) for piece in pieces)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("published"), RATE_LIMIT_LOGIN="1000/minute") as running:
        yield running


@pytest.fixture
async def http(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.address) as session:
        yield session


async def logged_in(http: aiohttp.ClientSession, name: str) -> dict[str, str]:
    account = {"username": name, "email": f"{name}@example.org", "password": "correct horse battery"}
    registered = await http.post("/api/v1/users/register", json=account)
    assert registered.status == 201, await registered.text()
    login = await http.post("/api/v1/users/login", json={"username": name, "password": account["password"]})
    assert login.status == 200
    return {"Authorization": f"Bearer {(await login.json())['access_token']}"}


def editor() -> str:
    """A rendered window with a Save button at its upper left, as base64 PNG."""
    picture = np.full((720, 1280, 3), 255, np.uint8)
    for left, label in ((40, "Open"), (200, "Save"), (360, "Print")):
        cv2.rectangle(picture, (left, 20), (left + 130, 70), (225, 225, 225), -1)
        cv2.putText(picture, label, (left + 20, 56), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (20, 20, 20), 2, cv2.LINE_AA)
    cv2.putText(picture, "Quarterly report", (60, 200), cv2.FONT_HERSHEY_SIMPLEX, 1.6, (0, 0, 0), 3, cv2.LINE_AA)
    return base64.b64encode(cv2.imencode(".png", picture)[1].tobytes()).decode()


def is_over(turn: int) -> Callable[[Event], bool]:
    return lambda event: event["action"] == "turn_complete" and event["turn"] == turn


async def test_the_whole_published_flow(http: aiohttp.ClientSession, server: Server) -> None:
    ada = await logged_in(http, "ada")
    async with http.ws_connect("/ws/livekit", headers=ada, max_msg_size=0) as socket:
        desk = Desk(socket)
        config = {"model": "gemini-1.5-flash", "language": "en"}
        await desk.send("start_session", userId="ada", config=config)
        started = await desk.until(lambda event: event["action"] == "session_started")
        assert (started["sessionId"], started["engine"], started["requested_model"]) == (
            "session456",
            "local",
            "gemini-1.5-flash",
        )
        await desk.until(lambda event: event["action"] == "state" and event["state"] == "idle")

        # A recorded person, as one WAV at once; what they say is no command.
        speech = base64.b64encode(RECORDING.read_bytes()).decode()
        await desk.send("audio_input", data=speech, format="wav", sample_rate=16000, channels=1)
        await desk.send("audio_end")
        await desk.until(is_over(1))
        answer = next(event["text"] for event in desk.events if event["action"] == "text_response")
        assert "did not understand" in answer
        assert desk.audio_of(1).startswith(b"RIFF")
        assert len(desk.audio_of(1)) > 50_000

        await desk.send("screen_share_frame", data=editor(), format="png", timestamp="2024-01-01T12:00:00Z")
        await desk.until(lambda event: event["action"] == "screen_seen")
        await desk.send("text_input", text="where is the save button?")
        pointer = await desk.until(lambda event: event["action"] == "pointer")
        top, left, bottom, right = pointer["box"]
        assert 200 <= (left + right) / 2 / 1000 * 1280 <= 330
        assert 20 <= (top + bottom) / 2 / 1000 * 720 <= 70
        await desk.until(is_over(2))

        frame = await http.get("/api/v1/sessions/session456/frame", headers=ada)
        assert (frame.status, frame.content_type) == (200, "image/jpeg")
        await desk.send("ping", t=1)
        assert (await desk.until(lambda event: event["action"] == "pong"))["t"] == 1
        await desk.send("end_session")
        ended = await desk.until(lambda event: event["action"] == "session_ended")
        assert ended["reason"] == "client"

    listed = await (await http.get("/api/v1/sessions", headers=ada)).json()
    (session,) = listed["sessions"]
    assert (session["transport"], session["engine"], session["turns"], session["end_reason"]) == (
        "websocket",
        "local",
        2,
        "client",
    )
    history = await (await http.get("/api/v1/sessions/session456/history", headers=ada)).json()
    said = [(entry["role"], entry["turn"], entry["text"]) for entry in history["entries"]]
    assert ("user", 2, "where is the save button?") in said
    assert any(role == "assistant" and turn == 2 and "Save" in text for role, turn, text in said)
    assert all(entry["heard_ms"] > 500 for entry in history["entries"] if entry["role"] == "assistant")

    metrics = await (await http.get("/api/v1/metrics")).text()
    assert 'mediaserver_sessions_total{transport="websocket"} 1.0' in metrics
    assert "mediaserver_vad_windows_total" in metrics
    assert 'route="/api/v1/sessions/{id}/history"' in metrics

    removed = await http.delete(f"/api/v1/sessions/{session['id']}", headers=ada)
    assert removed.status == 204
    assert (await http.get("/api/v1/sessions/session456/history", headers=ada)).status == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/sessions/mine"),
        ("GET", "/api/v1/sessions/mine/history"),
        ("GET", "/api/v1/sessions/mine/frame"),
        ("DELETE", "/api/v1/sessions/mine"),
    ],
)
async def test_a_second_user_finds_nothing_of_the_first(
    http: aiohttp.ClientSession, method: str, path: str, tmp_path: Path
) -> None:
    name = f"{method}{path.rpartition('/')[2]}".lower()
    first, second = await logged_in(http, f"a{name}"), await logged_in(http, f"b{name}")
    async with http.ws_connect("/ws/livekit", headers=first) as socket:
        await socket.send_json({"action": "start_session", "sessionId": "mine"})
        while (await socket.receive_json())["action"] != "session_started":
            pass
        assert (await http.request(method, path, headers=second)).status == 404
        assert (await (await http.get("/api/v1/sessions", headers=second)).json())["sessions"] == []
        assert (await http.get("/api/v1/sessions/mine", headers=first)).status == 200


def entries_in(database: Path) -> int:
    """How many sayings have reached the disk."""
    with closing(sqlite3.connect(database)) as store:
        (count,) = store.execute("SELECT count(*) FROM entries").fetchone()
    return int(count)


async def test_history_survives_a_restart_and_a_crash(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        async with aiohttp.ClientSession(server.address) as http:
            ada = await logged_in(http, "ada")
            async with http.ws_connect("/ws/livekit", headers=ada) as socket:
                desk = Desk(socket)
                await desk.send("start_session")
                await desk.send("text_input", text="hello")
                await desk.until(is_over(1))
                async with asyncio.timeout(10):
                    while entries_in(tmp_path / "data" / "mediaserver.db") < 2:  # both are written by themselves
                        await asyncio.sleep(0.05)
                server.process.kill()
    with serving(tmp_path, **GEMINI) as again:
        async with aiohttp.ClientSession(again.address) as http:
            history = await (await http.get("/api/v1/sessions/session456/history", headers=ada)).json()
    assert [entry["text"] for entry in history["entries"] if entry["role"] == "user"] == ["hello"]
    assert history["session"]["end_reason"] == "error"
