"""What was measured of people before and after a day on which some of them took part in something."""

from collections.abc import Collection, Sequence
from datetime import date, timedelta
from fractions import Fraction

from libs.common.days import ONE_DAY, Span
from libs.common.service import Service
from libs.facts.people import People
from libs.facts.values import kpi_value
from services.coaching.effect import Case, groups_of
from services.coaching.measuring import Ask, Measuring, definition
from stepladder.coaching.v1.before_after_pb2 import BeforeAfter
from stepladder.coaching.v1.effect_pb2 import EffectGroup
from stepladder.coaching.v1.measure_pb2 import Measure, Measured
from stepladder.performance.v1.kpi_pb2 import Kpi

DAYS = 28
"""How many days before and after are looked at unless the caller says."""


class BeforeAndAfter:
    """Computes; changes nothing."""

    def __init__(self, service: Service, people: People, measuring: Measuring) -> None:
        self._engine = service.engine
        self._people = people
        self._measuring = measuring

    async def of(
        self,
        measure: Measure,
        day: date,
        took_part: Sequence[str],
        shown: Collection[str],
        *,
        days: int,
        smallest: int,
        today: date,
    ) -> BeforeAfter:
        """For those who took part on a day, and for the other members of their teams.

        Args:
            shown: who did neither: those who trained or were the example.
            days: how many before and after; 0: `DAYS`.
            smallest: how many people a group must have to be shown.

        Raises NotFound as `Measuring.measure` does.
        """
        kpi = definition(await self._measuring.rules(), measure)
        before, after = spans_around(day, days or DAYS)
        text = day.isoformat()
        spans = await self._people.memberships_between(self._engine, text, text)
        teams = {span.team_id for span in spans if span.employee_id in took_part}
        others = {span.employee_id for span in spans if span.team_id in teams} - {*took_part, *shown}
        people = [*took_part, *sorted(others)]
        measured = await self._measuring.measure_all(
            [
                Ask(one, measure, span.start.isoformat(), span.end.isoformat())
                for span in (before, after)
                for one in people
            ]
        )
        pairs = zip(people, measured[: len(people)], measured[len(people) :], strict=True)
        cases = [case for one, first, last in pairs if (case := case_of(one, kpi, first, last))]
        return BeforeAfter(
            measure=measure,
            before_start_date=before.start.isoformat(),
            before_end_date=before.end.isoformat(),
            after_start_date=after.start.isoformat(),
            after_end_date=after.end.isoformat(),
            over=today > after.end,
            took_part=group_around([one for one in cases if one.employee_id in took_part], kpi, measure, smallest),
            others=group_around([one for one in cases if one.employee_id in others], kpi, measure, smallest),
            left_out=len(people) - len(cases),
            known_at=measured[0].known_at,
        )


def spans_around(day: date, days: int) -> tuple[Span, Span]:
    """So many days before a day, and so many after it."""
    many = timedelta(days=days)
    return Span(day - many, day - ONE_DAY), Span(day + ONE_DAY, day + many)


def case_of(employee_id: str, kpi: Kpi, before: Measured, after: Measured) -> Case | None:
    """What was measured of somebody, exactly; None where there is no value before, or none after."""
    if not before.value or not after.value:
        return None
    first, last = (kpi_value(kpi, one.numerator, one.denominator) for one in (before, after))
    return Case(employee_id, kpi.direction == Kpi.DIRECTION_HIGHER, first or Fraction(), None, last or Fraction())


def group_around(cases: Sequence[Case], kpi: Kpi, measure: Measure, smallest: int) -> EffectGroup:
    """Some people; where neither more nor less of a measure is better, nothing is said of changes."""
    (group,) = groups_of({"": cases}, kpi, measure, smallest, coached=True)
    if kpi.direction not in (Kpi.DIRECTION_HIGHER, Kpi.DIRECTION_LOWER):
        for name in ("change", "better", "same", "worse"):
            group.ClearField(name)
    return group
