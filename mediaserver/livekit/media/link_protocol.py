"""The interface of one client's media link, which `MediaLink` implements."""

from collections.abc import Callable
from typing import Protocol

from mediaserver.livekit.media.types import (
    Answer,
    LinkEvents,
    LinkState,
    LocalOffer,
    MissingSections,
    Outgoing,
    Reception,
    Target,
)


class Link(Protocol):
    """Carries one client's media and data, over one peer connection, or two in dual mode; outlives its socket.

    Single mode (`is_dual` False): only the client offers. Outgoing tracks use the free recvonly sections of its offer.
    Data is sent and received on the channels that the client opens.

    Dual mode: the client offers its publisher connection (`answer`), and we offer its subscriber connection (`offer`,
    `take_answer`), which carries every outgoing track and the channels `_reliable` and `_lossy` that we open.

    Calls of `answer`, `offer` and `take_answer` may overlap: they are executed in order. Synchronous methods do not
    block and, except `add_candidate` and `forward`, never raise, even after the end.
    """

    @property
    def state(self) -> LinkState | None:
        """The state reported last; None while connecting."""
        ...

    # Negotiation.

    async def answer(self, sdp: str) -> Answer:
        """Answer the first or any later offer of the client.

        Sections may be added, or turn inactive, which ends the tracks in them. An ICE restart (each resume brings one)
        is answered with the old credentials: the old path stays. Simulcast is answered with its top layer. The
        candidates of the offer are added.

        Raises only `OfferError`, for an offer that cannot be answered; the link is then unchanged, or its state is
        FAILED. A section without a common codec does not raise: it is refused in the answer.
        """
        ...

    async def offer(self) -> LocalOffer:
        """Offer the subscriber connection with every outgoing track (dual mode only). Raises only `OfferError`."""
        ...

    async def take_answer(self, sdp: str) -> None:
        """Apply the answer to the newest of our offers. Raises only `OfferError`."""
        ...

    def add_candidate(self, text: str, target: Target) -> None:
        """Add a trickled ICE candidate, even before the first offer; ignore an empty one. Raises `ProtocolError`."""
        ...

    # Media from the client.

    def listen(self, mid: str, *, is_wanted: bool) -> None:
        """Decode a section's media and report it (`on_audio`, `on_frame`), or drop it undecoded.

        Sections are dropped by default. The section may not be negotiated yet.
        """
        ...

    # Media to the client.

    def speak(self, outgoing: Outgoing) -> None:
        """Send the assistant's voice as this track; call it once, before the first negotiation."""
        ...

    def send_audio(self, opus: bytes) -> None:
        """Send 20 ms of the assistant's voice that is due now."""
        ...

    def flush_audio(self) -> None:
        """Discard the assistant's speech that is not sent yet."""
        ...

    def forward(self, outgoing: Outgoing, source: "Link", mid: str) -> None:
        """Forward section `mid` of another client's link, from the same factory, as this track.

        Takes effect with the next negotiation, whether or not the section is decoded. For video, key frames are
        requested from the source as this client needs them. The track ends with the source's section or link, but must
        still be withdrawn. Raises ValueError for a track name in use.
        """
        ...

    def pause(self, track: str, *, is_paused: bool) -> None:
        """Pause or resume an outgoing track, the assistant's included; its section stays."""
        ...

    def withdraw(self, track: str) -> None:
        """Stop a forwarded track, and free its section at the next negotiation; ignore an unknown track."""
        ...

    def missing_sections(self) -> MissingSections:
        """Count the media sections that the newest offer lacked (single mode; always none in dual mode)."""
        ...

    # Data.

    def send(self, label: str, data: bytes, *, is_of_others: bool = False) -> bool:
        """Send a message on the channel of that label; reliable messages are queued until the channel is open.

        At most 5 MB may be queued, of which relayed data (`is_of_others`) may use 4 MB; a message beyond that is not
        sent, and the result is False. Lossy messages are dropped instead, and the result is True.
        """
        ...

    # Life.

    def reception(self) -> Reception:
        """Return the recent loss and round trip."""
        ...

    async def close(self) -> None:
        """Close the link and wait for its tasks; may be called any number of times. CLOSED is reported once."""
        ...


MakeLink = Callable[[LinkEvents, bool, str], Link]
"""Creates a client's link from its event listener, whether it is dual, and the client's IP address."""
