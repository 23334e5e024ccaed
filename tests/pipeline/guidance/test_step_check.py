"""Lines that OCR has read show that a step is done, or that something went wrong, or nothing."""

import pytest

from pipeline.events import Evidence, EvidenceSource
from pipeline.guidance.guide import Branch, GuideStep
from pipeline.guidance.step_check import StepCheck, WrongTurns, find_text
from pipeline.screen.layout import Heading, ScreenLayout
from pipeline.screen.read_text import ReadText

EMPTY = ScreenLayout((), ())
SAVE = GuideStep("Press Save.", look_for="Saved")


def lines(*texts: str, confidence: float = 0.9) -> tuple[ReadText, ...]:
    return tuple(ReadText(text, (row, 0, row + 10, 100), confidence) for row, text in enumerate(texts))


@pytest.mark.parametrize(
    ("text", "wanted", "is_found"),
    [
        ("All changes saved.", "SAVED", True),
        ("Unsaved changes", "saved", False),
        ("Export as PDF (beta)", "as pdf", True),
        ("Exportas PDF", "Export as PDF", True),
        ("Expense subnitted", "Expense submitted", True),
        ("Sxved", "Saved", False),
        ("Expense rejected", "Expense submitted", False),
    ],
)
def test_words_are_found_whole_and_nearly_as_written(text: str, wanted: str, is_found: bool) -> None:
    assert (find_text(lines("File Edit", text), wanted) is not None) == is_found


def test_a_line_that_cannot_be_read_well_is_no_evidence() -> None:
    assert StepCheck(SAVE).look(lines("Saved", confidence=0.4), frame=1) is None


def test_the_evidence_is_the_line_and_its_frame() -> None:
    check = StepCheck(SAVE)
    assert check.look(lines("Save", "Untitled"), frame=1) is None
    assert check.look(lines("Saved just now"), frame=2) == Evidence(EvidenceSource.SCREEN, "Saved just now", 2)


def test_text_is_gone_only_once_it_was_seen() -> None:
    check = StepCheck(GuideStep("Close it.", gone="Settings"))
    assert check.look(lines("Home"), frame=1) is None
    assert check.look(lines("Settings"), frame=2) is None
    assert check.look(lines("Home"), frame=3) == Evidence(EvidenceSource.SCREEN, "", 3)


def test_a_step_with_both_signs_needs_both() -> None:
    check = StepCheck(GuideStep("Send it.", look_for="Sent", gone="Draft"))
    assert check.look(lines("Draft"), frame=1) is None
    assert check.look(lines("Draft", "Sent"), frame=2) is None
    assert check.look(lines("Sent"), frame=3) is not None


def test_after_a_return_the_text_must_appear_anew() -> None:
    check = StepCheck(SAVE, must_appear=True)
    assert check.look(lines("Saved"), frame=1) is None
    assert check.look(lines("Edited"), frame=2) is None
    assert check.look(lines("Saved"), frame=3) is not None


def test_the_users_word_is_confirmed_by_what_is_there_now() -> None:
    closed = StepCheck(GuideStep("Close it.", gone="Settings"))
    assert closed.confirm(lines("Settings"), frame=1) is None
    assert closed.confirm(lines("Home"), frame=2) is not None
    assert StepCheck(SAVE, must_appear=True).confirm(lines("Saved"), frame=3) is not None
    assert StepCheck(SAVE).confirm(lines("Unsaved"), frame=4) is None


def test_a_step_without_a_sign_is_never_done_by_the_screen() -> None:
    assert StepCheck(GuideStep("Think.")).look(lines("Think."), frame=1) is None


def test_a_branch_is_taken_where_its_words_are() -> None:
    check = StepCheck(GuideStep("Press New.", branches=(Branch("Sign in", 3),)))
    assert check.branch(lines("New")) is None
    assert check.branch(lines("Sign in to go on")) == Branch("Sign in", 3)


def test_a_new_error_is_noticed_once() -> None:
    turns = WrongTurns()
    assert turns.look(lines("Old error", "Save"), EMPTY, [SAVE]) is None
    assert turns.look(lines("Old error", "Save", "Access denied"), EMPTY, [SAVE]) == "Access denied"
    assert turns.look(lines("Old error", "Save", "Access denied"), EMPTY, [SAVE]) is None
    assert turns.look(lines("Old error", "Save"), EMPTY, [SAVE]) is None
    assert turns.look(lines('I see "Access denied".'), EMPTY, [SAVE]) is None


def test_an_error_that_the_step_is_about_is_expected() -> None:
    turns = WrongTurns()
    turns.look(lines("Save"), EMPTY, [])
    step = GuideStep("Press Retry until the error is gone.")
    assert turns.look(lines("Network error"), EMPTY, [step]) is None


def test_a_new_dialog_is_noticed_unless_a_step_speaks_of_it() -> None:
    box = (0, 0, 10, 10)
    dialog = ScreenLayout((Heading("Delete everything?", box),), ())
    for step, noticed in ((SAVE, "Delete everything?"), (GuideStep("Choose Delete everything."), None)):
        turns = WrongTurns()
        turns.look(lines("Save"), EMPTY, [step])
        assert turns.look(lines("Save", "Delete everything?"), dialog, [step]) == noticed
