"""Edge cases of months, in one table: what is told, and what was worked out by hand."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeAlias
from zoneinfo import ZoneInfo

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_CONFIRMED,
    EMPLOYMENT_STATUS_LEFT,
    EMPLOYMENT_STATUS_ON_LEAVE,
    ChangeEmploymentStatusRequest,
    Employee,
    EmploymentStatus,
    GetEmployeeRequest,
    HireEmployeeRequest,
    ListEmployeesRequest,
    TransferEmployeeRequest,
)
from stepladder.performance.v1.kpi_pb2 import CreateKpiRequest, Kpi, UpdateKpiRequest
from stepladder.performance.v1.policy_pb2 import Scope, ScorecardPolicy
from stepladder.performance.v1.record_pb2 import Attendance, CreateRecordsRequest, Leave, Record
from stepladder.performance.v1.scorecard_pb2 import ScorecardLine
from tests.services.test_scorecards import close, policy, put, scorecard, target
from tests.services.world import World, fact, new_id

Told: TypeAlias = Callable[[World], Awaitable[object]]
Ties: TypeAlias = "ScorecardPolicy.Ties.ValueType"
RIGA = ZoneInfo("Europe/Riga")


async def team_with(world: World, *kpi_ids: str, ties: Ties = ScorecardPolicy.TIES_STANDARD) -> str:
    """A team with a scorecard policy of its own, of these KPIs."""
    team = await world.team()
    await put(world, policy(kpi_ids, scope=Scope(team_id=team), ties=ties))
    return team


def shown(line: ScorecardLine) -> tuple[int, int, str, str, str, int]:
    return line.numerator, line.denominator, line.value, line.maximum, line.score, line.days


async def status(world: World, employee_id: str, day: str, wanted: "EmploymentStatus.ValueType") -> None:
    await world.directory.ChangeEmploymentStatus(
        ChangeEmploymentStatusRequest(employee_id=employee_id, status=wanted, effective_date=day)
    )


async def attendance_kpi(world: World) -> str:
    kpi = Kpi(
        kpi_id=new_id("k"),
        display_name="Attendance",
        unit=Kpi.UNIT_PERCENT,
        direction=Kpi.DIRECTION_LOWER,
        aggregation=Kpi.AGGREGATION_RATIO,
        scale_numerator=100,
        scale_denominator=1,
        precision=1,
        derived=Kpi.Derivation(numerator="attendance.worked", denominator="attendance.scheduled"),
    )
    await world.kpis.CreateKpi(CreateKpiRequest(kpi=kpi))
    return kpi.kpi_id


async def shift(world: World, employee_id: str, day: str, start: str, end: str, *, worked: bool = True) -> None:
    """A shift by the clocks of Riga, worked from the beginning to the end or not at all."""
    since, until = Timestamp(), Timestamp()
    since.FromDatetime(datetime.fromisoformat(start).replace(tzinfo=RIGA))
    until.FromDatetime(datetime.fromisoformat(end).replace(tzinfo=RIGA))
    attended = [Attendance.Worked(start=since, end=until)] if worked else []
    attendance = Attendance(shift_start=since, shift_end=until, worked=attended)
    record = Record(record_id=new_id("r"), employee_id=employee_id, date=day, attendance=attendance)
    assert (await world.records.CreateRecords(CreateRecordsRequest(records=[record]))).recorded == 1


async def nothing_at_all(world: World) -> object:
    kpi = await world.kpi()
    await target(world, kpi)
    agent = await world.employee(await team_with(world, kpi))
    card = (await scorecard(world, agent)).scorecard
    return card.lines[0].unscored, card.total


async def zero_denominators(world: World) -> object:
    kpi, other = await world.kpi(), await world.kpi()
    await target(world, kpi)
    await target(world, other)
    agent = await world.employee(await team_with(world, kpi, other))
    await world.record(fact(agent, "2020-01-07", kpi, 0, 0), fact(agent, "2020-01-08", other, 10))
    card = (await scorecard(world, agent)).scorecard
    return card.lines[0].unscored, card.lines[1].share, card.total


async def a_month_from_its_middle(world: World) -> object:
    kpi = await world.kpi()
    await target(world, kpi)
    team = await team_with(world, kpi)
    agent = await world.employee(team, hire_date="2020-01-20")
    await world.record(fact(agent, "2020-01-20", kpi, 20), fact(agent, "2020-01-31", kpi, 10))
    await status(world, agent, "2020-02-05", EMPLOYMENT_STATUS_LEFT)
    await world.record(fact(agent, "2020-02-04", kpi, 10))
    january, february = [(await scorecard(world, agent, month)).scorecard.lines[0] for month in ("2020-01", "2020-02")]
    return shown(january), shown(february)


async def a_transfer(world: World) -> object:
    """Each day by the target of the team of that day; ranked in the team of the last."""
    kpi = await world.kpi()
    first, second = await team_with(world, kpi), await team_with(world, kpi)
    await target(world, kpi, "10", team_id=first)
    await target(world, kpi, "40", team_id=second)
    agent = await world.employee(first)
    await world.directory.TransferEmployee(
        TransferEmployeeRequest(employee_id=agent, team_id=second, effective_date="2020-01-16")
    )
    await world.record(fact(agent, "2020-01-15", kpi, 30, 100), fact(agent, "2020-01-16", kpi, 30, 200))
    card = (await scorecard(world, agent)).scorecard
    return shown(card.lines[0]), card.team_id == second


async def leave(world: World) -> object:
    """Days of leave are counted, and not held against the attendance."""
    attendance = await attendance_kpi(world)
    away = Kpi(
        kpi_id=new_id("k"),
        display_name="Days of leave",
        unit=Kpi.UNIT_COUNT,
        direction=Kpi.DIRECTION_NONE,
        aggregation=Kpi.AGGREGATION_SUM,
        scale_numerator=1,
        scale_denominator=1,
        derived=Kpi.Derivation(numerator="leave.days"),
    )
    await world.kpis.CreateKpi(CreateKpiRequest(kpi=away))
    agent = await world.employee(await team_with(world, attendance, away.kpi_id))
    granted = Leave(kind=Leave.KIND_ANNUAL, end_date="2020-02-03")
    record = Record(record_id=new_id("r"), employee_id=agent, date="2020-01-27", leave=granted)
    await world.records.CreateRecords(CreateRecordsRequest(records=[record]))
    await status(world, agent, "2020-01-27", EMPLOYMENT_STATUS_ON_LEAVE)
    await status(world, agent, "2020-02-04", EMPLOYMENT_STATUS_CONFIRMED)
    await shift(world, agent, "2020-01-24", "2020-01-24T08:00", "2020-01-24T16:00")
    await shift(world, agent, "2020-02-04", "2020-02-04T08:00", "2020-02-04T16:00", worked=False)
    cards = [(await scorecard(world, agent, month)).scorecard for month in ("2020-01", "2020-02")]
    return [[line.value for line in card.lines] for card in cards]


async def a_target_that_changes(world: World) -> object:
    """The bound is what the days' targets add up to, by their denominators."""
    kpi = await world.kpi()
    agent = await world.employee(await team_with(world, kpi))
    await target(world, kpi, "10")
    await target(world, kpi, "40", day="2020-01-16")
    await world.record(fact(agent, "2020-01-15", kpi, 30, 100), fact(agent, "2020-01-16", kpi, 30, 200))
    return shown((await scorecard(world, agent)).scorecard.lines[0])


async def a_kpi_that_retires(world: World) -> object:
    kpi = await world.kpi()
    await target(world, kpi)
    agent = await world.employee(await team_with(world, kpi))
    retired = Kpi(kpi_id=kpi, retired_date="2020-01-16")
    request = UpdateKpiRequest(kpi=retired)
    request.update_mask.paths.append("retired_date")
    await world.kpis.UpdateKpi(request)
    answer = await world.record(fact(agent, "2020-01-15", kpi, 20), fact(agent, "2020-01-16", kpi, 99))
    line = (await scorecard(world, agent)).scorecard.lines[0]
    return [(one.index, one.reason) for one in answer.rejections], shown(line)


async def a_leap_day(world: World) -> object:
    kpi = await world.kpi()
    await target(world, kpi)
    agent = await world.employee(await team_with(world, kpi))
    answer = await world.record(
        fact(agent, "2020-02-29", kpi, 20), fact(agent, "2020-03-01", kpi, 5), fact(agent, "2020-02-28", kpi, 10)
    )
    return answer.recorded, shown((await scorecard(world, agent, "2020-02")).scorecard.lines[0])


async def clocks_that_change(world: World) -> object:
    """In Riga 29 March 2020 had 23 hours, and 25 October 25."""
    kpi = await attendance_kpi(world)
    agent = await world.employee(await team_with(world, kpi))
    await shift(world, agent, "2020-03-28", "2020-03-28T22:00", "2020-03-29T06:00")
    await shift(world, agent, "2020-10-24", "2020-10-24T22:00", "2020-10-25T06:00")
    lines = [(await scorecard(world, agent, month)).scorecard.lines[0] for month in ("2020-03", "2020-10")]
    return [(line.numerator, line.denominator, line.value) for line in lines]


async def a_night_between_months(world: World) -> object:
    """A shift counts for the day on which it began."""
    kpi = await attendance_kpi(world)
    agent = await world.employee(await team_with(world, kpi))
    await shift(world, agent, "2020-01-31", "2020-01-31T22:00", "2020-02-01T06:00")
    lines = [(await scorecard(world, agent, month)).scorecard.lines[0] for month in ("2020-01", "2020-02")]
    return [(line.denominator, line.days) for line in lines]


async def ties(world: World) -> object:
    """Equal totals share a place, and the next one is as many further, or the next, as the policy says."""
    places = []
    for kind in (ScorecardPolicy.TIES_STANDARD, ScorecardPolicy.TIES_DENSE):
        kpi = await world.kpi()
        await target(world, kpi)
        team = await team_with(world, kpi, ties=kind)
        agents = [await world.employee(team) for _ in range(4)]
        for agent, numerator in zip(agents, (10, 20, 10, 40), strict=True):
            await world.record(fact(agent, "2020-01-07", kpi, numerator))
        await close(world, team_id=team)
        ranks = [(await scorecard(world, agent)).team_rank for agent in agents]
        places.append([(rank.rank, rank.of) for rank in ranks])
    return places


async def a_team_of_one(world: World) -> object:
    kpi = await world.kpi()
    await target(world, kpi)
    team = await team_with(world, kpi)
    agent = await world.employee(team)
    await world.record(fact(agent, "2020-01-07", kpi, 20))
    await close(world, team_id=team)
    card = await scorecard(world, agent)
    return (card.team_rank.rank, card.team_rank.of, card.scorecard.total), await close(world, team_id=team)


NAMES = ("欧阳娜娜", "Ņina Šķēle-Ķirķe", "محمد عبد الله", "שרה כהן", "Zoë \u200fליאור\u200f 李")
"""Chinese, Latvian, Arabic, Hebrew, and all at once with marks of direction."""


async def names(world: World) -> object:
    """They come back letter for letter, alone and in a list."""
    team = await world.team()
    ids = [new_id("e") for _ in NAMES]
    for employee_id, name in zip(ids, NAMES, strict=True):
        employee = Employee(employee_id=employee_id, display_name=name, hire_date="2019-01-01", team_id=team)
        await world.directory.HireEmployee(HireEmployeeRequest(employee=employee))
    alone = [(await world.directory.GetEmployee(GetEmployeeRequest(employee_id=one))).display_name for one in ids]
    request = ListEmployeesRequest(team_id=team, at_least=await world.end())
    listed = (await world.directory.ListEmployees(request)).employees
    return tuple(alone), tuple(one.display_name for one in sorted(listed, key=lambda one: one.employee_id))


NO_FACTS, ZERO = ScorecardLine.UNSCORED_NO_FACTS, ScorecardLine.UNSCORED_ZERO_DENOMINATOR

TABLE: dict[Told, object] = {
    nothing_at_all: (NO_FACTS, ""),
    zero_denominators: (ZERO, "100.000000", "100.0"),
    # Lower is better, at most 10 %: 30 of 200 are 15 %, two thirds of what is asked.
    a_month_from_its_middle: (
        (30, 200, "15.0", "10", "66.666667", 2),
        (10, 100, "10.0", "10", "100.000000", 1),
    ),
    # At most (100 x 10 % + 200 x 40 %) / 300 = 30 %; 60 of 300 are 20 %.
    a_transfer: ((60, 300, "20.0", "30", "100.000000", 2), True),
    leave: [["100.0", "5"], ["0.0", "3"]],
    a_target_that_changes: (60, 300, "20.0", "30", "100.000000", 2),
    a_kpi_that_retires: ([(1, "READING_INVALID")], (20, 100, "20.0", "10", "50.000000", 1)),
    a_leap_day: (3, (30, 200, "15.0", "10", "66.666667", 2)),
    clocks_that_change: [(7 * 3600, 7 * 3600, "100.0"), (9 * 3600, 9 * 3600, "100.0")],
    a_night_between_months: [(8 * 3600, 1), (0, 0)],
    ties: [[(1, 4), (3, 4), (1, 4), (4, 4)], [(1, 4), (2, 4), (1, 4), (3, 4)]],
    a_team_of_one: ((1, 1, "50.0"), 0),
    names: (NAMES, NAMES),
}


async def test_every_edge_case(world: World, subtests: pytest.Subtests) -> None:
    """Each comes to what was worked out by hand, in one centre that has them all."""
    for told, expected in TABLE.items():
        with subtests.test(told.__name__):
            assert await told(world) == expected
