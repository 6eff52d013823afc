"""Measures of an employee's work in the coaching service: out of the same facts, at any earlier position."""

import pytest

from libs.common.errors import NotFound
from libs.facts.catalogue import Catalogue
from services.coaching.facts import Facts
from services.coaching.measuring import Measuring
from stepladder.coaching.v1.measure_pb2 import FormItem, Measure, Measured
from stepladder.performance.v1.facts_pb2 import CorrectFactRequest, DisputeFactRequest, ReadingsOfDay
from stepladder.performance.v1.record_pb2 import DisputeRecordRequest
from tests.services.test_records import create, evaluation, form
from tests.services.world import World, fact
from tests.tokens import as_person


def measuring_of(world: World, kind: type[Measuring] = Measuring) -> Measuring:
    """As the service has it."""
    service = world.services["coaching"]
    followers = {follower.handler.name: follower for follower in service.followers}
    facts, catalogue = followers["facts"], followers["catalogue"]
    assert isinstance(facts.handler, Facts)
    assert isinstance(catalogue.handler, Catalogue)
    return kind(service, facts.handler, catalogue.handler, service.together(facts, catalogue))


async def test_a_kpi_over_days(both: World) -> None:
    """Readings of the days add up; a correction counts from its position on, a dispute shows."""
    measuring, measure = measuring_of(both), Measure(kpi_id=await both.kpi())
    team = await both.team()
    agent, reviewer = await both.employee(team), await both.employee(team)
    await both.record(
        *(fact(agent, f"2020-01-0{day}", measure.kpi_id, numerator) for day, numerator in ((6, 90), (7, 60), (8, 1)))
    )

    async def measured(known_at: int = 0) -> Measured:
        return await measuring.measure(agent, measure, "2020-01-06", "2020-01-07", known_at)

    first = await measured()
    assert (first.numerator, first.denominator, first.value, first.disputed) == (150, 200, "75.0", False)
    assert len(first.fact_positions) == 2
    assert first.known_at >= max(first.fact_positions)

    await both.facts.CorrectFact(
        CorrectFactRequest(fact=fact(agent, "2020-01-07", measure.kpi_id, 80), reason="counted again")
    )
    named = ReadingsOfDay(employee_id=agent, date="2020-01-06", source="calls", kpi_ids=[measure.kpi_id])
    await both.facts.DisputeFact(
        DisputeFactRequest(readings=named, reason="not mine", reviewer_id=reviewer),
        metadata=as_person(named.employee_id),
    )
    now = await measured()
    assert (now.value, now.disputed) == ("85.0", True)
    assert now.fact_positions[-1] > first.fact_positions[-1]
    assert await measured(first.known_at) == first


async def test_an_item_of_a_form(both: World) -> None:
    """Evaluations in which it was done, of those in which it applied; a disputed one shows."""
    team = await both.team()
    agent, reviewer, other = [await both.employee(team) for _ in range(3)]
    form_id = await form(both)
    first = evaluation(form_id, agent, reviewer, "2020-01-06")
    item_id = first.evaluation.answers[0].item_id
    missed = evaluation(form_id, agent, reviewer, "2020-01-07", **{item_id: 0})
    await create(both, first, missed, evaluation(form_id, agent, reviewer, "2020-01-08"))
    measure = Measure(form_item=FormItem(form_id=form_id, item_id=item_id))
    measuring = measuring_of(both)

    before = await measuring.measure(agent, measure, "2020-01-06", "2020-01-08")
    assert (before.numerator, before.denominator, before.value, before.disputed) == (2, 3, "66.7", False)

    await both.records.DisputeRecord(
        DisputeRecordRequest(record_id=missed.record_id, item_ids=[item_id], reason="it was done", reviewer_id=other),
        metadata=as_person(missed.employee_id),
    )
    assert (await measuring.measure(agent, measure, "2020-01-06", "2020-01-08")).disputed
    assert not (await measuring.measure(agent, measure, "2020-01-08", "2020-01-08")).disputed


async def test_nothing_recorded_and_nothing_to_measure(world: World) -> None:
    """Days without facts have no value; what is not defined cannot be measured."""
    measuring, kpi_id = measuring_of(world), await world.kpi()
    agent = await world.employee(await world.team())
    nothing = await measuring.measure(agent, Measure(kpi_id=kpi_id), "2020-01-06", "2020-01-07")
    assert (nothing.value, list(nothing.fact_positions)) == ("", [])
    with pytest.raises(NotFound, match="there is no KPI k-none"):
        await measuring.measure(agent, Measure(kpi_id="k-none"), "2020-01-06", "2020-01-07")
    item = Measure(form_item=FormItem(form_id=await form(world), item_id="none"))
    with pytest.raises(NotFound, match="has an item none"):
        await measuring.measure(agent, item, "2020-01-06", "2020-01-07")
