"""An employee's performance improvement plans, from draft to an outcome that people decide. Restricted."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import ONE_DAY, parse_day
from libs.common.errors import AlreadyExists, FieldViolation, Invalid, NotAllowed, NotFound
from libs.common.eventsourcing import Aggregate, Context, opaque_id
from libs.facts.reads import reads_of
from services.coaching.pins import drifts_of, is_told, known_at
from services.coaching.pip_content import (
    content_of,
    given,
    is_other_standard,
    put_texts,
    review_violations,
    violations,
)
from services.coaching.pip_rights import Request, apart, refuse_unless_may
from services.coaching.pip_schedule import (
    Days,
    business_days_between,
    business_days_of,
    is_over,
    planned,
    used_before,
    without,
)
from services.coaching.pip_state import LAST_DAY, Event, PipState, State, evolve, pins, records, results_now, user
from stepladder.coaching.v1.events_pb2 import (
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
)
from stepladder.coaching.v1.measure_pb2 import PinDrift
from stepladder.coaching.v1.pip_pb2 import (
    AcknowledgePipRequest,
    ActOnPip,
    AppealPipRequest,
    ApprovePipRequest,
    BusinessDays,
    CallPip,
    DecidePipRequest,
    DeliverPipRequest,
    DraftPipRequest,
    EditPipRequest,
    ElementResult,
    FollowLeave,
    HearPipAppealRequest,
    HoldPipCheckpointRequest,
    NamePipHearerRequest,
    NamePipWitnessRequest,
    NotePipDrift,
    NotePipRecord,
    OverridePipPreconditionRequest,
    PausePipRequest,
    Pip,
    PipCheckpoint,
    PipContent,
    PipEvidence,
    PipFailedConduct,
    PipSchedule,
    ProposePipResultRequest,
    ReschedulePipCheckpointRequest,
    RespondToPipRequest,
    ResumePipRequest,
    ReviewPipDriftRequest,
    SendBackPipRequest,
    SubmitPipRequest,
    WithdrawPipRequest,
    WitnessPipRefusalRequest,
)

Command = ActOnPip | CallPip | FollowLeave | NotePipDrift | NotePipRecord


def pip_key(employee_id: str) -> str:
    """The aggregate's id. It tells nobody who sees it whose PIPs they are. Stored for ever."""
    return opaque_id("pip", employee_id)


WHILE_PAUSED = (
    RespondToPipRequest,
    PausePipRequest,
    ResumePipRequest,
    AppealPipRequest,
    WithdrawPipRequest,
    ReviewPipDriftRequest,
)
"""What may be said while the clock stands still: what neither starts nor needs it."""

SAYS: Mapping[type[Message], type[Message]] = {
    SubmitPipRequest: PipSubmitted,
    SendBackPipRequest: PipSentBack,
    OverridePipPreconditionRequest: PipPreconditionOverridden,
    ApprovePipRequest: PipApproved,
    DeliverPipRequest: PipDelivered,
    AcknowledgePipRequest: PipAcknowledged,
    NamePipWitnessRequest: PipWitnessNamed,
    WitnessPipRefusalRequest: PipRefusalWitnessed,
    RespondToPipRequest: PipResponded,
    HoldPipCheckpointRequest: PipCheckpointHeld,
    ReschedulePipCheckpointRequest: PipCheckpointRescheduled,
    PausePipRequest: PipPaused,
    ResumePipRequest: PipResumed,
    ProposePipResultRequest: PipResultProposed,
    DecidePipRequest: PipDecided,
    AppealPipRequest: PipAppealed,
    NamePipHearerRequest: PipHearerNamed,
    HearPipAppealRequest: PipAppealHeard,
    WithdrawPipRequest: PipClosed,
    ReviewPipDriftRequest: PipDriftReviewed,
}
"""The event that keeps what a request says, in fields of the same names."""


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    match cast(Command, command):
        case ActOnPip() as act:
            request: Request = getattr(act, act.WhichOneof("request") or "")
            pip = state.pips.get(request.pip_id, PipState())
            refuse_unless_may(pip, request, context.actor, by_hr=act.by_hr, by_lead=act.by_lead)
            if isinstance(request, DraftPipRequest):
                events = _drafted(state, request, act, context)
            elif pip.stage == Pip.STATE_UNSPECIFIED:
                raise NotFound("PIP_NOT_FOUND", "there is no such PIP")
            else:
                events = [] if _is_said(pip, request, context.actor) else _step(pip, request, act, context)
            return [_of(request.employee_id, request.pip_id, context.actor, event) for event in events]
        case CallPip(pip_id=pip_id) as call:
            pip = state.pips.get(pip_id, PipState())
            return [_of(state.employee_id, pip_id, context.actor, one) for one in _called(pip, call, context.today)]
        case FollowLeave() as leave:
            pip = state.pips.get(state.open_id, PipState())
            return [
                _of(state.employee_id, state.open_id, context.actor, one)
                for one in _followed(pip, leave, context.today)
            ]
        case NotePipDrift() as note:
            return [
                _of(state.employee_id, pip_id, context.actor, event)
                for pip_id, pip in state.pips.items()
                for event in _drifted(pip_id, pip, note)
            ]
        case NotePipRecord(change=change):
            return [
                _of(state.employee_id, pip_id, context.actor, PipRecordChanged(change=change))
                for pip_id, pip in state.pips.items()
                if change.log_position > _records(pip).get(change.record_id, change.log_position)
            ]
        case unknown:
            assert_never(unknown)


def _of(employee_id: str, pip_id: str, actor: str, event: Event) -> Event:
    event.employee_id, event.pip_id, event.by = employee_id, pip_id, actor
    return event


PIP = Aggregate(name="coaching.pip", initial=State(), evolve=evolve, decide=decide, restricted=True)
PIP_READS = reads_of("coaching.pipread")


def _drafted(state: State, draft: DraftPipRequest, act: ActOnPip, context: Context) -> list[Event]:
    if (pip := state.pips.get(draft.pip_id)) is not None:
        if given(content_of(pip.drafted)) != given(draft.content):
            raise AlreadyExists("PIP_EXISTS", f"PIP {draft.pip_id} was drafted with other content: use EditPip")
        return []
    if state.open_id:
        raise NotAllowed("PIP_OPEN", f"PIP {state.open_id} is open: an employee has one at a time")
    if not act.HasField("rules"):
        raise NotAllowed("NO_PIP_RULES", "no coaching rules with PIPs are in force for the employee today")
    _refuse(violations(draft.content, act.rules, context.today))
    drafted = PipDrafted(
        rules=act.rules,
        rules_position=act.rules_position,
        plan_closed_date=act.plan_closed_date,
        drafted_date=context.today.isoformat(),
    )
    put_texts(drafted, draft.content)
    return [drafted]


def _step(pip: PipState, request: Request, act: ActOnPip, context: Context) -> list[Event]:
    """The transition table."""
    today, days, actor, rules = context.today, act.business_days, context.actor, pip.drafted.rules
    if pip.pauses and not isinstance(request, WHILE_PAUSED):
        raise NotAllowed("PAUSED", "the PIP is paused: its clock stands still until it is resumed")
    match pip.stage, request:
        case Pip.STATE_DRAFT | Pip.STATE_DELIVERED | Pip.STATE_ACTIVE, EditPipRequest(content=content):
            _refuse_apart(pip, request, actor, "who approved it, decided on it or waived coaching does not write it")
            return _edited(pip, content, act, today)
        case Pip.STATE_DRAFT, SubmitPipRequest():
            return [PipSubmitted()]
        case Pip.STATE_IN_REVIEW | Pip.STATE_APPROVED, SendBackPipRequest(reason=reason):
            return [PipSentBack(reason=reason)]
        case Pip.STATE_DRAFT | Pip.STATE_IN_REVIEW, OverridePipPreconditionRequest(reason=reason):
            _refuse_apart(pip, request, actor, "who wrote it does not waive what it needs")
            return [PipPreconditionOverridden(reason=reason)]
        case Pip.STATE_IN_REVIEW, ApprovePipRequest():
            _refuse_apart(pip, request, actor, "who wrote it does not approve it")
            return [_approved(pip)]
        case Pip.STATE_APPROVED, DeliverPipRequest(note=note):
            if act.on_leave:
                raise NotAllowed("ON_LEAVE", "the employee is on leave: deliver it when they are back")
            schedule = planned(days, today + ONE_DAY, 0, rules.acknowledgement_business_days)
            return [PipDelivered(note=note, delivered_date=today.isoformat(), schedule=schedule)]
        case Pip.STATE_DELIVERED, AcknowledgePipRequest(edition=edition):
            return [_acknowledged(pip, edition), _started(pip, days, today + ONE_DAY)]
        case Pip.STATE_DELIVERED, NamePipWitnessRequest(witness_id=witness_id):
            return [_witness_named(pip, witness_id, today)]
        case Pip.STATE_DELIVERED, WitnessPipRefusalRequest(note=note):
            return [PipRefusalWitnessed(note=note), _started(pip, days, today + ONE_DAY)]
        case _, RespondToPipRequest(text=text):
            return [PipResponded(text=text, date=today.isoformat())]
        case Pip.STATE_ACTIVE, HoldPipCheckpointRequest(number=number, notes=notes):
            held = _checkpoint(pip, number)
            if today.isoformat() < pip.start_date:
                raise NotAllowed("CHECKPOINT_TOO_EARLY", f"the period begins on {pip.start_date}")
            if (held.notes, held.held_by) == (notes, actor):
                return []
            _refuse_held(held)
            return [PipCheckpointHeld(number=number, notes=notes, held_date=today.isoformat(), results=act.results)]
        case Pip.STATE_ACTIVE, ReschedulePipCheckpointRequest() as move:
            return [_rescheduled(pip, move, days, today)]
        case stage, PausePipRequest(reason=reason) if _is_pausable(stage) and Pip.PAUSE_HR not in pip.pauses:
            return [_paused(pip, Pip.PAUSE_HR, today, days, reason)]
        case _, ResumePipRequest() if Pip.PAUSE_HR in pip.pauses:
            return [_resumed(pip, Pip.PAUSE_HR, today, days)]
        case Pip.STATE_DECISION_DUE, ProposePipResultRequest(result=result, reason=reason, failed_conduct=failed):
            _refuse_apart(pip, request, actor, "who decided on it once does not propose its result")
            _refuse_nothing_not_met(pip, request, act)
            return [PipResultProposed(result=result, reason=reason, failed_conduct=failed, records=act.records)]
        case Pip.STATE_PROPOSED, DecidePipRequest() as decision:
            message = "who wrote it, approved it or proposed its result does not decide it"
            _refuse_apart(pip, request, actor, message)
            return _decided(pip, decision, act, today)
        case Pip.STATE_DECIDED, AppealPipRequest(text=text):
            if is_over(pip.schedule, today):
                raise NotAllowed("APPEAL_TOO_LATE", f"the decision could be appealed up to {pip.schedule.due_date}")
            return [PipAppealed(text=text, date=today.isoformat())]
        case Pip.STATE_APPEALED, NamePipHearerRequest(hearer_id=hearer_id):
            _refuse_involved(user(hearer_id), pip.involved | {actor}, "an appeal goes to somebody who was not involved")
            _refuse_unfit(act)
            return [PipHearerNamed(hearer_id=hearer_id)]
        case Pip.STATE_APPEALED, HearPipAppealRequest() as hearing:
            message = "since they were named, the hearer has been involved: name another"
            _refuse_apart(pip, request, actor, message)
            return _heard(pip, hearing, act, today)
        case stage, WithdrawPipRequest(reason=reason) if stage < Pip.STATE_DECIDED or (
            stage != Pip.STATE_CLOSED and act.by_hr
        ):
            return [_closed(pip, Pip.OUTCOME_WITHDRAWN, today, reason)]
        case _, ReviewPipDriftRequest(note=note) if pip.drifted:
            return [PipDriftReviewed(note=note)]
        case stage, _:
            raise NotAllowed("WRONG_STATE", f"the PIP is {Pip.State.Name(stage)[6:]}: {_POSSIBLE[stage]}")


_POSSIBLE: dict[Pip.State.ValueType, str] = {
    Pip.STATE_DRAFT: "it can be edited, submitted or withdrawn",
    Pip.STATE_IN_REVIEW: "HR can approve it, send it back or withdraw it",
    Pip.STATE_APPROVED: "it can be delivered, sent back or withdrawn",
    Pip.STATE_DELIVERED: "the employee can acknowledge it",
    Pip.STATE_ACTIVE: "checkpoints can be held until the period has ended",
    Pip.STATE_DECISION_DUE: "the lead can propose a result",
    Pip.STATE_PROPOSED: "HR can decide",
    Pip.STATE_DECIDED: "the employee can appeal",
    Pip.STATE_APPEALED: "HR names who hears the appeal",
    Pip.STATE_CLOSED: "nothing can be changed any more",
}


def _is_said(pip: PipState, request: Request, actor: str) -> bool:
    """Whether just this was said, by the same person, and still stands."""
    if isinstance(request, EditPipRequest):
        wanted = given(request.content)
        superseded = pip.last(PipClosed).outcome == Pip.OUTCOME_SUPERSEDED and is_other_standard(pip.content, wanted)
        return superseded or wanted == given(pip.content)
    said = pip.told.get(SAYS[type(request)])
    names = [one.name for one in request.DESCRIPTOR.fields if one.name not in {"request_id", "etag"}]
    return (
        said is not None
        and cast(Event, said).by == actor
        and all(getattr(said, name) == getattr(request, name) for name in names)
    )


def _approved(pip: PipState) -> PipApproved:
    _refuse_unreviewed_drift(pip)
    if not pip.coaching_done and PipPreconditionOverridden not in pip.told:
        within = pip.drafted.rules.coaching_within_days
        message = f"no coaching plan was closed as not improved within {within} days before the draft"
        raise NotAllowed("COACHING_NEEDED", f"{message}: HR may override that, with a reason")
    return PipApproved()


def _witness_named(pip: PipState, witness_id: str, today: date) -> PipWitnessNamed:
    if pip.schedule.due_date and not is_over(pip.schedule, today):
        message = f"the employee may acknowledge it up to {pip.schedule.due_date}"
        raise NotAllowed("ACKNOWLEDGEMENT_RUNNING", message)
    concerned = {*pip.writers, pip.last(PipDelivered).by, user(pip.drafted.employee_id)}
    _refuse_involved(user(witness_id), concerned, "a witness neither wrote nor delivered it, nor is it about them")
    return PipWitnessNamed(witness_id=witness_id)


def _edited(pip: PipState, content: PipContent, act: ActOnPip, today: date) -> list[Event]:
    """The edit; of a PIP that was delivered it stops the period, or ends it where the standard becomes another."""
    edited = PipEdited(plan_closed_date=act.plan_closed_date)
    if pip.delivered:
        if is_other_standard(pip.content, content):
            reason = "the standard was changed: a new PIP has to be drafted"
            return [_closed(pip, Pip.OUTCOME_SUPERSEDED, today, reason)]
        before, after = ((one.period_business_days, *one.review_business_days) for one in (pip.content, content))
        if before != after:
            message = "period and reviews change by an extension, a pause or another day for a checkpoint only"
            raise NotAllowed("PERIOD_FIXED", message)
        days, rules = act.business_days, pip.drafted.rules
        used = used_before(days, pip.schedule, today) if pip.stage == Pip.STATE_ACTIVE else pip.used
        schedule = planned(days, today + ONE_DAY, 0, rules.acknowledgement_business_days)
        edited.used_business_days = used
        edited.schedule.CopyFrom(schedule)
    _refuse(violations(content, pip.drafted.rules, today))
    put_texts(edited, content)
    return [edited]


def _acknowledged(pip: PipState, edition: int) -> PipAcknowledged:
    if edition not in (0, pip.edition):
        raise NotAllowed("PIP_EDITED", f"it is edition {pip.edition} by now: read that, and acknowledge it")
    return PipAcknowledged(edition=edition)


def _started(pip: PipState, days: BusinessDays, first: date) -> PipStarted:
    """The period begins on a day, or goes on with what was left of it."""
    reviews = _reviews(pip) or [PipSchedule.Review(business_day=one) for one in pip.content.review_business_days]
    schedule = planned(days, first, pip.used, pip.total or pip.content.period_business_days, reviews)
    return PipStarted(start_date=pip.start_date or first.isoformat(), schedule=schedule)


def _reviews(pip: PipState) -> list[PipSchedule.Review]:
    return [PipSchedule.Review(business_day=one.business_day, due_date=one.due_date) for one in pip.checkpoints]


def _checkpoint(pip: PipState, number: int) -> PipCheckpoint:
    if number > len(pip.checkpoints):
        raise NotFound("CHECKPOINT_NOT_FOUND", f"there are {len(pip.checkpoints)} checkpoints")
    return pip.checkpoints[number - 1]


def _refuse_held(checkpoint: PipCheckpoint) -> None:
    if checkpoint.state == PipCheckpoint.STATE_HELD:
        message = f"checkpoint {checkpoint.number} was held on {checkpoint.held_date}"
        raise NotAllowed("CHECKPOINT_HELD", message)


def _rescheduled(
    pip: PipState, move: ReschedulePipCheckpointRequest, days: BusinessDays, today: date
) -> PipCheckpointRescheduled:
    _refuse_held(_checkpoint(pip, move.number))
    day = parse_day(move.date, "date")
    earlier, later = pip.checkpoints[: move.number - 1], pip.checkpoints[move.number :]
    most = pip.drafted.rules.review_business_days
    problem = ""
    if day <= today or move.date not in days.dates:
        problem = "must be a business day ahead"
    elif move.date > pip.schedule.due_date:
        problem = f"lies after the end of the period, {pip.schedule.due_date}"
    elif any(one.due_date >= move.date for one in earlier) or any(one.due_date <= move.date for one in later):
        problem = "the checkpoints would change their order"
    elif most and business_days_between(days, today + ONE_DAY, day + ONE_DAY) > most:
        problem = f"is more than {most} business days off"
    if problem:
        raise Invalid("DATE_INVALID", problem, (FieldViolation("date", problem),))
    business_day = used_before(days, pip.schedule, day + ONE_DAY)
    return PipCheckpointRescheduled(number=move.number, date=move.date, reason=move.reason, business_day=business_day)


def _is_pausable(stage: Pip.State.ValueType) -> bool:
    return Pip.STATE_DELIVERED <= stage <= Pip.STATE_APPEALED


def _paused(pip: PipState, pause: Pip.Pause.ValueType, day: date, days: BusinessDays, reason: str = "") -> PipPaused:
    used = _used(pip, pip.stopped(pause, day.isoformat()).clock_ran(), days)
    return PipPaused(pause=pause, reason=reason, date=day.isoformat(), used_business_days=used)


def _resumed(pip: PipState, pause: Pip.Pause.ValueType, day: date, days: BusinessDays) -> PipResumed:
    """From a day on, which may have passed: another pause that has been meanwhile, or is, stands all the same."""
    after, resumed = pip.let_go(pause, day.isoformat()), PipResumed(pause=pause, date=day.isoformat())
    if after.pauses:
        resumed.used_business_days = _used(pip, after.clock_ran(), days)
    elif pip.stage != Pip.STATE_APPEALED:
        first = max(after.begun, *(until for _, until in after.stood))
        used, reviews = _used(pip, after.clock_ran(first), days), _reviews(pip) if pip.stage == Pip.STATE_ACTIVE else []
        total = pip.schedule.total_business_days
        resumed.schedule.CopyFrom(planned(days, date.fromisoformat(first), used, total, reviews))
    return resumed


def _used(pip: PipState, ran: Sequence[Days], days: BusinessDays) -> int:
    """Business days used when these are the days that ran: what is known, and what is other than was known."""
    still = pip.schedule
    counted = pip.clock_ran(still.from_date or LAST_DAY)
    more, less = (business_days_of(days, without(*both)) for both in ((ran, counted), (counted, ran)))
    return max(0, min(still.used_business_days + more - less, still.total_business_days))


def _decided(pip: PipState, decision: DecidePipRequest, act: ActOnPip, today: date) -> list[Event]:
    _refuse_unreviewed_drift(pip)
    _refuse_nothing_not_met(pip, decision, act)
    rules, days, decided = (
        pip.drafted.rules,
        act.business_days,
        PipDecided(
            result=decision.result,
            action=decision.action,
            reason=decision.reason,
            decided_date=today.isoformat(),
            extension_business_days=decision.extension_business_days,
            review_business_days=decision.review_business_days,
            failed_conduct=decision.failed_conduct,
            records=act.records,
        ),
    )
    match decision.result:
        case Pip.RESULT_PASSED:
            return [decided, _closed(pip, Pip.OUTCOME_PASSED, today)]
        case Pip.RESULT_NOT_PASSED:
            decided.schedule.CopyFrom(planned(days, today + ONE_DAY, 0, rules.appeal_business_days))
            return [decided]
    if pip.extended:
        raise NotAllowed("EXTENDED_ALREADY", "a PIP is extended once")
    if not rules.extension_business_days:
        raise NotAllowed("NO_EXTENSION", "the rules have no extension")
    longer, more = decision.extension_business_days, decision.review_business_days
    if longer > rules.extension_business_days:
        message = f"must be at most {rules.extension_business_days}"
        _refuse([FieldViolation("extension_business_days", message)])
    _refuse(review_violations(more, longer, rules, "review_business_days"))
    added = [PipSchedule.Review(business_day=pip.total + one) for one in more]
    decided.schedule.CopyFrom(planned(days, today + ONE_DAY, pip.total, pip.total + longer, [*_reviews(pip), *added]))
    return [decided]


def _heard(pip: PipState, hearing: HearPipAppealRequest, act: ActOnPip, today: date) -> list[Event]:
    _refuse_unfit(act)
    _refuse_unreviewed_drift(pip)
    outcome = Pip.OUTCOME_OVERTURNED if hearing.overturned else Pip.OUTCOME_NOT_PASSED
    return [PipAppealHeard(overturned=hearing.overturned, reason=hearing.reason), _closed(pip, outcome, today)]


def _closed(pip: PipState, outcome: Pip.Outcome.ValueType, today: date, reason: str = "") -> PipClosed:
    return PipClosed(
        outcome=outcome,
        action=pip.last(PipDecided).action if outcome == Pip.OUTCOME_NOT_PASSED else Pip.ACTION_UNSPECIFIED,
        reason=reason,
        delivered_date=pip.last(PipDelivered).delivered_date,
        closed_date=today.isoformat(),
    )


def _called(pip: PipState, call: CallPip, today: date) -> list[Event]:
    """What has come due by time alone."""
    over = is_over(pip.schedule, today)
    if pip.pauses:
        return []
    match pip.stage:
        case Pip.STATE_DELIVERED | Pip.STATE_DECISION_DUE | Pip.STATE_PROPOSED if over and not pip.overdue:
            return [PipFellOverdue()]
        case Pip.STATE_ACTIVE:
            missed: list[Event] = [
                PipCheckpointMissed(number=one.number)
                for one in pip.checkpoints
                if one.state == PipCheckpoint.STATE_PLANNED and one.due_date < today.isoformat()
            ]
            if not over:
                return missed
            first = date.fromisoformat(pip.schedule.due_date) + ONE_DAY
            schedule = planned(call.business_days, first, 0, pip.drafted.rules.decision_business_days)
            late = [PipFellOverdue()] if is_over(schedule, today) else []
            return [*missed, PipDecisionFellDue(results=call.results, schedule=schedule), *late]
        case Pip.STATE_DECIDED if over and not pip.drift_to_review:
            return [_closed(pip, Pip.OUTCOME_NOT_PASSED, today)]
    return []


def _followed(pip: PipState, leave: FollowLeave, today: date) -> list[Event]:
    """A leave pauses from its first day, and its end resumes; one of days on which nothing ran changes nothing.

    Whoever leaves has nothing before them that a PIP could be about; what was decided may still be appealed.
    """
    if leave.left and Pip.STATE_UNSPECIFIED < pip.stage < Pip.STATE_DECIDED:
        reason = f"the employment ended: {leave.date} was no day of it any more"
        return [_closed(pip, Pip.OUTCOME_EMPLOYMENT_ENDED, today, reason)]
    if not _is_pausable(pip.stage):
        return []
    day, since = date.fromisoformat(leave.date), pip.pauses.get(Pip.PAUSE_LEAVE)
    if leave.on_leave and (since is None or leave.date < since):
        over = leave.back_date and leave.back_date <= max(pip.begun, pip.schedule.from_date, today.isoformat())
        ran = pip.clock_ran()
        if over and without(ran, [(leave.date, leave.back_date)]) == ran:
            return []
        return [_paused(pip, Pip.PAUSE_LEAVE, day, leave.business_days)]
    if not leave.on_leave and since is not None and leave.date >= since:
        return [_resumed(pip, Pip.PAUSE_LEAVE, day, leave.business_days)]
    return []


def _drifted(pip_id: str, pip: PipState, note: NotePipDrift) -> list[Event]:
    """What differs now from what was pinned, unless that is known, or later things are."""
    prefix, told = f"{pip_id}/", {one.pin: one for one in pip.drifts}
    mine = [PinDrift(pin=one.pin[len(prefix) :], now=one.now) for one in note.pins if one.pin.startswith(prefix)]
    drifts = drifts_of(pins(pip), mine, told)
    if is_told(drifts, told) or known_at(mine) < pip.drifts_known_at:
        return []
    return [PipEvidenceDrifted(drifts=drifts.values(), known_at=known_at(mine))]


def _records(pip: PipState) -> Mapping[str, int]:
    """Records that it rests on, each with the position up to which it is known: as it was named, or changed since."""
    return {**{one.record_id: one.log_position for one in records(pip)}, **pip.changes}


def _refuse(found: Iterable[FieldViolation]) -> None:
    if wrong := tuple(found):
        text = "; ".join(f"{one.field}: {one.message}" for one in wrong[:3])
        raise Invalid("PIP_INVALID", text, wrong)


def _refuse_apart(pip: PipState, request: Request, actor: str, message: str) -> None:
    _refuse_involved(actor, apart(pip, type(request)), message)


def _refuse_involved(actor: str, involved: Iterable[str], message: str) -> None:
    if actor in involved:
        raise NotAllowed("SEPARATION_OF_DUTIES", message)


def _refuse_unreviewed_drift(pip: PipState) -> None:
    if pip.drift_to_review:
        raise NotAllowed("DRIFT_NOT_REVIEWED", "facts under the PIP have changed: look at its drift and say so first")


def _refuse_unfit(act: ActOnPip) -> None:
    """Whoever hears an appeal reads the whole PIP and decides alone: that is for nobody's peer."""
    if not act.may_hear:
        raise NotAllowed("HEARER_UNFIT", "who hears an appeal is in HR, or leads a team: name somebody who does today")


def _refuse_nothing_not_met(pip: PipState, request: ProposePipResultRequest | DecidePipRequest, act: ActOnPip) -> None:
    """What follows from not passing rests on performance in the period: 5 U.S.C. 4303, 5 CFR 432.104 and 432.105.

    An extension makes the period longer: measured is all of it, and conduct counts from its first day.
    """
    if request.result != Pip.RESULT_NOT_PASSED:
        return
    _refuse(_unshown(pip, request.failed_conduct, act.records))
    not_met = any(one.standard == ElementResult.STANDARD_NOT_MET for one in results_now(pip))
    if not (not_met or request.failed_conduct):
        extend = "" if pip.extended or not pip.drafted.rules.extension_business_days else "extend it, "
        message = "no standard was measured as not met in the period, and no conduct is named that failed in it"
        raise NotAllowed("NOTHING_NOT_MET", f"{message}: pass it, {extend}or withdraw it")


def _unshown(
    pip: PipState, failed: Iterable[PipFailedConduct], found: Iterable[PipEvidence]
) -> Iterator[FieldViolation]:
    """Conduct that is no element of the PIP, or that nothing of the period shows."""
    conduct = {one.element_id for one in pip.content.elements if one.WhichOneof("what") == "conduct"}
    days = {one.log_position: one.date for one in found}
    ran = pip.ran_until()
    for index, one in enumerate(failed):
        here = f"failed_conduct[{index}]"
        if one.element_id not in conduct:
            yield FieldViolation(f"{here}.element_id", f"{one.element_id} is no element about conduct")
        if one.log_position not in days:
            yield FieldViolation(f"{here}.log_position", "no record of the employee's lies there that stands")
        elif not any(first <= days[one.log_position] < end for first, end in ran):
            message = f"is of {days[one.log_position]}, a day on which the clock of the period did not run"
            yield FieldViolation(f"{here}.log_position", message)
