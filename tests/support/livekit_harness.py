"""A server with LiveKit's rooms, fake conversations and fake media links, and clients for its signalling."""

import asyncio
import base64
import gzip
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import jwt
from aiohttp import ClientWebSocketResponse, WSMsgType, web
from aiohttp.test_utils import TestClient, TestServer
from livekit.protocol.models import ClientInfo, DataPacket, ParticipantInfo, TrackSource, TrackType
from livekit.protocol.rtc import (
    AddTrackRequest,
    JoinRequest,
    SessionDescription,
    SignalRequest,
    SignalResponse,
    WrappedJoinRequest,
)

from mediaserver.api.middleware import error_middleware
from mediaserver.bad_messages import BadMessageBudget
from mediaserver.caller import Caller
from mediaserver.half_open import HalfOpenConnections
from mediaserver.livekit.agent.transcript_log import TranscriptLogs
from mediaserver.livekit.media.link_protocol import Link, MakeLink
from mediaserver.livekit.media.types import (
    RELIABLE,
    Answer,
    LinkEvents,
    LinkState,
    LocalOffer,
    MissingSections,
    OfferedSection,
    Outgoing,
    Reception,
    Target,
)
from mediaserver.livekit.room.limits import RoomLimits
from mediaserver.livekit.service.server import LiveKit
from mediaserver.rtc.config import IceServer
from mediaserver.rtc.sdp.offer import OfferError
from mediaserver.session_factory import SessionOptions
from pipeline.config import ConversationConfig
from pipeline.errors import ProtocolError
from pipeline.events import Event, TextInput
from pipeline.peer import ConversationPort
from tests.support import fake_conversation as outside

SECRET = "a secret of thirty-two bytes, it is"
QUICK = RoomLimits(
    resume=0.5, flush=0.5, leave_delay=0.0, hung_up=0.1, publish=0.05, tick=0.02, quality=0.05, grace=0.2
)

Section = dict[str, Any]
Observe = Callable[[ConversationPort], Callable[[Event], None]]


def token(identity: str = "ada", room: str = "r", *, owner: str | None = "u-ada", **said: Any) -> str:
    """A token as this server's own endpoint makes them; without an owner, as another server does."""
    video = {"roomJoin": True, "room": room, "canUpdateOwnMetadata": True} | said.pop("video", {})
    claims = {
        "iss": "devkey",
        "sub": identity,
        "name": identity.title(),
        "exp": time.time() + 3_600,  # some are made when the tests are collected
        "video": video,
    } | said
    if owner is not None:
        claims["user"] = owner
    return jwt.encode(claims, SECRET, "HS256")


def offer(*sections: Section) -> str:
    """Render the list of sections that stands for SDP here."""
    return json.dumps(sections)


def receiving(*mids: str, kind: str = "audio") -> list[Section]:
    """Build recvonly sections, for tracks to the client."""
    return [{"mid": mid, "kind": kind, "receives": True} for mid in mids]


def sending(mid: str, cid: str, kind: str = "audio", *, sends: bool = True, refused: bool = False) -> Section:
    """Build a sendonly section, for a track of the client."""
    return {"mid": mid, "kind": kind, "cid": cid, "sends": sends, "is_refused": refused}


class FakeLink:
    """Fakes the media: records all calls, and answers offers that are lists of sections."""

    def __init__(self, events: LinkEvents, is_dual: bool) -> None:
        self.events = events
        self.is_dual = is_dual
        self.state: LinkState | None = None
        self.outgoing: dict[str, Outgoing] = {}
        self.sources: dict[str, tuple[Link, str]] = {}
        self.listening: set[str] = set()
        self.paused: set[str] = set()
        self.candidates: list[tuple[str, Target]] = []
        self.answers: list[str] = []
        self.played: list[bytes] = []
        self.flushed = 0
        self.sent: list[tuple[str, bytes]] = []
        self.takes_data = self.takes_data_of_others = True
        self.loss = 0.0
        self.is_closed = False
        self._free: list[tuple[str, str]] = []

    async def answer(self, sdp: str) -> Answer:
        await asyncio.sleep(0)
        if sdp == "bad":
            raise OfferError("The offer is not well-formed SDP.")
        sections = tuple(
            OfferedSection(
                each["mid"],
                each["kind"],
                sends=each.get("sends", False),
                receives=each.get("receives", False),
                cid=each.get("cid"),
                is_refused=each.get("is_refused", False),
            )
            for each in json.loads(sdp)
        )
        self._free = [(each.mid, each.kind) for each in sections if each.receives]
        return Answer(f"answer to {sdp}", sections, self._placed())

    async def offer(self) -> LocalOffer:
        await asyncio.sleep(0)
        return LocalOffer("our offer", {str(index): track for index, track in enumerate(self.outgoing)})

    async def take_answer(self, sdp: str) -> None:
        if sdp == "bad":
            raise OfferError("The answer is not well-formed SDP.")
        self.answers.append(sdp)

    def add_candidate(self, text: str, target: Target) -> None:
        if text == "bad":
            raise ProtocolError("A candidate reads ...")
        self.candidates.append((text, target))

    def listen(self, mid: str, *, is_wanted: bool) -> None:
        (self.listening.add if is_wanted else self.listening.discard)(mid)

    def speak(self, outgoing: Outgoing) -> None:
        self.outgoing[outgoing.track] = outgoing

    def send_audio(self, opus: bytes) -> None:
        self.played.append(opus)

    def flush_audio(self) -> None:
        self.flushed += 1

    def forward(self, outgoing: Outgoing, source: Link, mid: str) -> None:
        if outgoing.track in self.outgoing:
            raise ValueError(outgoing.track)
        self.outgoing[outgoing.track] = outgoing
        self.sources[outgoing.track] = source, mid

    def pause(self, track: str, *, is_paused: bool) -> None:
        (self.paused.add if is_paused else self.paused.discard)(track)

    def withdraw(self, track: str) -> None:
        del self.outgoing[track]
        self.sources.pop(track, None)

    def missing_sections(self) -> MissingSections:
        if self.is_dual:
            return MissingSections()
        missing = [each.kind for track, each in self.outgoing.items() if track not in self._placed().values()]
        return MissingSections(missing.count("audio"), missing.count("video"))

    def send(self, label: str, data: bytes, *, is_of_others: bool = False) -> bool:
        self.sent.append((label, data))
        return self.takes_data and (self.takes_data_of_others or not is_of_others)

    def reception(self) -> Reception:
        return Reception(self.loss)

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.is_closed = True

    # Actions of tests.

    def become(self, state: LinkState) -> None:
        self.state = state
        self.events.on_state(state)

    def packets(self) -> list[DataPacket]:
        """Return the packets sent since the last call."""
        sent, self.sent = self.sent, []
        return [DataPacket.FromString(data) for _, data in sent]

    def say(self, packet: DataPacket, label: str = RELIABLE) -> None:
        self.events.on_data(label, packet.SerializeToString())

    def _placed(self) -> dict[str, str]:
        placed: dict[str, str] = {}
        for track, each in self.outgoing.items():
            free = next((mid for mid, kind in self._free if kind == each.kind and mid not in placed), None)
            if free is not None:
                placed[free] = track
        return placed


class FakeConversation(outside.FakeConversation):
    """A fake conversation with its options and observers."""

    def __init__(self, session: str, options: SessionOptions) -> None:
        super().__init__(ConversationConfig(session, options.label or session, "local", "local", None, "en", 600, 3600))
        self.options = options

    @property
    def questions(self) -> list[str]:
        return [command.text for command in self.commands if isinstance(command, TextInput)]


class FakeSessionFactory:
    """Finds a live conversation by owner and label, or raises `refusal` if it is set."""

    def __init__(self, observe: Observe) -> None:
        self.observe = observe
        self.conversations: list[FakeConversation] = []
        self.owners: list[str] = []
        self.callers: list[Caller] = []
        self.refusal: Exception | None = None
        self.delay = 0.0

    async def get_or_create(self, caller: Caller, options: SessionOptions) -> FakeConversation:
        await asyncio.sleep(self.delay)
        if self.refusal is not None:
            raise self.refusal
        for conversation, whose in zip(self.conversations, self.owners, strict=True):
            if whose == caller.user and conversation.config.label == options.label and not conversation.is_ending:
                return conversation
        conversation = FakeConversation(f"id{len(self.conversations)}", options)
        conversation.add_observer(self.observe(conversation))
        self.conversations.append(conversation)
        self.owners.append(caller.user)
        self.callers.append(caller)
        return conversation


@dataclass
class Client:
    """One open signalling socket."""

    ws: ClientWebSocketResponse
    links: list[FakeLink]
    link: FakeLink
    seen: list[SignalResponse] = field(default_factory=list)

    async def send(self, **request: Any) -> None:
        await self.ws.send_bytes(SignalRequest(**request).SerializeToString())

    async def next(self) -> SignalResponse:
        response = SignalResponse.FromString(await self.ws.receive_bytes(timeout=10))
        self.seen.append(response)
        return response

    async def until(self, kind: str, is_it: Callable[[Any], bool] = lambda _: True) -> Any:
        """Read to the next message of that kind that matches."""
        while True:
            response = await self.next()
            if response.WhichOneof("message") == kind and is_it(getattr(response, kind)):
                return getattr(response, kind)

    async def first(self, kind: str) -> Any:
        """The first message of that kind since the join, read already or not."""
        for response in self.seen:
            if response.WhichOneof("message") == kind:
                return getattr(response, kind)
        return await self.until(kind)

    async def about(self, identity: str, is_it: Callable[[ParticipantInfo], bool] = lambda _: True) -> ParticipantInfo:
        """Read to the next matching update of a participant."""
        while True:
            for info in (await self.until("update")).participants:
                if info.identity == identity and is_it(info):
                    return ParticipantInfo.FromString(info.SerializeToString())

    async def closed(self) -> int | None:
        """Read to the end, and return the close code."""
        async with asyncio.timeout(10):
            while (message := await self.ws.receive()).type in (WSMsgType.BINARY, WSMsgType.TEXT):
                if message.type is WSMsgType.BINARY:
                    self.seen.append(SignalResponse.FromString(message.data))
        return self.ws.close_code

    async def publish(self, cid: str = "mic", mid: str = "3", *, video: bool = False, **said: Any) -> str:
        """Publish a track with media, and return its sid."""
        fields: dict[str, Any] = {"type": TrackType.AUDIO, "source": TrackSource.MICROPHONE}
        if video:
            fields = {"type": TrackType.VIDEO, "source": TrackSource.SCREEN_SHARE}
        await self.send(add_track=AddTrackRequest(cid=cid, **(fields | said)))
        sid: str = (await self.until("track_published")).track.sid
        kind = "video" if video else "audio"
        await self.offer(offer(*receiving("0", "1"), *receiving("2", kind="video"), sending(mid, cid, kind)))
        return sid

    async def offer(self, sdp: str, number: int = 2) -> SessionDescription:
        await self.send(offer=SessionDescription(type="offer", sdp=sdp, id=number))
        answer: SessionDescription = await self.until("answer")
        return answer

    def count(self, kind: str) -> int:
        return sum(response.WhichOneof("message") == kind for response in self.seen)


def join_request(**said: Any) -> str:
    """The query parameter of a first join over one connection."""
    fields: dict[str, Any] = {
        "client_info": ClientInfo(sdk="JS", protocol=17),
        "connection_settings": {"auto_subscribe": True},
        **said,
    }
    request = JoinRequest(**fields)
    packed = WrappedJoinRequest(compression="GZIP", join_request=gzip.compress(request.SerializeToString()))
    return base64.urlsafe_b64encode(packed.SerializeToString()).decode()


@dataclass
class Server:
    """The LiveKit server, its fakes, and a client for it."""

    http: "TestClient[web.Request, web.Application]"
    livekit: LiveKit
    session_factory: FakeSessionFactory
    limiter: outside.Counter
    links: list[FakeLink]
    revoked: set[str]
    """Ids of tokens, logins and users."""
    deleted: set[str]
    """Users without an account, as the store knows them."""
    opened: list[ClientWebSocketResponse] = field(default_factory=list)

    @property
    def conversation(self) -> FakeConversation:
        return self.session_factory.conversations[-1]

    async def open(self, path: str, query: dict[str, str], access: str) -> Client:
        before = len(self.links)
        ws = await self.http.ws_connect(
            path, params=query, headers={"Authorization": f"Bearer {access}"}, max_msg_size=0
        )
        self.opened.append(ws)
        link = self.links[before] if len(self.links) > before else self.links[-1] if self.links else None
        return Client(ws, self.links, link)  # type: ignore[arg-type]

    async def join(
        self,
        identity: str = "ada",
        room: str = "r",
        *,
        dual: bool = False,
        connect: bool = True,
        offered: str | None = None,
        query: dict[str, Any] | None = None,
        **said: Any,
    ) -> Client:
        """A client that has joined, and by default is connected."""
        access = token(identity, room, **({"owner": f"u-{identity}"} | said))
        before = len(self.links)
        sdp = offer(*receiving("0", "1"), *receiving("2", kind="video")) if offered is None else offered
        publisher_offer = SessionDescription(type="offer", sdp=sdp, id=1)
        parameters = {} if dual else {"join_request": join_request(publisher_offer=publisher_offer, **(query or {}))}
        client = await self.open("/rtc" if dual else "/rtc/v1", parameters, access)
        await client.until("join")
        client.link = self.links[before]
        await client.until("offer" if dual else "answer")
        if connect:
            client.link.become(LinkState.CONNECTED)
            await client.about(identity, lambda info: info.state == ParticipantInfo.ACTIVE)
        return client

    async def resume(
        self, client: Client, *, identity: str = "ada", owner: str = "u-ada", room: str = "r", dual: bool = False
    ) -> Client:
        """The same client on another socket."""
        sid = joined(client).participant.sid
        query = (
            {"reconnect": "1", "sid": sid}
            if dual
            else {"join_request": join_request(reconnect=True, participant_sid=sid)}
        )
        back = await self.open("/rtc" if dual else "/rtc/v1", query, token(identity, room, owner=owner))
        back.link = client.link
        return back

    async def until(self, is_so: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not is_so():
                await asyncio.sleep(0.005)


def joined(client: Client) -> Any:
    """Return a client's join response."""
    return client.seen[0].join


def events(packets: Iterable[DataPacket]) -> list[dict[str, Any]]:
    """The JSON events among these packets."""
    return [json.loads(packet.user.payload) for packet in packets if packet.user.topic == "events"]


@asynccontextmanager
async def serving(
    limits: RoomLimits = QUICK,
    *,
    make_link: MakeLink | None = None,
    are_rooms_shared: bool = True,
    half_open: HalfOpenConnections | None = None,
    bad_messages: BadMessageBudget | None = None,
) -> AsyncIterator[Server]:
    """Serve until the end of the context, with fake media unless `make_link` is given."""
    transcript_logs, revoked, deleted = TranscriptLogs(), set[str](), set[str]()
    session_factory, limiter, links = FakeSessionFactory(transcript_logs.observe), outside.Counter(), list[FakeLink]()

    def make_fake(events: LinkEvents, is_dual: bool, client: str) -> Link:
        links.append(FakeLink(events, is_dual))
        return links[-1]

    async def user_exists(user: str) -> bool:
        return user not in deleted

    livekit = LiveKit(
        session_factory,
        limiter,
        keys={"devkey": SECRET},
        transcript_logs=transcript_logs,
        revoked=revoked,
        user_exists=user_exists,
        are_rooms_shared=are_rooms_shared,
        make_link=make_link or make_fake,
        ice_servers=lambda user: (IceServer(("turn:turn.example",), f"1:{user}", "word"),),
        limits=limits,
        half_open=half_open,
        bad_messages=bad_messages,
    )
    app = web.Application(middlewares=[error_middleware])
    livekit.add_routes(app)
    async with TestClient(TestServer(app)) as http:
        server = Server(http, livekit, session_factory, limiter, links, revoked, deleted)
        yield server
        await livekit.close()
        for ws in server.opened:
            with suppress(ConnectionError):
                await ws.close()
    assert not len(livekit.rooms)
    assert all(link.is_closed for link in links)
