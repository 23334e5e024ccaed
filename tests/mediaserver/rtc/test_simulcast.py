"""Chromium publishes simulcast: one layer of it is asked for, and two videos are told apart."""

import pytest
from chromium_room import tab
from rtc_room import until

pytestmark = pytest.mark.browser


async def test_simulcast_is_taken_with_its_largest_layer_and_videos_are_told_apart() -> None:
    async with tab() as here:
        await here.run("negotiate()")
        camera = await here.publish("camera", 640, 360, 60, ("q", "h", "f"))
        await until(lambda: 640 in here.widths(camera), within=30)
        screen = await here.publish("screen", 1280, 720, 180, ("q", "f"))
        await until(lambda: 1280 in here.widths(screen), within=30)
        assert "a=simulcast:send" in here.offers[-1]
        assert here.answers[-1].sdp.count("a=simulcast:recv f\r\n") == 2
        assert here.widths(camera, 100) <= {640, 480, 320}
