"""Runs as a Markdown table, ready for docs/bench.md."""

from collections.abc import Sequence

from bench.reference_costs import CAPTION, FIGURES, PEERS

Value = str | int | float | bool | None | dict[str, int]
Figures = dict[str, Value]
"""One run: names end in their units."""

DISTURBED = 0.15
"""Cores used by others from which a run says little about the server."""

MARKS = ("<!-- bench -->", "<!-- /bench -->")

_ROWS = (
    ("CPU of the server, s per session-minute", "server_cpu_s_per_session_minute"),
    ("added by the shared screen", "screen_added_cpu_s_per_session_minute"),
    ("CPU of the engine, s per session-minute", "engine_cpu_s_per_session_minute"),
    ("CPU of the load client, cores per session", "load_cores_per_session"),
    ("memory of the empty server, MB", "server_rss_mb_empty"),
    ("memory per session, MB", "server_rss_mb_per_session"),
    ("added by the shared screen, MB", "screen_added_rss_mb_per_session"),
    ("threads per session", "server_threads_per_session"),
    ("POST to connected, ms, p50 / p95", "post_to_connected_ms"),
    ("POST to first RTP, ms, p50 / p95", "post_to_first_rtp_ms"),
    ("audio continuity, %", "continuity_percent"),
    ("largest gap, ms", "largest_gap_ms"),
    ("end of speech to reply, ms, p50 / p95", "speech_end_to_reply_ms"),
    ("less `VAD_SILENCE_MS`", "speech_end_to_reply_ms_beyond_vad"),
    ("start of speech to silence, ms, p50 / p95", "speech_start_to_silence_ms"),
    ("less `VAD_START_MS`", "speech_start_to_silence_ms_beyond_vad"),
    ("event loop lag, ms, p50 / p99, at most", "loop_lag_ms"),
    ("lateness of the load client itself, ms, p99 / most", "late"),
    ("cores that something else used meanwhile", "other_cores"),
    ("replies, barge-ins, connects", "counts"),
    ("turns that went wrong, sessions that failed", "wrong"),
)

_EXPLAINED = (
    "The client measures latencies. End of speech to reply: from sending the last packet of speech to receiving the "
    "first loud packet of the reply. Start of speech to silence: from sending the first packet of speech to the end "
    "of the last loud packet. Continuity: the share of a reply's 20 ms frames that were there when due, 60 ms after "
    "the first one. Memory: resident; per session, compared with the server after one conversation. Loop lag: the "
    "upper bound of a histogram's bucket. A dash: there was nothing to measure (no RTP comes before the first reply). "
    "If the load client was late or something else used the machine, a gap may not be the server's fault."
)


def table(runs: Sequence[Figures], *, command: str) -> str:
    """One column per run, and the anchors; captioned with date, machine, command and conditions."""
    if not runs:
        return ""
    first = runs[0]
    heads = ["", *map(_head, runs), *PEERS]
    lines = [_row(heads), _row(["---"] * len(heads))]
    for title, name in _ROWS:
        cells = [_cell(run, name) for run in runs]
        if any(cell not in ("", "-") for cell in cells) or name in first or f"{name}_p50" in first:
            lines.append(_row([title, *cells, *FIGURES.get(name, ("", "", ""))]))
    return "\n".join([_conditions(first, command), "", *lines, "", _EXPLAINED, "", CAPTION, *_complaints(runs)]) + "\n"


def replaced(document: str, text: str) -> str:
    """The document with `text` between its marks; raises ValueError if it has none."""
    head, found, rest = document.partition(MARKS[0])
    _, end, tail = rest.partition(MARKS[1])
    if not found or not end:
        raise ValueError(f"There is no {MARKS[0]} ... {MARKS[1]} to put the table in.")
    return f"{head}{MARKS[0]}\n{text}{MARKS[1]}{tail}"


def _head(run: Figures) -> str:
    return f"{run['sessions']}{' + screens' if run['screen'] else ''}"


def _conditions(run: Figures, command: str) -> str:
    pinned = (
        "the server alone on one core, the engine and the load client on another" if run["pinned"] else "not pinned"
    )
    return (
        f"`{command}`, {run['date']}, {run['machine']}, Python {run['python']}; {pinned}; windows of "
        f"{run['window_seconds']:g} s, replies of {run['reply_seconds']:g} s, "
        f"`VAD_SILENCE_MS` {run['vad_silence_ms']}, `VAD_START_MS` {run['vad_start_ms']}. Columns: sessions at once."
    )


def _cell(run: Figures, name: str) -> str:
    match name:
        case "counts":
            return f"{run['replies']}, {run['barge_ins']}, {run['connects']}"
        case "wrong":
            troubles = run["troubles"]
            assert isinstance(troubles, dict)
            return f"{sum(troubles.values())}, {run['failed_sessions']}"
        case "late":
            return _pair(run["load_late_ms_p99"], run["load_late_ms_max"])
        case "loop_lag_ms":
            return _pair(run["loop_lag_ms_p50_at_most"], run["loop_lag_ms_p99_at_most"])
    if f"{name}_p50" in run:
        return _pair(run[f"{name}_p50"], run[f"{name}_p95"])
    return _text(run[name]) if name in run else ""


def _pair(first: Value, second: Value) -> str:
    return "-" if first is None else f"{_text(first, whole=True)} / {_text(second, whole=True)}"


def _text(value: Value, *, whole: bool = False) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if whole and value >= 10 else f"{value:g}"
    return str(value)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _complaints(runs: Sequence[Figures]) -> list[str]:
    """What went wrong, by run, in words."""
    lines = []
    for run in runs:
        for name in ("troubles", "failures"):
            wrong = run[name]
            assert isinstance(wrong, dict)
            lines += [f"- {_head(run)}: {count} x {why}" for why, count in wrong.items()]
        other = run["other_cores"]
        if isinstance(other, float) and other >= DISTURBED:
            lines.append(f"- {_head(run)}: not a quiet machine, others used {other:g} cores; measure again")
    return ["", *lines] if lines else []
