"""PIPs for tests: who is who, what each says, and the path through every state."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

from google.protobuf.message import Message

from libs.common.eventsourcing import Context
from services.coaching.pip import PIP
from services.coaching.pip_state import State
from stepladder.coaching.v1.measure_pb2 import Measure, Measured
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
    OverridePipPreconditionRequest,
    PausePipRequest,
    Pip,
    PipContent,
    PipDays,
    PipElement,
    PipEvidence,
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
from stepladder.performance.v1.kpi_pb2 import Kpi
from stepladder.performance.v1.policy_pb2 import PipRules
from tests.deciding import TODAY, fold

R = TypeVar("R", bound=Message)

AGENT, LEAD, HR, HR2, NEUTRAL, WITNESS = "e-1", "e-9", "h-1", "h-2", "n-1", "w-1"
HR_PEOPLE = {HR, HR2}
IDS: dict[str, Any] = {"employee_id": AGENT, "pip_id": "pip-1"}
HOLIDAY = date(2026, 4, 3)
"""A Friday."""
RULES = PipRules(
    evidence_days=365,
    minimum_business_days=5,
    maximum_business_days=60,
    review_business_days=10,
    extension_business_days=10,
    acknowledgement_business_days=2,
    appeal_business_days=5,
    decision_business_days=3,
)


@cache
def weekdays(first: date = date(2026, 3, 1)) -> BusinessDays:
    """Monday to Friday from a day on, but for the holiday."""
    days = (first + timedelta(days=number) for number in range(400))
    dates = [day.isoformat() for day in days if day.isoweekday() < 6 and day != HOLIDAY]
    return BusinessDays(dates=dates, calendar_version="v1", calendar_position=7)


def measured(value: str = "93.0", start: str = "2026-02-01", end: str = "2026-02-28", known_at: int = 80) -> Measured:
    return Measured(
        measure=Measure(kpi_id="csat"),
        start_date=start,
        end_date=end,
        numerator=int(Decimal(value) * 10),
        denominator=1000,
        value=value,
        fact_positions=[65],
        known_at=known_at,
    )


def content(
    period: int = 20, reviews: Sequence[int] = (10,), *, minimum: str = "95", support: str = "a mentor"
) -> PipContent:
    evidence = PipEvidence(days=PipDays(start_date="2026-02-01", end_date="2026-02-28"), measured=measured())
    record = PipEvidence(log_position=70, date="2026-02-10", record_id="r-1")
    return PipContent(
        elements=[
            PipElement(
                element_id="csat",
                measure=Measure(kpi_id="csat"),
                standard="95 % in the period",
                minimum=minimum,
                definition=Kpi(aggregation=Kpi.AGGREGATION_RATIO, scale_numerator=100, scale_denominator=1),
                evidence=[evidence],
            ),
            PipElement(element_id="calls", conduct="hangs up on callers", standard="never", evidence=[record]),
        ],
        period_business_days=period,
        review_business_days=reviews,
        support=support,
        consequence="up to the end of employment",
        plan_id="p-1",
    )


def results(value: str = "94.0") -> list[ElementResult]:
    not_met = ElementResult.STANDARD_NOT_MET
    return [
        ElementResult(element_id="csat", measured=measured(value), standard=not_met),
        ElementResult(element_id="calls", standard=ElementResult.STANDARD_NOT_MEASURED),
    ]


def act(request: Message, actor: str, *, closed: str = "2026-03-01", rules: PipRules = RULES) -> ActOnPip:
    """The command for what somebody asks for, with what the directory and the rules say."""
    acting = ActOnPip(
        by_hr=actor in HR_PEOPLE,
        by_lead=actor == LEAD,
        business_days=weekdays(),
        rules=rules,
        rules_position=60,
        plan_closed_date=closed,
        results=results(),
        may_hear=True,
    )
    field = next(
        one for one in ActOnPip.DESCRIPTOR.oneofs_by_name["request"].fields if one.message_type == request.DESCRIPTOR
    )
    getattr(acting, field.name).CopyFrom(request)
    return acting


def said(kind: type[R], **fields: object) -> R:
    """A request about the one PIP."""
    return kind(**IDS, **fields)


DRAFT = said(DraftPipRequest, content=content())
EDIT = said(EditPipRequest, content=content(support="a mentor, and a course"))
OTHER_STANDARD = said(EditPipRequest, content=content(minimum="96"))
SUBMIT = said(SubmitPipRequest)
SEND_BACK = said(SendBackPipRequest, reason="which calls?")
OVERRIDE = said(OverridePipPreconditionRequest, reason="gross neglect")
APPROVE = said(ApprovePipRequest, etag="1")
DELIVER = said(DeliverPipRequest, note="in person")
ACKNOWLEDGE = said(AcknowledgePipRequest)
NAME_WITNESS = said(NamePipWitnessRequest, witness_id=WITNESS)
WITNESS_REFUSAL = said(WitnessPipRefusalRequest, note="read it, would not sign")
RESPOND = said(RespondToPipRequest, text="the goal is not fair")
HOLD = said(HoldPipCheckpointRequest, number=1, notes="better")
RESCHEDULE = said(ReschedulePipCheckpointRequest, number=1, date="2026-03-25", reason="audit")
PAUSE = said(PausePipRequest, reason="system outage")
RESUME = said(ResumePipRequest)
PROPOSE = said(ProposePipResultRequest, result=Pip.RESULT_NOT_PASSED, reason="below the standard")
PASS = said(DecidePipRequest, etag="1", result=Pip.RESULT_PASSED, reason="good enough")
EXTEND = said(
    DecidePipRequest,
    etag="1",
    result=Pip.RESULT_EXTENDED,
    reason="close",
    extension_business_days=10,
    review_business_days=[5],
)
FAIL = said(
    DecidePipRequest, etag="1", result=Pip.RESULT_NOT_PASSED, action=Pip.ACTION_TRANSFER, reason="to the back office"
)
APPEAL = said(AppealPipRequest, text="the mentor never came")
NAME_HEARER = said(NamePipHearerRequest, hearer_id=NEUTRAL)
UPHOLD = said(HearPipAppealRequest, overturned=False, reason="the mentor came twice a week")
OVERTURN = said(HearPipAppealRequest, overturned=True, reason="there was no help")
WITHDRAW = said(WithdrawPipRequest, reason="drawn up in haste")
REVIEW_DRIFT = said(ReviewPipDriftRequest, etag="1", note="it changes nothing")

PERIOD_OVER = date(2026, 4, 15)
"""Acknowledged on Monday 16 March, 20 business days and one holiday end on Tuesday 14 April."""
APPEAL_OVER = date(2026, 4, 23)
"""Decided on 15 April, the fifth business day after is the 22nd."""


@dataclass(frozen=True)
class Said:
    """A command as somebody gives it on a day."""

    command: Message
    actor: str
    today: date = TODAY

    @property
    def context(self) -> Context:
        return Context(now=datetime.combine(self.today, time(9), UTC), today=self.today, actor=self.actor)


def by(actor: str, request: Message, today: date = TODAY) -> Said:
    return Said(act(request, actor), f"user:{actor}", today)


def days_of(ran: Iterable[tuple[str, str]]) -> list[str]:
    """Each day of days that ran."""
    return [
        (date.fromisoformat(first) + timedelta(days=number)).isoformat()
        for first, until in ran
        for number in range((date.fromisoformat(until) - date.fromisoformat(first)).days)
    ]


def tick(today: date) -> Said:
    """The clock's call."""
    call = CallPip(pip_id="pip-1", business_days=weekdays(), results=results())
    return Said(call, "policy:pip-clock", today)


def leave(day: date, *, on_leave: bool = False, back: date | None = None, left: bool = False) -> Said:
    """The directory says that a leave begins, or is over, or that the employment is."""
    back_date = back.isoformat() if back else ""
    follow = FollowLeave(
        date=day.isoformat(), on_leave=on_leave, back_date=back_date, business_days=weekdays(), left=left
    )
    return Said(follow, "policy:pip-leaves", day)


ACTIVATE = [
    by(LEAD, DRAFT),
    by(LEAD, SUBMIT),
    by(HR, APPROVE),
    by(LEAD, DELIVER),
    by(AGENT, ACKNOWLEDGE),
]
PROPOSED = [*ACTIVATE, tick(PERIOD_OVER), by(LEAD, PROPOSE, PERIOD_OVER)]
DECIDED = [*PROPOSED, by(HR2, FAIL, PERIOD_OVER)]
HEARING = [*DECIDED, by(AGENT, APPEAL, PERIOD_OVER), by(HR2, NAME_HEARER, PERIOD_OVER)]
PATHS: dict[str, list[Said]] = {
    "nothing": [],
    "DRAFT": ACTIVATE[:1],
    "IN_REVIEW": ACTIVATE[:2],
    "APPROVED": ACTIVATE[:3],
    "DELIVERED": ACTIVATE[:4],
    "ACTIVE": ACTIVATE,
    "paused": [*ACTIVATE, by(HR, PAUSE)],
    "DECISION_DUE": PROPOSED[:-1],
    "PROPOSED": PROPOSED,
    "DECIDED": DECIDED,
    "APPEALED": HEARING,
    "final": [*DECIDED, tick(APPEAL_OVER)],
    "overturned": [*HEARING, by(NEUTRAL, OVERTURN, PERIOD_OVER)],
}


def events_of(state: State, given: Said) -> list[Message]:
    return list(PIP.decide(state, given.command, given.context))


def after(steps: Sequence[Said], state: State = PIP.initial) -> State:
    """The state after commands, each of which is taken."""
    for step in steps:
        events = events_of(state, step)
        assert events, step
        state = fold(PIP, state, events)
    return state
