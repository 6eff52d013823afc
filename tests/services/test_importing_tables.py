"""Tables imported into real services: what is left comes back in a report that is mended and sent again."""

import asyncio
import csv
import tomllib
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import openpyxl
import pytest
from click.testing import CliRunner

from libs.cli import table_importing
from libs.cli.main import main
from libs.cli.table_importing import TableResult, import_table, open_table, reporting
from libs.cli.table_mapping import TableMapping
from libs.cli.table_rows import Rows
from stepladder.performance.v1.facts_pb2 import ListFactsRequest
from stepladder.performance.v1.kpi_pb2 import Kpi
from stepladder.performance.v1.record_pb2 import ListRecordsRequest, Record
from tests.services.test_records import form
from tests.services.world import World, caught_up
from tests.tokens import ISSUER

FIRST = date(2020, 1, 1)

READINGS = """
[columns]
employee = "Agent"
date = "Day"
source = {{ value = "table" }}
[formats]
date = "DD.MM.YYYY"
[readings]
{sum} = "Calls"
{ratio} = {{ numerator = {{ column = "Minutes", factor = 60 }}, denominator = "Calls" }}
"""

ATTENDANCE = """
[columns]
employee = "Agent"
date = "Day"
[record]
id_of = ["Agent", "Day"]
id_prefix = "shift"
note = "Note"
[record.attendance]
shift_start = "From"
shift_end = "To"
worked = [{ start = "In", end = "Out" }]
"""


def mapping(text: str) -> TableMapping:
    return TableMapping.model_validate(tomllib.loads(text, parse_float=Decimal))


async def load(world: World, path: Path, declared: TableMapping, report: Path) -> TableResult:
    """One import as the command does it."""
    table = open_table(path, declared, None)
    rows = Rows(declared, table.header, centre="centre", zone=ZoneInfo("UTC"))
    with reporting(report, table.header, declared.delimiter) as leave:
        return await import_table(world.channels["performance"], table, rows, leave=leave)


def write(path: Path, *rows: Sequence[object]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def content(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def files(folder: Path, pattern: str) -> list[str]:
    return sorted(one.name for one in folder.glob(pattern))


async def recorded(world: World, employee_id: str) -> list[tuple[str, str, int, int]]:
    request = ListFactsRequest(
        employee_id=employee_id,
        start_date="2020-01-01",
        end_date="2020-12-31",
        page_size=1000,
        at_least=await world.end(),
    )
    found = (await world.facts.ListFacts(request)).readings
    return [(one.date, one.kpi_id, one.numerator, one.denominator) for one in found]


async def records(world: World, kind: str) -> list[Record]:
    await caught_up(world)
    found: Sequence[Record] = (await world.records.ListRecords(ListRecordsRequest(kind=kind, page_size=1000))).records
    return [*found]


async def readings_of(world: World) -> tuple[TableMapping, str, str]:
    """A mapping, and the KPIs that it is about."""
    total, ratio = await world.kpi(Kpi.AGGREGATION_SUM), await world.kpi()
    return mapping(READINGS.format(sum=total, ratio=ratio)), total, ratio


def day(number: int) -> str:
    return (FIRST + timedelta(days=number)).strftime("%d.%m.%Y")


async def test_a_report_is_mended_and_sent_again(world: World, tmp_path: Path) -> None:
    """What cannot be read and what the service rejects comes back in order, as it was; mended, it goes in."""
    declared, total, ratio = await readings_of(world)
    team = await world.team()
    ann, ben = await world.employee(team), await world.employee(team)
    path = write(
        tmp_path / "kpis.csv",
        ("Agent", "Day", "Calls", "Minutes", "Name"),
        (ann, day(0), "10", "5.05", "Jānis, the “first”"),
        ("nobody", day(0), "1", "1", "מיכל"),
        (ann, "32.01.2020", "2", "1", "王小明"),
        (),
        (ben, day(0), "2", "1.001", ""),
        (ben, day(1), "", "1"),
        (ben, day(2), "0", "1", "", "more"),
        (ben, day(3), "4", "8", ""),
        (ben, "01.01.2199", "4", "8", ""),
        (ben, day(4), "0", "8", ""),
    )
    first = await load(world, path, declared, tmp_path / "left.csv")
    assert (first.recorded, first.unchanged, first.rows) == (2, 0, 9)
    left = content(tmp_path / "left.csv")
    assert left[0] == ["import_row", "import_reason", "import_message", "Agent", "Day", "Calls", "Minutes", "Name"]
    assert [(row[0], row[1]) for row in left[1:]] == [
        ("3", "EMPLOYEE_NOT_FOUND"),
        ("4", "bad_date"),
        ("6", "not_whole"),
        ("7", "missing_value"),
        ("8", "columns"),
        ("10", "DATE_INVALID"),
        ("11", "READING_INVALID"),
    ]
    assert [row[3:] for row in left[1:]] == [content(path)[int(row[0]) - 1] for row in left[1:]]
    assert left[1][2] == "there is no employee nobody"
    assert left[3][2] == "Minutes: '1.001' times 60 is 60.06, which is no whole number"

    # Unmended it comes out the same; then two rows are mended in the report itself.
    again = await load(world, tmp_path / "left.csv", declared, tmp_path / "left2.csv")
    assert (again.recorded, again.left) == (0, first.left)
    assert content(tmp_path / "left2.csv") == left
    left[1][3], left[2][4] = ben, day(7)
    third = await load(world, write(tmp_path / "mended.csv", *left), declared, tmp_path / "left3.csv")
    assert (third.recorded, third.unchanged) == (2, 0)
    left = content(tmp_path / "left3.csv")
    assert [row[0] for row in left[1:]] == ["6", "7", "8", "10", "11"]

    # The rest: one of them is of a day that is recorded already, with other numbers, and one was taken before.
    for row, cells in zip(
        left[1:],
        [
            [ben, day(0), "2", "1"],
            [ben, day(1), "1", "1"],
            [ben, day(2), "0", "0"],
            [ben, day(3), "4", "8"],
            [ben, day(4), "1", "8"],
        ],
        strict=True,
    ):
        row[3:] = cells
    fourth = await load(world, write(tmp_path / "mended.csv", *left), declared, tmp_path / "left4.csv")
    assert (fourth.recorded, fourth.unchanged, fourth.left) == (3, 1, {"FACT_ALREADY_RECORDED": 1})
    assert [row[0] for row in content(tmp_path / "left4.csv")] == ["import_row", "6"]
    assert len(await recorded(world, ben)) == 10
    assert await recorded(world, ann) == [
        ("2020-01-01", total, 10, 0),
        ("2020-01-01", ratio, 303, 10),
        ("2020-01-08", total, 2, 0),
        ("2020-01-08", ratio, 60, 2),
    ]


async def test_the_same_again_changes_nothing(world: World, tmp_path: Path) -> None:
    """The file again, and a file with every row twice; of rows that contradict each other the first is taken."""
    declared, total, _ = await readings_of(world)
    ann = await world.employee(await world.team())
    rows = [(ann, day(number), number + 1, number) for number in range(40)]
    header = ("Agent", "Day", "Calls", "Minutes")
    once = await load(world, write(tmp_path / "t.csv", header, *rows), declared, tmp_path / "left.csv")
    end = await world.end()
    again = await load(world, tmp_path / "t.csv", declared, tmp_path / "left.csv")
    twice = await load(world, write(tmp_path / "t.csv", header, *rows, *rows), declared, tmp_path / "left.csv")
    assert (once.recorded, once.unchanged) == (40, 0)
    assert (again.recorded, again.unchanged, twice.recorded, twice.unchanged) == (0, 40, 0, 80)
    assert not once.left + again.left + twice.left
    assert await world.end() == end
    assert content(tmp_path / "left.csv") == [["import_row", "import_reason", "import_message", *header]]
    other = [(ann, day(50), 7, 1), (ann, day(50), 8, 1), (ann, day(50), 7, 1)]
    contradicted = await load(world, write(tmp_path / "t.csv", header, *other), declared, tmp_path / "left.csv")
    assert (contradicted.recorded, contradicted.unchanged, contradicted.left) == (1, 1, {"FACT_ALREADY_RECORDED": 1})
    assert (await recorded(world, ann))[-2:-1] == [("2020-02-20", total, 7, 0)]


async def test_a_killed_import_is_finished_by_the_next(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed half way and started again it ends as if nothing had happened; no report is there before it has ended."""
    monkeypatch.setattr(table_importing, "BATCH_ROWS", 10)
    declared, _, _ = await readings_of(world)
    team = await world.team()
    people = [await world.employee(team) for _ in range(2)]
    rows = [(people[n % 2], day(n // 2), n, 1) if n % 7 else ("nobody", day(n), n, 1) for n in range(1, 120)]
    path = write(tmp_path / "t.csv", ("Agent", "Day", "Calls", "Minutes"), *rows)
    half_way = asyncio.Event()

    async def killed() -> None:
        table = open_table(path, declared, None)
        told = []

        def tell(done: int) -> None:
            told.append(done)
            if len(told) == 4:
                half_way.set()

        with reporting(tmp_path / "left.csv", table.header, ",") as leave:
            found = Rows(declared, table.header, centre="centre", zone=ZoneInfo("UTC"))
            await import_table(world.channels["performance"], table, found, leave=leave, tell=tell)

    task = asyncio.create_task(killed())
    await half_way.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files(tmp_path, "left*") == []
    result = await load(world, path, declared, tmp_path / "left.csv")
    assert result.recorded + result.unchanged == sum(1 for row in rows if row[0] != "nobody")
    assert 0 < result.unchanged < len(rows) / 2
    assert [row[3:] for row in content(tmp_path / "left.csv")[1:]] == [
        [str(cell) for cell in row] for row in rows if row[0] == "nobody"
    ]
    assert sum([len(await recorded(world, one)) for one in people]) == 2 * (result.recorded + result.unchanged)


async def test_records_of_a_spreadsheet_and_of_its_csv_are_the_same(world: World, tmp_path: Path) -> None:
    """Shifts with real cells for days and times; the CSV finds them known; a report of the XLSX is a CSV."""
    declared = mapping(ATTENDANCE)
    ann = await world.employee(await world.team())
    header = ["Agent", "Day", "From", "To", "In", "Out", "Note"]
    made = openpyxl.Workbook()
    sheet = made.active
    assert sheet is not None
    sheet.append(header)
    as_text = []
    for number in range(5):
        on = FIRST + timedelta(days=number)
        hours = [
            timedelta(hours=22),
            timedelta(hours=6),
            timedelta(hours=21, minutes=55),
            timedelta(hours=6, seconds=1),
        ]
        sheet.append([ann if number else "nobody", on, *hours, "Ēriks 好"])
        texts = ["22:00", "06:00", "21:55:00", "06:00:01"]
        as_text.append([ann, on.isoformat(), *texts, "Ēriks 好"])
    made.save(tmp_path / "t.xlsx")
    first = await load(world, tmp_path / "t.xlsx", declared, tmp_path / "left.csv")
    assert (first.recorded, first.left) == (4, {"EMPLOYEE_NOT_FOUND": 1})
    left = content(tmp_path / "left.csv")
    assert left[1][3:] == ["nobody", "2020-01-01", "22:00:00", "06:00:00", "21:55:00", "06:00:01", "Ēriks 好"]
    left[1][3] = ann
    mended = await load(world, write(tmp_path / "m.csv", *left), declared, tmp_path / "left.csv")
    assert (mended.recorded, mended.left) == (1, {})
    again = await load(world, write(tmp_path / "t.csv", header, *as_text), declared, tmp_path / "left.csv")
    assert (again.recorded, again.unchanged, again.left) == (0, 5, {})
    found = await records(world, "attendance")
    assert len(found) == 5
    assert {one.note for one in found} == {"Ēriks 好"}
    measures = {(one.name, one.value) for record in found for one in record.outcome.measures}
    assert measures == {("attendance.scheduled", 8 * 3600), ("attendance.worked", 8 * 3600), ("attendance.late", 0)}


async def test_evaluations_under_a_form(world: World, tmp_path: Path) -> None:
    """A form that is not there, and one row twice with other answers, are told by the service's own reasons."""
    team = await world.team()
    ann, ben = await world.employee(team), await world.employee(team)
    form_id = await form(world)
    declared = mapping(
        """
[columns]
employee = "Agent"
date = "Day"
[record]
id = { column = "No", prefix = "qa-" }
[record.evaluation]
form_id = "Form"
contact_id = "No"
evaluator_id = "By"
values = { yes = 100, no = 0 }
items = { greeting = "G", solution = "S", identity = "I" }
"""
    )
    header = ("Agent", "Day", "No", "Form", "By", "G", "S", "I")
    rows = [
        (ann, "2020-01-05", 1, form_id, ben, "yes", "no", "yes"),
        (ann, "2020-01-05", 2, "nothing", ben, "yes", "no", "yes"),
        (ann, "2020-01-05", 3, form_id, "stranger", "yes", "no", "yes"),
        (ann, "2020-01-05", 1, form_id, ben, "no", "no", "yes"),
        (ann, "2020-01-05", 1, form_id, ben, "yes", "no", "yes"),
        (ann, "2020-01-05", 4, form_id, ben, "yes", "so so", "yes"),
    ]
    result = await load(world, write(tmp_path / "qa.csv", header, *rows), declared, tmp_path / "left.csv")
    assert (result.recorded, result.unchanged) == (1, 1)
    assert [(row[0], row[1]) for row in content(tmp_path / "left.csv")[1:]] == [
        ("3", "POLICY_NOT_FOUND"),
        ("4", "EMPLOYEE_NOT_FOUND"),
        ("5", "RECORD_TWICE"),
        ("7", "unknown_value"),
    ]
    assert [one.outcome.score for one in await records(world, "evaluation")] == ["40.00"]


async def test_the_command(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what was taken and what was left, in words and by its status; mistakes end it with a sentence."""
    ann = await world.employee(await world.team())
    kpi = await world.kpi(Kpi.AGGREGATION_SUM)
    monkeypatch.setenv("STEPLADDER_PUBLIC_PORT", world.addresses["performance"].rpartition(":")[2])
    monkeypatch.setenv("STEPLADDER_TOKEN", ISSUER.system("tables", ["facts"]))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.toml").write_text(
        f'[columns]\nemployee = "A"\ndate = "D"\nsource = {{ value = "s" }}\n[readings]\n{kpi} = "N"\n'
    )
    write(tmp_path / "t.csv", ("A", "D", "N"), (ann, "2020-01-01", 5), (ann, "2020-01-02", "x"))

    async def run(*arguments: str) -> tuple[int, str]:
        command = ["import", "table", *arguments, "--mapping", "m.toml"]
        result = await asyncio.to_thread(CliRunner().invoke, main, command)
        return result.exit_code, result.output

    status, output = await run("t.csv")
    assert status == table_importing.ROWS_LEFT, output
    assert "2 rows: 1 recorded, 0 known before, 1 left." in output
    assert "row 3: N: 'x' is no number written like 1234.5 (bad_number)" in output
    assert "stepladder import table t.csv.left.csv --mapping m.toml" in output
    left = content(tmp_path / "t.csv.left.csv")
    left[1][-1] = "6"
    write(tmp_path / "t.csv.left.csv", *left)
    status, output = await run("t.csv.left.csv")
    assert (status, "1 rows: 1 recorded, 0 known before, 0 left." in output) == (0, True), output
    for arguments, words in (
        (["t.csv", "--report", "./t.csv"], "the report would take the place of t.csv"),
        (["t.csv", "--centre", "No!"], "the centre 'No!' must be"),
        (["m.toml"], "m.toml does not fit m.toml: the mapping names the column 'A', which must be there once"),
    ):
        status, output = await run(*arguments)
        assert (status, words in output) == (1, True), output
    assert files(tmp_path, "*.csv*") == ["t.csv", "t.csv.left.csv", "t.csv.left.csv.left.csv"]
