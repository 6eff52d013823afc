"""The promotion service as callers see it: who is eligible on a day, under which rules, resting on which facts."""

from typing import Any

from grpc import StatusCode

from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_CONFIRMED,
    EMPLOYMENT_STATUS_LEFT,
    EMPLOYMENT_STATUS_ON_LEAVE,
    ChangeEmploymentStatusRequest,
    ChangePositionRequest,
    Employee,
    EmploymentStatus,
    HireEmployeeRequest,
)
from stepladder.performance.v1.facts_pb2 import RateMonthRequest, Rating
from stepladder.promotion.v1.eligibility_pb2 import (
    CreateEligibilityPolicyRequest,
    Criterion,
    Eligibility,
    EligibilityPolicy,
    GetEligibilityRequest,
    ListEligibilitiesRequest,
    ListEligibilityPoliciesRequest,
)
from tests.refusals import refused
from tests.services.world import World

CONFIRMED, ON_LEAVE, LEFT = EMPLOYMENT_STATUS_CONFIRMED, EMPLOYMENT_STATUS_ON_LEAVE, EMPLOYMENT_STATUS_LEFT


async def store(world: World, policy_id: str, since: str = "2000-01-01", **rules: Any) -> EligibilityPolicy:
    """Stores a policy."""
    policy = EligibilityPolicy(policy_id=policy_id, effective_date=since, **rules)
    request = CreateEligibilityPolicyRequest(policy=policy)
    stored: EligibilityPolicy = await world.eligibility.CreateEligibilityPolicy(request)
    return stored


async def ask(world: World, employee_id: str, day: str) -> Eligibility:
    """The eligibility of an employee on a day, everything included that was said before."""
    request = GetEligibilityRequest(employee_id=employee_id, as_of=day, at_least=await world.end())
    eligibility: Eligibility = await world.eligibility.GetEligibility(request)
    assert (eligibility.employee_id, eligibility.as_of) == (employee_id, day)
    return eligibility


async def criterion(world: World, employee_id: str, day: str) -> Criterion:
    """The only criterion that the policy in force asks for, beside being employed."""
    found = {one.name: one for one in (await ask(world, employee_id, day)).criteria}
    employed = found.pop("employment_status")
    return next(iter(found.values()), employed)


async def change_status(world: World, employee_id: str, status: "EmploymentStatus.ValueType", day: str) -> int:
    request = ChangeEmploymentStatusRequest(employee_id=employee_id, status=status, effective_date=day)
    return int((await world.directory.ChangeEmploymentStatus(request)).log_position)


async def rate(world: World, employee_id: str, **ratings: str) -> list[int]:
    """Rates months of 2020 (`m01="GOOD"`); answers the positions."""
    positions = []
    for month, name in ratings.items():
        request = RateMonthRequest(
            employee_id=employee_id, month=f"2020-{month[1:]}", rating=Rating.Value(f"RATING_{name}")
        )
        positions.append(int((await world.facts.RateMonth(request)).log_position))
    return positions


async def change_position(world: World, employee_id: str, name: str, day: str, stars: int = 0) -> int:
    request = ChangePositionRequest(employee_id=employee_id, position=name, stars=stars, effective_date=day)
    return int((await world.directory.ChangePosition(request)).log_position)


async def test_tenure_is_met_on_the_day_and_not_before(world: World) -> None:
    """Counted in full months in the current position; it says from when it will be met."""
    await store(world, "p", tenure_months=6)
    agent = await world.employee(await world.team(), "2020-01-31")
    hired = await world.end()
    short = await criterion(world, agent, "2020-07-30")
    assert (short.name, short.met, short.met_from) == ("tenure", False, "2020-07-31")
    assert (short.required, short.actual) == ("6 full months in the position", "5 full months as agent")
    met = await criterion(world, agent, "2020-07-31")
    assert (met.met, met.actual, met.met_from) == (True, "6 full months as agent", "")
    assert list(short.evidence_positions) == list(met.evidence_positions) == [hired]
    stars = await change_position(world, agent, "agent", "2020-05-01", stars=3)
    assert (await criterion(world, agent, "2020-07-31")).met  # more stars are no other position
    changed = await change_position(world, agent, "senior", "2020-06-15")
    assert stars < changed
    again = await criterion(world, agent, "2020-07-31")
    assert (again.met, again.actual, again.met_from) == (False, "1 full months as senior", "2020-12-15")
    assert list(again.evidence_positions) == [changed]
    assert (await criterion(world, agent, "2020-06-14")).actual == "4 full months as agent"
    nobody_yet = await criterion(world, agent, "2020-01-30")
    assert (nobody_yet.met, nobody_yet.actual, nobody_yet.met_from) == (False, "no position", "")


async def test_status_is_that_of_the_day(world: World) -> None:
    """Confirmed counts; probation, leave and having left do not; the event that says so is the evidence."""
    await store(world, "p", confirmed_required=True)
    agent = await world.employee(await world.team(), "2020-01-01")
    hired = await world.end()
    confirmed = await change_status(world, agent, CONFIRMED, "2020-04-01")
    leave = await change_status(world, agent, ON_LEAVE, "2020-06-01")
    back = await change_status(world, agent, CONFIRMED, "2020-08-01")
    left = await change_status(world, agent, LEFT, "2021-01-01")
    for day, actual, met, evidence in [
        ("2019-12-31", "not employed", False, []),
        ("2020-01-01", "PROBATION", False, [hired]),
        ("2020-03-31", "PROBATION", False, [hired]),
        ("2020-04-01", "CONFIRMED", True, [confirmed]),
        ("2020-06-01", "ON_LEAVE", False, [leave]),
        ("2020-08-01", "CONFIRMED", True, [back]),
        ("2021-01-01", "LEFT", False, [left]),
    ]:
        found = await criterion(world, agent, day)
        assert (found.name, found.required) == ("employment_status", "CONFIRMED")
        assert (found.actual, found.met, list(found.evidence_positions)) == (actual, met, evidence)


async def test_who_leaves_earlier_than_planned_has_nothing_after_it(world: World) -> None:
    """What was planned for a later day does not come to pass."""
    await store(world, "p", confirmed_required=True)
    agent = await world.employee(await world.team(), "2020-01-01")
    await change_status(world, agent, CONFIRMED, "2020-10-01")
    left = await change_status(world, agent, LEFT, "2020-06-01")
    found = await criterion(world, agent, "2020-11-01")
    assert (found.actual, found.met, list(found.evidence_positions)) == ("LEFT", False, [left])


async def test_a_rating_streak_counts_back_from_the_last_full_month(world: World) -> None:
    """Better ratings count, a worse one or a gap ends the row, and the current month is not looked at."""
    await store(world, "p", rating_months=3, minimum_rating="GOOD")
    agent = await world.employee(await world.team(), "2019-01-01")
    first = await rate(world, agent, m01="GOOD", m02="EXCELLENT", m03="GOOD")
    met = await criterion(world, agent, "2020-04-01")
    assert (met.name, met.met, met.actual) == ("rating_streak", True, "3 months in a row")
    assert met.required == "3 months in a row rated GOOD or better, up to 2020-03"
    assert list(met.evidence_positions) == first
    assert (await criterion(world, agent, "2020-04-30")).met
    assert (await criterion(world, agent, "2020-03-31")).actual == "2 months in a row"
    assert (await criterion(world, agent, "2020-05-01")).actual == "0 months in a row"  # April is not rated
    (april,) = await rate(world, agent, m04="QUALIFIED")
    assert (await criterion(world, agent, "2020-05-01")).actual == "0 months in a row"
    (mended,) = await rate(world, agent, m04="EXCELLENT")
    found = await criterion(world, agent, "2020-05-01")
    assert (found.met, found.actual) == (True, "4 months in a row")
    assert list(found.evidence_positions) == [first[1], first[2], mended]
    assert april < mended


async def test_the_policy_of_the_day_is_applied_and_named(world: World) -> None:
    """Rules hold from a day on until the next; of two for the same day, the later stored; before the first, none."""
    agent = await world.employee(await world.team(), "2019-01-01")
    first = await store(world, "first", "2020-01-01", tenure_months=24)
    second = await store(world, "second", "2020-06-01", tenure_months=6)
    third = await store(world, "third", "2020-06-01", tenure_months=12)
    await store(world, "to-come", "2190-01-01", tenure_months=240)
    for day, policy, eligible in [
        ("2020-01-01", first, False),
        ("2020-05-31", first, False),
        ("2020-06-01", third, True),
        ("2100-01-01", third, True),
    ]:
        found = await ask(world, agent, day)
        assert (found.policy_id, found.policy_position) == (policy.policy_id, policy.log_position)
        assert found.eligible == eligible
    assert second.log_position < third.log_position
    request = GetEligibilityRequest(employee_id=agent, as_of="2019-12-31")
    none = StatusCode.FAILED_PRECONDITION, "NO_POLICY_IN_FORCE"
    await refused(world.eligibility.GetEligibility(request), *none)
    await refused(world.eligibility.ListEligibilities(ListEligibilitiesRequest(as_of="2019-12-31")), *none)


async def test_a_policy_is_stored_once(world: World) -> None:
    """The same again is answered as before; the id with other rules is refused."""
    stored = await store(world, "p", tenure_months=6)
    end = await world.end()
    assert await store(world, "p", tenure_months=6) == stored
    other = CreateEligibilityPolicyRequest(
        policy=EligibilityPolicy(policy_id="p", effective_date="2000-01-01", tenure_months=7)
    )
    call = world.eligibility.CreateEligibilityPolicy(other)
    await refused(call, StatusCode.ALREADY_EXISTS, "ELIGIBILITY_POLICY_EXISTS")
    assert await world.end() == end


async def test_lists_are_complete_over_any_pages(both: World) -> None:
    """Also where few are eligible among many; tokens are good for their own request only."""
    world, team = both, await both.team()
    for number in range(5):
        await store(world, f"p-{number}", f"20{number:02}-01-01", tenure_months=12)
    agents = sorted([await world.employee(team, f"20{20 - number % 3}-01-01") for number in range(11)])
    end = await world.end()
    everybody = ListEligibilitiesRequest(as_of="2020-06-01", at_least=end)
    eligible = ListEligibilitiesRequest(as_of="2020-06-01", at_least=end, eligible_only=True)
    whole = list((await world.eligibility.ListEligibilities(everybody)).eligibilities)
    assert sorted(one.employee_id for one in whole) == agents
    assert sum(one.eligible for one in whole) == 7
    assert [await ask(world, one.employee_id, "2020-06-01") for one in whole] == whole

    async def pages(request: Any, size: int) -> list[Any]:
        asked = type(request)(page_size=size)
        asked.MergeFrom(request)
        method, items = {
            ListEligibilitiesRequest: (world.eligibility.ListEligibilities, "eligibilities"),
            ListEligibilityPoliciesRequest: (world.eligibility.ListEligibilityPolicies, "policies"),
        }[type(request)]
        found: list[Any] = []
        while True:
            answer: Any = await method(asked)  # type: ignore[operator] # one for each kind of request
            assert 0 < len(getattr(answer, items)) <= size
            found += getattr(answer, items)
            if not answer.next_page_token:
                return found
            asked.page_token = answer.next_page_token

    for size in (1, 2, 7, 10):
        assert await pages(everybody, size) == whole
        assert await pages(eligible, size) == [one for one in whole if one.eligible]
        policies = await pages(ListEligibilityPoliciesRequest(at_least=end), size)
        assert [policy.policy_id for policy in policies] == [f"p-{number}" for number in range(5)]
    token = (await world.eligibility.ListEligibilities(ListEligibilitiesRequest(page_size=2))).next_page_token
    for stolen in (
        ListEligibilitiesRequest(page_size=2, page_token=token, as_of="2020-06-01"),
        ListEligibilitiesRequest(page_size=2, page_token=token, eligible_only=True),
    ):
        call = world.eligibility.ListEligibilities(stolen)
        await refused(call, StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
    listed = world.eligibility.ListEligibilityPolicies(ListEligibilityPoliciesRequest(page_size=2, page_token=token))
    await refused(listed, StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_every_criterion_must_be_met(world: World) -> None:
    """All of them are shown, met or not, each with its own evidence."""
    policy = await store(
        world, "p", tenure_months=12, confirmed_required=True, rating_months=2, minimum_rating="EXCELLENT"
    )
    agent = await world.employee(await world.team(), "2019-01-01")
    hired = await world.end()
    seen = [await ask(world, agent, "2020-03-01")]
    confirmed = await change_status(world, agent, CONFIRMED, "2019-06-01")
    seen.append(await ask(world, agent, "2020-03-01"))
    rated = await rate(world, agent, m01="EXCELLENT", m02="EXCELLENT")
    seen.append(await ask(world, agent, "2020-03-01"))
    assert [[one.met for one in found.criteria] for found in seen] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]
    assert [found.eligible for found in seen] == [False, False, True]
    assert [list(one.evidence_positions) for one in seen[-1].criteria] == [[hired], [confirmed], rated]
    assert {found.policy_position for found in seen} == {policy.log_position}


async def test_who_is_not_employed_is_not_eligible(world: World) -> None:
    """Before being hired or after having left, however long the position was held."""
    await store(world, "p", tenure_months=6)
    agent = await world.employee(await world.team(), "2019-01-01")
    await change_status(world, agent, LEFT, "2020-02-01")
    working, gone = await ask(world, agent, "2020-01-31"), await ask(world, agent, "2020-03-01")
    assert (working.eligible, gone.eligible) == (True, False)
    assert [(one.required, one.actual, one.met) for one in gone.criteria if one.name == "employment_status"] == [
        ("employed", "LEFT", False)
    ]
    nobody = await world.directory.HireEmployee(
        HireEmployeeRequest(
            employee=Employee(
                employee_id="e-none", display_name="N", hire_date="2019-01-01", team_id=await world.team()
            )
        )
    )
    assert (await criterion(world, nobody.employee_id, "2020-01-31")).actual == "no position"


async def test_a_policy_that_asks_for_nothing_is_refused(world: World) -> None:
    """It would let everybody through."""
    create = CreateEligibilityPolicyRequest(policy=EligibilityPolicy(policy_id="p", effective_date="2000-01-01"))
    refusal = await refused(
        world.eligibility.CreateEligibilityPolicy(create), StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS"
    )
    assert refusal.fields == ["policy"]
