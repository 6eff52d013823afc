"""The sample centre: the same every time, valid, and with its stories to be found."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from fractions import Fraction
from functools import cache
from itertools import chain

import protovalidate
import pytest

from libs.cli.presets import load_kpis, load_policies, load_targets
from libs.cli.sample import SampleCentre
from libs.cli.sample_people import CAST, Story
from libs.cli.sample_records import FATAL_ITEMS
from libs.facts.adding import Counted
from services.performance.outcome import outcome_of, policy_of
from services.performance.scoring import scorecard
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
from stepladder.performance.v1.facts_pb2 import RATING_EXCELLENT, Fact, Rating
from stepladder.performance.v1.policy_pb2 import DetectionRule, Policy
from stepladder.performance.v1.record_pb2 import Record

END = date(2026, 3, 10)
STREAKS = [one.detection.streak for one in load_policies() if one.detection.HasField("streak")]
MONTHS = ("2025-09", "2025-10", "2025-11", "2025-12", "2026-01", "2026-02")
pytestmark = pytest.mark.xdist_group("sample")  # one process makes each centre once


@pytest.fixture(scope="module")
def centre() -> SampleCentre:
    return SampleCentre(END)


@cache
def facts_of(seed: int) -> list[Fact]:
    return list(SampleCentre(END, seed=seed).facts())


@cache
def records_of(seed: int) -> list[Record]:
    return list(SampleCentre(END, seed=seed).records())


@pytest.fixture(scope="module")
def facts(centre: SampleCentre) -> list[Fact]:
    return facts_of(centre.seed)


def sums_by_month(facts: Iterable[Fact], records: Iterable[Record]) -> dict[str, dict[tuple[str, str], list[int]]]:
    """Numerators and denominators by KPI, of each employee and month."""
    sums: dict[str, dict[tuple[str, str], list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for fact in facts:
        for reading in fact.readings:
            own = sums[reading.kpi_id][fact.employee_id, fact.date[:7]]
            own[0] += sum(reading.numerators)
            own[1] += sum(reading.denominators)
    for record in records:
        if record.HasField("evaluation"):
            own = sums["qa-fatal-rate"][record.employee_id, record.date[:7]]
            own[0] += any(one.achieved < 100 for one in record.evaluation.answers if one.item_id in FATAL_ITEMS)
            own[1] += 1
    return sums


def missed_in_a_row(
    sums: Mapping[tuple[str, str], Sequence[int]], policy: DetectionRule.Streak, months: Sequence[str]
) -> dict[str, int]:
    """The longest row of months in which each employee missed the target of the policy."""
    (kpi,) = (one for one in load_kpis() if one.kpi_id == policy.kpi_id)
    (target,) = (one for one in load_targets() if one.kpi_id == policy.kpi_id)
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
    assert list(again.records()) == records_of(centre.seed)
    assert facts_of(other.seed) != facts
    assert {again.digest, other.digest} == {centre.digest, other.digest}
    assert again.digest != other.digest


def test_every_message_satisfies_the_contract(centre: SampleCentre, facts: list[Fact]) -> None:
    """Requests and facts are valid, and no two requests share an id."""
    requests = [*centre.setup(), *centre.closings()]
    records = records_of(centre.seed)
    assert len({record.record_id for record in records}) == len(records)
    assert {record.WhichOneof("content") for record in records} == {
        field.name for field in Record.DESCRIPTOR.oneofs_by_name["content"].fields
    }
    check_ins = list(centre.check_ins())
    assert {one.employee_id for one in check_ins if one.mood == 1} == set(centre.told(Story.UNKIND))
    for message in (*requests, *check_ins, *facts[::10], *records[::10]):
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
    own = [kpi for kpi in load_kpis() if not kpi.HasField("derived")]
    ratios = {kpi.kpi_id: kpi.aggregation == kpi.AGGREGATION_RATIO for kpi in own}
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
    sums = sums_by_month(facts_of(seed), records_of(seed))
    found = {
        (employee, policy.kpi_id)
        for policy in STREAKS
        for employee, longest in missed_in_a_row(sums[policy.kpi_id], policy, MONTHS).items()
        if longest >= policy.streak
    }
    assert found == set(centre.struggling().items())
    assert {kpi_id for _, kpi_id in found} == {policy.kpi_id for policy in STREAKS}


def test_the_improving_one_is_on_target_at_last(centre: SampleCentre, facts: list[Fact]) -> None:
    """Found at first, then better: the last two full months are on target."""
    (policy,) = (one for one in STREAKS if one.kpi_id == "aht")
    (improving,) = centre.told(Story.IMPROVING)
    handled = sums_by_month(facts, ())["aht"]
    assert missed_in_a_row(handled, policy, MONTHS)[improving] == 3
    assert missed_in_a_row(handled, policy, MONTHS[-2:])[improving] == 0


def test_people_change_as_in_life(centre: SampleCentre) -> None:
    """Teams with leads, one of whom changes; an office; a transfer, a leaver, a leave, newcomers; tenure differs."""
    requests = centre.setup()
    kinds = Counter(type(request) for request in requests)
    assert kinds[CreateTeamRequest] == 5
    assert kinds[HireEmployeeRequest] == 4 * 12 + 5 + 6
    assert kinds[TransferEmployeeRequest] == 1
    leads = Counter(request.team_id for request in requests if isinstance(request, AppointTeamLeadRequest))
    assert sorted(leads.values()) == [1, 1, 1, 1, 2]
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


@pytest.mark.parametrize("seed", [1, 2])
def test_only_stars_are_excellent_in_every_month(seed: int) -> None:
    """Six excellent months in a row belong to the stars and the rising one, by the scorecard that ships."""
    centre = SampleCentre(END, seed=seed)
    excellent = Counter(employee for (employee, _), rating in ratings(seed).items() if rating == RATING_EXCELLENT)
    always = {employee for employee, count in excellent.items() if count == len(MONTHS)}
    assert always == {*centre.told(Story.STAR), *centre.told(Story.RISING)}
    assert len(centre.told(Story.STAR)) == CAST.count(Story.STAR)


def ratings(seed: int) -> dict[tuple[str, str], Rating.ValueType]:
    """Of every agent and full month."""
    kpis = {kpi.kpi_id: kpi for kpi in load_kpis()}
    targets = {target.kpi_id: target for target in load_targets()}
    policies = {policy.policy_id: policy for policy in load_policies()}
    readings: defaultdict[tuple[str, str], defaultdict[str, list[Counted]]] = defaultdict(lambda: defaultdict(list))

    counted: defaultdict[str, list[tuple[str, bool]]] = defaultdict(list)  # by measure: the KPIs, as what
    for kpi in kpis.values():
        counted[kpi.derived.numerator or kpi.kpi_id].append((kpi.kpi_id, True))
        if kpi.HasField("derived"):
            counted[kpi.derived.denominator].append((kpi.kpi_id, False))

    def count(employee_id: str, day: str, measure: str, numerator: int, denominator: int) -> None:
        for kpi_id, above in counted[measure]:
            fraction = (numerator, denominator) if above else (0, numerator)
            readings[employee_id, day[:7]][kpi_id].append(Counted(employee_id, day, "", kpi_id, *fraction, 0))

    for fact in facts_of(seed):
        for reading in fact.readings:
            count(fact.employee_id, fact.date, reading.kpi_id, sum(reading.numerators), sum(reading.denominators))
    for record in records_of(seed):
        outcome = outcome_of(record, policies.get(policy_of(record), Policy()))
        for one in outcome.measures:
            count(record.employee_id, one.date, one.name, one.value, 0)
    return {
        key: scorecard(policies["agents"], kpis, own, lambda one: targets.get(one.kpi_id)).rating
        for key, own in readings.items()
        if key[1] in MONTHS
    }


def test_months_that_are_over_are_closed() -> None:
    """The first month first; with the last day of a month as the end, that month too."""
    assert tuple(request.month for request in SampleCentre(END).closings()) == MONTHS
    assert SampleCentre(date(2026, 2, 28)).closings()[-1].month == "2026-02"


@pytest.mark.parametrize(("months", "teams", "agents"), [(1, 1, 1), (2, 1, 19), (13, 20, 2), (1, 20, 50)])
def test_other_sizes(months: int, teams: int, agents: int) -> None:
    """Small and large centres are complete too."""
    centre = SampleCentre(date(2024, 2, 29), months=months, teams=teams, agents_per_team=agents)
    hired = [request for request in centre.setup() if isinstance(request, HireEmployeeRequest)]
    assert len({request.employee.employee_id for request in hired}) == teams * (agents + 1) + 7
    assert next(centre.facts()).readings


def test_sizes_that_are_not_meant() -> None:
    """A size out of bounds is refused at once."""
    with pytest.raises(ValueError, match="1 to 20 teams"):
        SampleCentre(END, teams=0)
