"""Configuration of peer connections."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server, such as `IceServer(("turn:turn.example:3478?transport=udp",), "user", "password")`."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None


@dataclass(frozen=True, slots=True)
class RtcLimits:
    """Timeouts of a peer connection, and its health check interval `tick`, in seconds."""

    connect: float = 10.0  # `half_open.RETRY_AFTER` says the same to clients that are refused meanwhile
    silence: float = 15.0  # Chromium and Firefox check consent every 2.5 to 5 s, and RTCP comes every second
    flush: float = 1.0
    tick: float = 1.0


@dataclass(frozen=True, slots=True)
class Config:
    """Settings shared by every peer connection.

    `ice_servers`: STUN servers, which tell the server its address behind a NAT; it does not relay over TURN.
    `lull`: seconds without microphone audio after which silence is fed; equals `silence_ms` of the conversation.
    """

    ice_servers: tuple[IceServer, ...] = ()
    lull: float = 0.5
    limits: RtcLimits = RtcLimits()
