"""How long one connection lasts, and that its client hears of the end before it comes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mediaserver.localengine.protocol.codec import INTERNAL, WireError
from mediaserver.localengine.protocol.messages import GoAway

DEADLINE_EXPIRED = "Deadline expired before operation could complete."
"""The reason of every close that is a matter of time."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Seconds until a connection is told to go, and from then on until it is closed; Google's are about these."""

    until_warning: float = 540.0
    after_warning: float = 60.0


TEN_MINUTES = Lifetime()


async def expire(lifetime: Lifetime, send: Callable[[GoAway], Awaitable[None]]) -> None:
    """Announce the end of a connection that begins now, and raise the `WireError` that ends it when its time is up."""
    await asyncio.sleep(lifetime.until_warning)
    try:
        async with asyncio.timeout(lifetime.after_warning):
            await send(GoAway(lifetime.after_warning))  # waits while the client does not read
            await asyncio.Event().wait()
    except TimeoutError:
        raise WireError(INTERNAL, DEADLINE_EXPIRED) from None
