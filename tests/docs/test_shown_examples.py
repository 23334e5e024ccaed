"""What the documents show of `examples/` is what is in the files, which other tests run."""

import ast
import re
import sys
from pathlib import Path

import pytest

from tests.docs.documents import DOCUMENTS, ROOT

SHOWN = re.compile(r"^<!-- (examples/\S+) -->\n```\w+\n(.*?)^```", re.DOTALL | re.MULTILINE)
EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.is_file())
PACKAGES = {"google": "google-genai"}


def test_the_documents_show_the_files_as_they_are() -> None:
    shown = [found for path in DOCUMENTS for found in SHOWN.findall(path.read_text())]
    assert {ROOT / name for name, _ in shown} == set(EXAMPLES)
    for name, content in shown:
        assert content == (ROOT / name).read_text(), name


@pytest.mark.parametrize("path", [path for path in EXAMPLES if path.suffix == ".py"], ids=lambda path: path.name)
def test_an_example_names_what_pip_must_install(path: Path) -> None:
    module = ast.parse(path.read_text())
    imported = set()
    for node in ast.walk(module):
        match node:
            case ast.Import(names):
                imported |= {name.name.partition(".")[0] for name in names}
            case ast.ImportFrom(module=str(name)):
                imported.add(name.partition(".")[0])
    foreign = {PACKAGES.get(name, name) for name in imported - sys.stdlib_module_names - {"pipeline"}}
    line = next((line for line in (ast.get_docstring(module) or "").splitlines() if line.startswith("pip install")), "")
    assert set(line.split()[2:]) == foreign
