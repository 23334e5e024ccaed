"""The table shows measured values and failures."""

import json
from dataclasses import asdict

import pytest

from bench.load import Result, summarize
from bench.playback_gaps import Arrival
from bench.reference_costs import CAPTION, FIGURES
from bench.report import MARKS, Figures, replaced, table
from bench.run import parse_result
from bench.scenario import Turn, TurnFailure

RUN: Figures = {
    "date": "2031-02-03 04:05 UTC",
    "machine": "2 x Test, Linux 9",
    "python": "3.11.7",
    "sessions": 8,
    "screen": False,
    "pinned": True,
    "window_seconds": 60.0,
    "reply_seconds": 2.0,
    "vad_silence_ms": 500,
    "vad_start_ms": 192,
    "server_cpu_s_per_session_minute": 1.871,
    "post_to_first_rtp_ms_p50": None,
    "post_to_first_rtp_ms_p95": None,
    "post_to_connected_ms_p50": 35.2,
    "post_to_connected_ms_p95": 4.71,
    "speech_end_to_reply_ms_beyond_vad_p50": 150.2,
    "speech_end_to_reply_ms_beyond_vad_p95": 164.5,
    "loop_lag_ms_p50_at_most": 1.0,
    "loop_lag_ms_p99_at_most": 5.0,
    "load_late_ms_p99": 3.9,
    "load_late_ms_max": 12.0,
    "other_cores": 0.02,
    "replies": 48,
    "barge_ins": 24,
    "connects": 28,
    "failed_sessions": 0,
    "failures": {},
    "troubles": {},
}


def rows(text: str) -> dict[str, list[str]]:
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in cells}


def test_every_run_is_a_column_beside_the_anchors() -> None:
    text = table([RUN, RUN | {"sessions": 20, "screen": True}], command="make bench")
    assert rows(text)[""] == ["8", "20 + screens", "aiortc 1.16, bare", "pipecat 1.14", "fastrtc 0.0.34"]
    assert rows(text)["CPU of the server, s per session-minute"][:2] == ["1.871", "1.871"]
    assert rows(text)["less `VAD_SILENCE_MS`"] == ["150 / 164", "150 / 164", "186 / 217", "186 / 211", "234 / 530"]
    assert len({len(row) for row in rows(text).values()}) == 1


def test_date_machine_command_and_the_anchors_source_are_told() -> None:
    text = table([RUN], command="make bench BENCH=x")
    for phrase in ("`make bench BENCH=x`, 2031-02-03 04:05 UTC, 2 x Test, Linux 9, Python 3.11.7", CAPTION):
        assert phrase in text


def test_what_was_not_measured_is_a_dash_and_what_was_not_tried_is_left_out() -> None:
    text = table([RUN], command="make bench")
    assert rows(text)["POST to first RTP, ms, p50 / p95"][0] == "-"
    assert "added by the shared screen" not in text


def test_small_numbers_keep_their_digits() -> None:
    assert rows(table([RUN], command="x"))["POST to connected, ms, p50 / p95"][0] == "35 / 4.71"


def test_failures_are_told_in_words() -> None:
    wrong: Figures = RUN | {"troubles": {"no reply": 2}, "failures": {"HTTP 503 for an offer": 1}, "failed_sessions": 1}
    text = table([wrong], command="make bench")
    assert rows(text)["turns that went wrong, sessions that failed"][0] == "2, 1"
    assert "- 8: 2 x no reply\n- 8: 1 x HTTP 503 for an offer" in text


def test_a_machine_that_was_not_quiet_is_told() -> None:
    assert "quiet" not in table([RUN], command="x")
    assert "- 8: not a quiet machine, others used 1.5 cores" in table([RUN | {"other_cores": 1.5}], command="x")


def test_no_runs_make_no_table() -> None:
    assert table([], command="make bench") == ""


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_an_anchor_has_a_figure_to_stand_beside(name: str) -> None:
    text = table([RUN | {name: 1.0, f"{name}_p50": 1.0, f"{name}_p95": 2.0}], command="make bench")
    assert [list(FIGURES[name])] == [row[1:] for row in rows(text).values() if row[1:] == list(FIGURES[name])][:1]


def test_what_the_load_client_tells_is_read_as_it_was() -> None:
    whole, cut = (
        Turn(0.0, is_barge_in=False, speech_end=1.0),
        Turn(4.0, is_barge_in=True, speech_end=5.0, silent_at=4.25),
    )
    whole.first_loud, whole.ended_at = 1.5, 4.0
    whole.arrivals = [Arrival(slot, 1.5 + slot * 0.02, True) for slot in range(90)]
    cut.failure = TurnFailure.NO_REPLY
    window = summarize([whole, cut], alive=8, reply=2.0, lateness=[0.001, 0.002])
    assert (window.replies, window.cuts, window.troubles) == ([0.5], [0.25], {"no reply": 1})
    assert (window.frames_due, window.frames_heard, round(window.largest_gap, 3)) == (100, 90, 0.2)
    assert (window.late_p99, window.late_max) == (0.002, 0.002)
    result = Result([window], [0.03], [0.01], [], {"HTTP 503 for an offer": 1})
    assert parse_result(json.dumps({"phase": "result", "result": asdict(result)})) == result


def test_a_document_gets_the_newest_table_between_its_marks() -> None:
    document = f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n"
    assert replaced(document, "new\n") == f"before\n{MARKS[0]}\nnew\n{MARKS[1]}\nafter\n"


@pytest.mark.parametrize("document", ["", MARKS[0], MARKS[1]])
def test_a_document_without_marks_is_left_alone(document: str) -> None:
    with pytest.raises(ValueError, match="bench"):
        replaced(document, "new")
