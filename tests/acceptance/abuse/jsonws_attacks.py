"""Attacks on the JSON WebSocket."""

import asyncio
import base64
import json
from contextlib import suppress

import aiohttp

from tests.acceptance.abuse.pictures import png
from tests.acceptance.abuse.target import Target


async def large_pictures(target: Target) -> None:
    """Show pictures that decode to as much as is taken, and to more, over eight sockets."""
    files = (
        png(4000, 4000, channels=4, depth=8),
        png(3840, 2160, channels=4, depth=16),
        png(4000, 4000, channels=3, depth=16),
    )
    pictures = [base64.b64encode(file).decode() for file in files]
    async with target.client() as http:

        async def show() -> None:
            async with target.json_session(http) as ws:
                answers = asyncio.create_task(target.count_answers(ws))
                while not answers.done() and not target.is_over:
                    for picture in pictures:
                        with suppress(ConnectionError):
                            await ws.send_json({"action": "screen_share_frame", "data": picture, "format": "png"})
                            target.counts["pictures"] += 1
                        await asyncio.sleep(0.3)
                await answers

        await target.repeat(show)


async def deep_json(target: Target) -> None:
    """Send nested and wide JSON of 12 MB before any token, over ten sockets."""
    messages = (
        "[" * 12_000_000,
        "[" + "0," * 5_999_999 + "0]",
        '{"action":"start_session","token":' + "[{}," * 3_000_000,
    )
    async with target.client() as http:

        async def send() -> None:
            for message in messages:
                async with http.ws_connect("/ws/livekit", max_msg_size=0) as ws:
                    with suppress(ConnectionError):
                        await ws.send_str(message)
                    await target.count_answers(ws)

        await target.repeat(send, 10)


async def deep_json_of_guests(target: Target) -> None:
    """Send nested and wide JSON of 12 MB in sessions of guests."""
    messages = ('{"action":"text_input","text":' + "[" * 11_900_000, '{"a":[' + "0," * 5_900_000 + "0]}")
    async with target.client() as http:

        async def send() -> None:
            async with target.json_session(http) as ws:
                answers = asyncio.create_task(target.count_answers(ws))
                while not answers.done() and not target.is_over:
                    for message in messages:
                        with suppress(ConnectionError):
                            await ws.send_str(message)
                            target.counts["messages"] += 1
                await answers

        await target.repeat(send)


async def unfinished_messages(target: Target) -> None:
    """Send eleven megabytes of a message in each of ten sessions, and never its end."""
    half = b"\x01\xff" + (11_500_000).to_bytes(8) + b"mask" + bytes(11_000_000)
    async with target.client() as http:

        async def send() -> None:
            async with target.json_session(http) as ws:
                answer = await ws.receive(timeout=10)
                target.counts[json.loads(answer.data)["action"] if answer.type is aiohttp.WSMsgType.TEXT else "-"] += 1
                transport = ws.get_extra_info("socket")
                assert transport is not None
                connection = ws._response.connection  # raw bytes: aiohttp only sends whole frames
                assert connection is not None
                assert connection.transport is not None
                connection.transport.write(half)
                target.counts["bytes sent"] += len(half)
                await target.count_answers(ws)

        await target.repeat(send, 12)


async def bad_messages(target: Target) -> None:
    """Send small bad messages as fast as possible, with good ones between, so that no socket counts many in a row."""
    async with target.client() as http:

        async def send() -> None:
            async with target.json_session(http) as ws:
                answers = asyncio.create_task(target.count_answers(ws))
                with suppress(ConnectionError):
                    while not answers.done() and not target.is_over:
                        await ws.send_str('{"action":"nothing of the kind"}')
                        await ws.send_str('{"action":"ping"}')
                        target.counts["messages"] += 1
                        await asyncio.sleep(0)
                await answers

        await target.repeat(send)


async def many_sessions(target: Target) -> None:
    """Begin as many sessions as the server gives, as one guest after the other, and hold them."""
    async with target.client() as http:

        async def begin() -> None:
            async with target.json_session(http) as ws:
                answer = await ws.receive(timeout=10)
                action = json.loads(answer.data)["action"] if answer.type is aiohttp.WSMsgType.TEXT else "closed"
                target.counts[action] += 1
                await asyncio.sleep(target.left if action == "session_started" else 0.2)

        await target.repeat(begin, 60)
