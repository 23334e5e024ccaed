import base64
import gzip
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol.models import ClientInfo
from livekit.protocol.rtc import (
    AddTrackRequest,
    ConnectionSettings,
    JoinRequest,
    SessionDescription,
    SyncState,
    WrappedJoinRequest,
)

from mediaserver.livekit.protocol.join_request import MAX_UNPACKED, Join, JoinError, parse_join

NONE, GZIP = 0, 1
REQUEST = JoinRequest(
    client_info=ClientInfo(sdk="JS", protocol=17, client_protocol=2),
    connection_settings=ConnectionSettings(auto_subscribe=False),
    metadata="m",
    participant_attributes={"a": "b"},
    publisher_offer=SessionDescription(type="offer", sdp="v=0" * 5000, id=1),
    add_track_requests=[AddTrackRequest(cid="c")],
)


def wrapped(request: JoinRequest = REQUEST, compression: int = GZIP, data: bytes | None = None) -> str:
    packed = request.SerializeToString()
    packed = gzip.compress(packed, mtime=0) if compression == GZIP else packed
    message = WrappedJoinRequest(join_request=packed if data is None else data)
    message.compression = compression  # type: ignore[assignment] # an unknown one is what is tried
    return base64.urlsafe_b64encode(message.SerializeToString()).decode()


def parse(text: str) -> Join:
    return parse_join({"join_request": text}, is_dual=False)


@pytest.mark.parametrize("compression", [NONE, GZIP])
def test_a_join_request_is_read_packed_or_not(compression: int) -> None:
    join = parse(wrapped(compression=compression))

    assert not join.is_dual
    assert (join.client.sdk, join.client.client_protocol) == (ClientInfo.JS, 2)
    assert not join.auto_subscribe
    assert (join.metadata, dict(join.attributes)) == ("m", {"a": "b"})
    assert join.offer is not None
    assert join.offer.id == 1
    assert [track.cid for track in join.add_tracks] == ["c"]
    assert not join.is_reconnect


def test_padding_and_alphabet_do_not_matter() -> None:
    text = wrapped()

    assert parse(text.rstrip("=")) == parse(text)
    assert parse(text.replace("-", "+").replace("_", "/")) == parse(text)
    assert parse(text.replace("-", " ").replace("_", "/")) == parse(text)  # a plus that was not escaped


def test_a_client_that_comes_back_says_who_it_was() -> None:
    state = SyncState(track_sids_disabled=["TR_1"])
    join = parse(wrapped(JoinRequest(reconnect=True, participant_sid="PA_1", sync_state=state)))

    assert (join.is_reconnect, join.participant_sid, join.offer, join.sync_state) == (True, "PA_1", None, state)


def test_without_settings_everything_is_subscribed() -> None:
    assert parse(wrapped(JoinRequest())).auto_subscribe


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "missing"),
        ("!", "base64url"),
        ("A" * 70_000, "longer"),
        (base64.b64encode(b"\xff\xff").decode(), "base64url"),
        (wrapped(data=b"no gzip"), "base64url"),
        (wrapped(data=gzip.compress(b"\xff\xff", mtime=0)), "base64url"),
        (wrapped(data=gzip.compress(bytes(MAX_UNPACKED + 1), mtime=0)), "unpacks"),
        (wrapped(data=gzip.compress(REQUEST.SerializeToString(), mtime=0)[:-9]), "cut off"),
        (wrapped(compression=7), "compression"),
        (wrapped(JoinRequest(add_track_requests=[AddTrackRequest()] * 33)), "add_track"),
    ],
)
def test_a_malformed_join_request_is_refused_with_the_reason(text: str, expected: str) -> None:
    with pytest.raises(JoinError, match=expected):
        parse(text)


def test_parameters_are_read_and_unknown_ones_ignored() -> None:
    query = {"sdk": "python", "protocol": "15", "client_protocol": "1", "auto_subscribe": "0", "os": "x", "new": "y"}
    join = parse_join(query, is_dual=True)

    assert join.is_dual
    assert (join.client.sdk, join.client.protocol, join.client.client_protocol) == (ClientInfo.PYTHON, 15, 1)
    assert not join.auto_subscribe


def test_absent_parameters_have_livekits_defaults() -> None:
    join = parse_join({}, is_dual=True)

    assert (join.auto_subscribe, join.is_reconnect, join.client.sdk) == (True, False, ClientInfo.UNKNOWN)


def test_parameters_say_who_comes_back() -> None:
    join = parse_join({"reconnect": "1", "sid": "PA_1"}, is_dual=True)

    assert (join.is_reconnect, join.participant_sid) == (True, "PA_1")


@pytest.mark.parametrize("query", [{"auto_subscribe": "perhaps"}, {"protocol": "-1"}, {"reconnect": "no"}])
def test_malformed_parameters_are_refused(query: dict[str, str]) -> None:
    with pytest.raises(JoinError, match=r"takes|number"):
        parse_join(query, is_dual=True)


@given(st.text() | st.binary().map(lambda data: base64.urlsafe_b64encode(data).decode()))
def test_any_join_request_is_read_or_refused(text: str) -> None:
    with suppress(JoinError):
        assert isinstance(parse(text), Join)


@given(st.binary(), st.sampled_from([0, 1, 2]))
def test_any_wrapped_request_is_read_or_refused(data: bytes, compression: int) -> None:
    with suppress(JoinError):
        assert isinstance(parse(wrapped(compression=compression, data=data)), Join)


@given(
    st.dictionaries(
        st.sampled_from(["sdk", "protocol", "client_protocol", "auto_subscribe", "reconnect", "sid", "os"]), st.text()
    )
)
def test_any_parameters_are_read_or_refused(query: dict[str, str]) -> None:
    with suppress(JoinError):
        assert isinstance(parse_join(query, is_dual=True), Join)


def test_a_join_request_unpacks_to_its_limit_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []

    class Unpacker:
        def __init__(self, wbits: int):
            self._real = real(wbits)

        def decompress(self, data: bytes, limit: int) -> bytes:
            unpacked = self._real.decompress(data, limit)
            lengths.append(len(unpacked))
            return unpacked

        @property
        def eof(self) -> bool:
            return self._real.eof

    real = zlib.decompressobj
    monkeypatch.setattr("mediaserver.livekit.protocol.join_request.zlib.decompressobj", Unpacker)
    with pytest.raises(JoinError, match="unpacks"):
        parse(wrapped(data=gzip.compress(bytes(16 << 20), mtime=0)))
    assert lengths == [MAX_UNPACKED]
