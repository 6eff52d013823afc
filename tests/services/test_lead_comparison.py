"""Leads compared over gRPC: the explanation adds up, and each number of it is found among the facts."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from grpc import StatusCode

from stepladder.performance.v1.assessment_pb2 import Assessment
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_LEFT,
    ChangeEmploymentStatusRequest,
    TransferEmployeeRequest,
)
from stepladder.performance.v1.facts_pb2 import ListFactsRequest, ListKpiResultsRequest, RecordedReading
from stepladder.performance.v1.kpi_pb2 import CreateKpiRequest, Kpi
from stepladder.performance.v1.lead_comparison_pb2 import (
    ComparedLead,
    CompareLeadsRequest,
    LeadComparison,
    Movement,
)
from stepladder.performance.v1.policy_pb2 import Scope, ScorecardPolicy
from stepladder.performance.v1.scorecard_pb2 import Rank
from tests.refusals import refused
from tests.services.test_assessments import appoint, give, open_, stored_model
from tests.services.test_assessments import close as close_assessment
from tests.services.test_records import derived
from tests.services.test_scorecards import close, correct, policy, put, scorecard, target
from tests.services.world import World, caught_up, fact, judged


@dataclass
class Floor:
    """Leads of one policy, with a team of each, and two KPIs."""

    manager: str
    leads: list[str]
    teams: list[str]
    members: list[list[str]]
    kpis: list[str]


async def floor(world: World, leads: int = 3, size: int = 3, **more: Any) -> Floor:
    above, manager = await world.team(), await world.employee(await world.team())
    await appoint(world, above, manager)
    kpis = [await world.kpi(), await world.kpi()]
    for kpi_id in kpis:
        await target(world, kpi_id)
    await put(world, policy(kpis, scope=Scope(team_id=above), basis=ScorecardPolicy.BASIS_TEAM, **more))
    found = Floor(manager, [], [], [], kpis)
    for _ in range(leads):
        found.leads.append(await world.employee(above))
        found.teams.append(await world.team())
        await appoint(world, found.teams[-1], found.leads[-1])
        found.members.append([await world.employee(found.teams[-1]) for _ in range(size)])
    return found


async def half_year(world: World, there: Floor, worst: Sequence[int] = (10, 20, 40)) -> None:
    """Three months: of each lead's team one member is off target by so much on the first KPI, the others are on it."""
    for month in ("2020-01", "2020-02", "2020-03"):
        for members, numerator in zip(there.members, worst, strict=True):
            for member in members:
                missed = numerator if member == members[0] else 10
                await world.record(
                    *(fact(member, f"{month}-{day}", there.kpis[0], missed) for day in ("07", "08")),
                    fact(member, f"{month}-09", there.kpis[1], 11),
                )
        await close(world, month)
    await caught_up(world)


async def compared(world: World, lead_ids: Sequence[str], **more: Any) -> LeadComparison:
    asked: dict[str, Any] = {"start_month": "2020-01", "end_month": "2020-03"} | more
    answer: LeadComparison = await world.comparisons.CompareLeads(CompareLeadsRequest(lead_ids=lead_ids, **asked))
    return answer


def adds_up(lead: ComparedLead) -> bool:
    parts = [Decimal(line.difference) for line in (*lead.lines, *lead.adjustments)]
    return sum(parts) + Decimal(lead.rest) == Decimal(lead.difference)


async def facts_of(world: World, employee_id: str) -> list[RecordedReading]:
    request = ListFactsRequest(employee_id=employee_id, start_date="2020-01-01", end_date="2020-12-31")
    return list((await world.facts.ListFacts(request)).readings)


async def test_why_leads_differ(both: World) -> None:
    """Totals and ranks of every month, the difference by KPI, who it comes from, and the facts that say so."""
    world = both
    there = await floor(world)
    await half_year(world, there)
    answer = await compared(world, there.leads)
    assert [lead.lead_id for lead in answer.leads] == there.leads
    best, _, worst = answer.leads
    cards = [await scorecard(world, worst.lead_id, f"2020-0{month}") for month in (1, 2, 3)]
    assert [(one.month, one.total, one.rating, one.log_position) for one in worst.months] == [
        (card.month, card.scorecard.total, card.rating, card.log_position) for card in cards
    ]
    assert {(one.closed, one.rank.rank, one.rank.of, one.percentile) for one in worst.months} == {(True, 3, 3, "33.3")}
    assert {(one.rank.rank, one.percentile) for one in best.months} == {(1, "100.0")}
    for lead in answer.leads:
        assert adds_up(lead)
    first, second = worst.lines
    assert (first.kpi_id, second.kpi_id) == tuple(there.kpis)
    # 40, 10 and 10 of 100 against 10: half of the target attained, which weighs half.
    assert (first.value, first.score, first.share, first.points) == ("20.0", "50.000000", "50.000000", "25.000000")
    assert first.numerator == sum(card.scorecard.lines[0].numerator for card in cards)
    assert first.denominator == sum(card.scorecard.lines[0].denominator for card in cards)
    assert Decimal(second.difference) == 0
    assert Decimal(first.difference) + Decimal(worst.rest) == Decimal(worst.difference)
    by_whom = first.members[0]
    assert (by_whom.employee_id, by_whom.value, by_whom.effect) == (there.members[2][0], "40.0", "10.000000")
    assert sum(one.numerator for one in first.members) == first.numerator
    traced = {one.log_position: one for one in await facts_of(world, by_whom.employee_id)}
    mine = [traced[position] for position in by_whom.fact_positions]
    assert sum(one.numerator for one in mine) == by_whom.numerator
    assert {one.kpi_id for one in mine} == {there.kpis[0]}
    assert len(first.days) == 5
    limited = await compared(world, there.leads, most=1)
    assert (len(limited.leads[2].lines[0].members), len(limited.leads[2].lines[0].days)) == (1, 1)
    assert sorted(position for line in cards for position in line.scorecard.lines[0].fact_positions) == sorted(
        position for one in first.members for position in one.fact_positions
    )


async def test_a_correction_is_in_it_and_what_was_known_before_stays(world: World) -> None:
    there = await floor(world)
    await half_year(world, there)
    before = await world.end()
    first = await compared(world, there.leads)
    await correct(world, there.members[2][0], "2020-01-07", there.kpis[0], 10)
    await judged(world)
    after = await compared(world, there.leads)
    assert after.leads[2].months[0].total != first.leads[2].months[0].total
    assert adds_up(after.leads[2])
    (whose,) = [one for one in after.leads[2].lines[0].members if one.employee_id == there.members[2][0]]
    assert whose.numerator == 40 * 5 + 10
    then = await compared(world, there.leads, known_at=before)
    assert then == first


async def test_attrition_and_who_moved(world: World) -> None:
    """Who left, when, over the average headcount; who came from the other lead's team."""
    there = await floor(world)
    await half_year(world, there)
    (stays, leaves, goes), new = there.members[0], there.members[1][0]
    left = ChangeEmploymentStatusRequest(employee_id=leaves, status=EMPLOYMENT_STATUS_LEFT, effective_date="2020-02-01")
    await world.directory.ChangeEmploymentStatus(left)
    for employee_id, team_id, day in ((goes, there.teams[1], "2020-03-01"), (new, there.teams[0], "2020-02-15")):
        move = TransferEmployeeRequest(employee_id=employee_id, team_id=team_id, effective_date=day)
        await world.directory.TransferEmployee(move)
    await judged(world)
    first, second, third = (await compared(world, there.leads)).leads
    # 91 days of one, 31 until the end of January, 60 until the end of February, 46 from the middle of it on.
    of_first = first.attrition
    assert (of_first.leavers, of_first.days, of_first.member_days) == (1, 91, 91 + 31 + 60 + 46)
    assert (of_first.headcount, of_first.rate) == ("2.51", "39.91")
    assert [(one.kind, one.employee_id, one.date, one.other_team_id) for one in first.movements] == [
        (Movement.KIND_LEFT, leaves, "2020-01-31", ""),
        (Movement.KIND_TRANSFERRED_IN, new, "2020-02-15", there.teams[1]),
        (Movement.KIND_TRANSFERRED_OUT, goes, "2020-03-01", there.teams[1]),
    ]
    assert [(one.kind, one.employee_id) for one in second.movements] == [
        (Movement.KIND_TRANSFERRED_OUT, new),
        (Movement.KIND_TRANSFERRED_IN, goes),
    ]
    assert (third.attrition.leavers, third.attrition.rate, list(third.movements)) == (0, "0.00", [])
    assert stays not in {one.employee_id for one in first.movements}
    assert all(adds_up(lead) for lead in (first, second, third))


async def test_behaviours_stand_beside_the_numbers(world: World) -> None:
    """As the manager and, once it is closed, the team see each lead."""
    model = await stored_model(world)
    there = await floor(world, leads=2)
    await half_year(world, there, (10, 20))
    one = there.leads[0]
    for lead in there.leads:
        await open_(world, lead, model.policy_id)
        await give(world, lead, there.manager, "44444" if lead == one else "22222")
    for member in there.members[0]:
        await give(world, one, member, "43434")
    await close_assessment(world, one)
    first, second = (await compared(world, there.leads)).leads
    (of_one,), (of_other,) = first.assessments, second.assessments
    assert ([each.level for each in of_one.managers[0].behaviours], of_one.team.behaviours[1].mean) == (
        [4, 4, 4, 4, 4],
        "3.00",
    )
    assert (of_other.state, of_other.HasField("team")) == (Assessment.STATE_OPEN, False)


async def test_what_cannot_be_compared_is_said(world: World) -> None:
    there = await floor(world, leads=2)
    call = compared(world, there.leads)
    assert "2020-01" in (await refused(call, StatusCode.FAILED_PRECONDITION, "MONTH_NOT_CLOSED")).message
    for wrong, code, reason in (
        (compared(world, [there.leads[0], "nobody"]), StatusCode.NOT_FOUND, "EMPLOYEE_NOT_FOUND"),
        (compared(world, there.leads, end_month="2019-12"), StatusCode.INVALID_ARGUMENT, "MONTHS_INVALID"),
        (compared(world, there.leads, end_month="2022-01"), StatusCode.INVALID_ARGUMENT, "MONTHS_INVALID"),
        (compared(world, there.leads[:1]), StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS"),
    ):
        await refused(wrong, code, reason)


async def test_leads_without_a_card_are_shown_as_such(world: World) -> None:
    """A lead of no scorecard policy, and a month that is closed for one of them only."""
    there = await floor(world, leads=3)
    await half_year(world, there)
    outsider = await world.employee(there.teams[0])
    first, second = (await compared(world, [there.leads[0], outsider])).leads
    assert (second.total, list(second.lines), [one.closed for one in second.months]) == ("", [], [False] * 3)
    assert (first.difference, adds_up(first)) == ("0.000000", True)
    assert first.months[0].rank == Rank(rank=1, of=3)


async def left_on(world: World, kpi_id: str, employee_id: str) -> dict[str, int]:
    """By month, how often they left."""
    found = {}
    for month in ("01", "02", "03"):
        request = ListKpiResultsRequest(
            start_date=f"2020-{month}-01",
            end_date=f"2020-{month}-28",
            group_by=ListKpiResultsRequest.GROUP_BY_EMPLOYEE,
            kpi_id=kpi_id,
            employee_id=employee_id,
            at_least=await world.end(),
        )
        for one in (await world.facts.ListKpiResults(request)).results:
            found[month] = one.numerator
    return found


async def test_who_leaves_counts_in_the_leads_own_scorecard(both: World) -> None:
    """On the last day of employment, also where that month was closed before it was known; taken back when it moves."""
    world = both
    count = await derived(world, "employment.left")
    there = await floor(world, leads=2, adjustments=[ScorecardPolicy.Adjustment(kpi_id=count, factor="-5")])
    await half_year(world, there, (10, 20))
    lead, leaver = there.leads[0], there.members[0][0]
    before = (await scorecard(world, lead)).scorecard

    async def leave(day: str) -> None:
        left = ChangeEmploymentStatusRequest(employee_id=leaver, status=EMPLOYMENT_STATUS_LEFT, effective_date=day)
        await world.directory.ChangeEmploymentStatus(left)
        await judged(world)

    await leave("2020-02-16")
    assert (await scorecard(world, lead)).scorecard == before
    assert await left_on(world, count, leaver) == {"02": 1}
    february = (await scorecard(world, lead, "2020-02")).scorecard
    assert [(one.points, one.value) for one in february.adjustments] == [("-5.000000", "1.0")]
    await leave("2020-02-01")
    revised = await scorecard(world, lead)
    assert Decimal(revised.scorecard.total) == Decimal(before.total) - 5
    assert revised.revisions[-1].causes == [revised.scorecard.adjustments[0].fact_positions[0]]
    assert not (await scorecard(world, lead, "2020-02")).scorecard.adjustments
    request = ListFactsRequest(employee_id=leaver, start_date="2020-01-01", end_date="2020-12-31")
    (reading,) = [one for one in (await world.facts.ListFacts(request)).readings if one.kpi_id == "employment.left"]
    assert (reading.date, reading.numerator) == ("2020-01-31", 1)
    first, _ = (await compared(world, there.leads)).leads
    (line,) = first.adjustments
    assert (line.months, line.numerator, line.members[0].employee_id) == (1, 1, leaver)
    assert adds_up(first)


async def test_who_left_before_a_month_is_not_scored_in_it(world: World) -> None:
    """Months after the last day are looked at again as well, when it is told after they were closed."""
    team, kpi_id = await world.team(), await world.kpi()
    await target(world, kpi_id)
    await put(world, policy([kpi_id], scope=Scope(team_id=team)))
    agent = await world.employee(team)
    for month in ("2020-01", "2020-02"):
        await world.record(fact(agent, f"{month}-07", kpi_id, 10))
        await close(world, month)
    left = ChangeEmploymentStatusRequest(employee_id=agent, status=EMPLOYMENT_STATUS_LEFT, effective_date="2020-01-15")
    await world.directory.ChangeEmploymentStatus(left)
    await judged(world)
    assert [(await scorecard(world, agent, month)).scorecard.total for month in ("2020-01", "2020-02")] == ["100.0", ""]


async def test_attrition_as_a_rate(world: World) -> None:
    """Over another KPI of the team, so that a month without leavers has a value too."""
    calls = await world.kpi(Kpi.AGGREGATION_SUM)
    rate = await derived(world, "employment.left", calls, 1000)
    there = await floor(world, leads=1, size=2)
    for member in there.members[0]:
        await world.record(fact(member, "2020-01-07", calls, 250, None))
    left = ChangeEmploymentStatusRequest(
        employee_id=there.members[0][0], status=EMPLOYMENT_STATUS_LEFT, effective_date="2020-02-01"
    )
    request = ListKpiResultsRequest(
        start_date="2020-01-01", end_date="2020-01-31", group_by=ListKpiResultsRequest.GROUP_BY_TEAM, kpi_id=rate
    )

    async def shown() -> list[str]:
        request.at_least = await world.end()
        return [one.value for one in (await world.facts.ListKpiResults(request)).results]

    assert await shown() == ["0.0"]
    await world.directory.ChangeEmploymentStatus(left)
    assert await shown() == ["2.0"]
    wrong = CreateKpiRequest(kpi=Kpi(derived=Kpi.Derivation(numerator="employment.joined")))
    await refused(world.kpis.CreateKpi(wrong), StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
