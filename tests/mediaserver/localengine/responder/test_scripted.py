import wave
from pathlib import Path

import numpy as np
import pytest

from mediaserver.localengine.responder.interface import Call, Question, Recognition, Role, Speech
from mediaserver.localengine.responder.scripted import ScriptedResponder, ScriptError, load_script, parse_script

SPOKEN = Question(b"\0\0", None, None)


def typed(text: str, *, screen: bytes | None = None) -> Question:
    return Question(b"", text, screen)


async def answers(responder: ScriptedResponder, *questions: Question) -> list[list[Recognition | Speech | Call]]:
    memory = responder.new_memory()
    return [[piece async for piece in responder.answer(question, memory)] for question in questions]


def calls(*conditions: str) -> ScriptedResponder:
    rules = (f"  - {{when: {when}, answer: [call: {{name: r{place}}}]}}" for place, when in enumerate(conditions))
    return parse_script("rules:\n" + "\n".join(rules))


async def test_the_first_rule_that_fits_answers() -> None:
    responder = calls("{text: Where is}", "typed", "anything")
    assert await answers(responder, typed("so WHERE IS it"), typed("hello"), SPOKEN) == [
        [Call("r0", {})],
        [Call("r1", {})],
        [Recognition(""), Call("r2", {})],
    ]


async def test_turns_are_counted_per_session() -> None:
    responder = calls("{turn: 2}", "anything")
    for _ in range(2):
        assert await answers(responder, typed("a"), typed("a"), typed("a")) == [
            [Call("r1", {})],
            [Call("r0", {})],
            [Call("r1", {})],
        ]


async def test_conditions_are_met_together() -> None:
    responder = calls("{typed: true, screen: true}", "{spoken: true}", "{screen: false}")
    seen, unseen = typed("a", screen=b"jpeg"), typed("a")
    assert await answers(responder, seen, SPOKEN, unseen) == [
        [Call("r0", {})],
        [Recognition(""), Call("r1", {})],
        [Call("r2", {})],
    ]


async def test_what_no_rule_fits_is_answered_with_nothing() -> None:
    assert await answers(calls("spoken"), typed("a")) == [[]]


async def test_a_spoken_rule_says_what_was_heard() -> None:
    responder = parse_script("rules: [{when: spoken, heard: hello, answer: []}]")
    assert await answers(responder, SPOKEN) == [[Recognition("hello")]]


async def test_words_are_spread_evenly_over_their_tone() -> None:
    responder = parse_script("rules: [{when: anything, answer: [{say: one two, tone: 1000, seconds: 2}]}]")
    ((speech,),) = await answers(responder, typed("a"))
    assert isinstance(speech, Speech)
    assert speech.words == ((0, "one "), (24_000, "two "))
    samples = np.frombuffer(speech.pcm, "<i2")
    assert len(samples) == 48_000
    assert np.argmax(np.abs(np.fft.rfft(samples))) == 2_000


async def test_a_line_without_tone_or_length_is_spoken_word_by_word() -> None:
    responder = parse_script("rules: [{when: anything, answer: [say: Good morning., {say: Bye., seconds: 1}]}]")
    try:
        await responder.start()
        ((spoken, tone),) = await answers(responder, typed("a"))
    finally:
        await responder.close()
    assert isinstance(spoken, Speech)
    assert isinstance(tone, Speech)
    assert [word for _, word in spoken.words] == ["Good ", "morning. "]
    assert _purity(spoken) < 0.4 < 0.9 < _purity(tone)


def _purity(speech: Speech) -> float:
    """The share of the energy within 10 Hz of the loudest frequency: nearly all of a tone, little of a voice."""
    power = np.abs(np.fft.rfft(np.frombuffer(speech.pcm, "<i2").astype(float))) ** 2
    reach = round(10 * len(speech.pcm) / 2 / 24_000)
    loudest = int(np.argmax(power))
    return float(power[max(0, loudest - reach) : loudest + reach + 1].sum() / power.sum())


async def test_the_voice_reads_in_the_language_of_the_session() -> None:
    responder = parse_script("rules: [{when: anything, answer: [say: Guten Morgen]}]")
    spoken = []
    try:
        for language in ("en-US", "de-DE"):
            memory = responder.new_memory()
            memory.language = language
            spoken += [piece async for piece in responder.answer(typed("a"), memory)]
    finally:
        await responder.close()
    english, german = spoken
    assert isinstance(english, Speech)
    assert isinstance(german, Speech)
    assert english.pcm != german.pcm


async def test_steps_come_in_order() -> None:
    steps = "[delay: 0, {call: {name: f, args: {box: [1, 2], label: x}}}, silence: 0.5, {tone: 440, seconds: 1}]"
    ((call, silence, tone),) = await answers(parse_script(f"rules: [{{when: typed, answer: {steps}}}]"), typed("a"))
    assert call == Call("f", {"box": [1, 2], "label": "x"})
    assert silence == Speech(bytes(24_000), ())
    assert isinstance(tone, Speech)
    assert len(tone.pcm) == 48_000
    assert tone.words == ()


@pytest.mark.parametrize(("rate", "channels"), [(24_000, 1), (16_000, 1), (48_000, 2)])
async def test_a_wav_beside_the_script_is_played_at_24_khz(tmp_path: Path, rate: int, channels: int) -> None:
    tone = (np.sin(np.arange(rate) * 2 * np.pi * 440 / rate) * 8_000).astype("<i2")
    with wave.open(str(tmp_path / "tone.wav"), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(np.repeat(tone, channels).tobytes())
    (tmp_path / "script.yaml").write_text("rules: [{when: anything, answer: [{say: a b, wav: tone.wav}]}]")
    ((speech,),) = await answers(load_script(tmp_path / "script.yaml"), typed("a"))
    assert isinstance(speech, Speech)
    assert speech.words == ((0, "a "), (12_000, "b "))
    samples = np.frombuffer(speech.pcm, "<i2")
    assert len(samples) == 24_000
    assert np.argmax(np.abs(np.fft.rfft(samples))) == 440


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("", "line 1: the script is empty; it takes `rules`"),
        ("rules: [", "line 1: this is not YAML"),
        ("rules: \x00", "not YAML"),
        ("hello", "line 1: `script` takes a mapping with rules"),
        ("rules:\n  a: 1", "line 2: `rules` takes a list"),
        ("{}", "line 1: `rules` is missing"),
        ("rules:\n- answer: []", "line 2: `when` is missing"),
        ("rules:\n- when: typed", "line 2: `answer` is missing"),
        ("rules:\n- {when: never, answer: []}", "line 2: `when` takes anything, spoken, typed, or a mapping with text"),
        ("rules:\n- when:\n    txt: a\n  answer: []", "line 3: `when` has no `txt`; accepted: text, spoken"),
        ("rules:\n- {when: {turn: first}, answer: []}", "`turn` takes a number from 1"),
        ("rules:\n- {when: {screen: 1}, answer: []}", "`screen` takes true or false"),
        ("rules:\n- {when: {text: ''}, answer: []}", "`text` takes a text"),
        ("rules:\n- when: typed\n  answer:\n  - sing: a", "line 4: `answer[0]` has no `sing`; accepted: say, tone"),
        ("rules:\n- when: typed\n  answer:\n  - tone: 440", "line 4: `answer[0]` takes one of say"),
        ("rules:\n- {when: typed, answer: [{delay: 1, say: a}]}", "`answer[0]` takes `delay` alone"),
        ("rules:\n- {when: typed, answer: [delay: -1]}", "`delay` takes a number from 0 to 600"),
        ("rules:\n- {when: typed, answer: [delay: .nan]}", "`delay` takes a number from 0 to 600"),
        ("rules:\n- {when: typed, answer: [delay: 2024-99-99]}", "`delay` takes plain YAML values"),
        ("rules:\n- {when: typed, answer: [{wav: a, tone: 1}]}", "takes either `wav`, or `tone` and `seconds`"),
        ("rules:\n- {when: typed, answer: [wav: no.wav]}", "`wav` takes the path of a 16-bit WAV file"),
        ("rules:\n- {when: typed, answer: [call: {args: {}}]}", "`name` is missing"),
        ("rules:\n- {when: typed, answer: [call: {name: f, args: 1}]}", "`args` takes a mapping"),
        ('rules:\n- when: typed\n  answer: [say: "a\\ud800"]', "line 3: this is not Unicode text"),
        (
            'rules:\n- {when: typed, answer: [call: {name: f, args: {a: "\\ud800"}}]}',
            "line 2: this is not Unicode text",
        ),
    ],
)
def test_a_malformed_script_is_told_by_line_field_and_what_is_accepted(script: str, message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse_script(script)
    assert message in str(caught.value)


def test_a_wav_of_8_bits_is_refused(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 1, 8_000, 0, "NONE", ""))
        file.writeframes(b"\x80" * 8)
    with pytest.raises(ScriptError, match="this one has 8 bits"):
        parse_script("rules: [{when: typed, answer: [wav: a.wav]}]", folder=tmp_path)


@pytest.mark.parametrize("role", ["model", "user"])
async def test_a_rule_can_ask_for_what_was_said_before_by_either(role: Role) -> None:
    responder = calls("{remembers: The Sky is}", "anything")
    memory = responder.new_memory()
    memory.append("user", "Why: the sky is?")  # the question, which its session notes before it is answered
    assert [piece async for piece in responder.answer(typed("Why: the sky is?"), memory)] == [Call("r1", {})]
    memory.append(role, "the sky is blue")
    memory.append("user", "and now?")
    assert [piece async for piece in responder.answer(typed("and now?"), memory)] == [Call("r0", {})]
