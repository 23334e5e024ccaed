"""The HTTP routes of WHIP (RFC 9725)."""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web

from mediaserver.auth.users import AuthError, User, Verifier
from mediaserver.http_errors import HttpError, bearer
from mediaserver.rate_limiter import RateLimiter
from mediaserver.registry import Draining, Full
from mediaserver.rtc.config import Config, IceServer
from mediaserver.rtc.sdp.offer import MAX_BYTES as MAX_OFFER
from mediaserver.rtc.sdp.offer import Offer, OfferError, parse_offer
from mediaserver.session_factory import SessionFactoryPort, SessionOptions
from mediaserver.webrtc.peer import RtcPeer
from mediaserver.webrtc.query import parse_options
from mediaserver.webrtc.sdp_fragment import MAX_BYTES as MAX_FRAGMENT
from mediaserver.webrtc.sdp_fragment import parse_fragment
from pipeline.errors import ProtocolError
from pipeline.peer import ConversationPort

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
EXPOSED = {"Access-Control-Expose-Headers": "Location, ETag, Link"}

_READ_DEADLINE = 10.0
_RETRY_FULL = 10
_RETRY_DRAINING = 30


@dataclass(frozen=True, slots=True)
class _Resource:
    """What `/whip/{id}` stands for."""

    owner: str
    peer: RtcPeer
    offer: Offer
    etag: str


class Whip:
    """POST, PATCH, DELETE and OPTIONS on `/whip`."""

    def __init__(
        self,
        lobby: SessionFactoryPort,
        verifier: Verifier,
        limiter: RateLimiter,
        *,
        ice_servers: Callable[[], Sequence[IceServer]] = tuple,
        config: Config | None = None,
    ):
        self._lobby = lobby
        self._verifier = verifier
        self._limiter = limiter
        self._ice_servers = ice_servers  # asked for each answer: what they ask of clients expires
        self._config = config or Config()
        self._resources: dict[str, _Resource] = {}

    def add_routes(self, app: web.Application) -> None:
        """Serve them."""
        app.router.add_post("/whip", self.offer)
        app.router.add_route("OPTIONS", "/whip", self.options)
        app.router.add_patch("/whip/{id}", self.trickle)
        app.router.add_delete("/whip/{id}", self.leave)
        app.router.add_route("OPTIONS", "/whip/{id}", self.options)

    async def close(self) -> None:
        """Close every peer."""
        await asyncio.gather(*(resource.peer.close() for resource in list(self._resources.values())))

    async def offer(self, request: web.Request) -> web.Response:
        """201 with the SDP answer; the session is at `Location`."""
        user = self._user(request)
        wishes = parse_options(request.query)
        text = await _body(request, SDP, MAX_OFFER)
        try:
            offer = parse_offer(text)
        except ProtocolError as error:
            raise HttpError(400, "INVALID_OFFER", error.message) from None
        # Only now: an offer that cannot be answered must not start a conversation.
        host = await self._enter(user, wishes)
        name = secrets.token_urlsafe(24)
        peer = RtcPeer(host, offer, config=self._config, on_closed=lambda: self._forget(name))
        resource = _Resource(user.id, peer, offer, f'"{secrets.token_hex(8)}"')
        self._resources[name] = resource
        try:
            answer = await peer.answer()
        except OfferError as error:
            raise HttpError(400, "INVALID_OFFER", error.message) from None
        response = web.Response(status=201, text=answer, content_type=SDP, headers=EXPOSED)
        response.headers["Location"] = f"/whip/{name}"
        response.headers["ETag"] = resource.etag
        response.headers["Accept-Patch"] = FRAGMENT
        for link in ice_links(self._ice_servers()):
            response.headers.add("Link", link)
        return response

    async def trickle(self, request: web.Request) -> web.Response:
        """204 once the candidates are taken."""
        resource = self._resource(request)
        text = await _body(request, FRAGMENT, MAX_FRAGMENT)
        try:
            fragment = parse_fragment(text)
        except ProtocolError as error:
            raise HttpError(400, "INVALID_CANDIDATE", error.message) from None
        # RFC 9725 section 4.3.1: the tag says which ICE session is meant; `*` means any, as a restart does.
        if request.headers.get("If-Match", resource.etag) not in (resource.etag, "*"):
            raise HttpError(412, "PRECONDITION_FAILED", "If-Match names another ICE session.")
        offer = resource.offer
        if fragment.ufrag not in (None, offer.ufrag) or fragment.pwd not in (None, offer.pwd):
            raise HttpError(422, "ICE_RESTART", "ICE restarts are not possible here; connect anew with POST /whip.")
        if resource.peer.is_over:
            raise _unknown()
        for candidate in fragment.candidates:
            resource.peer.add_candidate(candidate)
        return web.Response(status=204, headers=EXPOSED | {"ETag": resource.etag})

    async def leave(self, request: web.Request) -> web.Response:
        """200 once the connection is closed; it was the client's goodbye."""
        await self._resource(request).peer.close(is_goodbye=True)
        return web.Response()

    async def options(self, request: web.Request) -> web.Response:
        """204 with what is accepted here."""
        accepted = {"Accept-Patch": FRAGMENT} if "id" in request.match_info else {}
        return web.Response(status=204, headers={"Accept-Post": SDP, **accepted, **EXPOSED})

    def _user(self, request: web.Request) -> User:
        """Who asks, counted; who cannot say so is counted by address."""
        try:
            user = self._verifier.verify(bearer(request))
        except AuthError as error:
            self._limiter.admit(request.remote or "unknown")
            raise HttpError(401, "UNAUTHORIZED", str(error)) from None
        except HttpError:
            self._limiter.admit(request.remote or "unknown")
            raise
        # Anybody can be a new guest as often as they like: guests of one address count as one.
        self._limiter.admit((request.remote or "unknown") if user.is_guest else user.id)
        return user

    async def _enter(self, user: User, wishes: SessionOptions) -> ConversationPort:
        try:
            return await self._lobby.get_or_create(user.id, wishes)
        except Full as full:
            if full.is_personal:
                raise HttpError(
                    429, "SESSION_LIMIT", "You have too many live sessions; end one.", retry_after=_RETRY_FULL
                ) from None
            raise HttpError(503, "SESSION_LIMIT", "The server is full.", retry_after=_RETRY_FULL) from None
        except Draining:
            raise HttpError(503, "SHUTTING_DOWN", "The server is restarting.", retry_after=_RETRY_DRAINING) from None

    def _resource(self, request: web.Request) -> _Resource:
        """The caller's own resource; another's is as unknown as one that never was."""
        try:
            user = self._verifier.verify(bearer(request))
        except AuthError as error:
            raise HttpError(401, "UNAUTHORIZED", str(error)) from None
        resource = self._resources.get(request.match_info["id"])
        if resource is None or resource.owner != user.id or resource.peer.is_over:
            raise _unknown()
        return resource

    def _forget(self, name: str) -> None:
        self._resources.pop(name, None)


def ice_links(servers: Sequence[IceServer]) -> list[str]:
    """One `Link` header for each URL (RFC 9725 section 4.6)."""
    links = []
    for server in servers:
        account: Mapping[str, str | None] = {"username": server.username, "credential": server.credential}
        told = "".join(f'; {name}="{value}"' for name, value in account.items() if value is not None)
        if server.credential is not None:
            told += '; credential-type="password"'
        links += [f'<{url}>; rel="ice-server"{told}' for url in server.urls]
    return links


def _unknown() -> HttpError:
    return HttpError(404, "NOT_FOUND", "There is no such session, or it has ended.")


async def _body(request: web.Request, content_type: str, limit: int) -> str:
    if request.content_type != content_type:
        raise HttpError(415, "UNSUPPORTED_MEDIA_TYPE", f"The body must be {content_type}.")
    body = bytearray()
    try:
        async with asyncio.timeout(_READ_DEADLINE):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > limit:
                    raise HttpError(413, "PAYLOAD_TOO_LARGE", f"The body must be at most {limit} bytes.")
    except TimeoutError:
        raise HttpError(408, "REQUEST_TIMEOUT", "The body did not come in time.") from None
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise HttpError(400, "INVALID_OFFER", "The body is not UTF-8.") from None
