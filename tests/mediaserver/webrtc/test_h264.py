"""H.264 of x264 as it is offered and sent by clients, seen as pictures."""

import base64
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from av import Packet

from tests.support.h264_video import HEIGHT, WIDTH, encode, units, without_parameter_sets
from tests.support.rtc_harness import Camera, ConnectedPeer, connected_peer, until

_TYPE = "99"  # the payload type of aiortc's first H.264


def offering(parameters: str | None, name: str = "H264") -> Callable[[str], str]:
    """Offer H.264 alone, with these parameters."""

    def edit(sdp: str) -> str:
        kept: list[str] = []
        for offered in sdp.splitlines():
            line = offered
            found = re.match(r"a=(?:rtpmap|fmtp|rtcp-fb):([0-9]+) ", line)
            if found and "m=video" in "".join(kept) and found[1] != _TYPE:
                continue
            if line.startswith("m=video"):
                line = " ".join([*line.split(" ")[:3], _TYPE])
            if line.startswith(f"a=fmtp:{_TYPE}"):
                if parameters is None:
                    continue
                line = f"a=fmtp:{_TYPE} {parameters}"
            kept.append(line.replace(" H264/", f" {name}/"))
        return "\r\n".join(kept) + "\r\n"

    return edit


def answered(sdp: str) -> str:
    """The answer as aiortc understands it, which compares profiles."""
    kept = [line for line in sdp.splitlines() if not line.startswith(f"a=fmtp:{_TYPE}")]
    at = next(at for at, line in enumerate(kept) if line.startswith(f"a=rtpmap:{_TYPE}"))
    kept.insert(at + 1, f"a=fmtp:{_TYPE} packetization-mode=1;profile-level-id=42001f")
    return "\r\n".join(kept) + "\r\n"


async def seen(here: ConnectedPeer, count: int = 5) -> None:
    await until(lambda: len(here.conversation.frames) >= count)
    picture = here.conversation.frames[-1].y
    assert picture.shape == (HEIGHT, WIDTH)
    assert abs(int(np.median(picture)) - 200) < 10
    assert not here.conversation.faults


@pytest.mark.parametrize(
    ("profile", "parameters", "name"),
    [
        ("high", "packetization-mode=1;profile-level-id=64001f", "H264"),
        ("high", None, "H264"),
        ("main", "profile-level-id=4d001f; packetization-mode=1", "h264"),
        ("baseline", "PACKETIZATION-MODE=0;Profile-Level-Id=42C01F", "H264"),
    ],
)
async def test_h264_is_seen_however_it_is_described(profile: str, parameters: str | None, name: str) -> None:
    camera = Camera(*encode(60, profile=profile, keyint=20))
    async with connected_peer(camera, edit=offering(parameters, name), edit_answer=answered) as here:
        await seen(here)


async def test_parameter_sets_that_only_the_description_has_are_used() -> None:
    packets = encode(60, keyint=20)
    sets = ",".join(base64.b64encode(unit).decode() for unit in units(packets[0]) if unit[0] & 31 in (7, 8))
    parameters = f"packetization-mode=1;profile-level-id=64001f;sprop-parameter-sets={sets}"
    camera = Camera(*map(without_parameter_sets, packets))
    async with connected_peer(camera, edit=offering(parameters), edit_answer=answered) as here:
        await seen(here)


async def test_a_stream_without_key_frames_is_seen_once_the_picture_is_refreshed() -> None:
    packets: list[Packet[Any]] = encode(140, keyint=20, intra_refresh=1)[3:]
    assert not any(unit[0] & 31 == 5 for packet in packets for unit in units(packet))
    async with connected_peer(Camera(*packets), edit=offering(None), edit_answer=answered) as here:
        await until(lambda: len(here.conversation.frames) >= 5)
        assert abs(int(np.median(here.conversation.frames[0].y)) - 200) < 10
