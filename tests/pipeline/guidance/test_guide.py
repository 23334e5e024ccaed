"""Guides in Markdown: read, or refused with the line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.guidance.guide import Branch, Guide, GuideError, GuideStep, parse_guide
from pipeline.guidance.library import GuideLibrary, load_guides
from tests.docs.documents import ROOT, between_marks

WHOLE = """# Save a note

When: the user wants to keep a note,
and not lose it.

For people: this is the demo.

1. Press "New note".
   look for: "Untitled"
   point at: “New note”
   - hint: At the top left.
   - hint: It is blue.
2) Press "Save"
   at the top. <!-- not the one below -->
   GONE: "Untitled"
   say: Now save it.
   if "Sign in": go to step 1
"""


def test_a_whole_guide_is_read() -> None:
    assert parse_guide(WHOLE, guide_id="note") == Guide(
        "note",
        "Save a note",
        "the user wants to keep a note, and not lose it.",
        (
            GuideStep(
                'Press "New note".',
                look_for="Untitled",
                point_at="New note",
                hints=("At the top left.", "It is blue."),
            ),
            GuideStep(
                'Press "Save" at the top.', say="Now save it.", gone="Untitled", branches=(Branch("Sign in", 1),)
            ),
        ),
        WHOLE,
    )


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 1, "has no title"),
        ("# Title", 1, "has no steps"),
        ("1. Step", 1, "title comes before"),
        ("# A\n# B\n1. Step", 2, "second title"),
        ("# A\n2. Step", 2, "this is step 1, not 2"),
        ("# A\n1. Step\nmore", 3, "is indented"),
        ("# A\n1. Step\n   look: x", 3, "a step takes look for"),
        ("# A\n1. Step\n   look for: x", 3, "takes words in quotation marks"),
        ('# A\n1. Step\n   gone: "--"', 3, "takes words in quotation marks"),
        ('# A\n1. Step\n   gone: "a"\n   gone: "b"', 4, "twice"),
        ('# A\n1. Step\n   if "a": go to step 2', 3, "another step, 1 to 1"),
        ('# A\n1. Step\n   if "a": go to step 1\n2. Next', 3, "another step, 1 to 2"),
        ('# A\n1. Step\n   if "a" go there', 3, "a step takes"),
        ("# A\n1. Step\n   hint:", 3, "1 to 500 characters"),
        ("# " + "a" * 201, 1, "the title has 1 to 200"),
        ("# A\n1. \x07", 2, "is no text"),
        ("# A\n" + "".join(f"{number}. Step\n" for number in range(1, 32)), 32, "at most 30 steps"),
        ("# A\n1. Step" + " " * 40_000, 1, "at most 32000"),
    ],
)
def test_a_fault_is_named_with_its_file_and_line(text: str, line: int, reason: str) -> None:
    with pytest.raises(GuideError, match=reason) as refused:
        parse_guide(text, guide_id="a", file="a.md")
    assert refused.value.line == line
    assert str(refused.value).startswith(f"a.md:{line}: ")


PIECES = [
    "# ",
    "1. ",
    "2. ",
    "   ",
    "look for:",
    "gone:",
    ' "Save" ',
    "if ",
    ": go to step 1",
    "hint: x",
    "\n",
    "When: ",
    "<!--",
]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=30).map("".join))
def test_any_text_is_a_guide_or_refused(text: str) -> None:
    try:
        guide = parse_guide(text, guide_id="a")
    except GuideError as error:
        line = error.line
    else:
        assert guide.title
        assert guide.steps
        line = 1
    assert 1 <= line <= text.count("\n") + 1


@pytest.mark.parametrize("folder", ["mediaserver/shipped_guides", "examples/guides"])
def test_the_guides_that_come_along_are_guides(folder: str) -> None:
    loaded = load_guides(ROOT / folder)
    assert loaded.faults == ()
    assert len(loaded.guides) >= 2
    assert all(guide.when for guide in loaded.guides)


def test_the_guide_of_the_document_is_one() -> None:
    text = between_marks("docs/guides.md", "guide").removeprefix("```markdown\n").removesuffix("```")
    assert [step.is_checkable for step in parse_guide(text, guide_id="save-a-note").steps] == [True] * 4


def test_the_faults_of_a_folder_are_all_named(tmp_path: Path) -> None:
    (tmp_path / "good.md").write_text(WHOLE)
    (tmp_path / "bad.md").write_text("# A\n2. B")
    (tmp_path / "Bad Name.md").write_text(WHOLE)
    (tmp_path / "latin.md").write_bytes(b"# caf\xe9")
    (tmp_path / "notes.txt").write_text("no guide")
    loaded = load_guides(tmp_path)
    assert [guide.id for guide in loaded.guides] == ["good"]
    assert [fault.partition(": ")[0].removeprefix(f"{tmp_path}/") for fault in loaded.faults] == [
        "Bad Name.md:1",
        "bad.md:2",
        "latin.md:1",
    ]


def library() -> GuideLibrary:
    return GuideLibrary(
        (*load_guides(ROOT / "mediaserver/shipped_guides").guides, *load_guides(ROOT / "examples/guides").guides)
    )


@pytest.mark.parametrize(
    ("request_text", "found"),
    [
        ("help me file an expense", "file-an-expense"),
        ("filing expenses", "file-an-expense"),
        ("guide two", "save-as-pdf"),
        ("guide 99", None),
        ("reset-a-password", "reset-a-password"),
        ("I forgot my password", "reset-a-password"),
        ("give me a tour", "demo-page"),
        ("find the save button", None),
        ("please help me", None),
        ("what time it is", None),
    ],
)
def test_a_request_finds_its_guide(request_text: str, found: str | None) -> None:
    guide = library().match(request_text)
    assert (guide and guide.id) == found


def test_of_two_guides_with_one_id_the_last_counts() -> None:
    one, other = parse_guide("# One\n1. Step", guide_id="a"), parse_guide("# Other\n1. Step", guide_id="a")
    assert GuideLibrary((one, other)).guides == (other,)
