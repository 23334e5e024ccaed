import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol.models import TrackSource, TrackType, VideoLayer
from livekit.protocol.rtc import AddTrackRequest, SimulcastCodec

from mediaserver.livekit.media.types import OfferedSection
from mediaserver.livekit.room.publications import MAX_TRACKS, Publications, TooMany


@pytest.fixture
def publications() -> Publications:
    numbers = itertools.count(1)
    return Publications(lambda prefix: f"{prefix}{next(numbers)}")


def audio(cid: str = "a") -> AddTrackRequest:
    return AddTrackRequest(cid=cid, type=TrackType.AUDIO, source=TrackSource.MICROPHONE, name="mic")


def video(cid: str = "v", *codecs: str) -> AddTrackRequest:
    return AddTrackRequest(
        cid=cid,
        type=TrackType.VIDEO,
        source=TrackSource.SCREEN_SHARE,
        width=1920,
        height=1080,
        layers=[VideoLayer(quality="MEDIUM"), VideoLayer(quality="HIGH")],
        simulcast_codecs=[SimulcastCodec(codec=codec, cid=cid) for codec in codecs],
    )


def section(
    mid: str, cid: str | None, kind: str = "audio", *, sends: bool = True, refused: bool = False
) -> OfferedSection:
    return OfferedSection(mid, kind, sends, receives=False, cid=cid, is_refused=refused)


def test_a_track_is_carried_by_the_section_that_names_it(publications: Publications) -> None:
    mic, _ = publications.add(audio())
    screen, _ = publications.add(video())

    matched = publications.match([section("0", "v", "video"), section("1", "a"), section("2", None, "application")])

    assert set(matched.begun) == {mic, screen}
    assert (mic.mid, screen.mid) == ("1", "0")
    assert publications.carried_by("1") is mic


def test_an_offer_may_come_before_what_it_carries_is_announced(publications: Publications) -> None:
    publications.match([section("1", "a")])

    mic, is_new = publications.add(audio())

    assert is_new
    assert mic.mid == "1"


def test_a_track_ends_when_its_section_sends_no_more(publications: Publications) -> None:
    mic, _ = publications.add(audio())
    publications.match([section("1", "a")])

    matched = publications.match([section("1", "a", sends=False)])

    assert matched.ended == (mic,)
    assert publications.tracks == {}


def test_a_track_that_waits_for_its_section_does_not_end(publications: Publications) -> None:
    publications.add(audio())

    assert publications.match([section("1", "b", "video")]).ended == ()
    assert len(publications.tracks) == 1


def test_a_track_published_again_gets_the_new_section(publications: Publications) -> None:
    first, _ = publications.add(audio())
    publications.match([section("1", "a")])
    second, is_new = publications.add(audio())

    matched = publications.match([section("1", "a", sends=False), section("7", "a")])

    assert is_new
    assert (matched.ended, matched.begun) == ((first,), (second,))
    assert second.mid == "7"


def test_an_offer_that_changes_nothing_begins_and_ends_nothing(publications: Publications) -> None:
    publications.add(audio())
    publications.match([section("1", "a")])

    matched = publications.match([section("1", "a")])

    assert (matched.begun, matched.ended) == ((), ())


def test_braces_around_a_name_do_not_matter(publications: Publications) -> None:
    mic, _ = publications.add(audio("{a}"))

    publications.match([section("1", "a")])

    assert mic.mid == "1"


def test_a_second_codec_of_a_track_is_no_second_track(publications: Publications) -> None:
    screen, _ = publications.add(video())
    again = video("v2")
    again.sid = screen.sid

    assert publications.add(again) == (screen, False)
    publications.match([section("3", "v2", "video")])
    assert screen.mid == "3"


def test_the_same_announcement_twice_is_one_track(publications: Publications) -> None:
    first, _ = publications.add(audio())

    assert publications.add(audio()) == (first, False)


def test_a_section_that_names_nothing_known_carries_what_waits_for_one_of_its_kind(publications: Publications) -> None:
    mic, _ = publications.add(audio("a"))

    matched = publications.match([section("1", "other"), section("2", "third", "video")])

    assert matched.begun == (mic,)
    assert mic.is_guess


def test_a_guess_gives_way_to_the_name(publications: Publications) -> None:
    early, _ = publications.add(audio("a"))
    publications.match([section("1", "b")])

    late, _ = publications.add(audio("b"))
    assert (early.mid, late.mid) == (None, "1")

    publications.match([section("1", "b"), section("2", "a")])
    assert early.mid == "2"


def test_a_guess_moves_to_the_section_that_names_it(publications: Publications) -> None:
    mic, _ = publications.add(audio("a"))
    publications.match([section("1", "b")])

    matched = publications.match([section("1", "b"), section("2", "a")])

    assert matched.begun == (mic,)
    assert (mic.mid, mic.is_guess) == ("2", False)


def test_a_track_whose_section_shares_no_codec_is_refused(publications: Publications) -> None:
    screen, _ = publications.add(video())

    matched = publications.match([section("1", "v", "video", refused=True)])

    assert (matched.refused, matched.begun) == ((screen,), ())


def test_no_more_tracks_than_may_be(publications: Publications) -> None:
    for number in range(MAX_TRACKS):
        publications.add(audio(str(number)))

    with pytest.raises(TooMany):
        publications.add(audio("more"))
    assert len(publications.tracks) == MAX_TRACKS


@pytest.mark.parametrize(
    ("codecs", "chosen"),
    [((), "video/VP8"), (("vp9", "h264"), "video/H264"), (("av1",), "video/VP8"), (("video/VP8",), "video/VP8")],
)
def test_a_video_is_told_the_codec_that_is_taken(
    publications: Publications, codecs: tuple[str, ...], chosen: str
) -> None:
    screen, _ = publications.add(video("v", *codecs))

    assert screen.info.mime_type == screen.info.codecs[0].mime_type == chosen
    assert (screen.info.width, screen.info.height, screen.info.codecs[0].cid) == (1920, 1080, "v")


SECTIONS = st.lists(
    st.builds(
        section,
        st.sampled_from("0123"),
        st.sampled_from(["a", "b", "c", None]),
        st.sampled_from(["audio", "video"]),
        sends=st.booleans(),
    ),
    unique_by=lambda each: each.mid,
)
STEPS = st.lists(st.one_of(st.sampled_from("abc").map(audio), st.sampled_from("abc").map(video), SECTIONS))


@given(STEPS)
def test_no_section_ever_carries_two_tracks(steps: list[AddTrackRequest | list[OfferedSection]]) -> None:
    numbers = itertools.count()
    publications = Publications(lambda prefix: f"{prefix}{next(numbers)}")
    for step in steps:
        if isinstance(step, AddTrackRequest):
            publications.add(step)
        else:
            publications.match(step)
        mids = [track.mid for track in publications.tracks.values() if track.mid is not None]
        assert len(mids) == len(set(mids))
