"""The page's pure parts, called in the browser they are written for."""

import pytest

from tests.web.fake_site import Visit

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("ui/controls.js: stateLabel('idle', 'idle', 'on')", "Not started"),
        ("ui/controls.js: stateLabel('live', 'idle', 'on')", "Ready – just talk"),
        ("ui/controls.js: stateLabel('live', 'idle', 'none')", "Ready – type your question"),
        ("ui/controls.js: stateLabel('live', 'from_the_future', 'on')", "Ready – just talk"),
        ("ui/controls.js: stateLabel('ended', 'speaking', 'on')", "Ended"),
        ("ui/engine-label.js: engineLabel({engine: 'local', model: 'gemini-9'})", "Local engine (offline)"),
        ("ui/engine-label.js: engineLabel({engine: 'gemini', model: 'm'})", "Gemini Live, model m"),
        ("ui/engine-label.js: engineLabel({engine: 'other', model: ''})", "other"),
        ("net/server-events.js: parseEvent('no')", None),
        ("net/server-events.js: parseEvent('null')", None),
        (
            'net/server-events.js: parseEvent(\'{"action": "pointer", "frame": 1, "box": [0, 0, 1001, 1]}\')',
            None,
        ),
        ('net/server-events.js: parseEvent(\'{"action": "pong", "t": 1}\')', {"action": "pong", "t": 1}),
        ("media/screen-share.js: formatAge(-5)", "just now"),
        ("media/screen-share.js: formatAge(59999)", "59 s ago"),
        ("media/screen-share.js: formatAge(61000)", "1 min 1 s ago"),
        ("ui/transcript.js: formatLatency(412)", "answered in 0.41 s"),
        ("ui/pointer-overlay.js: describePosition([400, 400, 600, 600])", "in the middle"),
        ("ui/pointer-overlay.js: describePosition([900, 400, 1000, 600])", "at the bottom"),
        ("ui/pointer-overlay.js: describePosition([0, 900, 100, 1000])", "at the upper right"),
        ("ui/pointer-overlay.js: describePosition([450, 0, 550, 100])", "at the left"),
        ("media/level-meter.js: loudness(new Float32Array(8))", 0),
        ("media/level-meter.js: loudness(new Float32Array(8).fill(1))", 1),
    ],
)
async def test_the_parts_say(visit: Visit, expression: str, value: object) -> None:
    await visit.open()

    assert await visit.module(expression) == value


async def test_a_box_becomes_percentages_with_its_label_where_there_is_room(visit: Visit) -> None:
    await visit.open()

    place = await visit.module("ui/pointer-overlay.js: placePointer([120, 40, 160, 110])")
    assert place == {"top": 12, "left": 4, "width": 7, "height": 4, "below": True, "leftward": False}
    place = await visit.module("ui/pointer-overlay.js: placePointer([500, 900, 560, 1000])")
    assert place == {"top": 50, "left": 90, "width": 10, "height": 6, "below": False, "leftward": True}
