from mediaserver.livekit.protocol.reliable_sequence import MAX_KEPT, ReceiveSequence, SendSequence


def test_a_packet_is_taken_once() -> None:
    inflow = ReceiveSequence()

    assert [inflow.admit(number) for number in (1, 2, 2, 1, 5, 4)] == [True, True, False, False, True, False]
    assert inflow.last == 5


def test_a_packet_without_a_number_is_always_taken() -> None:
    inflow = ReceiveSequence()

    assert inflow.admit(0)
    assert inflow.admit(0)


def test_what_was_missed_is_sent_again_in_order_for_each_publisher() -> None:
    outflow = SendSequence()
    outflow.keep("PA_1", outflow.next(), b"a1", now=1.0)
    outflow.keep("PA_2", 1, b"b1", now=1.0)
    outflow.keep("PA_1", outflow.next(), b"a2", now=2.0)
    outflow.keep("PA_1", 0, b"unnumbered", now=2.0)

    assert list(outflow.missed({"PA_1": 1}, now=3.0)) == [b"b1", b"a2"]
    assert list(outflow.missed({"PA_1": 2, "PA_2": 1}, now=3.0)) == []


def test_only_the_newest_are_kept() -> None:
    outflow = SendSequence(max_kept_bytes=20)
    for _ in range(9):
        outflow.keep("PA_1", outflow.next(), bytes(8), now=1.0)

    assert len(list(outflow.missed({}, now=1.0))) == 2


def test_what_a_client_has_forgotten_that_it_had_is_not_sent_again() -> None:
    outflow = SendSequence()
    outflow.keep("PA_1", outflow.next(), b"old", now=0.0)
    outflow.keep("PA_1", outflow.next(), b"new", now=20.0)

    # Of whom it has heard nothing for half a minute, it names no number any more.
    assert list(outflow.missed({}, now=MAX_KEPT + 1.0)) == [b"new"]
    assert list(outflow.missed({}, now=MAX_KEPT + 21.0)) == []
