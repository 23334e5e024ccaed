"""The first message on a signalling socket: the join response or the reconnect response."""

from collections.abc import Sequence

from livekit.protocol.models import ClientConfiguration, ServerInfo
from livekit.protocol.rtc import ICEServer, JoinResponse, ReconnectResponse, SignalResponse

from mediaserver.livekit.room.participant import Participant
from mediaserver.livekit.room.room import Room

SERVER = ServerInfo(edition="Standard", version="1.9.0", protocol=16)
"""The server version, from which clients derive its features: from 1.8.3 on, chats are streams."""

PING_INTERVAL, PING_TIMEOUT = 5, 15
"""Seconds, the values of LiveKit's own server."""


def join_response(
    room: Room, participant: Participant, ice_servers: Sequence[ICEServer], *, is_dual: bool
) -> SignalResponse:
    """Build the response to a join."""
    return SignalResponse(
        join=JoinResponse(
            room=room.info(),
            participant=participant.info(),
            other_participants=list(room.others(participant)),
            server_version=SERVER.version,
            server_info=SERVER,
            ice_servers=ice_servers,
            subscriber_primary=is_dual,
            fast_publish=True,
            ping_interval=PING_INTERVAL,
            ping_timeout=PING_TIMEOUT,
            enabled_publish_codecs=room.info().enabled_codecs,
        )
    )


def reconnect_response(ice_servers: Sequence[ICEServer], last_message: int) -> SignalResponse:
    """Build the response to a resume; `last_message` is the newest sequence number received from the client."""
    return SignalResponse(
        reconnect=ReconnectResponse(
            ice_servers=ice_servers,
            client_configuration=ClientConfiguration(),
            server_info=SERVER,
            last_message_seq=last_message,
        )
    )
