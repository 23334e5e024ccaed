"""`python -m bench.turns`: how often each way to end a turn cuts a speaker off, and how long it makes one wait.

The protocol is that of eot-bench: a turn with a pause inside must not end in the pause, and is to end soon after its
last word. Turns are fed window by window as a server would hear them; a verdict of the model comes as late as it took.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.process import machine
from bench.turn_fixture import Turn, recorded_turns, synthetic_turns
from pipeline.audio.pause_rule import Pause
from pipeline.audio.smart_turn import finished_probability, load
from pipeline.audio.turn_detector import TurnDetector
from pipeline.audio.vad import SileroVad, VadModel, Window
from pipeline.config import TurnModel, TurnSettings
from pipeline.events import SpeechEnded
from pipeline.media import INPUT_SAMPLE_RATE, AudioChunk

MODES = (
    ("smart-turn (default)", TurnSettings(model=TurnModel.SMART_TURN)),
    ("silence, 300 ms", TurnSettings(silence=0.3)),
    ("silence, 500 ms", TurnSettings(silence=0.5)),
    ("silence, 600 ms", TurnSettings(silence=0.6)),
    ("silence, 800 ms", TurnSettings(silence=0.8)),
)

Judge = Callable[[bytes], tuple[float, float]]
"""Returns the probability that the speaker is finished, and the seconds that it took to say so."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one mode on one turn: pauses, those that ended it, and seconds from the last word to its end."""

    pauses: int
    cut_offs: int
    wait: float


def windows_of(turn: Turn, vad: VadModel) -> list[Window]:
    """Return the turn's windows with their speech probabilities, which are the same for all modes."""
    return list(SileroVad(vad).push(AudioChunk(turn.samples.tobytes(), INPUT_SAMPLE_RATE, 0.0)))


def run_turn(turn: Turn, windows: Sequence[Window], settings: TurnSettings, judge: Judge) -> Outcome:
    """Feed a turn to a detector, and compare the ends of utterances with the truth."""
    detector = TurnDetector(settings)
    verdicts: list[tuple[float, Pause, float]] = []
    ends: list[float] = []
    for window in windows:
        for due, pause, probability in verdicts:
            if due <= window.end:
                detector.take_verdict(pause, probability)
        verdicts = [verdict for verdict in verdicts if verdict[0] > window.end]
        for signal in detector.push(window, audible=False):
            if isinstance(signal, Pause):
                probability, seconds = judge(signal.pcm)
                verdicts.append((window.end + seconds, signal, probability))
            elif isinstance(signal, SpeechEnded):
                ends.append(window.end)
    cut_offs = sum(any(begin <= end <= resumed for end in ends) for begin, resumed in turn.pauses)
    return Outcome(len(turn.pauses), cut_offs, ends[-1] - turn.end if ends else math.inf)


def judge_by_model(pcm: bytes) -> tuple[float, float]:
    """Ask Smart Turn in this process; its CPU time counts, so that other work on the machine does not."""
    began = time.process_time()
    probability = finished_probability(pcm)
    return probability, time.process_time() - began


def row(mode: str, kind: str, outcomes: Sequence[Outcome]) -> str:
    """Format the outcomes of one mode as a row of the table."""
    pauses = sum(outcome.pauses for outcome in outcomes)
    cut_offs = sum(outcome.cut_offs for outcome in outcomes)
    waits = sorted(outcome.wait for outcome in outcomes)
    slow = waits[math.ceil(0.9 * len(waits)) - 1]
    return (
        f"| {mode} | {kind} | {cut_offs} of {pauses} | {100 * cut_offs / pauses:.1f} % | "
        f"{1000 * median(waits):.0f} | {1000 * slow:.0f} |"
    )


def table(turns: Mapping[Turn, Sequence[Window]], judge: Judge) -> str:
    """Run all modes on all turns, and format the result as Markdown."""
    lines = [
        "| ends a turn | voices | pauses cut off | share | wait, ms, p50 | p90 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for mode, settings in MODES:
        for kind in sorted({turn.kind for turn in turns}):
            outcomes = [
                run_turn(turn, windows, settings, judge) for turn, windows in turns.items() if turn.kind == kind
            ]
            lines.append(row(mode, kind, outcomes))
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the benchmark and print the table."""
    parser = argparse.ArgumentParser("python -m bench.turns", description="Measure how turns end.")
    parser.add_argument("--speech", type=Path, metavar="FOLDER", help="recorded people, as 16 kHz mono WAV files")
    args = parser.parse_args()
    vad = VadModel()
    load()
    turns = [*synthetic_turns(), *(recorded_turns(args.speech) if args.speech is not None else ())]
    spent: list[float] = []

    def judge(pcm: bytes) -> tuple[float, float]:
        probability, seconds = judge_by_model(pcm)
        spent.append(seconds)
        return probability, seconds

    text = table({turn: windows_of(turn, vad) for turn in turns}, judge)
    sys.stdout.write(f"{machine()}; {len(turns)} turns; a verdict took {1000 * median(spent):.0f} ms (p50)\n\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
