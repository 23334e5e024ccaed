"""Every link leads somewhere, and every path that is named is there."""

import re
from pathlib import Path

import pytest

from tests.docs.documents import DOCUMENTS, ROOT, blocks, prose

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAMED = re.compile(
    r"`((?:bench|config|docs|examples|mediaserver|pipeline|tests|web)/[\w./-]*|[\w-]+\.(?:md|toml|lock))`"
)
WITH_LINKS = [path for path in DOCUMENTS if LINK.search(path.read_text())]


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as they are made on the web."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", WITH_LINKS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file_and_to_a_heading(document: Path) -> None:
    for link in LINK.findall(document.read_text()):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_that_is_named_is_there(document: Path) -> None:
    missing = [name for name in NAMED.findall(document.read_text()) if not (ROOT / name).exists()]
    assert not missing


def test_every_path_in_a_command_is_there() -> None:
    commands = [line for block in blocks("bash") for line in block.splitlines()]
    named = {
        word for line in commands for word in line.split() if re.fullmatch(r"(tests|examples|docs)/[\w./-]+", word)
    }
    assert named
    assert not [name for name in named if not (ROOT / name).exists()]


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_every_name_of_the_code_is_one(name: str) -> None:
    code = "\n".join(
        path.read_text() for folder in ("mediaserver", "pipeline") for path in (ROOT / folder).rglob("*.py")
    )
    named = set(re.findall(r"`([A-Z]\w+|[a-z]+(?:_[a-z]+)+)(?:\.\w+)?`", prose(ROOT / name)))
    assert len(named) > 5
    assert not {each for each in named if not re.search(rf"\b{each}\b", code)}


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        reached.add(document)
        for link in LINK.findall(document.read_text()):
            target = (document.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target.is_file() and target not in reached:
                waiting.append(target)
    assert reached == set(DOCUMENTS)
