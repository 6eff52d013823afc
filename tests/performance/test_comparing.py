"""Leads compared: differences that add up exactly, whose work and which days they come from, and who came and went."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

import hypothesis
from hypothesis import strategies as st

from libs.common.days import Span
from libs.facts.adding import Counted
from libs.facts.employee import State
from libs.facts.leading import Led, TeamSpan
from services.performance.comparing import attrition, compare, count, movements
from services.performance.employee import EMPLOYEE
from services.performance.scoring import scorecard
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_LEFT
from stepladder.performance.v1.events_pb2 import EmployeeHired, EmploymentStatusChanged
from stepladder.performance.v1.facts_pb2 import RATING_GOOD
from stepladder.performance.v1.kpi_pb2 import Kpi, Target
from stepladder.performance.v1.lead_comparison_pb2 import ComparedLine, Movement
from stepladder.performance.v1.policy_pb2 import Policy, ScorecardPolicy
from stepladder.performance.v1.scorecard_pb2 import AdjustmentLine, Scorecard, ScorecardLine
from tests.deciding import fold

RATIO = Kpi(
    kpi_id="csat",
    unit=Kpi.UNIT_PERCENT,
    direction=Kpi.DIRECTION_HIGHER,
    aggregation=Kpi.AGGREGATION_RATIO,
    scale_numerator=100,
    scale_denominator=1,
    precision=1,
)
KPIS = {name: Kpi() for name in ("csat", "aht", "points")}
for name, kpi in KPIS.items():
    kpi.CopyFrom(RATIO)
    kpi.kpi_id = name
KPIS["points"].aggregation = Kpi.AGGREGATION_SUM
KPIS["points"].scale_numerator = 1
SPAN = Span(date(2020, 1, 1), date(2020, 1, 31))
FOR_EVER = "9999-12-31"


def policy(precision: int, weights: tuple[str, str]) -> Policy:
    items = [
        ScorecardPolicy.Item(kpi_id=one, weight=weight, attainment=ScorecardPolicy.Attainment())
        for one, weight in zip(("csat", "aht"), weights, strict=True)
    ]
    card = ScorecardPolicy(
        items=items,
        normalize=True,
        missing=ScorecardPolicy.MISSING_SPREAD,
        adjustments=[ScorecardPolicy.Adjustment(kpi_id="points", factor="-0.3")],
        bands=[ScorecardPolicy.Band(rating=RATING_GOOD, lower="0", upper="100")],
        precision=precision,
    )
    return Policy(policy_id="leads", scorecard=card)


def reading(
    employee_id: str, day: str, kpi_id: str, numerator: int, denominator: int = 0, position: int = 1
) -> Counted:
    return Counted(employee_id, day, "calls", kpi_id, numerator, denominator, position)


def card(month: str, precision: int, weights: tuple[str, str], numbers: Sequence[int | None]) -> Scorecard:
    """As it is scored: of 97 each against a target of 95 %; None: no facts of the KPI."""
    day, target = f"{month}-03", Target(minimum="95")
    readings = {
        name: [reading("e-1", day, name, number, 97)]
        for name, number in zip(("csat", "aht"), numbers, strict=False)
        if number is not None
    }
    readings["points"] = [] if numbers[2] is None else [reading("e-1", day, "points", numbers[2])]
    scored = scorecard(policy(precision, weights), KPIS, readings, lambda _: target)
    scored.month = month
    return scored


numbers = st.tuples(*[st.one_of(st.none(), st.integers(20, 97))] * 2, st.one_of(st.none(), st.integers(0, 9)))
weights = st.sampled_from([("60", "40"), ("1", "2"), ("50", "50")])


@hypothesis.settings(derandomize=True, database=None, deadline=None, max_examples=150)
@hypothesis.given(
    leads=st.lists(st.lists(st.tuples(weights, numbers), max_size=3), min_size=2, max_size=4),
    precision=st.integers(0, 3),
)
def test_differences_add_up_exactly(
    leads: list[list[tuple[tuple[str, str], tuple[int | None, ...]]]], precision: int
) -> None:
    """As they are written, to the last digit; what is left over is no more than the rounding of totals."""
    cards = {
        f"lead-{index}": [
            card(f"2020-0{month}", precision, weight, told) for month, (weight, told) in enumerate(months, 1)
        ]
        for index, months in enumerate(leads)
    }
    answer = compare(cards)
    assert [lead.lead_id for lead in answer.leads] == list(cards)
    scored = [lead for lead in answer.leads if lead.total]
    assert {lead.lead_id for lead in scored} == {
        name for name, of_lead in cards.items() if any(c.total for c in of_lead)
    }
    for lead in scored:
        parts = [Decimal(line.difference) for line in (*lead.lines, *lead.adjustments)]
        assert sum(parts) + Decimal(lead.rest) == Decimal(lead.difference)
        assert abs(Decimal(lead.difference) - (Decimal(lead.total) - Decimal(answer.total))) <= Decimal("0.000002")
        # The lead's totals and the others' are rounded to `precision` digits, everything else to six.
        assert abs(Decimal(lead.rest)) <= Decimal(f"1e-{precision}") + Decimal("0.0001")
        assert [line.kpi_id for line in lead.lines] == ["csat", "aht"]
    if scored:
        assert abs(sum((Decimal(lead.difference) for lead in scored), Decimal())) <= Decimal("0.00001")


def test_it_is_worked_by_hand() -> None:
    """Two months of one lead, one of the other: 80 and 60 against 90; the first KPI has it all but for two points."""

    def month(total: str, first: str, second: str, points: str = "") -> Scorecard:
        lines = [
            ScorecardLine(kpi_id="csat", score=first, share="60.000000"),
            ScorecardLine(kpi_id="aht", score=second, share="40.000000"),
        ]
        added = [AdjustmentLine(kpi_id="points", points=points)] if points else []
        return Scorecard(lines=lines, adjustments=added, total=total)

    answer = compare(
        {
            "anna": [month("80.0", "80.000000", "80.000000"), month("60.0", "50.000000", "80.000000", "-2.000000")],
            "boris": [month("90.0", "100.000000", "75.000000")],
            "clara": [Scorecard()],
        }
    )
    anna, boris, clara = answer.leads
    assert (answer.total, anna.total, anna.difference, boris.difference) == (
        "80.000000",
        "70.000000",
        "-10.000000",
        "10.000000",
    )
    first, second = anna.lines
    # 60 % of 80 and of 50: 39, against 60; the mean is 49.5.
    assert (first.points, first.difference, first.score, first.share, first.months) == (
        "39.000000",
        "-10.500000",
        "65.000000",
        "60.000000",
        2,
    )
    assert (second.points, second.difference) == ("32.000000", "1.000000")
    (added,) = anna.adjustments
    assert (added.points, added.difference, added.months, added.score) == ("-1.000000", "-0.500000", 1, "")
    (of_boris,) = boris.adjustments
    assert (of_boris.points, of_boris.difference, of_boris.months) == ("0.000000", "0.500000", 0)
    assert (anna.rest, boris.rest) == ("0.000000", "0.000000")
    assert (clara.total, list(clara.lines)) == ("", [])


def test_nobody_has_a_total() -> None:
    answer = compare({"anna": [Scorecard()], "boris": []})
    assert ([lead.lead_id for lead in answer.leads], answer.total) == (["anna", "boris"], "")


def test_members_and_days_are_named_by_what_the_value_owes_them() -> None:
    """80 of 100 and 5 of 20 make 70.8 %: without the second it is 80, without the first 25."""
    line = ComparedLine()
    count(
        line,
        RATIO,
        [
            reading("e-1", "2020-01-02", "csat", 40, 50, 11),
            reading("e-1", "2020-01-03", "csat", 40, 50, 12),
            reading("e-2", "2020-01-03", "csat", 5, 20, 13),
        ],
        5,
    )
    assert (line.numerator, line.denominator, line.value) == (85, 120, "70.8")
    first, second = line.members
    assert (first.employee_id, first.value, first.effect, list(first.fact_positions)) == (
        "e-1",
        "80.0",
        "45.833333",
        [11, 12],
    )
    assert (second.employee_id, second.value, second.effect) == ("e-2", "25.0", "-9.166667")
    # The second day has 45 of 70.
    assert [(one.date, one.effect, list(one.fact_positions)) for one in line.days] == [
        ("2020-01-02", "6.547619", [11]),
        ("2020-01-03", "-9.166667", [12, 13]),
    ][::-1]
    shortened = ComparedLine()
    count(shortened, RATIO, [reading("e-1", f"2020-01-{day:02}", "csat", day, 50, day) for day in range(1, 20)], 3)
    assert len(shortened.days) == 3
    (alone,) = shortened.members
    assert (alone.effect, alone.numerator) == ("", 190)


def test_what_is_largest_or_smallest_owes_to_one() -> None:
    """A maximum owes everything to whoever reached it; a sum to each what they did."""
    largest = Kpi()
    largest.CopyFrom(RATIO)
    largest.aggregation, largest.scale_numerator = Kpi.AGGREGATION_MAXIMUM, 1
    readings = [reading("e-1", "2020-01-02", "csat", 9), reading("e-2", "2020-01-02", "csat", 4)]
    line = ComparedLine()
    count(line, largest, readings, 5)
    assert [(one.employee_id, one.effect) for one in line.members] == [("e-1", "5.000000"), ("e-2", "0.000000")]
    added_up = ComparedLine()
    count(added_up, KPIS["points"], readings, 5)
    assert [(one.employee_id, one.effect) for one in added_up.members] == [("e-1", "9.000000"), ("e-2", "4.000000")]


def employed(employee_id: str, hire_date: str = "2019-01-01", leaves: str = "") -> State:
    """`leaves`: the first day that they are gone."""
    events: list[EmployeeHired | EmploymentStatusChanged] = [
        EmployeeHired(employee_id=employee_id, hire_date=hire_date, position_since=hire_date, team_id="t-1")
    ]
    if leaves:
        events.append(
            EmploymentStatusChanged(employee_id=employee_id, status=EMPLOYMENT_STATUS_LEFT, effective_date=leaves)
        )
    return fold(EMPLOYEE, EMPLOYEE.initial, events)


def led_from(day: str, spans: Sequence[TeamSpan], until: str = FOR_EVER) -> Led:
    """The teams t-1 and t-2, from a day on."""
    leading = [TeamSpan("lead", team_id, day, until) for team_id in ("t-1", "t-2")]
    members: dict[str, list[TeamSpan]] = {}
    for one in spans:
        if any(one.overlaps(led) for led in leading):
            members.setdefault(one.employee_id, []).append(one)
    return Led(leading, members)


def test_attrition_is_leavers_over_the_average_headcount() -> None:
    """Two are there for all 31 days, one for 10 days before leaving, one for the last 5 days: 77 days of members."""
    states = {
        "stays": employed("stays"),
        "also": employed("also"),
        "leaves": employed("leaves", leaves="2020-01-11"),
        "new": employed("new", "2020-01-27"),
    }
    spans = [TeamSpan(name, "t-1", state.hired.hire_date, FOR_EVER) for name, state in states.items()]
    found = attrition(led_from("2019-01-01", spans), states, SPAN)
    assert (found.leavers, found.days, found.member_days) == (1, 31, 77)
    assert (found.headcount, found.rate) == ("2.48", "40.26")
    # Whoever leads from the 11th on has nobody who left.
    later = attrition(led_from("2020-01-11", spans), states, SPAN)
    assert (later.leavers, later.days, later.member_days, later.rate) == (0, 21, 47, "0.00")
    nobody = attrition(led_from("2020-02-01", spans), states, SPAN)
    assert (nobody.days, nobody.member_days, nobody.headcount, nobody.rate) == (0, 0, "", "")
    left_on_the_last_day = {"e": employed("e", leaves="2020-02-01")}
    one = [TeamSpan("e", "t-1", "2019-01-01", FOR_EVER)]
    assert attrition(led_from("2019-01-01", one), left_on_the_last_day, SPAN).leavers == 1
    assert attrition(led_from("2019-01-01", one), {"e": employed("e", leaves="2020-01-01")}, SPAN).leavers == 0


def test_who_came_and_who_went() -> None:
    """By day; between two teams of the same lead nobody moves, and who has left goes nowhere."""
    states = {name: employed(name) for name in ("in", "out", "within", "before", "gone")}
    states["new"] = employed("new", "2020-01-15")
    states["leaves"] = employed("leaves", leaves="2020-01-21")
    states["gone"] = employed("gone", leaves="2020-01-05")
    spans = [
        TeamSpan("in", "t-9", "2019-01-01", "2020-01-01"),
        TeamSpan("in", "t-1", "2020-01-01", FOR_EVER),
        TeamSpan("out", "t-1", "2019-01-01", "2020-01-10"),
        TeamSpan("out", "t-9", "2020-01-10", FOR_EVER),
        TeamSpan("within", "t-1", "2019-01-01", "2020-01-12"),
        TeamSpan("within", "t-2", "2020-01-12", FOR_EVER),
        TeamSpan("before", "t-1", "2019-01-01", "2020-01-01"),
        TeamSpan("before", "t-9", "2020-01-01", FOR_EVER),
        TeamSpan("gone", "t-1", "2019-01-01", "2020-01-10"),
        TeamSpan("gone", "t-9", "2020-01-10", FOR_EVER),
        TeamSpan("new", "t-2", "2020-01-15", FOR_EVER),
        TeamSpan("leaves", "t-1", "2019-01-01", FOR_EVER),
    ]
    found = movements(led_from("2019-01-01", spans), spans, states, SPAN)
    assert [(one.date, one.kind, one.employee_id, one.team_id, one.other_team_id) for one in found] == [
        ("2020-01-01", Movement.KIND_TRANSFERRED_IN, "in", "t-1", "t-9"),
        ("2020-01-04", Movement.KIND_LEFT, "gone", "t-1", ""),
        ("2020-01-10", Movement.KIND_TRANSFERRED_OUT, "out", "t-1", "t-9"),
        ("2020-01-15", Movement.KIND_HIRED, "new", "t-2", ""),
        ("2020-01-20", Movement.KIND_LEFT, "leaves", "t-1", ""),
    ]
    later = movements(led_from("2020-01-16", spans), spans, states, SPAN)
    assert [one.employee_id for one in later] == ["leaves"]


def test_a_days_attrition_is_the_same_however_the_span_is_cut() -> None:
    """Days and leavers of two halves add up to those of the whole."""
    states = {"a": employed("a", leaves="2020-01-11"), "b": employed("b", "2020-01-07"), "c": employed("c")}
    spans = [TeamSpan(name, "t-1", state.hired.hire_date, FOR_EVER) for name, state in states.items()]
    led = led_from("2020-01-03", spans)
    whole = attrition(led, states, SPAN)
    for cut in range(30):
        middle = SPAN.start + timedelta(days=cut)
        halves = [
            attrition(led, states, Span(SPAN.start, middle)),
            attrition(led, states, Span(middle + timedelta(days=1), SPAN.end)),
        ]
        assert sum(one.leavers for one in halves) == whole.leavers
        assert sum(one.member_days for one in halves) == whole.member_days
        assert sum(one.days for one in halves) == whole.days
