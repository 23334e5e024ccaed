"""`run.py` on a network that loses some of all media datagrams, both ways; LOSS is the share."""

import os
import random
import runpy
import sys
from pathlib import Path

from aioice.ice import StunProtocol

ROOT = Path(__file__).parents[2]


def lose(share: float) -> None:
    """Let everything that goes through aioice's sockets pass a network that throws dice, always the same."""
    dice = random.Random(4)
    receive, send = StunProtocol.datagram_received, StunProtocol.send_data

    def datagram_received(self: StunProtocol, data: bytes | str, addr: tuple[object, ...]) -> None:
        if dice.random() >= share:
            receive(self, data, addr)

    async def send_data(self: StunProtocol, data: bytes, addr: tuple[str, int]) -> None:
        if dice.random() >= share:
            await send(self, data, addr)

    StunProtocol.datagram_received = datagram_received  # type: ignore[method-assign]
    StunProtocol.send_data = send_data  # type: ignore[method-assign]


if __name__ == "__main__":
    lose(float(os.environ["LOSS"]))
    sys.path.insert(0, str(ROOT))
    runpy.run_path(str(ROOT / "run.py"), run_name="__main__")
