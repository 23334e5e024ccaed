"""The first message to a client: whoever joins, and whoever comes back."""

from collections.abc import Sequence

from livekit.protocol.models import ClientConfiguration, ServerInfo
from livekit.protocol.rtc import ICEServer, JoinResponse, ReconnectResponse, SignalResponse

from mediaserver.livekit.room.participant import Participant
from mediaserver.livekit.room.room import Room

SERVER = ServerInfo(edition="Standard", version="1.9.0", protocol=16)
"""What clients decide by what may be asked of this server: from 1.8.3 on, chats are streams."""

PING_INTERVAL, PING_TIMEOUT = 5, 15
"""Seconds, as LiveKit's servers tell them."""


def join_response(
    room: Room, participant: Participant, ice_servers: Sequence[ICEServer], *, is_dual: bool
) -> SignalResponse:
    """What a client needs to know of its room."""
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
    """What a client needs to go on; `last_message` is the number of its newest packet that came."""
    return SignalResponse(
        reconnect=ReconnectResponse(
            ice_servers=ice_servers,
            client_configuration=ClientConfiguration(),
            server_info=SERVER,
            last_message_seq=last_message,
        )
    )
