"""The HTTP routes of WHIP (RFC 9725)."""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from mediaserver.auth.users import AuthError, Verifier
from mediaserver.bad_messages import BadMessageBudget
from mediaserver.caller import Caller, network_of_request
from mediaserver.half_open import RETRY_AFTER as RETRY_HALF_OPEN
from mediaserver.half_open import HalfOpenConnection, HalfOpenConnections, TooManyConnections
from mediaserver.http_errors import HttpError, bearer
from mediaserver.http_route import Route, read_bytes
from mediaserver.rate_limiter import RateLimiter
from mediaserver.registry import RETRY_AFTER as RETRY_FULL
from mediaserver.registry import RETRY_DRAINING, Draining, Full
from mediaserver.rtc.config import Config, IceServer
from mediaserver.rtc.sdp.offer import MAX_BYTES as MAX_OFFER
from mediaserver.rtc.sdp.offer import Offer, OfferError, parse_offer
from mediaserver.session_factory import SessionFactoryPort, SessionOptions
from mediaserver.webrtc.peer import RtcPeer
from mediaserver.webrtc.query import WhipQuery, announces_recording, parse_options
from mediaserver.webrtc.sdp_fragment import MAX_BYTES as MAX_FRAGMENT
from mediaserver.webrtc.sdp_fragment import parse_fragment
from pipeline.errors import MediaError, ProtocolError
from pipeline.peer import ConversationPort

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
RECORDING = "audio/webm"
MAX_RECORDING = 1_000_000
"""Bytes of a recording from before the connection."""

EXPOSED = {"Access-Control-Expose-Headers": "Location, ETag, Link"}

MAX_LEFT = 1_000
"""Connections whose end by DELETE is remembered, so that a DELETE sent again is answered like the first."""

_TAGS = ("webrtc",)
_SLASH = ("/whip/",)
_LINK = {"Link": "ICE servers to use."}
_ID = {"id": "what `Location` named"}
_ETAG = {"ETag": "The ICE session, for `If-Match`."}


@dataclass(frozen=True, slots=True)
class _Resource:
    """One WHIP resource, at `/whip/{id}`."""

    owner: str
    peer: RtcPeer
    offer: Offer
    etag: str


class Whip:
    """Handlers of `/whip`: POST, PATCH, DELETE and OPTIONS."""

    def __init__(
        self,
        session_factory: SessionFactoryPort,
        verifier: Verifier,
        limiter: RateLimiter,
        *,
        ice_servers: Callable[[str], Sequence[IceServer]] = lambda _: (),
        config: Config | None = None,
        half_open: HalfOpenConnections | None = None,
        bad_messages: BadMessageBudget | None = None,
    ):
        self._session_factory = session_factory
        self._verifier = verifier
        self._limiter = limiter
        self._ice_servers = ice_servers  # by user, for each answer: TURN credentials name the user and expire
        self._half_open = HalfOpenConnections() if half_open is None else half_open
        self._bad_messages = bad_messages or BadMessageBudget()
        self._config = config or Config()
        self._resources: dict[str, _Resource] = {}
        self._left: dict[str, str] = {}  # the owners of connections that ended by DELETE, by id

    def routes(self) -> tuple[Route, ...]:
        """The operations of WHIP, with their descriptions for OpenAPI."""
        return (
            Route(
                method="POST",
                path="/whip",
                aliases=_SLASH,
                handler=self.offer,
                summary="Start or join a session: an SDP offer in, an SDP answer out",
                tags=_TAGS,
                body=SDP,
                query=WhipQuery,
                needs_token=True,
                answers={201: SDP},
                errors=(400, 408, 413, 415, 429, 503),
                headers={"Location": "The connection, for PATCH and DELETE.", **_ETAG, **_LINK},
            ),
            Route(
                method="OPTIONS",
                path="/whip",
                aliases=_SLASH,
                handler=self.options,
                summary="What is accepted here; with a token, the ICE servers too",
                tags=_TAGS,
                answers={204: None},
                headers={"Accept-Post": SDP, **_LINK},
            ),
            Route(
                method="PATCH",
                path="/whip/{id}",
                handler=self.trickle,
                summary="Add ICE candidates",
                tags=_TAGS,
                body=FRAGMENT,
                parameters=_ID,
                needs_token=True,
                answers={204: None},
                errors=(400, 404, 408, 412, 413, 415, 422),
                headers=_ETAG,
            ),
            Route(
                method="POST",
                path="/whip/{id}/audio",
                handler=self.recording,
                summary="Send what the microphone recorded before the connection",
                tags=_TAGS,
                body=RECORDING,
                is_body_optional=True,
                parameters=_ID,
                needs_token=True,
                answers={204: None},
                errors=(400, 404, 408, 409, 413, 415),
            ),
            Route(
                method="DELETE",
                path="/whip/{id}",
                handler=self.leave,
                summary="Close the connection",
                tags=_TAGS,
                parameters=_ID,
                needs_token=True,
                answers={200: None},
                errors=(404,),
            ),
            Route(
                method="OPTIONS",
                path="/whip/{id}",
                handler=self.options,
                summary="What is accepted here; with a token, the ICE servers too",
                tags=_TAGS,
                parameters=_ID,
                answers={204: None},
                headers={"Accept-Post": SDP, "Accept-Patch": FRAGMENT, **_LINK},
            ),
        )

    async def close(self) -> None:
        """Close every peer."""
        await asyncio.gather(*(resource.peer.close() for resource in list(self._resources.values())))

    async def offer(self, request: web.Request) -> web.Response:
        """Answer 201 with the SDP answer; `Location` names the resource."""
        caller = self._caller(request)
        options = parse_options(request.query)
        text = await _read_text(request, SDP, MAX_OFFER)
        try:
            offer = parse_offer(text)
        except ProtocolError as error:
            raise HttpError(400, "INVALID_OFFER", error.message) from None
        # Only after parsing: a bad offer must not start a conversation.
        name = secrets.token_urlsafe(24)
        half_open = await self._admit(caller)
        with ExitStack() as stack:
            stack.callback(half_open.release)
            conversation = await self._enter(caller, options)

            def on_closed() -> None:
                half_open.release()
                self._resources.pop(name, None)

            peer = RtcPeer(
                conversation,
                offer,
                config=self._config,
                client=caller.address,
                expects_recording=announces_recording(request.query),
                count_bad_message=partial(self._bad_messages.spend, caller.address),
                on_connected=half_open.establish,
                on_closed=on_closed,
            )
            stack.pop_all()  # the peer releases it
        resource = _Resource(caller.user, peer, offer, f'"{secrets.token_hex(8)}"')
        self._resources[name] = resource
        try:
            answer = await peer.answer()
        except OfferError as error:
            raise HttpError(400, "INVALID_OFFER", error.message) from None
        half_open.open(conversation, partial(peer.close, is_final=True))
        response = web.Response(status=201, text=answer, content_type=SDP, headers=EXPOSED)
        response.headers["Location"] = f"/whip/{name}"
        response.headers["ETag"] = resource.etag
        response.headers["Accept-Patch"] = FRAGMENT
        self._add_links(response, caller.user)
        return response

    async def trickle(self, request: web.Request) -> web.Response:
        """Add trickled candidates; 204."""
        resource = self._resource(request)
        text = await _read_text(request, FRAGMENT, MAX_FRAGMENT)
        try:
            fragment = parse_fragment(text)
        except ProtocolError as error:
            raise HttpError(400, "INVALID_CANDIDATE", error.message) from None
        if not _matches(request.headers.get("If-Match"), resource.etag):
            raise HttpError(412, "PRECONDITION_FAILED", "If-Match names another ICE session.")
        offer = resource.offer
        if fragment.ufrag not in (None, offer.ufrag) or fragment.pwd not in (None, offer.pwd):
            raise HttpError(422, "ICE_RESTART", "ICE restarts are not possible here; connect anew with POST /whip.")
        if resource.peer.is_over:
            raise _unknown()
        for candidate in fragment.candidates:
            resource.peer.add_candidate(candidate)
        return web.Response(status=204, headers=EXPOSED | {"ETag": resource.etag})

    async def recording(self, request: web.Request) -> web.Response:
        """Take the recording that an offer announced, ahead of the connection's live audio; 204."""
        peer = self._resource(request).peer
        _check_awaited(peer)
        content = await read_bytes(request, RECORDING, limit=MAX_RECORDING)
        _check_awaited(peer)  # again: it may have been overdue by the time it was here
        try:
            await peer.push_recording(content)
        except MediaError as error:
            raise HttpError(400, "INVALID_RECORDING", error.message) from None
        return web.Response(status=204, headers=EXPOSED)

    async def leave(self, request: web.Request) -> web.Response:
        """Close the connection for good, without a grace period; 200, also when it is repeated."""
        name, user = request.match_info["id"], self._user(request)
        if self._left.get(name) != user:
            await self._resource(request).peer.close(is_final=True)
            self._left[name] = user
            if len(self._left) > MAX_LEFT:
                del self._left[next(iter(self._left))]
        return web.Response(headers=EXPOSED)

    async def options(self, request: web.Request) -> web.Response:
        """Answer 204 with the accepted media types, and with the ICE servers for a caller with a valid token."""
        accepted = {"Accept-Patch": FRAGMENT} if "id" in request.match_info else {}
        response = web.Response(status=204, headers={"Accept-Post": SDP, **accepted, **EXPOSED})
        if "Authorization" in request.headers:  # a browser's preflight has none
            self._add_links(response, self._user(request))
        return response

    def _add_links(self, response: web.Response, user: str) -> None:
        for link in ice_links(self._ice_servers(user)):
            response.headers.add("Link", link)

    def _caller(self, request: web.Request) -> Caller:
        """Authenticate and rate-limit the caller, without a valid token by its network."""
        try:
            user = self._verifier.verify(bearer(request))
        except AuthError as error:
            self._limiter.admit(network_of_request(request))
            raise HttpError(401, "UNAUTHORIZED", str(error)) from None
        except HttpError:
            self._limiter.admit(network_of_request(request))
            raise
        caller = Caller(user.id, user.is_guest, request.remote or "")
        self._limiter.admit(caller.counted_as)
        return caller

    async def _admit(self, caller: Caller) -> HalfOpenConnection:
        try:
            return await self._half_open.admit(caller)
        except TooManyConnections as error:
            raise HttpError(429, "RATE_LIMITED", error.message, retry_after=RETRY_HALF_OPEN) from None

    async def _enter(self, caller: Caller, options: SessionOptions) -> ConversationPort:
        try:
            return await self._session_factory.get_or_create(caller, options)
        except Full as full:
            if full.is_personal:
                raise HttpError(
                    429, "SESSION_LIMIT", full.message, details=full.details, retry_after=RETRY_FULL
                ) from None
            raise HttpError(503, "SESSION_LIMIT", full.message, details=full.details, retry_after=RETRY_FULL) from None
        except Draining:
            raise HttpError(503, "SHUTTING_DOWN", "The server is restarting.", retry_after=RETRY_DRAINING) from None

    def _resource(self, request: web.Request) -> _Resource:
        """Return the caller's own resource; another user's is 404 like an unknown one."""
        user = self._user(request)
        resource = self._resources.get(request.match_info["id"])
        if resource is None or resource.owner != user or resource.peer.is_over:
            raise _unknown()
        return resource

    def _user(self, request: web.Request) -> str:
        try:
            return self._verifier.verify(bearer(request)).id
        except AuthError as error:
            raise HttpError(401, "UNAUTHORIZED", str(error)) from None


def ice_links(servers: Sequence[IceServer]) -> list[str]:
    """Return one `Link` header per URL (RFC 9725 section 4.6)."""
    links = []
    for server in servers:
        account: Mapping[str, str | None] = {"username": server.username, "credential": server.credential}
        parameters = "".join(f'; {name}="{value}"' for name, value in account.items() if value is not None)
        if server.credential is not None:
            parameters += '; credential-type="password"'
        links += [f'<{url}>; rel="ice-server"{parameters}' for url in server.urls]
    return links


def _matches(condition: str | None, etag: str) -> bool:
    """Whether an If-Match header, if there is one, names the ICE session of `etag`.

    RFC 9725 section 4.3.1: `*` means any, as a restart does. Proxies make strong tags weak (RFC 9110 section 8.8.1).
    """
    tags = [tag.strip().removeprefix("W/") for tag in (condition or "*").split(",")]
    return any(tag in ("*", etag, etag.strip('"')) for tag in tags)


def _unknown() -> HttpError:
    return HttpError(404, "NOT_FOUND", "There is no such session, or it has ended.")


def _check_awaited(peer: RtcPeer) -> None:
    if not peer.awaits_recording:
        message = (
            "No recording is awaited: none was announced by `preconnect=1`, or it has come already, or comes too late."
        )
        raise HttpError(409, "RECORDING_NOT_AWAITED", message)


async def _read_text(request: web.Request, media_type: str, limit: int) -> str:
    body = await read_bytes(request, media_type, limit=limit)
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise HttpError(400, "INVALID_OFFER", "The body is not UTF-8.") from None
