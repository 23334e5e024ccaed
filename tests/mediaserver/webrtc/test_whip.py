"""WHIP over HTTP, with aiortc as the client."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aioice.ice
import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from aioice.mdns import MDnsProtocol
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.api.middleware import error_middleware
from mediaserver.auth.users import AuthError, User
from mediaserver.caller import Caller
from mediaserver.half_open import HalfOpenConnections
from mediaserver.http_route import add_routes
from mediaserver.registry import Draining, Full, SessionLimit
from mediaserver.rtc.config import Config, IceServer, RtcLimits
from mediaserver.rtc.sdp.candidates import parse_candidate
from mediaserver.session_factory import SessionOptions
from mediaserver.webrtc.routes import FRAGMENT, SDP, Whip, ice_links
from mediaserver.webrtc.sdp_fragment import parse_fragment
from pipeline.config import ConversationConfig
from pipeline.errors import ProtocolError
from tests.support.fake_conversation import Counter, FakeConversation
from tests.support.leak_check import nothing_left

HOST_CANDIDATE = "candidate:1 1 udp 2113937151 192.0.2.9 50000 typ host"


class FakeSessionFactory:
    """Returns one conversation, or raises `refusal` if it is set."""

    def __init__(self) -> None:
        self.entered: list[tuple[str, SessionOptions]] = []
        self.conversation = FakeConversation(
            ConversationConfig("id1", "label", "local", "local", None, "en", 600, 3600)
        )
        self.refusal: Exception | None = None

    async def get_or_create(self, caller: Caller, options: SessionOptions) -> FakeConversation:
        if self.refusal is not None:
            raise self.refusal
        self.entered.append((caller.user, options))
        return self.conversation


class Names:
    """A token is a user's name."""

    def verify(self, token: str) -> User:
        if token == "forged":
            raise AuthError("The token is not valid.")
        return User(token, token, is_guest=False)

    def check(self, user: User) -> None:
        """Take every user that was verified for one that still is."""


class WhipHarness:
    """A server, and the HTTP client of its user "ann"."""

    def __init__(
        self,
        client: "TestClient[web.Request, web.Application]",
        session_factory: FakeSessionFactory,
        limiter: Counter,
        whip: Whip,
        half_open: HalfOpenConnections,
    ):
        self.client = client
        self.session_factory = session_factory
        self.limiter = limiter
        self.whip = whip
        self.half_open = half_open

    async def ask(
        self, method: str, path: str, body: str | bytes = "", kind: str = "", user: str = "ann", **headers: str
    ) -> ClientResponse:
        """Send one request; `If_Match="x"` becomes a header."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if kind:
            sent["Content-Type"] = kind
        if user:
            sent["Authorization"] = f"Bearer {user}"
        return await self.client.request(method, path, data=body or None, headers=sent)

    async def post(self, body: str | bytes, path: str = "/whip", kind: str = SDP, user: str = "ann") -> ClientResponse:
        return await self.ask("POST", path, body, kind, user)


@pytest.fixture
async def harness() -> AsyncIterator[WhipHarness]:
    vars(aioice.ice._mdns).clear()  # holds a lock for the process, which belongs to the loop of an earlier test
    session_factory, limiter, half_open = FakeSessionFactory(), Counter(), HalfOpenConnections()
    servers = (IceServer(("stun:stun.example:3478",)), IceServer(("turn:turn.example?transport=udp",), "u", "c"))
    whip = Whip(
        session_factory,
        Names(),
        limiter,
        ice_servers=lambda _: servers,
        config=Config(limits=RtcLimits(tick=0.05)),
        half_open=half_open,
    )
    app = web.Application(middlewares=[error_middleware])
    add_routes(app, whip.routes())
    async with nothing_left(), TestClient(TestServer(app)) as client:
        yield WhipHarness(client, session_factory, limiter, whip, half_open)
        await whip.close()
        assert not session_factory.conversation.peers
    assert not [thread for thread in threading.enumerate() if "decoder" in thread.name]


@pytest.fixture
async def caller() -> AsyncIterator[RTCPeerConnection]:
    """A client that has made its offer."""
    connection = RTCPeerConnection(RTCConfiguration([]))
    connection.addTrack(AudioStreamTrack())
    connection.createDataChannel("events")
    await connection.setLocalDescription(await connection.createOffer())
    yield connection
    await connection.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


async def code_of(response: ClientResponse) -> str:
    body = await response.json()
    assert set(body["error"]) == {"code", "message", "details"}
    return str(body["error"]["code"])


async def test_an_offer_is_answered_and_connects(harness: WhipHarness, caller: RTCPeerConnection) -> None:
    response = await harness.post(
        caller.localDescription.sdp, "/whip?session=s1&model=m&language=pt-BR&voice=Kore&token=x"
    )
    assert response.status == 201
    assert response.content_type == SDP
    assert response.headers["Location"].startswith("/whip/")
    assert len(response.headers["Location"]) > 30
    assert response.headers["ETag"].startswith('"')
    assert response.headers.getall("Link") == [
        '<stun:stun.example:3478>; rel="ice-server"',
        '<turn:turn.example?transport=udp>; rel="ice-server"; username="u"; credential="c"; credential-type="password"',
    ]
    assert response.headers["Access-Control-Expose-Headers"] == "Location, ETag, Link"
    assert harness.session_factory.entered == [
        ("ann", SessionOptions(label="s1", model="m", language="pt-BR", voice="Kore"))
    ]
    await caller.setRemoteDescription(RTCSessionDescription(await response.text(), "answer"))
    await until(lambda: len(harness.session_factory.conversation.heard) > 5)


async def test_names_that_nobody_answers_to_do_not_hold_up_the_answer(
    harness: WhipHarness, caller: RTCPeerConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def never(_: MDnsProtocol, name: str) -> None:
        asked.append(name)
        await asyncio.Event().wait()

    monkeypatch.setattr(MDnsProtocol, "resolve", never)
    names = "".join(f"a=candidate:{at} 1 udp 1 nobody-{at}.local 9 typ host\r\n" for at in range(5))
    response = await harness.post(caller.localDescription.sdp + names)
    await caller.setRemoteDescription(RTCSessionDescription(await response.text(), "answer"))
    await until(lambda: harness.session_factory.conversation.heard and len(asked) == 5)


async def answered(harness: WhipHarness, caller: RTCPeerConnection) -> ClientResponse:
    response = await harness.post(caller.localDescription.sdp)
    assert response.status == 201
    return response


async def test_delete_ends_the_connection(harness: WhipHarness, caller: RTCPeerConnection) -> None:
    response = await answered(harness, caller)
    where = response.headers["Location"]
    await caller.setRemoteDescription(RTCSessionDescription(await response.text(), "answer"))
    await until(lambda: harness.session_factory.conversation.heard)
    assert (await harness.ask("DELETE", where)).status == 200
    await until(lambda: caller.connectionState == "closed")
    assert harness.session_factory.conversation.graces == [0.0], "nobody is waited for after a goodbye"
    assert (await harness.ask("DELETE", where)).status == 200, "its answer may have been lost"
    assert (await harness.ask("DELETE", where, user="bob")).status == 404


async def test_ends_that_are_remembered_are_few(
    harness: WhipHarness, caller: RTCPeerConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediaserver.webrtc.routes.MAX_LEFT", 1)
    places = [(await answered(harness, caller)).headers["Location"] for _ in range(2)]
    for place in places:
        assert (await harness.ask("DELETE", place)).status == 200
    assert [(await harness.ask("DELETE", place)).status for place in places] == [404, 200]


async def test_candidates_can_follow(harness: WhipHarness, caller: RTCPeerConnection) -> None:
    response = await answered(harness, caller)
    lines = [
        f"a=ice-ufrag:{ufrag(caller)}",
        "m=audio 9 RTP/AVP 0",
        "a=mid:0",
        f"a={HOST_CANDIDATE}",
        "a=end-of-candidates",
    ]
    body = "\r\n".join(lines)
    etag = response.headers["ETag"]
    for tag in (etag, "*", f"W/{etag}", f'"other", {etag}', f'W/"other",W/{etag}', etag.strip('"')):
        took = await harness.ask("PATCH", response.headers["Location"], body, FRAGMENT, If_Match=tag)
        assert took.status == 204
    assert (await harness.ask("PATCH", response.headers["Location"], body, FRAGMENT)).status == 204


def ufrag(caller: RTCPeerConnection) -> str:
    lines = caller.localDescription.sdp.splitlines()
    return next(line.partition(":")[2] for line in lines if line.startswith("a=ice-ufrag:"))


@pytest.mark.parametrize(
    ("body", "kind", "headers", "status", "code"),
    [
        (f"a={HOST_CANDIDATE}", SDP, {}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (f"a={HOST_CANDIDATE}", FRAGMENT, {"If_Match": '"other"'}, 412, "PRECONDITION_FAILED"),
        ("a=ice-ufrag:newone\r\na=ice-pwd:0123456789012345678901234", FRAGMENT, {}, 422, "ICE_RESTART"),
        (f"a={HOST_CANDIDATE}", FRAGMENT, {"If_Match": 'W/"other", "another"'}, 412, "PRECONDITION_FAILED"),
        ("nonsense", FRAGMENT, {}, 400, "INVALID_CANDIDATE"),
        ("a=x\r\n" * 10_000, FRAGMENT, {}, 413, "PAYLOAD_TOO_LARGE"),
    ],
)
async def test_candidates_that_cannot_be_taken(
    harness: WhipHarness,
    caller: RTCPeerConnection,
    body: str,
    kind: str,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    response = await answered(harness, caller)
    refused = await harness.ask("PATCH", response.headers["Location"], body, kind, **headers)
    assert (refused.status, await code_of(refused)) == (status, code)


async def test_candidates_after_the_end_find_nothing(harness: WhipHarness, caller: RTCPeerConnection) -> None:
    response = await answered(harness, caller)
    await harness.ask("DELETE", response.headers["Location"])
    late = await harness.ask("PATCH", response.headers["Location"], f"a={HOST_CANDIDATE}", FRAGMENT)
    assert (late.status, await code_of(late)) == (404, "NOT_FOUND")


async def test_candidates_while_the_session_ends_find_nothing(harness: WhipHarness, caller: RTCPeerConnection) -> None:
    response = await answered(harness, caller)
    peer = harness.whip._resources[response.headers["Location"].removeprefix("/whip/")].peer

    async def ending() -> AsyncIterator[bytes]:
        peer._begin_close("while the body was read")
        yield f"a={HOST_CANDIDATE}".encode()

    headers = {"Authorization": "Bearer ann", "Content-Type": FRAGMENT}
    late = await harness.client.patch(response.headers["Location"], data=ending(), headers=headers)
    assert late.status == 404


async def test_an_unknown_id_and_another_users_are_the_same(harness: WhipHarness, caller: RTCPeerConnection) -> None:
    response = await answered(harness, caller)
    for method, body, kind in (("DELETE", "", ""), ("PATCH", f"a={HOST_CANDIDATE}", FRAGMENT)):
        for path, user in (("/whip/unknown", "ann"), (response.headers["Location"], "bob")):
            refused = await harness.ask(method, path, body, kind, user)
            assert (refused.status, await code_of(refused)) == (404, "NOT_FOUND")
    assert (await harness.ask("DELETE", response.headers["Location"])).status == 200


async def test_options_say_what_is_accepted(harness: WhipHarness) -> None:
    response = await harness.ask("OPTIONS", "/whip", user="")
    assert (response.status, response.headers["Accept-Post"]) == (204, SDP)
    response = await harness.ask("OPTIONS", "/whip/any", user="")
    assert (response.status, response.headers["Accept-Patch"]) == (204, FRAGMENT)
    assert "Link" not in response.headers


@pytest.mark.parametrize("path", ["/whip", "/whip/", "/whip/any"])
async def test_options_tell_those_with_a_token_the_ice_servers(harness: WhipHarness, path: str) -> None:
    response = await harness.ask("OPTIONS", path)
    assert [link.split(";")[0] for link in response.headers.getall("Link")] == [
        "<stun:stun.example:3478>",
        "<turn:turn.example?transport=udp>",
    ]
    assert (await harness.ask("OPTIONS", path, user="forged")).status == 401


async def test_each_path_is_one_resource_with_its_own_options(harness: WhipHarness) -> None:
    resources = {resource.canonical: resource for resource in harness.client.app.router.resources()}
    assert len(resources) == len(harness.client.app.router.resources())
    for path in ("/whip", "/whip/"):
        assert {route.method for route in resources[path]} == {"POST", "OPTIONS"}


async def test_a_slash_at_the_end_makes_no_difference(harness: WhipHarness, caller: RTCPeerConnection) -> None:
    response = await harness.post(caller.localDescription.sdp, "/whip/?session=s1")
    assert response.status == 201
    assert (await harness.ask("DELETE", response.headers["Location"])).status == 200


async def test_candidates_may_come_before_the_answer_is_sent(
    harness: WhipHarness, caller: RTCPeerConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering, is_gathered = asyncio.Event(), asyncio.Event()
    gather = aioice.ice.Connection.gather_candidates

    async def gather_slowly(connection: aioice.ice.Connection) -> None:
        gathering.set()
        await is_gathered.wait()
        await gather(connection)

    monkeypatch.setattr(aioice.ice.Connection, "gather_candidates", gather_slowly)
    offering = asyncio.create_task(harness.post(caller.localDescription.sdp))
    async with asyncio.timeout(5):
        await gathering.wait()
    (name,) = harness.whip._resources
    assert (await harness.ask("PATCH", f"/whip/{name}", f"a={HOST_CANDIDATE}", FRAGMENT)).status == 204
    is_gathered.set()
    assert (await offering).status == 201
    candidates = harness.whip._resources[name].peer._connection._candidates
    assert ("192.0.2.9", 50_000) in candidates


async def test_a_section_of_an_unknown_codec_costs_no_voice(harness: WhipHarness, caller: RTCPeerConnection) -> None:
    audio, _, data = caller.localDescription.sdp.partition("m=application")
    video = audio[audio.index("m=audio") :].replace("m=audio", "m=video").replace("a=mid:0", "a=mid:9")
    video = video.replace(" opus/48000/2", " AV1/90000")
    body = audio.replace("BUNDLE 0 1", "BUNDLE 0 9 1") + video + "m=application" + data
    response = await harness.post(body)
    assert response.status == 201
    lines = (await response.text()).splitlines()
    assert [line.split(" ")[1] == "0" for line in lines if line.startswith("m=")] == [False, True, False]
    assert "a=group:BUNDLE 0 1" in lines


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        ("v=0", "text/plain", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("garbage", SDP, 400, "INVALID_OFFER"),
        (b"\xff\xfe\x00", SDP, 400, "INVALID_OFFER"),
        ("v=0\r\n" + "a=x\r\n" * 10_000, SDP, 400, "INVALID_OFFER"),
        ("v=0\r\n" + "a=xxxxxxxxx\r\n" * 10_000, SDP, 413, "PAYLOAD_TOO_LARGE"),
        ("no codec", SDP, 400, "INVALID_OFFER"),
    ],
)
async def test_a_bad_offer_starts_no_conversation(
    harness: WhipHarness, caller: RTCPeerConnection, body: str | bytes, kind: str, status: int, code: str
) -> None:
    if body == "no codec":
        body = caller.localDescription.sdp.partition("m=application")[0].replace("opus", "speex")
        body = body.replace("PCM", "LPC").replace("audio", "video")
    refused = await harness.post(body, kind=kind)
    assert (refused.status, await code_of(refused)) == (status, code)
    assert not harness.session_factory.entered


async def test_wrong_options_are_named(harness: WhipHarness, caller: RTCPeerConnection) -> None:
    refused = await harness.post(caller.localDescription.sdp, "/whip?language=x&voice=%3Cscript%3E&model=fine")
    assert refused.status == 422
    wrong = (await refused.json())["error"]["details"]["fields"]
    assert [field["field"] for field in wrong] == ["language", "voice"]
    assert not harness.session_factory.entered


async def test_who_cannot_say_who_they_are_is_refused(harness: WhipHarness, caller: RTCPeerConnection) -> None:
    for method, path in (("POST", "/whip"), ("PATCH", "/whip/x"), ("DELETE", "/whip/x")):
        for user in ("", "forged"):
            assert (await harness.ask(method, path, caller.localDescription.sdp, SDP, user)).status == 401
    assert not harness.session_factory.entered


async def test_too_many_offers_are_turned_away(harness: WhipHarness) -> None:
    harness.limiter.most = 3
    for user in ("ann", "forged", ""):
        harness.limiter.counts.clear()
        statuses = [(await harness.post("garbage", user=user)).status for _ in range(5)]
        assert statuses[3:] == [429, 429]
    refused = await harness.post("garbage", user="forged")
    assert refused.headers["Retry-After"] == "7"


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (Full(SessionLimit.SERVER), 503, "SESSION_LIMIT"),
        (Full(SessionLimit.GUESTS), 503, "SESSION_LIMIT"),
        (Full(SessionLimit.USER), 429, "SESSION_LIMIT"),
        (Full(SessionLimit.ADDRESS), 429, "SESSION_LIMIT"),
        (Draining(), 503, "SHUTTING_DOWN"),
    ],
)
async def test_a_full_server_says_when_to_come_back(
    harness: WhipHarness, caller: RTCPeerConnection, refusal: Exception, status: int, code: str
) -> None:
    harness.session_factory.refusal = refusal
    refused = await harness.post(caller.localDescription.sdp)
    error = (await refused.json())["error"]
    assert (refused.status, error["code"]) == (status, code)
    if isinstance(refusal, Full):
        assert error["message"] == refusal.message
        assert error["details"] == {"limit": refusal.limit.value, "retry_after": 10}
    assert int(refused.headers["Retry-After"]) > 0
    assert len(harness.half_open) == 0


async def test_an_offer_that_fails_after_all_is_forgotten(
    harness: WhipHarness, caller: RTCPeerConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(error: Exception) -> Callable[..., Awaitable[Any]]:
        async def fail(*_: object) -> None:
            raise error

        return fail

    for error, status in ((ValueError("no"), 400), (OSError("no sockets left"), 500)):
        monkeypatch.setattr(RTCPeerConnection, "setLocalDescription", failing(error))
        assert (await harness.post(caller.localDescription.sdp)).status == status
    assert not harness.session_factory.conversation.peers
    assert not harness.whip._resources


async def test_a_body_that_never_ends_is_given_up(harness: WhipHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mediaserver.http_route.READ_TIMEOUT", 0.1)
    stop = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"v=0"
        await stop.wait()

    headers = {"Authorization": "Bearer ann", "Content-Type": SDP}
    response = await harness.client.post("/whip", data=slowly(), headers=headers)
    stop.set()
    assert response.status == 408


def test_fragments_are_read() -> None:
    fragment = parse_fragment(
        f"a=ice-ufrag:u\na=ice-pwd:p\nm=audio 9 X 0\na=mid:0\na={HOST_CANDIDATE}\na={HOST_CANDIDATE}\n"
    )
    assert (fragment.ufrag, fragment.pwd, len(fragment.candidates)) == ("u", "p", 1)
    assert parse_fragment("").candidates == ()
    with pytest.raises(ProtocolError, match="`what now`"):
        parse_fragment("what  now")


@pytest.mark.parametrize(
    "line",
    [
        f"a={HOST_CANDIDATE}",
        HOST_CANDIDATE,
        f"a={HOST_CANDIDATE.replace(' ', '  ')} \r\n",
        f"A={HOST_CANDIDATE.replace('candidate', 'Candidate')}".replace("A=", "a="),
        f"a={HOST_CANDIDATE}\na=candidate:\na=end-of-candidates",
        f"a=candidate:nonsense\na={HOST_CANDIDATE}",
        f"candidate:\nend-of-candidates\n{HOST_CANDIDATE}",
    ],
)
def test_candidates_are_read_however_clients_write_them(line: str) -> None:
    (candidate,) = parse_fragment(line).candidates
    assert parse_candidate(candidate) == parse_candidate(HOST_CANDIDATE)


@given(st.text() | st.from_regex(r"(a=)?(candidate|ice-ufrag|mid|x)?:?[ -~]{0,80}"))
def test_no_fragment_raises_anything_but_a_reason(text: str) -> None:
    try:
        parse_fragment(text)
    except ProtocolError as error:
        reason = error.message
    else:
        reason = "`"
    assert "`" in reason


def test_no_servers_make_no_links() -> None:
    assert ice_links(()) == []
