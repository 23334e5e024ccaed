"""Where decoding can begin in H.264, and which parameter sets belong to it."""

from hypothesis import given
from hypothesis import strategies as st

from mediaserver.rtc.h264_units import ParameterSets, is_entry, is_idr
from tests.support.h264_video import encode, units, without_parameter_sets

CODE = b"\x00\x00\x00\x01"


def test_key_frames_and_recovery_points_are_entries_and_other_frames_are_none() -> None:
    keyed = [bytes(packet) for packet in encode(12, keyint=5, scenecut=0)]
    assert [is_entry(data) for data in keyed] == [at % 5 == 0 for at in range(12)]
    assert [is_idr(data) for data in keyed] == [at % 5 == 0 for at in range(12)]
    refreshed = [bytes(without_parameter_sets(packet)) for packet in encode(60, keyint=20, intra_refresh=1)]
    assert sum(map(is_entry, refreshed)) >= 3
    assert sum(map(is_idr, refreshed)) == 1


def test_parameter_sets_are_put_where_they_are_missing_and_nowhere_else() -> None:
    packets = encode(11, keyint=5, scenecut=0)
    bare = [bytes(without_parameter_sets(packet)) for packet in packets]
    sets = ParameterSets()
    assert sets.complete(bare[0]) == bare[0], "none are known"
    assert sets.complete(bytes(packets[5])) == bytes(packets[5])
    assert sets.complete(bare[6]) == bare[6]
    completed = sets.complete(bare[10])
    assert completed == b"".join(CODE + unit for unit in units(packets[5]) if unit[0] & 31 in (7, 8)) + bare[10]
    assert ParameterSets(b"sets").complete(bare[0]) == b"sets" + bare[0]


@given(
    st.binary(max_size=60)
    | st.lists(st.sampled_from([b"\x00\x00\x01", b"\x06", b"\x06\xff", b"\x67", b""])).map(b"".join)
)
def test_no_bytes_raise(data: bytes) -> None:
    assert isinstance(is_entry(data), bool)
    assert ParameterSets().complete(data) == data
