"""The lifetime of a connection, and the goAway before its end."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mediaserver.localengine.protocol.codec import INTERNAL, WireError
from mediaserver.localengine.protocol.messages import GoAway

DEADLINE_EXPIRED = "Deadline expired before operation could complete."
"""The close reason of every timeout."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Seconds until goAway is sent, and from then until the close; about Google's values."""

    until_warning: float = 540.0
    after_warning: float = 60.0


DEFAULT_LIFETIME = Lifetime()


async def expire(lifetime: Lifetime, send: Callable[[GoAway], Awaitable[None]]) -> None:
    """Send goAway before the end of a connection that begins now, and raise `WireError` at its end."""
    await asyncio.sleep(lifetime.until_warning)
    try:
        async with asyncio.timeout(lifetime.after_warning):
            await send(GoAway(lifetime.after_warning))  # waits while the client does not read
            await asyncio.Event().wait()
    except TimeoutError:
        raise WireError(INTERNAL, DEADLINE_EXPIRED) from None
