"""Answers to questions about the text on a screen, by rules over its layout."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from mediaserver.localengine.responder.screen_text import place, quoted
from pipeline.events import Box
from pipeline.screen.layout import (
    Block,
    Button,
    Cell,
    Field,
    Heading,
    Menu,
    Paragraph,
    ScreenLayout,
    Table,
)

_MAX_ROWS, _MAX_ITEMS = 6, 8
"""Rows of a table and items of a list that are read aloud."""
_ALIKE = 0.84
"""Similarity from which on two words count as one: plurals, and letters that the reader confuses."""
_RIGHT_EDGE = 900
"""xmax from which on a bar at the top reaches the right edge."""
_MAX_READ = 400
"""Characters that are read aloud at once."""


@dataclass(frozen=True, slots=True)
class ScreenAnswer:
    """Sentences to say, and the place that they are about."""

    sentences: tuple[str, ...]
    box: Box | None = None
    label: str = ""


def answer_about(layout: ScreenLayout, question: str) -> ScreenAnswer | None:
    """Answer a question from the text on the screen; None where nothing there fits the question."""
    question = " ".join(question.casefold().replace("’", "'").split()).strip(" .!?")
    for pattern, answer in _QUESTIONS:
        if found := pattern.fullmatch(question):
            return answer(layout, found)
    words = _content_words(question)
    return _from_table(layout, words) or _from_part(layout, words) or _from_block(layout, words)


def describe(layout: ScreenLayout) -> tuple[str, ...]:
    """Describe a screen in two or three sentences: a dialog first, else the title and what stands below it."""
    if layout.dialog:
        return tuple(_dialog(layout.dialog))
    if not layout.page:
        return ("I can read no text on your screen.", "I read text only, so I do not know what a picture shows.")
    if len(layout.page) <= _MAX_ITEMS and all(isinstance(block, Heading | Paragraph) for block in layout.page):
        return (f"Your screen says: {_short(' '.join(_sentence(_text_of(block)) for block in layout.page))}",)
    title = layout.title
    first = next((block for block in layout.page if isinstance(block, Paragraph)), None)
    name = title.text if title else first.text if first else ""
    sentences = [f"I see a page with the title {quoted(name)}."] if name else []
    contents = list(_contents(layout.page, skip=name))
    if contents:
        sentences.append(f"On it there {_is_or_are(contents)} {_joined(contents)}.")
    return tuple(sentences) or ("I can read some text, but no title.",)


def _dialog(blocks: Sequence[Block]) -> Iterator[str]:
    title = next((block.text for block in blocks if isinstance(block, Heading)), "")
    yield f"A dialog is open: {quoted(title)}." if title else "A dialog is open."
    if text := " ".join(_sentence(block.text) for block in blocks if isinstance(block, Paragraph)):
        yield f"It says: {_short(text)}"
    if buttons := [block.text for block in blocks if isinstance(block, Button)]:
        yield f"You can press {_joined(buttons, 'or')}."


def _contents(blocks: Sequence[Block], skip: str) -> Iterator[str]:
    for table in (block for block in blocks if isinstance(block, Table)):
        header = [cell.text for cell in table.rows[0] if cell]
        yield f"a table with {len(table.rows) - 1} rows and the columns {_joined(header[:_MAX_ITEMS])}"
    fields = [block.label for block in blocks if isinstance(block, Field) and block.label]
    if fields:
        yield f"values for {_joined(fields[:_MAX_ITEMS])}"
    headings = [block.text for block in blocks if isinstance(block, Heading) and block.text != skip]
    if headings:
        yield f"the heading{'s' if len(headings) > 1 else ''} {_joined(headings[:4])}"
    menus = [item for block in blocks if isinstance(block, Menu) for item in block.items if item.isalpha()]
    if menus:
        yield f"at the top {_joined(menus[:_MAX_ITEMS])}"
    buttons = [block.text for block in blocks if isinstance(block, Button)]
    if buttons:
        yield f"the button{'s' if len(buttons) > 1 else ''} {_joined(buttons[:_MAX_ITEMS])}"


def _read(layout: ScreenLayout, _: re.Match[str]) -> ScreenAnswer:
    blocks = layout.dialog or layout.page
    texts = [_sentence(block.text) for block in blocks if isinstance(block, Heading | Paragraph)]
    if not texts:
        return ScreenAnswer(describe(layout))
    return ScreenAnswer((_short(" ".join(texts)),))


def _describe(layout: ScreenLayout, _: re.Match[str]) -> ScreenAnswer:
    return ScreenAnswer(describe(layout))


def _error(layout: ScreenLayout, _: re.Match[str]) -> ScreenAnswer:
    dialog = " ".join(_text_of(block) for block in layout.dialog)
    if layout.dialog and _ERROR.search(dialog):
        return ScreenAnswer(("Yes.", *_dialog(layout.dialog)))
    for block in layout.blocks:
        if _ERROR.search(_text_of(block)):
            return ScreenAnswer((f"I can read this: {_short(_sentence(_text_of(block)))}",), block.box, _text_of(block))
    return ScreenAnswer(("I can read no error message on your screen. I read text only, not colours.",))


def _user(layout: ScreenLayout, _: re.Match[str]) -> ScreenAnswer:
    """The name of a user stands at the right end of the bar at the top."""
    menus = [block for block in layout.page if isinstance(block, Menu) and block.box[3] > _RIGHT_EDGE]
    if not menus:
        return ScreenAnswer(("I can read no user name at the top of your screen.",))
    return ScreenAnswer((f"At the top right it says {quoted(menus[0].items[-1])}.",))


def _buttons(layout: ScreenLayout, _: re.Match[str]) -> ScreenAnswer:
    blocks = layout.dialog or layout.page
    buttons = [block.text for block in blocks if isinstance(block, Button)]
    menus = [item for block in blocks if isinstance(block, Menu) for item in block.items]
    if not buttons and not menus:
        return ScreenAnswer(("I can see no button with a text on it. I cannot name icons.",))
    sentences = []
    if buttons:
        sentences.append(f"The buttons that I can read are {_joined(buttons[:_MAX_ITEMS])}.")
    if menus:
        sentences.append(f"At the top there is {_joined(menus[:_MAX_ITEMS])}.")
    return ScreenAnswer(tuple(sentences))


def _table(layout: ScreenLayout, _: re.Match[str]) -> ScreenAnswer:
    table = next((block for block in layout.blocks if isinstance(block, Table)), None)
    if table is None:
        return ScreenAnswer(("I see no table on your screen.",))
    header, *rows = table.rows
    sentences = [
        f"The columns are {_joined([cell.text for cell in header if cell])}.",
        *(f"{', '.join(cell.text for cell in row if cell)}." for row in rows[:_MAX_ROWS]),
    ]
    if len(rows) > _MAX_ROWS:
        sentences.append(f"There are {len(rows) - _MAX_ROWS} more rows.")
    return ScreenAnswer(tuple(sentences), table.box, "table")


def _paragraph(layout: ScreenLayout, found: re.Match[str]) -> ScreenAnswer:
    paragraphs = [block for block in layout.blocks if isinstance(block, Paragraph) and len(block.text.split()) > 3]
    number = _ORDINALS[found["which"]]
    index = number - 1 if number > 0 else len(paragraphs) - 1
    if not 0 <= index < len(paragraphs):
        count = len(paragraphs)
        return ScreenAnswer((f"I can read {count} paragraph{'' if count == 1 else 's'} only.",))
    return ScreenAnswer((_short(_sentence(paragraphs[index].text)),), paragraphs[index].box)


def _cell(layout: ScreenLayout, found: re.Match[str]) -> ScreenAnswer:
    name = found["cell"].replace(" ", "").upper()
    sheets = [block for block in layout.blocks if isinstance(block, Table) and block.first_row is not None]
    if not sheets:
        return ScreenAnswer(("I see no spreadsheet with row numbers and column letters.",))
    cell = sheets[0].named(name)
    if cell is None:
        return ScreenAnswer((f"I can read nothing in cell {name}.",))
    return ScreenAnswer((f"{name} is {cell.text}.",), cell.box, cell.text)


def _field(layout: ScreenLayout, found: re.Match[str]) -> ScreenAnswer | None:
    words = _content_words(found["field"])
    for field in (block for block in layout.blocks if isinstance(block, Field) and block.label):
        if words and _covers(_content_words(field.label), words):
            note = f" {_sentence(field.note)}" if field.note else ""
            value = f"Its value is {field.value}." if field.value else ""
            return ScreenAnswer((f"{field.label}.{note} {value}".strip(),), field.label_box or field.box, field.label)
    return _from_block(layout, words)


def _from_table(layout: ScreenLayout, words: Sequence[str]) -> ScreenAnswer | None:
    """The cell where the row and the column meet that the words name."""
    for table in (block for block in layout.blocks if isinstance(block, Table)):
        header, *rows = table.rows
        columns = [index for index, cell in enumerate(header) if index and cell and _mentions(words, cell.text)]
        named = [(name, row) for row in rows if (name := _row_name(row, words)) is not None]
        if len(named) != 1:
            continue
        name, row = named[0]
        if len(columns) == 1:
            column, cell = header[columns[0]], row[columns[0]]
            assert column is not None
            if cell is None:
                return ScreenAnswer((f"{column.text} for {name.text} is empty.",), name.box, name.text)
            return ScreenAnswer((f"{column.text} for {name.text} is {cell.text}.",), cell.box, cell.text)
        others = [(head, cell) for head, cell in zip(header, row, strict=True) if head and cell and cell is not name]
        pairs = [f"{head.text} {cell.text}" for head, cell in others]
        return ScreenAnswer((f"{name.text}: {_joined(pairs)}.",), name.box, name.text)
    return None


def _row_name(row: Sequence[Cell | None], words: Sequence[str]) -> Cell | None:
    """The cell that the words name, the first of a row before the others."""
    named = (cell for cell in row if cell and re.search(r"[^\W\d_]", cell.text))
    return next((cell for cell in named if _mentions(words, cell.text)), None)


def _from_part(layout: ScreenLayout, words: Sequence[str]) -> ScreenAnswer | None:
    """The text with one of the words that is nearest to the text with the others: "remove the boots"."""
    if len(words) != 2:
        return None
    action, thing = words
    texts = [block for block in layout.blocks if isinstance(block, Paragraph | Button | Field) and _name_of(block)]
    things = [block for block in texts if _has(block, thing) and not _has(block, action)]
    actions = [block for block in texts if _has(block, action) and not _has(block, thing)]
    if len(things) != 1 or len(actions) < 2:
        return None
    below = [block for block in actions if block.box[0] >= things[0].box[0] - 5]
    nearest = min(below or actions, key=lambda block: abs(block.box[0] - things[0].box[2]))
    label, box = _word_in(nearest, action)
    return ScreenAnswer((f"{quoted(label)} is below {quoted(_name_of(things[0]))}, {place(box)}.",), box, quoted(label))


def _has(block: Block, word: str) -> bool:
    return any(_is_alike(word, other) for other in _content_words(_text_of(block)))


def _name_of(block: Block) -> str:
    return block.label if isinstance(block, Field) else _text_of(block)


def _word_in(block: Block, word: str) -> tuple[str, Box]:
    """The word as it is written in a block, and its share of the block's box, which may have several lines."""
    lines = block.lines if isinstance(block, Paragraph) else ((_text_of(block), block.box),)
    for text, box in lines:
        for found in re.finditer(r"[^\W_]+", text):
            if _is_alike(word, found[0].casefold()):
                ymin, xmin, ymax, xmax = box
                width = xmax - xmin
                start, end = width * found.start() // len(text), width * found.end() // len(text)
                return found[0], (ymin, xmin + start, ymax, xmin + end)
    return _text_of(block), block.box


def _from_block(layout: ScreenLayout, words: Sequence[str]) -> ScreenAnswer | None:
    """The block that has the most of the words; a field is read with its value."""
    best: tuple[float, Block] | None = None
    for block in layout.blocks:
        if isinstance(block, Table | Menu):
            continue
        own = _content_words(_text_of(block))
        common = sum(any(_is_alike(word, other) for other in own) for word in words)
        if not words or common < max(1, len(words) / 2):
            continue
        # Of two that have as many words, the one with the first word is meant, then the shorter one.
        has_first = any(_is_alike(words[0], other) for other in own)
        is_input = isinstance(block, Field) and not block.label
        score = common + 0.2 * has_first - 0.4 * is_input - len(own) / 100
        if best is None or score > best[0]:
            best = score, block
    if best is None:
        return None
    block = best[1]
    if isinstance(block, Field):
        label = block.label or block.value
        said = f"{block.label}: {block.value}." if block.label else f"There is a field that says {quoted(block.value)}."
        return ScreenAnswer((said,), block.label_box or block.box, quoted(label))
    if isinstance(block, Button):
        return ScreenAnswer((f"There is a button {quoted(block.text)} {place(block.box)}.",), block.box, block.text)
    text = _text_of(block)
    return ScreenAnswer((f"I can read: {_short(_sentence(text))}",), block.box, quoted(text))


def _text_of(block: Block) -> str:
    match block:
        case Heading(text=text) | Paragraph(text=text) | Button(text=text):
            return text
        case Field(label=label, value=value, note=note):
            return " ".join(filter(None, (label, value, note)))
        case Menu(items, _):
            return " ".join(items)
        case Table(rows, _, _):
            return " ".join(cell.text for row in rows for cell in row if cell)


def _content_words(text: str) -> list[str]:
    return [word for word in re.findall(r"[^\W_]+", text.casefold()) if word not in _STOP_WORDS]


def _mentions(words: Sequence[str], label: str) -> bool:
    own = _content_words(label)
    return bool(own) and _covers(words, own)


def _covers(words: Sequence[str], wanted: Sequence[str]) -> bool:
    return all(any(_is_alike(word, other) for other in words) for word in wanted)


def _is_alike(one: str, other: str) -> bool:
    if one == other or one.rstrip("s") == other.rstrip("s"):
        return True
    if min(len(one), len(other)) >= 4 and one[:4] == other[:4] and abs(len(one) - len(other)) <= 3:
        return True
    return min(len(one), len(other)) >= 5 and SequenceMatcher(None, one, other).ratio() >= _ALIKE


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "!", "?", ":")) else f"{text}."


def _short(text: str) -> str:
    if len(text) <= _MAX_READ:
        return text
    cut = text[:_MAX_READ].rsplit(" ", 1)[0]
    return f"{cut} … and more."


def _joined(items: Sequence[str], word: str = "and") -> str:
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {word} {items[-1]}"


def _is_or_are(contents: Sequence[str]) -> str:
    return "is" if contents[0].startswith("a ") else "are"


def _pattern(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives))


_SCREEN = r"(?:(?:my|the|this|that|your) )?(?:screen|page|window|display|monitor|app|website|site)"
_ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "last": -1, "1st": 1, "2nd": 2, "3rd": 3}
_ERROR = re.compile(
    r"\b(?:wrong|incorrect|expired|error|failed|failure|could ?n[o']t|cannot|can't|unable|"
    r"invalid|denied|not found|exceeded|warning|problem)\b",
    re.IGNORECASE,
)
_STOP_TEXT = """a an and am are at be can could did do does for from have he her his how i in is it its like look me
much my need of on or our please press read say says see she should show so some tell than that the
their them then there these they this to us want was we what what's whats when where which who why
will with would you your change make use set turn click open find go get thing one many any about
value amount price cost costs"""
_STOP_WORDS = frozenset(_STOP_TEXT.split())
_QUESTIONS: tuple[tuple[re.Pattern[str], Callable[[ScreenLayout, re.Match[str]], ScreenAnswer | None]], ...] = (
    (
        _pattern(
            r"(?:is|are) there (?:an? |any )?(?:\w+ )?(?:errors?|warnings?|problems?)(?: messages?)?(?: .*)?",
            r"what(?:'s| is| does| do)? (?:the|this|that)? ?(?:errors?|warnings?|problem)(?: messages?)?"
            r"(?: (?:mean|say|here|now|about))?",
            r"what(?:'s| is| went)(?: gone)? wrong(?: here)?|why did (?:it|this|that) fail",
            r"did (?:it|something) (?:fail|go wrong)",
            r"(?:explain|read) (?:me )?(?:the|this) (?:error|warning|message)(?: message)?",
        ),
        _error,
    ),
    (
        _pattern(
            rf"what does (?:it|this|that|the (?:dialog|message|text|window|popup|page)|{_SCREEN}) say",
            rf"read (?:me )?(?:it|this|that|everything|all|{_SCREEN}|the (?:dialog|message|text))"
            r"(?: aloud| out)?(?: to me)?",
        ),
        _read,
    ),
    (
        _pattern(
            r"(?:which|what) buttons?(?: are there| can i (?:press|click|see)| do (?:you|i) see| is there)?(?: .*)?",
            rf"what can i (?:press|click|tap|choose|select)(?: on)?(?: here| now| {_SCREEN})?",
        ),
        _buttons,
    ),
    (_pattern(r"who (?:is|am i|are you)? ?(?:logged|signed) in(?: here| as)?", r"whose account is (?:this|it)"), _user),
    (_pattern(r"read (?:me )?(?:the |this )?table(?: aloud| out)?(?: to me)?", r"what(?:'s| is) in the table"), _table),
    (
        _pattern(rf"read (?:me )?(?:the )?(?P<which>{'|'.join(_ORDINALS)}) paragraph(?: aloud| out)?(?: to me)?"),
        _paragraph,
    ),
    (_pattern(r"what(?:'s| is| does)?(?: in)?(?: the)? cell (?P<cell>[a-z] ?\d{1,5})(?: say| contain)?"), _cell),
    (_pattern(r"what(?:'s| is) (?:the |this )?(?P<field>.+?) (?:field|box|input|setting|option) for"), _field),
    (
        _pattern(
            rf"what(?:'s| is| are)?(?: there)?(?: do you see)? on {_SCREEN}",
            rf"describe {_SCREEN}|what do you see(?: now)?|what am i looking at",
        ),
        _describe,
    ),
)
