"""A network that loses some of what is sent, both ways."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aioice.ice import StunProtocol


class Network:
    """Loses a share of all datagrams while `loss` says so; the dice are always the same."""

    def __init__(self) -> None:
        self.loss = 0.0
        self.lost = 0
        self._dice = random.Random(4)

    def loses(self) -> bool:
        is_lost = self._dice.random() < self.loss
        self.lost += is_lost
        return is_lost


@contextmanager
def lossy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """Let everything that goes through aioice's sockets pass a network, which loses nothing at first."""
    network = Network()
    receive, send = StunProtocol.datagram_received, StunProtocol.send_data

    def datagram_received(self: StunProtocol, data: bytes | str, addr: tuple[object, ...]) -> None:
        if not network.loses():
            receive(self, data, addr)

    async def send_data(self: StunProtocol, data: bytes, addr: tuple[str, int]) -> None:
        if not network.loses():
            await send(self, data, addr)

    with monkeypatch.context() as patch:
        patch.setattr(StunProtocol, "datagram_received", datagram_received)
        patch.setattr(StunProtocol, "send_data", send_data)
        yield network
