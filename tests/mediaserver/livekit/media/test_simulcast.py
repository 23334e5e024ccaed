"""Chromium as the client: simulcast, two videos at once, a lossy network, and what one sends shown to another."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from mediaserver.livekit.media.types import Outgoing
from tests.support.chromium_harness import Tab, tab, tabs
from tests.support.lossy_network import lossy
from tests.support.media_link_harness import VOICE
from tests.support.rtc_harness import loudest, until

pytestmark = pytest.mark.browser

CAMERA = Outgoing("TR_camera", "PA_human|TR_camera", "video")
HUM = Outgoing("TR_hum", "PA_human|TR_hum", "audio")


async def eventually(condition: Callable[[], Awaitable[object]], within: float = 30.0) -> None:
    """Wait for what must be asked of the browser."""
    async with asyncio.timeout(within):
        while not await condition():
            await asyncio.sleep(0.05)


def shade(here: Tab, mid: str) -> int:
    return int(np.median(here.events.frames[mid][-1].y))


async def test_simulcast_is_taken_with_its_largest_layer_and_videos_are_told_apart() -> None:
    async with tab() as here:
        await here.run("negotiate()")
        camera = await here.publish("camera", 640, 360, 60, ("q", "h", "f"))
        screen = await here.publish("screen", 1280, 720, 200, ("q", "f"))
        assert here.answers[-1].sdp.count("a=simulcast:recv f\r\n") == 2
        await until(lambda: here.widths(camera) == {640} and here.widths(screen) == {1280}, within=30)
        assert abs(shade(here, camera) - 68) < 15
        assert abs(shade(here, screen) - 188) < 15


async def test_simulcast_in_the_names_of_other_clients_is_taken_whatever_their_order() -> None:
    async with tab() as here:
        await here.run("negotiate()")
        screen = await here.publish("screen", 1280, 720, 200, ("h", "q"))
        assert "a=simulcast:recv h\r\n" in here.answers[-1].sdp
        await until(lambda: here.widths(screen) == {640}, within=30)


async def test_what_is_published_again_and_again_is_seen_each_time() -> None:
    async with tab() as here:
        await here.run("negotiate()")
        for turn in range(3):
            mid = await here.publish("screen", 640, 360, 100 + 40 * turn, ("q", "h", "f"))
            await until(lambda mid=mid: here.widths(mid) == {640}, within=30)  # type: ignore[misc]
            await here.run("unpublish('screen')")
            await here.run("negotiate()")
            assert not here.link._publisher._incoming


@pytest.mark.acceptance
async def test_an_ice_restart_interrupts_nothing() -> None:
    async with tab() as here:
        await here.run("negotiate()")
        screen = await here.publish("screen", 640, 360, 200, ("q", "h", "f"))
        await until(lambda: here.widths(screen) == {640}, within=30)
        before = next(line for line in here.offers[-1].split("\r\n") if line.startswith("a=ice-ufrag"))
        await here.run("pc.restartIce()")
        await here.run("negotiate()")
        assert before not in here.offers[-1]
        await longest_wait(here, screen, seconds=6.0, at_most=2.0)
        assert await here.run("pc.connectionState") == "connected"


@pytest.mark.acceptance
async def test_at_4_percent_loss_both_ways_sound_goes_on_and_pictures_recover(monkeypatch: pytest.MonkeyPatch) -> None:
    with lossy(monkeypatch) as network:
        async with tab() as here:
            here.link.speak(VOICE)
            await here.run("negotiate()")
            hum = await here.hum("hum", 1_000)
            screen = await here.publish("screen", 1280, 720, 200, ("q", "f"))
            await until(lambda: here.widths(screen) == {1280} and len(here.events.chunks.get(hum, ())) > 50, within=30)
            network.loss = 0.04
            await longest_wait(here, screen, seconds=8.0, at_most=3.0)
            pcm, rate = here.events.pcm(hum), here.events.chunks[hum][0].rate
            assert network.lost > 20
            assert abs(loudest(pcm[-4 * rate :], rate) - 1_000) < 20
            assert np.abs(pcm[-4 * rate :].astype(int)).mean() > 1_000
            assert 0.0 < here.link.reception().loss < 0.3
            assert not here.events.faults


async def longest_wait(here: Tab, mid: str, *, seconds: float, at_most: float) -> None:
    """Watch for a while; fail if no picture comes for too long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen = len(here.events.frames[mid])
        await until(lambda seen=seen: len(here.events.frames[mid]) > seen, within=at_most)  # type: ignore[misc]


@pytest.mark.acceptance
async def test_one_sees_and_hears_the_other_through_sections_that_come_free_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with lossy(monkeypatch) as network:
        async with tabs(2) as (sender, viewer):
            await sender.run("negotiate()")
            hum = await sender.hum("hum", 700)
            camera = await sender.publish("camera", 640, 360, 60, ("q", "h", "f"))
            viewer.link.speak(VOICE)
            for _ in range(2):
                viewer.link.forward(HUM, sender.link, hum)
                viewer.link.forward(CAMERA, sender.link, camera)
                await viewer.run("negotiate()")
                sent = {track: mid for mid, track in viewer.answers[-1].sent.items()}
                assert sent.keys() == {"TR_voice", "TR_hum", "TR_camera"}
                assert await viewer.run(f"shown[{sent['TR_camera']!r}].stream") == "PA_human|TR_camera"
                await eventually(lambda sent=sent: _shows(viewer, sent))  # type: ignore[misc]
                network.loss = 0.04
                before = await viewer.decoded(sent["TR_camera"])
                await eventually(lambda sent=sent, before=before: _plays_on(viewer, sent, before))  # type: ignore[misc]
                network.loss = 0.0
                viewer.link.withdraw("TR_hum")
                viewer.link.withdraw("TR_camera")
                await viewer.run("negotiate()")
                assert list(viewer.answers[-1].sent.values()) == ["TR_voice"]
        assert network.lost > 20


async def _plays_on(viewer: Tab, sent: dict[str, str], before: dict[str, float]) -> bool:
    return (await viewer.decoded(sent["TR_camera"]))["frames"] > before["frames"] + 30


async def _shows(viewer: Tab, sent: dict[str, str]) -> bool:
    picture, sound = await viewer.decoded(sent["TR_camera"]), await viewer.decoded(sent["TR_hum"])
    return picture["frames"] > 20 and picture["width"] == 640 and sound["energy"] > 0.01
