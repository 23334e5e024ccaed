"""Docstrings are statements, and names are the field's own words."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("pipeline", "mediaserver", "bench")
FOLDERS = sorted({path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")})

OPENING = re.compile(r"\W*(what|who|whom|whose|how|which|whether)\b", re.IGNORECASE)

BANNED_IN_NAMES = frozenset(
    {
        "blame",
        "brain",
        "chronicle",
        "chronicles",
        "ear",
        "errand",
        "errands",
        "farewell",
        "goodbye",
        "hall",
        "heed",
        "house",
        "hush",
        "lobby",
        "obey",
        "patience",
        "setback",
        "setbacks",
        "sight",
        "strangers",
        "suffer",
        "tend",
        "unwatch",
        "wish",
        "wished",
        "wishes",
        "witness",
        "witnesses",
    }
)
BANNED_IN_DOCSTRINGS = frozenset(
    {
        "blame",
        "blames",
        "brain",
        "chronicle",
        "chronicles",
        "errand",
        "errands",
        "heed",
        "heeds",
        "house",
        "hush",
        "hushed",
        "hushes",
        "lobby",
        "obey",
        "obeyed",
        "obeys",
        "patience",
        "politely",
        "setback",
        "setbacks",
        "tells",
        "told",
        "unwatch",
        "whoever",
        "wish",
        "wishes",
        "witness",
        "witnessed",
        "witnesses",
    }
)

Definition = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Documented = Definition | ast.Assign | ast.AnnAssign


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: ".".join(folder.relative_to(ROOT).parts))
def test_prose(folder: Path) -> None:
    """Every fault of a folder at once, each with its place."""
    faults = [
        f"{path.relative_to(ROOT)}:{line}: {fault}"
        for path in sorted(folder.glob("*.py"))
        for line, fault in faults_in(path.read_text())
    ]
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize(
    "source",
    [
        '"""What this module does."""',
        'class Timer:\n    """Who waits."""',
        'def stop() -> None:\n    """How it ends."""',
        'async def stop() -> bool:\n    """What has ended."""',
        'LIMIT = 3\n"""How many may wait."""',
        'class Timer:\n    seconds: float\n    """Which time is left."""',
        'class Timer:\n    def __init__(self) -> None:\n        self.name = ""\n        """Whose timer it is."""',
        'def reason() -> str | None:\n    """Whether it ended, and why."""',
        'class Timer:\n    seconds: float = 0.0\n    """Whether time is left."""',
        'def stop() -> None:\n    """Obey the client."""',
        "class Lobby: ...",
        "def hush_all() -> None: ...",
        "def stop(wishes: int) -> None: ...",
        "patience = 3",
        "class Timer:\n    def stop(self) -> None:\n        self._brain = None",
        "for witness in (): ...",
        "stop = lambda house: None",
    ],
)
def test_a_fault_is_found(source: str) -> None:
    """The check can fail, on every kind of docstring and of name."""
    assert len(list(faults_in(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        '"""Timers that stop by themselves; what they hold is freed."""',
        'def is_over() -> bool:\n    """Whether it has ended."""',
        'async def is_over() -> bool:\n    """Whether it has ended."""',
        'class Timer:\n    is_over: bool = False\n    """Whether it has ended."""',
        'class Timer:\n    def start(self) -> None:\n        self.is_over = False\n        """Whether it has ended."""',
        'Check = Callable[[str], bool]\n"""Whether a name is free."""',
        "def text(tendency: str, ears: int, near: str) -> None: ...",
        'QUESTION = "What is this?"',
        'print("How are you?")',
    ],
)
def test_what_reads_well_passes(source: str) -> None:
    """Statements, and `Whether` for what is true or false."""
    assert list(faults_in(source)) == []


def faults_in(source: str) -> Iterator[tuple[int, str]]:
    """The line of every fault, with the fault."""
    tree = ast.parse(source)
    for line, text, owner in _docstrings(tree):
        found = OPENING.match(text)
        if found is not None and not (found[1].lower() == "whether" and _is_boolean(owner)):
            yield line, f'a docstring begins with "{found[1]}": {text.splitlines()[0]}'
        for word in sorted(BANNED_IN_DOCSTRINGS.intersection(re.findall(r"[a-z]+", text.lower()))):
            yield line, f'a docstring says "{word}": {text.splitlines()[0]}'
    for line, name in _names(tree):
        for word in sorted(BANNED_IN_NAMES.intersection(_words(name))):
            yield line, f'the name {name} says "{word}"'


def _docstrings(tree: ast.Module) -> Iterator[tuple[int, str, Documented]]:
    """Each docstring with its line and what it describes: a definition, or the assignment before it."""
    for block in ast.walk(tree):
        body: list[ast.stmt] = getattr(block, "body", []) if not isinstance(block, ast.Lambda | ast.IfExp) else []
        for place, statement in enumerate(body):
            match statement:
                case ast.Expr(ast.Constant(str(text))):
                    before = body[place - 1] if place else block
                    if isinstance(before, Documented):
                        yield statement.lineno, text, before


def _is_boolean(owner: Documented) -> bool:
    match owner:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return owner.returns is not None and _is_bool(owner.returns)
        case ast.AnnAssign():
            return _is_bool(owner.annotation)
        case ast.Assign():
            return _is_bool(owner.value)
        case _:
            return False


def _is_bool(annotation: ast.expr) -> bool:
    match annotation:
        case ast.Name("bool") | ast.Constant("bool") | ast.Constant(bool()) | ast.Compare():
            return True
        case ast.Subscript(ast.Name("Callable" | "Awaitable" | "TypeGuard" | "TypeIs"), inner):
            return _is_bool(inner.elts[-1] if isinstance(inner, ast.Tuple) else inner)
        case _:
            return False


def _names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every name that the module gives, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name) | ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
                yield node.lineno, name
            case ast.arg(name) | ast.Name(name, ast.Store()) | ast.Attribute(_, name, ast.Store()):
                yield node.lineno, name
            case ast.alias(_, str(name)):
                yield node.lineno, name


def _words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
