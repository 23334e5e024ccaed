"""The negotiation of one participant's media, and its effects on the room."""

from collections.abc import Awaitable, Iterable

from livekit.protocol.models import DisconnectReason
from livekit.protocol.rtc import SessionDescription, SignalResponse, TrickleRequest
from loguru import logger

from mediaserver.livekit.media.link_protocol import Link
from mediaserver.livekit.media.negotiation import Negotiation
from mediaserver.livekit.media.types import OfferedSection
from mediaserver.livekit.room.participant import Participant
from mediaserver.livekit.service.room_context import RoomContext
from mediaserver.livekit.service.session_control import SessionControl
from mediaserver.livekit.service.session_media import SessionMedia
from mediaserver.rtc.sdp.offer import OfferError


class SessionNegotiation:
    """Runs offers and answers, and ends the session if one fails. Implements `NegotiationListener`."""

    def __init__(
        self,
        session: SessionControl,
        context: RoomContext,
        participant: Participant,
        link: Link,
        media: SessionMedia,
        *,
        is_dual: bool,
    ):
        self._session = session
        self._context = context
        self._participant = participant
        self._media = media
        self._is_dual = is_dual
        self._negotiation = Negotiation(link, self, is_dual=is_dual)

    async def take_offer(self, offer: SessionDescription) -> None:
        """Answer an offer of the client."""
        await self._run(self._negotiation.take_offer(offer))

    async def take_answer(self, answer: SessionDescription) -> None:
        """Apply the client's answer to our newest offer (dual mode)."""
        await self._run(self._negotiation.take_answer(answer))

    def take_candidate(self, trickle: TrickleRequest) -> None:
        """Add an ICE candidate of the client. Raises `ProtocolError`."""
        self._negotiation.take_candidate(trickle)

    async def offer(self, *, again: bool = False) -> None:
        """Offer the subscriber connection (dual mode); `again` if the last offer or its answer may be lost."""
        await self._run(self._negotiation.offer(again=again))

    def renegotiate(self) -> None:
        """Negotiate sections for new outgoing tracks."""
        if not self._is_dual:
            self._negotiation.ask_for_offer()
        elif self._negotiation.is_begun:
            self._context.spawn(self.offer())

    def post(self, response: SignalResponse) -> None:
        """Send a signal message to the client."""
        self._session.post(response)

    def on_sections(self, sections: Iterable[OfferedSection]) -> None:
        """Bind the client's tracks to the sections of its offer."""
        if not self._session.is_over:
            self._context.room.match(self._participant, sections)
            self._context.reconcile()

    def on_sent(self, tracks: Iterable[str]) -> None:
        """Report to the publishers that their tracks have a receiver."""
        for track in tracks:
            publisher = self._media.publisher(track)
            if publisher is not None:
                self._context.mark_subscribed(publisher, track)

    async def _run(self, step: Awaitable[None]) -> None:
        try:
            await step
        except OfferError as error:
            logger.info("negotiation failed", reason=error.message)
            if self._negotiation.is_begun:
                self._session.end(DisconnectReason.STATE_MISMATCH, "RECONNECT")
            else:
                self._session.end(DisconnectReason.JOIN_FAILURE, "DISCONNECT")
