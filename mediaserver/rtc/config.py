"""What a peer is told by the composition root, as plain values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server, such as `IceServer(("turn:turn.example:3478?transport=udp",), "user", "password")`."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How long (s) a peer may take: to connect, to be silent on the network, to be told the last events."""

    connect: float = 20.0
    silence: float = 15.0  # Chromium and Firefox check consent every 2.5 to 5 s, and RTCP comes every second
    flush: float = 1.0
    tick: float = 1.0


@dataclass(frozen=True, slots=True)
class Config:
    """For every peer alike.

    `ice_servers`: only the STUN ones are asked, so that we can be reached behind a NAT; relaying is left to clients.
    `lull`: how long (s) a microphone may give nothing before silence is fed; a conversation's `silence_ms`.
    """

    ice_servers: tuple[IceServer, ...] = ()
    lull: float = 0.5
    limits: Limits = Limits()
