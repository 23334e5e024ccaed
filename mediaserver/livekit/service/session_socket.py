"""The signalling socket of one session, which a client may replace."""

from livekit.protocol.rtc import SignalResponse

from mediaserver.livekit.service.signal_socket import SignalSocket


class SessionSocket:
    """Holds the newest socket of a session, or the time at which it was lost."""

    def __init__(self) -> None:
        self._socket: SignalSocket | None = None
        self._lost_at: float | None = None

    @property
    def is_attached(self) -> bool:
        """Whether the client is connected."""
        return self._socket is not None

    @property
    def lost_at(self) -> float | None:
        """The time (monotonic s) at which the socket was lost; None before the first and while one is attached."""
        return self._lost_at

    def attach(self, socket: SignalSocket) -> None:
        """Use this socket from now on, and close an older one."""
        old, self._socket = self._socket, socket
        self._lost_at = None
        if old is not None:
            old.close("resumed on another socket")

    def on_lost(self, socket: SignalSocket, now: float) -> None:
        """Record at `now` (monotonic s) that a socket has ended, unless it was replaced."""
        if self._socket is socket:
            self._socket = None
            self._lost_at = now

    def post(self, response: SignalResponse) -> None:
        """Queue a message on the attached socket, if any."""
        if self._socket is not None:
            self._socket.put(response)

    def close(self, reason: str) -> None:
        """Close the attached socket, if any, after the queued messages."""
        if self._socket is not None:
            self._socket.close(reason)
