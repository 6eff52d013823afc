"""What somebody is to a candidacy, and what each is shown of it. Pure."""

from datetime import date
from enum import Enum

from libs.facts.relations import Directory, Relation, relations
from services.promotion.candidacy_state import State
from services.promotion.competition import State as CompetitionState
from stepladder.promotion.v1.candidacy_pb2 import Candidacy
from stepladder.promotion.v1.competition_pb2 import Competition
from stepladder.promotion.v1.events_pb2 import (
    CandidacyAppointed,
    CandidacyApproved,
    CandidacyDrifted,
    CandidacyNotSelected,
    CandidacyRejected,
    CandidacyScored,
    CandidacyWithdrawn,
    ConflictDeclared,
    InterviewScored,
    LeadReviewed,
    LetterIssued,
    ManagerReviewed,
    ObjectionSettled,
    PeersScored,
    PostTrainingPassed,
    TrialEnded,
    TwoLevelsReviewed,
)


class Role(Enum):
    """What somebody is to a candidacy, in the words of `libs/common/access.toml`."""

    CANDIDATE = "self"
    LEAD = "lead"
    """Leads the candidate today, as the next one leads their lead."""
    MANAGER = "manager"
    REVIEWING_LEAD = "reviewing-lead"
    """Gives the lead's review, as the next one the manager's."""
    REVIEWING_MANAGER = "reviewing-manager"
    EXECUTIVE = "executive"
    INTERVIEWER = "interviewer"
    HR = "hr"


CHANGING = frozenset({Role.REVIEWING_LEAD, Role.REVIEWING_MANAGER, Role.EXECUTIVE, Role.HR})
"""Who needs an etag."""
REVIEWING = CHANGING | {Role.LEAD, Role.MANAGER}
"""Who reads what was said of the candidate by name, but for interviews and objections."""


def why_apart(
    state: State,
    competition: CompetitionState,
    directory: Directory,
    caller_id: str,
    rivals: frozenset[str],
    objected: bool,
    day: date,
) -> str:
    """Why somebody of the panel must not judge a candidate on a day; empty: nothing, or they are not of it.

    `objected`: they have, ever, to any candidacy of the candidate.
    """
    if caller_id not in competition.panel.interviewer_ids or not directory.employed(caller_id, day):
        return ""
    if caller_id in rivals:
        return "they compete for the same post"
    held = relations(directory, caller_id, state.applied.employee_id, day)
    if f"user:{caller_id}" in state.apart or held & {Relation.LEAD, Relation.MANAGER}:
        return "neither lead nor manager interviews a candidate"
    if caller_id not in competition.judges_of(state.applied.candidacy_id):
        return "a conflict of interest was declared"
    return "they have objected to the candidate before" if objected else ""


def roles(
    state: State,
    competition: CompetitionState,
    directory: Directory,
    caller_id: str,
    rivals: frozenset[str],
    apart: str,
    day: date,
) -> frozenset[Role]:
    """What a caller is to a candidacy on a day; `apart`: why they must not interview.

    Whoever competes for the same post is nothing to it. HR of the panel is an interviewer only until nobody can give a
    score any more, and nothing to a candidate whom they must not judge. The lead and the manager are those of the day
    of the application, as long as they are employed, or else those of the day; where there is nobody, or a rival, it is
    HR. Whoever leads somebody is nothing to them where both compete.
    """
    employee_id = state.applied.employee_id
    if caller_id == employee_id:
        return frozenset({Role.CANDIDATE})
    if not directory.employed(caller_id, day):
        return frozenset()
    if caller_id in rivals:
        return frozenset()
    on_panel = caller_id in competition.panel.interviewer_ids
    interviewing = {Role.INTERVIEWER} if on_panel and not apart else set[Role]()
    held = relations(directory, caller_id, employee_id, day)
    lead = directory.lead_over(employee_id, day)
    manager = directory.lead_over(lead, day)
    reviewing = {
        Role.REVIEWING_LEAD: _reviewer(directory, state.applied.lead_id, lead, rivals, day),
        Role.REVIEWING_MANAGER: _reviewer(directory, state.applied.manager_id, manager, rivals, day),
    }
    judges_apart = on_panel and (not competition.is_judged or apart)
    by_hr = Relation.HR in held and not judges_apart
    found = interviewing | {role for role, one in reviewing.items() if one == caller_id or (not one and by_hr)}
    found |= {Role.HR} if by_hr else set()
    found |= {Role(one.value) for one in held & {Relation.LEAD, Relation.MANAGER}}
    found |= {Role.EXECUTIVE} if Relation.EXECUTIVE in held and state.applied.two_levels else set()
    return frozenset(found)


def _reviewer(directory: Directory, then_id: str, now_id: str, rivals: frozenset[str], day: date) -> str:
    """Who reviews; empty: HR in their place."""
    one = then_id if directory.employed(then_id, day) else now_id
    return "" if one in rivals else one


def to_resource(
    state: State, competition: CompetitionState, position: int, held: frozenset[Role], caller_id: str
) -> Candidacy:
    """The candidacy as somebody may see it."""
    applied = state.applied
    shown = Candidacy(
        candidacy_id=applied.candidacy_id,
        competition_id=applied.competition_id,
        employee_id=applied.employee_id,
        state=state.stage,
        motivation=applied.motivation,
        applied_date=applied.applied_date,
        eligibility=applied.eligibility,
        two_levels=applied.two_levels,
        lead_id=applied.lead_id,
        manager_id=applied.manager_id,
        interviews=[_interview(one, competition, held) for one in _interviews(state, competition, held, caller_id)],
    )
    if held.isdisjoint(REVIEWING | {Role.CANDIDATE}):
        for name in ("criteria", "changes", "eligible_from"):  # conduct, ratings and PIPs are not the panel's business
            shown.eligibility.ClearField(name)
        return shown
    _put_reviews(shown, state)
    _put_decisions(shown, state, competition)
    if Role.HR in held or CandidacyScored in state.told:
        peers = state.last(PeersScored)
        shown.peers_closed, shown.peers = PeersScored in state.told, peers.peers
        if peers.HasField("mean"):
            shown.peers_mean.CopyFrom(peers.mean)
    if Role.HR not in held:
        _hide_others(shown)
    if Role.CANDIDATE in held:
        _hide_names(shown, caller_id)
    if not held.isdisjoint(CHANGING):
        shown.etag, shown.log_position = str(position), position
    return shown


def _interviews(
    state: State, competition: CompetitionState, held: frozenset[Role], caller_id: str
) -> list[InterviewScored]:
    """For an interviewer their own, and all once nobody can give a score any more; for others once they are scored."""
    every = list(state.interviews.values())
    if Role.INTERVIEWER in held and not competition.is_judged:
        return [one for one in every if one.interviewer_id == caller_id]
    return every if CandidacyScored in state.told or held & {Role.HR, Role.INTERVIEWER} else []


def _interview(
    scored: InterviewScored, competition: CompetitionState, held: frozenset[Role]
) -> Candidacy.InterviewScore:
    not_counted = None
    if scored.interviewer_id not in competition.judges_of(scored.candidacy_id):
        declared = competition.conflicts_of(scored.candidacy_id).get(scored.interviewer_id, ConflictDeclared())
        not_counted = Candidacy.InterviewScore.NotCounted(
            reason=declared.reason, declared_by=declared.declared_by, declared_date=declared.declared_date
        )
        if Role.HR not in held:
            not_counted.Clear()
    return Candidacy.InterviewScore(
        not_counted=not_counted,
        interviewer_id=scored.interviewer_id if held & {Role.HR, Role.INTERVIEWER} else "",
        answers=scored.answers,
        notes=scored.notes,
        points=scored.points,
        full_points=scored.full_points,
    )


def _put_reviews(shown: Candidacy, state: State) -> None:
    if LeadReviewed in state.told:
        lead = state.last(LeadReviewed)
        shown.lead_review.recommended, shown.lead_review.interview_date = lead.recommended, lead.interview_date
        shown.lead_review.report, shown.lead_review.reviewed_by = lead.report, lead.reviewed_by
    if ManagerReviewed in state.told:
        manager = state.last(ManagerReviewed)
        shown.manager_review.approved, shown.manager_review.score = manager.approved, manager.score
        shown.manager_review.report, shown.manager_review.reviewed_by = manager.report, manager.reviewed_by
    if TwoLevelsReviewed in state.told:
        executive = state.last(TwoLevelsReviewed)
        shown.two_levels_review.approved, shown.two_levels_review.reason = executive.approved, executive.reason
        shown.two_levels_review.reviewed_by = executive.reviewed_by
    if CandidacyScored in state.told:
        shown.score.CopyFrom(state.last(CandidacyScored).score)
    drifted = state.last(CandidacyDrifted)
    for name in ("eligibility", "score", "displacement"):
        if drifted.HasField(name):
            shown.drift.known_at = drifted.known_at
            getattr(shown.drift, name).CopyFrom(getattr(drifted, name))


def _put_decisions(shown: Candidacy, state: State, competition: CompetitionState) -> None:
    shown.rank = competition.rank_of(state.applied.candidacy_id)
    shown.listed_date, shown.notice_until = state.listed.listed_date, state.notice_until
    shown.objections.extend(_objection(state, one) for one in state.objections)
    approved = state.last(CandidacyApproved)
    shown.approved_date, shown.approved_by = approved.approved_date, approved.approved_by
    shown.approval_reason = approved.reason
    if approved.HasField("vacancies"):
        shown.vacancies.CopyFrom(approved.vacancies)
    shown.letter_date = state.last(LetterIssued).issued_date
    trained = state.last(PostTrainingPassed)
    shown.training_date = trained.passed_date
    shown.training_positions.extend(trained.record_positions)
    appointed = state.last(CandidacyAppointed)
    shown.start_date, shown.trial_until = appointed.start_date, appointed.trial_until
    withdrawn, rejected = state.last(CandidacyWithdrawn), state.last(CandidacyRejected)
    tried, closed = state.last(TrialEnded), state.last(CandidacyNotSelected)
    shown.ended_reason = withdrawn.reason or rejected.reason or tried.reason or _not_selected(state, competition)
    shown.ended_by = withdrawn.withdrawn_by or rejected.rejected_by or tried.decided_by
    shown.ended_date = max(withdrawn.withdrawn_date, rejected.rejected_date, tried.ended_date, closed.ended_date)


def _not_selected(state: State, competition: CompetitionState) -> str:
    """Why; empty for who was, or who ended otherwise."""
    if CandidacyNotSelected not in state.told:
        return ""
    if competition.stage == Competition.STATE_CANCELLED:
        return "The competition was cancelled."
    rank, seats = competition.rank_of(state.applied.candidacy_id), competition.opened.seats
    if not rank:
        return "The competition was closed."
    of = f"{rank} of {len(competition.ranked.ranking)} for {seats} {'seat' if seats == 1 else 'seats'}"
    return f"The competition was closed: ranked {of}."


def _objection(state: State, objection_id: str) -> Candidacy.Objection:
    raised, settled = state.objections[objection_id], state.settled.get(objection_id, ObjectionSettled())
    outcome = Candidacy.Objection.OUTCOME_OPEN
    if settled.settled_date:
        upheld = settled.upheld
        outcome = Candidacy.Objection.OUTCOME_UPHELD if upheld else Candidacy.Objection.OUTCOME_DISMISSED
    return Candidacy.Objection(
        objection_id=objection_id,
        reason=raised.reason,
        raised_by=raised.raised_by,
        raised_date=raised.raised_date,
        outcome=outcome,
        settlement_reason=settled.reason,
        settled_by=settled.settled_by,
        settled_date=settled.settled_date,
    )


def _hide_others(shown: Candidacy) -> None:
    """What HR only is told: who objected, in what words (which may tell who), whose interviews a score is made of, and
    whose facts displace the candidate.
    """
    for one in shown.objections:
        one.objection_id = one.raised_by = one.reason = ""
    for part in [*shown.score.parts, *shown.drift.score.parts]:
        del part.inputs[:]
        del part.not_counted[:]
    del shown.drift.displacement.candidacy_ids[:]


def _hide_names(shown: Candidacy, own_id: str) -> None:
    """What the candidate is not told: who reviewed, settled and decided, unless it was themself."""
    if shown.HasField("lead_review"):
        shown.lead_review.reviewed_by = ""
    if shown.HasField("manager_review"):
        shown.manager_review.reviewed_by = ""
    if shown.HasField("two_levels_review"):
        shown.two_levels_review.reviewed_by = ""
    shown.approved_by = ""
    for one in shown.objections:
        one.settled_by = ""
    if shown.ended_by != f"user:{own_id}":
        shown.ended_by = ""
