"""The at-risk roster as callers see it: signals with their evidence, by who asks; and reviews."""

from datetime import date, timedelta

import pytest
from google.api.httpbody_pb2 import HttpBody
from grpc import StatusCode

from stepladder.performance.v1.check_in_pb2 import CheckIn
from stepladder.performance.v1.directory_pb2 import TransferEmployeeRequest
from stepladder.performance.v1.facts_pb2 import RATING_NEEDS_IMPROVEMENT, RateMonthRequest
from stepladder.performance.v1.kpi_pb2 import Kpi
from stepladder.performance.v1.policy_pb2 import DetectionRule, Offence, Policy, Roster, RuleBook, Scope
from stepladder.performance.v1.record_pb2 import CreateRecordsRequest, Record, Violation
from stepladder.performance.v1.roster_pb2 import (
    AtRiskEntry,
    AtRiskReview,
    AtRiskRoster,
    ExportAtRiskRosterRequest,
    GetAtRiskRosterRequest,
    ReviewAtRiskRequest,
)
from tests.policies import DAY, detecting
from tests.refusals import refused
from tests.services.test_check_ins import Centre, appoint, by, check_in, founded, reads
from tests.services.test_scorecards import put
from tests.services.world import World, fact, judged, new_id

AS_OF = "2020-02-15"
NOTE = "talked about the night shifts"


def signal(name: str, points: int, **test: object) -> Roster.Signal:
    return Roster.Signal(signal_id=name, display_name=name, points=points, **test)  # type: ignore[arg-type] # a field


async def ask(centre: Centre, caller: str, team: str | None = None, as_of: str = AS_OF) -> AtRiskRoster:
    """The roster of a team, by default the agent's."""
    request = GetAtRiskRosterRequest(team_id=centre.team if team is None else team, as_of=as_of)
    answer: AtRiskRoster = await centre.world.at_risk.GetAtRiskRoster(request, metadata=by(caller))
    return answer


def shown(roster: AtRiskRoster) -> dict[str, dict[str, str]]:
    """By employee, the signals that hold and their values."""
    return {one.employee_id: {each.signal_id: each.value for each in one.signals} for one in roster.entries}


async def set_roster(centre: Centre, *signals: Roster.Signal, at_least: int, scope: Scope | None = None) -> Policy:
    roster = Roster(signals=signals, at_least=at_least, review_days=14, scope=scope)
    return await put(centre.world, Policy(policy_id=new_id("p"), effective_date="2019-01-01", roster=roster))


LOW = signal("low-mood", 2, check_ins=Roster.CheckInLevel(mood_at_most=2, times=2, of=3))
SWING = signal("swing", 1, mood_swing=Roster.MoodSwing(range=3, days=60))


async def lower(centre: Centre, calls: str) -> None:
    """The agent's calls halve in February, and their mood is low."""
    for day, number in (("2020-01-20", 50), ("2020-02-10", 20)):
        await centre.world.record(fact(centre.agent, day, calls, number, None))
    for day, mood in (("2020-02-01", 5), ("2020-02-10", 2), ("2020-02-14", 1)):
        await centre.give(centre.agent, check_in(centre.agent, mood, day=day))


def falls(kpi_id: str) -> Roster.Trend:
    movement = DetectionRule.Movement(percent="30", baseline_periods=1)
    return Roster.Trend(days=20, condition=DetectionRule.Condition(kpi_id=kpi_id, falls=movement))


async def test_every_kind_of_signal_is_shown_with_what_was_seen(both: World) -> None:
    """Out of readings, ratings, violations, detections and check-ins, each with positions that lead to the facts."""
    centre = await founded(both)
    world, agent = both, centre.agent
    calls = await world.kpi(Kpi.AGGREGATION_SUM)
    watch = DetectionRule(
        streak=DetectionRule.Streak(kpi_id=calls, period=DAY, streak=1, minimum="25"),
        purpose=DetectionRule.PURPOSE_FINDING,
    )
    await world.policies.SetPolicy(detecting(new_id("p"), watch, "2019-01-01"))
    book = RuleBook(offences=[Offence(offence_id="noise", display_name="Noise", points=2)])
    book_id = (await put(world, Policy(policy_id=new_id("b"), effective_date="2019-01-01", rule_book=book))).policy_id
    policy = await set_roster(
        centre,
        signal("calls", 1, trend=falls(calls)),
        signal("rating", 1, ratings=DetectionRule.RatingStreak(at_most=RATING_NEEDS_IMPROVEMENT, months=1)),
        signal("conduct", 1, conduct=DetectionRule.Points(at_least=2)),
        signal("found", 1, detections=Roster.StandingDetections(at_least=1, days=30)),
        LOW,
        SWING,
        at_least=3,
    )
    await lower(centre, calls)
    rate = RateMonthRequest(employee_id=agent, month="2020-01", rating=RATING_NEEDS_IMPROVEMENT)
    rated = await world.facts.RateMonth(rate)
    violation = Violation(rule_book_id=book_id, offence_id="noise")
    record = Record(record_id=new_id("v"), employee_id=agent, date="2020-02-03", violation=violation)
    noted = await world.records.CreateRecords(CreateRecordsRequest(records=[record]))
    await judged(world)

    (entry,) = (await ask(centre, centre.lead)).entries
    assert {one.signal_id: (one.value, one.baseline, one.points) for one in entry.signals} == {
        "calls": ("20.0", "50.0", 1),
        "rating": ("NEEDS_IMPROVEMENT", "", 1),
        "conduct": ("2", "", 1),
        "found": ("1", "", 1),
        "low-mood": ("2", "", 2),
        "swing": ("4", "", 1),
    }
    assert (entry.points, entry.employee_id, entry.team_id) == (7, agent, centre.team)
    assert (entry.policy_id, entry.policy_position) == (policy.policy_id, policy.log_position)
    evidence = {one.signal_id: one for one in entry.signals}
    assert [one.date for one in evidence["calls"].facts] == ["2020-02-10", "2020-01-20"]
    assert [one.log_position for one in evidence["rating"].facts] == [rated.log_position]
    assert [one.log_position for one in evidence["conduct"].facts] == [noted.log_position]
    assert evidence["found"].facts[0].source.startswith("d-")
    assert [one.mood for one in evidence["low-mood"].check_ins] == [2, 1]
    assert [one.mood for one in evidence["swing"].check_ins] == [5, 1]
    assert await ask(centre, centre.hr) == await ask(centre, centre.lead) == await ask(centre, centre.hr, "")


async def test_nothing_that_is_made_of_check_ins_flows_up(world: World) -> None:
    """A manager sees the other signals and their points; whoever is there for check-ins is not, and nothing says so."""
    centre = await founded(world)
    calls = await world.kpi(Kpi.AGGREGATION_SUM)
    await set_roster(centre, signal("calls", 3, trend=falls(calls)), LOW, SWING, at_least=3)
    await lower(centre, calls)
    quiet = await world.employee(centre.team)
    for day in ("2020-02-10", "2020-02-12"):
        await centre.give(quiet, check_in(quiet, 1 if day.endswith("0") else 2, day=day))
    await centre.give(quiet, check_in(quiet, 5, day="2020-02-01"))
    await review(centre, centre.lead, centre.agent)
    whole = await ask(centre, centre.lead, as_of=AS_OF)
    assert shown(whole) == {
        centre.agent: {"calls": "20.0", "low-mood": "2", "swing": "4"},
        quiet: {"low-mood": "2", "swing": "4"},
    }
    above = await ask(centre, centre.manager, as_of=world.clock[0].date().isoformat())
    assert shown(above) == {}
    above = await ask(centre, centre.manager)
    assert shown(above) == {centre.agent: {"calls": "20.0"}}
    (entry,) = above.entries
    assert entry == AtRiskEntry(
        employee_id=centre.agent,
        team_id=centre.team,
        policy_id=entry.policy_id,
        policy_position=entry.policy_position,
        points=3,
        signals=entry.signals,
    )
    assert not entry.signals[0].check_ins


async def export(centre: Centre, caller: str, kind: str) -> HttpBody:
    request = ExportAtRiskRosterRequest(team_id=centre.team, as_of=AS_OF, format=kind)
    answer: HttpBody = await centre.world.at_risk.ExportAtRiskRoster(request, metadata=by(caller))
    return answer


async def test_the_roster_as_a_file_shows_each_what_they_may_see(world: World) -> None:
    """With names, what was seen and what is overdue; nothing of check-ins to the manager; nobody else gets one."""
    centre = await founded(world)
    calls = await world.kpi(Kpi.AGGREGATION_SUM)
    await lower(centre, calls)
    await set_roster(centre, signal("fewer-calls", 1, trend=falls(calls)), LOW, at_least=1)
    lines = (await export(centre, centre.lead, "csv")).data.decode("utf-8-sig").splitlines()
    (person,) = [line for line in lines if "fewer-calls, low-mood" in line]
    assert person.endswith("overdue")
    assert any("low-mood" in line and line != person for line in lines)
    seen_by_manager = (await export(centre, centre.manager, "csv")).data.decode("utf-8-sig")
    assert "fewer-calls" in seen_by_manager
    assert "low-mood" not in seen_by_manager
    assert "overdue" not in seen_by_manager
    page, pdf = await export(centre, centre.hr, "html"), await export(centre, centre.hr, "pdf")
    assert "no verdict" in page.data.decode()
    assert pdf.data.startswith(b"%PDF")
    await refused(export(centre, centre.agent, "html"), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    early = ExportAtRiskRosterRequest(team_id=centre.team, as_of="2019-06-01", format="html")
    nobody = await centre.world.at_risk.ExportAtRiskRoster(early, metadata=by(centre.lead))
    assert "Nobody" in nobody.data.decode()


async def test_who_is_shown_check_ins_is_noted(world: World) -> None:
    """With those that were shown, by the call; not who sees the roster without them, nor for whom there were none."""
    centre = await founded(world)
    calls = await world.kpi(Kpi.AGGREGATION_SUM)
    await lower(centre, calls)
    await set_roster(centre, signal("fewer-calls", 1, trend=falls(calls)), LOW, at_least=1)
    (entry,) = (await ask(centre, centre.lead)).entries
    shown_ids = [one.check_in_id for one in entry.signals[1].check_ins]
    await ask(centre, centre.manager)
    await export(centre, centre.hr, "csv")
    assert [(one.reader, one.method, list(one.ids)) for one in await reads(centre, centre.agent)] == [
        (f"user:{centre.lead}", "GetAtRiskRoster", shown_ids),
        (f"user:{centre.hr}", "ExportAtRiskRoster", shown_ids),
    ]
    assert await reads(centre, centre.hr, centre.colleague) == []


async def review(centre: Centre, caller: str, employee: str, days: int = 7) -> AtRiskReview:
    until = centre.world.clock[0].date() + timedelta(days)
    request = ReviewAtRiskRequest(employee_id=employee, note=NOTE, next_review_date=until.isoformat())
    answer: AtRiskReview = await centre.world.at_risk.ReviewAtRisk(request, metadata=by(caller))
    return answer


async def test_who_may_not_is_refused_alike(world: World) -> None:
    """Whatever there is; a lead for any other team and the centre, too, and everybody for a review."""
    centre = await founded(world)
    await set_roster(centre, LOW, at_least=1)
    heard: set[str] = set()
    stub = world.at_risk
    for team in (centre.team, "none"):
        for caller in (centre.agent, centre.colleague, centre.other_lead, "nobody", "Some@one"):
            call = stub.GetAtRiskRoster(GetAtRiskRosterRequest(team_id=team, as_of="2199-01-01"), metadata=by(caller))
            heard.add((await refused(call, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")).message)
    for caller in (centre.lead, centre.manager, centre.agent):
        call = stub.GetAtRiskRoster(GetAtRiskRosterRequest(), metadata=by(caller))
        heard.add((await refused(call, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")).message)
    for caller, about in (
        (centre.agent, centre.agent),
        (centre.manager, centre.agent),
        (centre.colleague, centre.agent),
        (centre.hr, centre.hr),
        (centre.lead, centre.lead),
        (centre.lead, "ghost"),
    ):
        heard.add((await refused(review(centre, caller, about), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")).message)
    assert len(heard) == 1
    missing = stub.GetAtRiskRoster(GetAtRiskRosterRequest(team_id="none"), metadata=by(centre.hr))
    await refused(missing, StatusCode.NOT_FOUND, "TEAM_NOT_FOUND")
    ahead = stub.GetAtRiskRoster(GetAtRiskRosterRequest(as_of="2199-01-01"), metadata=by(centre.hr))
    await refused(ahead, StatusCode.INVALID_ARGUMENT, "DATE_INVALID")
    await refused(ask(centre, centre.hr, as_of="2018-12-31"), StatusCode.NOT_FOUND, "POLICY_NOT_FOUND")
    await refused(review(centre, centre.hr, "ghost"), StatusCode.NOT_FOUND, "EMPLOYEE_NOT_FOUND")


async def test_nobody_sees_themself_on_it(world: World) -> None:
    """Neither HR nor a lead who is a member of the team that they lead; others see them."""
    centre = await founded(world)
    await set_roster(centre, LOW, at_least=1)
    inner = await world.team()
    lead = await world.employee(inner)
    await appoint(world, inner, lead)
    for who in (lead, centre.hr):
        for day in ("2020-02-10", "2020-02-12"):
            await centre.give(who, check_in(who, 1, day=day))
    assert shown(await ask(centre, lead, inner)) == {}
    assert shown(await ask(centre, centre.hr, "")) == {lead: {"low-mood": "2"}}


async def test_those_who_are_in_the_team_today(world: World) -> None:
    """Who has moved is on the roster of the other team, with everything as of an earlier day."""
    centre = await founded(world)
    await set_roster(centre, LOW, at_least=1)
    for day in ("2020-02-10", "2020-02-12"):
        await centre.give(centre.agent, check_in(centre.agent, 1, day=day))
    assert [*shown(await ask(centre, centre.lead))] == [centre.agent]
    assert shown(await ask(centre, centre.lead, as_of="2020-02-11")) == {}
    moved = TransferEmployeeRequest(employee_id=centre.agent, team_id=centre.other_team, effective_date="2020-03-01")
    await world.directory.TransferEmployee(moved)
    assert shown(await ask(centre, centre.lead)) == {}
    assert [*shown(await ask(centre, centre.other_lead, centre.other_team))] == [centre.agent]


async def test_the_narrowest_policy_is_for_them(world: World) -> None:
    """One for the team goes before one for all; for whom there is none, that is said."""
    centre = await founded(world)
    strict = await set_roster(centre, LOW, at_least=1, scope=Scope(team_id=centre.team))
    assert strict.roster.scope.team_id == centre.team
    only = await ask(centre, centre.hr, centre.other_team)
    assert (list(only.entries), list(only.without_policy)) == ([], [])
    lost = await world.employee(centre.other_team)
    assert list((await ask(centre, centre.hr, centre.other_team)).without_policy) == [lost]
    loose = await set_roster(centre, LOW, SWING, at_least=3)
    for who in (centre.agent, lost):
        for day in ("2020-02-10", "2020-02-12"):
            await centre.give(who, check_in(who, 1, day=day))
    found = await ask(centre, centre.hr, "")
    assert [(one.employee_id, one.policy_id) for one in found.entries] == [(centre.agent, strict.policy_id)]
    assert list(found.without_policy) == []
    await centre.give(lost, CheckIn(check_in_id="up", employee_id=lost, date="2020-02-14", mood=4, stress=1))
    found = await ask(centre, centre.hr, "")
    assert [(one.employee_id, one.policy_id) for one in found.entries] == [
        (lost, loose.policy_id),
        (centre.agent, strict.policy_id),
    ]


async def test_reviews_are_shown_and_come_due(world: World) -> None:
    """By the day that they name or the policy's rhythm; without one, a review is overdue."""
    centre = await founded(world)
    await set_roster(centre, LOW, at_least=1)
    today = world.clock[0].date()
    for day in (today, today - timedelta(days=1)):
        await centre.give(centre.agent, check_in(centre.agent, 1, day=day.isoformat()))

    async def entry(caller: str = "") -> AtRiskEntry:
        (one,) = (await ask(centre, caller or centre.lead, as_of="")).entries
        return one

    assert ((await entry()).review_overdue, (await entry()).review_due_date) == (True, "")
    first = await review(centre, centre.lead, centre.agent)
    assert (first.note, first.reviewed_by, first.date) == (NOTE, f"user:{centre.lead}", today.isoformat())
    assert await review(centre, centre.lead, centre.agent) == first
    assert await entry() == await entry(centre.hr)
    assert ((await entry()).last_review, (await entry()).review_overdue) == (first, False)
    assert date.fromisoformat((await entry()).review_due_date) == today + timedelta(7)
    await review(centre, centre.hr, centre.agent, days=200)
    assert date.fromisoformat((await entry()).review_due_date) == today + timedelta(14)
    world.clock[0] += timedelta(days=15)
    assert (await entry()).review_overdue


async def test_a_review_is_kept_of_each_who_gave_it(world: World) -> None:
    """In the same words, under the same request id."""
    centre = await founded(world)
    day = (world.clock[0].date() + timedelta(days=7)).isoformat()
    request = ReviewAtRiskRequest(request_id="r-1", employee_id=centre.agent, note=NOTE, next_review_date=day)
    for caller in (centre.lead, centre.hr):
        given = await world.at_risk.ReviewAtRisk(request, metadata=by(caller))
        assert given.reviewed_by == f"user:{caller}"


@pytest.mark.parametrize("text", ["2020-02-15", "2020-02-30"])
async def test_the_next_review_lies_ahead(world: World, text: str) -> None:
    """On a day of the calendar."""
    centre = await founded(world)
    request = ReviewAtRiskRequest(employee_id=centre.agent, note=NOTE, next_review_date=text)
    call = world.at_risk.ReviewAtRisk(request, metadata=by(centre.lead))
    code = StatusCode.INVALID_ARGUMENT
    await refused(call, code, "INVALID_FIELDS" if text.endswith("30") else "DATE_INVALID")
