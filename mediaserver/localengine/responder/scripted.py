"""A responder that answers from a YAML script, for tests, demos and benchmarks.

rules:
  - when: {text: where is save, screen: true}     # the first rule that fits answers
    answer:
      - call: {name: point_at, args: {label: Save}}
      - say: The Save button is at the top right.   # spoken by the offline voice, in the session's language
      - say: One two three.                         # with `tone` or `seconds`: words spread evenly over a tone
        tone: 440
        seconds: 2
  - when: {typed: true, remembers: hello}         # if "hello" was said before, by whom ever
    answer: [say: You have greeted me.]
  - when: spoken                                  # any utterance; `heard` is what is said to be understood
    heard: hello
    answer: [delay: 0.5, {say: Hello., wav: hello.wav}, silence: 1]
  - when: anything
    answer: [say: I did not understand.]
"""

import asyncio
import wave
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from mediaserver.localengine.responder.interface import Call, Memory, Question, Recognition, Speech
from mediaserver.localengine.responder.voice.text_to_speech import TextToSpeech
from pipeline.guidance.notes import text_to_say
from pipeline.media import SPEECH_SAMPLE_RATE

_CONDITIONS = "text, spoken, typed, turn, screen, remembers"
_STEPS = "say, tone, wav, call, delay, silence"
_LONGEST = 600.0
_SECONDS_PER_WORD = 0.3
_TONE = 440.0
_LOUDNESS = 8_000


class ScriptError(ValueError):
    """An invalid script; the message names the line, the field and the accepted values."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Seconds in which nothing is sent."""

    seconds: float


@dataclass(frozen=True, slots=True)
class SpokenLine:
    """Text that the offline voice says."""

    text: str


Step = Speech | SpokenLine | Call | Pause


@dataclass(frozen=True, slots=True)
class Rule:
    """An answer and its conditions; a condition that is None always holds."""

    steps: tuple[Step, ...]
    heard: str = ""
    text: str | None = None
    """Part of the typed text, in any case."""
    spoken: bool | None = None
    turn: int | None = None
    """1 for the first question of a session."""
    screen: bool | None = None
    remembers: str | None = None
    """Part of an earlier utterance of either side, in any case."""

    def fits(self, question: Question, memory: Memory) -> bool:
        """Whether this rule answers `question`."""
        return (
            (self.text is None or (question.text is not None and self.text.lower() in question.text.lower()))
            and self.spoken in (None, question.text is None)
            and self.turn in (None, memory.turns)
            and self.screen in (None, question.screen is not None)
            and (self.remembers is None or self._is_remembered(self.remembers.lower(), question, memory))
        )

    def _is_remembered(self, text: str, question: Question, memory: Memory) -> bool:
        said = (remark.text.lower() for remark in memory.history if remark.text != question.text)
        return any(text in remark for remark in said)


class ScriptedResponder:
    """Answers with the first rule that fits, and with nothing when none does."""

    def __init__(self, rules: Sequence[Rule], *, voice: TextToSpeech | None = None):
        self._rules = tuple(rules)
        self._voice = voice or TextToSpeech()

    async def start(self) -> None:
        """Load the offline voice, if a rule needs it."""
        if any(isinstance(step, SpokenLine) for rule in self._rules for step in rule.steps):
            await self._voice.start()

    async def close(self) -> None:
        """End the voice's worker."""
        await self._voice.close()

    def new_memory(self) -> Memory:
        """Create the memory of a new session."""
        return Memory()

    async def answer(self, question: Question, memory: Memory) -> AsyncIterator[Recognition | Speech | Call]:
        """Play the rule's steps; raises `MediaError` if the voice fails."""
        memory.turns += 1
        if question.text is not None and (text := text_to_say(question.text)) is not None:
            async with aclosing(self._voice.stream(text, language=memory.language)) as speech:
                async for piece in speech:
                    yield piece
            return
        rule = next((rule for rule in self._rules if rule.fits(question, memory)), None)
        if question.text is None:
            yield Recognition(rule.heard if rule else "")
        for step in rule.steps if rule else ():
            match step:
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                case SpokenLine(text):
                    async with aclosing(self._voice.stream(f"{text} ", language=memory.language)) as speech:
                        async for part in speech:
                            yield part
                case _:
                    yield step


def load_script(path: Path, *, voice: TextToSpeech | None = None) -> ScriptedResponder:
    """Load a script, with WAV files from its folder. Raises `ScriptError`, or OSError if it cannot be read."""
    return parse_script(path.read_text(encoding="utf-8"), folder=path.parent, voice=voice)


def parse_script(text: str, *, folder: Path = Path(), voice: TextToSpeech | None = None) -> ScriptedResponder:
    """Parse the text of a script, or raise `ScriptError`."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _check_unicode(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ScriptError(f"line {line}: this is not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ScriptError(f"line 1: this is not YAML: {error}") from None
    if root is None:
        raise ScriptError("line 1: the script is empty; it takes `rules`: a list of {when, heard, answer}")
    script = _Field(root, "script").fields("rules")
    return ScriptedResponder([_rule(rule, folder) for rule in _need(script, "rules", root).items()], voice=voice)


def _check_unicode(text: str) -> None:
    # An escape such as "\ud800" is valid YAML, but a lone surrogate cannot be sent.
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.ScalarToken):
            try:
                token.value.encode()
            except UnicodeEncodeError:
                raise ScriptError(f"line {token.start_mark.line + 1}: this is not Unicode text") from None


def tone(frequency: float, seconds: float) -> bytes:
    """A sine as 24 kHz mono 16-bit PCM."""
    time = np.arange(round(seconds * SPEECH_SAMPLE_RATE)) / SPEECH_SAMPLE_RATE
    return (np.sin(2 * np.pi * frequency * time) * _LOUDNESS).astype("<i2").tobytes()


class _Field:
    """One YAML node that knows its name and its line."""

    def __init__(self, node: yaml.Node, name: str):
        self.node = node
        self.name = name

    def wrong(self, accepted: str) -> ScriptError:
        return ScriptError(f"line {self.node.start_mark.line + 1}: `{self.name}` takes {accepted}")

    def fields(self, accepted: str) -> dict[str, "_Field"]:
        if not isinstance(self.node, yaml.MappingNode):
            raise self.wrong(f"a mapping with {accepted}")
        found = {str(key.value): _Field(value, str(key.value)) for key, value in self.node.value}
        for name, field in found.items():
            if name not in accepted.split(", "):
                raise ScriptError(
                    f"line {field.node.start_mark.line + 1}: `{self.name}` has no `{name}`; accepted: {accepted}"
                )
        return found

    def items(self) -> list["_Field"]:
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.wrong("a list")
        return [_Field(item, f"{self.name}[{place}]") for place, item in enumerate(self.node.value)]

    def text(self) -> str:
        if not isinstance(self.node, yaml.ScalarNode) or not self.node.value.strip():
            raise self.wrong("a text")
        return str(self.node.value).strip()

    def flag(self) -> bool:
        value = self._value()
        if not isinstance(value, bool):
            raise self.wrong("true or false")
        return value

    def number(self, *, low: float, high: float) -> float:
        value = self._value()
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.wrong(f"a number from {low:g} to {high:g}")
        return float(value)

    def mapping(self) -> dict[str, object]:
        value = self._value()
        if not isinstance(value, dict):
            raise self.wrong("a mapping")
        return {str(key): item for key, item in value.items()}

    def _value(self) -> object:
        loader = yaml.SafeLoader("")
        try:
            value: object = loader.construct_document(self.node)
        except (yaml.YAMLError, ValueError) as error:
            raise self.wrong(f"plain YAML values: {error}") from None
        finally:
            loader.dispose()
        return value


def _need(fields: dict[str, _Field], name: str, node: yaml.Node) -> _Field:
    if name not in fields:
        raise ScriptError(f"line {node.start_mark.line + 1}: `{name}` is missing")
    return fields[name]


def _rule(rule: _Field, folder: Path) -> Rule:
    fields = rule.fields("when, heard, answer")
    steps = tuple(_step(step, folder) for step in _need(fields, "answer", rule.node).items())
    heard = fields["heard"].text() if "heard" in fields else ""
    when = _need(fields, "when", rule.node)
    if isinstance(when.node, yaml.ScalarNode):
        if when.node.value not in ("anything", "spoken", "typed"):
            raise when.wrong(f"anything, spoken, typed, or a mapping with {_CONDITIONS}")
        return Rule(steps, heard, spoken={"spoken": True, "typed": False}.get(when.node.value))
    conditions = when.fields(_CONDITIONS)
    spoken = conditions["spoken"].flag() if "spoken" in conditions else None
    if "typed" in conditions:
        spoken = not conditions["typed"].flag()
    return Rule(
        steps,
        heard,
        text=conditions["text"].text() if "text" in conditions else None,
        spoken=spoken,
        turn=int(conditions["turn"].number(low=1, high=1e6)) if "turn" in conditions else None,
        screen=conditions["screen"].flag() if "screen" in conditions else None,
        remembers=conditions["remembers"].text() if "remembers" in conditions else None,
    )


def _step(step: _Field, folder: Path) -> Step:
    fields = step.fields(f"{_STEPS}, seconds")
    if kinds := [name for name in ("call", "delay", "silence") if name in fields]:
        if len(fields) > 1:
            raise step.wrong(f"`{kinds[0]}` alone")
        return _simple_step(kinds[0], fields[kinds[0]])
    if "wav" in fields and ("tone" in fields or "seconds" in fields):
        raise step.wrong("either `wav`, or `tone` and `seconds`")
    if fields.keys() == {"say"}:
        return SpokenLine(fields["say"].text())
    words = fields["say"].text().split() if "say" in fields else []
    if "wav" in fields:
        pcm = _wav(fields["wav"], folder)
    elif "say" in fields or ("tone" in fields and "seconds" in fields):
        frequency = fields["tone"].number(low=20, high=12_000) if "tone" in fields else _TONE
        seconds = len(words) * _SECONDS_PER_WORD
        if "seconds" in fields:
            seconds = fields["seconds"].number(low=0, high=_LONGEST)
        pcm = tone(frequency, seconds)
    else:
        raise step.wrong(f"one of {_STEPS} (`tone` without `say` needs `seconds`)")
    return _spread(words, pcm)


def _simple_step(kind: str, field: _Field) -> Step:
    if kind == "call":
        call = field.fields("name, args")
        args = call["args"].mapping() if "args" in call else {}
        return Call(_need(call, "name", field.node).text(), args)
    seconds = field.number(low=0, high=_LONGEST)
    if kind == "delay":
        return Pause(seconds)
    return Speech(bytes(2 * round(seconds * SPEECH_SAMPLE_RATE)), ())


def _spread(words: list[str], pcm: bytes) -> Speech:
    samples = len(pcm) // 2
    return Speech(pcm, tuple((samples * place // len(words), f"{word} ") for place, word in enumerate(words)))


def _wav(field: _Field, folder: Path) -> bytes:
    accepted = "the path of a 16-bit WAV file"
    try:
        with wave.open(str(folder / field.text())) as file:
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            raw = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise field.wrong(f"{accepted}: {error}") from None
    if width != 2:
        raise field.wrong(f"{accepted}; this one has {8 * width} bits")
    samples = np.frombuffer(raw, "<i2").reshape(-1, channels).mean(axis=1)
    times = np.arange(round(len(samples) * SPEECH_SAMPLE_RATE / rate)) * rate / SPEECH_SAMPLE_RATE
    return np.interp(times, np.arange(len(samples)), samples).astype("<i2").tobytes() if len(samples) else b""
