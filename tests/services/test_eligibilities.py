"""Eligibility as callers see it: judged over the facts of all services, watched, listed, tried."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from grpc import StatusCode
from sqlalchemy import MetaData, select

from libs.common.eventsourcing import Context
from libs.common.rebuilding import rebuild
from services.promotion.eligibility_changes import Changes, Touched
from services.promotion.post import POST
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_CONFIRMED,
    EMPLOYMENT_STATUS_LEFT,
    AppointTeamLeadRequest,
    ChangeEmploymentStatusRequest,
    ChangePositionRequest,
    EmploymentStatus,
    TransferEmployeeRequest,
)
from stepladder.performance.v1.facts_pb2 import RATING_EXCELLENT, RATING_GOOD, RateMonthRequest, Rating
from stepladder.performance.v1.policy_pb2 import Offence, Policy, RuleBook, SetPolicyRequest
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules, EligibilityRules, Ladder
from stepladder.performance.v1.record_pb2 import CreateRecordsRequest, Record, Training, Violation
from stepladder.promotion.v1.career_pb2 import WaiveCriterionRequest
from stepladder.promotion.v1.eligibility_pb2 import (
    DryRunEligibilityRequest,
    Eligibility,
    GetEligibilityRequest,
    ListEligibilitiesRequest,
    ListTalentsRequest,
    WatchEligibilitiesRequest,
    WatchEligibilitiesResponse,
)
from stepladder.promotion.v1.post_pb2 import ClaimSeats, SetHeadcountRequest
from tests.refusals import refused
from tests.services.test_fairness import declare
from tests.services.world import HR, World, caught_up, fact, new_id, until
from tests.tokens import as_person

Rules = EligibilityRules
COMPETITION = CompetitionRules(
    parts=[
        CompetitionRules.Part(
            part_id="manager", display_name="Manager", weight="100", manager=CompetitionRules.Manager()
        )
    ],
    missing=CompetitionRules.MISSING_REFUSED,
    rounding=CompetitionRules.ROUNDING_HALF_UP,
    ties=[CompetitionRules.Tie(rule=CompetitionRules.RULE_LOT)],
    notice_business_days=5,
    trial_months=1,
)
NEED_TO_KNOW = (StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")


def by(employee_id: str) -> tuple[tuple[str, str]]:
    """Who calls."""
    return as_person(employee_id)


def at(world: World, day: str) -> None:
    """Sets the clock to noon of a day."""
    world.clock[0] = datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC)


async def set_rules(world: World, policy_id: str, *criteria: Rules.Criterion, day: str = "2000-01-01") -> int:
    """Stores rules, each criterion called by its kind; answers the position."""
    for one in criteria:
        one.criterion_id, one.display_name = (one.WhichOneof("test") or "").replace("_", "-"), "A criterion"
    policy = Policy(policy_id=policy_id, effective_date=day, eligibility=Rules(criteria=criteria))
    return int((await world.policies.SetPolicy(SetPolicyRequest(policy=policy))).log_position)


async def set_ladder(world: World, *names: str, day: str = "2000-01-01") -> str:
    """Stores a ladder of positions, and rules for its rungs, called as the ladder and the rung."""
    ladder_id = new_id("ladder")
    for name in names[1:]:
        await set_rules(world, f"{ladder_id}-{name}", tenure(1), day=day)
    how = Policy(policy_id=f"{ladder_id}-how", effective_date=day, competition=COMPETITION)
    await world.policies.SetPolicy(SetPolicyRequest(policy=how))
    rungs = [
        Ladder.Rung(
            rung_id=name,
            display_name=name,
            position=name,
            leads_team=name == "lead",
            eligibility_id=f"{ladder_id}-{name}" if number else "",
            competition_id=f"{ladder_id}-how" if number else "",
        )
        for number, name in enumerate(names)
    ]
    policy = Policy(policy_id=ladder_id, effective_date=day, ladder=Ladder(display_name="A ladder", rungs=rungs))
    await world.policies.SetPolicy(SetPolicyRequest(policy=policy))
    await world.eligibility.ListEligibilities(ListEligibilitiesRequest(ladder_id=ladder_id))  # hires HR
    return ladder_id


def tenure(months: int) -> Rules.Criterion:
    return Rules.Criterion(tenure=Rules.Tenure(months=months))


def ratings(months: int, at_least: "Rating.ValueType" = RATING_GOOD) -> Rules.Criterion:
    return Rules.Criterion(ratings=Rules.RatingStreak(at_least=at_least, months=months))


async def rate(world: World, employee_id: str, *months: str, rating: "Rating.ValueType" = RATING_GOOD) -> list[int]:
    return [
        int(
            (
                await world.facts.RateMonth(RateMonthRequest(employee_id=employee_id, month=month, rating=rating))
            ).log_position
        )
        for month in months
    ]


async def status(world: World, employee_id: str, to: "EmploymentStatus.ValueType", day: str) -> None:
    request = ChangeEmploymentStatusRequest(employee_id=employee_id, status=to, effective_date=day)
    await world.directory.ChangeEmploymentStatus(request)


async def move(world: World, employee_id: str, name: str, day: str, *, acting: bool = False) -> None:
    request = ChangePositionRequest(employee_id=employee_id, position=name, acting=acting, effective_date=day)
    await world.directory.ChangePosition(request)


async def ask(world: World, employee_id: str, ladder_id: str, day: str = "", **more: Any) -> Eligibility:
    request = GetEligibilityRequest(employee_id=employee_id, ladder_id=ladder_id, as_of=day, **more)
    found: Eligibility = await world.eligibility.GetEligibility(request)
    return found


async def record(world: World, one: Record) -> int:
    """Records it; answers the position."""
    await world.records.CreateRecords(CreateRecordsRequest(records=[one]))
    return await world.end()


class Watch:
    """What somebody who watches is told."""

    def __init__(self, world: World, caller: str, request: WatchEligibilitiesRequest) -> None:
        self._call: Any = world.eligibility.WatchEligibilities(request, metadata=by(caller))

    async def next(self) -> WatchEligibilitiesResponse:
        async with asyncio.timeout(20):
            told: WatchEligibilitiesResponse = await self._call.read()
        return told

    def stop(self) -> None:
        self._call.cancel()


@asynccontextmanager
async def watching(world: World, caller: str, **asked: Any) -> AsyncIterator[Watch]:
    watch = Watch(world, caller, WatchEligibilitiesRequest(**asked))
    try:
        yield watch
    finally:
        watch.stop()


async def judged(world: World) -> None:
    """Returns when all that is to be judged by now was."""
    service = world.services["promotion"]
    follower = next(one for one in service.followers if isinstance(one.handler, Touched))

    async def due() -> bool:
        await caught_up(world, "promotion")
        following = (await follower.standing()).next_deadline
        return following is not None and following.replace(tzinfo=UTC) <= service.site_clock()

    await until(due, lambda waits: not waits)


async def test_criteria_rest_on_facts_of_all_services(both: World) -> None:
    """Tenure, status, ratings, courses, points and a KPI: each with required, actual, met and the facts by position."""
    world = both
    at(world, "2020-03-20")
    ladder, kpi = await set_ladder(world, "agent", "senior"), await world.kpi()
    book = RuleBook(offences=[Offence(offence_id="noise", display_name="Noise", points=3)])
    await world.policies.SetPolicy(
        SetPolicyRequest(policy=Policy(policy_id="book", effective_date="2000-01-01", rule_book=book))
    )
    version = await set_rules(
        world,
        f"{ladder}-senior",
        tenure(12),
        Rules.Criterion(confirmed=Rules.Confirmed()),
        ratings(2),
        Rules.Criterion(courses=Rules.Courses(course_ids=["first-aid"], exam_passed=True)),
        Rules.Criterion(conduct=Rules.Conduct(points=3, years=1)),
        Rules.Criterion(no_pip=Rules.NoPip()),
        Rules.Criterion(kpi_limit=Rules.KpiLimit(kpi_id=kpi, months=1, maximum="5")),
    )
    agent = await world.employee(await world.team(), "2019-03-20")
    hired = await world.end()
    await status(world, agent, EMPLOYMENT_STATUS_CONFIRMED, "2019-06-20")
    confirmed = await world.end()
    rated = await rate(world, agent, "2020-01", "2020-02")
    course = Record(record_id="r-course", employee_id=agent, date="2020-01-15")
    course.training.MergeFrom(
        Training(course_id="first-aid", attended=True, exam=Training.Exam(score="90", passed=True))
    )
    attended = await record(world, course)
    await world.record(
        fact(agent, "2020-02-03", kpi, 2), fact(agent, "2020-02-04", kpi, 8), fact(agent, "2020-03-01", kpi, 90)
    )
    facts = [attended + 1, attended + 2]
    found = await ask(world, agent, ladder)
    assert found.eligible, [(one.name, one.actual) for one in found.criteria if not one.met]
    evidence = {one.name: list(one.evidence_positions) for one in found.criteria}
    assert evidence == {
        "employment": [confirmed],
        "step": [hired],
        "tenure": [hired],
        "confirmed": [confirmed],
        "ratings": rated,
        "courses": [attended],
        "conduct": [],
        "no-pip": [],
        "kpi-limit": facts,
    }
    assert (found.policy_position, found.rung_id, found.from_rung_id, found.levels) == (version, "senior", "agent", 1)
    before = await world.end()
    violation = Record(record_id="r-noise", employee_id=agent, date="2020-03-02")
    violation.violation.MergeFrom(Violation(rule_book_id="book", offence_id="noise"))
    noise = await record(world, violation)
    after = await ask(world, agent, ladder)
    conduct = next(one for one in after.criteria if one.name == "conduct")
    assert (after.eligible, conduct.actual, list(conduct.evidence_positions)) == (False, "3 points in 2020", [noise])
    assert (after.eligible_from, conduct.met_from) == ("2021-01-01", "2021-01-01")
    assert not found.changes
    assert [(change.eligible_from, [need.text for need in change.needs]) for change in after.changes] == [
        ("2021-01-01", ["to wait until 2021-01-01"]),
        ("2020-03-20", ["at least 1 point of 2020 revoked"]),
    ]
    then = await ask(world, agent, ladder, known_at=before)
    assert (then.eligible, then.known_at, list(then.criteria)) == (True, before, list(found.criteria))


async def test_only_those_who_may_are_answered(world: World) -> None:
    """The employee, their lead, the lead's lead, HR and the executive; others are refused in the same words."""
    at(world, "2026-03-20")
    ladder = await set_ladder(world, "agent", "senior")
    await set_rules(world, f"{ladder}-senior", tenure(12))
    top, team, elsewhere = await world.team(), await world.team(), await world.team()
    lead, agent, other = await world.lead(team), await world.employee(team), await world.employee(elsewhere)
    manager = await world.lead(top)
    await world.directory.TransferEmployee(
        TransferEmployeeRequest(employee_id=lead, team_id=top, effective_date="2026-01-01")
    )
    executive = await world.employee(elsewhere, job_family="executive")
    get = GetEligibilityRequest(employee_id=agent, ladder_id=ladder)
    seen = {}
    for caller in (agent, lead, manager, executive, HR):
        assert (await world.eligibility.GetEligibility(get, metadata=by(caller))).eligible
        listed = await world.eligibility.ListEligibilities(
            ListEligibilitiesRequest(ladder_id=ladder), metadata=by(caller)
        )
        seen[caller] = {one.employee_id for one in listed.eligibilities}
        talents = await world.eligibility.ListTalents(
            ListTalentsRequest(ladder_id=ladder, rung_id="senior"), metadata=by(caller)
        )
        assert {one.employee_id for one in talents.talents} == seen[caller]
    everybody = {lead, agent, other, manager, executive}
    assert seen == {
        agent: {agent},
        lead: {lead, agent},
        manager: {manager, lead, agent},
        executive: everybody,
        HR: everybody,
    }
    await refused(world.eligibility.GetEligibility(get, metadata=by(other)), *NEED_TO_KNOW)
    unknown = GetEligibilityRequest(employee_id="e-nobody", ladder_id=ladder)
    await refused(world.eligibility.GetEligibility(unknown, metadata=by(other)), *NEED_TO_KNOW)
    await refused(
        world.eligibility.GetEligibility(unknown, metadata=by(HR)), StatusCode.NOT_FOUND, "EMPLOYEE_NOT_FOUND"
    )
    dry = DryRunEligibilityRequest(
        ladder_id=ladder,
        rung_id="senior",
        rules=Rules(criteria=[named(tenure(1))]),
        first_month="2026-01",
        last_month="2026-01",
    )
    await refused(anext(aiter(world.eligibility.DryRunEligibility(dry, metadata=by(manager)))), *NEED_TO_KNOW)


def named(one: Rules.Criterion) -> Rules.Criterion:
    one.criterion_id, one.display_name = "one", "A criterion"
    return one


async def test_a_step_that_is_not_there_is_refused(world: World) -> None:
    """Who holds the last rung, or none, has no next step; ladders and rungs must be there, with rules."""
    at(world, "2026-03-20")
    ladder = await set_ladder(world, "agent", "senior", "lead")
    await set_rules(world, f"{ladder}-senior", tenure(12))
    agent, lead = await world.employee(await world.team()), await world.employee(await world.team())
    await move(world, lead, "lead", "2026-01-01")
    get = world.eligibility.GetEligibility
    asks: list[tuple[dict[str, Any], StatusCode, str]] = [
        ({"employee_id": lead}, StatusCode.FAILED_PRECONDITION, "NO_STEP"),
        ({"employee_id": agent, "rung_id": "agent"}, StatusCode.NOT_FOUND, "RUNG_NOT_FOUND"),
        ({"employee_id": agent, "as_of": "1999-12-31"}, StatusCode.NOT_FOUND, "POLICY_NOT_FOUND"),
        ({"employee_id": agent, "as_of": "2026-02-29"}, StatusCode.INVALID_ARGUMENT, "DATE_INVALID"),
    ]
    for asked, code, reason in asks:
        await refused(get(GetEligibilityRequest(ladder_id=ladder, **asked)), code, reason)
    await set_rules(world, f"{ladder}-lead", tenure(12))
    two = await ask(world, agent, ladder, rung_id="lead")
    assert (two.levels, two.eligible) == (2, True)
    assert not (await ask(world, lead, ladder, rung_id="lead")).eligible


async def test_the_rules_of_the_day_are_applied(world: World) -> None:
    """Those in force on the day asked about, by what was known at a position."""
    at(world, "2026-03-20")
    ladder = await set_ladder(world, "agent", "senior")
    first = await set_rules(world, f"{ladder}-senior", tenure(12))
    agent = await world.employee(await world.team(), "2024-01-01")
    before = await world.end()
    second = await set_rules(world, f"{ladder}-senior", tenure(36), day="2026-02-01")
    for day, version, eligible in (
        ("2026-01-31", first, True),
        ("2026-02-01", second, False),
        ("2027-01-01", second, True),
    ):
        found = await ask(world, agent, ladder, day)
        assert (found.policy_position, found.eligible) == (version, eligible)
    assert (await ask(world, agent, ladder, "2026-02-01", known_at=before)).policy_position == first
    end = await world.end()
    beyond = await ask(world, agent, ladder, "2026-02-01", known_at=end + 1000)
    assert (beyond.policy_position, beyond.known_at) == (second, end)  # what is not in the log yet is not known


async def test_lists_are_complete_over_any_pages(both: World) -> None:
    """Also where few are eligible among many, of a team, of a rung; who left is not among them."""
    world = both
    at(world, "2026-03-20")
    ladder = await set_ladder(world, "agent", "senior", "lead")
    await set_rules(world, f"{ladder}-senior", tenure(24))
    await set_rules(world, f"{ladder}-lead", tenure(24))
    teams = [await world.team(), await world.team()]
    agents = [await world.employee(teams[number % 2], f"20{25 - number % 3}-01-01") for number in range(11)]
    await move(world, agents[0], "senior", "2026-01-01")
    await status(world, agents[1], EMPLOYMENT_STATUS_LEFT, "2026-03-20")
    there = [one for one in agents if one != agents[1]]

    async def listed(size: int = 0, **asked: Any) -> list[Eligibility]:
        request = ListEligibilitiesRequest(ladder_id=ladder, page_size=size, **asked)
        found: list[Eligibility] = []
        while True:
            answer = await world.eligibility.ListEligibilities(request)
            assert size == 0 or len(answer.eligibilities) <= size
            found += answer.eligibilities
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token

    whole = await listed()
    assert [one.employee_id for one in whole] == there
    assert [await ask(world, one, ladder) for one in there] == whole
    eligible = [one for one in whole if one.eligible]
    assert len(eligible) == 6
    for size in (1, 2, 7):
        assert await listed(size) == whole
        assert await listed(size, eligible_only=True) == eligible
    assert [one.employee_id for one in await listed(rung_id="lead")] == [agents[0]]
    assert [one.employee_id for one in await listed(team_id=teams[1])] == agents[3::2]
    assert [one.employee_id for one in await listed(as_of="2026-03-19")] == agents
    token = (
        await world.eligibility.ListEligibilities(ListEligibilitiesRequest(ladder_id=ladder, page_size=2))
    ).next_page_token
    stolen = ListEligibilitiesRequest(ladder_id=ladder, page_size=2, page_token=token, eligible_only=True)
    await refused(world.eligibility.ListEligibilities(stolen), StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_the_pool_behind_a_rung(world: World) -> None:
    """Who is ready comes first, then by the day on which they will be; a vacancy is not waited for."""
    at(world, "2026-03-20")
    ladder = await set_ladder(world, "agent", "senior")
    await set_rules(world, f"{ladder}-senior", tenure(12), ratings(2), Rules.Criterion(vacancy=Rules.Vacancy()))
    team = await world.team()
    late, ready, soon, never = [
        await world.employee(team, day) for day in ("2025-12-01", "2020-01-01", "2020-01-01", "2020-01-01")
    ]
    for agent in (late, ready):
        await rate(world, agent, "2026-01", "2026-02")
    await rate(world, soon, "2026-02")
    await rate(world, never, "2026-01")

    async def pool(**asked: Any) -> list[tuple[str, str, list[str]]]:
        request = ListTalentsRequest(ladder_id=ladder, rung_id="senior", **asked)
        answer = await world.eligibility.ListTalents(request)
        return [(one.employee_id, one.ready_from, [lacks.name for lacks in one.lacking]) for one in answer.talents]

    whole = [
        (ready, "2026-03-20", []),
        (soon, "2026-04-01", ["ratings"]),
        (late, "2026-12-01", ["tenure"]),
        (never, "", ["ratings"]),
    ]
    assert await pool(team_id=team) == whole
    assert await pool(team_id=team, within_months=0) == whole[:1]
    assert await pool(team_id=team, within_months=8) == whole[:2]
    assert await pool(team_id=team, within_months=9) == whole[:3]
    assert await pool(page_size=2, team_id=team) == whole[:2]


async def test_whoever_watches_is_told_of_changes_as_they_come(both: World) -> None:
    """By a fact, by rules, by a day that has begun; from where they left off; each once."""
    world = both
    at(world, "2026-03-20")
    ladder = await set_ladder(world, "agent", "senior")
    await set_rules(world, f"{ladder}-senior", tenure(12), ratings(1))
    agent = await world.employee(await world.team(), "2025-03-25")
    async with watching(world, HR, employee_id=agent) as watch:
        first = await watch.next()
        assert (first.eligibility.employee_id, first.eligibility.eligible, first.eligibility.eligible_from) == (
            agent,
            False,
            "",
        )
        await rate(world, agent, "2026-02")
        second = await watch.next()
        assert (second.eligibility.eligible, second.eligibility.eligible_from) == (False, "2026-03-25")
        at(world, "2026-03-25")
        third = await watch.next()
        assert third.eligibility.eligible
        assert third.eligibility.as_of == "2026-03-25"
        at(world, "2026-03-26")  # judged on another day the outcome is the same: nothing to tell
        await rate(world, agent, "2026-02", rating=RATING_EXCELLENT)
        await judged(world)
        await set_rules(world, f"{ladder}-senior", tenure(24))
        assert not (await watch.next()).eligibility.eligible
        await move(world, agent, "cook", "2026-03-25")
        gone = (await watch.next()).eligibility
        assert (gone.ladder_id, gone.rung_id, len(gone.criteria)) == (ladder, "", 0)
    await judged(world)
    async with watching(world, HR, employee_id=agent, resume=third.resume) as watch:
        assert (await watch.next()).eligibility == gone
    wrong = world.eligibility.WatchEligibilities(WatchEligibilitiesRequest(resume="x"), metadata=by(HR))
    await refused(anext(aiter(wrong)), StatusCode.INVALID_ARGUMENT, "RESUME_INVALID")


async def test_what_was_judged_earlier_takes_the_place_of_nothing_judged_later(both: World) -> None:
    """As by an instance that was cut off while another one took over."""
    service, changes = both.services["promotion"], Changes(MetaData())

    async def keep(known_at: int, as_of: str = "2026-03-20", **said: Any) -> tuple[int, bool, int]:
        """What stands then: known at which position, whether eligible, and the number of the change."""
        one = Eligibility(employee_id=agent, ladder_id="ladder", known_at=known_at, as_of=as_of, **said)
        await changes.keep(service, [(one, -1)])
        columns = changes.table.c
        query = select(columns.content, columns.sequence).where(columns.employee_id == agent)
        async with service.engine.connect() as connection:
            content, number = (await connection.execute(query)).one()
        kept = Eligibility.FromString(content)
        return kept.known_at, kept.eligible, number

    agent = new_id("agent")
    first = await keep(10, rung_id="senior")
    assert first[:2] == (10, False)
    again = await keep(30, rung_id="senior")
    assert again == (30, False, first[2])
    assert await keep(20, rung_id="senior", eligible=True) == again
    assert await keep(30, "2026-03-19", rung_id="senior", eligible=True) == again
    later = await keep(30, "2026-03-21", rung_id="senior", eligible=True)
    assert later[:2] == (30, True)
    assert later[2] > again[2]
    agent = new_id("agent")
    assert await keep(30) == (30, False, 0)
    assert await keep(20, rung_id="senior", eligible=True) == (30, False, 0)


async def test_whoever_watches_sees_their_own_only(world: World) -> None:
    """A lead is told of their team; who comes into it is told from then on."""
    at(world, "2026-03-20")
    ladder = await set_ladder(world, "agent", "senior")
    await set_rules(world, f"{ladder}-senior", tenure(12), ratings(1))
    team, elsewhere = await world.team(), await world.team()
    lead, other = await world.lead(team), await world.employee(elsewhere)
    agent = await world.employee(team)
    await judged(world)
    async with watching(world, lead) as watch:
        told = {(await watch.next()).eligibility.employee_id for _ in range(2)}
        assert told == {lead, agent}
        await rate(world, other, "2026-02")
        await judged(world)
        await rate(world, agent, "2026-02")
        assert (await watch.next()).eligibility.employee_id == agent


async def test_a_fact_has_only_those_judged_anew_whom_it_is_about(world: World) -> None:
    """And one of the month that runs nobody: nothing is judged by it."""
    at(world, "2026-03-20")
    ladder, kpi = await set_ladder(world, "agent", "senior"), await world.kpi()
    limit = Rules.Criterion(kpi_limit=Rules.KpiLimit(kpi_id=kpi, months=1, maximum="5"))
    await set_rules(world, f"{ladder}-senior", limit)
    team = await world.team()
    agents = [await world.employee(team) for _ in range(3)]
    await judged(world)
    async with watching(world, HR, ladder_id=ladder) as watch:
        assert {(await watch.next()).eligibility.employee_id for _ in range(3)} == set(agents)
        await world.record(fact(agents[0], "2026-03-19", kpi, 1))
        await world.record(fact(agents[1], "2026-02-27", kpi, 1))
        told = (await watch.next()).eligibility
        assert (told.employee_id, told.eligible) == (agents[1], True)
        at(world, "2026-04-01")  # the months' turn is looked at by itself
        turned = {(one := (await watch.next()).eligibility).employee_id: one.eligible for _ in range(2)}
        assert turned == {agents[0]: True, agents[1]: False}


async def test_rules_are_tried_over_months(both: World) -> None:
    """Against those in force on each month's last day: who becomes eligible, and who no longer; nothing is stored."""
    world = both
    at(world, "2026-03-20")
    ladder = await set_ladder(world, "agent", "senior")
    await set_rules(world, f"{ladder}-senior", tenure(12))
    team = await world.team()
    old, young = await world.employee(team, "2020-01-01"), await world.employee(team, "2025-07-31")
    await rate(world, young, "2025-12", "2026-01", rating=RATING_EXCELLENT)
    end = await world.end()

    async def tried(first: str, last: str, **what: Any) -> list[Any]:
        request = DryRunEligibilityRequest(
            ladder_id=ladder, rung_id="senior", first_month=first, last_month=last, **what
        )
        *_, told = [one async for one in world.eligibility.DryRunEligibility(request, metadata=by(HR))]
        assert (told.known_at, told.employees) == (end, told.of_employees)
        return list(told.months)

    draft = Rules(criteria=[named(ratings(2, RATING_EXCELLENT))])
    months = await tried("2026-01", "2026-03", rules=draft)
    assert [(one.month, one.as_of, one.judged, one.eligible_before, one.eligible_after) for one in months] == [
        ("2026-01", "2026-01-31", 2, 1, 0),
        ("2026-02", "2026-02-28", 2, 1, 1),
        ("2026-03", "2026-03-20", 2, 1, 0),
    ]
    assert [(list(one.become_ids), list(one.no_longer_ids)) for one in months] == [
        ([], [old]),
        ([young], [old]),
        ([], [old]),
    ]
    assert await world.end() == end
    end = stored = await set_rules(world, f"{ladder}-senior", tenure(6), day="2026-06-01")
    (before, after) = await tried("2025-12", "2026-01", policy_position=stored)
    assert (list(before.become_ids), list(after.become_ids)) == ([], [young])
    not_after = "must not be after the current month, 2026-03"
    wrong, missing = (StatusCode.INVALID_ARGUMENT, "MONTHS_INVALID"), StatusCode.NOT_FOUND
    for asked, because, sentence in (
        ({"rung_id": "none"}, (missing, "RUNG_NOT_FOUND"), "has no rung none"),
        ({"ladder_id": "none"}, (missing, "POLICY_NOT_FOUND"), "none"),
        ({"policy_position": 10**9}, (missing, "POLICY_NOT_FOUND"), str(10**9)),
        ({"last_month": "2026-04"}, wrong, f"last_month: {not_after}"),
        ({"first_month": "2027-01", "last_month": "2027-02"}, wrong, f"first_month: {not_after}"),
        ({"first_month": "2026-02", "last_month": "2026-01"}, wrong, "last_month: must not be before 2026-02"),
        ({"first_month": "2020-01"}, wrong, "first_month: more than 60 months"),
    ):
        default: dict[str, Any] = {
            "ladder_id": ladder,
            "rung_id": "senior",
            "first_month": "2026-01",
            "last_month": "2026-03",
            "rules": None if "policy_position" in asked else draft,
        }
        call = world.eligibility.DryRunEligibility(DryRunEligibilityRequest(**{**default, **asked}), metadata=by(HR))
        assert sentence in (await refused(anext(aiter(call)), *because)).message


async def test_the_adverse_impact_of_rules_that_are_tried(world: World) -> None:
    """Five of ten women and men each are eligible; by the draft all men, then one woman too few to tell of."""
    at(world, "2026-02-20")
    ladder = await set_ladder(world, "agent", "senior")
    await set_rules(world, f"{ladder}-senior", tenure(12))
    team = await world.team()
    people = {
        group: [await world.employee(team, "2020-01-01" if number < 5 else "2025-07-31") for number in range(10)]
        for group in ("female", "male")
    }
    for group, some in people.items():
        for one in some:
            await declare(world, one, sex=group)
    at(world, "2026-03-20")
    await declare(world, people["female"][5])  # counts from the next month on
    for one in [*people["male"], *people["female"][:5]]:
        await rate(world, one, "2026-02", rating=RATING_EXCELLENT)

    draft = Rules(criteria=[named(ratings(1, RATING_EXCELLENT))])
    stored = await set_rules(world, new_id("tried"), ratings(1, RATING_EXCELLENT))

    async def impact(**tried: object) -> tuple[list[tuple[str, bool, bool]], int]:
        request = DryRunEligibilityRequest(
            ladder_id=ladder,
            rung_id="senior",
            first_month="2026-03",
            last_month="2026-03",
            **(tried or {"policy_position": stored}),  # type: ignore[arg-type] # each of its field's type
        )
        *_, told = [one async for one in world.eligibility.DryRunEligibility(request, metadata=by(HR))]
        (month,) = told.months
        groups = [group for one in month.impact for group in one.groups]
        flags = [(one.group, one.below_four_fifths_before, one.below_four_fifths_after) for one in groups]
        return flags, month.smallest_group

    assert await impact() == ([("female", False, True), ("male", False, False)], 5)
    assert await impact(rules=draft) == ([], 5)
    await rate(world, people["female"][0], "2026-02", rating=RATING_GOOD)
    assert await impact() == ([], 5)


async def test_a_vacancy_is_there_while_the_headcount_is_not_full(both: World) -> None:
    """From its day on, until somebody holds the post; seats that a competition claims are what it is about."""
    world = both
    at(world, "2026-03-20")
    ladder, team = await set_ladder(world, "agent", "senior"), await world.team()
    await set_rules(world, f"{ladder}-senior", tenure(12), Rules.Criterion(vacancy=Rules.Vacancy()))
    agent, other = await world.employee(team), await world.employee(team)
    await judged(world)
    async with watching(world, HR, employee_id=agent) as watch:
        assert not (await watch.next()).eligibility.eligible
        headcount = SetHeadcountRequest(position="senior", team_id=team, headcount=1, effective_date="2026-04-01")
        post = await world.posts.SetHeadcount(headcount, metadata=by(HR))
        assert not (await ask(world, agent, ladder)).eligible
        at(world, "2026-04-01")
        assert (await watch.next()).eligibility.eligible
        shown = (await ask(world, agent, ladder)).criteria[-1]
        assert (shown.actual, list(shown.evidence_positions)) == ("1 vacancy", [await world.end()])
        claim = ClaimSeats(claim_id="competition", seats=1)
        service = world.services["promotion"]
        context = Context(now=service.now(), today=service.today(), actor=f"user:{HR}")
        await service.commands.handle(POST, post.post_id, claim, context)
        assert (await ask(world, agent, ladder)).eligible
        before = await world.end()
        await move(world, other, "senior", "2026-04-01", acting=True)
        told = (await watch.next()).eligibility
        assert (told.eligible, told.criteria[-1].actual) == (False, "0 vacancies")
    assert (await ask(world, agent, ladder, known_at=before)).eligible
    await status(world, other, EMPLOYMENT_STATUS_LEFT, "2026-06-01")
    assert (await ask(world, agent, ladder)).eligible  # the claimed seat comes free
    await status(world, other, EMPLOYMENT_STATUS_LEFT, "2026-04-01")
    assert (await ask(world, agent, ladder)).eligible
    unlimited = SetHeadcountRequest(position="senior", team_id=team, unlimited=True, effective_date="2026-04-01")
    await world.posts.SetHeadcount(unlimited, metadata=by(HR))
    assert (await ask(world, agent, ladder)).criteria[-1].actual == "any number"


async def test_a_post_is_vacant_unless_somebody_leads_its_team(world: World) -> None:
    """Of a rung whose holders lead: whoever leads the team from another one is where their post is."""
    at(world, "2026-04-02")
    ladder, team = await set_ladder(world, "agent", "lead"), await world.team()
    await set_rules(world, f"{ladder}-lead", tenure(12), Rules.Criterion(vacancy=Rules.Vacancy()))
    agent, lead = await world.employee(team), await world.employee(await world.team())
    await move(world, lead, "lead", "2026-04-01")
    headcount = SetHeadcountRequest(position="lead", team_id=team, headcount=1, effective_date="2026-04-01")
    await world.posts.SetHeadcount(headcount, metadata=by(HR))
    assert (await ask(world, agent, ladder)).criteria[-1].actual == "1 vacancy"
    await judged(world)
    async with watching(world, HR, employee_id=agent) as watch:
        assert (await watch.next()).eligibility.eligible
        leading = AppointTeamLeadRequest(team_id=team, lead_id=lead, effective_date="2026-04-01")
        await world.directory.AppointTeamLead(leading)
        assert (await watch.next()).eligibility.criteria[-1].actual == "0 vacancies"


async def test_a_waiver_makes_eligible_while_it_lasts(world: World) -> None:
    """Whoever watches hears of its beginning and of its end."""
    at(world, "2026-03-20")
    ladder, team = await set_ladder(world, "agent", "senior"), await world.team()
    waivable = tenure(24)
    waivable.waivable = True
    await set_rules(world, f"{ladder}-senior", waivable)
    agent, executive = await world.employee(team, "2025-01-01"), await world.employee(team, job_family="executive")
    await judged(world)
    async with watching(world, executive, employee_id=agent) as watch:
        assert (await watch.next()).eligibility.eligible_from == "2027-01-01"
        waive = WaiveCriterionRequest(employee_id=agent, ladder_id=ladder, rung_id="senior", criterion_id="tenure")
        waive.reason, waive.until_date = "Exceptional.", "2026-03-31"
        await world.careers.WaiveCriterion(waive, metadata=by(executive))
        waived = (await watch.next()).eligibility
        assert (waived.eligible, waived.criteria[-1].met) == (True, False)
        assert waived.criteria[-1].waiver_position == await world.end()
        at(world, "2026-04-01")
        assert not (await watch.next()).eligibility.eligible


async def test_read_models_are_the_same_when_they_are_built_anew(both: World) -> None:
    """What is known of employees, and what has come due of it, is made of the log alone."""
    world = both
    at(world, "2026-03-20")
    ladder, kpi = await set_ladder(world, "agent", "senior"), await world.kpi()
    await set_rules(world, f"{ladder}-senior", ratings(1))
    agent = await world.employee(await world.team())
    await rate(world, agent, "2026-01", "2026-02")
    await rate(world, agent, "2026-01", rating=RATING_EXCELLENT)
    await world.record(fact(agent, "2026-02-03", kpi, 2))
    await judged(world)
    before = await ask(world, agent, ladder)
    for follower in world.services["promotion"].followers:
        if follower.handler.name in ("histories", "eligibilities"):
            assert [step async for step in rebuild(follower)][-1].changed_rows == 0
    await judged(world)
    assert await ask(world, agent, ladder) == before
