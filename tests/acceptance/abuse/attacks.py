"""Attacks of one address, each for some seconds, in a process of their own.

`python -m tests.acceptance.abuse.attacks NAME SERVER SECONDS` runs one and prints its counts as JSON.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from tests.acceptance.abuse import http_attacks, jsonws_attacks, livekit_attacks, webrtc_attacks
from tests.acceptance.abuse.target import Target


@dataclass(frozen=True)
class Attack:
    """An attack, and the counts that must be above zero: without them it has not reached what it means to attack."""

    run: Callable[[Target], Awaitable[None]]
    reaches: tuple[str, ...]
    weakness: str = ""
    """Reason for which the server is known to be disturbed; empty if it is not."""


ATTACKS = {
    attack.run.__name__: attack
    for attack in (
        Attack(http_attacks.compressed_bodies, ("415",)),
        Attack(http_attacks.silent_connections, ("opened",)),
        Attack(http_attacks.malformed_requests, ("sent",)),
        Attack(http_attacks.wrong_passwords, ("401",)),
        Attack(http_attacks.health_checks, ("200",)),
        Attack(jsonws_attacks.large_pictures, ("session_started", "pictures", "FRAME_PROCESSING_ERROR")),
        Attack(jsonws_attacks.deep_json, ("PAYLOAD_TOO_LARGE", "closed 1009")),
        Attack(jsonws_attacks.deep_json_of_guests, ("session_started", "messages", "INVALID_MESSAGE")),
        Attack(jsonws_attacks.unfinished_messages, ("session_started", "bytes sent")),
        Attack(jsonws_attacks.bad_messages, ("session_started", "UNKNOWN_ACTION", "closed 1008")),
        Attack(jsonws_attacks.many_sessions, ("session_started", "error")),
        Attack(webrtc_attacks.large_video, ("connected", "FRAME_PROCESSING_ERROR")),
        Attack(webrtc_attacks.huge_video, ("connected", "screen_seen", "FRAME_PROCESSING_ERROR")),
        Attack(webrtc_attacks.endless_message, ("connected", "bytes sent")),
        Attack(webrtc_attacks.bad_events, ("connected", "UNKNOWN_ACTION")),
        Attack(webrtc_attacks.many_connections, ("connected", "offer 429")),
        Attack(webrtc_attacks.abandoned_offers, ("offer 201", "offer 429")),
        Attack(webrtc_attacks.reflected_checks, ("offer 201", "datagrams")),
        Attack(livekit_attacks.packed_joins, ("400",)),
        Attack(livekit_attacks.abandoned_joins, ("join", "leave", "join 429")),
        Attack(livekit_attacks.packed_streams, ("connected", "packets", "PAYLOAD_TOO_LARGE")),
        Attack(livekit_attacks.bad_packets, ("connected", "packets", "UNKNOWN_ACTION")),
        Attack(livekit_attacks.signals_of_bad_json, ("joined", "messages")),
    )
}


async def _main(name: str, server: str, seconds: float) -> None:
    target = Target(server, seconds)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds + 60):
            await ATTACKS[name].run(target)
    print(json.dumps(target.counts))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
