"""Simulcast as Chromium sends it over WHIP."""

import pytest
from playwright.async_api import async_playwright

from mediaserver.rtc.config import Config
from mediaserver.rtc.sdp.offer import parse_offer
from mediaserver.webrtc.peer import RtcPeer
from tests.support.chromium import CHROMIUM, TALKING, require_chromium
from tests.support.rtc_harness import FakeConversation, until

pytestmark = pytest.mark.browser

OFFER = """async (rids) => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1280, height: 720 });
  const brush = canvas.getContext("2d");
  let at = 0;
  setInterval(() => {
    brush.fillStyle = "#ddd";
    brush.fillRect(0, 0, 1280, 720);
    brush.fillStyle = "#111";
    brush.fillRect((at += 16) % 1280, 0, 16, 720);
  }, 50);
  const scales = { f: 1, h: 2, q: 4 };
  const sendEncodings = rids.map((rid) => ({ rid, scaleResolutionDownBy: scales[rid] }));
  window.peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  window.sender = peer.addTransceiver(canvas.captureStream(20).getTracks()[0], {
    direction: "sendonly",
    sendEncodings,
  }).sender;
  await peer.setLocalDescription();
  return peer.localDescription.sdp;
}"""

PAUSE_LARGEST = """async () => {
  const parameters = sender.getParameters();
  parameters.encodings.find((one) => one.rid === "f").active = false;
  await sender.setParameters(parameters);
}"""


@pytest.mark.parametrize("order", ["qhf", "fhq"])
async def test_the_largest_layer_that_is_sent_is_seen_in_whatever_order_layers_are_named(order: str) -> None:
    require_chromium()
    conversation = FakeConversation()

    def widths() -> set[int]:
        return {frame.y.shape[1] for frame in conversation.frames[-10:]} if len(conversation.frames) > 10 else set()

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=TALKING)
        page = await browser.new_page()
        offer = parse_offer(await page.evaluate(OFFER, list(order)))
        peer = RtcPeer(conversation, offer, config=Config(), on_closed=lambda: None)
        try:
            answer = await peer.answer()
            assert f"a=simulcast:recv {';'.join(order)}\r\n" in answer
            await page.evaluate("sdp => peer.setRemoteDescription({ type: 'answer', sdp })", answer)
            await until(lambda: widths() == {1280}, within=30)
            await page.evaluate(PAUSE_LARGEST)
            await until(lambda: widths() == {640}, within=30)
        finally:
            await peer.close()
            await browser.close()
