"""Which plans and PIPs are looked at when a fact of a day changes."""

import pytest
from sqlalchemy import MetaData, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.database import writing
from libs.common.eventsourcing import Recorded
from services.coaching.pins import days_in
from services.coaching.plans import Plans
from stepladder.coaching.v1.events_pb2 import (
    PipDecisionFellDue,
    PipDrafted,
    PlanActivated,
    PlanAssessed,
    PlanProposed,
    ReassessmentFellDue,
)
from stepladder.coaching.v1.measure_pb2 import Measure, Measured
from stepladder.common.v1.envelope_pb2 import Envelope

FIRST, SECOND = "2026-01-01", "2026-02-01"


def measured(start: str, end: str) -> Measured:
    return Measured(measure=Measure(kpi_id="k"), start_date=start, end_date=end)


@pytest.fixture
async def plans(engine: AsyncEngine) -> Plans:
    model = Plans(metadata := MetaData())
    async with writing(engine) as transaction:
        await transaction.run_sync(metadata.create_all)
    return model


async def assess(engine: AsyncEngine, plans: Plans, *spans: tuple[str, str, str, str]) -> None:
    """Proposes and assesses plans, by employee, plan, first and last day."""
    events = [
        Recorded(position, f"log.coaching.plan.{plan}", event, Envelope())
        for number, (employee, plan, start, end) in enumerate(spans)
        for position, event in (
            (2 * number + 1, PlanProposed(plan_id=plan, employee_id=employee, lead_id="l", proposed_date=FIRST)),
            (2 * number + 2, PlanAssessed(plan_id=plan, measured=measured(start, end))),
        )
    ]
    async with writing(engine) as transaction:
        await plans.apply(transaction, events)


def test_days_are_found_wherever_an_event_keeps_them() -> None:
    """In a field, in a list, deep inside; what measures nothing has none."""
    one, two = measured(FIRST, FIRST), measured(FIRST, SECOND)
    both = {(FIRST, FIRST), (FIRST, SECOND)}
    activated, reassessed, due, drafted = PlanActivated(), ReassessmentFellDue(), PipDecisionFellDue(), PipDrafted()
    element = drafted.content.elements.add()
    for kept in (one, two, Measured(start_date="2026-03-01", end_date="2026-03-01")):
        activated.goals.add().measured_baseline.CopyFrom(kept)
        reassessed.results.add().measured.CopyFrom(kept)
        due.results.add().measured.CopyFrom(kept)
        element.evidence.add().measured.CopyFrom(kept)
    assert [days_in(event) for event in (activated, reassessed, due, drafted)] == [both] * 4
    assert days_in(PlanAssessed(plan_id="p")) == set()


async def test_only_what_keeps_something_of_the_days_is_found(engine: AsyncEngine, plans: Plans) -> None:
    """From the first to the last day, both inclusive; of these employees only."""
    before, after = ("e", "before", FIRST, "2026-01-31"), ("e", "after", "2026-02-03", "2026-02-28")
    within, around = ("e", "within", SECOND, SECOND), ("e", "around", FIRST, "2026-12-31")
    await assess(engine, plans, before, after, within, around, ("other", "other", SECOND, SECOND))
    find = plans.held_about
    assert await find(engine, ["e"], SECOND, SECOND) == ["around", "within"]
    assert await find(engine, ["e"], "2026-01-31", "2026-02-03") == ["after", "around", "before", "within"]
    assert await find(engine, ["other"], SECOND, SECOND) == ["other"]
    assert await find(engine, ["e"], "2027-01-01", "2027-01-01") == []


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_a_long_history_is_not_searched(engine: AsyncEngine, plans: Plans) -> None:
    """SQLite seeks the employee's plans, and of each the days up to the last one asked for."""
    theirs = plans.theirs(["e"])
    asked = plans.measured.query(theirs, FIRST, SECOND)
    statement = asked.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    async with engine.connect() as connection:
        steps = [row.detail for row in await connection.execute(text(f"EXPLAIN QUERY PLAN {statement}"))]
    assert any("plan_measured_days USING PRIMARY KEY (holder_id=? AND start_date<?" in step for step in steps), steps
    assert not any("SCAN plan_measured_days" in step or "SCAN plans" in step for step in steps), steps
