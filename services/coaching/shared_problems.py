"""Problems that members of a team share: items of forms, and targets of KPIs, that they missed."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from libs.common.service import Service, Together
from libs.facts.adding import Counted, Judged, add_up
from libs.facts.answers import ItemAnswer
from libs.facts.employee import EMPLOYEE
from libs.facts.people import People
from services.coaching.facts import Facts
from services.coaching.measuring import Measuring
from stepladder.coaching.v1.measure_pb2 import FormItem, Measure
from stepladder.coaching.v1.training_pb2 import SharedProblem
from stepladder.performance.v1.kpi_pb2 import Kpi


class SharedProblems:
    """Computes; changes nothing."""

    def __init__(
        self, service: Service, people: People, facts: Facts, measuring: Measuring, together: Together
    ) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._people = people
        self._facts = facts.recorded
        self._measuring = measuring
        self._together = together

    async def of_team(self, team_id: str, start: str, end: str) -> tuple[list[SharedProblem], int]:
        """Everything that members missed on their days in a team, what most of them missed first.

        The days are both inclusive. Answers also the position in the log up to which everything is in it.
        """
        known_at = await self._together.catch_up()
        rules = await self._measuring.rules(known_at)
        spans = await self._people.memberships_between(self._engine, start, end, known_at=known_at)
        in_team = [span for span in spans if span.team_id == team_id]
        members = sorted({span.employee_id for span in in_team})

        def was_member(employee_id: str, day: str) -> bool:
            return any(span.employee_id == employee_id and span.includes(day) for span in in_team)

        answers = await self._facts.answers.items_of(self._engine, members, start, end, known_at=known_at)
        kpis = {kpi_id: rules.kpis[kpi_id] for kpi_id in rules.targets if kpi_id in rules.kpis}
        readings = await self._facts.readings.readings_of(
            self._engine, members, list(kpis), start, end, known_at=known_at
        )
        states = await self._commands.known(EMPLOYEE, members)
        by_work: dict[tuple[str, str], list[Counted]] = {}
        for one in readings:
            if was_member(one.employee_id, one.date) and kpis[one.kpi_id].direction != Kpi.DIRECTION_NONE:
                by_work.setdefault((one.kpi_id, one.employee_id), []).append(one)
        judged: dict[str, list[Judged]] = {}
        for (kpi_id, employee_id), those in by_work.items():
            work = add_up(kpis[kpi_id], those, rules.targets_of(states[employee_id].state))
            judged.setdefault(kpi_id, []).append(work)
        items = item_problems(answer for answer in answers if was_member(answer.employee_id, answer.date))
        return sorted([*items, *kpi_problems(judged)], key=_most_first), known_at


def item_problems(answers: Iterable[ItemAnswer]) -> list[SharedProblem]:
    """Of every item that anybody missed, how many did."""
    by_item: dict[tuple[str, str], list[ItemAnswer]] = {}
    for answer in answers:
        by_item.setdefault((answer.form_id, answer.item_id), []).append(answer)
    return [
        SharedProblem(
            measure=Measure(form_item=FormItem(form_id=form_id, item_id=item_id)),
            employees=len({one.employee_id for one in those}),
            employees_missed=len({one.employee_id for one in those if one.missed}),
            evaluations=len(those),
            evaluations_missed=sum(one.missed for one in those),
        )
        for (form_id, item_id), those in by_item.items()
        if any(one.missed for one in those)
    ]


def kpi_problems(judged: Mapping[str, Sequence[Judged]]) -> list[SharedProblem]:
    """Of every KPI (by id, with what each employee did) of which anybody missed the target, how many did."""
    with_target = {
        kpi_id: [one for one in those if one.value is not None and (one.minimum, one.maximum) != (None, None)]
        for kpi_id, those in judged.items()
    }
    return [
        SharedProblem(
            measure=Measure(kpi_id=kpi_id), employees=len(those), employees_missed=sum(one.missed for one in those)
        )
        for kpi_id, those in with_target.items()
        if any(one.missed for one in those)
    ]


def _most_first(problem: SharedProblem) -> tuple[int, Fraction, str]:
    share = Fraction(problem.employees_missed, problem.employees)
    return -problem.employees_missed, -share, str(problem.measure)
