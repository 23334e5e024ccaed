from pipeline.events import Role
from pipeline.gemini.transcript_memory import MAX_CHARACTERS, TranscriptLine, TranscriptMemory, format_as_context


def test_lines_come_in_the_order_of_turns_the_user_first() -> None:
    recollection = TranscriptMemory()
    recollection.add(2, Role.ASSISTANT, "Second answer.")
    recollection.add(1, Role.USER, "First question.")
    recollection.add(2, Role.USER, "Second question.")
    recollection.add(1, Role.ASSISTANT, "")
    assert recollection.lines() == (
        TranscriptLine(1, Role.USER, "First question."),
        TranscriptLine(2, Role.USER, "Second question."),
        TranscriptLine(2, Role.ASSISTANT, "Second answer."),
    )


def test_what_is_said_again_for_a_turn_replaces_what_was() -> None:
    recollection = TranscriptMemory()
    recollection.add(1, Role.USER, "where is")
    recollection.add(1, Role.USER, "where is save")
    assert recollection.lines() == (TranscriptLine(1, Role.USER, "where is save"),)


def test_only_the_turns_asked_for_are_told() -> None:
    recollection = TranscriptMemory()
    for turn in range(1, 5):
        recollection.add(turn, Role.USER, str(turn))
    assert [line.turn for line in recollection.lines(after=1, but={3})] == [2, 4]


def test_the_oldest_lines_give_way() -> None:
    recollection = TranscriptMemory()
    for turn in range(1, 100):
        recollection.add(turn, Role.USER, "x" * 1_000)
    assert [line.turn for line in recollection.lines()] == list(range(100 - MAX_CHARACTERS // 1_000, 100))
    recollection.add(100, Role.USER, "y" * 100_000)
    assert recollection.lines() == (TranscriptLine(100, Role.USER, "y" * MAX_CHARACTERS),)


def test_a_note_names_who_spoke() -> None:
    lines = (TranscriptLine(1, Role.USER, " Hello. "), TranscriptLine(1, Role.ASSISTANT, "Hi."))
    assert format_as_context(lines, "Before:") == "[Before:\nUser: Hello.\nAssistant: Hi.]"


def test_a_line_grows_piece_by_piece() -> None:
    recollection = TranscriptMemory()
    recollection.extend(1, Role.ASSISTANT, "It is ")
    recollection.extend(1, Role.ASSISTANT, "there.")
    assert recollection.lines() == (TranscriptLine(1, Role.ASSISTANT, "It is there."),)
