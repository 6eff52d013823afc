"""A PIP as those who may know of it see it. Pure."""

from services.coaching.pip_state import PipState, results_now
from stepladder.coaching.v1.events_pb2 import (
    PipAcknowledged,
    PipAppealed,
    PipAppealHeard,
    PipApproved,
    PipClosed,
    PipDecided,
    PipDecisionFellDue,
    PipDelivered,
    PipDriftReviewed,
    PipHearerNamed,
    PipPreconditionOverridden,
    PipRefusalWitnessed,
    PipResultProposed,
    PipSentBack,
    PipWitnessNamed,
)
from stepladder.coaching.v1.pip_pb2 import Pip, PipDrift, PipRecordChange


def to_resource(pip: PipState, position: int, held: frozenset[str]) -> Pip:
    """A PIP as somebody may see it by what they are to it; a witness sees what there is to witness."""
    delivered, closed, decided = pip.last(PipDelivered), pip.last(PipClosed), pip.last(PipDecided)
    proposed, reviewed = pip.last(PipResultProposed), pip.last(PipDriftReviewed)
    seen = Pip(
        employee_id=pip.drafted.employee_id,
        pip_id=pip.drafted.pip_id,
        state=pip.stage,
        delivered_by=delivered.by,
        delivered_date=delivered.delivered_date,
        witness_id=pip.last(PipWitnessNamed).witness_id,
        refusal_note=pip.last(PipRefusalWitnessed).note,
    )
    if held == {"witness"}:
        return seen
    drift = PipDrift(
        drifts=pip.drifts,
        results=results_now(pip),
        reviewed=not pip.drift_to_review,
        reviewed_by=reviewed.by,
        note=reviewed.note,
        records=[PipRecordChange(record_id=one, log_position=position) for one, position in pip.changes.items()],
    )
    seen.MergeFrom(
        Pip(
            pauses=sorted(pip.pauses),
            content=pip.content,
            edition=pip.edition,
            rules_position=pip.drafted.rules_position,
            coaching_done=pip.coaching_done,
            drafted_by=pip.drafted.by,
            drafted_date=pip.drafted.drafted_date,
            sent_back_reason=pip.last(PipSentBack).reason,
            override_reason=pip.last(PipPreconditionOverridden).reason,
            approved_by=pip.last(PipApproved).by,
            delivery_note=delivered.note,
            acknowledged_by=pip.last(PipAcknowledged).by or pip.last(PipRefusalWitnessed).by,
            start_date=pip.start_date,
            schedule=pip.schedule if pip.schedule.ByteSize() else None,
            overdue=pip.overdue,
            checkpoints=pip.checkpoints,
            extended=pip.extended,
            responses=pip.responses,
            results=pip.last(PipDecisionFellDue).results,
            proposed_result=proposed.result,
            proposal_reason=proposed.reason,
            proposed_by=proposed.by,
            proposed_failed_conduct=proposed.failed_conduct,
            result=decided.result,
            action=decided.action,
            decision_reason=decided.reason,
            failed_conduct=decided.failed_conduct,
            decided_by=decided.by,
            decided_date=decided.decided_date,
            appeal_text=pip.last(PipAppealed).text,
            hearer_id=pip.last(PipHearerNamed).hearer_id,
            appeal_reason=pip.last(PipAppealHeard).reason,
            outcome=closed.outcome,
            outcome_reason=closed.reason,
            closed_date=closed.closed_date,
            drift=drift if pip.drifted else None,
        )
    )
    if held & {"lead", "drafter", "hr"}:
        seen.etag, seen.log_position = str(position), position
    return seen
