"""The subscriber peer connection, which we offer to a client in dual mode."""

from collections.abc import Callable

from aiortc import RTCDataChannel

from mediaserver.livekit.media.data_channels import DataChannels
from mediaserver.livekit.media.outgoing_tracks import OutgoingTracks, prefer
from mediaserver.livekit.media.renegotiation import limit_message_size, parse_renegotiable
from mediaserver.livekit.media.types import LocalOffer
from mediaserver.rtc.config import Config
from mediaserver.rtc.peer_connection import PeerConnection
from mediaserver.rtc.sdp.offer import OfferError, parse_renegotiated


class SubscriberConnection:
    """Offers the outgoing tracks. The caller awaits each call before the next."""

    def __init__(self, config: Config, *, client: str, on_state: Callable[[str], None]):
        self.connection = PeerConnection(config, client=client, on_state=on_state, on_channel=_ignore)
        self._has_channels = False

    async def offer(self, outgoing: OutgoingTracks, channels: DataChannels) -> LocalOffer:
        """Offer all outgoing tracks, and the data channels with the first offer. Raises one of `REFUSALS`."""
        raw = self.connection.raw
        await outgoing.release()
        outgoing.place(raw.getTransceivers())
        outgoing.reassign(raw)
        if not self._has_channels:
            self._has_channels = True
            if not raw.getTransceivers():
                raw.addTransceiver("audio", "inactive")
            # After a transceiver: were the SCTP transport first, aiortc would close the one it has with the bundle
            # when the answer comes (rtcpeerconnection.py:1020).
            channels.open(raw)
        for transceiver in raw.getTransceivers():
            transceiver.direction = "sendonly" if outgoing.is_sent_in(transceiver) else "inactive"
        sdp = await self.connection.offer()
        return LocalOffer("".join(f"{limit_message_size(line)}\r\n" for line in sdp.splitlines()), outgoing.mids)

    async def take_answer(self, sdp: str, outgoing: OutgoingTracks) -> None:
        """Apply the answer to the newest offer. Raises `OfferError`, or one of `REFUSALS`, which are fatal."""
        # A section that the client refuses stays, inactive: one that it cannot show must not end the others.
        answer = parse_renegotiable(sdp).offer
        offered = self.connection.raw.localDescription
        if self.connection.raw.signalingState != "have-local-offer" or offered is None:
            raise OfferError("No offer waits for an answer.")
        mids = [section.mid for section in parse_renegotiated(offered.sdp).sections]
        if [section.mid for section in answer.sections] != mids:
            raise OfferError("The answer is not to the newest offer: its sections are others.")
        await self.connection.apply_remote(answer.sdp, "answer")
        for candidate in answer.candidates:
            self.connection.add_candidate(candidate)
        for transceiver in self.connection.raw.getTransceivers():
            prefer(transceiver)
        outgoing.settle()


def _ignore(channel: RTCDataChannel) -> None:
    """Ignore the client's data channels: the server creates them here."""
