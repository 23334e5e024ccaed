"""The engine ends cleanly and in time, whatever its clients and its responder do (statement 31)."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator

import pytest
from google.genai import errors
from websockets.exceptions import ConnectionClosed

from mediaserver.localengine.fault_injection.faulty_socket import EngineConnection
from mediaserver.localengine.fault_injection.spec import FaultAction, InjectedFault
from mediaserver.localengine.fault_points import FaultPoint
from mediaserver.localengine.responder.interface import Call, Memory, Question, Recognition, Speech
from mediaserver.localengine.responder.tone import tone_responder
from mediaserver.localengine.server import LocalEngine
from pipeline.audio.vad import VadModel
from tests.support.live_client import dial, kinds, open_session, reply, setup, until

BOUND = 15.0  # s; each of the few steps of an end takes 2 s at most


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_every_session_is_told_to_go_and_then_closed_with_1001(vad: VadModel) -> None:
    engine = LocalEngine(tone_responder(600), vad=vad)
    async with engine, open_session(engine) as idle, open_session(engine) as answered:
        await answered.send_realtime_input(text="hi")
        await until(answered, "audio")
        closing = asyncio.create_task(engine.close())
        for session in (idle, answered):
            seen: list[str] = []
            with pytest.raises(errors.APIError) as caught:  # noqa: PT012
                async for message in session.receive():
                    seen += kinds(message)
                    if message.go_away:
                        assert message.go_away.time_left == "0s"
            assert seen[-1] == "go away"
            assert caught.value.code == 1001
        await closing


async def test_nothing_is_left(vad: VadModel) -> None:
    async with LocalEngine(tone_responder(1), vad=vad) as engine, open_session(engine):
        pass  # whatever is made once
    tasks, files = asyncio.all_tasks(), open_files()
    engine = LocalEngine(tone_responder(600), vad=vad)
    async with engine, open_session(engine, session_resumption={}) as session, dial(engine) as silent:
        await session.send_realtime_input(text="hi")
        await until(session, "audio")
        await engine.close()
        assert engine.sessions == 0
        assert not engine.is_serving()
        with pytest.raises(ConnectionClosed):
            await silent.recv()
        assert silent.close_code == 1001
    assert asyncio.all_tasks() <= tasks
    assert open_files() <= files


async def test_nobody_is_let_in_any_more(vad: VadModel) -> None:
    async with LocalEngine(tone_responder(1), vad=vad) as engine:
        base_url = engine.base_url
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(base_url.rpartition(":")[2])))


class Verbose:
    """A responder that says more than any socket buffers."""

    def new_memory(self) -> Memory:
        return Memory()

    async def answer(self, question: Question, memory: Memory) -> AsyncIterator[Recognition | Speech | Call]:
        for _ in range(8):  # one alone would go to the transport whole, which then waits with the next
            yield Call("f", {"x": "y" * (4 << 20)})


async def test_a_client_that_does_not_read_does_not_hold_up_the_end(vad: VadModel) -> None:
    tasks = asyncio.all_tasks()
    engine = LocalEngine(Verbose(), vad=vad)
    async with engine, dial(engine) as peer:
        await peer.send(setup(tools=[{"functionDeclarations": [{"name": "f"}]}]))
        assert "setupComplete" in await reply(peer)
        peer.transport.pause_reading()
        await peer.send('{"realtimeInput": {"text": "hi"}}')
        while not any(connection.paused for connection in EngineConnection.alive):
            await asyncio.sleep(0.01)
        async with asyncio.timeout(BOUND):
            await engine.close()
        peer.transport.abort()
    assert asyncio.all_tasks() <= tasks


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n"])
async def test_a_client_that_has_not_asked_yet_does_not_hold_up_the_end(vad: VadModel, sent: bytes) -> None:
    tasks = asyncio.all_tasks()
    async with LocalEngine(tone_responder(1), vad=vad) as engine:
        port = int(engine.base_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=engine.client_ssl)
        writer.write(sent)
        await writer.drain()
        async with asyncio.timeout(BOUND):
            await engine.close()
        assert await reader.read() == b""
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() <= tasks


async def test_an_upgrade_that_stalls_does_not_hold_up_the_end(vad: VadModel) -> None:
    async with LocalEngine(tone_responder(1), vad=vad) as engine:
        injection = engine.inject(InjectedFault(FaultAction.STALL, FaultPoint.UPGRADE))
        dialing = asyncio.ensure_future(dial(engine).__aenter__())
        await injection.happened.wait()
        async with asyncio.timeout(BOUND):
            await engine.close()
        (error,) = await asyncio.gather(dialing, return_exceptions=True)
        assert isinstance(error, Exception)


class Stubborn:
    """A responder that has to be told twice to stop."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.stopped = asyncio.Event()

    def new_memory(self) -> Memory:
        return Memory()

    async def answer(self, question: Question, memory: Memory) -> AsyncIterator[Recognition | Speech | Call]:
        self.asked.set()
        try:
            await asyncio.Event().wait()
            yield Recognition("")
        except asyncio.CancelledError:
            try:
                await asyncio.Event().wait()
            finally:
                self.stopped.set()


async def test_a_responder_that_does_not_stop_at_once_does_not_hold_up_the_end(vad: VadModel) -> None:
    responder = Stubborn()
    async with LocalEngine(responder, vad=vad) as engine, dial(engine) as peer:
        await peer.send(setup())
        await peer.send('{"realtimeInput": {"text": "hi"}}')
        await responder.asked.wait()
        async with asyncio.timeout(BOUND):
            await engine.close()
        await responder.stopped.wait()


async def test_closing_twice_or_before_the_start_is_harmless(vad: VadModel) -> None:
    engine = LocalEngine(tone_responder(1), vad=vad)
    await engine.close()
    await engine.start()
    await asyncio.gather(engine.close(), engine.close())
    await engine.close()
