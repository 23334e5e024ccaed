"""Show a picture to the assistant over the JSON WebSocket, ask about it, and keep the spoken answer.

pip install aiohttp
python websocket_client.py screen.png
"""

import asyncio
import base64
import os
import sys
import wave
from pathlib import Path

import aiohttp

SERVER = os.environ.get("SERVER", "http://localhost:8000")
RATE = 24_000


async def ask(picture: bytes, question: str) -> bytes:
    """Print the answer and return its voice as 16-bit PCM."""
    voice = b""
    async with aiohttp.ClientSession(SERVER) as http:
        guest = await (await http.post("/api/v1/guests")).json()
        async with http.ws_connect(f"/ws/livekit?token={guest['access_token']}") as socket:
            output = {"format": "pcm", "sample_rate": RATE}
            await socket.send_json({"action": "start_session", "config": {"output": output}})
            frame = base64.b64encode(picture).decode()
            await socket.send_json({"action": "screen_share_frame", "data": frame, "format": "png"})
            async for message in socket:
                event = message.json()
                match event["action"]:
                    case "screen_seen":
                        await socket.send_json({"action": "text_input", "text": question})
                    case "audio_output":
                        voice += base64.b64decode(event["data"])
                    case "text_response":
                        print(event["text"])
                    case "turn_complete":
                        break
                    case "error":
                        print(event["code"], event["message"], file=sys.stderr)
    return voice


answer = asyncio.run(ask(Path(sys.argv[1]).read_bytes(), "what is on my screen?"))
with wave.open("answer.wav", "wb") as file:
    file.setparams((1, 2, RATE, 0, "NONE", ""))
    file.writeframes(answer)
