"""Chromium as a LiveKit client: a plain page that offers what livekit-client offers, and publishes a drawn picture."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Page, async_playwright

from mediaserver.livekit.media.media_link import MediaLink
from mediaserver.livekit.media.types import Answer
from mediaserver.rtc.config import Config, RtcLimits
from tests.support.chromium import CHROMIUM, require_chromium
from tests.support.media_link_harness import Events

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
]

PAGE = """
const pc = new RTCPeerConnection({iceServers: []});
const senders = {};
for (const kind of ['audio', 'audio', 'audio', 'video', 'video', 'video'])
  pc.addTransceiver(kind, {direction: 'recvonly'});
pc.createDataChannel('_lossy', {ordered: false, maxRetransmits: 0});
pc.createDataChannel('_reliable', {ordered: true});

async function negotiate() {
  await pc.setLocalDescription(await pc.createOffer());
  while (pc.iceGatheringState !== 'complete') await new Promise(resolve => setTimeout(resolve, 20));
  await pc.setRemoteDescription({type: 'answer', sdp: await answer(pc.localDescription.sdp)});
}

// A picture of which one shade fills most, and in which something always moves.
function drawn(width, height, shade) {
  const canvas = Object.assign(document.createElement('canvas'), {width, height});
  const context = canvas.getContext('2d');
  let step = 0;
  setInterval(() => {
    context.fillStyle = `rgb(${shade},${shade},${shade})`;
    context.fillRect(0, 0, width, height);
    context.fillStyle = `rgb(${step * 7 % 256},${step * 13 % 256},${step * 29 % 256})`;
    context.fillRect(step * 9 % width, 0, width / 16, height / 4);
    step += 1;
  }, 50);
  return canvas.captureStream(20);
}

function publish(name, width, height, shade, rids) {
  const stream = drawn(width, height, shade);
  const encodings = rids.map((rid, index) => ({
    rid, maxBitrate: [150000, 500000, 3000000][index + 3 - rids.length],
    scaleResolutionDownBy: 2 ** (rids.length - 1 - index)}));
  senders[name] = pc.addTransceiver(stream.getVideoTracks()[0], {
    direction: 'sendonly', streams: [stream], ...(rids.length ? {sendEncodings: encodings} : {})});
  return stream.getVideoTracks()[0].id;
}

function hum(name, frequency) {
  const audio = new AudioContext(), tone = audio.createOscillator(), out = audio.createMediaStreamDestination();
  tone.frequency.value = frequency;
  tone.connect(out);
  tone.start();
  senders[name] = pc.addTransceiver(out.stream.getAudioTracks()[0], {direction: 'sendonly', streams: [out.stream]});
  return out.stream.getAudioTracks()[0].id;
}

const shown = {};
pc.ontrack = ({transceiver, streams, track}) => {
  const element = document.createElement(track.kind);
  element.srcObject = new MediaStream([track]);
  element.muted = track.kind === 'video';
  element.play();
  document.body.append(element);
  shown[transceiver.mid] = {stream: streams[0] && streams[0].id, element};
};

async function decoded() {
  const found = {};
  (await pc.getStats()).forEach(report => {
    if (report.type === 'inbound-rtp')
      found[report.mid] = {frames: report.framesDecoded || 0, width: report.frameWidth || 0,
        energy: report.totalAudioEnergy || 0, packets: report.packetsReceived};
  });
  return found;
}

function unpublish(name) { senders[name].sender.replaceTrack(null); senders[name].direction = 'inactive'; }
"""


class Tab:
    """The page, and the link it is connected to."""

    def __init__(self, page: Page, link: MediaLink, events: Events):
        self.page = page
        self.link = link
        self.events = events
        self.offers: list[str] = []
        self.answers: list[Answer] = []

    async def answer(self, sdp: str) -> str:
        self.offers.append(sdp)
        answer = await self.link.answer(sdp)
        self.answers.append(answer)
        return answer.sdp

    async def run(self, script: str) -> Any:
        return await self.page.evaluate(script)

    async def publish(self, name: str, width: int, height: int, shade: int, rids: tuple[str, ...] = ()) -> str:
        """Draw and send a picture; give the section it is sent in."""
        return await self._send(f"publish({name!r}, {width}, {height}, {shade}, {list(rids)})")

    async def hum(self, name: str, frequency: int) -> str:
        """Send a tone; give the section it is sent in."""
        return await self._send(f"hum({name!r}, {frequency})")

    async def decoded(self, mid: str) -> dict[str, float]:
        """Return Chromium's receive statistics of a section: frames, width, energy, packets."""
        found: dict[str, dict[str, float]] = await self.run("decoded()")
        return found.get(mid, {"frames": 0, "width": 0, "energy": 0.0, "packets": 0})

    async def _send(self, script: str) -> str:
        cid = await self.run(script)
        await self.run("negotiate()")
        mid = next(section.mid for section in self.answers[-1].sections if section.cid == cid)
        self.link.listen(mid, is_wanted=True)
        return mid

    def widths(self, mid: str, last: int = 5) -> set[int]:
        return {frame.width for frame in self.events.frames.get(mid, [])[-last:]}


@asynccontextmanager
async def tabs(count: int) -> AsyncIterator[list[Tab]]:
    """Open Chromium on so many of these pages, each with a link of its own; nothing is negotiated yet."""
    require_chromium()
    opened: list[Tab] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            for _ in range(count):
                page = await (await browser.new_context()).new_page()
                events = Events()
                here = Tab(page, MediaLink(events, is_dual=False, config=Config(limits=RtcLimits(tick=0.2))), events)
                opened.append(here)
                await page.expose_function("answer", here.answer)
                await page.add_script_tag(content=PAGE)
            yield opened
        finally:
            for here in opened:
                await here.link.close()
            await browser.close()


@asynccontextmanager
async def tab() -> AsyncIterator[Tab]:
    """Open one."""
    async with tabs(1) as (here,):
        yield here
