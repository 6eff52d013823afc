"""Measures of employees' work over days, out of the facts; each with the facts that it rests on."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from libs.common.errors import NotFound
from libs.common.service import Service, Together
from libs.facts.adding import Counted, combined
from libs.facts.catalogue import Catalogue, Rules
from libs.facts.values import format_value, kpi_value
from services.coaching.facts import Facts
from stepladder.coaching.v1.measure_pb2 import Measure, Measured
from stepladder.performance.v1.kpi_pb2 import Kpi

ITEM = Kpi(
    unit=Kpi.UNIT_PERCENT,
    direction=Kpi.DIRECTION_HIGHER,
    aggregation=Kpi.AGGREGATION_RATIO,
    scale_numerator=100,
    scale_denominator=1,
    precision=1,
)
"""How an item of a form is done, as a KPI: evaluations in which it was done, of those in which it applied."""


class Ask(NamedTuple):
    """A measure of an employee from one day to another, both inclusive, `without` some days between."""

    employee_id: str
    measure: Measure
    start_date: str
    end_date: str
    without: Sequence[Measured.Days] = ()

    def is_of(self, day: str) -> bool:
        """Whether a day is one of those."""
        left_out = any(days.start_date <= day <= days.end_date for days in self.without)
        return self.start_date <= day <= self.end_date and not left_out


class Measuring:
    """Computes; changes nothing."""

    def __init__(self, service: Service, facts: Facts, catalogue: Catalogue, together: Together) -> None:
        self._engine = service.engine
        self._facts = facts.recorded
        self._catalogue = catalogue
        self._together = together

    async def rules(self, known_at: int = 0) -> Rules:
        """Definitions, targets and policies as they were known when the log ended at a position; 0: now."""
        await (self._together.wait_for(known_at) if known_at else self._together.catch_up())
        return await self._catalogue.rules(self._engine, known_at)

    async def definition(self, measure: Measure, known_at: int = 0) -> Kpi:
        """As `definition` those rules."""
        return definition(await self.rules(known_at), measure)

    async def known_facts(self, employee_id: str, positions: Collection[int]) -> dict[int, set[tuple[str, str]]]:
        """Those of some positions in the log at which facts of an employee's work became known.

        Each with the KPIs that are made of what stands of it, and their days: none where all is superseded.
        """
        await self._together.catch_up()
        return await self._facts.readings.known_at(self._engine, employee_id, positions)

    async def measure(
        self, employee_id: str, measure: Measure, start_date: str, end_date: str, known_at: int = 0
    ) -> Measured:
        """A measure of an employee over days, both inclusive, as it was known when the log ended at a position; 0: now.

        Raises as `definition`.
        """
        (measured,) = await self.measure_all([Ask(employee_id, measure, start_date, end_date)], known_at)
        return measured

    async def measure_all(self, asks: Sequence[Ask], known_at: int = 0) -> list[Measured]:
        """What each asks for, in their order; those of the same measure are read at once. Otherwise as `measure`."""
        known_at = known_at or await self._together.catch_up()
        rules = await self.rules(known_at)
        by_measure: dict[bytes, list[int]] = {}
        for index, ask in enumerate(asks):
            by_measure.setdefault(ask.measure.SerializeToString(deterministic=True), []).append(index)
        answers: dict[int, Measured] = {}
        for indices in by_measure.values():
            some = [asks[index] for index in indices]
            measured = await self._measured(some, definition(rules, some[0].measure), known_at)
            answers |= zip(indices, measured, strict=True)
        return [answers[index] for index in range(len(asks))]

    async def _measured(self, asks: Sequence[Ask], kpi: Kpi, known_at: int) -> list[Measured]:
        """What several ask for that ask for the same measure."""
        employee_ids = sorted({ask.employee_id for ask in asks})
        start, end = min(ask.start_date for ask in asks), max(ask.end_date for ask in asks)
        measure = asks[0].measure
        if measure.WhichOneof("what") == "form_item":
            item = measure.form_item
            found = await self._facts.done(self._engine, employee_ids, item.form_id, item.item_id, start, end, known_at)
        else:
            found = await self._facts.readings.readings_of(
                self._engine, employee_ids, [measure.kpi_id], start, end, known_at=known_at
            )
        by_employee: dict[str, list[Counted]] = {}
        for one in found:
            by_employee.setdefault(one.employee_id, []).append(one)
        return [_added_up(ask, kpi, by_employee.get(ask.employee_id, ()), known_at) for ask in asks]


def definition(rules: Rules, measure: Measure) -> Kpi:
    """What is measured: a KPI, or a form's item as one. Raises NotFound `KPI_NOT_FOUND`, `ITEM_NOT_FOUND`."""
    if measure.WhichOneof("what") != "form_item":
        if (kpi := rules.kpis.get(measure.kpi_id)) is None:
            raise NotFound("KPI_NOT_FOUND", f"there is no KPI {measure.kpi_id}")
        return kpi
    asked = measure.form_item
    forms = [policy.form for policy in rules.policies if policy.policy_id == asked.form_id]
    items = [item for form in forms for section in form.sections for item in section.items]
    item = next((one for one in reversed(items) if one.item_id == asked.item_id), None)
    if item is None:
        raise NotFound("ITEM_NOT_FOUND", f"no version of form {asked.form_id} has an item {asked.item_id}")
    kpi = Kpi(display_name=item.display_name)
    kpi.MergeFrom(ITEM)
    return kpi


def _added_up(ask: Ask, kpi: Kpi, of_employee: Sequence[Counted], known_at: int) -> Measured:
    counted = [one for one in of_employee if ask.is_of(one.date)]
    numerator = combined(kpi, [one.numerator for one in counted])
    denominator = sum(one.denominator for one in counted)
    value = kpi_value(kpi, numerator, denominator) if counted else None
    return Measured(
        measure=ask.measure,
        start_date=ask.start_date,
        end_date=ask.end_date,
        numerator=numerator,
        denominator=denominator,
        value="" if value is None else format_value(kpi, value),
        fact_positions=sorted({one.log_position for one in counted}),
        disputed=any(one.disputed for one in counted),
        known_at=known_at,
        without=ask.without,
    )
