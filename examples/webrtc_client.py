"""Ask in writing over WebRTC (WHIP) and record the spoken answer.

pip install aiohttp aiortc
python webrtc_client.py
"""

import asyncio
import json
import os

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaRecorder

SERVER = os.environ.get("SERVER", "http://localhost:8000")


async def main() -> None:
    """Connect, ask, print every event, and leave when the answer was heard."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTransceiver("audio", direction="recvonly")
    recorder = MediaRecorder("answer.wav")
    peer.on("track", recorder.addTrack)
    events, is_over = peer.createDataChannel("events"), asyncio.Event()

    @events.on("open")
    def ask() -> None:
        events.send(json.dumps({"action": "text_input", "text": "hello"}))

    @events.on("message")
    def show(message: str) -> None:
        event = json.loads(message)
        print(event)
        if event["action"] == "turn_complete":
            is_over.set()

    await peer.setLocalDescription(await peer.createOffer())
    async with aiohttp.ClientSession(SERVER) as http:
        guest = await (await http.post("/api/v1/guests")).json()
        headers = {"Authorization": f"Bearer {guest['access_token']}", "Content-Type": "application/sdp"}
        answer = await http.post("/whip", data=peer.localDescription.sdp, headers=headers)
        await peer.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
        await recorder.start()
        await is_over.wait()
        await http.delete(answer.headers["Location"], headers=headers)
    await recorder.stop()
    await peer.close()


asyncio.run(main())
