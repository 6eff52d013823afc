"""Rosters out of files: shown before they are imported, taken whole or not at all, and again without effect."""

import csv
from collections.abc import Sequence
from pathlib import Path

import openpyxl
import pytest
from click.testing import CliRunner

from libs.cli.main import main
from libs.cli.mapping import WrongFile, load
from libs.cli.roster_importing import ROWS_WRONG, RosterMapping, import_roster, read_roster, show
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_LEFT,
    Employee,
    GetEmployeeRequest,
    GetTeamRequest,
)
from tests.services.world import World, new_id

HEADER = ("employee_id", "name", "team_id", "team_name", "lead_id", "hire_date", "position", "stars", "status")
DAY = "2020-03-16"


def write(path: Path, *rows: Sequence[object]) -> Path:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


async def run(
    world: World,
    path: Path,
    capsys: pytest.CaptureFixture[str],
    mapping: RosterMapping | None = None,
    as_of: str = DAY,
    *,
    leavers: bool = False,
    dry_run: bool = False,
) -> tuple[int, list[list[str]]]:
    """Imports as the command does; answers the exit status and what is printed, line by line and cell by cell."""
    read = read_roster(path, mapping, None)
    read.roster.effective_date, read.roster.complete = as_of, leavers
    capsys.readouterr()
    status = show(read, await import_roster(world.channels["performance"], read, dry_run=dry_run), dry_run=dry_run)
    lines = [line for line in capsys.readouterr().out.splitlines() if "[info" not in line]  # services log there too
    return status, [line.split("\t") for line in lines]


async def employee(world: World, employee_id: str) -> Employee:
    found: Employee = await world.directory.GetEmployee(GetEmployeeRequest(employee_id=employee_id))
    return found


async def test_shown_then_done(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run prints exactly what the import then makes; a second import finds nothing to do."""
    team, ann, ben = new_id("t"), new_id("e"), new_id("e")
    path = write(
        tmp_path / "roster.csv",
        HEADER,
        (ann.upper(), "李安", team, "早班", ann, "2019-05-01", "lead", "", "confirmed"),
        (ben, "Ben", team, "", "", "", "agent", 2, ""),
    )
    end = await world.end()
    status, shown = await run(world, path, capsys, dry_run=True)
    assert (status, await world.end()) == (0, end)
    changes = [
        ["change", "id", "name", "from", "to", "as of"],
        ["team created", team, "早班", "", "", ""],
        ["lead appointed", team, "早班", "", ann, DAY],
        ["hired", ann, "李安", "", team, "2019-05-01"],
        ["hired", ben, "Ben", "", team, DAY],
    ]
    told = ["2 rows: 2 hired, 1 lead appointed, 1 team created; 0 unchanged, 0 wrong"]
    assert shown == [*changes, told, ["nothing was changed: this was a dry run"]]
    assert await run(world, path, capsys) == (0, [*changes, told])
    assert (await employee(world, ben)).lead_id == ann
    end = await world.end()
    assert await run(world, path, capsys) == (0, [["2 rows: no changes; 3 unchanged, 0 wrong"]])
    assert await world.end() == end


async def test_moved_promoted_left_and_missing(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who is missing stays, unless the file is said to name everybody."""
    early, late = new_id("t"), new_id("t")
    ann, ben, lou = new_id("e"), new_id("e"), new_id("e")
    first = write(
        tmp_path / "first.csv",
        HEADER,
        *((one, one.upper(), early, "Early", "", "", "agent", 1, "") for one in (ann, ben, lou)),
    )
    await run(world, first, capsys)
    second = write(
        tmp_path / "second.csv",
        HEADER,
        (ann, ann.upper(), late, "Late", "", "", "agent", 2, ""),
        (ben, "", "", "", "", "", "", "", "left"),
    )
    status, shown = await run(world, second, capsys, as_of="2020-04-01")
    assert (status, [line[:5] for line in shown[1:-1]]) == (
        0,
        [
            ["team created", late, "Late", "", ""],
            ["transferred", ann, ann.upper(), early, late],
            ["position changed", ann, ann.upper(), "agent 1 stars", "agent 2 stars"],
            ["left", ben, ben.upper(), "probation", "left"],
        ],
    )
    assert (await employee(world, lou)).status != EMPLOYMENT_STATUS_LEFT
    status, shown = await run(world, second, capsys, as_of="2020-05-01", leavers=True, dry_run=True)
    assert [line[:2] for line in shown[1:-2]] == [["left", lou]]
    await run(world, second, capsys, as_of="2020-05-01", leavers=True)
    assert (await employee(world, lou)).status == EMPLOYMENT_STATUS_LEFT


def test_rows_that_cannot_be_read(tmp_path: Path) -> None:
    """Bytes of another encoding, a quotation mark that is never closed and a day that is none: each row and why."""
    path = tmp_path / "roster.csv"
    rows = (b"employee_id,name,hire_date", b"1,J\xfcrgen,", b'2,"Open,', b"3,Bo,2026-02-30", b"4,Ok,")
    path.write_bytes(b"\r\n".join(rows))
    read = read_roster(path, None, None)
    assert [(one.row, one.reason) for one in read.wrong] == [
        ("2", "bad_encoding"),
        ("3", "broken_row"),
        ("4", "bad_date"),
    ]
    assert read.wrong[2].message.startswith("hire_date: ")
    assert [one.employee_id for one in read.roster.employees] == ["4"]


async def test_a_wrong_row_stops_all(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every wrong row is named by its number in the file, whether the file or the directory says so."""
    team, ann = new_id("t"), new_id("e")
    path = write(
        tmp_path / "roster.csv",
        HEADER,
        (ann, "Ann", team, "Early", "", "", "agent", "", ""),
        ("", "Nobody", team, "", "", "", "", "", ""),
        (new_id("e"), "Lou", "t-nowhere", "", "", "", "agent", "", ""),
        (ann, "Ann", team, "", "", "", "agent", "", ""),
        (new_id("e"), "Six", team, "", "", "", "agent", 6, ""),
        (new_id("e"), "Day", team, "", "", "31.12.2020", "agent", "", ""),
        (new_id("e"), "Busy", team, "", "", "", "agent", "", "busy"),
        ("e 7", "Space", team, "", "", "", "agent", "", ""),
        (new_id("e"), "Other", team, "Late", "", "", "agent", "", ""),
        (new_id("e"), "", team, "", "", "", "agent", "", ""),
    )
    end = await world.end()
    status, shown = await run(world, path, capsys, leavers=True)
    wrong = {line[0]: line[2] for line in shown if len(line) == 3 and line[0] != "row"}
    assert (status, wrong) == (
        ROWS_WRONG,
        {
            "3": "employee_missing",
            "4": "TEAM_NOT_FOUND",
            "5": "named_twice",
            "6": "bad_stars",
            "7": "bad_date",
            "8": "bad_status",
            "9": "invalid",
            "10": "team_told_twice",
            "11": "ENTRY_INCOMPLETE",
        },
    )
    assert shown[-1] == ["nothing was changed: mend these rows first"]
    assert not [line for line in shown if line[0] == "left"]
    assert await world.end() == end


async def test_a_file_as_a_system_of_hr_writes_it(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mapping says which columns mean what, in which words and form; what it does not name is left alone."""
    team, ann = new_id("t"), new_id("e")
    declared = tmp_path / "ours.toml"
    declared.write_text(
        """
date = "DD.MM.YYYY"
[columns]
employee_id = "工号"
name = "姓名"
team_id = "班组"
team_name = 4
hire_date = "入职日期"
status = "状态"
[statuses]
"在职" = "confirmed"
"离职" = "left"
""",
        "utf-8",
    )
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for row in (
        ("工号", "姓名", "班组", "名称", "入职日期", "状态", "工资"),
        (ann, "李安", team, "早班", "01.05.2019", "在职", 1),
    ):
        sheet.append(row)
    book.save(tmp_path / "roster.xlsx")
    status, _ = await run(world, tmp_path / "roster.xlsx", capsys, load(declared, RosterMapping))
    found = await employee(world, ann)
    assert (status, found.display_name, found.hire_date, found.team_id) == (0, "李安", "2019-05-01", team)
    assert (await world.directory.GetTeam(GetTeamRequest(team_id=team))).display_name == "早班"


def test_columns_that_nobody_knows(tmp_path: Path) -> None:
    """A misspelt column is refused rather than passed over."""
    with pytest.raises(WrongFile, match="postion"):
        read_roster(write(tmp_path / "roster.csv", ("employee_id", "postion"), ("e-1", "agent")), None, None)
    with pytest.raises(WrongFile, match="employee_id"):
        read_roster(write(tmp_path / "roster.csv", ("name",), ("Ann",)), None, None)


def test_the_command_says_what_it_takes() -> None:
    """Its help names the dry run and those who leave."""
    said = CliRunner().invoke(main, ["import", "roster", "--help"]).output
    assert "--dry-run" in said
    assert "--leavers" in said
