"""A network that loses one datagram in 25, both ways, between a server process and LiveKit's client in Chromium."""

from pathlib import Path

import pytest

from tests.support.livekit_browser import chromium, require_clients, served
from tests.support.livekit_loss import losing, suffer

pytestmark = [pytest.mark.browser, pytest.mark.acceptance, pytest.mark.timeout(120)]


def test_with_4_percent_loss_the_voice_goes_on_and_the_screen_recovers_within_3_seconds(tmp_path: Path) -> None:
    require_clients()
    with losing(tmp_path, 0.04) as server, served() as site, chromium() as browser:
        suffered = suffer(server, browser, site, "livekit-client", changes=3)
    assert suffered.lost
    assert suffered.repeated
    assert max(suffered.delays) < 3
    assert suffered.silence < 0.5
    assert suffered.heard == ["something"]
