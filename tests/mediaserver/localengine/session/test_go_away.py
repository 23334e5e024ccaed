"""Every connection has an end, and its client hears of it before (statement 26)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.genai import errors

from mediaserver.localengine.fault_injection.faulty_socket import EngineConnection
from mediaserver.localengine.protocol.codec import WireError
from mediaserver.localengine.protocol.messages import GoAway, Setup
from mediaserver.localengine.protocol.rendering import render
from mediaserver.localengine.responder.interface import Call, Memory, Question, Recognition, Speech
from mediaserver.localengine.responder.tone import tone_responder
from mediaserver.localengine.server import LocalEngine
from mediaserver.localengine.session.connection_lifetime import Lifetime, expire
from mediaserver.localengine.session.session import EngineSession
from pipeline.audio.vad import VadModel
from tests.support.live_client import dial, open_session, reply, setup, turn, until
from tests.support.virtual_time import run_fast


class Verbose:
    """A responder that says more than any socket buffers."""

    def new_memory(self) -> Memory:
        return Memory()

    async def answer(self, question: Question, memory: Memory) -> AsyncIterator[Recognition | Speech | Call]:
        for _ in range(8):  # one alone would go to the transport whole, which then waits with the next
            yield Call("f", {"x": "y" * (4 << 20)})


async def test_the_sdk_is_told_to_go_with_the_time_that_is_left_and_then_closed(vad: VadModel) -> None:
    async with (
        LocalEngine(tone_responder(1), vad=vad, lifetime=Lifetime(0.05, 0.25)) as engine,
        open_session(engine) as session,
    ):
        go_away = (await until(session, "go away")).go_away
        assert go_away is not None
        assert go_away.time_left == "0.25s"
        with pytest.raises(errors.APIError, match="Deadline expired before operation") as caught:
            await turn(session)
        assert caught.value.code == 1011


async def test_an_answer_is_not_disturbed_by_the_warning(vad: VadModel) -> None:
    async with (
        LocalEngine(tone_responder(0.2), vad=vad, lifetime=Lifetime(0.01, 60)) as engine,
        open_session(engine) as session,
    ):
        await until(session, "go away")
        await session.send_realtime_input(text="hi")
        assert await turn(session) == ["out:1 ", "audio", "generation_complete", "turn_complete"]


async def test_a_client_that_does_not_read_is_closed_in_time_all_the_same(vad: VadModel) -> None:
    engine = LocalEngine(Verbose(), vad=vad, lifetime=Lifetime(0.1, 0.1))
    async with engine, dial(engine) as peer:
        await peer.send(setup(tools=[{"functionDeclarations": [{"name": "f"}]}]))
        assert "setupComplete" in await reply(peer)
        peer.transport.pause_reading()
        await peer.send('{"realtimeInput": {"text": "hi"}}')
        async with asyncio.timeout(15):  # before websockets itself gives the connection up
            while EngineConnection.alive:
                await asyncio.sleep(0.01)
        peer.transport.abort()


def test_by_default_the_warning_comes_after_nine_minutes_and_the_end_after_ten() -> None:
    sent: list[tuple[float, GoAway]] = []

    async def send(message: GoAway) -> None:
        sent.append((asyncio.get_running_loop().time(), message))

    async def wait() -> float:
        with pytest.raises(WireError):
            await expire(Lifetime(), send)
        return asyncio.get_running_loop().time()

    assert run_fast(wait()) == 600
    assert sent == [(540, GoAway(60))]
    assert render(GoAway(60)) == b'{"goAway":{"timeLeft":"60s"}}'


class Listener:
    """A client that says nothing for an hour."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    async def send(self, message: bytes, /) -> None:
        self.heard.append(message)

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        await asyncio.sleep(3600)
        yield "{}"


def test_the_age_of_a_connection_counts_from_its_setup() -> None:
    listener = Listener()

    async def listen() -> Any:
        session = EngineSession(listener, Setup("models/local"), tone_responder(1), None, lifetime=Lifetime(10, 2.5))
        with pytest.raises(ExceptionGroup) as caught:
            await session.run()
        return asyncio.get_running_loop().time(), caught.value.exceptions

    time, (error,) = run_fast(listen())
    assert time == 12.5
    assert isinstance(error, WireError)
    assert listener.heard[1:] == [render(GoAway(2.5))]
