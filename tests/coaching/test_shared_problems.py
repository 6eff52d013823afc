"""Problems that many share, counted; and what was measured around a day."""

from datetime import date
from fractions import Fraction

import pytest

from libs.common.days import Span
from libs.facts.adding import Judged
from libs.facts.answers import ItemAnswer
from services.coaching.before_after import case_of, group_around, spans_around
from services.coaching.effect import Case
from services.coaching.shared_problems import item_problems, kpi_problems
from stepladder.coaching.v1.effect_pb2 import EffectGroup
from stepladder.coaching.v1.measure_pb2 import FormItem, Measure, Measured
from stepladder.coaching.v1.training_pb2 import SharedProblem
from stepladder.performance.v1.kpi_pb2 import Kpi

MEASURE = Measure(kpi_id="csat")


def kpi(direction: "Kpi.Direction.ValueType" = Kpi.DIRECTION_HIGHER) -> Kpi:
    return Kpi(
        kpi_id="csat",
        unit=Kpi.UNIT_PERCENT,
        precision=1,
        direction=direction,
        aggregation=Kpi.AGGREGATION_RATIO,
        scale_numerator=100,
        scale_denominator=1,
    )


def judged(value: int | None, minimum: int | None = None, maximum: int | None = None) -> Judged:
    low, high = (None if bound is None else Fraction(bound) for bound in (minimum, maximum))
    return Judged(0, 0, None if value is None else Fraction(value), 1, low, high, (), ())


def test_items_that_were_missed() -> None:
    """People and evaluations are counted apart; what nobody missed is no problem."""
    answers = [
        ItemAnswer(employee, "2026-01-05", form, item, missed)
        for employee, form, item, missed in [
            ("e-1", "calls", "solution", 1),
            ("e-1", "calls", "solution", 1),
            ("e-2", "calls", "solution", 0),
            ("e-3", "calls", "solution", 1),
            ("e-1", "calls", "greeting", 0),
            ("e-1", "chats", "solution", 1),
        ]
    ]
    calls, chats = item_problems(answers)
    assert calls == SharedProblem(
        measure=Measure(form_item=FormItem(form_id="calls", item_id="solution")),
        employees=3,
        employees_missed=2,
        evaluations=4,
        evaluations_missed=3,
    )
    assert (chats.measure.form_item.form_id, chats.employees) == ("chats", 1)


def test_targets_that_were_missed() -> None:
    """Who had a target and a value counts; on the bound it is met."""
    (found,) = kpi_problems(
        {
            "csat": [judged(89, 90), judged(90, 90), judged(91, maximum=90), judged(50), judged(None, 90)],
            "aht": [judged(3, 2, 4)],
        }
    )
    assert found == SharedProblem(measure=MEASURE, employees=3, employees_missed=2)


def test_days_around() -> None:
    """As many before as after, without the day itself."""
    before, after = spans_around(date(2026, 3, 16), 7)
    assert before == Span(date(2026, 3, 9), date(2026, 3, 15))
    assert after == Span(date(2026, 3, 17), date(2026, 3, 23))


def test_a_case() -> None:
    """Exact values of both spans; without one of them there is none. Nothing out of so many is a value."""

    def measured(numerator: int, denominator: int, value: str) -> Measured:
        return Measured(measure=MEASURE, numerator=numerator, denominator=denominator, value=value)

    third, none, zero = measured(1, 3, "33.3"), measured(0, 0, ""), measured(0, 3, "0.0")
    assert case_of("e-1", kpi(), third, zero) == Case("e-1", True, Fraction(100, 3), None, Fraction(0))
    assert case_of("e-1", kpi(Kpi.DIRECTION_LOWER), third, zero) == Case(
        "e-1", False, Fraction(100, 3), None, Fraction(0)
    )
    assert case_of("e-1", kpi(), third, none) is None
    assert case_of("e-1", kpi(), none, third) is None


@pytest.mark.parametrize("many", [0, 4])
def test_few(many: int) -> None:
    """Nothing is told of a group that is smaller than may be shown, not even how many it has."""
    cases = [Case(f"e-{n}", True, Fraction(80), None, Fraction(90)) for n in range(many)]
    assert group_around(cases, kpi(), MEASURE, 5) == EffectGroup(measure=MEASURE, suppressed=True)


def test_which_way_is_better() -> None:
    """Of a KPI with a direction changes are counted; of a band, where more may be better or worse, they are not."""
    cases = [Case(f"e-{n}", True, Fraction(80), None, Fraction(80 + n)) for n in range(6)]
    group = group_around(cases, kpi(), MEASURE, 5)
    assert (group.cases, group.before, group.after, group.better, group.same) == (6, "80.0", "82.5", 5, 1)
    assert (group.change.median, group.change.lower, group.change.upper) == ("2.5", "0.0", "5.0")
    assert not group.not_coached
    band = group_around(cases, kpi(Kpi.DIRECTION_BAND), MEASURE, 5)
    assert (band.cases, band.before, band.after) == (6, "80.0", "82.5")
    assert not band.HasField("change")
    assert (band.better, band.same, band.worse) == (0, 0, 0)
