"""The media of one client as its room sees it: the seam to `mediaserver.rtc`, which implements it."""

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
    """Everything that goes over one client's peer connection, or both of them in dual mode; outlives its socket.

    Single (`is_dual` False): the client's one connection carries all; only the client offers. Outgoing tracks are put
    into sections of its offer that are recvonly and free. Data goes both ways on the channels the client makes.

    Dual: the client offers its publisher connection (`answer`), and we offer its subscriber connection (`offer`,
    `take_answer`), which carries every outgoing track and channels `_reliable` and `_lossy` that we make.

    Calls of `answer`, `offer` and `take_answer` may overlap: a link obeys them one after another, in order.
    Synchronous methods return at once and, but for `add_candidate` and `forward`, never raise, even after the end.
    """

    @property
    def state(self) -> LinkState | None:
        """The state told last; None while it is connecting."""
        ...

    # Negotiation.

    async def answer(self, sdp: str) -> Answer:
        """Answer an offer of the client: its first, or any later one of the same connection.

        Sections may be added, turn inactive (the client has unpublished: their consumers end, as nothing else will
        tell) or be the same. New credentials (an ICE restart, as every resume brings) are answered with the old ones:
        the old path stays. Simulcast is answered with its top layer. Candidates of the offer are taken.

        Raises `rtc.offer.OfferError`, and nothing else, for what cannot be answered; the link is as it was before, or
        its state is FAILED. A section without a common codec does not raise: it is answered as refused.
        """
        ...

    async def offer(self) -> LocalOffer:
        """Offer the subscriber connection with every outgoing track (dual mode only); before its answer or after."""
        ...

    async def take_answer(self, sdp: str) -> None:
        """Take the answer to the newest of our offers. Raises `rtc.offer.OfferError`, and nothing else."""
        ...

    def add_candidate(self, text: str, target: Target) -> None:
        """Take a trickled candidate, before the first offer too; an empty one is ignored. Raises `ProtocolError`."""
        ...

    # Up: what the client sends.

    def listen(self, mid: str, *, is_wanted: bool) -> None:
        """Decode a section's media and tell of it (`on_audio`, `on_frame`), or drop it undecoded.

        Audio and video sections are dropped until they are wanted. May name a section that is not negotiated yet.
        """
        ...

    # Down: what the client is sent.

    def speak(self, outgoing: Outgoing) -> None:
        """Send the assistant's voice as this track, from the next negotiation on; said once, before the first."""
        ...

    def send_audio(self, opus: bytes) -> None:
        """Send 20 ms of the assistant's voice that is due now."""
        ...

    def flush_audio(self) -> None:
        """Forget what of the assistant's voice was given and is not on the wire yet."""
        ...

    def forward(self, outgoing: Outgoing, source: "Link", mid: str) -> None:
        """Send what comes in section `mid` of another client's link, which is made by the same factory, as this track.

        From the next negotiation on; not mixed, and whether or not that client's section is listened to. For video, a
        key frame is asked of the source whenever this client needs one. Ends by itself when the source's section or
        link does; `withdraw` is still to be called then. Raises ValueError if a track of that name is sent already.
        """
        ...

    def pause(self, track: str, *, is_paused: bool) -> None:
        """Send nothing of an outgoing track for a while, the assistant's included, or go on; its section stays."""
        ...

    def withdraw(self, track: str) -> None:
        """Stop sending a forwarded track; its section is free after the next negotiation. Unknown ones are ignored."""
        ...

    def missing_sections(self) -> MissingSections:
        """What the newest offer lacked (single mode; nothing in dual mode, where `offer` brings sections)."""
        ...

    # Data.

    def send(self, label: str, data: bytes, *, is_of_others: bool = False) -> bool:
        """Send a message on the channel of that label; what is reliable waits until the channel is open.

        False, and it is not sent, if more than 5 MB is waiting: the client does not take it. What other clients have
        sent finds place for 4 MB, so that they cannot take it from what is ours. What is lossy is dropped instead, and
        True.
        """
        ...

    # Life.

    def reception(self) -> Reception:
        """How well it works lately."""
        ...

    async def close(self) -> None:
        """End, and wait until nothing is left of it; may be called any number of times. CLOSED is told once."""
        ...


MakeLink = Callable[[LinkEvents, bool], Link]
"""Makes a client's link from where its events go and whether it is dual."""
