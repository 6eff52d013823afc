"""A candidacy: who says what when; every command in every state, and what is refused on the way."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import pytest
from google.protobuf.message import Message

from libs.common.errors import AlreadyExists, Invalid, NotAllowed, NotFound, Refused
from libs.common.rpc import MAX_MESSAGE_BYTES
from services.promotion import competition
from services.promotion.candidacy import CANDIDACY, lacking
from services.promotion.candidacy_rights import Role, to_resource
from services.promotion.candidacy_state import State
from stepladder.performance.v1.policy_pb2 import Calendar
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules
from stepladder.promotion.v1.candidacy_pb2 import (
    ActOnCandidacy,
    AppointCandidacyRequest,
    Candidacy,
    CountedBy,
    LapseApproval,
    MoveNotice,
    NoteDisplacement,
    NoteDrift,
    NotePeers,
    NoteScore,
    NoteTrialEnded,
    RaiseObjectionRequest,
    ReviewAsLeadRequest,
    ReviewAsManagerRequest,
    ReviewTwoLevelsRequest,
    ScoreInterviewRequest,
    SettleObjectionRequest,
)
from stepladder.promotion.v1.events_pb2 import (
    CandidacyAppointed,
    CandidacyApproved,
    CandidacyDrifted,
    CandidacyListed,
    NoticeMoved,
    ObjectionRaised,
    ObjectionSettled,
    PeersScored,
    PostTrainingPassed,
)
from stepladder.promotion.v1.score_pb2 import Displacement, Exact, Score
from tests.deciding import fold
from tests.machines.exploring import Step
from tests.promotion.candidacies import (
    AFTER_NOTICE,
    AGENT,
    ANSWERS,
    APPLIED_ON,
    APPLY,
    APPOINT,
    APPROVE,
    CANCEL,
    CHAIR,
    CHAIR_SAYS,
    CLOSE,
    COLLEAGUE,
    DISMISS,
    HR,
    INTERVIEW,
    LEAD,
    LEAD_SAYS,
    LETTER,
    LIST,
    LISTED_ON,
    MANAGER,
    MANAGER_SAYS,
    MEAN,
    MEDIATOR,
    NOTICE_UNTIL,
    OBJECTION,
    PANEL,
    PASSED,
    REJECT,
    RULES,
    SCORE,
    SEATS,
    STAGES,
    START,
    TRAINING,
    UPHOLD,
    WAY,
    WEEKDAYS,
    WITHDRAW,
    act,
    applying,
    by,
    counted_by,
    eligibility,
    note,
    said,
)

MONDAY = date(2026, 3, 23)


def after(*steps: Step, before: State | None = None) -> State:
    """The state after these, none of which is refused or changes nothing."""
    state = before or CANDIDACY.initial
    for step in steps:
        events = CANDIDACY.decide(state, step.command, step.context)
        assert events, step.name
        state = fold(CANDIDACY, state, events)
    return state


def at(stage: str) -> State:
    return after(*WAY[: STAGES[stage]])


def answer(state: State, step: Step) -> Sequence[Message]:
    return CANDIDACY.decide(state, step.command, step.context)


def outcome(state: State, step: Step) -> str:
    """The events, the reason of a refusal, or `-`: nothing."""
    try:
        return " + ".join(one.DESCRIPTOR.name for one in answer(state, step)) or "-"
    except Refused as refusal:
        return refusal.reason


def refused(state: State, step: Step) -> Refused:
    with pytest.raises(Refused) as raised:
        answer(state, step)
    assert raised.value.message
    return raised.value


TWO_LEVELS = replace(APPLY, command=applying(eligible=eligibility(levels=2)))
LET_IN = Displacement(within_seats=True, candidacy_ids=["c-another"])
BY_STATE: dict[str, dict[str, tuple[Step, str]]] = {
    stage: {
        "ReviewAsLead": (by(LEAD, LEAD_SAYS), "WRONG_STATE"),
        "ReviewAsManager": (by(MANAGER, MANAGER_SAYS), "WRONG_STATE"),
        "ReviewTwoLevels": (by(CHAIR, CHAIR_SAYS), "WRONG_STATE"),
        "ScoreInterview": (by(PANEL[0], INTERVIEW), "WRONG_STATE"),
        "RaiseObjection": (by(COLLEAGUE, OBJECTION), "NOT_LISTED"),
        "SettleObjection": (by(MEDIATOR, DISMISS), "WRONG_STATE"),
        "ApproveCandidacy": (by(HR, APPROVE, AFTER_NOTICE), "WRONG_STATE"),
        "IssueLetter": (by(HR, LETTER), "WRONG_STATE"),
        "PassPostTraining": (by(HR, TRAINING, date(2026, 3, 31)), "WRONG_STATE"),
        "AppointCandidacy": (by(HR, APPOINT, START), "WRONG_STATE"),
        "WithdrawCandidacy": (by(AGENT, WITHDRAW), "WRONG_STATE"),
        "RejectCandidacy": (by(HR, REJECT), "WRONG_STATE"),
        "NoteScore": (note(NoteScore(score=SCORE)), "WRONG_STATE"),
        "ListCandidacy": (note(LIST), "WRONG_STATE"),
        "MoveNotice": (note(MoveNotice(calendar=WEEKDAYS)), "-"),
        "LapseApproval": (note(LapseApproval(candidacy_position=9)), "-"),
        "NotePeers": (note(NotePeers(peers=3, mean=MEAN)), "-"),
        "NoteTrialEnded": (note(NoteTrialEnded(passed=False, career_position=98)), "-"),
        "EndNotSelected": (CLOSE, "-"),
        "EndNotSelected (cancelled)": (CANCEL, "-"),
        "Apply": (APPLY, "-"),
        "NoteDrift": (note(NoteDrift(eligibility=eligibility(met=False), score=SCORE)), "CandidacyDrifted"),
        "NoteDisplacement": (note(NoteDisplacement(displacement=LET_IN)), "CandidacyDrifted"),
    }
    for stage in STAGES
}
OTHERWISE: dict[str, dict[str, str]] = {
    "nothing": {
        **dict.fromkeys(BY_STATE["nothing"], "CANDIDACY_NOT_FOUND"),
        "NoteScore": "WRONG_STATE",
        "ListCandidacy": "WRONG_STATE",
        "RaiseObjection": "NOT_LISTED",
        "Apply": "CandidacyApplied",
        **dict.fromkeys(["MoveNotice", "LapseApproval", "NoteTrialEnded", "NoteDrift", "NoteDisplacement"], "-"),
        **dict.fromkeys(["NotePeers", "EndNotSelected", "EndNotSelected (cancelled)"], "-"),
    },
    "APPLIED": {"ReviewAsLead": "LeadReviewed", "ReviewTwoLevels": "ONE_LEVEL"},
    "LEAD_REVIEWED": {"ReviewAsManager": "ManagerReviewed", "ReviewTwoLevels": "ONE_LEVEL"},
    "MANAGER_REVIEWED": {
        "ScoreInterview": "InterviewScored",
        "ReviewTwoLevels": "ONE_LEVEL",
        "NoteScore": "CandidacyScored",
    },
    "interviewed": {"ReviewTwoLevels": "ONE_LEVEL", "NoteScore": "CandidacyScored"},
    "SCORED": {"ReviewTwoLevels": "ONE_LEVEL", "ListCandidacy": "CandidacyListed"},
    "LISTED": {
        "RaiseObjection": "ObjectionRaised",
        "SettleObjection": "OBJECTION_NOT_FOUND",
        "LapseApproval": "ApprovalLapsed",
        "ApproveCandidacy": "CandidacyApproved",
    },
    "APPROVED": {"IssueLetter": "LetterIssued"},
    "LETTER_ISSUED": {"PassPostTraining": "PostTrainingPassed"},
    "TRAINED": {"AppointCandidacy": "CandidacyAppointed"},
    "APPOINTED": {"NoteTrialEnded": "TrialEnded"},
    "CONFIRMED": {},
}
DONE = {
    "ReviewAsLead": 2,
    "ReviewAsManager": 3,
    "ScoreInterview": 4,
    "NotePeers": 6,
    "NoteScore": 7,
    "ListCandidacy": 8,
    "ApproveCandidacy": 9,
    "IssueLetter": 10,
    "PassPostTraining": 11,
    "AppointCandidacy": 12,
}
"""From which step of the way on something has been said: saying it again changes nothing."""


UNTIL: dict[str, tuple[str, str]] = {
    "NotePeers": ("interviewed", "PeersScored"),
    "EndNotSelected": ("APPROVED", "CandidacyNotSelected"),
    "EndNotSelected (cancelled)": ("APPOINTED", "CandidacyNotSelected"),
    "WithdrawCandidacy": ("APPOINTED", "CandidacyWithdrawn"),
    "RejectCandidacy": ("APPOINTED", "CandidacyRejected"),
}
"""What leads to an event in every state before one."""


def expected(stage: str, name: str, usual: str) -> str:
    place = STAGES[stage]
    if (special := OTHERWISE[stage].get(name)) is not None:
        return special
    if place >= DONE.get(name, 99) and not (name == "NoteScore" and place > STAGES["SCORED"]):
        return "-"
    until, event = UNTIL.get(name, ("nothing", ""))
    return event if place < STAGES[until] else usual


@pytest.mark.parametrize("stage", STAGES)
def test_every_command_in_every_state(stage: str) -> None:
    """The event that follows, the reason of a refusal, or nothing."""
    state = at(stage)
    found = {name: outcome(state, step) for name, (step, _) in BY_STATE[stage].items()}
    assert found == {name: expected(stage, name, usual) for name, (_, usual) in BY_STATE[stage].items()}


def test_the_way_ends_in_a_post() -> None:
    """Every step of it said twice changes nothing the second time, and says what it rests on."""
    state = CANDIDACY.initial
    for step in WAY:
        events = answer(state, step)
        assert len(events) == 1
        state = fold(CANDIDACY, state, events)
        assert not answer(state, step)
    assert state.stage == Candidacy.STATE_CONFIRMED
    assert state.listed == CandidacyListed(
        candidacy_id=state.applied.candidacy_id,
        rank=1,
        listed_date="2026-03-20",
        notice_until="2026-03-27",
        notice_business_days=5,
        objections_pause_notice=True,
        calendar_id="site",
        calendar_position=7,
        calendar_version="no public holidays",
    )
    approved = state.last(CandidacyApproved)
    assert (approved.notice_until, approved.calendar_position, approved.vacancies) == ("2026-03-27", 7, SEATS)
    assert list(state.last(PostTrainingPassed).record_positions) == [64, 71]
    appointed = state.last(CandidacyAppointed)
    assert (appointed.start_date, appointed.trial_until) == ("2026-04-01", "2026-04-30")
    assert {event.employee_id for event in state.told.values() if "employee_id" in event.DESCRIPTOR.fields_by_name} == {  # type: ignore[attr-defined] # as asked
        AGENT
    }


@pytest.mark.parametrize("stage", ["APPLIED", "LEAD_REVIEWED", "MANAGER_REVIEWED", "SCORED", "LISTED", "TRAINED"])
def test_whoever_has_left_it_is_out(stage: str) -> None:
    """Withdrawn, rejected or not selected: nothing follows, and the same words again change nothing."""
    for step, ended in [
        (by(AGENT, WITHDRAW), Candidacy.STATE_WITHDRAWN),
        (by(HR, REJECT), Candidacy.STATE_REJECTED),
        (CANCEL, Candidacy.STATE_NOT_SELECTED),
    ]:
        state = after(step, before=at(stage))
        assert state.stage == ended
        assert not answer(state, step)
        for name, (other, _) in BY_STATE[stage].items():
            if name not in {"NoteDrift", "NoteDisplacement"}:
                assert outcome(state, other) in {"-", "WRONG_STATE", "NOT_LISTED"}, name


# ---- Applying


def test_a_criterion_that_is_not_met_is_named() -> None:
    refusal = refused(CANDIDACY.initial, replace(APPLY, command=applying(eligible=eligibility(met=False))))
    assert (refusal.reason, refusal.message) == (
        "NOT_ELIGIBLE",
        "not every criterion is met: tenure (asked for: 12 full months; found: 9)",
    )


def test_a_waiver_counts() -> None:
    """What is not met, and waived, is not in the way."""
    waived = eligibility(met=False)
    waived.eligible = True
    waived.criteria[1].waiver_position = 41
    state = after(replace(APPLY, command=applying(eligible=waived)))
    assert state.applied.eligibility == waived


def test_too_late() -> None:
    step = replace(APPLY, command=applying(closed="applications were taken until 2026-03-15"))
    assert refused(CANDIDACY.initial, step).reason == "APPLICATIONS_CLOSED"
    assert not answer(at("APPLIED"), step)  # who has applied in time has


def test_applied_in_other_words() -> None:
    refusal = refused(at("APPLIED"), replace(APPLY, command=applying(motivation="I learn fast")))
    assert isinstance(refusal, AlreadyExists)
    assert refusal.reason == "CANDIDACY_EXISTS"


# ---- Reviews


def test_a_lead_who_does_not_recommend_is_heard_and_no_more() -> None:
    """The manager decides; a manager's no ends it."""
    no = by(LEAD, said(ReviewAsLeadRequest, recommended=False, interview_date="2026-03-16", report="too early"))
    state = after(APPLY, no)
    assert state.stage == Candidacy.STATE_LEAD_REVIEWED
    assert after(by(MANAGER, MANAGER_SAYS), before=state).stage == Candidacy.STATE_MANAGER_REVIEWED
    refusal = by(MANAGER, said(ReviewAsManagerRequest, approved=False, report="too early"))
    ended = fold(CANDIDACY, state, answer(state, refusal))
    assert ended.stage == Candidacy.STATE_REJECTED
    assert not answer(ended, refusal)


@pytest.mark.parametrize("day", ["2026-03-15", "2026-03-17", "2026-02-30"])
def test_the_leads_interview_is_held_after_the_application(day: str) -> None:
    step = by(LEAD, said(ReviewAsLeadRequest, recommended=True, interview_date=day, report="calm"))
    assert refused(at("APPLIED"), step).reason == "DATE_INVALID"


@pytest.mark.parametrize(
    ("score", "parts", "approved"),
    [("", RULES.parts, True), ("85", RULES.parts[:1], True), ("85", RULES.parts, False)],
    ids=["none where it counts", "one where it does not", "one with a no"],
)
def test_a_managers_score_counts_or_is_not_given(
    score: str, parts: Sequence[CompetitionRules.Part], *, approved: bool
) -> None:
    request = said(ReviewAsManagerRequest, approved=approved, score=score, report="ready")
    refusal = refused(
        at("LEAD_REVIEWED"), Step(act(request, rules=CompetitionRules(parts=parts)), f"user:{MANAGER}", APPLIED_ON)
    )
    assert isinstance(refusal, Invalid)
    assert [one.field for one in refusal.violations] == ["score"]


@pytest.mark.parametrize(
    ("stage", "person", "request_", "reason"),
    [
        ("APPLIED", AGENT, LEAD_SAYS, "CONFLICT_OF_INTEREST"),
        ("LEAD_REVIEWED", LEAD, MANAGER_SAYS, "SEPARATION_OF_DUTIES"),
        ("MANAGER_REVIEWED", AGENT, INTERVIEW, "CONFLICT_OF_INTEREST"),
        ("MANAGER_REVIEWED", LEAD, INTERVIEW, "CONFLICT_OF_INTEREST"),
        ("MANAGER_REVIEWED", MANAGER, INTERVIEW, "CONFLICT_OF_INTEREST"),
        ("LISTED", AGENT, OBJECTION, "CONFLICT_OF_INTEREST"),
        ("LISTED", AGENT, APPROVE, "CONFLICT_OF_INTEREST"),
        ("LISTED", LEAD, APPROVE, "SEPARATION_OF_DUTIES"),
        ("LISTED", MANAGER, APPROVE, "SEPARATION_OF_DUTIES"),
        ("LISTED", PANEL[0], APPROVE, "SEPARATION_OF_DUTIES"),
        ("APPROVED", AGENT, LETTER, "CONFLICT_OF_INTEREST"),
        ("LETTER_ISSUED", AGENT, TRAINING, "CONFLICT_OF_INTEREST"),
        ("TRAINED", AGENT, APPOINT, "CONFLICT_OF_INTEREST"),
        ("LISTED", AGENT, REJECT, "CONFLICT_OF_INTEREST"),
    ],
)
def test_nobody_decides_for_themself_or_twice(stage: str, person: str, request_: Message, reason: str) -> None:
    assert refused(at(stage), by(person, request_, AFTER_NOTICE)).reason == reason


@pytest.mark.parametrize("stage", ["APPLIED", "LEAD_REVIEWED", "MANAGER_REVIEWED", "LISTED", "TRAINED"])
def test_a_conflict_that_was_looked_up(stage: str) -> None:
    """A rival, an interviewer of whom one was declared: whatever they want to say."""
    one = {"APPLIED": LEAD_SAYS, "LEAD_REVIEWED": MANAGER_SAYS, "MANAGER_REVIEWED": INTERVIEW}
    request = one.get(stage) or (APPROVE if stage == "LISTED" else APPOINT)
    step = Step(act(request, conflict="they compete for the same post"), f"user:{COLLEAGUE}", START)
    refusal = refused(at(stage), step)
    assert (refusal.reason, refusal.message) == ("CONFLICT_OF_INTEREST", "they compete for the same post")


# ---- Two levels


def test_two_levels_need_the_executive() -> None:
    """Without a yes nobody is listed; with a no it is over."""
    scored = after(TWO_LEVELS, *WAY[1:7])
    peer = Step(act(CHAIR_SAYS, is_peer=True), f"user:{CHAIR}", APPLIED_ON)
    assert refused(scored, peer).reason == "SEPARATION_OF_DUTIES"
    assert refused(scored, by(PANEL[0], CHAIR_SAYS)).reason == "SEPARATION_OF_DUTIES"
    assert lacking(scored, PANEL, RULES) == ["the executive's review of two levels"]
    assert refused(scored, note(LIST, LISTED_ON)).reason == "TWO_LEVELS"
    assert refused(scored, by(LEAD, CHAIR_SAYS)).reason == "SEPARATION_OF_DUTIES"
    approved = after(by(CHAIR, CHAIR_SAYS), before=scored)
    assert not answer(approved, by(CHAIR, CHAIR_SAYS))
    assert after(note(LIST, LISTED_ON), before=approved).stage == Candidacy.STATE_LISTED
    no = said(ReviewTwoLevelsRequest, approved=False, reason="one at a time")
    assert refused(approved, by(CHAIR, no)).reason == "WRONG_STATE"
    events = answer(scored, by(CHAIR, no))
    assert [one.DESCRIPTOR.name for one in events] == ["TwoLevelsReviewed", "CandidacyRejected"]
    assert refused(approved, by(CHAIR, APPROVE, AFTER_NOTICE)).reason == "WRONG_STATE"
    listed = after(note(LIST, LISTED_ON), before=approved)
    assert refused(listed, by(CHAIR, APPROVE, AFTER_NOTICE)).reason == "SEPARATION_OF_DUTIES"


# ---- Interviews and peers


def test_an_interviewer_may_say_it_again_until_it_is_scored() -> None:
    """It takes the place of what was given before, and keeps its place in the order."""
    other = said(ScoreInterviewRequest, answers=ANSWERS, notes="on reflection")
    state = after(by(PANEL[0], other), before=at("interviewed"))
    assert list(state.interviews) == list(PANEL)
    assert state.interviews[PANEL[0]].notes == "on reflection"
    assert state.interviews[PANEL[0]].points == 24
    assert refused(at("SCORED"), by(PANEL[0], other)).reason == "WRONG_STATE"


def test_too_few_peers_have_no_mean() -> None:
    state = after(note(NotePeers(peers=2)), before=at("APPLIED"))
    scored = state.last(PeersScored)
    assert (scored.peers, scored.HasField("mean")) == (2, False)


def test_what_is_lacking() -> None:
    """By the rules' parts, and not of those on the panel who must not judge."""
    assert lacking(at("APPLIED"), PANEL, RULES) == [
        "the lead's review",
        "the manager's review",
        "the interview by e-iv1",
        "the interview by e-iv2",
        "the peers' scores, closed",
    ]
    assert lacking(at("interviewed"), PANEL, RULES) == []
    assert lacking(at("interviewed"), [*PANEL, LEAD, MANAGER, AGENT], RULES) == []
    assert lacking(at("interviewed"), [*PANEL, "e-iv3"], RULES) == ["the interview by e-iv3"]
    assert lacking(at("interviewed"), [PANEL[0], LEAD], RULES) == [
        "interviews by 2 people: of the panel only 1 may judge this candidate"
    ]
    assert lacking(at("MANAGER_REVIEWED"), [], CompetitionRules(parts=RULES.parts[1:2])) == []
    assert lacking(after(by(AGENT, WITHDRAW), before=at("APPLIED")), PANEL, RULES) == []


# ---- Notice and objections


def objecting(objection_id: str, day: date, person: str = COLLEAGUE) -> Step:
    return by(person, said(RaiseObjectionRequest, objection_id=objection_id, reason="x"), day)


def dismissing(objection_id: str, day: date, calendar: CountedBy = WEEKDAYS) -> Step:
    request = said(SettleObjectionRequest, objection_id=objection_id, upheld=False, reason="no")
    return Step(act(request, calendar=calendar), f"user:{MEDIATOR}", day)


def test_no_approval_while_the_notice_runs() -> None:
    """Not on its last day either; on a Saturday after it, why not."""
    listed = at("LISTED")
    for day in (LISTED_ON, MONDAY, NOTICE_UNTIL):
        assert refused(listed, by(HR, APPROVE, day)).reason == "NOTICE_RUNNING"
    assert answer(listed, by(HR, APPROVE, AFTER_NOTICE))


def test_an_open_objection_keeps_it() -> None:
    """Long after the notice too; settled, it pauses the days that it touched."""
    state = after(objecting("o-1", MONDAY), before=at("LISTED"))
    assert refused(state, by(HR, APPROVE, date(2026, 6, 1))).reason == "OBJECTION_OPEN"
    settled = after(dismissing("o-1", date(2026, 3, 24)), before=state)
    assert settled.notice_until == "2026-03-31"  # 25 26 27 30 31
    assert refused(settled, by(HR, APPROVE, date(2026, 3, 31))).reason == "NOTICE_RUNNING"
    assert answer(settled, by(HR, APPROVE, date(2026, 4, 1)))


def test_two_objections_pause_until_the_last_is_settled() -> None:
    state = after(objecting("o-1", MONDAY), objecting("o-2", date(2026, 3, 25), "e-other"), before=at("LISTED"))
    first = after(dismissing("o-1", date(2026, 3, 25)), before=state)
    assert first.last(ObjectionSettled).notice_until == ""
    assert first.open_objections == ["o-2"]
    both = after(dismissing("o-2", date(2026, 3, 26)), before=first)
    assert both.notice_until == "2026-04-02"  # 27 30 31 1 2


def test_rules_under_which_objections_pause_nothing() -> None:
    listing = type(LIST)()
    listing.CopyFrom(LIST)
    listing.objections_pause_notice = False
    state = after(note(listing, LISTED_ON), objecting("o-1", MONDAY), before=at("SCORED"))
    state = after(dismissing("o-1", NOTICE_UNTIL), before=state)
    assert state.notice_until == "2026-03-27"
    assert answer(state, by(HR, APPROVE, AFTER_NOTICE))


def test_an_objection_upheld_ends_it() -> None:
    state = after(objecting("o-1", MONDAY), before=at("LISTED"))
    events = answer(state, by(MEDIATOR, UPHOLD, MONDAY))
    assert [one.DESCRIPTOR.name for one in events] == ["ObjectionSettled", "CandidacyRejected"]
    ended = fold(CANDIDACY, state, events)
    assert not answer(ended, by(MEDIATOR, UPHOLD, MONDAY))


def test_who_settles_an_objection() -> None:
    """Nobody who raised one, reviewed the candidate or interviewed them, and whoever does it approves nothing."""
    state = after(objecting("o-1", MONDAY), objecting("o-2", MONDAY, HR), before=at("LISTED"))
    for person in (COLLEAGUE, HR, LEAD, MANAGER, PANEL[1]):
        assert refused(state, by(person, DISMISS, MONDAY)).reason == "SEPARATION_OF_DUTIES"
    settled = after(dismissing("o-1", MONDAY), dismissing("o-2", MONDAY), before=state)
    for person in (MEDIATOR, HR):
        assert refused(settled, by(person, APPROVE, date(2026, 5, 1))).reason == "SEPARATION_OF_DUTIES"
    assert answer(settled, by("e-hr3", APPROVE, date(2026, 5, 1)))


def test_objections_by_their_ids() -> None:
    state = after(objecting("o-1", MONDAY), before=at("LISTED"))
    assert not answer(state, objecting("o-1", date(2026, 3, 24)))
    assert refused(state, objecting("o-1", MONDAY, "e-other")).reason == "OBJECTION_EXISTS"
    settled = after(dismissing("o-1", MONDAY), before=state)
    assert not answer(settled, dismissing("o-1", date(2026, 3, 24)))
    assert refused(settled, by("e-hr3", UPHOLD, MONDAY)).reason == "OBJECTION_SETTLED"


def test_one_person_objects_three_times() -> None:
    """Those that were settled count, too; what was said before may be said again, and others are free to object."""
    three = after(*(objecting(f"o-{one}", MONDAY) for one in range(3)), before=at("LISTED"))
    three = after(dismissing("o-0", MONDAY), before=three)
    refusal = refused(three, objecting("o-3", MONDAY))
    assert (refusal.reason, "at most 3 times" in refusal.message) == ("TOO_MANY_OBJECTIONS", True)
    assert not answer(three, objecting("o-1", MONDAY))
    assert answer(three, objecting("o-3", MONDAY, "e-other"))


def test_as_many_objections_as_a_message_holds() -> None:
    """One hundred are open at once, of the longest words there are; when one is settled, there is room for one."""
    longest = "\N{GRINNING FACE}" * 5000
    raised = [
        ObjectionRaised(objection_id=f"o-{one}", reason=longest, raised_by=f"user:e-{one // 3}-objects")
        for one in range(100)
    ]
    full = fold(CANDIDACY, at("LISTED"), raised)
    refusal = refused(full, objecting("o-100", MONDAY, "e-other"))
    assert (refusal.reason, "settled" in refusal.message) == ("TOO_MANY_OBJECTIONS", True)
    shown = to_resource(full, competition.State(), 1, frozenset({Role.HR}), HR)
    assert len(shown.objections) == 100
    assert shown.ByteSize() < MAX_MESSAGE_BYTES
    assert answer(after(dismissing("o-0", MONDAY), before=full), objecting("o-100", MONDAY, "e-other"))


def test_a_calendar_that_changes_in_mid_notice() -> None:
    """Two days off more: the end moves, is told once, and approval counts anew by itself."""
    longer = counted_by(Calendar(days_off=["2026-03-26", "2026-03-27"]), 31)
    move = note(MoveNotice(calendar=longer), date(2026, 3, 24))
    listed = at("LISTED")
    moved = after(move, before=listed)
    assert moved.last(NoticeMoved) == NoticeMoved(
        candidacy_id=listed.applied.candidacy_id,
        notice_until="2026-03-31",
        calendar_position=31,
        calendar_version="no public holidays",
    )
    assert not answer(moved, move)
    approve = Step(act(APPROVE, calendar=longer), f"user:{HR}", AFTER_NOTICE)
    assert refused(listed, approve).reason == "NOTICE_RUNNING"  # nobody has told it yet
    back = after(note(MoveNotice(calendar=WEEKDAYS), date(2026, 3, 25)), before=moved)
    assert back.notice_until == "2026-03-27"
    shorter = counted_by(Calendar(days_worked=["2026-03-21", "2026-03-22"]), 32)
    assert not answer(listed, note(MoveNotice(calendar=shorter), MONDAY))


def test_a_calendar_that_changes_while_an_objection_pauses() -> None:
    """It counts when the objection is settled."""
    longer = counted_by(Calendar(days_off=["2026-03-26"]), 31)
    state = after(objecting("o-1", MONDAY), before=at("LISTED"))
    assert not answer(state, note(MoveNotice(calendar=longer), MONDAY))
    assert after(dismissing("o-1", MONDAY, longer), before=state).notice_until == "2026-03-31"  # 24 25 27 30 31


def test_a_peer_decides_nothing() -> None:
    """Who gave a score is told what a reviewer is told: from the words of a refusal nobody learns of a score."""
    listed = after(objecting("o-1", MONDAY), before=at("LISTED"))
    for state, request in ((at("LISTED"), APPROVE), (listed, DISMISS)):
        peer = refused(state, Step(act(request, is_peer=True), f"user:{HR}", AFTER_NOTICE))
        reviewer = refused(state, by(MANAGER, request, AFTER_NOTICE))
        assert (peer.reason, peer.message) == (reviewer.reason, reviewer.message)
        assert peer.reason == "SEPARATION_OF_DUTIES"


# ---- From the approval to the post


@pytest.mark.parametrize(("what", "reason"), [("seat", "NO_SEAT"), ("employed", "NOT_EMPLOYED")])
def test_neither_approved_nor_appointed_without_a_seat(what: str, reason: str) -> None:
    approve = Step(act(APPROVE, **{what: False}), f"user:{HR}", AFTER_NOTICE)
    assert refused(at("LISTED"), approve).reason == reason
    appoint = Step(act(APPOINT, **{what: False}), f"user:{HR}", START)
    assert refused(at("TRAINED"), appoint).reason == reason


def test_training_since_the_letter() -> None:
    """What was passed before counts for nothing; what is missing is named."""
    early = ActOnCandidacy.CoursePassed(course_id="law", date="2026-03-29", record_position=50)
    step = Step(act(TRAINING, passed=[PASSED[0], early]), f"user:{HR}", date(2026, 4, 1))
    refusal = refused(at("LETTER_ISSUED"), step)
    assert (refusal.reason, refusal.message) == ("TRAINING_MISSING", "not passed since the letter of 2026-03-30: law")
    none = Step(act(TRAINING, passed=[], rules=CompetitionRules()), f"user:{HR}", date(2026, 4, 1))
    assert answer(at("LETTER_ISSUED"), none)


@pytest.mark.parametrize(
    ("start", "rules", "until"),
    [
        ("2026-04-01", CompetitionRules(trial_weeks=2), "2026-04-14"),
        ("2026-04-15", CompetitionRules(trial_months=1), "2026-05-14"),
        ("2027-01-31", CompetitionRules(trial_months=1), "2027-02-27"),
    ],
)
def test_how_long_the_trial_is(start: str, rules: CompetitionRules, until: str) -> None:
    request = said(AppointCandidacyRequest, start_date=start)
    (event,) = answer(at("TRAINED"), Step(act(request, rules=rules), f"user:{HR}", START))
    assert isinstance(event, CandidacyAppointed)
    assert event.trial_until == until


@pytest.mark.parametrize("day", ["2026-03-31", "2027-04-03", "2026-06-31"])
def test_appointed_for_a_day_to_come(day: str) -> None:
    assert refused(at("TRAINED"), by(HR, said(AppointCandidacyRequest, start_date=day), START)).reason == "DATE_INVALID"


def test_a_trial_that_fails() -> None:
    failed = note(NoteTrialEnded(passed=False, career_position=98))
    state = after(failed, before=at("APPOINTED"))
    assert state.stage == Candidacy.STATE_RETURNED
    assert not answer(state, failed)


# ---- Drift


def test_drift_is_said_once_and_when_it_is_gone() -> None:
    """Another outcome, another total; the same again is silence, and as it was is said, too."""
    same = NoteDrift(eligibility=eligibility(), score=SCORE, known_at=200)
    state = at("LISTED")
    assert not answer(state, note(same))
    other = NoteDrift(eligibility=eligibility(met=False), score=SCORE, known_at=201)
    drifted = after(note(other), before=state)
    assert drifted.last(CandidacyDrifted).eligibility == eligibility(met=False)
    assert not drifted.last(CandidacyDrifted).HasField("score")
    other.known_at = 202
    assert not answer(drifted, note(other))
    total = Score(total="80.0", exact_total=Exact(numerator="80", denominator="1", value="80"))
    more = after(note(NoteDrift(eligibility=eligibility(met=False), score=total)), before=drifted)
    assert more.last(CandidacyDrifted).score.total == "80.0"
    gone = after(note(same), before=more)
    assert gone.last(CandidacyDrifted) == CandidacyDrifted(candidacy_id=state.applied.candidacy_id, known_at=200)
    assert not answer(gone, note(same))


def test_wording_and_positions_are_no_drift() -> None:
    """Met by another number, out of other facts, under dispute: it comes out the same."""
    state = at("LISTED")
    other = eligibility()
    for one in other.criteria:
        one.actual, one.disputed = "in other words", True
        one.evidence_positions.append(999)
    score = Score()
    score.CopyFrom(SCORE)
    score.known_at = 999
    assert not answer(state, note(NoteDrift(eligibility=other, score=score)))


def test_before_it_is_scored_only_eligibility_drifts() -> None:
    assert not answer(at("APPLIED"), note(NoteDrift(eligibility=eligibility(), score=SCORE)))


def test_a_displacement_is_said_beside_the_candidates_own_drift() -> None:
    """By others' facts it comes and goes, and leaves what was said of the candidate's own; these leave it."""
    own = NoteDrift(eligibility=eligibility(met=False), score=SCORE, known_at=201)
    displace = NoteDisplacement(displacement=LET_IN, known_at=202)
    state = after(note(displace), before=after(note(own), before=at("LISTED")))
    drifted = state.last(CandidacyDrifted)
    assert (drifted.eligibility, drifted.displacement, drifted.known_at) == (eligibility(met=False), LET_IN, 202)
    assert not answer(state, note(displace))
    assert not answer(state, note(own))
    own_gone = after(note(NoteDrift(eligibility=eligibility(), score=SCORE, known_at=203)), before=state)
    assert own_gone.last(CandidacyDrifted).displacement == LET_IN
    assert not own_gone.last(CandidacyDrifted).HasField("eligibility")
    by_another = NoteDisplacement(displacement=Displacement(within_seats=True, candidacy_ids=["c-third"]))
    assert after(note(by_another), before=state).last(CandidacyDrifted).displacement == by_another.displacement
    gone = after(note(NoteDisplacement(known_at=204)), before=state)
    assert not gone.last(CandidacyDrifted).HasField("displacement")
    assert gone.last(CandidacyDrifted).HasField("eligibility")
    assert not answer(gone, note(NoteDisplacement(known_at=205)))


# ---- Anything twice


@pytest.mark.parametrize("stage", STAGES)
def test_said_twice_is_said_once(stage: str) -> None:
    state = at(stage)
    for name, (step, _) in BY_STATE[stage].items():
        try:
            events = answer(state, step)
        except Refused:
            continue
        assert not answer(fold(CANDIDACY, state, events), step), name


def test_nothing_is_done_to_what_is_not_there() -> None:
    assert isinstance(refused(CANDIDACY.initial, by(HR, REJECT)), NotFound)
    assert isinstance(refused(at("APPLIED"), by(HR, APPROVE)), NotAllowed)


def test_the_executive_who_leads_the_candidate_leaves_two_levels_to_another() -> None:
    """Otherwise nobody could review it as the manager any more; nor is it reviewed by one person in two parts."""
    applied = after(TWO_LEVELS)
    for person in (LEAD, MANAGER):
        assert refused(applied, by(person, CHAIR_SAYS)).reason == "SEPARATION_OF_DUTIES"
    reviewed = after(by(CHAIR, CHAIR_SAYS), before=applied)
    assert refused(reviewed, by(CHAIR, LEAD_SAYS)).reason == "SEPARATION_OF_DUTIES"
