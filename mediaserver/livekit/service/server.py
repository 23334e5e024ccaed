"""Everything that LiveKit's clients and libraries reach on this server."""

from collections.abc import Callable, Mapping, Sequence

from aiohttp import web

from mediaserver.livekit.agent.transcript_log import TranscriptLogs
from mediaserver.livekit.media.link_protocol import MakeLink
from mediaserver.livekit.protocol.access_token import ApiKeys
from mediaserver.livekit.protocol.twirp import bad_route
from mediaserver.livekit.room.limits import Limits
from mediaserver.livekit.service.live_room import RoomRuntime
from mediaserver.livekit.service.room_registry import RoomRegistry
from mediaserver.livekit.service.room_service import RoomService
from mediaserver.livekit.service.signalling_routes import Signalling
from mediaserver.rate_limiter import RateLimiter
from mediaserver.rtc.config import IceServer
from mediaserver.session_factory import SessionFactoryPort


class LiveKit:
    """Rooms with an assistant in them, for clients whose tokens are signed with one of `keys` (secrets by API key).

    Rooms that are not shared are their first user's, and of whom that user has asked a token for. `is_gone` tells which
    users, by id, are no more: their tokens are not taken.
    """

    def __init__(
        self,
        lobby: SessionFactoryPort,
        limiter: RateLimiter,
        *,
        keys: Mapping[str, str],
        make_link: MakeLink,
        chronicles: TranscriptLogs | None = None,
        are_rooms_shared: bool = True,
        is_gone: Callable[[str], bool] = lambda _: False,
        ice_servers: Callable[[], Sequence[IceServer]] = tuple,
        limits: Limits | None = None,
    ):
        limits, chronicles = limits or Limits(), chronicles or TranscriptLogs()
        readers = ApiKeys(keys, is_gone=is_gone)
        self.rooms = RoomRegistry(
            lambda name: RoomRuntime(
                name,
                lobby,
                readers,
                make_link,
                chronicles=chronicles,
                ice_servers=ice_servers,
                limits=limits,
                is_shared=are_rooms_shared,
            )
        )
        self._signalling = Signalling(self.rooms, readers, limiter, limits)
        self._service = RoomService(self.rooms, readers).service

    def add_routes(self, app: web.Application) -> None:
        """Serve them."""
        self._signalling.add_routes(app)
        self._service.add_routes(app)
        app.router.add_post("/twirp/{rest:.*}", bad_route)

    async def close(self) -> None:
        """Let everybody go."""
        await self.rooms.close()
