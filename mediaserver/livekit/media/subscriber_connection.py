"""A peer connection that we offer, again and again: what a client in dual mode is sent."""

from collections.abc import Callable

from aiortc import RTCDataChannel

from mediaserver.livekit.media.data_channels import DataChannels
from mediaserver.livekit.media.outgoing_tracks import OutgoingTracks, prefer
from mediaserver.livekit.media.renegotiation import limit_message_size
from mediaserver.livekit.media.types import LocalOffer
from mediaserver.rtc.config import Config
from mediaserver.rtc.peer_connection import Connection
from mediaserver.rtc.sdp.offer import AGAIN, OfferError, parse_offer


class SubscriberConnection:
    """Offers and takes answers one after another; the caller sees to that."""

    def __init__(self, config: Config, *, on_state: Callable[[str], None]):
        self.connection = Connection(config, on_state=on_state, on_channel=_ignore)
        self._is_made = False

    async def offer(self, outbound: OutgoingTracks, channels: DataChannels) -> LocalOffer:
        """Offer all tracks of `outbound`; the first time the data channels too. Raises one of `REFUSALS`."""
        raw = self.connection.raw
        await outbound.release()
        outbound.place(raw.getTransceivers())
        outbound.reassign(raw)
        if not self._is_made:
            self._is_made = True
            if not raw.getTransceivers():
                raw.addTransceiver("audio", "inactive")
            # After a transceiver: were the SCTP transport first, aiortc would close the one it has with the bundle
            # when the answer comes (rtcpeerconnection.py:1020).
            channels.open(raw)
        for transceiver in raw.getTransceivers():
            transceiver.direction = "sendonly" if outbound.is_sent_in(transceiver) else "inactive"
        sdp = await self.connection.offer()
        return LocalOffer("".join(f"{limit_message_size(line)}\r\n" for line in sdp.splitlines()), outbound.mids)

    async def take_answer(self, sdp: str, outbound: OutgoingTracks) -> None:
        """Take the answer to the newest offer. Raises `OfferError`, or one of `REFUSALS` with which all is over."""
        answer = parse_offer(sdp, AGAIN)
        offered = self.connection.raw.localDescription
        if self.connection.raw.signalingState != "have-local-offer" or offered is None:
            raise OfferError("No offer waits for an answer.")
        mids = [section.mid for section in parse_offer(offered.sdp, AGAIN).sections]
        if [section.mid for section in answer.sections] != mids:
            raise OfferError("The answer is not to the newest offer: its sections are others.")
        await self.connection.apply_remote(answer.sdp, "answer")
        for candidate in answer.candidates:
            self.connection.add_candidate(candidate)
        for transceiver in self.connection.raw.getTransceivers():
            prefer(transceiver)
        outbound.settle()


def _ignore(channel: RTCDataChannel) -> None:
    """Channels are ours to make here."""
