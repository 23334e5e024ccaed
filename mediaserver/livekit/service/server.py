"""The LiveKit server: signalling for clients, and the RoomService API."""

from collections.abc import Callable, Container, Mapping, Sequence

from aiohttp import web

from mediaserver.bad_messages import BadMessageBudget
from mediaserver.half_open import HalfOpenConnections
from mediaserver.livekit.agent.transcript_log import TranscriptLogs
from mediaserver.livekit.media.link_protocol import MakeLink
from mediaserver.livekit.protocol.access_token import ApiKeys, UserExists
from mediaserver.livekit.protocol.twirp import bad_route
from mediaserver.livekit.room.limits import RoomLimits
from mediaserver.livekit.service.live_room import RoomRuntime
from mediaserver.livekit.service.room_registry import RoomRegistry
from mediaserver.livekit.service.room_service import RoomService
from mediaserver.livekit.service.signalling_routes import Signalling
from mediaserver.rate_limiter import RateLimiter
from mediaserver.rtc.config import IceServer
from mediaserver.session_factory import SessionFactoryPort


async def is_anybody(_: str) -> bool:
    """Take every user for one that exists, for a server without accounts."""
    return True


class LiveKit:
    """Serves rooms with an assistant to clients whose tokens are signed with one of `keys` (secrets by API key).

    A room that is not shared admits only its first user and participants with that user's tokens. A token is refused,
    and its participant disconnected, once its own id, its login's or its user's is in `revoked`, or the user is gone.
    """

    def __init__(
        self,
        session_factory: SessionFactoryPort,
        limiter: RateLimiter,
        *,
        keys: Mapping[str, str],
        make_link: MakeLink,
        transcript_logs: TranscriptLogs | None = None,
        are_rooms_shared: bool = True,
        revoked: Container[str] = (),
        user_exists: UserExists = is_anybody,
        ice_servers: Callable[[str], Sequence[IceServer]] = lambda _: (),
        half_open: HalfOpenConnections | None = None,
        bad_messages: BadMessageBudget | None = None,
        limits: RoomLimits | None = None,
    ):
        limits, transcript_logs = limits or RoomLimits(), transcript_logs or TranscriptLogs()
        bad_messages = bad_messages or BadMessageBudget()
        api_keys = ApiKeys(keys, revoked=revoked)
        self.rooms = RoomRegistry(
            lambda name: RoomRuntime(
                name,
                session_factory,
                api_keys,
                make_link,
                transcript_logs=transcript_logs,
                ice_servers=ice_servers,
                bad_messages=bad_messages,
                limits=limits,
                is_shared=are_rooms_shared,
                user_exists=user_exists,
            )
        )
        self._signalling = Signalling(
            self.rooms,
            api_keys,
            limiter,
            limits,
            half_open=HalfOpenConnections() if half_open is None else half_open,
            bad_messages=bad_messages,
            user_exists=user_exists,
        )
        self._service = RoomService(self.rooms, api_keys).service

    def add_routes(self, app: web.Application) -> None:
        """Register the routes."""
        self._signalling.add_routes(app)
        self._service.add_routes(app)
        app.router.add_post("/twirp/{rest:.*}", bad_route)

    async def close(self) -> None:
        """Disconnect all participants and close the rooms."""
        await self.rooms.close()
