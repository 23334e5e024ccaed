"""The actions and options of guides, on every transport."""

import json
from collections.abc import Callable

import pytest
from livekit.protocol.models import ClientInfo

from mediaserver.event_codec import parse_command
from mediaserver.http_errors import HttpError
from mediaserver.jsonws import codec
from mediaserver.jsonws.codec import StartSession
from mediaserver.livekit.agent.session_options import session_options
from mediaserver.livekit.protocol.access_token import AccessTokenClaims
from mediaserver.livekit.protocol.join_request import Join
from mediaserver.webrtc.query import parse_options
from pipeline.errors import FaultCode, ProtocolError
from pipeline.events import GuideAction, GuideCommand, StartGuide

Parse = Callable[[dict[str, object]], object]


def on_a_data_channel(message: dict[str, object]) -> object:
    """As WebRTC and LiveKit have it."""
    return parse_command(json.dumps(message))


def on_the_json_socket(message: dict[str, object]) -> object:
    return codec.parse(json.dumps(message).encode()).message


@pytest.fixture(params=[on_a_data_channel, on_the_json_socket])
def read(request: pytest.FixtureRequest) -> Parse:
    parse: Parse = request.param
    return parse


@pytest.mark.parametrize("action", list(GuideAction))
def test_a_plan_is_moved(read: Parse, action: GuideAction) -> None:
    assert read({"action": "guide_command", "command": action.value}) == GuideCommand(action)


def test_a_guide_is_started(read: Parse) -> None:
    assert read({"action": "start_guide", "guide": "save-as-pdf"}) == StartGuide("save-as-pdf")


@pytest.mark.parametrize(
    ("message", "accepted"),
    [
        ({"action": "guide_command"}, "guide_command takes `command`: next, done, back"),
        ({"action": "guide_command", "command": "jump"}, "guide_command takes `command`: next, done, back"),
        ({"action": "guide_command", "command": 1}, "guide_command takes `command`: next, done, back"),
        ({"action": "start_guide"}, "start_guide takes `guide`: a guide's id"),
        ({"action": "start_guide", "guide": "../secret"}, "start_guide takes `guide`: a guide's id"),
    ],
)
def test_a_wrong_one_is_refused_with_what_is_accepted(read: Parse, message: dict[str, object], accepted: str) -> None:
    with pytest.raises(ProtocolError, match=accepted) as refused:
        read(message)
    assert refused.value.code is FaultCode.INVALID_MESSAGE


def test_a_session_starts_with_a_guide_on_the_json_socket() -> None:
    started = on_the_json_socket({"action": "start_session", "config": {"guide": "demo-page"}})
    assert isinstance(started, StartSession)
    assert started.options.guide == "demo-page"


def test_a_session_starts_with_a_guide_over_whip() -> None:
    assert parse_options({"guide": "demo-page"}).guide == "demo-page"
    with pytest.raises(HttpError, match="`guide` takes a guide's id"):
        parse_options({"guide": "Demo Page"})


@pytest.mark.parametrize(
    ("claims", "guide"),
    [
        ({"attributes": {"guide": "demo-page"}}, "demo-page"),
        ({"metadata": '{"guide": "demo-page", "other": 1}'}, "demo-page"),
        ({"metadata": '{"guide": "one"}', "attributes": {"guide": "two"}}, "two"),
        ({"metadata": "{"}, None),
        ({"metadata": '{"guide": 1}'}, None),
        ({"metadata": '{"guide": "Demo Page"}'}, None),
    ],
)
def test_a_session_starts_with_a_guide_over_livekit(claims: dict[str, object], guide: str | None) -> None:
    grant = AccessTokenClaims("ada", "u-ada", "key", 0.0, **claims)  # type: ignore[arg-type]
    assert session_options("room", grant, Join(is_dual=True, client=ClientInfo())).guide == guide
