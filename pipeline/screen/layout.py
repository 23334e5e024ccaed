"""The layout of a screen: dialogs, headings, paragraphs, tables, fields and buttons, from its lines and surfaces."""

import re
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.events import Box
from pipeline.screen.read_text import ReadText
from pipeline.screen.surfaces import Surfaces

_MIN_CONFIDENCE = 0.5
"""Confidence below which a line is left out."""
_HEADING_RATIO = 1.15
"""Height of a heading's line against the median."""
_MAX_HEADING_WORDS = 8
_MENU_BOTTOM = 130
"""ymax up to which a row of short texts counts as a menu."""
_MIN_TABLE_ROWS, _MIN_TABLE_COLUMNS = 2, 3
_MIN_CARD_LINES = 4
_MENU_WORDS = frozenset(
    ("File", "Edit", "View", "Insert", "Format", "Data", "Tools", "Window", "Help", "History", "Bookmarks", "Go", "Run")
)
_PAGE = (0, 0, 1000, 1000)


@dataclass(frozen=True, slots=True)
class Heading:
    """A title, larger than the text around it."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Lines that belong together, joined with spaces."""

    text: str
    box: Box
    lines: tuple[tuple[str, Box], ...] = ()
    """Each line and its box."""


@dataclass(frozen=True, slots=True)
class Button:
    """A short label on a small surface of its own."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class Field:
    """A label and the value beside it; an input without a label has an empty one."""

    label: str
    value: str
    box: Box
    note: str = ""
    """The smaller text under the label."""
    label_box: Box | None = None
    """The box of the label alone; None without one."""


@dataclass(frozen=True, slots=True)
class Menu:
    """A row of short texts at the top."""

    items: tuple[str, ...]
    box: Box


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table that has text."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells, the header among them; None where a cell is empty."""

    rows: tuple[tuple[Cell | None, ...], ...]
    box: Box
    first_row: int | None = None
    """The number of the first row in a spreadsheet, whose columns are A, B, C and so on."""

    def named(self, name: str) -> Cell | None:
        """Return a spreadsheet's cell by its name, such as "E4"; None if there is none."""
        found = re.fullmatch(r"([A-Za-z])(\d{1,5})", name)
        if found is None or self.first_row is None:
            return None
        row, column = int(found[2]) - self.first_row, ord(found[1].upper()) - ord("A")
        return self.rows[row][column] if 0 <= row < len(self.rows) and column < len(self.rows[row]) else None


Block = Heading | Paragraph | Button | Field | Menu | Table


@dataclass(frozen=True, slots=True)
class ScreenLayout:
    """The blocks of a screen in reading order."""

    dialog: tuple[Block, ...]
    """The blocks of the dialog in front; empty without one."""
    page: tuple[Block, ...]
    """The blocks of all else."""

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks, those of the dialog first."""
        return self.dialog + self.page

    @property
    def title(self) -> Heading | None:
        """The first heading of the dialog, or the largest of the page."""
        headings = [block for block in self.dialog or self.page if isinstance(block, Heading)]
        return headings[0] if self.dialog and headings else max(headings, key=_height, default=None)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line, the surface that it stands on, and the frame's width by its height."""

    text: str
    box: Box
    ground: Box
    """The smallest surface around it."""
    card: Box
    """The smallest surface around it that holds several lines more."""
    is_alone: bool
    """Whether it is the only line on its ground."""
    aspect: float

    @property
    def height(self) -> int:
        return self.box[2] - self.box[0]

    @property
    def middle(self) -> float:
        return (self.box[0] + self.box[2]) / 2

    @property
    def em(self) -> float:
        """The height in units of the width."""
        return self.height / self.aspect


def layout_of(lines: Sequence[ReadText], surfaces: Surfaces, *, aspect: float) -> ScreenLayout:
    """Build the layout of a frame whose width is `aspect` times its height."""
    placed = list(_placed(lines, surfaces, aspect))
    if surfaces.dialog is None:
        return ScreenLayout((), tuple(_blocks(placed)))
    inside = [line for line in placed if _holds(surfaces.dialog, _core(line.box))]
    outside = [line for line in placed if not _holds(surfaces.dialog, _core(line.box))]
    return ScreenLayout(_titled(tuple(_blocks(inside))), tuple(_blocks(outside)))


def _placed(lines: Sequence[ReadText], surfaces: Surfaces, aspect: float) -> Iterator[_Line]:
    legible = [
        (line, ground)
        for line, ground in zip(lines, surfaces.grounds, strict=True)
        if line.confidence >= _MIN_CONFIDENCE and line.text
    ]
    cores = [_core(line.box) for line, _ in legible]
    held = {surface: sum(_holds(surface, core) for core in cores) for surface in surfaces.boxes}
    for (line, flooded), core in zip(legible, cores, strict=True):
        around = [surface for surface in surfaces.boxes if _holds(surface, core)]
        card = min((surface for surface in around if held[surface] >= _MIN_CARD_LINES), key=_area, default=_PAGE)
        if flooded is not None and _holds(flooded, core):
            around.append(flooded)
        ground = min(around, key=_area, default=_PAGE)
        yield _Line(line.text, line.box, ground, card, sum(_holds(ground, other) for other in cores) == 1, aspect)


def _titled(dialog: tuple[Block, ...]) -> tuple[Block, ...]:
    """A dialog's first line is its title, also where it is no larger than the rest."""
    first, *rest = dialog or (None,)
    if isinstance(first, Paragraph | Field) and not any(isinstance(block, Heading) for block in rest):
        return (Heading(first.text if isinstance(first, Paragraph) else first.value, first.box), *dialog[1:])
    return dialog


def _blocks(lines: list[_Line]) -> Iterator[Block]:
    """Find tables first, then what remains row by row, and put all in reading order."""
    if not lines:
        return
    tables, rest = _tables(lines)
    height = statistics.median(line.height for line in lines)
    blocks: list[Block] = [*tables]
    rest, menus = _menus(rest)
    rest, fields = _fields(rest)
    rest, buttons = _buttons(rest)
    rest, inputs = _inputs(rest)
    fields += inputs
    blocks += [*menus, *buttons, *fields, *_texts(rest, height)]
    yield from _in_reading_order(blocks, lines[0].aspect)


# Tables


def _tables(lines: list[_Line]) -> tuple[list[Table], list[_Line]]:
    tables: list[Table] = []
    used: set[int] = set()
    for card in {line.card for line in lines}:
        run: list[list[_Line]] = []
        for row in [*_rows(line for line in lines if line.card == card), []]:
            if len(row) >= _MIN_TABLE_COLUMNS and (not run or _continues(run[-1], row)):
                run.append(row)
                continue
            if len(run) >= _MIN_TABLE_ROWS and (table := _table(run)) is not None:
                tables.append(table)
                used |= {id(line) for cells in run for line in cells}
            run = [row] if len(row) >= _MIN_TABLE_COLUMNS else []
    margins = [(table.box[1], table.box[3]) for table in tables if table.first_row is not None]
    return tables, [line for line in lines if id(line) not in used and not _is_row_number(line, margins)]


def _is_row_number(line: _Line, margins: list[tuple[int, int]]) -> bool:
    return line.text.isdecimal() and any(left - 5 <= line.box[1] <= left + 30 for left, _ in margins)


def _continues(above: list[_Line], row: list[_Line]) -> bool:
    gap = min(line.box[0] for line in row) - max(line.box[2] for line in above)
    return gap < 1.5 * statistics.median(line.height for line in row)


def _table(rows: list[list[_Line]]) -> Table | None:
    columns = _columns(rows)
    if len(columns) < _MIN_TABLE_COLUMNS:
        return None
    cells = [[_cell(row, column) for column in columns] for row in rows]
    # At least two rows must fill most columns: otherwise it is text that happens to stand side by side.
    if sum(sum(cell is not None for cell in row) >= 0.6 * len(columns) for row in cells) < _MIN_TABLE_ROWS:
        return None
    first_row = None
    letters = [cell.text if cell else "" for cell in cells[0]]
    numbers = [cells[index][0] for index in range(1, len(cells))]
    if _is_alphabet(letters[-sum(map(bool, letters)) :]) and all(cell and cell.text.isdecimal() for cell in numbers):
        first_row = int(numbers[0].text) if numbers and numbers[0] else None
        start = next(index for index, text in enumerate(letters) if text)
        cells = [row[start:] for row in cells[1:]]
    box = _around(line.box for row in rows for line in row)
    return Table(tuple(map(tuple, cells)), box, first_row)


def _is_alphabet(letters: list[str]) -> bool:
    return len(letters) >= 2 and letters == [chr(ord("A") + index) for index in range(len(letters))]


def _columns(rows: list[list[_Line]]) -> list[tuple[int, int]]:
    spans = sorted(_column_span(line, rows) for row in rows for line in row)
    columns: list[tuple[int, int]] = []
    for left, right in spans:
        if columns and left < columns[-1][1] - 2:  # borders touch
            columns[-1] = (columns[-1][0], max(columns[-1][1], right))
        else:
            columns.append((left, right))
    return columns


def _column_span(line: _Line, rows: list[list[_Line]]) -> tuple[int, int]:
    """Return the width of the line's cell, or of its text where the ground is no cell."""
    left, right = line.ground[1], line.ground[3]
    is_low = line.is_alone and line.ground[2] - line.ground[0] < 3 * line.height
    is_one_column = all(sum(left <= (cell.box[1] + cell.box[3]) / 2 <= right for cell in row) <= 1 for row in rows)
    return (left, right) if is_low and is_one_column else (line.box[1], line.box[3])


def _cell(row: list[_Line], column: tuple[int, int]) -> Cell | None:
    inside = [line for line in row if column[0] - 2 <= (line.box[1] + line.box[3]) / 2 <= column[1] + 2]
    return Cell(" ".join(line.text for line in inside), _around(line.box for line in inside)) if inside else None


# Menus, buttons, fields


def _menus(lines: list[_Line]) -> tuple[list[_Line], list[Menu]]:
    menus: list[Menu] = []
    used: set[int] = set()
    for row in _rows(lines):
        texts = [line.text for line in row]
        words = row[0].text.split()
        if len(row) == 1 and len(words) >= 3 and len(_MENU_WORDS.intersection(words)) > len(words) / 2:
            texts = words  # the reader joins the words of a narrow menu
        if len(texts) >= 3 and all(len(text.split()) <= 3 for text in texts) and row[0].box[2] < _MENU_BOTTOM:
            menus.append(Menu(tuple(texts), _around(line.box for line in row)))
            used |= set(map(id, row))
    return [line for line in lines if id(line) not in used], menus


def _buttons(lines: list[_Line]) -> tuple[list[_Line], list[Button]]:
    found = [line for line in lines if _is_on_button(line)]
    taken = set(map(id, found))
    rest = [line for line in lines if id(line) not in taken]
    return rest, [Button(line.text, line.ground) for line in found]


def _is_on_button(line: _Line) -> bool:
    top, left, bottom, right = line.ground
    if line.ground == _PAGE or bottom - top > 2.6 * line.height or len(line.text.split()) > 4:
        return False
    before, after = line.box[1] - left, right - line.box[3]
    is_centred = abs(before - after) <= 0.5 * line.em
    return is_centred and line.is_alone


def _fields(lines: list[_Line]) -> tuple[list[_Line], list[Field]]:
    """Pair a label with the value to its right, on the same surface or on the value's own."""
    fields: list[Field] = []
    used: set[int] = set()
    for line in lines:
        if id(line) in used or not re.search(r"[^\W\d_]", line.text):
            continue
        beside = [other for other in lines if id(other) not in used and _is_value_of(line, other)]
        if len(beside) != 1:
            continue
        value = beside[0]
        notes = [other for other in lines if _is_note_of(line, other) and id(other) not in used]
        used |= {id(line), id(value), *map(id, notes)}
        box = _around(each.box for each in (line, value, *notes))
        fields.append(Field(line.text, value.text, box, " ".join(note.text for note in notes), line.box))
    return [line for line in lines if id(line) not in used], fields


def _inputs(lines: list[_Line]) -> tuple[list[_Line], list[Field]]:
    fields: list[Field] = []
    used: set[int] = set()
    for line in (line for line in lines if _is_on_input(line, lines)):
        label = next((other for other in lines if _is_label_above(other, line) and id(other) not in used), None)
        used |= {id(line), id(label)}
        box = line.ground if label is None else _around((label.box, line.ground))
        name, place = ("", None) if label is None else (label.text, label.box)
        fields.append(Field(name, line.text, box, label_box=place))
    return [line for line in lines if id(line) not in used], fields


def _is_label_above(label: _Line, line: _Line) -> bool:
    gap = line.ground[0] - label.box[2]
    is_aligned = abs(label.box[1] - line.ground[1]) < label.em
    return -0.3 * label.height < gap < label.height and is_aligned and len(label.text.split()) <= 4


def _is_value_of(label: _Line, other: _Line) -> bool:
    is_right = other.box[1] > label.box[3] + 1.5 * label.em
    is_level = abs(other.middle - label.middle) < 0.75 * label.height
    if label.ground == _PAGE or label.ground == label.card:
        return is_right and is_level and label.card == other.card and bool(re.search(r"\d", other.text))
    return is_right and is_level and _holds(label.ground, _core(other.box))


def _is_note_of(label: _Line, other: _Line) -> bool:
    is_below = 0 < other.middle - label.middle < 1.5 * label.height and abs(other.box[1] - label.box[1]) < label.em
    is_alone_with_it = label.ground[2] - label.ground[0] < 5 * label.height
    return is_below and is_alone_with_it and other.ground == label.ground


def _is_on_input(line: _Line, lines: list[_Line]) -> bool:
    top, left, bottom, right = line.ground
    is_low = line.ground != _PAGE and bottom - top <= 2.6 * line.height
    is_at_left = line.box[1] - left < 1.5 * line.em and right - line.box[3] > line.em
    is_of_a_list = any(
        other is not line
        and abs(other.box[1] - line.box[1]) < 0.25 * line.em
        and abs(other.middle - line.middle) < 2.5 * line.height
        for other in lines
    )
    is_short = len(line.text.split()) <= 4 and bool(re.search(r"[^\W\d_]", line.text))
    return line.is_alone and is_low and is_at_left and is_short and not is_of_a_list


# Text


def _texts(lines: list[_Line], height: float) -> Iterator[Heading | Paragraph]:
    open_lines: list[_Line] = []
    # Each paragraph is followed downwards: lines of other columns stand between its lines.
    rest = sorted(lines, key=lambda line: (line.box[0], line.box[1]))
    while rest:
        open_lines = [rest.pop(0)]
        while (below := next((line for line in rest if _continues_text(open_lines[-1], line)), None)) is not None:
            open_lines.append(below)
            rest.remove(below)
        first, box = open_lines[0], _around(line.box for line in open_lines)
        text = " ".join(line.text for line in open_lines)
        is_large = first.height >= _HEADING_RATIO * height
        if is_large and len(open_lines) == 1 and len(text.split()) <= _MAX_HEADING_WORDS and not text.endswith("."):
            yield Heading(text, box)
        else:
            yield Paragraph(text, box, tuple((line.text, line.box) for line in open_lines))


def _continues_text(above: _Line, line: _Line) -> bool:
    is_below = -0.35 * above.height < line.box[0] - above.box[2] < 0.35 * above.height
    is_aligned = abs(line.box[1] - above.box[1]) < 0.6 * above.em
    is_alike = abs(line.height - above.height) <= 0.25 * above.height
    is_full = above.box[3] - above.box[1] > 12 * above.em or not above.text.endswith((".", ":", "!", "?"))
    return is_below and is_aligned and is_alike and line.ground == above.ground and is_full


# Reading order


def _in_reading_order(blocks: list[Block], aspect: float) -> list[Block]:
    """Cut the blocks at the widest gap, across or down, again and again."""
    if len(blocks) < 2:
        return blocks
    down, across = _widest_gap(blocks, 0), _widest_gap(blocks, 1)
    if down is None and across is None:
        return sorted(blocks, key=lambda block: (block.box[0], block.box[1]))
    # A gap between columns is what keeps rows of different columns apart, unless the rows are farther apart.
    axis, at = (0, down) if across is None or (down is not None and down[0] / aspect >= across[0]) else (1, across)
    assert at is not None
    first = [block for block in blocks if block.box[axis + 2] <= at[1]]
    second = [block for block in blocks if block.box[axis + 2] > at[1]]
    return _in_reading_order(first, aspect) + _in_reading_order(second, aspect)


def _widest_gap(blocks: list[Block], axis: int) -> tuple[int, int] | None:
    """Return the width of the widest gap that no block crosses, and where it begins."""
    spans = sorted((block.box[axis], block.box[axis + 2]) for block in blocks)
    end, widest = spans[0][1], None
    for low, high in spans[1:]:
        if low > end and (widest is None or low - end > widest[0]):
            widest = (low - end, end)
        end = max(end, high)
    return widest


def _rows(lines: Iterable[_Line]) -> list[list[_Line]]:
    """Group lines whose middles are level, from top to bottom, each row from left to right."""
    rows: list[list[_Line]] = []
    for line in sorted(lines, key=lambda line: line.middle):
        if rows and abs(rows[-1][-1].middle - line.middle) < 0.4 * min(line.height, rows[-1][-1].height):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda line: line.box[1]) for row in rows]


def _core(box: Box) -> Box:
    """The middle of a line: the reader's boxes reach over the edges of what the line stands on."""
    middle, inset = (box[0] + box[2]) // 2, min(3, (box[3] - box[1]) // 3)
    return middle, box[1] + inset, middle + 1, box[3] - inset


def _holds(outer: Box, inner: Box) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


def _height(block: Block) -> int:
    return block.box[2] - block.box[0]


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _around(boxes: Iterable[Box]) -> Box:
    tops, lefts, bottoms, rights = zip(*boxes, strict=True)
    return min(tops), min(lefts), max(bottoms), max(rights)
