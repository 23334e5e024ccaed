"""A small server with real WebRTC whose events a test sends, and a visit to its page."""

import asyncio
import fractions
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp_jinja2
import jinja2
import numpy as np
import simplejpeg
from aiohttp import web
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.contrib.media import MediaBlackhole
from av import AudioFrame
from playwright.async_api import Page, expect

from tests.web.fake_accounts_api import FakeAccountsApi

WEB = Path(__file__).parents[2] / "web"
RATE = 48_000
FRAME_SAMPLES = 960

ENGINE = {
    "engine": "local",
    "model": "local-1",
    "can_be_asked": ["hello", "what is on my screen", "where is save", "what time is it", "repeat", "stop"],
}


class Tone(MediaStreamTrack):
    """A quiet 440 Hz tone in 20 ms frames."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._pts = 0

    async def recv(self) -> AudioFrame:
        await asyncio.sleep(FRAME_SAMPLES / RATE)
        at = (np.arange(FRAME_SAMPLES) + self._pts) / RATE
        samples = (6000 * np.sin(2 * np.pi * 440 * at)).astype(np.int16)
        frame = AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        frame.sample_rate = RATE
        frame.time_base = fractions.Fraction(1, RATE)
        frame.pts = self._pts
        self._pts += FRAME_SAMPLES
        return frame


@dataclass
class Refusal:
    """An error response, to be sent `times` times."""

    status: int
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1_000_000
    details: dict[str, Any] = field(default_factory=dict)


class FakeServer:
    """Serves the page, the accounts API, WHIP and frames; records every request and every command."""

    def __init__(self) -> None:
        self.refusals: dict[str, Refusal] = {}
        self.engine: dict[str, Any] = ENGINE
        self.accounts_api = FakeAccountsApi()
        self.registration = "open"
        self.history_days = 90
        self.session_id = "conversation-1"
        self.sends_session_started = True
        self.sends_session_ended = True
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.commands: list[dict[str, Any]] = []
        self.offers: list[str] = []
        self.recordings: list[bytes] = []
        self.frame: tuple[int, bytes] | None = (17, picture(640, 360))
        self._peers: dict[str, RTCPeerConnection] = {}
        self._channel: RTCDataChannel | None = None
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self.app = self._routes()

    def _routes(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        aiohttp_jinja2.setup(app, loader=jinja2.FileSystemLoader(WEB / "templates"), autoescape=True)
        app.router.add_get("/", self._page)
        app.router.add_static("/static", WEB / "static")
        app.router.add_routes(self.accounts_api.routes())
        app.router.add_get("/api/v1/engine", self._engine)
        app.router.add_get("/api/v1/sessions/{id}/frame", self._frame)
        app.router.add_get("/api/v1/sessions/{id}/words", self._words)
        app.router.add_post("/whip", self._whip)
        app.router.add_post("/whip/{id}/audio", self._recording)
        app.router.add_delete("/whip/{id}", self._leave)
        return app

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs, dict(request.headers)))
        self._notify()
        refusal = self.refusals.get(f"{request.method} {request.path}")
        if refusal and refusal.times > 0:
            refusal.times -= 1
            body = {"error": {"code": refusal.code, "message": "", "details": refusal.details}}
            return web.json_response(body, status=refusal.status, headers=refusal.headers)
        response = await handler(request)
        response.headers["Content-Security-Policy"] = "default-src 'self'"
        return response

    @aiohttp_jinja2.template("index.html")
    async def _page(self, request: web.Request) -> dict[str, object]:
        page = {"registration": self.registration, "history_days": self.history_days}
        return {"version": "9.9.9", "static": "/static", **page}

    async def _engine(self, request: web.Request) -> web.Response:
        return web.json_response(self.engine)

    async def _frame(self, request: web.Request) -> web.Response:
        if self.frame is None:
            raise web.HTTPNotFound
        number, jpeg = self.frame
        return web.Response(body=jpeg, content_type="image/jpeg", headers={"X-Frame": str(number)})

    async def _words(self, request: web.Request) -> web.Response:
        words = [
            {"text": "Save", "box": [100, 200, 150, 300], "confidence": 0.9},
            {"text": "Svae", "box": [500, 200, 550, 300], "confidence": 0.3},
        ]
        return web.json_response({"frame": 1, "words": words})

    async def _whip(self, request: web.Request) -> web.Response:
        offer = await request.text()
        self.offers.append(offer)
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        name = f"peer-{len(self.offers)}"
        self._peers[name] = peer
        sink = MediaBlackhole()
        peer.on("track", sink.addTrack)
        peer.on("datachannel", self._on_channel)
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        peer.addTrack(Tone())
        await peer.setLocalDescription(await peer.createAnswer())
        await sink.start()
        headers = {"Location": f"/whip/{name}", "ETag": '"1"', "Link": '<stun:127.0.0.1:9>; rel="ice-server"'}
        answer = peer.localDescription.sdp
        return web.Response(text=answer, status=201, content_type="application/sdp", headers=headers)

    async def _recording(self, request: web.Request) -> web.Response:
        self.recordings.append(await request.read())
        return web.Response(status=204)

    async def _leave(self, request: web.Request) -> web.Response:
        return web.Response()

    def _on_channel(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        channel.on("message", self._on_command)
        if self.sends_session_started:
            self.send_event(
                "session_started",
                id=self.session_id,
                engine=self.engine["engine"],
                model=self.engine["model"],
                language_model=self.engine.get("language_model"),
                limits={},
            )
            self.send_event("state", state="idle")
        self._notify()

    def _on_command(self, message: str) -> None:
        command = json.loads(message)
        self.commands.append(command)
        if command["action"] == "end_session" and self.sends_session_ended:
            self.send_event("session_ended", reason="client")
        self._notify()

    def _notify(self) -> None:
        task = asyncio.create_task(self._wake())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def send_event(self, action: str, **fields: object) -> None:
        """Send one event to the page."""
        assert self._channel is not None
        self._channel.send(json.dumps({"action": action, "sessionId": "label", **fields}))

    async def wait_for_command(self, action: str, times: int = 1) -> dict[str, Any]:
        """Wait until the page has sent a command that often, and return its latest."""
        found = await self._until(lambda: [c for c in self.commands if c["action"] == action][times - 1 :])
        return dict(found[-1])

    async def wait_for_requests(
        self, method: str, prefix: str, times: int = 1
    ) -> list[tuple[str, str, dict[str, str]]]:
        """Wait for that many requests whose path begins with `prefix`, and return all of them."""

        def enough() -> list[tuple[str, str, dict[str, str]]]:
            found = [r for r in self.requests if r[0] == method and r[1].startswith(prefix)]
            return found if len(found) >= times else []

        return await self._until(enough)

    async def _until(self, found: Callable[[], list[Any]]) -> list[Any]:
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: bool(found()))
        return found()

    async def close_peers(self) -> None:
        """Close every peer connection from this side, as a restart would."""
        peers, self._peers, self._channel = list(self._peers.values()), {}, None
        await asyncio.gather(*(peer.close() for peer in peers))


@dataclass
class Visit:
    """A page under test: its tab, its server, the console's errors, and requests to other hosts."""

    page: Page
    server: FakeServer
    address: str
    console_errors: list[str]
    foreign_requests: list[str]

    async def open(self) -> None:
        """Load the page."""
        await self.page.goto(self.address)

    async def start(self) -> None:
        """Load the page, press Start, and wait until the conversation is ready."""
        await self.open()
        await self.page.get_by_test_id("start").click()
        await self.server.wait_for_command("tracks")

    async def expect_state(self, words: str) -> None:
        """Wait until the page shows this state of the assistant."""
        await expect(self.page.get_by_test_id("state")).to_have_text(words)

    async def share(self) -> None:
        """Share the tab titled Ledger."""
        other = await self.page.context.new_page()
        await other.set_content(LEDGER)
        await self.page.bring_to_front()
        await self.page.get_by_test_id("share").click()
        await expect(self.page.get_by_test_id("preview")).not_to_have_js_property("videoWidth", 0)


LEDGER = """<title>Ledger</title><style>body{margin:0;font:16px Liberation Sans;background:#fff;color:#222}
nav{display:flex;gap:8px;padding:12px;background:#2f4858;color:#fff}button{padding:6px 16px}
td,th{border:1px solid #ccc;padding:8px 22px}table{margin:24px;border-collapse:collapse}</style>
<nav><b>Ledger</b><button>New</button><button>Save</button><button>Print</button></nav>
<table><tr><th>Month<th>Income<th>Rent<th>Left</tr><tr><td>January<td>2 400<td>900<td>1 500</tr>
<tr><td>February<td>2 380<td>900<td>1 480</tr><tr><td>March<td>2 510<td>950<td>1 560</tr></table>"""


def picture(width: int, height: int) -> bytes:
    """A light JPEG with a dark band across its top, like an application with a toolbar."""
    pixels = np.full((height, width, 3), 245, np.uint8)
    pixels[: height // 8] = (47, 72, 88)
    pixels[height // 30 : height // 10, width // 5 : width // 4] = (230, 230, 230)
    return bytes(simplejpeg.encode_jpeg(pixels, quality=80))
