"""Offers and answers that cross one another."""

import asyncio
from collections.abc import Iterable
from typing import cast

from livekit.protocol.rtc import SessionDescription, SignalResponse

from mediaserver.livekit.media.negotiation import Negotiation
from mediaserver.livekit.media.types import LinkEvents, OfferedSection
from tests.support.livekit_harness import FakeLink


class SlowLink(FakeLink):
    """Takes answers when it is told to."""

    def __init__(self) -> None:
        super().__init__(cast(LinkEvents, None), is_dual=True)
        self.is_ready = asyncio.Event()

    async def take_answer(self, sdp: str) -> None:
        await self.is_ready.wait()
        await super().take_answer(sdp)


class Listener:
    """Records the messages of a negotiation."""

    def __init__(self) -> None:
        self.posted: list[SignalResponse] = []

    def post(self, response: SignalResponse) -> None:
        self.posted.append(response)

    def on_sections(self, sections: Iterable[OfferedSection]) -> None: ...

    def on_sent(self, tracks: Iterable[str]) -> None: ...


async def test_an_answer_that_is_being_taken_does_not_stand_for_the_one_to_a_later_offer() -> None:
    link, listener = SlowLink(), Listener()
    negotiation, posted = Negotiation(link, listener, is_dual=True), listener.posted
    await negotiation.offer()
    first = asyncio.create_task(negotiation.take_answer(SessionDescription(sdp="to the first", id=1)))
    await asyncio.sleep(0)

    await negotiation.offer(again=True)  # as the client has come back on another socket
    link.is_ready.set()
    await first
    await negotiation.take_answer(SessionDescription(sdp="to the second", id=posted[-1].offer.id))

    assert [each.offer.id for each in posted] == [1, 2]
    assert link.answers == ["to the first", "to the second"]
