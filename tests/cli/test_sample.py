"""The sample centre: the same every time, valid, and with its stories to be found."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from fractions import Fraction
from itertools import chain

import protovalidate
import pytest

from libs.cli.presets import load_kpis, load_policies, load_targets
from libs.cli.sample import SampleCentre
from libs.cli.sample_people import CAST, Story
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_LEFT,
    EMPLOYMENT_STATUS_ON_LEAVE,
    EMPLOYMENT_STATUS_PROBATION,
    AppointTeamLeadRequest,
    ChangeEmploymentStatusRequest,
    CreateTeamRequest,
    HireEmployeeRequest,
    TransferEmployeeRequest,
)
from stepladder.performance.v1.facts_pb2 import RATING_EXCELLENT, Fact
from stepladder.performance.v1.policy_pb2 import DetectionRule

END = date(2026, 3, 10)
STREAKS = [one.detection.streak for one in load_policies() if one.detection.HasField("streak")]
MONTHS = ("2025-09", "2025-10", "2025-11", "2025-12", "2026-01", "2026-02")


@pytest.fixture(scope="module")
def centre() -> SampleCentre:
    return SampleCentre(END)


@pytest.fixture(scope="module")
def facts(centre: SampleCentre) -> list[Fact]:
    return list(centre.facts())


def missed_in_a_row(facts: Iterable[Fact], policy: DetectionRule.Streak, months: Sequence[str]) -> dict[str, int]:
    """The longest row of months in which each employee missed the target of the policy."""
    (kpi,) = (one for one in load_kpis() if one.kpi_id == policy.kpi_id)
    (target,) = (one for one in load_targets() if one.kpi_id == policy.kpi_id)
    sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for fact in facts:
        for reading in fact.readings:
            if reading.kpi_id == policy.kpi_id:
                own = sums[fact.employee_id, fact.date[:7]]
                own[0] += sum(reading.numerators)
                own[1] += sum(reading.denominators)
    longest: dict[str, int] = {}
    for employee in {employee for employee, _ in sums}:
        row = longest[employee] = 0
        for month in months:
            numerator, denominator = sums.get((employee, month), (0, 0))
            row += 1
            if denominator < policy.minimum_samples or not denominator:
                row = 0
            else:
                value = Fraction(numerator * kpi.scale_numerator, denominator * kpi.scale_denominator)
                low = bool(target.minimum) and value < Fraction(target.minimum)
                high = bool(target.maximum) and value > Fraction(target.maximum)
                row = row if low or high else 0
            longest[employee] = max(longest[employee], row)
    return longest


def test_the_same_arguments_make_the_same_centre(centre: SampleCentre, facts: list[Fact]) -> None:
    """Every request, id and figure is the same again; another seed makes other ones."""
    again, other = SampleCentre(END), SampleCentre(END, seed=2)
    assert list(again.facts()) == facts
    assert again.setup() == centre.setup()
    assert again.ratings() == centre.ratings()
    assert list(other.facts()) != facts
    assert {again.digest, other.digest} == {centre.digest, other.digest}
    assert again.digest != other.digest


def test_every_message_satisfies_the_contract(centre: SampleCentre, facts: list[Fact]) -> None:
    """Requests and facts are valid, and no two requests share an id."""
    requests = [*centre.setup(), *centre.ratings()]
    for message in (*requests, *facts[::10]):
        protovalidate.validate(message)
    ids = [request.request_id for request in requests]
    assert all(ids)
    assert len(set(ids)) == len(ids)


def test_facts_come_by_employee_and_date_and_hold_every_kpi(centre: SampleCentre, facts: list[Fact]) -> None:
    """Facts are in order, from the first day to the last, of known KPIs; ratios have denominators and others none."""
    keys = [(fact.employee_id, fact.date, fact.source) for fact in facts]
    assert keys == sorted(set(keys))
    assert min(fact.date for fact in facts) == "2025-09-01"
    assert max(fact.date for fact in facts) == END.isoformat()
    ratios = {kpi.kpi_id: kpi.aggregation == kpi.AGGREGATION_RATIO for kpi in load_kpis()}
    readings = list(chain.from_iterable(fact.readings for fact in facts))
    assert {reading.kpi_id for reading in readings} == set(ratios)
    for reading in readings:
        assert len(reading.denominators) == (len(reading.numerators) if ratios[reading.kpi_id] else 0)
        assert min(reading.numerators) >= 0
        assert min(reading.denominators, default=1) > 0
    hired = {
        request.employee.employee_id: request.employee.hire_date
        for request in centre.setup()
        if isinstance(request, HireEmployeeRequest)
    }
    assert all(hired[fact.employee_id] <= fact.date for fact in facts)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_policies_find_the_stories_and_nothing_else(seed: int) -> None:
    """Whoever struggles is found on the KPI of the story; nobody else is."""
    centre = SampleCentre(END, seed=seed)
    facts = list(centre.facts())
    found = {
        (employee, policy.kpi_id)
        for policy in STREAKS
        for employee, longest in missed_in_a_row(facts, policy, MONTHS).items()
        if longest >= policy.streak
    }
    assert found == set(centre.struggling().items())
    assert {kpi_id for _, kpi_id in found} == {policy.kpi_id for policy in STREAKS}


def test_the_improving_one_is_on_target_at_last(centre: SampleCentre, facts: list[Fact]) -> None:
    """Found at first, then better: the last two full months are on target."""
    (policy,) = (one for one in STREAKS if one.kpi_id == "aht")
    (improving,) = centre.told(Story.IMPROVING)
    assert missed_in_a_row(facts, policy, MONTHS)[improving] == 3
    assert missed_in_a_row(facts, policy, MONTHS[-2:])[improving] == 0


def test_people_change_as_in_life(centre: SampleCentre) -> None:
    """Four teams with leads, one of whom changes; a transfer, a leaver, a leave, newcomers; tenure differs."""
    requests = centre.setup()
    kinds = Counter(type(request) for request in requests)
    assert kinds[CreateTeamRequest] == 4
    assert kinds[HireEmployeeRequest] == 4 * 12 + 5
    assert kinds[TransferEmployeeRequest] == 1
    leads = Counter(request.team_id for request in requests if isinstance(request, AppointTeamLeadRequest))
    assert sorted(leads.values()) == [1, 1, 1, 2]
    statuses = [request.status for request in requests if isinstance(request, ChangeEmploymentStatusRequest)]
    assert statuses.count(EMPLOYMENT_STATUS_LEFT) == statuses.count(EMPLOYMENT_STATUS_ON_LEAVE) == 1
    hired = [request.employee for request in requests if isinstance(request, HireEmployeeRequest)]
    assert len({one.employee_id for one in hired}) == len({one.display_name for one in hired}) == len(hired)
    assert sum(one.status == EMPLOYMENT_STATUS_PROBATION for one in hired) == 4
    assert len({one.hire_date[:4] for one in hired}) >= 5
    assert any(one.display_name.isascii() for one in hired)
    assert any(not one.display_name.isascii() for one in hired)
    assert not {one.display_name for one in hired} & {one.employee_id for one in hired}


def test_nobody_has_facts_after_the_last_day(centre: SampleCentre, facts: list[Fact]) -> None:
    """Who left or is on leave stops working the day before."""
    gone = {
        request.employee_id: request.effective_date
        for request in centre.setup()
        if isinstance(request, ChangeEmploymentStatusRequest)
        and request.status in {EMPLOYMENT_STATUS_LEFT, EMPLOYMENT_STATUS_ON_LEAVE}
    }
    assert len(gone) == 2
    for employee, day in gone.items():
        assert max(fact.date for fact in facts if fact.employee_id == employee) < day


def test_only_stars_are_excellent_in_every_month(centre: SampleCentre) -> None:
    """Six excellent months in a row belong to the stars and the rising one; months still running have no rating."""
    ratings = centre.ratings()
    assert {rating.month for rating in ratings} == set(MONTHS)
    excellent = Counter(rating.employee_id for rating in ratings if rating.rating == RATING_EXCELLENT)
    always = {employee for employee, count in excellent.items() if count == len(MONTHS)}
    assert always == {*centre.told(Story.STAR), *centre.told(Story.RISING)}
    assert len(centre.told(Story.STAR)) == CAST.count(Story.STAR)


def test_a_last_month_that_is_over_has_ratings() -> None:
    """With the last day of a month as the end, that month is rated too."""
    assert max(rating.month for rating in SampleCentre(date(2026, 2, 28)).ratings()) == "2026-02"


@pytest.mark.parametrize(("months", "teams", "agents"), [(1, 1, 1), (2, 1, 19), (13, 20, 2), (1, 20, 50)])
def test_other_sizes(months: int, teams: int, agents: int) -> None:
    """Small and large centres are complete too."""
    centre = SampleCentre(date(2024, 2, 29), months=months, teams=teams, agents_per_team=agents)
    hired = [request for request in centre.setup() if isinstance(request, HireEmployeeRequest)]
    assert len({request.employee.employee_id for request in hired}) == teams * (agents + 1) + 1
    assert next(centre.facts()).readings


def test_sizes_that_are_not_meant() -> None:
    """A size out of bounds is refused at once."""
    with pytest.raises(ValueError, match="1 to 20 teams"):
        SampleCentre(END, teams=0)
