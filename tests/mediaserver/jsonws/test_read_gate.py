"""Before a session stands, a socket reads little: what it holds is bounded, not what it may be sent."""

import asyncio
import json
from base64 import b64encode
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.jsonws import connection
from mediaserver.jsonws.frame_lengths import FrameLengths
from mediaserver.jsonws.message_budget import Account, MessageBudget
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
        if self.message is not None and not self.message.done():
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


def frame(payload: bytes, *, first: int = 0x81) -> bytes:
    """A masked frame whose mask changes nothing."""
    size = len(payload)
    if size < 126:
        return bytes([first, 0x80 | size]) + bytes(4) + payload
    if size < 1 << 16:
        return bytes([first, 0x80 | 126]) + size.to_bytes(2) + bytes(4) + payload
    return bytes([first, 0x80 | 127]) + size.to_bytes(8) + bytes(4) + payload


class Gated:
    """A gate between a wire and a reader."""

    def __init__(self) -> None:
        self.reader = Reader()
        self.wire = Wire(self.reader)
        self.exceeded = 0
        self.gate = ReadGate(self.wire, limit=LIMIT, on_exceeded=self.on_exceeded)

    def on_exceeded(self) -> None:
        self.exceeded += 1

    def open(self, budget: MessageBudget) -> Account:
        account = budget.open_account("ada", self.gate.retry)
        self.gate.open(account)
        return account

    @property
    def payload(self) -> int:
        """Bytes of payload that the reader has got."""
        return FrameLengths().payload_of(bytes(self.reader.read))

    async def wait(self) -> None:
        """Await a message that does not come, long enough for the gate to report."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await self.gate.receive(asyncio.Event().wait())


@given(st.lists(st.tuples(st.integers(0, 70_000), st.booleans()), max_size=6), st.lists(st.integers(1, 99_999)))
def test_the_payload_of_frames_is_told_however_they_are_cut(frames: list[tuple[int, bool]], cuts: list[int]) -> None:
    stream = b"".join(frame(bytes(size), first=0x01 if is_open else 0x80) for size, is_open in frames)
    lengths, total = FrameLengths(), 0
    for cut in cuts:
        total += lengths.payload_of(stream[:cut])
        stream = stream[cut:]
    assert total + lengths.payload_of(stream) == sum(size for size, _ in frames)


async def test_a_message_without_an_end_is_read_up_to_the_limit_and_reported() -> None:
    gated = Gated()
    gated.wire.deliver(frame(bytes(10 * LIMIT))[:-1])
    assert (gated.payload, gated.wire.is_reading_now, gated.exceeded) == (LIMIT, False, 0)
    await gated.wait()
    assert (gated.payload, gated.exceeded) == (LIMIT, 1)


async def test_what_is_taken_makes_room_for_as_much() -> None:
    gated = Gated()
    sent = frame(bytes(44)) + frame(bytes(56)) + frame(bytes(range(99)))
    gated.wire.deliver(sent)
    assert gated.payload == 100
    gated.gate.take(44)
    assert gated.payload == 144
    gated.gate.take(56)
    assert bytes(gated.reader.read) == sent
    assert gated.wire.is_reading_now
    await gated.wait()
    assert gated.exceeded == 0


async def test_the_headers_of_a_message_in_many_pieces_take_no_room() -> None:
    gated = Gated()
    for _ in range(50):
        gated.wire.deliver(b"".join(frame(b"ab", first=0x01 if not piece else 0x00) for piece in range(50)))
        gated.gate.take(100)
    gated.wire.deliver(frame(bytes(LIMIT)))
    assert (gated.payload, gated.wire.is_reading_now) == (51 * LIMIT, True)


async def test_a_message_that_has_come_is_taken_before_the_gate_reports() -> None:
    gated = Gated()
    gated.reader.message = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(gated.gate.receive(gated.reader.message))
    await asyncio.sleep(0)
    gated.wire.deliver(frame(bytes(2 * LIMIT)))
    assert await waiting == "complete"
    assert gated.exceeded == 0


async def test_an_open_gate_passes_long_messages_and_has_them_counted() -> None:
    gated, budget = Gated(), MessageBudget(1000)
    account = gated.open(budget)
    gated.wire.deliver(frame(bytes(600)))
    assert gated.payload == LIMIT
    await gated.wait()
    assert (gated.payload, account.held) == (600, 500)
    assert gated.gate.take(600) == 500
    gated.wire.deliver(frame(bytes(LIMIT)))
    assert (gated.payload, account.held) == (700, 500)
    account.give_back(500)
    assert (len(budget), account.held) == (0, 0)


async def test_long_messages_of_one_caller_wait_for_one_another() -> None:
    budget, first, second = MessageBudget(1000), Gated(), Gated()
    accounts = [first.open(budget), second.open(budget)]
    for gated in (first, second):
        gated.wire.deliver(frame(bytes(800)))
        await gated.wait()
    assert (first.payload, second.payload, second.wire.is_reading_now) == (800, LIMIT, False)
    waiting = asyncio.create_task(second.gate.receive(asyncio.Event().wait()))
    accounts[0].give_back(first.gate.take(800))
    await asyncio.sleep(0.01)
    assert (second.payload, second.wire.is_reading_now) == (800, True)
    waiting.cancel()
    for account in accounts:
        account.close()
    assert len(budget) == 0


async def test_the_oldest_message_can_always_be_read_to_its_end() -> None:
    budget, first, second = MessageBudget(1000), Gated(), Gated()
    for gated in (first, second):
        gated.open(budget)
        gated.wire.deliver(frame(bytes(900))[:550])
        await gated.wait()
    for gated in (second, first):
        gated.wire.deliver(bytes(358))
        await gated.wait()
    assert (first.payload, second.payload) == (900, 542)


async def test_callers_do_not_wait_for_one_another() -> None:
    budget = MessageBudget(1000)
    one = budget.open_account("ada", lambda: None)
    assert one.charge(1000)
    assert budget.open_account("bob", lambda: None).charge(1000)
    assert not budget.open_account("ada", lambda: None).charge(1)


async def test_a_closed_account_waits_no_more() -> None:
    called: list[int] = []
    budget = MessageBudget(1000)
    one, other = (budget.open_account("ada", partial(called.append, number)) for number in range(2))
    assert one.charge(1000)
    assert not other.charge(1)
    other.close()
    one.close()
    assert (called, len(budget)) == ([], 0)


async def test_a_closed_gate_drops_what_follows() -> None:
    gated = Gated()
    gated.wire.deliver(frame(bytes(3 * LIMIT)))
    gated.gate.close()
    gated.wire.deliver(bytes(3 * LIMIT))
    gated.gate.take(50)
    assert (gated.payload, gated.wire.is_reading_now) == (LIMIT, True)


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
                gated.wire.deliver(frame(step))
                sent += frame(step)
            else:
                size = min(step, gated.payload - taken)
                gated.gate.take(size)
                taken += size
            assert gated.payload - taken <= LIMIT
            assert sent.startswith(gated.reader.read)
        gated.open(MessageBudget(1 << 20))
        await gated.wait()
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
