"""Before a session stands, a socket reads little: what it holds is bounded, not what it may be sent."""

import asyncio
import json
from base64 import b64encode
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.jsonws import connection
from mediaserver.jsonws.read_gate import ReadGate
from mediaserver.messages.fields import MAX_FIRST_MESSAGE_BYTES
from tests.support.jsonws_harness import Server

LIMIT = 100


class Reader(asyncio.Protocol):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.read = bytearray()
        self.message: asyncio.Future[str] | None = None
        self.lost = False

    def data_received(self, data: bytes) -> None:
        self.read += data
        if self.message is not None:
            self.message.set_result("complete")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


class Wire(asyncio.Transport):
    """A transport that delivers at once what it is asked to, unless reading is paused."""

    def __init__(self, protocol: asyncio.BaseProtocol):
        super().__init__()
        self._protocol = protocol
        self.is_reading_now = True

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def pause_reading(self) -> None:
        self.is_reading_now = False

    def resume_reading(self) -> None:
        self.is_reading_now = True

    def deliver(self, data: bytes) -> None:
        assert isinstance(self._protocol, asyncio.Protocol)
        self._protocol.data_received(data)


class Gated:
    """A gate between a wire and a reader."""

    def __init__(self) -> None:
        self.reader = Reader()
        self.wire = Wire(self.reader)
        self.exceeded = 0
        self.gate = ReadGate(self.wire, limit=LIMIT, on_exceeded=self.on_exceeded)

    def on_exceeded(self) -> None:
        self.exceeded += 1

    async def wait(self) -> None:
        """Await a message that does not come, long enough for the gate to report."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await self.gate.receive(asyncio.Event().wait())


async def test_a_message_without_an_end_is_read_up_to_the_limit_and_reported() -> None:
    gated = Gated()
    gated.wire.deliver(bytes(10 * LIMIT))
    assert (len(gated.reader.read), gated.wire.is_reading_now, gated.exceeded) == (LIMIT, False, 0)
    await gated.wait()
    assert (len(gated.reader.read), gated.exceeded) == (LIMIT, 1)


async def test_what_is_taken_makes_room_for_as_much() -> None:
    gated = Gated()
    gated.wire.deliver(bytes(range(200)))
    gated.gate.take(44)  # and the 6 bytes of its header
    assert gated.reader.read == bytes(range(150))
    gated.gate.take(44)
    assert bytes(gated.reader.read) == bytes(range(200))
    assert gated.wire.is_reading_now
    await gated.wait()
    assert gated.exceeded == 0


async def test_a_message_that_has_come_is_taken_before_the_gate_reports() -> None:
    gated = Gated()
    gated.reader.message = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(gated.gate.receive(gated.reader.message))
    await asyncio.sleep(0)
    gated.wire.deliver(bytes(2 * LIMIT))
    assert await waiting == "complete"
    assert gated.exceeded == 0


async def test_an_open_gate_is_gone() -> None:
    gated = Gated()
    gated.wire.deliver(bytes(3 * LIMIT))
    gated.gate.open()
    assert gated.wire.get_protocol() is gated.reader
    assert (len(gated.reader.read), gated.wire.is_reading_now) == (3 * LIMIT, True)
    gated.gate.open()
    assert len(gated.reader.read) == 3 * LIMIT


async def test_a_closed_gate_drops_what_follows() -> None:
    gated = Gated()
    gated.wire.deliver(bytes(3 * LIMIT))
    gated.gate.close()
    gated.wire.deliver(bytes(3 * LIMIT))
    gated.gate.take(50)
    assert (len(gated.reader.read), gated.wire.is_reading_now) == (LIMIT, True)


async def test_the_end_of_the_connection_passes() -> None:
    gated = Gated()
    gated.gate.connection_lost(None)
    assert gated.reader.lost


@given(st.lists(st.binary(max_size=3 * LIMIT) | st.integers(0, 2 * LIMIT), max_size=30))
def test_no_order_of_events_passes_more_or_loses_a_byte(steps: list[bytes | int]) -> None:
    async def play() -> None:
        gated, sent, taken = Gated(), b"", 0
        for step in steps:
            if isinstance(step, bytes):
                gated.wire.deliver(step)
                sent += step
            else:
                size = min(step, len(gated.reader.read) - taken - 6)
                if size >= 0:
                    gated.gate.take(size)
                    taken += size + (6 if size < 126 else 8)
            assert len(gated.reader.read) - taken <= LIMIT
            assert sent.startswith(gated.reader.read)
        gated.gate.open()
        assert gated.reader.read == sent

    asyncio.run(play())


# On a server


async def test_a_long_message_before_a_session_is_refused_with_1009(server: Server) -> None:
    client = await server.connect("")
    with suppress(ConnectionError):
        await client.ws.send_str('{"action": "start_session", "x": "' + "x" * (12 << 20) + '"}')
    assert await client.closed() == 1009
    assert [message["code"] for message in client.seen] == ["PAYLOAD_TOO_LARGE"]


async def test_a_message_just_too_long_is_not_parsed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "parse", None)  # calling it would be a TypeError
    client = await server.connect()
    await client.ws.send_str(" " * (MAX_FIRST_MESSAGE_BYTES + 1))
    assert await client.closed() == 1009
    assert client.seen[-1]["code"] == "PAYLOAD_TOO_LARGE"


async def test_the_longest_first_message_passes(server: Server) -> None:
    client = await server.connect()
    text = json.dumps({"action": "start_session", "token": "a" * 4_096, "config": {"instructions": "é" * 8_000}})
    await client.ws.send_str(text + " " * (MAX_FIRST_MESSAGE_BYTES - len(text)))
    await client.until("session_started")


async def test_a_long_message_may_follow_start_session_at_once(server: Server) -> None:
    client = await server.connect()
    await client.send("ping")
    await client.send("start_session")
    for _ in range(3):
        await client.show(bytes(2 << 20))  # no picture: each is answered
        assert await client.code() in ("SESSION_NOT_FOUND", "UNSUPPORTED_FORMAT")
    await client.until("error", code="UNSUPPORTED_FORMAT")


async def test_compressed_frames_are_not_negotiated(server: Server) -> None:
    offer = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    client = await server.client.ws_connect("/ws/livekit", headers={"Authorization": "Bearer ann", **offer})
    assert client.compress == 0
    await client._writer.send_frame(b64encode(bytes(100)), 1, compress=15)
    async with asyncio.timeout(10):
        await client.receive()
    assert client.close_code == 1002
