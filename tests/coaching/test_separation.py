"""Separation of duties, looked for in raw events: whatever is planted there is found, and nothing else."""

import itertools
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import pytest
from google.protobuf.message import Message

from libs.common.envelope import chain_start, payload_hash
from libs.common.streams import Stored
from services.coaching.separation import APART, Findings, Reading, checked, has_part
from stepladder.coaching.v1.events_pb2 import (
    PipAppealHeard,
    PipApproved,
    PipCheckpointHeld,
    PipDecided,
    PipDelivered,
    PipDrafted,
    PipEdited,
    PipHearerNamed,
    PipPaused,
    PipPreconditionOverridden,
    PipRefusalWitnessed,
    PipResultProposed,
    PipSentBack,
    PlanAssessed,
    PlanClosed,
    PlanProposed,
)
from stepladder.coaching.v1.separation_pb2 import SeparationAct, SeparationCase, SeparationReport, SeparationViolation
from stepladder.common.v1.envelope_pb2 import Envelope
from stepladder.performance.v1.events_pb2 import (
    FactDisputed,
    FactDisputeSettled,
    FactRecorded,
    MonthClosed,
    RatingDecided,
    RatingProposed,
    RecordCreated,
    RecordDisputed,
    RecordDisputeSettled,
)
from stepladder.performance.v1.facts_pb2 import ReadingsOfDay
from stepladder.performance.v1.record_pb2 import Evaluation, Record

ANNA, BEN, EMPLOYEE = "user:anna", "user:ben", "user:e-1"
SUBJECTS = {
    PlanProposed: "log.coaching.plan.p-1",
    MonthClosed: "log.performance.rating.e-1_2026-01",
    RecordCreated: "log.performance.record.r-1",
    FactRecorded: "log.performance.facts.e-1_2026-01",
    FactDisputed: "log.performance.facts.e-1_2026-01",
    PipDrafted: "restricted.coaching.pip.pip-x",
}
Said = tuple[Message, str]


def proposed(by: str, named: str = "") -> Said:
    return RatingProposed(employee_id="e-1", proposed_by=named or by), by


def decided(by: str) -> Said:
    return RatingDecided(employee_id="e-1", decided_by=by), by


def evaluated(evaluator_id: str, by: str = "system:import") -> Said:
    return RecordCreated(record=Record(employee_id="e-1", evaluation=Evaluation(evaluator_id=evaluator_id))), by


def settled(by: str) -> Said:
    return RecordDisputeSettled(employee_id="e-1"), by


def pip(kind: type[Message], by: str, pip_id: str = "pip-1") -> Said:
    return kind(pip_id=pip_id, employee_id="e-1", by=by), by


CARL, LEAD = "user:carl", "user:lead"
DRAFTED = [pip(PipDrafted, LEAD), pip(PipApproved, ANNA), pip(PipDelivered, LEAD)]
DECIDED = [*DRAFTED, pip(PipResultProposed, LEAD), pip(PipDecided, BEN)]
CLOSED = (MonthClosed(employee_id="e-1"), "policy:judging")
PROPOSED = (PlanProposed(employee_id="e-1"), "policy:propose-plans")


def stored(*said: Said) -> list[Stored]:
    """An aggregate's events, at positions from 1."""
    subject = SUBJECTS[type(said[0][0])]
    last, found = chain_start(subject), list[Stored]()
    for position, (event, actor) in enumerate(said, 1):
        envelope = Envelope(
            type=event.DESCRIPTOR.full_name, actor=actor, previous_hash=last, event=event.SerializeToString()
        )
        payload = envelope.SerializeToString(deterministic=True)
        found.append(Stored(position, subject, payload, f"c.{position}"))
        last = payload_hash(payload)
    return found


def told(*said: Said, after: int = 0) -> tuple[list[SeparationCase], list[tuple[str, list[int]]]]:
    cases, violations = checked(stored(*said), after)
    return cases, [(SeparationViolation.Kind.Name(one.kind)[5:], list(one.positions)) for one in violations]


@pytest.mark.parametrize(
    ("said", "violations"),
    [
        ([CLOSED, proposed(ANNA), decided(BEN)], []),
        ([CLOSED, proposed(ANNA), decided(ANNA)], [("SAME_PERSON", [2, 3])]),
        ([CLOSED, proposed(ANNA), decided("policy:judging")], [("NO_PERSON", [3])]),
        ([CLOSED, proposed("system:clock"), decided(BEN)], [("NO_PERSON", [2])]),
        ([CLOSED, proposed("user:anonymous"), decided(BEN)], [("NO_PERSON", [2])]),
        ([CLOSED, proposed(ANNA), decided(EMPLOYEE)], [("OWN_CASE", [3])]),
        ([CLOSED, proposed(ANNA, named=BEN), decided(BEN)], [("NAMES_ANOTHER", [2])]),
        ([CLOSED, proposed(ANNA), decided(BEN), proposed(BEN), decided(ANNA)], []),
        ([CLOSED, proposed(ANNA), decided(BEN), proposed(BEN), decided(BEN)], [("SAME_PERSON", [4, 5])]),
        ([PROPOSED, (PlanClosed(employee_id="e-1"), ANNA)], []),
        ([PROPOSED, (PlanClosed(employee_id="e-1"), "policy:reassessment")], [("NO_PERSON", [2])]),
        ([PROPOSED, (PlanClosed(employee_id="e-1"), EMPLOYEE)], [("OWN_CASE", [2])]),
        ([(PlanProposed(employee_id="e-1"), ANNA), (PlanClosed(employee_id="e-1"), ANNA)], []),
        ([evaluated("anna"), (RecordDisputed(), EMPLOYEE), settled(BEN)], []),
        ([evaluated("anna"), (RecordDisputed(), EMPLOYEE), settled(ANNA)], [("SAME_PERSON", [1, 3])]),
        ([evaluated("anna", BEN), (RecordDisputed(), EMPLOYEE), settled(BEN)], []),
        ([evaluated("anna"), (RecordDisputed(), EMPLOYEE), settled("policy:settling")], [("NO_PERSON", [3])]),
        ([evaluated("anna"), (RecordDisputed(), EMPLOYEE), settled(EMPLOYEE)], [("OWN_CASE", [3])]),
        (
            [
                (FactDisputed(readings=ReadingsOfDay(employee_id="e-1")), EMPLOYEE),
                (FactDisputeSettled(employee_id="e-1"), EMPLOYEE),
            ],
            [("OWN_CASE", [2])],
        ),
        ([*DECIDED, pip(PipAppealHeard, CARL)], []),
        ([pip(PipDrafted, LEAD), pip(PipApproved, LEAD)], [("SAME_PERSON", [1, 2])]),
        ([pip(PipDrafted, LEAD), pip(PipEdited, ANNA), pip(PipApproved, ANNA)], [("SAME_PERSON", [2, 3])]),
        ([*DRAFTED, pip(PipResultProposed, CARL), pip(PipDecided, CARL)], [("SAME_PERSON", [4, 5])]),
        ([*DRAFTED, pip(PipResultProposed, CARL), pip(PipDecided, LEAD)], [("SAME_PERSON", [1, 5])]),
        ([*DRAFTED, pip(PipResultProposed, LEAD), pip(PipDecided, ANNA)], [("SAME_PERSON", [2, 5])]),
        ([*DECIDED, pip(PipAppealHeard, BEN)], [("SAME_PERSON", [5, 6])]),
        ([*DECIDED, pip(PipAppealHeard, ANNA)], [("SAME_PERSON", [2, 6])]),
        (
            [*DECIDED, pip(PipAppealHeard, LEAD)],
            [("SAME_PERSON", [place, 6]) for place in (1, 3, 4)],
        ),
        *[
            ([*DECIDED, pip(kind, CARL), pip(PipAppealHeard, CARL)], [("SAME_PERSON", [6, 7])])
            for kind in (PipPreconditionOverridden, PipSentBack, PipCheckpointHeld, PipRefusalWitnessed, PipHearerNamed)
        ],
        ([*DECIDED, pip(PipPaused, "policy:follow-leaves"), pip(PipAppealHeard, CARL)], []),
        ([pip(PipDrafted, LEAD), pip(PipPreconditionOverridden, LEAD)], [("SAME_PERSON", [1, 2])]),
        ([pip(PipDrafted, LEAD), pip(PipPreconditionOverridden, EMPLOYEE)], [("OWN_CASE", [2])]),
        ([*DRAFTED, pip(PipRefusalWitnessed, EMPLOYEE)], [("OWN_CASE", [4])]),
        ([*DRAFTED, pip(PipResultProposed, LEAD), pip(PipDecided, "policy:pip-clock")], [("NO_PERSON", [5])]),
        ([pip(PipDrafted, LEAD), pip(PipApproved, EMPLOYEE)], [("OWN_CASE", [2])]),
        ([*DRAFTED, pip(PipDrafted, ANNA, "pip-2"), pip(PipApproved, BEN, "pip-2")], []),
    ],
)
def test_what_is_wrong_is_found_and_nothing_else(said: Sequence[Said], violations: list[tuple[str, list[int]]]) -> None:
    """By the actors of raw events alone."""
    cases, found = told(*said)
    assert found == violations
    assert any(case.violated for case in cases) == bool({kind for kind, _ in violations} - {"NAMES_ANOTHER"})


def test_whoever_does_two_of_what_must_be_apart_is_found_in_any_order() -> None:
    """Every way in which three people can share a proposal and its decision."""
    for proposer, decider in itertools.product([ANNA, BEN, "user:carl"], repeat=2):
        for said in ([proposed(proposer), decided(decider)], [decided(decider), proposed(proposer)]):
            _, found = told(CLOSED, *said)
            alone = said[0][0].DESCRIPTOR.name == "RatingDecided"  # a proposal begins another decision
            assert bool(found) == (proposer == decider and not alone)


def test_a_case_names_everybody_with_a_part_in_it() -> None:
    """Steps without a part are not told; what was decided before the days is not asked about."""
    cases, _ = told(PROPOSED, (PlanAssessed(employee_id="e-1"), BEN), (PlanClosed(employee_id="e-1"), ANNA))
    (case,) = cases
    assert [(SeparationAct.Role.Name(act.role), act.actor, act.position, act.event) for act in case.acts] == [
        ("ROLE_PLAN_PROPOSER", "policy:propose-plans", 1, "PlanProposed"),
        ("ROLE_PLAN_CLOSER", ANNA, 3, "PlanClosed"),
    ]
    assert (case.subject, case.employee_id) == ("log.coaching.plan.p-1", "e-1")
    rounds = [CLOSED, proposed(ANNA), decided(ANNA), proposed(ANNA), decided(BEN)]
    assert len(told(*rounds)[0]) == 2
    assert told(*rounds, after=3) == (told(*rounds)[0][1:], [])
    assert told(*rounds, after=2)[1] == [("SAME_PERSON", [2, 3])]


def test_a_history_that_was_changed_is_found() -> None:
    """Who decided is only known from a log whose hashes fit."""
    whole = stored(CLOSED, proposed(ANNA), decided(BEN))
    forged = Envelope.FromString(whole[1].payload)
    forged.actor = BEN
    _, found = checked([whole[0], replace(whole[1], payload=forged.SerializeToString()), whole[2]], 0)
    assert SeparationViolation.KIND_BROKEN_CHAIN in {one.kind for one in found}
    _, found = checked([whole[0], whole[2]], 0)
    assert [one.kind for one in found] == [SeparationViolation.KIND_BROKEN_CHAIN]


def test_a_digest_is_of_every_event_and_their_order() -> None:
    """The same events have the same; one more, one less, one changed or another order, another."""
    whole = stored(CLOSED, proposed(ANNA), decided(BEN))

    def digest(entries: Sequence[Stored]) -> str:
        reading = Reading()
        for entry in entries:
            reading.add(entry)
        return reading.digest

    others = [whole[:2], whole[1:], [whole[1], whole[0], whole[2]], stored(CLOSED, proposed(ANNA), decided(ANNA)), []]
    assert digest(whole) == digest(list(whole))
    assert len({digest(one) for one in (whole, *others)}) == 6


def test_a_long_log_is_read_in_little_room() -> None:
    """Of facts nothing is kept but the digest, however many there are; of each decision where it lies."""
    recorded = stored((FactRecorded(), "system:import"))[0]
    whole = stored(CLOSED, proposed(ANNA), decided(BEN))
    reading = Reading()
    tracemalloc.start()
    for position in range(20_000):
        reading.add(replace(recorded, position=position, subject=f"log.performance.facts.e-{position}_2026-01"))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 50_000
    for entry in whole:
        reading.add(replace(entry, position=entry.position + 20_000))
    assert (reading.events, reading.decided) == (20_003, {whole[0].subject: 20_003})


def test_what_is_wrong_is_told_before_what_is_right() -> None:
    """As many as there is room for; all are counted."""
    findings, report = Findings(most=3), SeparationReport()
    for said in ([CLOSED, proposed(ANNA), decided(BEN)], [CLOSED, proposed(ANNA), decided(ANNA)]) * 4:
        findings.add(*checked(stored(*said), 0))
    findings.tell(report)
    assert [case.violated for case in report.cases] == [True] * 3
    assert (report.cases_found, len(report.violations), report.violations_found) == (8, 3, 4)


def test_evaluations_alone_are_no_decisions() -> None:
    """Of the many that nobody disputes, nobody need read the history."""
    assert not has_part(stored(evaluated("anna"))[0].payload)
    assert has_part(stored(PROPOSED)[0].payload)


def test_roles_apart_are_of_the_same_decisions() -> None:
    """Each set names roles that can meet: none is of a plan, which one person may propose and close."""
    assert all(len(roles) > 1 and SeparationAct.ROLE_PLAN_CLOSER not in roles for roles in APART)
