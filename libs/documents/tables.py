"""A document as tables: one CSV with all of them below each other, or a workbook with a sheet for each."""

import csv
import re
from collections.abc import Iterator
from decimal import Decimal
from io import BytesIO, StringIO

from openpyxl import Workbook
from openpyxl.cell import Cell as OneCell
from openpyxl.cell import MergedCell
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from libs.documents.document import Cell, Document, Table, storable

MARK = "\ufeff"
"""By which spreadsheets know that a CSV is in UTF-8."""

_BOLD = Font(bold=True)
_QUIET = PatternFill("solid", start_color="F3F5F7")
_MARKED = Font(color="B3261E")


def csv_of(document: Document) -> bytes:
    """UTF-8 with its mark, fields with commas, lines as RFC 4180 has them.

    Above each table stands an empty line and one with its name. Text that a spreadsheet would take for a formula begins
    with an apostrophe.
    """
    out = StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([_harmless(document.title)])
    writer.writerow([_harmless(document.subtitle)])
    for table in _tables(document):
        writer.writerow([])
        writer.writerow([_harmless(table.title)])
        writer.writerow([_written(title) for title in table.columns])
        writer.writerows([_written(cell) for cell in row] for row in table.rows)
    return (MARK + out.getvalue()).encode()


def workbook_of(document: Document) -> bytes:
    """XLSX: a sheet for each table, numbers as numbers, headers that stay when scrolled."""
    book = Workbook()
    about: Worksheet = book.worksheets[0]
    about.title = "Report"
    about.column_dimensions["A"].width = 30
    for row, line in enumerate(((document.title,), (document.subtitle,), (), *document.headlines), 1):
        for column, text in enumerate(line, 1):
            _put(about.cell(row, column), text)
    for table in _tables(document):
        _fill(book.create_sheet(_sheet_name(table.title)), table)
    out = BytesIO()
    book.save(out)
    return out.getvalue()


def _tables(document: Document) -> Iterator[Table]:
    for section in document.sections:
        yield from section.tables


def _fill(sheet: Worksheet, table: Table) -> None:
    sheet.freeze_panes = "A2"
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(table.columns))}{len(table.rows) + 1}"
    for column, title in enumerate(table.columns):
        longest = max([len(title), *(len(str(row[column])) for row in table.rows if row[column] is not None)])
        sheet.column_dimensions[get_column_letter(column + 1)].width = min(48, longest + 3)
        header = sheet.cell(1, column + 1)
        _put(header, title)
        header.font, header.fill = _BOLD, _QUIET
        header.alignment = Alignment(horizontal="right" if table.is_number(column) else None)
        for index, row in enumerate(table.rows):
            cell = sheet.cell(index + 2, column + 1)
            _put(cell, row[column])
            if index in table.marked:
                cell.font = _MARKED


def _put(cell: OneCell | MergedCell, content: Cell) -> None:
    """Text stays text, whatever it begins with; a number shows as many digits as it has."""
    if isinstance(content, str):
        cell.value = storable(content)
        cell.data_type = "s"
    elif content is not None:
        cell.value = content
        digits = max(0, -int(content.as_tuple().exponent)) if isinstance(content, Decimal) else 0
        cell.number_format = f"#,##0.{'0' * digits}" if digits else "#,##0"


def _sheet_name(title: str) -> str:
    """At most 31 characters, none of those that are not allowed there. Titles of a document's tables differ in them."""
    return re.sub(r"[\[\]:*?/\\]", " ", title)[:31]


def _written(cell: Cell) -> str:
    if cell is None:
        return ""
    return _harmless(cell) if isinstance(cell, str) else str(cell)


def _harmless(text: str) -> str:
    """What a spreadsheet takes for a formula, as text: see OWASP on CSV injection."""
    text = storable(text)
    formula = text.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"))
    return f"'{text}" if formula else text
