"""Tables of text: what rows of CSV and XLSX files hold, whatever programs and people did to them."""

import csv
import random
import tracemalloc
import zipfile
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from datetime import time as clock
from pathlib import Path

import openpyxl
import pytest

from libs.cli.mapping import WrongFile
from libs.cli.tables import MOST_LINES_IN_A_ROW, REPORT_COLUMNS, Table, is_xlsx, read_csv, read_xlsx


def comma(path: Path, header_row: int = 1, encoding: str = "utf-8", delimiter: str = ",") -> Table:
    return read_csv(path, delimiter=delimiter, encoding=encoding, header_row=header_row)


def cells(table: Table) -> list[list[str]]:
    return [list(row.cells) for row in table.rows]


def sheet(path: Path, sheet: str | None = None, header_row: int = 1, mark: str = ".") -> Table:
    assert is_xlsx(path)
    return read_xlsx(path, sheet=sheet, decimal_mark=mark, header_row=header_row)


def book(path: Path, *rows: Sequence[object], formats: dict[str, str] | None = None) -> Path:
    made = openpyxl.Workbook()
    active = made.active
    assert active is not None
    for row in rows:
        active.append(list(row))
    for place, form in (formats or {}).items():
        active[place].number_format = form
    made.save(path)
    return path


moment = datetime.fromisoformat


def test_what_spreadsheets_save(tmp_path: Path) -> None:
    """A mark of UTF-8, CRLF, quotes, breaks in cells, names of every script, empty lines; rows keep numbers."""
    path = tmp_path / "t.csv"
    names = ["Jānis Bērziņš", "王小明", "מיכל לוי", "O'Brien, Ann", 'Ann "Annie" O', "two\r\nlines"]
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        out = csv.writer(file)
        out.writerow((" Agent\nname ", "Day"))
        file.write("\r\n")
        for name in names:
            out.writerow((name, "1"))
        file.write(",,\r\n\r\n")
        out.writerow(("last", "2"))
    table = comma(path, encoding="latin-1")
    rows = list(table.rows)
    assert table.header == ["Agent name", "Day"]
    assert [row.cells[0] for row in rows] == [*names, "last"]
    assert [row.number for row in rows] == ["3", "4", "5", "6", "7", "8", "11"]
    assert not any(row.broken for row in rows)
    assert table.done() == table.size == path.stat().st_size


def test_ragged_rows_keep_their_cells(tmp_path: Path) -> None:
    """Neither too few nor too many cells are lost."""
    (tmp_path / "t.csv").write_text("a,b\n1\n1,2,3\n")
    assert cells(comma(tmp_path / "t.csv")) == [["1"], ["1", "2", "3"]]


@pytest.mark.parametrize("lines", [3, 3 * MOST_LINES_IN_A_ROW])
def test_a_quote_that_never_ends_loses_its_row_only(tmp_path: Path, lines: int) -> None:
    """What comes behind it is read as if nothing had happened."""
    (tmp_path / "t.csv").write_text('a,b\n0,x\n1,"x\n' + "".join(f"{n},y\n" for n in range(lines)) + '8,"z\n')
    rows = list(comma(tmp_path / "t.csv").rows)
    assert [row.cells for row in rows if row.broken] == [["1", '"x'], ["8", '"z']]
    assert [row.cells[0] for row in rows if not row.broken] == ["0", *(str(n) for n in range(lines))]


def test_a_misplaced_quote_does_no_harm(tmp_path: Path) -> None:
    """Where it is closed, or within a cell, a row is as lenient programs read it."""
    (tmp_path / "t.csv").write_text('a,b\n"x" y,5" screen\n"x" ,z\n')
    assert cells(comma(tmp_path / "t.csv")) == [["x y", '5" screen'], ["x ", "z"]]


def test_bytes_that_are_no_text_survive(tmp_path: Path) -> None:
    """They are told apart by their row, which stays as it is."""
    (tmp_path / "t.csv").write_bytes(b"a\nJ\xe2nis\n")
    ((cell,),) = cells(comma(tmp_path / "t.csv"))
    assert cell.encode("utf-8", "surrogateescape") == b"J\xe2nis"


def test_a_title_above_the_header(tmp_path: Path) -> None:
    """Rows above the header are none of the table's; without a header all are."""
    (tmp_path / "t.csv").write_text("Report of May\n\nAgent;Day\ne-1;1\n")
    table = comma(tmp_path / "t.csv", header_row=3, delimiter=";")
    assert table.header == ["Agent", "Day"]
    assert [(row.number, list(row.cells)) for row in table.rows] == [("4", ["e-1", "1"])]
    assert comma(tmp_path / "t.csv", header_row=0).header is None
    with pytest.raises(WrongFile, match="row 2 is empty, a header was expected"):
        comma(tmp_path / "t.csv", header_row=2)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header_row", [0, 1, 3])
def test_a_report_is_the_table_again(tmp_path: Path, header_row: int, delimiter: str) -> None:
    """Its own columns are taken off, its rows keep their numbers; whoever saved it, and wherever the header was."""
    with (tmp_path / "t.csv").open("w", encoding="utf-8-sig", newline="") as file:
        out = csv.writer(file, delimiter=delimiter)
        out.writerow((*REPORT_COLUMNS, *(("Agent", "Day") if header_row else ())))
        out.writerows([("17", "bad_date", "no day", "e-1", "1", "ragged"), ("", "", "", "e-2", "2")])
    table = comma(tmp_path / "t.csv", header_row=header_row)
    assert table.header == (["Agent", "Day"] if header_row else None)
    assert [(row.number, list(row.cells)) for row in table.rows] == [
        ("17", ["e-1", "1", "ragged"]),
        ("", ["e-2", "2"]),
    ]


def test_cells_of_xlsx_are_what_a_csv_of_it_has(tmp_path: Path) -> None:
    """Days, times, durations, numbers to the digit that is shown, truths, names; formulas and merged cells by value."""
    path = book(
        tmp_path / "t.xlsx",
        ("name", 1),
        (date(2026, 3, 1), moment("2026-03-01 09:15:22"), moment("2026-03-01")),
        (clock(7, 5), timedelta(hours=30, minutes=1), moment("2026-03-01 09:15:21.999999")),
        (0.1 + 0.2, 5.0, -1234567.125),
        (1e-7, 10**12, True),
        (None, None, None),
        ("王小明", "=1+1", "#N/A"),
        formats={"C2": "yyyy-mm-dd hh:mm", "A2": "dd.mm.yyyy"},
    )
    table = sheet(path)
    assert table.header == ["name", "1"]
    assert [(row.number, list(row.cells)) for row in table.rows] == [
        ("2", ["2026-03-01", "2026-03-01 09:15:22", "2026-03-01 00:00:00"]),
        ("3", ["07:05:00", "30:01:00", "2026-03-01 09:15:22"]),
        ("4", ["0.3", "5", "-1234567.125"]),
        ("5", ["0.0000001", "1000000000000", "TRUE"]),
        ("7", ["王小明", "", "#N/A"]),  # the formula was never computed
    ]
    assert table.size == 7
    assert list(sheet(path, mark=",").rows)[2].cells == ["0,3", "5", "-1234567,125"]


def test_formulas_and_merged_cells(tmp_path: Path) -> None:
    """Of a formula comes what was stored when it was last computed; of merged cells the first has the value."""
    made = openpyxl.Workbook()
    active = made.active
    assert active is not None
    for row in (["a", "b"], ["both", "hidden"], ["=3*4", "x"]):
        active.append(row)
    active.merge_cells("A2:B2")
    made.save(tmp_path / "made.xlsx")
    with zipfile.ZipFile(tmp_path / "made.xlsx") as made_in, zipfile.ZipFile(tmp_path / "t.xlsx", "w") as out:
        for name in made_in.namelist():
            computed = made_in.read(name).replace(b"<f>3*4</f><v></v>", b"<f>3*4</f><v>12</v>")
            out.writestr(name, computed.replace(b"<f>3*4</f><v />", b"<f>3*4</f><v>12</v>"))
    assert cells(sheet(tmp_path / "t.xlsx")) == [["both"], ["12", "x"]]


def test_rows_that_nobody_counted(tmp_path: Path) -> None:
    """Programs that write as they go state no size; progress needs one all the same."""
    made = openpyxl.Workbook(write_only=True)
    one = made.create_sheet()
    for number in range(5):
        one.append([number])
    made.save(tmp_path / "t.xlsx")
    table = sheet(tmp_path / "t.xlsx")
    assert (table.size, len(list(table.rows)), table.done()) == (5, 4, 5)


def test_sheets_are_named_unless_there_is_one(tmp_path: Path) -> None:
    """Of several that are shown one is named; hidden ones can be, too."""
    made = openpyxl.Workbook()
    for name, state in (("May", "visible"), ("Lists", "hidden"), ("June", "visible")):
        one = made.create_sheet(name)
        one.append(["a"])
        one.append([name])
        one.sheet_state = state
    del made["Sheet"]
    path = tmp_path / "t.xlsx"
    made.save(path)
    for name in ("May", "Lists", "June"):
        assert cells(sheet(path, name)) == [[name]]
    with pytest.raises(WrongFile, match=r"has the sheets May, June: name one, by --sheet"):
        sheet(path)
    with pytest.raises(WrongFile, match=r"has no sheet 'July'; it has May, June"):
        sheet(path, "July")
    del made["June"]
    made.save(path)
    assert cells(sheet(path)) == [["May"]]


def test_files_of_other_kinds_say_what_to_do(tmp_path: Path) -> None:
    """Old Excel files, and other archives."""
    path = tmp_path / "t.xls"
    path.write_bytes(b"\xd0\xcf\x11\xe0 and more")
    with pytest.raises(WrongFile, match=r"save it as \.xlsx or \.csv"):
        is_xlsx(path)
    path.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(WrongFile, match="no XLSX file that can be read"):
        sheet(path)
    path.write_bytes(b"a" * 70_000)
    with pytest.raises(WrongFile, match="has more than 65536 bytes"):
        comma(path)


def test_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    """Many rows go through in a few megabytes."""
    path, chance = tmp_path / "t.csv", random.Random(7)
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerows((f"e-{n}", f"name, {n}", chance.randrange(1000)) for n in range(30_000))
    tracemalloc.start()
    assert sum(1 for _ in comma(path, header_row=0).rows) == 30_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000
