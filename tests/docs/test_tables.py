"""The tables of the documents are the code's."""

import ast
import glob
import re
from pathlib import Path
from typing import get_args

import av
import pytest

from bench.reference_costs import CAPTION
from bench.report import _EXPLAINED, _ROWS
from mediaserver.event_codec import parse_command, render
from mediaserver.jsonws.codec import parse
from mediaserver.localengine.responder.scripted import _CONDITIONS, _STEPS
from mediaserver.messages.commands import COMMANDS
from mediaserver.metrics import Metrics
from mediaserver.settings import Settings
from pipeline.errors import FaultCode, ProtocolError
from pipeline.events import (
    EndReason,
    Event,
    Fault,
    Guidance,
    Interrupted,
    Pointer,
    Pong,
    Resumed,
    Role,
    ScreenFrameSent,
    SeenReason,
    SessionEnded,
    SessionStarted,
    State,
    StateChanged,
    Step,
    StepState,
    TextResponse,
    Transcript,
    TurnEnded,
    Usage,
)
from pipeline.gemini.model_profiles import _PROFILES, LOCAL
from tests.docs.documents import ROOT, between_marks, blocks, prose, quoted, rows

SAMPLES: list[Event] = [
    SessionStarted("id", "label", "local", "local", None, "en", {}),
    StateChanged(State.IDLE),
    Transcript(1, Role.USER, "hello", final=True),
    TextResponse(1, "hello", None),
    Interrupted(1, 2, "hel"),
    Resumed(1, 2),
    TurnEnded(1, 2, {}, Usage()),
    ScreenFrameSent(1, 2, SeenReason.FIRST),
    Guidance("title", (Step(1, "text", StepState.DONE),)),
    Pointer(1, (1, 2, 3, 4), "label"),
    Fault(FaultCode.INTERNAL_ERROR, "message"),
    Pong(1),
    SessionEnded(EndReason.CLIENT),
]


def test_the_settings_are_the_codes() -> None:
    known = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, "", ()) else str(field.default)
        default = default.lower() if isinstance(field.default, bool) else default
        known.append([f"`{name.upper()}`", default, field.description])
    table = rows("docs/settings.md", "settings")
    assert [row[:3] for row in table] == known
    assert all(row[3] for row in table)


def test_the_error_codes_of_a_session_are_the_codes_with_their_classes() -> None:
    shown = [
        (quoted(code), severity) for code, severity, meaning, advice in rows("docs/troubleshooting.md", "error codes")
    ]
    assert shown == [([code.value], code.severity.value) for code in FaultCode]


def test_the_error_codes_of_http_are_those_that_are_raised() -> None:
    raised = {
        (409, "USERNAME_TAKEN"),
        (409, "EMAIL_TAKEN"),
        (405, "METHOD_NOT_ALLOWED"),
    }  # made of the field, or aiohttp's
    for path in (ROOT / "mediaserver").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name("HttpError"), args=[ast.Constant(int(status)), ast.Constant(str(code)), *_]
                ):
                    raised.add((status, code))
    shown = [(int(status), code) for status, cell, _ in rows("docs/http.md", "http errors") for code in quoted(cell)]
    assert len(raised) > 20
    assert shown == sorted(raised)


def test_the_metrics_are_the_codes_with_types_and_labels() -> None:
    known = []
    for collector in Metrics().registry._collector_to_names:
        if name := getattr(collector, "_name", ""):
            kind = getattr(collector, "_type", "")
            labels = list(getattr(collector, "_labelnames", ()))
            known.append((f"{name}_total" if kind == "counter" else name, kind, labels))
    shown = [(quoted(name)[0], kind, quoted(labels)) for name, kind, labels, _ in rows("docs/deploy.md", "metrics")]
    assert len(known) > 15
    assert shown == known


def test_the_events_are_the_codes_with_their_fields() -> None:
    unsent = set(get_args(Event)) - {type(event) for event in SAMPLES}
    assert {kind.__name__ for kind in unsent} == {"TurnStarted", "TurnUsageReport"}  # not told in JSON
    bodies = [render(event, "label") or {} for event in SAMPLES]
    known = {body["action"]: [name for name in body if name not in ("action", "sessionId")] for body in bodies}
    assert {quoted(action)[0]: quoted(fields) for action, fields, _ in rows("docs/events.md", "events")} == known


def test_every_action_that_is_shown_is_accepted_and_every_action_is_shown() -> None:
    messages = [line for block in blocks("json") for line in block.splitlines()]
    shown = set()
    for message in messages:
        try:
            shown.add(type(parse_command(message)).__name__)
        except ProtocolError:
            shown.add(type(parse(message.encode()).message).__name__)  # what only the JSON WebSocket takes
    assert len(shown) == len(COMMANDS.split(", ")) + len(["start_session", "audio_input", "screen_share_frame"])


def test_the_models_that_are_named_are_those_that_are_known() -> None:
    shown = [name for line in between_marks("README.md", "models").splitlines() for name in quoted(line)]
    assert shown == [name for name in _PROFILES if name != LOCAL]
    assert shown[0] == Settings.model_fields["gemini_model"].default


# Of the libraries in PyAV's wheel, those under BSD, MIT, ISC or Apache-2.0; whatever else comes must be named.
PERMISSIVE = [
    *("SvtAv1Enc", "Xau", "dav1d", "drm", "opencore-amrnb", "opencore-amrwb", "opus", "sharpyuv", "vpl", "vpx"),
    *("webp", "webpmux", "xcb", "xcb-shape", "xcb-shm", "xcb-xfixes"),
]
FFMPEG = ["avcodec", "avdevice", "avfilter", "avformat", "avutil", "swresample", "swscale"]


def test_the_libraries_whose_licences_are_named_are_those_in_the_wheel() -> None:
    table = rows("docs/deploy.md", "licences")
    named = [name for part, *_ in table if part.endswith("in the wheel `av`") for name in quoted(part)[:-1]]
    named = [name for name in named if name != "libavcodec"]  # one of FFmpeg's
    bundled = [Path(name).name for name in glob.glob(str(Path(av.__file__).parents[1] / "av.libs" / "*"))]
    if not bundled:
        pytest.skip("this av is not the wheel for Linux")
    found = {re.sub(r"-[0-9a-f]{8}\.so.*", "", library) for library in bundled}
    assert {"libx264", "libx265"} <= set(named)
    assert found == {f"lib{name}" for name in [*PERMISSIVE, *FFMPEG]} | set(named)


def test_every_condition_and_every_step_of_a_script_is_shown() -> None:
    section = prose(ROOT / "docs" / "engine.md").partition("## Answer from a script")[2].partition("\n## ")[0]
    shown = {name for cell in quoted(section) for name in re.findall(r"^([a-z]+): ", cell)}
    assert shown == {*_CONDITIONS.split(", "), *_STEPS.split(", "), "seconds"}


def test_the_table_of_the_bench_is_explained_as_the_bench_does() -> None:
    shown = between_marks("docs/bench.md", "bench")
    assert _EXPLAINED in shown
    assert CAPTION in shown
    titles = [row[0] for row in rows("docs/bench.md", "bench") if len(row) > 4][2:]
    assert titles == [title for title, _ in _ROWS if title in titles]
    assert len(titles) > 10
