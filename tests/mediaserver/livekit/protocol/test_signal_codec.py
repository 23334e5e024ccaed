import json
from contextlib import suppress

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol.rtc import Pong, SignalRequest, SignalResponse

from mediaserver.livekit.protocol.signal_codec import MAX_SEPARATORS, parse_request, render_response
from pipeline.errors import ProtocolError


def test_a_binary_frame_is_one_request() -> None:
    request = SignalRequest(ping=5)

    assert parse_request(request.SerializeToString()) == request


def test_a_text_frame_is_one_request_in_json() -> None:
    assert parse_request('{"addTrack": {"cid": "c", "type": "VIDEO"}, "newField": 1}').add_track.cid == "c"


def test_a_request_of_a_kind_not_known_yet_has_no_field_set() -> None:
    assert parse_request(b"\xca\x3e\x00").WhichOneof("message") is None
    assert parse_request(b"").WhichOneof("message") is None


@pytest.mark.parametrize("frame", ["", "[]", "1", '{"ping": "x"}', '{"offer": 3}', "[" * 5000])
def test_a_malformed_text_frame_is_refused(frame: str) -> None:
    with pytest.raises(ProtocolError, match="SignalRequest"):
        parse_request(frame)


def test_a_wide_text_frame_is_refused_before_it_becomes_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_format, "ParseDict", None)  # calling it would be a TypeError
    with pytest.raises(ProtocolError, match=f"more than {MAX_SEPARATORS}"):
        parse_request('{"syncState": {"publishTracks": [' + "{}," * 100_000 + "{}]}}")


def test_metadata_may_hold_json_of_any_width() -> None:
    metadata = json.dumps([0] * 20_000)
    frame = json.dumps({"updateMetadata": {"metadata": metadata}})

    assert parse_request(frame).update_metadata.metadata == metadata


def test_a_malformed_binary_frame_is_refused() -> None:
    with pytest.raises(ProtocolError, match="SignalRequest"):
        parse_request(b"\x0a\xff")


def test_a_response_is_rendered_in_the_kind_that_is_asked_for() -> None:
    response = SignalResponse(pong_resp=Pong(last_ping_timestamp=3, timestamp=4))

    assert render_response(response, is_text=False) == response.SerializeToString()
    text = render_response(response, is_text=True)
    assert json.loads(text) == {"pongResp": {"lastPingTimestamp": "3", "timestamp": "4"}}
    assert json_format.Parse(text, SignalResponse()) == response


FIELDS = [field.json_name for field in SignalRequest.DESCRIPTOR.fields]
INNER = [
    "sdp",
    "id",
    "cid",
    "sid",
    "muted",
    "type",
    "source",
    "layers",
    "reason",
    "midToTrackId",
    "attributes",
    "timestamp",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(INNER) | st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.binary())
def test_any_binary_frame_is_read_or_refused(data: bytes) -> None:
    with suppress(ProtocolError):
        assert isinstance(parse_request(data), SignalRequest)


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=2).map(json.dumps) | st.text())
def test_any_text_frame_is_read_or_refused(text: str) -> None:
    with suppress(ProtocolError):
        assert isinstance(parse_request(text).SerializeToString(), bytes)
