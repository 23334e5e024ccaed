"""What LiveKit's clients and libraries find on a server that was started as its users start it."""

import json
from pathlib import Path

import aiohttp
import pytest
from livekit import api, rtc

from tests.support.server_process import GEMINI, serving

SECRET = "0123456789abcdef0123456789abcdef"
ELSEWHERE = {"Origin": "https://app.example"}


async def test_a_token_of_this_server_is_good_for_its_rooms_from_any_page(tmp_path: Path) -> None:
    with serving(tmp_path, LIVEKIT_API_SECRET=SECRET, **GEMINI) as server:
        async with aiohttp.ClientSession(server.address) as http:
            guest = await (await http.post("/api/v1/guests")).json()
            bearer = {"Authorization": f"Bearer {guest['access_token']}"}
            answer = await http.post("/api/v1/livekit/token", headers=bearer, json={"room": "desk"})
            token = (await answer.json())["token"]

            for path in ("/rtc/validate", "/rtc/v1/validate"):
                good = await http.get(path, params={"access_token": token}, headers=ELSEWHERE)
                bad = await http.get(path, params={"access_token": "x"}, headers=ELSEWHERE)
                assert (good.status, await good.text()) == (200, "success")
                assert (bad.status, (await bad.text())[:27]) == (401, "invalid authorization token")
                for each in (good, bad):
                    assert each.headers["Access-Control-Allow-Origin"] == ELSEWHERE["Origin"]
            head = await http.head("/", headers=ELSEWHERE)
            assert head.status == 200
            assert head.headers["Access-Control-Allow-Origin"] == ELSEWHERE["Origin"]

        async with api.LiveKitAPI(server.address, "devkey", SECRET) as library:
            made = await library.room.create_room(api.CreateRoomRequest(name="desk"))
            rooms = (await library.room.list_rooms(api.ListRoomsRequest())).rooms
            assert [room.sid for room in rooms] == [made.sid]


async def way_in(http: aiohttp.ClientSession, room: str) -> tuple[str, str, str]:
    """A guest's token, and the address and the token of a room."""
    guest = (await (await http.post("/api/v1/guests")).json())["access_token"]
    wanted = {"room": room, "identity": "somebody"}
    answer = await http.post("/api/v1/livekit/token", headers={"Authorization": f"Bearer {guest}"}, json=wanted)
    way = await answer.json()
    return guest, way["url"], way["token"]


async def test_a_conversation_is_found_with_its_history_and_by_its_own_user_alone(tmp_path: Path) -> None:
    with serving(tmp_path, LIVEKIT_ROOMS="private") as server:
        async with aiohttp.ClientSession(server.address) as http, http.ws_connect("/ws/livekit") as socket:
            guest, url, token = await way_in(http, "desk")
            _, _, another = await way_in(http, "desk")
            await socket.send_json({"action": "start_session", "userId": "me", "sessionId": "desk", "token": guest})
            await socket.send_json({"action": "text_input", "sessionId": "desk", "text": "what time is it"})
            while (await socket.receive_json(timeout=20))["action"] != "turn_complete":
                pass

            room, stranger = rtc.Room(), rtc.Room()
            await room.connect(url, token)
            with pytest.raises(rtc.ConnectError, match="another user"):
                await stranger.connect(url, another)
            history = await room.local_participant.perform_rpc(
                destination_identity="assistant", method="get_history", payload=""
            )
            await room.disconnect()

    assert [entry["role"] for entry in json.loads(history)["entries"]] == ["user", "assistant"]


async def test_without_keys_a_server_in_production_has_no_rooms(tmp_path: Path) -> None:
    with serving(tmp_path, ENVIRONMENT="production", SECRET_KEY=SECRET, LOG_DIR=str(tmp_path), **GEMINI) as server:
        async with aiohttp.ClientSession(server.address) as http:
            for path in ("/rtc", "/rtc/v1", "/rtc/v1/validate"):
                assert (await http.get(path)).status == 404
            assert (await http.post("/twirp/livekit.RoomService/ListRooms", json={})).status == 404
