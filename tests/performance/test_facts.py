"""Facts of an employee's month."""

import time

import pytest
from hypothesis import strategies as st

from libs.common.errors import Invalid, NotAllowed, NotFound
from services.performance.facts import FACTS, Sifted, State, check_reading, facts_id, sift
from stepladder.performance.v1.events_pb2 import (
    FactCorrected,
    FactDisputed,
    FactDisputeSettled,
    FactRecorded,
    FactRetracted,
)
from stepladder.performance.v1.facts_pb2 import (
    DISPUTE_OUTCOME_OVERTURNED,
    DISPUTE_OUTCOME_UPHELD,
    CorrectFactRequest,
    DisputeFactRequest,
    DisputeOutcome,
    Fact,
    Reading,
    ReadingsOfDay,
    RecordFactsRequest,
    RetractFactRequest,
    SettleFactDisputeRequest,
)
from stepladder.performance.v1.kpi_pb2 import Kpi
from tests.deciding import TODAY, context, days, given, twice_is_once


def fact(day: str = "2026-03-02", source: str = "calls", **numerators: int) -> Fact:
    readings = [Reading(kpi_id=kpi, numerators=[number], denominators=[7]) for kpi, number in numerators.items()]
    return Fact(employee_id="e-1", date=day, source=source, readings=readings)


def record(*facts: Fact) -> RecordFactsRequest:
    return RecordFactsRequest(facts=facts)


def correct(corrected: Fact) -> CorrectFactRequest:
    return CorrectFactRequest(fact=corrected, reason="counted twice")


RECORDED = FactRecorded(fact=fact(aht=600, csat=9))


def test_id() -> None:
    """The aggregate is an employee's month."""
    assert facts_id("e-1", "2026-03-02") == facts_id("e-1", "2026-03") == "e-1_2026-03"


def test_record() -> None:
    """Facts are recorded one event each, and the same facts once."""
    first, second = fact(aht=600, csat=9), fact("2026-03-03", aht=500)
    recorded = given(FACTS).when(record(first, second))
    recorded.then(FactRecorded(fact=first), FactRecorded(fact=second)).when(record(second, first)).then()


def test_record_what_is_new() -> None:
    """Of a fact that is known in part, the new readings are recorded."""
    given(FACTS, RECORDED).when(record(fact(aht=600, busy=3))).then(FactRecorded(fact=fact(busy=3)))


def test_another_source_counts_for_itself() -> None:
    """The same KPI of the same day from another source is another reading."""
    other = fact(source="chats", aht=100)
    given(FACTS, RECORDED).when(record(other)).then(FactRecorded(fact=other))


def test_record_other_numbers() -> None:
    """A fact that contradicts what is recorded is left whole; others of the request are taken."""
    contradicting, fine = fact(aht=601, busy=3), fact("2026-03-03", aht=500)
    month = given(FACTS, RECORDED)
    month.when(record(contradicting, fine)).then(FactRecorded(fact=fine))
    sifted = sift(month.state, [contradicting, fine], TODAY)
    assert [(index, reason) for index, reason, _ in sifted.rejected] == [(0, "FACT_ALREADY_RECORDED")]
    assert "aht of 2026-03-02 from calls" in sifted.rejected[0][2]


@pytest.mark.parametrize("samples", [1, 100])
def test_every_sample_counts(samples: int) -> None:
    """Long readings are told apart by any of their samples."""
    numbers = list(range(samples))
    one = Fact(date="2026-03-02", source="calls", readings=[Reading(kpi_id="aht", numerators=numbers)])
    numbers[-1] += 1
    other = Fact(date="2026-03-02", source="calls", readings=[Reading(kpi_id="aht", numerators=numbers)])
    month = given(FACTS, FactRecorded(fact=one))
    assert sift(month.state, [one, other], TODAY).unchanged == 1
    assert len(sift(month.state, [one, other], TODAY).rejected) == 1


def test_the_same_day_and_source_twice_in_a_request() -> None:
    """Facts of a request are compared with those before them, as if they had been recorded already."""
    first, again, more, other = fact(aht=600), fact(aht=600), fact(aht=600, csat=9), fact(csat=8)
    sifted = sift(State(), [first, again, more, other, fact(csat=9)], TODAY)
    assert (sifted.new, sifted.unchanged) == ([first, fact(csat=9)], 2)
    assert [(index, reason) for index, reason, _ in sifted.rejected] == [(3, "FACT_ALREADY_RECORDED")]


def test_a_kpi_twice_in_a_fact() -> None:
    """The same numbers twice are one reading; different ones contradict each other."""
    twice = fact(aht=600)
    twice.readings.extend(fact(aht=600).readings)
    assert sift(State(), [twice], TODAY) == Sifted([fact(aht=600)], 0, [])
    twice.readings.extend(fact(aht=601).readings)
    assert [reason for _, reason, _ in sift(State(), [twice], TODAY).rejected] == ["FACT_ALREADY_RECORDED"]


def test_days_that_are_not_there_yet_or_never() -> None:
    """A fact of today is taken; of tomorrow, or of a day in no calendar, it is not."""
    sifted = sift(State(), [fact(day, aht=1) for day in ("2026-03-16", "2026-03-17", "2026-02-29")], TODAY)
    assert [one.date for one in sifted.new] == ["2026-03-16"]
    assert [(index, reason) for index, reason, _ in sifted.rejected] == [(1, "DATE_INVALID"), (2, "DATE_INVALID")]


def test_correct() -> None:
    """A correction holds the readings that differ, and what it says is recorded from then on."""
    month = given(FACTS, RECORDED).when(correct(fact(aht=300, csat=9)))
    corrected = month.then(FactCorrected(fact=fact(aht=300), employee_id="e-1", reason="counted twice"))
    corrected.when(correct(fact(aht=300))).then()
    corrected.when(record(fact(aht=300, csat=9))).then()
    assert len(sift(corrected.state, [fact(aht=600)], TODAY).rejected) == 1


@pytest.mark.parametrize(
    "unknown", [fact(busy=3), fact(aht=300, busy=3), fact("2026-03-03", aht=1), fact(source="x", aht=1)]
)
def test_correct_what_was_never_recorded(unknown: Fact) -> None:
    """Every reading named must have been recorded."""
    given(FACTS, RECORDED).when(correct(unknown)).refused(NotFound, "FACT_NOT_FOUND")


def test_correct_a_reading_twice() -> None:
    """A correction that names a KPI twice says nothing certain."""
    twice = fact(aht=300)
    twice.readings.extend(fact(aht=301).readings)
    given(FACTS, RECORDED).when(correct(twice)).refused(Invalid, "READING_INVALID")


def test_correct_on_no_day() -> None:
    """A day in no calendar is named as such."""
    given(FACTS, RECORDED).when(correct(fact("2026-02-29", aht=1))).refused(Invalid, "DATE_INVALID")


RATIO = Kpi(aggregation=Kpi.AGGREGATION_RATIO)
SUM, LOWEST = Kpi(aggregation=Kpi.AGGREGATION_SUM), Kpi(aggregation=Kpi.AGGREGATION_MINIMUM)


@pytest.mark.parametrize(
    ("kpi", "numerators", "denominators", "right"),
    [
        (RATIO, [600, 0], [3, 0], True),
        (RATIO, [-600], [3], True),
        (RATIO, [10**12], [10**12], True),
        (RATIO, [10**12 + 1], [1], False),
        (RATIO, [10**12, 1], [1, 1], False),
        (RATIO, [1, 1], [10**12, 1], False),
        (RATIO, [-(10**12) - 1], [1], False),
        (RATIO, [1], [10**12 + 1], False),
        (RATIO, [600], [], False),
        (RATIO, [600], [3, 3], False),
        (RATIO, [600], [-3], False),
        (RATIO, [600, 1], [3, 0], False),
        (SUM, [600, 5], [], True),
        (SUM, [600], [1], False),
        (LOWEST, [-600], [], True),
        (None, [600], [3], False),
    ],
)
def test_readings(kpi: Kpi | None, numerators: list[int], denominators: list[int], right: bool) -> None:
    """A reading fits its KPI: denominators for ratios only, none negative, and nothing out of nothing."""
    reading = Reading(kpi_id="aht", numerators=numerators, denominators=denominators)
    assert (check_reading(reading, kpi, "2026-01-05") == "") == right


@pytest.mark.parametrize(
    ("starts", "right"),
    [([], True), ([0, 1439], True), ([540, 540], True), ([540], False), ([540, 1440], False), ([-1, 540], False)],
)
def test_starts(starts: list[int], right: bool) -> None:
    """As many as numerators or none, each a minute of the day."""
    reading = Reading(kpi_id="calls", numerators=[3, 4], starts=starts)
    assert (check_reading(reading, SUM, "2026-01-05") == "") == right


def test_starts_are_part_of_a_reading() -> None:
    """The same again with the same starts is known; with others it is another reading, for a correction."""

    def begun(*starts: int) -> Fact:
        reading = Reading(kpi_id="calls", numerators=[3], starts=starts)
        return Fact(employee_id="e-1", date="2026-03-02", source="calls", readings=[reading])

    known = FactRecorded(fact=begun(540))
    given(FACTS, known).when(record(begun(540))).then()
    state = FACTS.evolve(FACTS.initial, known)
    for other in (begun(600), begun()):
        ((_, reason, _),) = sift(state, [other], TODAY).rejected
        assert reason == "FACT_ALREADY_RECORDED"
        corrected = FactCorrected(fact=other, employee_id="e-1", reason="wrong")
        given(FACTS, known).when(CorrectFactRequest(fact=other, reason="wrong")).then(corrected)


def test_a_retired_kpi() -> None:
    """Takes readings of the days before it was retired only."""
    kpi = Kpi(retired_date="2026-03-01", aggregation=Kpi.AGGREGATION_SUM)
    reading = Reading(kpi_id="aht", numerators=[1])
    assert check_reading(reading, kpi, "2026-02-28") == ""
    assert "retired" in check_reading(reading, kpi, "2026-03-01")


def named(*kpi_ids: str) -> ReadingsOfDay:
    return ReadingsOfDay(employee_id="e-1", date="2026-03-02", source="calls", kpi_ids=kpi_ids)


def retract(*kpi_ids: str) -> RetractFactRequest:
    return RetractFactRequest(readings=named(*kpi_ids), reason="wrong person")


def retracted(*kpi_ids: str) -> FactRetracted:
    return FactRetracted(readings=named(*kpi_ids), employee_id="e-1", reason="wrong person")


def dispute(*kpi_ids: str, reviewer_id: str = "u-1") -> DisputeFactRequest:
    return DisputeFactRequest(readings=named(*kpi_ids), reason="not mine", reviewer_id=reviewer_id)


def disputed(*kpi_ids: str, reviewer_id: str = "u-1") -> FactDisputed:
    return FactDisputed(readings=named(*kpi_ids), employee_id="e-1", reason="not mine", reviewer_id=reviewer_id)


def settle(*kpi_ids: str, outcome: "DisputeOutcome.ValueType", **corrected: int) -> SettleFactDisputeRequest:
    readings = [Reading(kpi_id=kpi, numerators=[number], denominators=[7]) for kpi, number in corrected.items()]
    return SettleFactDisputeRequest(readings=named(*kpi_ids), outcome=outcome, corrected=readings, reason="listened")


def settled(*kpi_ids: str, outcome: "DisputeOutcome.ValueType") -> FactDisputeSettled:
    return FactDisputeSettled(readings=named(*kpi_ids), employee_id="e-1", outcome=outcome, reason="listened")


def test_retract() -> None:
    """A reading is taken back once; the others stay; it can be recorded anew."""
    given(FACTS, RECORDED).when(retract("none")).refused(NotFound, "FACT_NOT_FOUND")
    after = given(FACTS, RECORDED).when(retract("aht")).then(retracted("aht"))
    after.when(retract("aht")).then()
    after.when(retract("aht", "csat")).then(retracted("csat"))
    after.when(correct(fact(aht=1))).refused(NotFound, "FACT_NOT_FOUND")
    after.when(record(fact(aht=5))).then(FactRecorded(fact=fact(aht=5)))


def test_dispute() -> None:
    """One dispute at a time about a reading, settled by the reviewer named and nobody else."""
    before = given(FACTS, RECORDED)
    before.when(dispute("none")).refused(NotFound, "FACT_NOT_FOUND")
    before.when(dispute("aht", reviewer_id="e-1")).refused(Invalid, "REVIEWER_INVALID")
    before.when(settle("aht", outcome=DISPUTE_OUTCOME_UPHELD)).refused(NotAllowed, "NOT_DISPUTED")
    after = before.when(dispute("aht")).then(disputed("aht"))
    after.when(dispute("aht")).then()
    after.when(dispute("aht", reviewer_id="u-2")).refused(NotAllowed, "ALREADY_DISPUTED")
    after.when(retract("aht")).refused(NotAllowed, "DISPUTED")
    after.when(settle("aht", "csat", outcome=DISPUTE_OUTCOME_UPHELD)).refused(NotAllowed, "NOT_DISPUTED")
    other = given(FACTS, RECORDED, disputed("aht", reviewer_id="u-2"))
    other.when(settle("aht", outcome=DISPUTE_OUTCOME_UPHELD)).refused(NotAllowed, "NOT_THE_REVIEWER")


def test_a_dispute_upheld() -> None:
    """What was recorded stands; it may be disputed again."""
    upheld = settle("aht", outcome=DISPUTE_OUTCOME_UPHELD)
    after = given(FACTS, RECORDED, disputed("aht")).when(upheld).then(settled("aht", outcome=DISPUTE_OUTCOME_UPHELD))
    after.when(upheld).then()
    after.when(dispute("aht", reviewer_id="u-2")).then(disputed("aht", reviewer_id="u-2"))


def test_a_dispute_overturned() -> None:
    """Readings are corrected where the reviewer says how, and taken back where not."""
    overturned = settle("aht", "csat", outcome=DISPUTE_OUTCOME_OVERTURNED, aht=5)
    after = given(FACTS, RECORDED, disputed("aht", "csat")).when(overturned)
    corrected = FactCorrected(fact=fact(aht=5), employee_id="e-1", reason="listened")
    taken_back = retracted("csat")
    taken_back.reason = "listened"
    state = after.then(settled("aht", "csat", outcome=DISPUTE_OUTCOME_OVERTURNED), corrected, taken_back)
    state.when(overturned).then()
    stray = settle("aht", outcome=DISPUTE_OUTCOME_OVERTURNED, csat=5)
    given(FACTS, RECORDED, disputed("aht")).when(stray).refused(Invalid, "READING_INVALID")


def test_states_are_never_changed_in_place() -> None:
    """Evolving leaves the state before as it was."""
    before = given(FACTS, RECORDED).state
    FACTS.evolve(before, FactCorrected(fact=fact(aht=1, busy=1)))
    assert before == given(FACTS, RECORDED).state


def test_a_month_is_cheap() -> None:
    """Recording a month of three sources, five readings a day, a day at a time: well under 100 us a fact anywhere."""
    names = dict.fromkeys(("aht", "csat", "busy", "volume", "calls"), 1)
    month = [record(fact(f"2026-01-{day:02}", source, **names)) for day in range(1, 32) for source in ("a", "b", "c")]
    state, start = FACTS.initial, time.process_time()
    for command in month:
        for event in FACTS.decide(state, command, context()):
            state = FACTS.evolve(state, event)
    assert (time.process_time() - start) / len(month) < 100e-6
    assert len(state.recorded) == len(month)


def test_twice_is_once() -> None:
    """Saying any command of a month twice changes nothing."""
    numbers = st.dictionaries(st.sampled_from(["aht", "csat"]), st.integers(0, 2), min_size=1)
    facts = st.builds(lambda day, source, n: fact(day, source, **n), days, st.sampled_from(["calls", "chats"]), numbers)
    commands = st.one_of(
        st.builds(lambda some: record(*some), st.lists(facts, min_size=1, max_size=4)),
        st.builds(correct, facts),
        st.builds(retract, st.sampled_from(["aht", "csat"])),
        st.builds(dispute, st.sampled_from(["aht", "csat"])),
        st.builds(
            lambda kpi_id, outcome: settle(kpi_id, outcome=outcome),
            st.sampled_from(["aht", "csat"]),
            st.sampled_from([DISPUTE_OUTCOME_UPHELD, DISPUTE_OUTCOME_OVERTURNED]),
        ),
    )
    # Not on the next day: a fact of tomorrow is left today and taken then.
    twice_is_once(FACTS, commands, days_between=(0,))
