"""What a document is: sections with sentences, charts and tables. Every kind of file is made from it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import TypeAlias

Cell: TypeAlias = str | int | Decimal | None
"""Text, a whole number, or a decimal with as many digits as are shown; None where there is nothing."""

IN_FRONT = 250
"""Letters of what somebody said for which there is room on a first page, beside what others did."""
NAME = 60
"""Letters of a name for which there is room beside others, or in a title."""

_UNSTORABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]")
_TIME = re.compile("-?[0-9]+:[0-9]{2}:[0-9]{2}")


@dataclass(frozen=True)
class Table:
    """Columns by title, `numbers` of which are right-aligned; `marked` are the rows to be seen first.

    One that is `behind` stands behind a chart that shows the same: it is opened on a page, and left out of print. One
    that is `fine` is there to look things up in: it is set small.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    marked: frozenset[int] = frozenset()
    behind: bool = False
    fine: bool = False

    def is_number(self, column: int) -> bool:
        """Whether a column holds numbers, or times of day."""
        cells = [row[column] for row in self.rows if row[column] is not None]
        return bool(cells) and not any(isinstance(cell, str) and not _TIME.fullmatch(cell) for cell in cells)


@dataclass(frozen=True)
class Trend:
    """How did it go? A line over time, within the bounds that were to be kept. None: nothing then.

    `missed` are the places at which they were not, by the exact values.
    """

    title: str
    unit: str
    labels: Sequence[str]
    values: Sequence[Decimal | None]
    minimum: Sequence[Decimal | None]
    maximum: Sequence[Decimal | None]
    missed: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Bars:
    """Which are the most? Bars from the largest; `marked` are to be seen first."""

    title: str
    unit: str
    labels: Sequence[str]
    values: Sequence[Decimal]
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Heat:
    """When, or where, is there much? A field for each row and column, darker for more; None: nothing there.

    `marked` are columns to be seen first; `legend` says what is shown. With `missed`, fields (row and column) in which
    a target was missed, those are shown in place of how much there is.
    """

    title: str
    legend: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[Decimal | None]]
    marked: frozenset[int] = frozenset()
    missed: frozenset[tuple[int, int]] | None = None


@dataclass(frozen=True)
class Course:
    """What came when? A line for each kind of thing, and on it a point for each day on which there was one.

    `days` are of the calendar, by line; `marked` are points (line and day) to be seen first.
    """

    title: str
    lines: Sequence[str]
    days: Sequence[Sequence[date]]
    marked: frozenset[tuple[int, date]] = frozenset()


Chart: TypeAlias = Trend | Bars | Heat | Course


@dataclass(frozen=True)
class Section:
    """Sentences say what to see first. One that begins an `own_page` does so in print."""

    title: str
    sentences: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    own_page: bool = False


@dataclass(frozen=True)
class Document:
    title: str
    subtitle: str
    headlines: Sequence[tuple[str, Cell]]
    """What it is about in a few numbers: each with what it is."""
    sections: Sequence[Section] = field(default_factory=list)
    language: str = "en"
    """ISO 639-1: by it words are broken, and read to people."""
    prose: bool = False
    """Read from beginning to end, like a letter: set larger in print."""


def storable(text: str) -> str:
    """Text without what XML 1.0, of which workbooks and charts are made, cannot hold, and without signs that turn the
    direction of writing: they would turn what stands around it."""
    return _UNSTORABLE.sub("", text)


def shortened(text: str, letters: int) -> str:
    """The beginning of a text on one line, at most so long and at the end of a word where one ends near there: for a
    place at which there is no room for the whole."""
    line = " ".join(text.split())
    if len(line) <= letters:
        return line
    words = line[:letters].rpartition(" ")[0]
    return f"{words if len(words) > letters / 2 else line[: letters - 1]}…"


def shown(cell: Cell) -> str:
    """A cell as people read it: thousands in groups, a sign that is a minus."""
    if cell is None:
        return ""
    return cell if isinstance(cell, str) else f"{cell:,}".replace("-", "−")
