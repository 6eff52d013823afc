"""The performance service as callers see it: lists, days, repetitions, and results that equal a fold of the log."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode, aio
from sqlalchemy import MetaData

from libs.common.service import open_service
from libs.facts.people import People
from services.performance import __main__ as performance
from stepladder.common.v1.envelope_pb2 import CommandNoted
from stepladder.performance.v1.detection_pb2 import (
    Detection,
    GetDetectionRequest,
    ListDetectionsRequest,
)
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_CONFIRMED,
    EMPLOYMENT_STATUS_LEFT,
    EMPLOYMENT_STATUS_PROBATION,
    AppointTeamLeadRequest,
    ChangeEmploymentStatusRequest,
    ChangePositionRequest,
    CreateTeamRequest,
    Employee,
    GetEmployeeRequest,
    GetTeamRequest,
    HireEmployeeRequest,
    ListEmployeesRequest,
    ListTeamsRequest,
    Team,
    TransferEmployeeRequest,
    UpdateEmployeeRequest,
    UpdateTeamRequest,
)
from stepladder.performance.v1.events_pb2 import FactCorrected, FactRecorded
from stepladder.performance.v1.facts_pb2 import (
    RATING_EXCELLENT,
    RATING_GOOD,
    CorrectFactRequest,
    Fact,
    FindPositionRequest,
    ListFactsRequest,
    ListKpiResultsRequest,
    ListRatingsRequest,
    RateMonthRequest,
    Reading,
    RecordFactsRequest,
    StreamFactsRequest,
)
from stepladder.performance.v1.kpi_pb2 import (
    CreateKpiRequest,
    GetKpiRequest,
    Kpi,
    ListKpisRequest,
    ListTargetsRequest,
    SetTargetRequest,
    Target,
    UpdateKpiRequest,
)
from stepladder.performance.v1.policy_pb2 import ListPoliciesRequest, SetPolicyRequest
from stepladder_client import connect
from tests.policies import detecting, rule
from tests.refusals import refused
from tests.services.world import World, caught_up, fact, judged, new_id
from tests.tokens import SYSTEM

BY_EMPLOYEE = ListKpiResultsRequest.GROUP_BY_EMPLOYEE
BY_TEAM = ListKpiResultsRequest.GROUP_BY_TEAM
BY_CENTRE = ListKpiResultsRequest.GROUP_BY_CENTRE


def target(kpi_id: str, since: str = "2020-01-01", *, team: str = "", maximum: str = "10") -> SetTargetRequest:
    return SetTargetRequest(target=Target(kpi_id=kpi_id, team_id=team, effective_date=since, maximum=maximum))


def monthly(kpi_id: str, streak: int = 2, **more: Any) -> SetPolicyRequest:
    return detecting(new_id("p"), rule(kpi_id, streak=streak, **more))


async def detections(world: World, employee_id: str) -> list[Detection]:
    """What was found of an employee so far."""
    answer = await world.detections.ListDetections(
        ListDetectionsRequest(employee_id=employee_id, at_least=await world.end())
    )
    return list(answer.detections)


@dataclass(frozen=True)
class Listing:
    """A list call: its method, its request, and how many items it has."""

    service: str
    method: str
    items: str
    request: Any
    count: int

    async def pages(self, world: World, size: int) -> list[list[Any]]:
        """Every page, following the tokens to the end."""
        found: list[list[Any]] = []
        request = type(self.request)()
        request.CopyFrom(self.request)
        request.page_size = size
        while True:
            answer = await getattr(getattr(world, self.service), self.method)(request)
            found.append(list(getattr(answer, self.items)))
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token


async def every_list(world: World) -> list[Listing]:
    """A little of everything that can be listed."""
    teams = [await world.team() for _ in range(5)]
    team = teams[2]
    agents = [await world.employee(team) for _ in range(5)]
    agent = agents[1]
    kpis = [await world.kpi() for _ in range(5)]
    for kpi, day in zip([*kpis, kpis[0], kpis[0]], [*["2020-01-01"] * 5, "2020-02-01", "2020-03-01"], strict=True):
        await world.kpis.SetTarget(target(kpi, day))
    await world.kpis.SetTarget(target(kpis[0], team=team))
    for kpi in kpis:
        await world.policies.SetPolicy(monthly(kpi, streak=1))
    for month in range(1, 8):
        rate = RateMonthRequest(employee_id=agent, month=f"2020-{month:02}", rating=RATING_GOOD)
        await world.facts.RateMonth(rate)
    await world.record(
        *(fact(agent, "2020-01-01", kpi, 50) for kpi in kpis[:1]),
        *(fact(one, "2020-01-02", kpis[1], 50) for one in agents),
        *(fact(agent, f"2020-01-{day:02}", kpi, 50) for day in (3, 4) for kpi in kpis[2:4]),
    )
    transfer = TransferEmployeeRequest(employee_id=agents[0], team_id=teams[0], effective_date="2020-01-01")
    await world.directory.TransferEmployee(transfer)
    await judged(world)
    span: dict[str, Any] = {"start_date": "2020-01-01", "end_date": "2020-01-31", "at_least": await world.end()}
    results = ("facts", "ListKpiResults", "results")
    return [
        Listing("directory", "ListTeams", "teams", ListTeamsRequest(), 5),
        Listing("directory", "ListEmployees", "employees", ListEmployeesRequest(), 5),
        Listing("directory", "ListEmployees", "employees", ListEmployeesRequest(team_id=team), 4),
        Listing("kpis", "ListKpis", "kpis", ListKpisRequest(), 5),
        Listing("kpis", "ListTargets", "targets", ListTargetsRequest(), 8),
        Listing("kpis", "ListTargets", "targets", ListTargetsRequest(kpi_id=kpis[0]), 4),
        Listing("policies", "ListPolicies", "policies", ListPoliciesRequest(), 5),
        Listing("detections", "ListDetections", "detections", ListDetectionsRequest(), 8),
        Listing("detections", "ListDetections", "detections", ListDetectionsRequest(employee_id=agent), 4),
        Listing("facts", "ListRatings", "ratings", ListRatingsRequest(employee_id=agent), 7),
        Listing("facts", "ListFacts", "readings", ListFactsRequest(employee_id=agent, **span), 6),
        Listing(*results, ListKpiResultsRequest(group_by=BY_EMPLOYEE, **span), 8),
        Listing(*results, ListKpiResultsRequest(group_by=BY_TEAM, **span), 5),
        Listing(*results, ListKpiResultsRequest(group_by=BY_CENTRE, **span), 4),
        Listing(*results, ListKpiResultsRequest(group_by=BY_EMPLOYEE, team_id=team, **span), 7),
    ]


async def test_every_list_is_complete_over_any_pages(both: World) -> None:
    """Pages of two hold what one large page holds, in its order, each item once; only the last has no token."""
    for listing in await every_list(both):
        (whole,) = await listing.pages(both, 1000)
        assert len(whole) == listing.count, listing
        pages = await listing.pages(both, 2)
        assert [item for page in pages for item in page] == whole, listing
        assert [len(page) for page in pages[:-1]] == [2] * (len(pages) - 1)
        assert pages[-1]
        keys = {str(item) for item in whole}
        assert len(keys) == len(whole)


async def test_a_page_token_is_good_for_its_own_request_only(world: World) -> None:
    """Given to any other list, or the same with other filters, it is refused by name."""
    listings = await every_list(world)
    for listing in listings:
        first = type(listing.request)(page_size=2)
        first.MergeFrom(listing.request)
        token = (await getattr(getattr(world, listing.service), listing.method)(first)).next_page_token
        assert token
        for other in listings:
            if other is not listing:
                request = type(other.request)(page_token=token)
                request.MergeFrom(other.request)
                call = getattr(getattr(world, other.service), other.method)(request)
                await refused(call, StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_lists_are_in_a_useful_order(world: World) -> None:
    """Detections and ratings the latest first, targets by KPI, team and day, facts by day, source and KPI."""
    lists = {(one.method, str(one.request)): one for one in await every_list(world)}
    found = {key: (await one.pages(world, 1000))[0] for key, one in lists.items()}

    def items(method: str) -> list[Any]:
        return next(items for (name, _), items in found.items() if name == method)

    positions = [one.log_position for one in items("ListDetections")]
    assert positions == sorted(positions, reverse=True)
    assert [one.month for one in items("ListRatings")] == [f"2020-0{month}" for month in range(7, 0, -1)]
    targets = [(one.kpi_id, one.team_id, one.effective_date) for one in items("ListTargets")]
    assert targets == sorted(targets)
    facts = [(one.date, one.source, one.kpi_id) for one in items("ListFacts")]
    assert facts == sorted(facts)


async def test_a_read_includes_the_position_it_asks_for(world: World) -> None:
    """Whoever was acknowledged finds it with `at_least`, at once and in every list."""
    team, kpi = await world.team(), await world.kpi()
    for number in range(15):
        employee = Employee(employee_id=f"x-{number}", display_name="X", hire_date="2020-01-01", team_id=team)
        hired = await world.directory.HireEmployee(HireEmployeeRequest(employee=employee))
        listed = await world.directory.ListEmployees(ListEmployeesRequest(team_id=team, at_least=hired.log_position))
        assert len(listed.employees) == number + 1
        recorded = await world.record(fact(f"x-{number}", "2020-01-01", kpi, 1, 10))
        results = await world.facts.ListKpiResults(
            ListKpiResultsRequest(
                start_date="2020-01-01", end_date="2020-01-01", group_by=BY_TEAM, at_least=recorded.log_position
            )
        )
        assert [one.denominator for one in results.results] == [10 * (number + 1)]


async def test_a_position_beyond_the_end_includes_everything_there_is(world: World) -> None:
    """Nothing that concerns the list can be missing, so there is nothing to wait for."""
    team = await world.team()
    listed = await world.directory.ListTeams(ListTeamsRequest(at_least=await world.end() + 1_000_000))
    assert [one.team_id for one in listed.teams] == [team]


async def test_the_directory_is_read_as_of_a_day(both: World) -> None:
    """Team, lead, position, stars and status as they are on that day: before, between, today and to come."""
    world = both
    north, south = await world.team(), await world.team()
    lead, agent = await world.employee(north), await world.employee(north, "2020-01-10")
    directory = world.directory
    await directory.AppointTeamLead(AppointTeamLeadRequest(team_id=south, lead_id=lead, effective_date="2020-02-01"))
    moved = TransferEmployeeRequest(employee_id=agent, team_id=south, effective_date="2020-03-01")
    await directory.TransferEmployee(moved)
    back = TransferEmployeeRequest(employee_id=agent, team_id=north, effective_date="2190-01-01")
    await directory.TransferEmployee(back)
    # Told later, true earlier.
    short = TransferEmployeeRequest(employee_id=agent, team_id=south, effective_date="2020-01-15")
    await directory.TransferEmployee(short)
    change = {"employee_id": agent, "position": "agent", "stars": 3, "effective_date": "2020-04-01"}
    await directory.ChangePosition(ChangePositionRequest(**change))  # type: ignore[arg-type] # by name
    status = ChangeEmploymentStatusRequest(
        employee_id=agent, status=EMPLOYMENT_STATUS_CONFIRMED, effective_date="2020-05-01"
    )
    end = (await directory.ChangeEmploymentStatus(status)).log_position
    seen = {}
    for day in ("2020-01-09", "2020-01-10", "2020-01-15", "2020-02-01", "2020-04-01", "2020-05-01", "", "2190-01-01"):
        one = await directory.GetEmployee(GetEmployeeRequest(employee_id=agent, as_of=day))
        seen[day] = (one.team_id, one.lead_id, one.stars, one.position_since, one.status)
        members = {}
        for team in (north, south):
            listed = await directory.ListEmployees(ListEmployeesRequest(team_id=team, as_of=day, at_least=end))
            members[team] = {member.employee_id for member in listed.employees}
            if agent in members[team]:
                (shown,) = [member for member in listed.employees if member.employee_id == agent]
                assert shown == one
        assert (agent in members[north], agent in members[south]) == (one.team_id == north, one.team_id == south)
    probation, confirmed = EMPLOYMENT_STATUS_PROBATION, EMPLOYMENT_STATUS_CONFIRMED
    assert seen == {
        "2020-01-09": ("", "", 0, "", 0),
        "2020-01-10": (north, "", 0, "2020-01-10", probation),
        "2020-01-15": (south, "", 0, "2020-01-10", probation),
        "2020-02-01": (south, lead, 0, "2020-01-10", probation),
        "2020-04-01": (south, lead, 3, "2020-01-10", probation),
        "2020-05-01": (south, lead, 3, "2020-01-10", confirmed),
        "": (south, lead, 3, "2020-01-10", confirmed),
        "2190-01-01": (north, "", 3, "2020-01-10", confirmed),
    }


async def test_a_team_that_nobody_leads(both: World) -> None:
    """From a day on; it is shown so, and nobody of no name is among those who lead."""
    world = both
    team = await world.team()
    lead, agent = await world.lead(team), await world.employee(team)
    directory = world.directory
    await directory.AppointTeamLead(AppointTeamLeadRequest(team_id=team, effective_date="2020-02-01"))
    for day, expected in (("2020-01-31", lead), ("2020-02-01", "")):
        assert (await directory.GetTeam(GetTeamRequest(team_id=team, as_of=day))).lead_id == expected
        assert (await directory.GetEmployee(GetEmployeeRequest(employee_id=agent, as_of=day))).lead_id == expected
    await caught_up(world)
    engine = world.services["performance"].engine
    spans = await People(MetaData()).leads_between(engine, "2020-01-01", "2020-12-31")
    assert [(one.employee_id, one.until_date) for one in spans] == [(lead, "2020-02-01")]


async def test_an_update_changes_what_its_mask_names(world: World) -> None:
    """Only that; an empty mask means what was given, `*` too; and what cannot be updated is refused."""
    kpi_id = await world.kpi()
    before = await world.kpis.GetKpi(GetKpiRequest(kpi_id=kpi_id))
    assert before.precision == 1

    async def update(*paths: str, **fields: Any) -> Kpi:
        request = UpdateKpiRequest(kpi=Kpi(kpi_id=kpi_id, **fields), update_mask=FieldMask(paths=paths))
        kpi: Kpi = await world.kpis.UpdateKpi(request)
        return kpi

    after = await update("precision", precision=0, display_name="not this", unit=Kpi.UNIT_COUNT)
    assert (after.precision, after.display_name, after.unit) == (0, before.display_name, Kpi.UNIT_PERCENT)
    after = await update(display_name="Share", description="of short calls")
    assert (after.display_name, after.description, after.precision) == ("Share", "of short calls", 0)
    after = await update("*", display_name_zh="短通话占比", precision=2)
    assert (after.display_name, after.display_name_zh, after.precision) == ("Share", "短通话占比", 2)
    after = await update("description", display_name="not this")
    assert (after.display_name, after.description) == ("Share", "")
    same = await update("display_name", display_name="Share")
    assert same.log_position == after.log_position
    for path in ("unit", "kpi_id", "kpi.display_name", "", "display_name.x"):
        await refused(update(path, display_name="X"), StatusCode.INVALID_ARGUMENT, "FIELD_NOT_UPDATABLE")
    await refused(update("display_name"), StatusCode.INVALID_ARGUMENT, "KPI_INVALID")
    await refused(update("precision", precision=7), StatusCode.INVALID_ARGUMENT, "KPI_INVALID")
    assert (await world.kpis.GetKpi(GetKpiRequest(kpi_id=kpi_id))).etag == same.etag


async def test_an_etag_lets_one_of_two_editors_through(world: World) -> None:
    """The second one learns that it has changed, reads, and succeeds."""
    team_id = await world.team()
    read = await world.directory.GetTeam(GetTeamRequest(team_id=team_id))

    def rename(name: str, etag: str, request_id: str = "") -> UpdateTeamRequest:
        return UpdateTeamRequest(request_id=request_id, team=Team(team_id=team_id, display_name=name, etag=etag))

    first = await world.directory.UpdateTeam(rename("Red", read.etag, "r-1"))
    assert first.etag != read.etag
    await refused(world.directory.UpdateTeam(rename("Gold", read.etag)), StatusCode.ABORTED, "ETAG_MISMATCH")
    assert await world.directory.UpdateTeam(rename("Red", read.etag, "r-1")) == first
    assert (await world.directory.UpdateTeam(rename("Gold", first.etag))).display_name == "Gold"


@dataclass
class Said:
    """Commands as they were given, and what they were answered."""

    world: World
    calls: list[tuple[Callable[[Any], Awaitable[Any]], Any, Any]] = field(default_factory=list)

    async def say(self, call: Callable[[Any], Awaitable[Any]], request: Any) -> Any:
        request.request_id = f"r-{len(self.calls)}"
        answer = await call(request)
        self.calls.append((call, request, answer))
        return answer


async def test_every_repeated_command_answers_the_same(world: World) -> None:
    """Said again after everything that came later, in any order, each gets its first answer and nothing is written."""
    said = Said(world)
    directory, kpis, facts = world.directory, world.kpis, world.facts
    await said.say(directory.CreateTeam, CreateTeamRequest(team=Team(team_id="t-a", display_name="A")))
    await said.say(directory.CreateTeam, CreateTeamRequest(team=Team(team_id="t-b", display_name="B")))
    hired = Employee(employee_id="e-a", display_name="Ann", hire_date="2020-01-01", team_id="t-a", position="agent")
    await said.say(directory.HireEmployee, HireEmployeeRequest(employee=hired))
    lead = {"team_id": "t-a", "lead_id": "e-a"}
    await said.say(directory.AppointTeamLead, AppointTeamLeadRequest(**lead, effective_date="2020-02-01"))
    await said.say(directory.UpdateTeam, UpdateTeamRequest(team=Team(team_id="t-a", display_name="A2")))
    await said.say(directory.UpdateTeam, UpdateTeamRequest(team=Team(team_id="t-a", display_name="A")))
    renamed = Employee(employee_id="e-a", display_name="Anna")
    await said.say(directory.UpdateEmployee, UpdateEmployeeRequest(employee=renamed))
    moved = TransferEmployeeRequest(employee_id="e-a", team_id="t-b", effective_date="2020-03-01")
    await said.say(directory.TransferEmployee, moved)
    position = ChangePositionRequest(employee_id="e-a", position="lead", effective_date="2020-04-01")
    await said.say(directory.ChangePosition, position)
    for status in (EMPLOYMENT_STATUS_CONFIRMED, EMPLOYMENT_STATUS_LEFT):
        change = ChangeEmploymentStatusRequest(employee_id="e-a", status=status, effective_date=f"202{status}-01-01")
        await said.say(directory.ChangeEmploymentStatus, change)
    kpi = await kpis.GetKpi(GetKpiRequest(kpi_id=await world.kpi()))
    kpi.kpi_id = "k-a"
    await said.say(kpis.CreateKpi, CreateKpiRequest(kpi=kpi))
    await said.say(kpis.UpdateKpi, UpdateKpiRequest(kpi=Kpi(kpi_id="k-a", display_name="Other")))
    for maximum in ("5", "6", "5"):
        await said.say(kpis.SetTarget, target("k-a", maximum=maximum))
    await said.say(world.policies.SetPolicy, monthly("k-a"))
    await said.say(facts.RecordFacts, RecordFactsRequest(facts=[fact("e-a", "2020-01-01", "k-a", 1)]))
    wrong = CorrectFactRequest(fact=fact("e-a", "2020-01-01", "k-a", 2), reason="miscounted")
    await said.say(facts.CorrectFact, wrong)
    right = CorrectFactRequest(fact=fact("e-a", "2020-01-01", "k-a", 1), reason="it was right")
    await said.say(facts.CorrectFact, right)
    for rating in (RATING_GOOD, RATING_EXCELLENT, RATING_GOOD):
        await said.say(facts.RateMonth, RateMonthRequest(employee_id="e-a", month="2020-01", rating=rating))
    await caught_up(world)  # who has left leads no team any more: an event of its own
    end = await world.end()
    said.calls.sort(key=lambda call: str(call[1]))
    for call, request, answer in said.calls:
        again = await call(request)
        for one in (again, answer):
            if isinstance(one, Employee):  # the team's business, shown as it is now
                one.ClearField("lead_id")
        assert again == answer
    assert await world.end() == end


async def test_the_same_words_again_change_nothing(world: World) -> None:
    """Without a request id, what is so already is said in vain: no event, and the same answer."""
    team_id = await world.team()
    agent = await world.employee(team_id)
    kpi = await world.kpi()
    calls: list[tuple[Callable[[Any], Awaitable[Any]], Any]] = [
        (world.directory.CreateTeam, CreateTeamRequest(team=Team(team_id=team_id, display_name="A team"))),
        (world.directory.UpdateTeam, UpdateTeamRequest(team=Team(team_id=team_id, display_name="A team"))),
        (
            world.directory.AppointTeamLead,
            AppointTeamLeadRequest(team_id=team_id, lead_id=agent, effective_date="2020-01-01"),
        ),
        (
            world.directory.TransferEmployee,
            TransferEmployeeRequest(employee_id=agent, team_id=team_id, effective_date="2020-01-01"),
        ),
        (world.kpis.SetTarget, target(kpi, maximum="5")),
        (world.policies.SetPolicy, monthly(kpi)),
        (world.facts.RateMonth, RateMonthRequest(employee_id=agent, month="2020-01", rating=RATING_GOOD)),
    ]
    for call, request in calls:
        first, end = await call(request), await world.end()
        world.clock[0] += timedelta(seconds=1)  # at the same time it would be the same command
        assert await call(request) == first
        assert await world.end() == end


def days(first: str, count: int) -> list[str]:
    return [str(date.fromisoformat(first) + timedelta(days=number)) for number in range(count)]


Row = tuple[str, str, str, str]
"""Employee, day, source, KPI."""


async def folded(world: World) -> dict[Row, tuple[int, int]]:
    """Numerator and denominator of every reading, by a fold of the log that shares no code with the read model."""
    service = world.services["performance"]
    readings: dict[Row, Reading] = {}
    async with service.stream.feed(["log.performance.facts.*"], 0) as feed:
        while stored := await feed.next(1000, 0.3):
            for one in stored:
                event = (await service.codec.decode(one)).event
                if isinstance(event, CommandNoted):
                    continue
                assert isinstance(event, FactRecorded | FactCorrected)
                for reading in event.fact.readings:
                    readings[event.fact.employee_id, event.fact.date, event.fact.source, reading.kpi_id] = reading
    return {row: (sum(last.numerators), sum(last.denominators)) for row, last in readings.items()}


async def test_results_equal_a_fold_of_the_log(both: World) -> None:
    """Facts, repetitions, corrections and transfers at random: every grouping over any span adds up exactly."""
    world, chance = both, Random(7)
    teams = [await world.team() for _ in range(3)]
    agents = [await world.employee(chance.choice(teams)) for _ in range(4)]
    kpis = [await world.kpi() for _ in range(2)]
    calendar_days = days("2020-01-20", 30)
    for number in range(40):
        batch = [
            Fact(
                employee_id=chance.choice(agents),
                date=chance.choice(calendar_days),
                source=chance.choice(["calls", "chats"]),
                readings=[
                    Reading(kpi_id=kpi, numerators=[chance.randrange(50) for _ in range(n)], denominators=[50] * n)
                    for kpi in chance.sample(kpis, chance.randrange(1, 3))
                    for n in [chance.randrange(1, 4)]
                ],
            )
            for _ in range(6)
        ]
        await world.record(*batch, request_id=f"b-{number}")
        if number % 3 == 0:
            await world.record(*batch, request_id=chance.choice([f"b-{number}", ""]))
        if number % 4 == 0:
            known = sorted(await folded(world))
            for employee, day, source, kpi in chance.sample(known, min(3, len(known))):
                reading = Reading(kpi_id=kpi, numerators=[chance.randrange(50)], denominators=[50])
                corrected = Fact(employee_id=employee, date=day, source=source, readings=[reading])
                await world.facts.CorrectFact(CorrectFactRequest(fact=corrected, reason="counted anew"))
    moves: dict[str, dict[str, str]] = defaultdict(dict)

    def team_on(agent: str, day: str) -> str:
        return moves[agent][max(since for since in moves[agent] if since <= day)]

    for agent in agents:
        moves[agent]["2019-01-01"] = (await world.directory.GetEmployee(GetEmployeeRequest(employee_id=agent))).team_id
        for day in chance.sample(calendar_days, 3):
            team = chance.choice(teams)
            transfer = TransferEmployeeRequest(employee_id=agent, team_id=team, effective_date=day)
            await world.directory.TransferEmployee(transfer)
            if team_on(agent, day) != team:  # else there was nothing to change
                moves[agent][day] = team

    readings = await folded(world)
    end = await world.end()
    for first, last in [("2020-01-20", "2020-02-18"), ("2020-01-25", "2020-02-02"), ("2020-02-01", "2020-02-01")]:
        for group_by in (BY_EMPLOYEE, BY_TEAM, BY_CENTRE):
            sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
            for (agent, day, _, kpi), (numerator, denominator) in readings.items():
                if first <= day <= last:
                    group = {BY_EMPLOYEE: agent, BY_TEAM: team_on(agent, day), BY_CENTRE: ""}[group_by]
                    sums[group, kpi][0] += numerator
                    sums[group, kpi][1] += denominator
            answer = await world.facts.ListKpiResults(
                ListKpiResultsRequest(start_date=first, end_date=last, group_by=group_by, at_least=end)
            )
            found = {(r.employee_id or r.team_id, r.kpi_id): [r.numerator, r.denominator] for r in answer.results}
            assert found == dict(sums)
            for result in answer.results:
                exact = Fraction(result.numerator, result.denominator) * 100
                assert abs(Fraction(result.value) - exact) <= Fraction(1, 20)


async def test_facts_come_to_the_same_in_any_order(world: World) -> None:
    """Two employees with the same days, one told in order and once, the other anyhow and again: equal results."""
    chance = Random(3)
    kpi, team = await world.kpi(), await world.team()
    ordered, shuffled = await world.employee(team), await world.employee(team)
    numbers = {day: chance.randrange(100) for day in days("2020-01-01", 20)}
    for day, number in numbers.items():
        await world.record(fact(ordered, day, kpi, number))
    told = [*numbers.items(), *chance.sample(sorted(numbers.items()), 10)]
    chance.shuffle(told)
    for start in range(0, len(told), 4):
        await world.record(*(fact(shuffled, day, kpi, number) for day, number in told[start : start + 4]))

    async def results(agent: str) -> list[tuple[int, int, str, int]]:
        request = ListKpiResultsRequest(
            start_date="2020-01-01",
            end_date="2020-12-31",
            group_by=BY_EMPLOYEE,
            employee_id=agent,
            at_least=await world.end(),
        )
        answer = await world.facts.ListKpiResults(request)
        return [(r.numerator, r.denominator, r.value, r.days) for r in answer.results]

    assert await results(ordered) == await results(shuffled)
    assert (await results(ordered))[0][0] == sum(numbers.values())


async def test_smallest_largest_and_sums(both: World) -> None:
    """Over the samples of a day, the days of a span, and the members of a group."""
    world, team = both, await both.team()
    ann, ben = await world.employee(team), await world.employee(team)
    wanted = {
        await world.kpi(Kpi.AGGREGATION_MINIMUM): ((-3, "-3.0"), (-3, "-3.0")),
        await world.kpi(Kpi.AGGREGATION_MAXIMUM): ((9, "9.0"), (20, "20.0")),
        await world.kpi(Kpi.AGGREGATION_SUM): ((13, "13.0"), (33, "33.0")),
    }

    def samples(agent: str, day: str, *numbers: int) -> Fact:
        readings = [Reading(kpi_id=kpi, numerators=numbers) for kpi in wanted]
        return Fact(employee_id=agent, date=day, source="s", readings=readings)

    await world.record(
        samples(ann, "2020-01-01", 5, -3, 2), samples(ann, "2020-01-02", 9), samples(ben, "2020-01-02", 20)
    )
    await world.record(samples(ann, "2020-02-01", 1000, -1000))  # outside the span
    span: dict[str, Any] = {"start_date": "2020-01-01", "end_date": "2020-01-31", "at_least": await world.end()}
    one = await world.facts.ListKpiResults(ListKpiResultsRequest(group_by=BY_EMPLOYEE, employee_id=ann, **span))
    assert {r.kpi_id: (r.numerator, r.value) for r in one.results} == {kpi: own for kpi, (own, _) in wanted.items()}
    assert {(r.denominator, r.days) for r in one.results} == {(0, 2)}
    for group_by in (BY_TEAM, BY_CENTRE):
        together = await world.facts.ListKpiResults(ListKpiResultsRequest(group_by=group_by, **span))
        assert {r.kpi_id: (r.numerator, r.value) for r in together.results} == {
            kpi: everybodys for kpi, (_, everybodys) in wanted.items()
        }


async def test_a_stream_that_breaks_is_sent_again(world: World) -> None:
    """What came before the break is recorded; everything sent again is answered in full, and nothing is there twice."""
    kpi, agent = await world.kpi(), await world.employee(await world.team())
    batches = [
        RecordFactsRequest(request_id=f"b-{number}", facts=[fact(agent, day, kpi, number)])
        for number, day in enumerate(days("2020-01-01", 6))
    ]

    async def broken() -> AsyncIterator[StreamFactsRequest]:
        for batch in batches[:3]:
            yield StreamFactsRequest(batch=batch)
        yield StreamFactsRequest(batch=RecordFactsRequest(facts=[fact(agent, "2020-1-1", kpi, 1)]))

    with pytest.raises(aio.AioRpcError) as caught:
        await world.facts.StreamFacts(broken())
    assert caught.value.code() == StatusCode.INVALID_ARGUMENT
    assert "message 4 of the stream" in str(caught.value.details())
    answer = await world.facts.StreamFacts(StreamFactsRequest(batch=batch) for batch in batches)
    assert (answer.batches, answer.recorded, answer.unchanged, answer.rejected) == (6, 6, 0, 0)
    assert len(await folded(world)) == 6
    assert answer.log_position == await world.end()


async def test_a_stream_tells_which_fact_of_which_batch_was_left(world: World) -> None:
    """Good facts beside bad ones are recorded."""
    kpi, agent = await world.kpi(), await world.employee(await world.team())
    good = [fact(agent, day, kpi, 1) for day in days("2020-01-01", 4)]
    batches = [
        good[:1],
        [good[1], fact("nobody", "2020-01-01", kpi, 1)],
        [fact(agent, "2020-01-01", "none", 1), *good[2:]],
    ]
    answer = await world.facts.StreamFacts(
        StreamFactsRequest(batch=RecordFactsRequest(facts=facts)) for facts in batches
    )
    assert (answer.batches, answer.recorded, answer.rejected) == (3, 4, 2)
    assert [(one.batch, one.rejection.index, one.rejection.reason) for one in answer.rejections] == [
        (1, 1, "EMPLOYEE_NOT_FOUND"),
        (2, 0, "KPI_NOT_FOUND"),
    ]


async def test_a_correction_is_judged_anew(world: World) -> None:
    """A period that was fine until a fact of it was corrected is found; correcting it back makes no second finding."""
    kpi, agent = await world.kpi(), await world.employee(await world.team())
    await world.kpis.SetTarget(target(kpi))
    await world.policies.SetPolicy(monthly(kpi, streak=1))
    await world.record(fact(agent, "2020-01-05", kpi, 10), fact(agent, "2020-01-06", kpi, 10))
    await judged(world)
    assert await detections(world, agent) == []
    for number in (90, 10, 90):
        wrong = CorrectFactRequest(fact=fact(agent, "2020-01-06", kpi, number), reason="counted anew")
        corrected = await world.facts.CorrectFact(wrong)
        assert corrected.changed == 1
        await judged(world)
    (found,) = await detections(world, agent)
    (period,) = found.periods
    assert (period.numerator, period.denominator, period.value) == (100, 200, "50.0")
    assert [one.date for one in period.facts] == ["2020-01-05", "2020-01-06"]
    assert await world.detections.GetDetection(GetDetectionRequest(detection_id=found.detection_id)) == found


async def test_a_streak_is_judged_by_the_targets_of_the_team_of_the_day(world: World) -> None:
    """A team's own target goes before the centre's, for the work done in it; the last day decides who leads."""
    strict, lax = await world.team(), await world.team()
    kpi, agent, lead = await world.kpi(), await world.employee(lax), await world.employee(strict)
    centre = await world.kpis.SetTarget(target(kpi, maximum="80"))
    own = await world.kpis.SetTarget(target(kpi, "2020-02-15", team=strict))
    appointed = AppointTeamLeadRequest(team_id=strict, lead_id=lead, effective_date="2020-03-31")
    await world.directory.AppointTeamLead(appointed)
    moved = TransferEmployeeRequest(employee_id=agent, team_id=strict, effective_date="2020-02-29")
    await world.directory.TransferEmployee(moved)
    await world.policies.SetPolicy(monthly(kpi, streak=2))
    await world.record(*(fact(agent, day, kpi, 50) for day in ("2020-01-10", "2020-02-29")))
    await judged(world)
    assert await detections(world, agent) == []  # January was fine by the centre's
    await world.record(fact(agent, "2020-03-10", kpi, 50))
    await judged(world)
    (found,) = await detections(world, agent)
    assert [(one.start_date, one.maximum, one.target_position) for one in found.periods] == [
        ("2020-02-01", "10", own.log_position),
        ("2020-03-01", "10", own.log_position),
    ]
    assert centre.log_position < own.log_position
    assert (found.team_id, found.lead_id) == (strict, lead)


async def test_facts_in_any_order_are_found_once(world: World) -> None:
    """Months that arrive backwards, in pieces and twice come to the same one detection as months in order."""
    kpi, team, chance = await world.kpi(), await world.team(), Random(5)
    ordered, shuffled = await world.employee(team), await world.employee(team)
    await world.kpis.SetTarget(target(kpi))
    await world.policies.SetPolicy(monthly(kpi, streak=3, settle_seconds=60))
    told = [f"2020-{month:02}-{day:02}" for month in range(1, 5) for day in (3, 17, 29)]
    for day in told:
        await world.record(fact(ordered, day, kpi, 50))
    again = [*told, *told[::2]]
    chance.shuffle(again)
    for day in again:
        await world.record(fact(shuffled, day, kpi, 50))
    world.clock[0] += timedelta(seconds=61)
    await judged(world)
    (first,), (second,) = await detections(world, ordered), await detections(world, shuffled)

    def content(found: Detection) -> list[tuple[str, int, int]]:
        return [(one.start_date, one.numerator, len(one.facts)) for one in found.periods]

    assert content(first) == content(second) == [(f"2020-0{month}-01", 150, 3) for month in (1, 2, 3)]


async def test_a_month_that_arrives_late_makes_no_second_detection(world: World) -> None:
    """A streak that turns out to have begun earlier is the same streak."""
    kpi, agent = await world.kpi(), await world.employee(await world.team())
    await world.kpis.SetTarget(target(kpi))
    await world.policies.SetPolicy(monthly(kpi, streak=2))
    await world.record(fact(agent, "2020-02-10", kpi, 50), fact(agent, "2020-03-10", kpi, 50))
    await judged(world)
    found = await detections(world, agent)
    await world.record(fact(agent, "2020-01-10", kpi, 50))
    await judged(world)
    assert await detections(world, agent) == found
    assert len(found) == 1


async def test_a_new_fact_pushes_the_judgement_back(world: World) -> None:
    """Nothing is judged before the period's facts have settled."""
    kpi, agent = await world.kpi(), await world.employee(await world.team())
    await world.kpis.SetTarget(target(kpi))
    await world.policies.SetPolicy(monthly(kpi, streak=1, settle_seconds=3600))
    await world.record(fact(agent, "2020-01-05", kpi, 90))
    await caught_up(world)
    for number in range(3):
        world.clock[0] += timedelta(minutes=50)
        await world.record(fact(agent, str(date(2020, 1, 10 + number)), kpi, 90))
        await caught_up(world)
        assert await detections(world, agent) == []
    world.clock[0] += timedelta(minutes=61)
    await judged(world)
    (found,) = await detections(world, agent)
    assert len(found.periods[0].facts) == 4


@asynccontextmanager
async def another_instance(world: World) -> AsyncIterator[World]:
    """A second process of the performance service, beside the one that follows the log for both."""
    settings = world.services["performance"].settings.model_copy(update={"instance": "two"})
    async with (
        open_service("performance", settings, performance.EVENTS, now=lambda: world.clock[0]) as service,
        service.serving(performance.build(service)) as serving,
        connect(serving.address, retry=False, token=SYSTEM) as channel,
    ):
        yield World(world.channels | {"performance": channel}, world.services | {"performance": service}, world.clock)


async def test_two_instances_answer_alike(both: World) -> None:
    """What one was told, the other knows at once: existence, changes, versions, and request ids."""
    async with another_instance(both) as other:
        one, two = both.directory, other.directory
        agent = Employee(employee_id="e-a", display_name="Ann", hire_date="2020-01-01", team_id="t-a")
        hire = HireEmployeeRequest(request_id="r-1", employee=agent)
        await refused(two.HireEmployee(hire), StatusCode.NOT_FOUND, "TEAM_NOT_FOUND")
        await one.CreateTeam(CreateTeamRequest(team=Team(team_id="t-a", display_name="A")))
        hired = await two.HireEmployee(hire)
        assert await one.HireEmployee(hire) == hired
        for number in range(4):
            giver, taker = (one, two) if number % 2 else (two, one)
            read = await taker.GetTeam(GetTeamRequest(team_id="t-a"))
            renamed = Team(team_id="t-a", display_name=f"A{number}", etag=read.etag)
            after = await giver.UpdateTeam(UpdateTeamRequest(request_id=f"n-{number}", team=renamed))
            for stub in (giver, taker):
                listed = await stub.ListTeams(ListTeamsRequest(at_least=after.log_position))
                assert list(listed.teams) == [after]
                assert await stub.UpdateTeam(UpdateTeamRequest(request_id=f"n-{number}", team=renamed)) == after
        kpi = await both.kpi()
        assert (await other.record(fact("e-a", "2020-01-01", kpi, 1, 3))).recorded == 1
        last = await both.record(fact("e-a", "2020-01-02", kpi, 1, 3), fact("e-a", "2020-01-01", kpi, 1, 3))
        assert (last.recorded, last.unchanged) == (1, 1)
        for precision, value in ((1, "33.3"), (2, "33.33"), (0, "33")):
            changed = UpdateKpiRequest(
                kpi=Kpi(kpi_id=kpi, precision=precision), update_mask=FieldMask(paths=["precision"])
            )
            shown = await both.kpis.UpdateKpi(changed)
            request = ListKpiResultsRequest(
                start_date="2020-01-01",
                end_date="2020-01-31",
                group_by=BY_CENTRE,
                at_least=max(last.log_position, shown.log_position),
            )
            for facts in (both.facts, other.facts):
                assert [r.value for r in (await facts.ListKpiResults(request)).results] == [value]


async def test_names_lie_nowhere_in_clear(world: World) -> None:
    """Neither in the log nor in the read models, while callers read them."""
    team = await world.team()
    employee = Employee(employee_id="e-w", display_name="Wilhelmine Zauberhaft", hire_date="2020-01-01", team_id=team)
    hired = await world.directory.HireEmployee(HireEmployeeRequest(employee=employee))
    listed = await world.directory.ListEmployees(ListEmployeesRequest(at_least=hired.log_position))
    assert [one.display_name for one in listed.employees] == ["Wilhelmine Zauberhaft"]
    service = world.services["performance"]
    for stored in await service.stream.read("log.performance.employee.e-w"):
        assert b"Zauberhaft" not in stored.payload
    database = Path(str(service.engine.url.database))
    for file in database.parent.glob("*.db*"):
        assert b"Zauberhaft" not in file.read_bytes()


async def test_resources_as_they_were_known(world: World) -> None:
    """A read with `known_at` does not know what came later, whatever day it is true for."""
    team, other, kpi = await world.team(), await world.team(), await world.kpi()
    agent, lead = await world.employee(team), await world.employee(team)
    before = await world.end()
    await world.directory.AppointTeamLead(
        AppointTeamLeadRequest(team_id=other, lead_id=lead, effective_date="2020-01-01")
    )
    await world.directory.TransferEmployee(
        TransferEmployeeRequest(employee_id=agent, team_id=other, effective_date="2020-01-01")
    )
    await world.kpis.UpdateKpi(UpdateKpiRequest(kpi=Kpi(kpi_id=kpi, display_name="Another name")))
    after = await world.end()

    async def seen(known_at: int) -> tuple[str, str, str, str]:
        asked = GetEmployeeRequest(employee_id=agent, as_of="2020-02-01", known_at=known_at)
        employee = await world.directory.GetEmployee(asked)
        led = await world.directory.GetTeam(GetTeamRequest(team_id=other, as_of="2020-02-01", known_at=known_at))
        named = await world.kpis.GetKpi(GetKpiRequest(kpi_id=kpi, known_at=known_at))
        return employee.team_id, employee.lead_id, led.lead_id, named.display_name

    assert await seen(before) == (team, "", "", "A KPI")
    assert await seen(after) == await seen(0) == (other, lead, lead, "Another name")
    await refused(world.kpis.GetKpi(GetKpiRequest(kpi_id=kpi, known_at=1)), StatusCode.NOT_FOUND, "KPI_NOT_FOUND")


async def test_where_the_log_ended_at_a_moment(world: World) -> None:
    """The position is that of the last event before then; a moment to come has none, nor one before everything."""
    world.clock[0] = datetime.now(UTC) + timedelta(hours=1)
    agent, kpi = await world.employee(await world.team()), await world.kpi()
    await world.record(fact(agent, "2020-01-07", kpi, 1))
    position, moment = await world.end(), Timestamp()
    await asyncio.sleep(0.01)
    moment.GetCurrentTime()
    await world.record(fact(agent, "2020-01-08", kpi, 1))
    found = await world.facts.FindPosition(FindPositionRequest(time=moment))
    assert found.log_position == position
    request = ListFactsRequest(
        employee_id=agent, start_date="2020-01-01", end_date="2020-01-31", known_at=found.log_position
    )
    assert [one.date for one in (await world.facts.ListFacts(request)).readings] == ["2020-01-07"]
    tomorrow = Timestamp(seconds=moment.seconds + 86400)
    await refused(
        world.facts.FindPosition(FindPositionRequest(time=tomorrow)), StatusCode.INVALID_ARGUMENT, "TIME_INVALID"
    )
    long_ago = FindPositionRequest(time=Timestamp(seconds=0))
    await refused(world.facts.FindPosition(long_ago), StatusCode.NOT_FOUND, "NOTHING_KNOWN")
