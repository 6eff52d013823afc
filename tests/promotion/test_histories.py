"""What is known of employees, out of the events of all services: as of now, and as it was known before."""

from collections.abc import Sequence
from datetime import date

import pytest
from google.protobuf.message import Message
from sqlalchemy import MetaData, select
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.eventsourcing import Recorded
from services.promotion.histories import Histories, Months
from services.promotion.history import Attended, During, History, Rated, Waiver, Worked, month_of
from services.promotion.ladder import Held
from stepladder.coaching.v1.events_pb2 import EmployeeStandingChanged, MasteryWithdrawn, TaskMastered
from stepladder.common.v1.envelope_pb2 import Envelope
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_CONFIRMED,
    EMPLOYMENT_STATUS_LEFT,
    EMPLOYMENT_STATUS_ON_LEAVE,
    EMPLOYMENT_STATUS_PROBATION,
)
from stepladder.performance.v1.events_pb2 import (
    EmployeeHired,
    EmploymentStatusChanged,
    FactCorrected,
    FactDisputed,
    FactRecorded,
    KpiCreated,
    MonthClosed,
    MonthRated,
    MonthRevised,
    PositionChanged,
    RatingDecided,
    RatingProposed,
    RecordCorrected,
    RecordCreated,
    RecordDisputed,
    RecordDisputeSettled,
    RecordRetracted,
)
from stepladder.performance.v1.facts_pb2 import (
    RATING_EXCELLENT,
    RATING_GOOD,
    RATING_QUALIFIED,
    Fact,
    Reading,
    ReadingsOfDay,
)
from stepladder.performance.v1.kpi_pb2 import Kpi
from stepladder.performance.v1.record_pb2 import Record, Training
from stepladder.performance.v1.scorecard_pb2 import Scorecard
from stepladder.promotion.v1.events_pb2 import CriterionWaived, WaiverWithdrawn

NOTHING = Months([], 0, 0)
HIRED = EmployeeHired(
    employee_id="e-1",
    hire_date="2025-01-01",
    position="agent",
    position_since="2025-01-01",
    stars=2,
    status=EMPLOYMENT_STATUS_PROBATION,
)


class Known:
    """A read model that is told events, each at the next position."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.model = Histories(MetaData())
        self.position = 0

    async def tell(self, *events: Message) -> int:
        """All in one batch; answers the position of the last."""
        recorded: Sequence[Recorded] = [
            Recorded(self.position + number, "log.x", event, Envelope()) for number, event in enumerate(events, start=1)
        ]
        self.position += len(events)
        async with self.engine.begin() as rows:
            await self.model.apply(rows, recorded)
        return self.position

    async def history(self, known_at: int = 0, months: Months = NOTHING) -> History:
        found = await self.model.of(self.engine, ["e-1", "e-none"], months, known_at=known_at, with_facts=True)
        return found["e-1"]


@pytest.fixture
async def known(engine: AsyncEngine) -> Known:
    """With somebody who was hired."""
    told = Known(engine)
    metadata = MetaData()
    Histories(metadata)
    async with engine.begin() as rows:
        await rows.run_sync(metadata.create_all)
    await told.tell(HIRED)
    return told


def day(text: str) -> date:
    return date.fromisoformat(text)


async def test_positions_and_statuses_by_day(known: Known) -> None:
    """In order of their days; another for the same day takes its place; nothing planned follows the end."""
    change = PositionChanged(employee_id="e-1", position="lead", acting=True, effective_date="2025-06-01")
    first = await known.tell(change)
    await known.tell(PositionChanged(employee_id="e-1", position="senior", stars=1, effective_date="2025-06-01"))
    await known.tell(PositionChanged(employee_id="e-1", position="agent", stars=3, effective_date="2025-03-01"))
    assert (await known.history()).positions == [
        Held(day("2025-01-01"), "agent", 2, False, 1),
        Held(day("2025-03-01"), "agent", 3, False, 4),
        Held(day("2025-06-01"), "senior", 1, False, 3),
    ]
    assert (await known.history(first)).positions[1:] == [Held(day("2025-06-01"), "lead", 0, True, 2)]
    changed = EmploymentStatusChanged
    await known.tell(
        changed(employee_id="e-1", status=EMPLOYMENT_STATUS_CONFIRMED, effective_date="2025-04-01"),
        changed(employee_id="e-1", status=EMPLOYMENT_STATUS_ON_LEAVE, effective_date="2025-09-01"),
        changed(employee_id="e-1", status=EMPLOYMENT_STATUS_LEFT, effective_date="2025-08-01"),
    )
    assert [(one.day, one.status) for one in (await known.history()).statuses] == [
        (day("2025-01-01"), EMPLOYMENT_STATUS_PROBATION),
        (day("2025-04-01"), EMPLOYMENT_STATUS_CONFIRMED),
        (day("2025-08-01"), EMPLOYMENT_STATUS_LEFT),
    ]


async def test_months_as_closed_revised_and_decided(known: Known) -> None:
    """With their totals; while another rating is proposed it is disputed; what was known before stays known."""
    months = {}
    for name, event in (
        ("closed", MonthClosed(month="2025-05", rating=RATING_GOOD, scorecard=Scorecard(total="84.2"))),
        ("revised", MonthRevised(month="2025-05", rating=RATING_QUALIFIED, after=Scorecard(total="79.9"))),
        ("proposed", RatingProposed(month="2025-05", proposed=RATING_EXCELLENT)),
        ("again", MonthRevised(month="2025-05", rating=RATING_QUALIFIED, after=Scorecard(total="79.8"))),
        ("decided", RatingDecided(month="2025-05", rating=RATING_EXCELLENT, approved=True)),
        ("rated", MonthRated(month="2025-06", rating=RATING_GOOD)),
    ):
        event.employee_id = "e-1"
        months[name] = await known.tell(event)
    may = month_of(day("2025-05-01"))
    for name, rating, total, disputed in (
        ("closed", RATING_GOOD, "84.2", False),
        ("revised", RATING_QUALIFIED, "79.9", False),
        ("proposed", RATING_QUALIFIED, "79.9", True),
        ("again", RATING_QUALIFIED, "79.8", True),
        ("decided", RATING_EXCELLENT, "79.8", False),
    ):
        history = await known.history(months[name])
        assert history.ratings == {may: Rated(rating, total, disputed, months[name])}
    assert (await known.history()).ratings[may + 1] == Rated(RATING_GOOD, "", False, months["rated"])


async def test_courses_as_recorded_corrected_disputed_and_retracted(known: Known) -> None:
    """Only those that were attended; other records are none of them."""

    def course(*, attended: bool = True, passed: bool = True) -> Record:
        exam = Training.Exam(score="80", passed=passed)
        training = Training(course_id="talk", attended=attended, exam=exam)
        return Record(record_id="r-1", employee_id="e-1", date="2025-02-03", training=training)

    created = await known.tell(RecordCreated(employee_id="e-1", record=course()))
    disputed = await known.tell(RecordDisputed(employee_id="e-1", record_id="r-1"))
    corrected = await known.tell(RecordCorrected(employee_id="e-1", record=course(passed=False)))
    settled = await known.tell(RecordDisputeSettled(employee_id="e-1", record_id="r-1"))
    missed = await known.tell(RecordCorrected(employee_id="e-1", record=course(attended=False)))
    await known.tell(RecordCorrected(employee_id="e-1", record=course()))
    await known.tell(RecordRetracted(employee_id="e-1", record_id="r-1"))
    for position, passed, contested in (
        (created, True, False),
        (disputed, True, True),
        (corrected, False, True),
        (settled, False, False),
    ):
        (found,) = (await known.history(position)).courses
        assert found == Attended("talk", day("2025-02-03"), passed, contested, position)
    assert [(await known.history(at)).courses for at in (missed, 0)] == [[], []]


async def test_mastery_ends_with_its_withdrawal_and_begins_anew(known: Known) -> None:
    """Each time of its own; other tasks go on."""
    first = await known.tell(TaskMastered(employee_id="e-1", task_id="talk", mastered_date="2025-02-01"))
    other = await known.tell(TaskMastered(employee_id="e-1", task_id="roster", mastered_date="2025-02-02"))
    ended = await known.tell(MasteryWithdrawn(employee_id="e-1", task_id="talk", withdrawn_date="2025-03-01"))
    again = await known.tell(TaskMastered(employee_id="e-1", task_id="talk", mastered_date="2025-04-01"))
    assert (await known.history()).mastered == [
        During("talk", day("2025-02-01"), day("2025-03-01"), ended),
        During("roster", day("2025-02-02"), None, other),
        During("talk", day("2025-04-01"), None, again),
    ]
    assert (await known.history(first)).mastered == [During("talk", day("2025-02-01"), None, first)]


async def test_pips_begin_end_and_count_as_not_having_been(known: Known) -> None:
    """One that is void leaves what was before it."""
    standing = EmployeeStandingChanged
    begun = await known.tell(standing(employee_id="e-1", under_pip=True, since_date="2025-02-01"))
    assert (await known.history()).pips == [During("", day("2025-02-01"), None, begun)]
    ended = await known.tell(standing(employee_id="e-1", since_date="2025-02-01", ended_date="2025-04-01"))
    over = [During("", day("2025-02-01"), day("2025-04-01"), ended)]
    assert (await known.history()).pips == over
    second = await known.tell(standing(employee_id="e-1", under_pip=True, since_date="2025-06-01"))
    assert (await known.history()).pips == [*over, During("", day("2025-06-01"), None, second)]
    await known.tell(standing(employee_id="e-1", since_date="2025-02-01", ended_date="2025-04-01"))
    assert (await known.history()).pips == over
    assert len((await known.history(second)).pips) == 2


async def test_the_only_pip_that_is_void_leaves_none(known: Known) -> None:
    """As if there never had been one."""
    await known.tell(EmployeeStandingChanged(employee_id="e-1", under_pip=True, since_date="2025-02-01"))
    await known.tell(EmployeeStandingChanged(employee_id="e-1"))
    assert (await known.history()).pips == []


async def test_a_waiver_lasts_to_its_last_day_or_to_its_withdrawal(known: Known) -> None:
    """Which is the first day without it."""
    names = {"employee_id": "e-1", "ladder_id": "l", "rung_id": "r", "criterion_id": "tenure"}
    waived = await known.tell(CriterionWaived(**names, waived_date="2025-02-01", until_date="2025-12-31"))
    whole = Waiver("l", "r", "tenure", day("2025-02-01"), day("2025-12-31"), waived)
    assert (await known.history()).waivers == [whole]
    withdrawn = await known.tell(WaiverWithdrawn(**names, withdrawn_date="2025-03-01"))
    ended = Waiver("l", "r", "tenure", day("2025-02-01"), day("2025-02-28"), withdrawn)
    assert (await known.history()).waivers == [ended]
    assert (await known.history(waived)).waivers == [whole]


async def test_a_later_waiver_leaves_the_one_before_as_it_was(known: Known) -> None:
    """Whoever asks about a day of the first one is told of it still."""
    waived = CriterionWaived(employee_id="e-1", ladder_id="l", rung_id="r", criterion_id="c")
    waived.waived_date, waived.until_date = "2026-01-01", "2026-01-31"
    await known.tell(waived)
    waived.waived_date, waived.until_date = "2026-03-01", "2026-03-31"
    await known.tell(waived)
    withdrawn = WaiverWithdrawn(employee_id="e-1", ladder_id="l", rung_id="r", criterion_id="c")
    withdrawn.withdrawn_date = "2026-03-11"
    await known.tell(withdrawn)
    found = [(one.day, one.until) for one in (await known.history()).waivers]
    assert found == [(day("2026-01-01"), day("2026-01-31")), (day("2026-03-01"), day("2026-03-10"))]


async def test_kpis_add_up_by_month_with_what_they_rest_on(known: Known) -> None:
    """Of the months asked for; what is disputed is said; a correction is known from its position on."""
    kpi = Kpi(kpi_id="k", aggregation=Kpi.AGGREGATION_RATIO, scale_numerator=1, scale_denominator=1)

    def fact(on: str, numerator: int) -> Fact:
        reading = Reading(kpi_id="k", numerators=[numerator, 1], denominators=[10, 10])
        return Fact(employee_id="e-1", date=on, source="s", readings=[reading])

    await known.tell(KpiCreated(kpi=kpi))
    facts = [await known.tell(FactRecorded(fact=fact(on, 5))) for on in ("2025-01-31", "2025-02-01", "2025-02-28")]
    await known.tell(FactRecorded(fact=fact("2025-03-01", 5)))
    months = Months(["k"], month_of(day("2025-01-01")), month_of(day("2025-02-01")))
    january, february = ("k", months.first), ("k", months.last)
    before = (await known.history(0, months)).worked
    assert before == {january: Worked(6, 20, 1, (facts[0],)), february: Worked(12, 40, 2, tuple(facts[1:]))}
    corrected = await known.tell(FactCorrected(fact=fact("2025-02-28", 9)))
    named = ReadingsOfDay(employee_id="e-1", date="2025-01-31", source="s", kpi_ids=["k"])
    await known.tell(FactDisputed(readings=named))
    now = (await known.history(0, months)).worked
    assert now == {
        january: Worked(6, 20, 1, (facts[0],), True),
        february: Worked(16, 40, 2, (facts[1], corrected)),
    }
    assert (await known.history(corrected - 1, months)).worked == before


async def test_one_batch_makes_the_same_rows_as_each_event_alone(engine: AsyncEngine) -> None:
    """Also where events of a batch take each other's place."""
    events: Sequence[Message] = [
        HIRED,
        PositionChanged(employee_id="e-1", position="lead", effective_date="2025-06-01"),
        PositionChanged(employee_id="e-1", position="senior", effective_date="2025-06-01"),
        MonthClosed(employee_id="e-1", month="2025-05", rating=RATING_GOOD, scorecard=Scorecard(total="84.2")),
        RatingProposed(employee_id="e-1", month="2025-05", proposed=RATING_EXCELLENT),
        RatingDecided(employee_id="e-1", month="2025-05", rating=RATING_EXCELLENT, approved=True),
        TaskMastered(employee_id="e-1", task_id="talk", mastered_date="2025-02-01"),
        MasteryWithdrawn(employee_id="e-1", task_id="talk", withdrawn_date="2025-03-01"),
        EmployeeStandingChanged(employee_id="e-1", under_pip=True, since_date="2025-02-01"),
        EmployeeStandingChanged(employee_id="e-1"),
    ]
    found = []
    for size in (1, 3, len(events)):
        metadata = MetaData()
        Histories(metadata)
        async with engine.begin() as rows:
            await rows.run_sync(metadata.drop_all)
            await rows.run_sync(metadata.create_all)
        told = Known(engine)
        for start in range(0, len(events), size):
            await told.tell(*events[start : start + size])
        async with engine.connect() as connection:
            found.append(sorted(map(tuple, await connection.execute(select(told.model.histories)))))
    assert len(found[0]) == 10
    assert found[0] == found[1] == found[2]
