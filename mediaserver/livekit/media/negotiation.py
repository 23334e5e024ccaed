"""Offers, answers and candidates between one client and its link."""

import json
from collections.abc import Callable, Iterable, Mapping

from livekit.protocol.rtc import (
    MediaSectionsRequirement,
    SessionDescription,
    SignalResponse,
    SignalTarget,
    TrickleRequest,
)

from mediaserver.livekit.media.link_protocol import Link
from mediaserver.livekit.media.types import MissingSections, OfferedSection, Target
from pipeline.errors import ProtocolError


class Negotiation:
    """With one connection only the client offers; with two, each side offers what it sends.

    `on_sections` is told the client's sections, `on_sent` the tracks that now have one of theirs. What cannot be used
    raises `rtc.offer.OfferError`.
    """

    def __init__(
        self,
        link: Link,
        *,
        is_dual: bool,
        post: Callable[[SignalResponse], None],
        on_sections: Callable[[Iterable[OfferedSection]], None],
        on_sent: Callable[[Iterable[str]], None],
    ):
        self.is_begun = False
        """Whether the client has had an answer or an offer of ours."""
        self._link = link
        self._is_dual = is_dual
        self._post = post
        self._on_sections = on_sections
        self._on_sent = on_sent
        self._offers = 0
        self._is_offering = False
        self._must_offer = False
        self._lacking: MissingSections | None = None

    async def take_offer(self, offer: SessionDescription) -> None:
        """Answer an offer of the client, in its numbering."""
        answer = await self._link.answer(offer.sdp)
        sent: Mapping[str, str] = {} if self._is_dual else answer.sent
        description = SessionDescription(type="answer", sdp=answer.sdp, id=offer.id, mid_to_track_id=dict(sent))
        self._post(SignalResponse(answer=description))
        self.is_begun = True
        self._on_sections(answer.sections)
        self._on_sent(sent.values())
        lacking = self._link.missing_sections()
        # Once for each lack: a client that offers no more sections would be asked for ever.
        if lacking not in (MissingSections(), self._lacking):
            self._require(lacking)
        self._lacking = lacking

    async def take_answer(self, answer: SessionDescription) -> None:
        """Take the answer to our newest offer; any other is ignored."""
        if not self._is_offering or answer.id not in (0, self._offers):
            return
        number = self._offers
        await self._link.take_answer(answer.sdp)
        if number != self._offers:
            return  # whoever has come back meanwhile is to answer another offer
        self._is_offering = False
        if self._must_offer:
            await self.offer()

    def take_candidate(self, trickle: TrickleRequest) -> None:
        """Take a candidate of the client. Raises `ProtocolError`."""
        try:
            candidate = json.loads(trickle.candidateInit)
        except (ValueError, RecursionError):
            candidate = None
        match candidate:
            case {"candidate": str(text)}:
                is_down = trickle.target == SignalTarget.SUBSCRIBER
                self._link.add_candidate(text, Target.SUBSCRIBER if is_down else Target.PUBLISHER)
            case _:
                raise ProtocolError("`candidateInit` takes JSON with a string `candidate`.")

    async def offer(self, *, again: bool = False) -> None:
        """Offer what the client is to be sent, or do so once it has answered the last offer (dual mode).

        `again`: the last offer, or its answer, may have been lost.
        """
        if self._is_offering and not again:
            self._must_offer = True
            return
        self._is_offering, self._must_offer = True, False
        self._offers += 1
        number = self._offers
        offered = await self._link.offer()
        self.is_begun = True
        sent = dict(offered.sent)
        self._post(
            SignalResponse(offer=SessionDescription(type="offer", sdp=offered.sdp, id=number, mid_to_track_id=sent))
        )
        self._on_sent(sent.values())

    def ask_for_offer(self) -> None:
        """Let the client offer again, as there is more to send (single mode); it offers first by itself."""
        if self.is_begun:
            self._lacking = self._link.missing_sections()
            self._require(self._lacking)

    def _require(self, lacking: MissingSections) -> None:
        requirement = MediaSectionsRequirement(num_audios=lacking.audios, num_videos=lacking.videos)
        self._post(SignalResponse(media_sections_requirement=requirement))
