"""What an event says, in a sentence: of every event that a case file may show, in one place. Pure."""

import re
from collections.abc import Callable
from typing import TypeAlias

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message

from stepladder.coaching.v1.events_pb2 import (
    ActionFollowedUp,
    PipAcknowledged,
    PipAppealed,
    PipAppealHeard,
    PipApproved,
    PipCheckpointHeld,
    PipCheckpointMissed,
    PipCheckpointRescheduled,
    PipClosed,
    PipDecided,
    PipDecisionFellDue,
    PipDelivered,
    PipDrafted,
    PipDriftReviewed,
    PipEdited,
    PipEvidenceDrifted,
    PipFellOverdue,
    PipHearerNamed,
    PipPaused,
    PipPreconditionOverridden,
    PipRecordChanged,
    PipRefusalWitnessed,
    PipResponded,
    PipResultProposed,
    PipResumed,
    PipSentBack,
    PipStarted,
    PipSubmitted,
    PipWitnessNamed,
    PlanActivated,
    PlanAssessed,
    PlanClosed,
    PlanDiagnosed,
    PlanDriftReviewed,
    PlanEvidenceDrifted,
    PlanObserved,
    PlanPinsDrifted,
    PlanProposed,
    PlanViewGiven,
    ReassessmentFellDue,
    SessionAcknowledged,
    SessionCancelled,
    SessionHeld,
    SessionMissed,
    SessionRescheduled,
    SessionScheduled,
)
from stepladder.coaching.v1.pip_pb2 import Pip
from stepladder.coaching.v1.plan_pb2 import EvidenceDrift, Plan
from stepladder.coaching.v1.session_pb2 import Session
from stepladder.performance.v1.detection_pb2 import DetectionDrift
from stepladder.performance.v1.events_pb2 import (
    DetectionDrifted,
    DetectionPolicyCreated,
    FactCorrected,
    FactDisputed,
    FactDisputeSettled,
    FactRecorded,
    FactRetracted,
    KpiCreated,
    KpiUpdated,
    MonthClosed,
    MonthRated,
    MonthRevised,
    PolicySet,
    RatingDecided,
    RatingProposed,
    RecordAcknowledged,
    RecordCorrected,
    RecordCreated,
    RecordDisputed,
    RecordDisputeSettled,
    RecordRetracted,
    TargetSet,
    UnderperformanceDetected,
)
from stepladder.performance.v1.facts_pb2 import DisputeOutcome, Fact, Rating, ReadingsOfDay
from stepladder.performance.v1.record_pb2 import Evaluation, Outcome

Named: TypeAlias = Callable[[str], str]
"""An employee's id to how they are called."""


def sentence(event: Message, named: Named) -> str:
    """Raises LookupError for an event that no case file shows."""
    match event:
        case PlanProposed(employee_id=employee_id, lead_id=lead_id):
            to_whom = f"to {named(lead_id)}" if lead_id else "to nobody yet: the team had no lead"
            return f"A plan for {named(employee_id)} was proposed {to_whom}."
        case PlanAssessed(employee_view=view):
            return f"The situation was assessed{', and the employee’s own view noted' if view else ''}."
        case PlanViewGiven():
            return "The employee said how they see it."
        case PlanDiagnosed(cause=cause, further_causes=further):
            causes = [words(Plan.Cause.DESCRIPTOR, one) for one in (cause, *(one.cause for one in further))]
            return f"The cause was found to be {' and '.join(causes)}."
        case PlanActivated(goals=goals, resources=resources, supports=supports):
            given = len(resources) + len(supports)
            return f"The plan became active, with goals ({len(goals)}) and resources ({given})."
        case PlanObserved(observe_until=day):
            return f"Observation began, until {day}."
        case ReassessmentFellDue(suggested_outcome=Plan.OUTCOME_UNSPECIFIED):
            return "The observation was over: a decision fell due."
        case ReassessmentFellDue(suggested_outcome=outcome):
            suggested = words(Plan.Outcome.DESCRIPTOR, outcome)
            return f"The observation was over: a decision fell due; by the results: {suggested}."
        case PlanClosed(outcome=Plan.OUTCOME_CANCELLED):
            return "The plan was cancelled."
        case PlanClosed(outcome=outcome):
            return f"The plan was closed as {words(Plan.Outcome.DESCRIPTOR, outcome)}."
        case PlanEvidenceDrifted(drift=drift):
            return f"Facts under the plan have changed: {_drifted(drift)}."
        case PlanPinsDrifted(pins=pins):
            changed = ", ".join(_pinned(pin.pin) for pin in pins)
            return f"What the plan measured is {f'something else now: {changed}' if pins else 'as it was again'}."
        case PlanDriftReviewed():
            return "The drift was looked at."

        case PipDrafted():
            return "A PIP was drafted."
        case PipEdited():
            return "The PIP was changed."
        case PipSubmitted():
            return "The draft was given to HR."
        case PipSentBack():
            return "HR sent the draft back."
        case PipPreconditionOverridden():
            return "HR did without the coaching plan that the rules ask for."
        case PipApproved():
            return "HR approved the PIP."
        case PipDelivered(delivered_date=day):
            return f"The PIP was delivered on {day}."
        case PipAcknowledged():
            return "The employee acknowledged the PIP."
        case PipWitnessNamed(witness_id=witness_id):
            return f"{named(witness_id)} was named as a witness."
        case PipRefusalWitnessed():
            return "The witness saw that the employee would not acknowledge it."
        case PipStarted(schedule=schedule):
            return f"The period began, or went on, on {schedule.from_date}."
        case PipResponded():
            return "The employee responded in writing."
        case PipCheckpointHeld(number=number, held_date=day):
            return f"Review {number} was held on {day}."
        case PipCheckpointRescheduled(number=number, date=day):
            return f"Review {number} was put on {day}."
        case PipCheckpointMissed(number=number):
            return f"Review {number} was missed."
        case PipPaused(pause=pause, date=day):
            return f"The clock was stopped on {day}: {words(Pip.Pause.DESCRIPTOR, pause)}."
        case PipResumed(pause=pause, date=day):
            return f"What had stopped the clock ended on {day}: {words(Pip.Pause.DESCRIPTOR, pause)}."
        case PipFellOverdue():
            return "The time for the next step passed."
        case PipDecisionFellDue():
            return "The period ended: a decision fell due."
        case PipResultProposed(result=result):
            return f"The result {words(Pip.Result.DESCRIPTOR, result)} was proposed."
        case PipDecided(result=Pip.RESULT_NOT_PASSED, action=action):
            return f"HR decided: not passed, with the action {words(Pip.Action.DESCRIPTOR, action)}."
        case PipDecided(result=decided):
            return f"HR decided: {words(Pip.Result.DESCRIPTOR, decided)}."
        case PipAppealed():
            return "The employee appealed."
        case PipHearerNamed(hearer_id=hearer_id):
            return f"{named(hearer_id)} was named to hear the appeal."
        case PipAppealHeard(overturned=overturned):
            return f"The appeal was heard; the decision was {'overturned' if overturned else 'upheld'}."
        case PipClosed(outcome=ended):
            return f"The PIP was closed: {words(Pip.Outcome.DESCRIPTOR, ended)}."
        case PipEvidenceDrifted(drifts=drifts):
            return f"What the PIP measured is {'something else now' if drifts else 'as it was again'}."
        case PipRecordChanged():
            return "A record that the PIP names has changed."
        case PipDriftReviewed():
            return "What has changed was looked at."

        case SessionScheduled(kind=kind, lead_id=lead_id, date=day):
            return f"A session ({words(Session.Kind.DESCRIPTOR, kind)}) with {named(lead_id)} was put on {day}."
        case SessionRescheduled(date=day):
            return f"The session was put on another day, {day}."
        case SessionHeld(held_date=day, actions=actions):
            return f"The session was held on {day}; actions agreed: {len(actions)}."
        case SessionAcknowledged():
            return "The employee acknowledged what was noted of the session."
        case SessionMissed(absent=absent):
            return f"The session was missed by the {words(Session.Party.DESCRIPTOR, absent)}."
        case SessionCancelled():
            return "The session was cancelled."
        case ActionFollowedUp(number=number, done=done):
            return f"Agreed action {number} was followed up: {'done' if done else 'not done'}."

        case UnderperformanceDetected(detection=found):
            periods = f"{found.periods[0].start_date} to {found.periods[-1].end_date}" if found.periods else "no period"
            return f"{named(found.employee_id)} was found by policy {found.policy_id}, in {periods}."
        case DetectionDrifted(drift=changed):
            return f"It was judged again on changed facts: {_drifted(changed)}."

        case FactRecorded(fact=fact):
            return f"Readings of {fact.date} were recorded by the source {fact.source}: {_read(fact)}."
        case FactCorrected(fact=fact):
            return f"Readings of {fact.date} were corrected: {_read(fact)}."
        case FactRetracted(readings=readings):
            return f"Readings of {_of(readings)} were retracted."
        case FactDisputed(readings=readings, reviewer_id=reviewer_id):
            return f"Readings of {_of(readings)} were disputed, for {named(reviewer_id)} to settle."
        case FactDisputeSettled(readings=readings, outcome=settled):
            how = words(DisputeOutcome.DESCRIPTOR, settled)
            return f"The dispute about readings of {_of(readings)} was settled: {how}."
        case RecordCreated(record=record, outcome=outcome) if record.HasField("evaluation"):
            return f"On {record.date}, {_evaluated(record.evaluation, outcome, named)}."
        case RecordCorrected(record=record, outcome=outcome) if record.HasField("evaluation"):
            return f"It was corrected: on {record.date}, {_evaluated(record.evaluation, outcome, named)}."
        case RecordCreated(record=record):
            return f"A record of the kind {record.WhichOneof('content')} was made for {record.date}."
        case RecordCorrected(record=record):
            return f"The record of the kind {record.WhichOneof('content')} for {record.date} was corrected."
        case RecordRetracted():
            return "The record was retracted."
        case RecordAcknowledged():
            return "The employee acknowledged the record."
        case RecordDisputed(reviewer_id=reviewer_id):
            return f"The record was disputed, for {named(reviewer_id)} to settle."
        case RecordDisputeSettled(outcome=settled):
            return f"The dispute about the record was settled: {words(DisputeOutcome.DESCRIPTOR, settled)}."
        case MonthRated(month=month, rating=rating):
            return f"{month} was rated {words(Rating.DESCRIPTOR, rating)}."
        case MonthClosed(month=month, rating=rating):
            return f"The scorecard of {month} was closed, and rated {words(Rating.DESCRIPTOR, rating)}."
        case MonthRevised(month=month, rating=rating):
            return f"The scorecard of {month} was revised; the rating is {words(Rating.DESCRIPTOR, rating)}."
        case RatingProposed(month=month, proposed=rating):
            return f"For {month}, the rating {words(Rating.DESCRIPTOR, rating)} was proposed."
        case RatingDecided(month=month, approved=approved, rating=rating):
            answer = "approved" if approved else "rejected"
            return f"The proposal for {month} was {answer}; the rating is {words(Rating.DESCRIPTOR, rating)}."

        case PolicySet(policy=policy):
            return f"Policy {policy.policy_id} was set, in force from {policy.effective_date}."
        case DetectionPolicyCreated(policy=created):
            return f"Policy {created.policy_id} was set, in force from the beginning."
        case TargetSet(target=target):
            return f"A target of {target.kpi_id} was set, in force from {target.effective_date}."
        case KpiCreated(kpi=kpi):
            return f"KPI {kpi.kpi_id} was defined."
        case KpiUpdated(kpi=kpi):
            return f"The definition of KPI {kpi.kpi_id} was changed."
    raise LookupError(f"no sentence says what a {event.DESCRIPTOR.full_name} is")


def words(enum: EnumDescriptor, value: int) -> str:
    """A value of an enum without what all its names begin with, in small letters."""
    names = enum.values_by_number
    return names[value].name.removeprefix(names[0].name.removesuffix("UNSPECIFIED")).replace("_", " ").lower()


def _drifted(drift: EvidenceDrift | DetectionDrift) -> str:
    found = "it would still be found" if drift.stands else "it would not be found any more"
    return f"{found}{'; a dispute about some of them is open' if drift.disputed else ''}"


def _pinned(pin: str) -> str:
    """What a plan measured, by the name of its pin: such as `goals[0].baseline`."""
    goal = re.fullmatch(r"(goals|results)\[(\d+)\](?:\.baseline)?", pin)
    if goal is None:
        return "the assessment"
    return f"the {'baseline' if goal[1] == 'goals' else 'result'} of goal {int(goal[2]) + 1}"


def _read(fact: Fact) -> str:
    """What the readings of a fact add up to, in the units of the KPIs' definitions."""
    sums = [(one.kpi_id, sum(one.numerators), sum(one.denominators)) for one in fact.readings]
    return ", ".join(f"{kpi_id} {above:,}" + (f" of {below:,}" if below else "") for kpi_id, above, below in sums)


def _evaluated(given: Evaluation, outcome: Outcome, named: Named) -> str:
    missed = [
        f"{one.item_id}{' (fatal)' if one.item_id in outcome.fatal_item_ids else f' {one.achieved} %'}"
        for one in given.answers
        if one.achieved < 100 and not one.not_applicable
    ]
    fell_short = f"; fell short: {', '.join(missed)}" if missed else ""
    return f"{named(given.evaluator_id)} gave contact {given.contact_id} {outcome.score} %{fell_short}"


def _of(readings: ReadingsOfDay) -> str:
    return f"{readings.date} ({', '.join(readings.kpi_ids)})"
