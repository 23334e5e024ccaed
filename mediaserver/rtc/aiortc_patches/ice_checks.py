"""A bound on the ICE checks that one connection sends, as the far end chooses where to: aioice 0.13 has none."""

from typing import Any

import aioice.stun
from aiortc.rtcicetransport import RTCIceTransport

MAX_CHECKS = 24
"""Checks to addresses from which nothing has come: twelve candidates, each from two addresses of this machine."""

MAX_SENDERS = 12
"""Addresses whose own checks, with the right password, are answered by a check."""

RETRANSMISSIONS = 3
"""A check is sent at 0, 0.5, 1.5 and 3.5 s: enough to open a NAT, which then lets the far end's own checks in."""

# stun.py:20: six by default. All transactions read it, but consent checks, which are never sent again (ice.py:1267).
aioice.stun.RETRY_MAX = RETRANSMISSIONS


class CheckLimiter:
    """Lets one transport check few addresses. Create it before the candidates are added."""

    def __init__(self, transport: RTCIceTransport):
        # ice.py:1086 starts every check by `check_start`; ice.py:1351 takes those of the far end, once authenticated.
        connection: Any = transport._connection
        self._connection = connection
        self._start = connection.check_start
        self._take = connection.check_incoming
        self._checks = 0
        self._senders: set[tuple[str, int]] = set()
        connection.check_start = self._on_start
        connection.check_incoming = self._on_incoming

    async def _on_start(self, pair: Any) -> None:
        if pair.remote_addr not in self._senders:
            if self._checks >= MAX_CHECKS:
                pair.task = None  # failed, until a check of the far end itself revives it
                self._connection.check_state(pair, pair.State.FAILED)
                return
            self._checks += 1
        await self._start(pair)

    def _on_incoming(self, message: object, addr: tuple[str, int], protocol: object) -> None:
        # Source addresses can be forged by whoever knows the password: without a bound each gets checks of ours.
        if addr not in self._senders:
            if len(self._senders) >= MAX_SENDERS:
                return
            self._senders.add(addr)
        self._take(message, addr, protocol)
