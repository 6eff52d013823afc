"""Measures of employees' work over days, out of the facts; each with the facts that it rests on."""

from libs.common.errors import NotFound
from libs.common.service import Service, Together
from libs.facts.adding import combined
from libs.facts.catalogue import Catalogue, Rules
from libs.facts.values import format_value, kpi_value
from libs.facts.violations import record_source
from services.coaching.facts import Facts
from stepladder.coaching.v1.measure_pb2 import FormItem, Measure, Measured
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
        """What is measured: a KPI, or a form's item as one. Raises NotFound `KPI_NOT_FOUND`, `ITEM_NOT_FOUND`."""
        return definition(await self.rules(known_at), measure)

    async def measure(
        self, employee_id: str, measure: Measure, start_date: str, end_date: str, known_at: int = 0
    ) -> Measured:
        """A measure of an employee over days, both inclusive, as it was known when the log ended at a position; 0: now.

        Raises as `definition`.
        """
        known_at = known_at or await self._together.catch_up()
        kpi = await self.definition(measure, known_at)
        answer = Measured(measure=measure, start_date=start_date, end_date=end_date, known_at=known_at)
        if measure.WhichOneof("what") == "form_item":
            await self._count_answers(answer, employee_id, measure.form_item)
        else:
            await self._add_up(answer, employee_id, kpi)
        value = kpi_value(kpi, answer.numerator, answer.denominator) if answer.fact_positions else None
        answer.value = "" if value is None else format_value(kpi, value)
        return answer

    async def _add_up(self, answer: Measured, employee_id: str, kpi: Kpi) -> None:
        readings = await self._facts.readings.readings_of(
            self._engine, [employee_id], [kpi.kpi_id], answer.start_date, answer.end_date, known_at=answer.known_at
        )
        answer.numerator = combined(kpi, [one.numerator for one in readings])
        answer.denominator = sum(one.denominator for one in readings)
        answer.fact_positions.extend(sorted({one.log_position for one in readings}))
        answer.disputed = any(one.disputed for one in readings)

    async def _count_answers(self, answer: Measured, employee_id: str, item: FormItem) -> None:
        answers = await self._facts.answers.answers_of(
            self._engine,
            employee_id,
            item.form_id,
            item.item_id,
            answer.start_date,
            answer.end_date,
            known_at=answer.known_at,
        )
        answer.numerator = sum(not one.missed for one in answers)
        answer.denominator = len(answers)
        answer.fact_positions.extend(sorted({one.position for one in answers}))
        answer.disputed = await self._facts.readings.any_disputed(
            self._engine, employee_id, [record_source(one.record_id) for one in answers], known_at=answer.known_at
        )


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
