"""The browser of the tests."""

import os
from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")

TALKING = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
    "--auto-accept-camera-and-microphone-capture",
]
"""Arguments for a browser that talks and listens without being asked."""


def require_chromium() -> None:
    """Skip without a browser, but never where CI vouches for one."""
    if not CHROMIUM.exists():
        missing = "Chromium is missing: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
