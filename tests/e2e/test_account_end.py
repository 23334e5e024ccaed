"""The end of an account while its user is connected."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import aiohttp
from aiohttp import WSMsgType

from tests.support.server_process import ROOT, serving

ADA = {"username": "ada", "email": "ada@example.org", "password": "correct horse battery"}


async def test_deleting_an_account_on_the_command_line_ends_its_sessions_in_the_running_server(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        async with aiohttp.ClientSession(server.address) as http:
            await http.post("/api/v1/users/register", json=ADA)
            login = await (await http.post("/api/v1/users/login", json=ADA)).json()
            headers = {"Authorization": f"Bearer {login['access_token']}"}
            room = await (await http.post("/api/v1/livekit/token", json={"room": "r"}, headers=headers)).json()
            validate = f"/rtc/v1/validate?access_token={room['token']}"
            assert (await http.get(validate)).status == 200
            async with http.ws_connect("/ws/livekit", headers=headers) as socket:
                await socket.send_json({"action": "start_session"})
                await until(socket, "session_started")

                await asyncio.to_thread(delete_account, tmp_path)

                assert (await until(socket, "session_ended"))["reason"] == "client"
                await socket.send_json({"action": "start_session"})
                assert (await until(socket, "error"))["code"] == "UNAUTHORIZED"
            assert (await http.get("/api/v1/users/me", headers=headers)).status == 401
            assert (await http.get(validate)).status == 401


async def until(socket: aiohttp.ClientWebSocketResponse, action: str) -> dict[str, str]:
    """Read to the next message of that action."""
    async with asyncio.timeout(20):
        while True:
            message = await socket.receive()
            assert message.type is WSMsgType.TEXT, message
            said: dict[str, str] = message.json()
            if said["action"] == action:
                return said


def delete_account(folder: Path) -> None:
    """Delete the account as an operator does, beside the running server."""
    environment = {**os.environ, "DATA_DIR": str(folder / "data")}
    subprocess.run([sys.executable, "run.py", "user", "delete", "ada"], cwd=ROOT, env=environment, check=True)
