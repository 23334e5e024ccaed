"""What other servers cost: constants, for orientation. Nothing here is measured by this bench."""

from collections.abc import Mapping

PEERS = ("aiortc 1.16, bare", "pipecat 1.14", "fastrtc 0.0.34")

CAPTION = (
    "The last three columns were not measured in this run. They are constants from an earlier measurement on the same "
    "kind of machine (2 vCPU AMD EPYC), with another load client and another conversation. Each of those servers ran "
    "on one core with the same VAD model and answered with a tone of its own; none had an engine behind it, as this "
    "server has. They had 6 sessions, or the number in brackets. Silence ended a turn after 200 ms (fastrtc: 600 ms). "
    "Compare orders of magnitude only."
)

FIGURES: Mapping[str, tuple[str, str, str]] = {
    "server_cpu_s_per_session_minute": ("6.7 (1), 3.3 (8)", "11.9 (1), 5.6 (8)", "a whole core, always"),
    "server_rss_mb_empty": ("130", "135", "379"),
    "server_rss_mb_per_session": ("0.6", "10", "3.7"),
    "server_threads_per_session": ("1, 6 shared", "2, 6 shared", "1 to 2"),
    "post_to_connected_ms": ("34", "86", "136"),
    "continuity_percent": ("100", "100", "100"),
    "speech_end_to_reply_ms_beyond_vad": ("186 / 217", "186 / 211", "234 / 530"),
    "speech_start_to_silence_ms_beyond_vad": ("155 / 166", "587 / 588", "does not cut"),
    "screen_added_cpu_s_per_session_minute": ("1.8 to 2.1 (3)", "1.7 to 2.0 (3)", ""),
    "screen_added_rss_mb_per_session": ("12 (3)", "21 (3)", ""),
}
"""By the name of the figure, p50 / p95 where there are two."""
