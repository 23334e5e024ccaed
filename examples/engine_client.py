"""Use the local engine with Google's own SDK, ask it something and keep its voice.

pip install google-genai
python engine_client.py
"""

import asyncio
import os
import ssl
import wave

from google import genai

ENGINE = os.environ.get("ENGINE_URL", "https://127.0.0.1:8900")

tls = ssl.create_default_context(cafile="engine.pem")
options = {"base_url": ENGINE, "api_version": "v1beta", "async_client_args": {"ssl": tls, "proxy": None}}
client = genai.Client(api_key="any", http_options=options)


async def main() -> None:
    """Connect, ask, and print the words as they are spoken."""
    config = {"response_modalities": ["AUDIO"], "output_audio_transcription": {}}
    with wave.open("answer.wav", "wb") as file:
        file.setparams((1, 2, 24_000, 0, "NONE", ""))
        async with client.aio.live.connect(model="local", config=config) as session:
            await session.send_realtime_input(text="hello")
            async for message in session.receive():
                content = message.server_content
                if content and content.output_transcription:
                    print(content.output_transcription.text, end="", flush=True)
                for part in content.model_turn.parts if content and content.model_turn else []:
                    file.writeframes(part.inline_data.data)


asyncio.run(main())
