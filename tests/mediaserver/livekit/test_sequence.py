from mediaserver.livekit.sequence import Inflow, Outflow


def test_a_packet_is_taken_once() -> None:
    inflow = Inflow()

    assert [inflow.admit(number) for number in (1, 2, 2, 1, 5, 4)] == [True, True, False, False, True, False]
    assert inflow.last == 5


def test_a_packet_without_a_number_is_always_taken() -> None:
    inflow = Inflow()

    assert inflow.admit(0)
    assert inflow.admit(0)


def test_what_was_missed_is_sent_again_in_order_for_each_publisher() -> None:
    outflow = Outflow()
    outflow.keep("PA_1", outflow.next(), b"a1")
    outflow.keep("PA_2", 1, b"b1")
    outflow.keep("PA_1", outflow.next(), b"a2")
    outflow.keep("PA_1", 0, b"unnumbered")

    assert list(outflow.missed({"PA_1": 1})) == [b"b1", b"a2"]
    assert list(outflow.missed({"PA_1": 2, "PA_2": 1})) == []


def test_only_the_newest_are_kept() -> None:
    outflow = Outflow(max_kept_bytes=20)
    for _ in range(9):
        outflow.keep("PA_1", outflow.next(), bytes(8))

    assert len(list(outflow.missed({}))) == 2
