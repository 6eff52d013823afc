"""Tables of text, out of CSV and XLSX files: row by row, with every cell as a spreadsheet would save it in a CSV."""

import codecs
import csv
import re
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from libs.cli.lines import Lines
from libs.cli.mapping import Unusable, WrongFile

REPORT_COLUMNS = ("import_row", "import_reason", "import_message")
"""In front of a report's other columns: so they stay where they are when rows have too many or too few cells. A file
that begins with them is a report; without them it is the table again."""

MOST_LINES_IN_A_ROW = 200
"""A row with more lines than this has a quote that is never closed. It alone is lost, not what it would swallow."""

_REPORT = re.compile(rb'"?import_row"?([^a-z"])"?import_reason')
_XLSX, _OLD_EXCEL = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True, slots=True)
class Row:
    """One row that is not empty.

    Attributes:
        number: as a spreadsheet counts, from 1, in the file that was imported first: a report keeps its numbers.
        cells: as they stand in the file.
        broken: its quotes are not closed; `cells` are those of its first line, whatever the quotes.
    """

    number: str
    cells: Sequence[str]
    broken: bool = False

    def check(self, width: int | None, encoding: str) -> None:
        """Raises Unusable if it cannot be read as it was meant; `width` is that of the header, if there is one."""
        if self.broken:
            raise Unusable("broken_row", "a cell begins with a quotation mark and does not end with one")
        if width is not None and any(cell.strip() for cell in self.cells[width:]):
            raise Unusable("columns", f"the row has {len(self.cells)} cells, the header {width}")
        try:
            "".join(self.cells).encode()
        except UnicodeEncodeError:
            raise Unusable("bad_encoding", f"bytes that are not {encoding}; type the text anew") from None


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is being read.

    Attributes:
        header: the names of its columns, if it has a header.
        rows: those below the header that are not empty; they can be read once.
        size: bytes of a CSV file, rows of a sheet; 0 if that is unknown.
        done: answers how much of that is read so far.
    """

    header: Sequence[str] | None
    rows: Iterator[Row]
    size: int
    done: Callable[[], int]


def is_xlsx(path: Path) -> bool:
    """By what is in it: a report about an XLSX file is a CSV. Raises WrongFile for an Excel file of the old kind."""
    with path.open("rb") as file:
        begin = file.read(4)
    if begin == _OLD_EXCEL:
        raise WrongFile(f"{path} is in the old format of Excel (or protected); save it as .xlsx or .csv")
    return begin == _XLSX


def read_csv(path: Path, *, delimiter: str, encoding: str, header_row: int) -> Table:
    """A CSV file, or a report about any file. `header_row` names the columns; 0: none does.

    A report has the delimiter with which its columns are written: spreadsheets save with that of their language.
    Raises WrongFile and OSError, also while rows are read.
    """
    lines = Lines()
    with path.open("rb") as file:
        if match := _REPORT.match(file.read(100).removeprefix(codecs.BOM_UTF8)):
            delimiter = match[1].decode()

    def rows() -> Iterator[tuple[Sequence[str], bool]]:
        with path.open("rb") as file:
            yield from _records(lines.read(file, encoding), delimiter)

    header, found = _parted(path, rows(), header_row)
    return Table(header, found, path.stat().st_size, lambda: lines.count)


def read_xlsx(path: Path, *, sheet: str | None, decimal_mark: str, header_row: int) -> Table:
    """A sheet of an XLSX file. Of formulas the values that were stored; of merged cells the first has the value.

    Args:
        path: the file.
        sheet: its name; None: the only one that is not hidden.
        decimal_mark: with which numbers are written.
        header_row: which row names the columns; 0: none does.

    Raises WrongFile and OSError, also while rows are read.
    """
    file = path.open("rb")  # its name may end as it likes
    try:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
    except (InvalidFileException, zipfile.BadZipFile, KeyError, SyntaxError, ValueError) as error:
        file.close()
        raise WrongFile(f"{path} is no XLSX file that can be read ({error}); save it anew as .xlsx or .csv") from None
    visible = [one.title for one in book.worksheets if one.sheet_state == "visible"]
    if sheet is None and len(visible) != 1:
        raise WrongFile(f"{path} has the sheets {', '.join(visible)}: name one, by --sheet or in the mapping")
    name = visible[0] if sheet is None else sheet
    if name not in (one.title for one in book.worksheets):
        raise WrongFile(f"{path} has no sheet {name!r}; it has {', '.join(visible)}")
    found: Any = book[name]  # the type stubs know sheets that can be written
    if not found.max_row:  # some programs leave it to the reader to count
        found.calculate_dimension(force=True)
    size = found.max_row or 0
    found.reset_dimensions()  # some programs state them wrongly, and rows would be cut off
    number = 0

    def rows() -> Iterator[tuple[Sequence[str], bool]]:
        nonlocal number
        try:
            for number, cells in enumerate(found.iter_rows(), 1):  # noqa: B007 - others ask for it
                yield [_text(cell, decimal_mark) for cell in cells], False
        except (zipfile.BadZipFile, KeyError, SyntaxError, ValueError) as error:
            raise WrongFile(f"{path}: sheet {name!r} cannot be read beyond row {number}: {error}") from None
        finally:
            file.close()

    header, cells = _parted(path, rows(), header_row)
    return Table(header, cells, size, lambda: number)


def _parted(
    path: Path, rows: Iterator[tuple[Sequence[str], bool]], header_row: int
) -> tuple[Sequence[str] | None, Iterator[Row]]:
    """Header and rows; of a report without its own columns."""
    first = next(rows, ((), False))
    report = tuple(first[0][: len(REPORT_COLUMNS)]) == REPORT_COLUMNS
    header: Sequence[str] | None = None
    found: Iterator[Row]
    if report:
        own = len(REPORT_COLUMNS)
        header = first[0][own:] if header_row else None
        found = (Row(cells[0] if cells else "", cells[own:], broken) for cells, broken in rows)
    else:
        every = chain([first], rows)
        for _ in range(header_row):
            header, _ = next(every, ((), False))
        found = (Row(str(number), cells, broken) for number, (cells, broken) in enumerate(every, header_row + 1))
    if header_row:
        header = [" ".join(name.split()) for name in header or ()]
        if not any(header):
            raise WrongFile(f"{path}: row {1 if report else header_row} is empty, a header was expected there")
    return header, (row for row in found if any(cell.strip() for cell in row.cells))


def _records(lines: Iterator[str], delimiter: str) -> Iterator[tuple[Sequence[str], bool]]:
    """Cells of each row, and whether it is broken."""
    ahead: deque[str] = deque()
    while True:
        # A quote that is not closed would join its row with others, up to the next quote: then the first line alone
        # is looked at, where a misplaced quote does no harm if it is closed.
        for strict, most in ((True, MOST_LINES_IN_A_ROW), (False, 1)):
            used: list[str] = []
            cells = _record(lines, ahead, used, most, delimiter, strict=strict)
            if not used:
                return
            if cells is not None:
                yield cells, False
                break
            ahead.extendleft(reversed(used))
        else:
            yield ahead.popleft().replace("\r", "").rstrip("\n").split(delimiter), True


def _record(
    lines: Iterator[str], ahead: deque[str], used: list[str], most: int, delimiter: str, *, strict: bool
) -> list[str] | None:
    """Cells of the next row, of so many lines at most, which go into `used`; None if it cannot be read so."""
    whole = True

    def feed() -> Iterator[str]:
        nonlocal whole
        while len(used) < most and (line := ahead.popleft() if ahead else next(lines, None)) is not None:
            used.append(line)
            yield line
        whole = False  # nobody asks for more than a row

    try:
        cells = next(csv.reader(feed(), delimiter=delimiter, strict=strict), None)
    except csv.Error:
        return None
    return cells if whole else None


def _text(cell: Any, decimal_mark: str) -> str:
    """What a cell holds: days YYYY-MM-DD, times hh:mm:ss, numbers plain, with the 15 digits that spreadsheets show."""
    text = "" if cell.value is None else str(cell.value)
    match cell.value:
        case bool():
            text = text.upper()
        case float(number):
            text = format(Decimal(format(number, ".15g")), "f").replace(".", decimal_mark)
        case datetime() as moment:
            moment = (moment + timedelta(milliseconds=500)).replace(microsecond=0)  # fractions of days are not exact
            # A day without a time of day has a format without hours.
            only_day = moment.time() == time.min and "h" not in cell.number_format.lower()
            text = moment.date().isoformat() if only_day else moment.isoformat(sep=" ")
        case time() as clock:
            text = _clock(datetime.combine(date.min, clock) - datetime.combine(date.min, time.min))
        case timedelta() as span:
            text = _clock(span)
    return text


def _clock(span: timedelta) -> str:
    minutes, second = divmod(round(span.total_seconds()), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}"
