"""A candidacy: one employee in one competition, from the application to the end of the trial."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import ONE_DAY, Span, months_later, parse_day
from libs.common.errors import AlreadyExists, FieldViolation, Invalid, NotAllowed, NotFound
from libs.common.eventsourcing import Aggregate, Context, opaque_id
from services.promotion import post
from services.promotion.candidacy_state import Event, Stage, State, evolve
from services.promotion.drift import standing
from services.promotion.notice import Notice, notice
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules
from stepladder.promotion.v1.candidacy_pb2 import (
    ActOnCandidacy,
    AppointCandidacyRequest,
    ApproveCandidacyRequest,
    Candidacy,
    CountedBy,
    EndNotSelected,
    IssueLetterRequest,
    LapseApproval,
    ListCandidacy,
    MoveNotice,
    NoteDisplacement,
    NoteDrift,
    NotePeers,
    NoteScore,
    NoteTrialEnded,
    PassPostTrainingRequest,
    RaiseObjectionRequest,
    RejectCandidacyRequest,
    ReviewAsLeadRequest,
    ReviewAsManagerRequest,
    ReviewTwoLevelsRequest,
    ScoreInterviewRequest,
    SettleObjectionRequest,
    WithdrawCandidacyRequest,
)
from stepladder.promotion.v1.eligibility_pb2 import Eligibility
from stepladder.promotion.v1.events_pb2 import (
    ApprovalLapsed,
    CandidacyApplied,
    CandidacyAppointed,
    CandidacyApproved,
    CandidacyDrifted,
    CandidacyListed,
    CandidacyNotSelected,
    CandidacyRejected,
    CandidacyScored,
    CandidacyWithdrawn,
    InterviewScored,
    LeadReviewed,
    LetterIssued,
    ManagerReviewed,
    NoticeMoved,
    ObjectionRaised,
    ObjectionSettled,
    PeersScored,
    PostTrainingPassed,
    TrialEnded,
    TwoLevelsReviewed,
)
from stepladder.promotion.v1.post_pb2 import Vacancies
from stepladder.promotion.v1.score_pb2 import Score

Request = (
    ReviewAsLeadRequest
    | ReviewAsManagerRequest
    | ReviewTwoLevelsRequest
    | ScoreInterviewRequest
    | RaiseObjectionRequest
    | SettleObjectionRequest
    | ApproveCandidacyRequest
    | IssueLetterRequest
    | PassPostTrainingRequest
    | AppointCandidacyRequest
    | WithdrawCandidacyRequest
    | RejectCandidacyRequest
)
Command = (
    ActOnCandidacy
    | NoteScore
    | ListCandidacy
    | MoveNotice
    | LapseApproval
    | NotePeers
    | NoteTrialEnded
    | EndNotSelected
    | NoteDrift
    | NoteDisplacement
)

APPOINTABLE_AHEAD = timedelta(days=366)
"""How far ahead the first day of a trial may lie."""

MOST_BY_ONE = 3
"""How often one person may object to a candidacy, settled or not: nobody keeps it waiting for ever with new words."""
MOST_OPEN = 100
"""How many objections to a candidacy are open at once. HR reads all of them in one message of at most 4 MiB, and the
longest words of so many are half of it. Settled ones are read there, too, but are no more than HR settles."""


def candidacy_key(competition_id: str, employee_id: str) -> str:
    """The id of an employee's candidacy in a competition: nobody has two. Stored for ever."""
    return opaque_id("candidacy", competition_id, employee_id)


def objection_key(candidacy_id: str, actor: str, given_id: str) -> str:
    """The id of an objection. Another's own is never taken by it, so nobody finds out by trying who objected."""
    return opaque_id("objection", candidacy_id, actor, given_id)


SAYS: Mapping[type[Message], tuple[type[Message], str]] = {
    ReviewAsLeadRequest: (LeadReviewed, "reviewed_by"),
    ReviewAsManagerRequest: (ManagerReviewed, "reviewed_by"),
    ReviewTwoLevelsRequest: (TwoLevelsReviewed, "reviewed_by"),
    ScoreInterviewRequest: (InterviewScored, "interviewer_id"),
    RaiseObjectionRequest: (ObjectionRaised, "raised_by"),
    SettleObjectionRequest: (ObjectionSettled, "settled_by"),
    ApproveCandidacyRequest: (CandidacyApproved, "approved_by"),
    IssueLetterRequest: (LetterIssued, "issued_by"),
    PassPostTrainingRequest: (PostTrainingPassed, "passed_by"),
    AppointCandidacyRequest: (CandidacyAppointed, "appointed_by"),
    WithdrawCandidacyRequest: (CandidacyWithdrawn, "withdrawn_by"),
    RejectCandidacyRequest: (CandidacyRejected, "rejected_by"),
}
"""The event that keeps what a request says, in fields of the same names, and the field that says who said it."""


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    match cast(Command, command):
        case ActOnCandidacy() as act if act.HasField("apply"):
            events: list[Event] = _applied(state, act, context)
        case ActOnCandidacy() as act:
            request: Request = getattr(act, act.WhichOneof("request") or "")
            if state.stage == Candidacy.STATE_UNSPECIFIED and not act.HasField("raise_objection"):
                raise NotFound("CANDIDACY_NOT_FOUND", "there is no such candidacy")
            events = [] if _is_said(state, request, context.actor) else _step(state, request, act, context)
        case NoteScore(score=score):
            if state.stage not in (Candidacy.STATE_MANAGER_REVIEWED, Candidacy.STATE_SCORED):
                raise _wrong_state(state)
            same = _figures(score) == _figures(state.last(CandidacyScored).score)
            events = [] if same and CandidacyScored in state.told else [CandidacyScored(score=score)]
        case ListCandidacy() as listing:
            events = _listed(state, listing)
        case MoveNotice(calendar=calendar):
            events = _moved(state, calendar)
        case LapseApproval(candidacy_position=position):
            known = ApprovalLapsed in state.told and position <= state.last(ApprovalLapsed).candidacy_position
            lapsed = state.stage == Candidacy.STATE_LISTED and not known
            events = [ApprovalLapsed(candidacy_position=position)] if lapsed else []
        case NotePeers(peers=peers, mean=mean):
            taken = 0 < state.stage < Candidacy.STATE_SCORED and PeersScored not in state.told
            scored = PeersScored(peers=peers, mean=mean if mean.denominator else None)
            events = [scored] if taken else []
        case NoteTrialEnded() as note:
            ended = TrialEnded(
                employee_id=state.applied.employee_id,
                passed=note.passed,
                career_position=note.career_position,
                reason=note.reason,
                decided_by=note.decided_by,
                ended_date=note.ended_date,
            )
            events = [ended] if state.stage == Candidacy.STATE_APPOINTED else []
        case EndNotSelected(cancelled=cancelled):
            until = Candidacy.STATE_APPOINTED if cancelled else Candidacy.STATE_APPROVED
            day = context.today.isoformat()
            events = [CandidacyNotSelected(ended_date=day)] if 0 < state.stage < until else []
        case NoteDrift() as note:
            events = _drifted(state, note) if state.stage else []
        case NoteDisplacement() as note:
            events = _displaced(state, note) if state.stage else []
        case unknown:
            assert_never(unknown)
    return [_of(state, event) for event in events]


def _of(state: State, event: Event) -> Event:
    """The event with what it is about."""
    event.candidacy_id = event.candidacy_id or state.applied.candidacy_id
    if "employee_id" in event.DESCRIPTOR.fields_by_name and not isinstance(event, CandidacyApplied):
        setattr(event, "employee_id", state.applied.employee_id)  # noqa: B010 - not all of them have it
    return event


CANDIDACY = Aggregate(name="promotion.candidacy", initial=State(), evolve=evolve, decide=decide)


def _applied(state: State, act: ActOnCandidacy, context: Context) -> list[Event]:
    found, motivation = act.application, act.apply.motivation
    if state.stage:
        if state.applied.motivation != motivation:
            raise AlreadyExists("CANDIDACY_EXISTS", "this employee has applied already, in other words")
        return []
    if found.closed:
        raise NotAllowed("APPLICATIONS_CLOSED", found.closed)
    if missing := [one for one in found.eligibility.criteria if not (one.met or one.waiver_position)]:
        what = "; ".join(
            f"{one.display_name or one.name} (asked for: {one.required}; found: {one.actual})" for one in missing
        )
        raise NotAllowed("NOT_ELIGIBLE", f"not every criterion is met: {what}")
    if not found.eligibility.eligible:
        raise NotAllowed("NOT_ELIGIBLE", "nobody steps onto this rung from the position that this employee holds")
    return [
        CandidacyApplied(
            candidacy_id=found.candidacy_id,
            competition_id=act.apply.competition_id,
            employee_id=found.employee_id,
            motivation=motivation,
            applied_date=context.today.isoformat(),
            eligibility=found.eligibility,
            two_levels=found.eligibility.levels == 2,
            lead_id=found.lead_id,
            manager_id=found.manager_id,
        )
    ]


def _step(state: State, request: Request, act: ActOnCandidacy, context: Context) -> list[Event]:
    """The transition table."""
    today, actor = context.today, context.actor
    text = today.isoformat()
    if not isinstance(request, WithdrawCandidacyRequest):
        _refuse_conflict(state, act, actor)
    match state.stage, request:
        case Candidacy.STATE_APPLIED, ReviewAsLeadRequest(recommended=yes, interview_date=day, report=report):
            _refuse_involved(actor, state.reviewers, "who reviewed the two levels does not review it as the lead")
            _refuse_day(day, "interview_date", date.fromisoformat(state.applied.applied_date), today)
            return [LeadReviewed(recommended=yes, interview_date=day, report=report, reviewed_by=actor)]
        case Candidacy.STATE_LEAD_REVIEWED, ReviewAsManagerRequest(approved=yes, score=score, report=report):
            _refuse_involved(actor, state.reviewers, "who reviewed it as the lead does not review it as the manager")
            _refuse_score(score, yes, act.rules)
            reviewed = ManagerReviewed(approved=yes, score=score, report=report, reviewed_by=actor)
            return [reviewed] if yes else [reviewed, _rejected(report, context)]
        case stage, ReviewTwoLevelsRequest(approved=yes, reason=reason) if stage < Candidacy.STATE_LISTED:
            parts = _judges(state, act, actor) | state.over
            return _two_levels_reviewed(state, yes, reason, parts, context)
        case Candidacy.STATE_MANAGER_REVIEWED, ScoreInterviewRequest() as interview:
            return [_interviewed(state, interview, act.interview, actor)]
        case Candidacy.STATE_LISTED, RaiseObjectionRequest(objection_id=objection_id, reason=reason):
            if objection_id in state.objections:
                raise AlreadyExists("OBJECTION_EXISTS", "this id is of another objection of the caller's")
            _refuse_too_many(state, actor)
            return [ObjectionRaised(objection_id=objection_id, reason=reason, raised_by=actor, raised_date=text)]
        case _, RaiseObjectionRequest():
            raise NotAllowed("NOT_LISTED", "only a candidacy on a public list that is not approved can be objected to")
        case Candidacy.STATE_LISTED, SettleObjectionRequest() as settlement:
            message = "who reviewed, interviewed or scored the candidate, or objected to them, settles no objection"
            parts = _judges(state, act, actor) | _objecting(state)
            _refuse_involved(actor, parts, f"{message}: somebody else in HR does")
            return _settled(state, settlement, act.calendar, context)
        case Candidacy.STATE_LISTED, ApproveCandidacyRequest(reason=reason):
            parts = _judges(state, act, actor) | _objecting(state)
            parts |= {one.settled_by for one in state.settled.values()}
            message = "who reviewed, interviewed or scored the candidate, objected to them or settled an objection"
            _refuse_involved(actor, parts, f"{message} does not approve them: somebody else in HR does")
            return [_approved(state, reason, act, context)]
        case Candidacy.STATE_APPROVED, IssueLetterRequest():
            return [LetterIssued(issued_date=text, issued_by=actor)]
        case Candidacy.STATE_LETTER_ISSUED, PassPostTrainingRequest():
            return [_trained(state, act, context)]
        case Candidacy.STATE_TRAINED, AppointCandidacyRequest(start_date=day):
            start = _refuse_day(day, "start_date", today, today + APPOINTABLE_AHEAD)
            _refuse_unless_seated(act)
            until = _trial_until(start, act.rules)
            return [CandidacyAppointed(start_date=day, trial_until=until.isoformat(), appointed_by=actor)]
        case stage, WithdrawCandidacyRequest(reason=reason) if stage < Candidacy.STATE_APPOINTED:
            return [CandidacyWithdrawn(reason=reason, withdrawn_by=actor, withdrawn_date=text)]
        case stage, RejectCandidacyRequest(reason=reason) if stage < Candidacy.STATE_APPOINTED:
            _refuse_involved(actor, _objecting(state), "who objected to the candidate does not reject them")
            return [_rejected(reason, context)]
        case _:
            raise _wrong_state(state)


_POSSIBLE: dict[Stage, str] = {
    Candidacy.STATE_APPLIED: "the lead reviews it",
    Candidacy.STATE_LEAD_REVIEWED: "the manager reviews it",
    Candidacy.STATE_MANAGER_REVIEWED: "the panel interviews, and the competition is ranked",
    Candidacy.STATE_SCORED: "the competition publishes its list",
    Candidacy.STATE_LISTED: "HR can approve it after the notice",
    Candidacy.STATE_APPROVED: "the letter can be issued",
    Candidacy.STATE_LETTER_ISSUED: "the training for the post has to be passed",
    Candidacy.STATE_TRAINED: "the candidate can be appointed",
    Candidacy.STATE_APPOINTED: "the trial is decided in the employee's career",
}


def _wrong_state(state: State) -> NotAllowed:
    possible = _POSSIBLE.get(state.stage, "nothing can be changed any more")
    return NotAllowed("WRONG_STATE", f"the candidacy is {Candidacy.State.Name(state.stage)[6:]}: {possible}")


def _is_said(state: State, request: Request, actor: str) -> bool:
    """Whether just this was said, by the same person, and still stands."""
    kind, by = SAYS[type(request)]
    said: Message | None = state.told.get(kind)
    match request:
        case ScoreInterviewRequest():
            actor = actor.removeprefix("user:")
            said = state.interviews.get(actor)
        case RaiseObjectionRequest(objection_id=objection_id):
            said = state.objections.get(objection_id)
        case SettleObjectionRequest(objection_id=objection_id):
            said = state.settled.get(objection_id)
    names = [one.name for one in request.DESCRIPTOR.fields if one.name not in {"request_id", "etag", "candidacy_id"}]
    return (
        said is not None
        and getattr(said, by) == actor
        and all(getattr(said, name) == getattr(request, name) for name in names)
    )


def _objecting(state: State) -> frozenset[str]:
    return frozenset(one.raised_by for one in state.objections.values())


def _judges(state: State, act: ActOnCandidacy, actor: str) -> frozenset[str]:
    """Actors who have judged the candidate; of their peers nobody is known but the caller."""
    return state.judges | ({actor} if act.is_peer else frozenset())


def _refuse_too_many(state: State, actor: str) -> None:
    if sum(one.raised_by == actor for one in state.objections.values()) >= MOST_BY_ONE:
        message = f"one person objects to a candidacy at most {MOST_BY_ONE} times: tell HR what else there is"
        raise NotAllowed("TOO_MANY_OBJECTIONS", message)
    if len(state.open_objections) >= MOST_OPEN:
        message = "HR has too many objections open: say it again when some are settled, or tell HR"
        raise NotAllowed("TOO_MANY_OBJECTIONS", message)


def _refuse_conflict(state: State, act: ActOnCandidacy, actor: str) -> None:
    if actor == f"user:{state.applied.employee_id}":
        raise NotAllowed("CONFLICT_OF_INTEREST", "nobody decides on their own candidacy, or objects to it")
    if act.conflict:
        raise NotAllowed("CONFLICT_OF_INTEREST", act.conflict)


def _refuse_involved(actor: str, involved: frozenset[str], message: str) -> None:
    if actor in involved:
        raise NotAllowed("SEPARATION_OF_DUTIES", message)


def _refuse_day(text: str, field: str, first: date, last: date) -> date:
    day = parse_day(text, field)
    if not first <= day <= last:
        message = f"must be a day from {first} to {last}"
        raise Invalid("DATE_INVALID", message, (FieldViolation(field, message),))
    return day


def has_part(rules: CompetitionRules, source: str) -> bool:
    """Whether a part of the score comes from a source, by the name that it has in the rules."""
    return any(part.WhichOneof("source") == source for part in rules.parts)


def _refuse_score(score: str, approved: bool, rules: CompetitionRules) -> None:
    """The manager's: there is one where a candidate goes on, and the rules have a part for it."""
    wanted = approved and has_part(rules, "manager")
    if wanted == bool(score):
        return
    message = "must be given: it is a part of the score" if wanted else "must be empty: it would count for nothing"
    raise Invalid("SCORE_INVALID", message, (FieldViolation("score", message),))


def _rejected(reason: str, context: Context) -> CandidacyRejected:
    return CandidacyRejected(reason=reason, rejected_by=context.actor, rejected_date=context.today.isoformat())


def lacking(state: State, interviewer_ids: Sequence[str], rules: CompetitionRules) -> list[str]:
    """What a candidacy lacks before it can be ranked, in words; nothing for one that has ended.

    `interviewer_ids`: those of the panel who may judge this candidate, besides what the candidacy itself tells.
    """
    if state.ended:
        return []
    missing = list[str]()
    if state.stage < Candidacy.STATE_LEAD_REVIEWED:
        missing.append("the lead's review")
    if state.stage < Candidacy.STATE_MANAGER_REVIEWED:
        missing.append("the manager's review")
    if state.applied.two_levels and TwoLevelsReviewed not in state.told:
        missing.append("the executive's review of two levels")
    panel = [one for one in interviewer_ids if f"user:{one}" not in state.apart]
    if has_part(rules, "interview"):
        missing += [f"the interview by {one}" for one in panel if one not in state.interviews]
        fewest = max(part.interview.minimum_interviewers for part in rules.parts)
        if len(panel) < fewest:
            missing.append(f"interviews by {fewest} people: of the panel only {len(panel)} may judge this candidate")
    if has_part(rules, "peers") and PeersScored not in state.told:
        missing.append("the peers' scores, closed")
    return missing


def _two_levels_reviewed(
    state: State, approved: bool, reason: str, parts: frozenset[str], context: Context
) -> list[Event]:
    """`parts`: who has, or is to have, another part in it."""
    if not state.applied.two_levels:
        raise NotAllowed("ONE_LEVEL", "this candidacy is for the next rung: there is nothing to review")
    if TwoLevelsReviewed in state.told:
        raise NotAllowed("WRONG_STATE", "the two levels have been reviewed")
    message = (
        "who reviews it as the lead or the manager, or interviewed or scored the candidate, does not review it again"
    )
    _refuse_involved(context.actor, parts, message)
    reviewed = TwoLevelsReviewed(approved=approved, reason=reason, reviewed_by=context.actor)
    return [reviewed] if approved else [reviewed, _rejected(reason, context)]


def _interviewed(
    state: State, request: ScoreInterviewRequest, given: ActOnCandidacy.InterviewPoints, actor: str
) -> InterviewScored:
    if actor in state.apart:
        raise NotAllowed("CONFLICT_OF_INTEREST", "neither lead nor manager interviews a candidate")
    return InterviewScored(
        interviewer_id=actor.removeprefix("user:"),
        answers=request.answers,
        notes=request.notes,
        points=given.points,
        full_points=given.full_points,
        panel_position=given.panel_position,
        bank_position=given.bank_position,
    )


def _listed(state: State, listing: ListCandidacy) -> list[Event]:
    if state.last(CandidacyListed).listed_date:
        return []
    if state.stage != Candidacy.STATE_SCORED:
        raise _wrong_state(state)
    if state.applied.two_levels and not state.last(TwoLevelsReviewed).approved:
        raise NotAllowed("TWO_LEVELS", "nobody is listed for two levels at once before the executive approved it")
    first = notice(date.fromisoformat(listing.listed_date), listing.notice_business_days, listing.calendar)
    return [
        CandidacyListed(
            rank=listing.rank,
            listed_date=listing.listed_date,
            notice_until=first.until.isoformat(),
            notice_business_days=listing.notice_business_days,
            objections_pause_notice=listing.objections_pause_notice,
            calendar_id=listing.calendar_id,
            calendar_position=first.calendar_position,
            calendar_version=first.calendar_version,
        )
    ]


def _moved(state: State, calendar: CountedBy) -> list[Event]:
    if state.stage != Candidacy.STATE_LISTED or _is_paused(state):
        return []
    now = _notice(state, calendar)
    if now.until.isoformat() == state.notice_until:
        return []
    moved = NoticeMoved(notice_until=now.until.isoformat())
    moved.calendar_position, moved.calendar_version = now.calendar_position, now.calendar_version
    return [moved]


def _is_paused(state: State) -> bool:
    return state.listed.objections_pause_notice and bool(state.open_objections)


def _notice(state: State, calendar: CountedBy) -> Notice:
    """The notice as it is counted now; of one that nothing pauses any more."""
    listed = state.listed
    paused = [
        Span(date.fromisoformat(one.raised_date), date.fromisoformat(state.settled[objection_id].settled_date))
        for objection_id, one in state.objections.items()
        if listed.objections_pause_notice
    ]
    first, promised = date.fromisoformat(listed.listed_date), date.fromisoformat(listed.notice_until)
    return notice(first, listed.notice_business_days, calendar, paused, promised)


def _settled(state: State, request: SettleObjectionRequest, calendar: CountedBy, context: Context) -> list[Event]:
    objection_id, actor = request.objection_id, context.actor
    if objection_id not in state.objections:
        raise NotFound("OBJECTION_NOT_FOUND", f"there is no objection {objection_id}")
    if objection_id in state.settled:
        raise NotAllowed("OBJECTION_SETTLED", f"objection {objection_id} has been settled")
    settled = ObjectionSettled(
        objection_id=objection_id,
        upheld=request.upheld,
        reason=request.reason,
        settled_by=actor,
        settled_date=context.today.isoformat(),
    )
    if request.upheld:
        return [settled, _rejected(request.reason, context)]
    after = evolve(state, settled)
    if state.listed.objections_pause_notice and not after.open_objections:
        now = _notice(after, calendar)
        settled.notice_until = now.until.isoformat()
        settled.calendar_position, settled.calendar_version = now.calendar_position, now.calendar_version
    return [settled]


def _approved(state: State, reason: str, act: ActOnCandidacy, context: Context) -> CandidacyApproved:
    if state.open_objections:
        raise NotAllowed("OBJECTION_OPEN", f"to be settled first: objection {', '.join(state.open_objections)}")
    now = _notice(state, act.calendar)
    if context.today <= now.until:
        raise NotAllowed("NOTICE_RUNNING", f"the list is public up to {now.until}: approve it on a later day")
    _refuse_unless_seated(act)
    return CandidacyApproved(
        approved_date=context.today.isoformat(),
        reason=reason,
        approved_by=context.actor,
        notice_until=now.until.isoformat(),
        calendar_position=now.calendar_position,
        calendar_version=now.calendar_version,
        vacancies=act.vacancies,
    )


def has_seat(competition_id: str, of_post: post.State, vacancies: Vacancies, coming: int) -> bool:
    """Whether a competition has a seat of a post for one more, beside those who are coming and do not sit yet."""
    claim = of_post.claims.get(competition_id)
    claimed = claim is not None and claim.unfilled > 0
    return claimed and (vacancies.unlimited or vacancies.headcount > vacancies.occupied + coming)


def _refuse_unless_seated(act: ActOnCandidacy) -> None:
    if not act.employed:
        raise NotAllowed("NOT_EMPLOYED", "the candidate is not employed any more: reject the candidacy")
    if not act.seat:
        raise NotAllowed("NO_SEAT", "the post has no seat left for this candidate")


def _trained(state: State, act: ActOnCandidacy, context: Context) -> PostTrainingPassed:
    since = state.last(LetterIssued).issued_date
    passed = {one.course_id: one.record_position for one in act.passed if one.date >= since}
    if missing := [course_id for course_id in act.rules.course_ids if course_id not in passed]:
        message = f"not passed since the letter of {since}: {', '.join(missing)}"
        raise NotAllowed("TRAINING_MISSING", message)
    positions = sorted(passed[course_id] for course_id in act.rules.course_ids)
    day = context.today.isoformat()
    return PostTrainingPassed(record_positions=positions, passed_date=day, passed_by=context.actor)


def _trial_until(start: date, rules: CompetitionRules) -> date:
    if rules.WhichOneof("trial") == "trial_weeks":
        return start + timedelta(weeks=rules.trial_weeks) - ONE_DAY
    return months_later(start, rules.trial_months) - ONE_DAY


def _drifted(state: State, note: NoteDrift) -> list[Event]:
    """What would come out otherwise now, with the displacement that was noted; nothing where that was said already."""
    before, drifted = state.last(CandidacyDrifted), CandidacyDrifted(known_at=note.known_at)
    if before.HasField("displacement"):
        drifted.displacement.CopyFrom(before.displacement)
    if _outcome(note.eligibility) != _outcome(state.applied.eligibility):
        drifted.eligibility.CopyFrom(note.eligibility)
    if CandidacyScored in state.told and _figures(note.score) != _figures(state.last(CandidacyScored).score):
        drifted.score.CopyFrom(note.score)
    same = [_outcome(one.eligibility) + _figures(one.score) for one in (before, drifted)]
    return [] if same[0] == same[1] else [drifted]


def _displaced(state: State, note: NoteDisplacement) -> list[Event]:
    before, drifted = state.last(CandidacyDrifted), CandidacyDrifted()
    drifted.CopyFrom(before)
    drifted.known_at = note.known_at
    drifted.ClearField("displacement")
    if note.HasField("displacement"):
        drifted.displacement.CopyFrom(note.displacement)
    same = before.HasField("displacement") == note.HasField("displacement")
    return [] if same and before.displacement == note.displacement else [drifted]


def _outcome(one: Eligibility) -> tuple[object, ...]:
    return one.eligible, [(each.name, standing(each)) for each in one.criteria]


def _figures(one: Score) -> tuple[object, ...]:
    return (
        one.total,
        one.exact_total,
        one.position_since,
        [(part.part_id, part.score, part.missing) for part in one.parts],
    )
