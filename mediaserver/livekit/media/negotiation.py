"""The offer/answer exchange between one client and its link."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from livekit.protocol.rtc import (
    MediaSectionsRequirement,
    SessionDescription,
    SignalResponse,
    SignalTarget,
    TrickleRequest,
)

from mediaserver.bounded_json import JsonError, parse_json
from mediaserver.livekit.media.link_protocol import Link
from mediaserver.livekit.media.types import MissingSections, OfferedSection, Target
from pipeline.errors import ProtocolError


class NegotiationListener(Protocol):
    """Receives the messages and the results of a negotiation."""

    def post(self, response: SignalResponse) -> None:
        """Send a signal message to the client."""
        ...

    def on_sections(self, sections: Iterable[OfferedSection]) -> None:
        """Handle the media sections of an answered offer."""
        ...

    def on_sent(self, tracks: Iterable[str]) -> None:
        """Handle the complete list of outgoing tracks that have a section."""
        ...


class Negotiation:
    """Exchanges SDP: in single mode only the client offers, in dual mode each side offers the tracks it sends.

    Descriptions that cannot be applied raise `OfferError`.
    """

    def __init__(self, link: Link, listener: NegotiationListener, *, is_dual: bool):
        self.is_begun = False
        """Whether an answer or an offer of ours was sent."""
        self._link = link
        self._listener = listener
        self._is_dual = is_dual
        self._offers = 0
        self._is_answer_due = False
        self._is_offer_due = False
        self._requested: MissingSections | None = None

    async def take_offer(self, offer: SessionDescription) -> None:
        """Answer an offer of the client, with the offer's id."""
        answer = await self._link.answer(offer.sdp)
        sent: Mapping[str, str] = {} if self._is_dual else answer.sent
        description = SessionDescription(type="answer", sdp=answer.sdp, id=offer.id, mid_to_track_id=dict(sent))
        self._listener.post(SignalResponse(answer=description))
        self.is_begun = True
        self._listener.on_sections(answer.sections)
        self._listener.on_sent(sent.values())
        missing = self._link.missing_sections()
        # Requested once: a client that offers no more sections would otherwise get requests for ever.
        if missing not in (MissingSections(), self._requested):
            self._require(missing)
        self._requested = missing

    async def take_answer(self, answer: SessionDescription) -> None:
        """Apply the answer to our newest offer; ignore any other."""
        if not self._is_answer_due or answer.id not in (0, self._offers):
            return
        number = self._offers
        await self._link.take_answer(answer.sdp)
        if number != self._offers:
            return  # the client has resumed meanwhile, and must answer a newer offer
        self._is_answer_due = False
        if self._is_offer_due:
            await self.offer()

    def take_candidate(self, trickle: TrickleRequest) -> None:
        """Add an ICE candidate of the client. Raises `ProtocolError`."""
        try:
            candidate = parse_json(trickle.candidateInit)
        except JsonError:
            candidate = None
        match candidate:
            case {"candidate": str(text)}:
                is_subscriber = trickle.target == SignalTarget.SUBSCRIBER
                self._link.add_candidate(text, Target.SUBSCRIBER if is_subscriber else Target.PUBLISHER)
            case _:
                raise ProtocolError("`candidateInit` takes JSON with a string `candidate`.")

    async def offer(self, *, again: bool = False) -> None:
        """Offer the outgoing tracks, now or after the answer to the last offer (dual mode).

        `again`: do not wait, as the last offer or its answer may be lost.
        """
        if self._is_answer_due and not again:
            self._is_offer_due = True
            return
        self._is_answer_due, self._is_offer_due = True, False
        self._offers += 1
        number = self._offers
        offered = await self._link.offer()
        self.is_begun = True
        sent = dict(offered.sent)
        self._listener.post(
            SignalResponse(offer=SessionDescription(type="offer", sdp=offered.sdp, id=number, mid_to_track_id=sent))
        )
        self._listener.on_sent(sent.values())

    def ask_for_offer(self) -> None:
        """Request another offer for new outgoing tracks (single mode); the first comes unasked."""
        if self.is_begun:
            self._requested = self._link.missing_sections()
            self._require(self._requested)

    def _require(self, missing: MissingSections) -> None:
        requirement = MediaSectionsRequirement(num_audios=missing.audios, num_videos=missing.videos)
        self._listener.post(SignalResponse(media_sections_requirement=requirement))
