"""A candidacy as people live it: who they are, what they say, and what was looked up for it."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TypeVar

from google.protobuf.message import Message

from services.promotion.candidacy import candidacy_key
from stepladder.performance.v1.policy_pb2 import Calendar
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules
from stepladder.promotion.v1.candidacy_pb2 import (
    ActOnCandidacy,
    ApplyRequest,
    AppointCandidacyRequest,
    ApproveCandidacyRequest,
    CountedBy,
    EndNotSelected,
    IssueLetterRequest,
    ListCandidacy,
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
from stepladder.promotion.v1.eligibility_pb2 import Criterion, Eligibility
from stepladder.promotion.v1.interview_pb2 import AnswerScore
from stepladder.promotion.v1.post_pb2 import Vacancies
from stepladder.promotion.v1.score_pb2 import Exact, Score
from tests.machines.exploring import Step

M = TypeVar("M", bound=Message)

AGENT, LEAD, MANAGER, CHAIR, COLLEAGUE = "e-1", "e-lead", "e-manager", "e-chair", "e-colleague"
PANEL = ("e-iv1", "e-iv2")
HR, MEDIATOR = "e-hr1", "e-hr2"
ID = candidacy_key("c-1", AGENT)

APPLIED_ON = date(2026, 3, 16)
LISTED_ON = date(2026, 3, 20)
"""A Friday."""
NOTICE_UNTIL = date(2026, 3, 27)
"""Five business days later."""
AFTER_NOTICE = date(2026, 3, 28)
START = date(2026, 4, 1)

RULES = CompetitionRules(
    parts=[
        CompetitionRules.Part(
            part_id="interview", weight="60", interview=CompetitionRules.Interview(minimum_interviewers=2)
        ),
        CompetitionRules.Part(part_id="manager", weight="20", manager=CompetitionRules.Manager()),
        CompetitionRules.Part(part_id="peers", weight="20", peers=CompetitionRules.Peers(minimum=3)),
    ],
    notice_business_days=5,
    objections_pause_notice=True,
    course_ids=["leading", "law"],
    trial_months=1,
)


def counted_by(calendar: Calendar, position: int = 7, since: str = "2026-01-01") -> CountedBy:
    version = CountedBy.Version(effective_date=since, calendar=calendar, position=position)
    return CountedBy(versions=[version])


WEEKDAYS = counted_by(Calendar())
SEATS = Vacancies(headcount=3, occupied=2, claimed=1, post_position=12)
SCORE = Score(candidacy_id=ID, total="81.5", exact_total=Exact(numerator="163", denominator="2", value="81.5"))
MEAN = Exact(numerator="250", denominator="3", value="83.333333")
PASSED = [
    ActOnCandidacy.CoursePassed(course_id="leading", date="2026-03-30", record_position=71),
    ActOnCandidacy.CoursePassed(course_id="law", date="2026-03-31", record_position=64),
]


def eligibility(*, met: bool = True, levels: int = 1) -> Eligibility:
    criteria = [
        Criterion(name="employment", required="employed", actual="employed", met=True),
        Criterion(name="tenure", required="12 full months", actual="14" if met else "9", met=met),
    ]
    return Eligibility(employee_id=AGENT, as_of="2026-03-16", eligible=met, criteria=criteria, levels=levels)


def applying(
    employee_id: str = AGENT, *, closed: str = "", eligible: Eligibility | None = None, motivation: str = "I lead"
) -> ActOnCandidacy:
    return ActOnCandidacy(
        apply=ApplyRequest(competition_id="c-1", motivation=motivation),
        application=ActOnCandidacy.Application(
            candidacy_id=candidacy_key("c-1", employee_id),
            employee_id=employee_id,
            closed=closed,
            eligibility=eligible or eligibility(),
            lead_id=LEAD,
            manager_id=MANAGER,
        ),
    )


_FIELDS = {
    one.message_type.full_name: one.name
    for one in ActOnCandidacy.DESCRIPTOR.oneofs_by_name["request"].fields
    if one.message_type
}


def act(request: Message, **looked_up: object) -> ActOnCandidacy:
    """A request with what is looked up when all is well, or otherwise if it is said here."""
    well: dict[str, object] = {"rules": RULES, "calendar": WEEKDAYS, "vacancies": SEATS, "seat": True, "employed": True}
    well |= {"passed": PASSED}
    well |= {"interview": ActOnCandidacy.InterviewPoints(points=24, full_points=30, panel_position=20, bank_position=9)}
    return ActOnCandidacy(**{_FIELDS[request.DESCRIPTOR.full_name]: request}, **(well | looked_up))  # type: ignore[arg-type] # as named


def said(kind: type[M], **fields: object) -> M:
    return kind(candidacy_id=ID, **fields)


LEAD_SAYS = said(ReviewAsLeadRequest, recommended=True, interview_date="2026-03-16", report="keeps calm")
MANAGER_SAYS = said(ReviewAsManagerRequest, approved=True, score="85", report="ready")
CHAIR_SAYS = said(ReviewTwoLevelsRequest, approved=True, reason="saved the night shift")
ANSWERS = [AnswerScore(question_id="q-1", band=AnswerScore.BandScore(band_id="good", points=12))]
INTERVIEW = said(ScoreInterviewRequest, answers=ANSWERS, notes="clear")
OBJECTION = said(RaiseObjectionRequest, objection_id="o-1", reason="took my calls")
DISMISS = said(SettleObjectionRequest, objection_id="o-1", upheld=False, reason="the calls were theirs")
UPHOLD = said(SettleObjectionRequest, objection_id="o-1", upheld=True, reason="they were not theirs")
APPROVE = said(ApproveCandidacyRequest, reason="all in order")
LETTER = said(IssueLetterRequest)
TRAINING = said(PassPostTrainingRequest)
APPOINT = said(AppointCandidacyRequest, start_date="2026-04-01")
WITHDRAW = said(WithdrawCandidacyRequest, reason="moves to Riga")
REJECT = said(RejectCandidacyRequest, reason="left the line open")
LIST = ListCandidacy(
    rank=1,
    listed_date="2026-03-20",
    notice_business_days=5,
    objections_pause_notice=True,
    calendar_id="site",
    calendar=WEEKDAYS,
)


def by(person: str, command: Message, today: date = APPLIED_ON, said: str = "", called: str = "") -> Step:
    """What a person says on a day; a request is given with what is looked up when all is well."""
    if command.DESCRIPTOR.full_name in _FIELDS:
        called, command = called or command.DESCRIPTOR.name.removesuffix("Request"), act(command)
    return Step(command, f"user:{person}", today, said, called)


def note(command: Message, today: date = APPLIED_ON, said: str = "") -> Step:
    """What the program notes."""
    return Step(command, "policy:notes", today, said)


APPLY = Step(applying(), f"user:{AGENT}", APPLIED_ON, called="Apply")
WAY: Sequence[Step] = (
    APPLY,
    by(LEAD, LEAD_SAYS),
    by(MANAGER, MANAGER_SAYS),
    by(PANEL[0], INTERVIEW),
    by(PANEL[1], INTERVIEW),
    note(NotePeers(peers=3, mean=MEAN)),
    note(NoteScore(score=SCORE), LISTED_ON),
    note(LIST, LISTED_ON),
    by(HR, APPROVE, AFTER_NOTICE),
    by(HR, LETTER, date(2026, 3, 30)),
    by(HR, TRAINING, date(2026, 3, 31)),
    by(HR, APPOINT, START),
    note(NoteTrialEnded(passed=True, career_position=99), date(2026, 5, 2)),
)
"""From the application to the post."""
STAGES: Mapping[str, int] = {
    "nothing": 0,
    "APPLIED": 1,
    "LEAD_REVIEWED": 2,
    "MANAGER_REVIEWED": 3,
    "interviewed": 6,
    "SCORED": 7,
    "LISTED": 8,
    "APPROVED": 9,
    "LETTER_ISSUED": 10,
    "TRAINED": 11,
    "APPOINTED": 12,
    "CONFIRMED": 13,
}
"""How far along the way one is in a state."""
CLOSE = note(EndNotSelected(), AFTER_NOTICE)
CANCEL = note(EndNotSelected(cancelled=True), AFTER_NOTICE, "cancelled")
