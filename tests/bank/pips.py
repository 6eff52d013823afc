"""A PIP of an agent whose plan changed nothing, to its end; and one that HR does not let pass."""

from datetime import date
from typing import Any

from google.protobuf.message import Message
from grpc import StatusCode

from stepladder.coaching.v1.measure_pb2 import Measure
from stepladder.coaching.v1.pip_pb2 import (
    AcknowledgePipRequest,
    AppealPipRequest,
    ApprovePipRequest,
    DecidePipRequest,
    DeliverPipRequest,
    DraftPipRequest,
    EditPipRequest,
    ElementResult,
    GetPipRequest,
    HearPipAppealRequest,
    HoldPipCheckpointRequest,
    NamePipHearerRequest,
    Pip,
    PipContent,
    PipDays,
    PipElement,
    PipEvidence,
    ProposePipResultRequest,
    RespondToPipRequest,
    ReviewPipDriftRequest,
    SendBackPipRequest,
    SubmitPipRequest,
    WithdrawPipRequest,
)
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_CONFIRMED,
    EMPLOYMENT_STATUS_ON_LEAVE,
    ChangeEmploymentStatusRequest,
)
from tests.bank.bank import MOST_SHORT, Bank, by, later
from tests.bank.plans import Case, Coaching
from tests.bank.reckoning import AHT, SHORT, Days, business_day
from tests.refusals import refused
from tests.services.world import fact

PERIOD, REVIEW = 10, 5
"""Business days."""
LISTENED, CUT_OFF = 20, 5
"""The log ends before the PIP begins: what the lead counts by listening in on one day of it is made up here."""


class Improving:
    """Tells the two PIPs."""

    def __init__(self, bank: Bank, coaching: Coaching) -> None:
        self.bank = bank
        self.coaching = coaching
        self.told = ""

    async def say(self, caller: str, kind: type[Message], case: Case, **fields: Any) -> Pip:
        """A command about the case's PIP; what is done by facts names the etag that HR sees."""
        if kind in {ApprovePipRequest, DecidePipRequest, ReviewPipDriftRequest}:
            fields["etag"] = (await self.get(case)).etag
        pips = self.bank.world.pips
        method = getattr(pips, kind.DESCRIPTOR.name.removesuffix("Request"))
        pip: Pip = await self.bank.say(caller, method, kind(**_named(self.bank, case), **fields))
        return pip

    async def refused(self, caller: str, reason: str, request: Message) -> None:
        method = getattr(self.bank.world.pips, request.DESCRIPTOR.name.removesuffix("Request"))
        await refused(method(request, metadata=by(caller)), StatusCode.FAILED_PRECONDITION, reason)
        self.coaching.refusals += 1

    async def get(self, case: Case) -> Pip:
        request = GetPipRequest(**_named(self.bank, case))
        pip: Pip = await self.bank.world.pips.GetPip(request, metadata=by(self.bank.office.hr[0]))
        return pip

    def content(self, case: Case, support: str) -> PipContent:
        """Short calls below what the bank lets pass, on the evidence of the days that the plan ended with."""
        first, last = map(str, self.coaching.goal_days(case, SHORT))
        element = PipElement(
            element_id="short-calls",
            measure=Measure(kpi_id=SHORT),
            standard=f"at most {MOST_SHORT} short calls of a hundred",
            maximum=str(MOST_SHORT),
            evidence=[PipEvidence(days=PipDays(start_date=first, end_date=last))],
        )
        return PipContent(
            elements=[element],
            period_business_days=PERIOD,
            review_business_days=[REVIEW],
            support=support,
            consequence="other work, without calls",
            plan_id=case.plan_id,
        )

    async def issue(self, case: Case) -> None:
        """Drafted, sent back once, approved by somebody else than who wrote it, delivered and acknowledged."""
        bank, office = self.bank, self.bank.office
        draft = await self.say(office.lead, DraftPipRequest, case, content=self.content(case, "a headset"))
        measured = draft.content.elements[0].evidence[0].measured.value
        bank.expect(f"{case.agent}'s PIP: evidence", (measured, draft.coaching_done), (str(case.results[SHORT]), True))
        await self.say(office.lead, SubmitPipRequest, case)
        await self.say(office.hr[0], SendBackPipRequest, case, reason="a headset alone is no help")
        content = self.content(case, "a headset, and a trainer beside them on two days")
        await self.say(office.lead, EditPipRequest, case, content=content)
        await self.say(office.lead, SubmitPipRequest, case)
        await self.say(office.hr[0], ApprovePipRequest, case)
        await self.say(office.lead, DeliverPipRequest, case, note="in person")
        bank.go(later(bank.world.clock[0].date(), 1))
        active = await self.say(bank.employee(case.agent), AcknowledgePipRequest, case)
        first = business_day(later(bank.world.clock[0].date(), 1), 1, [bank.day_off])
        last = business_day(first, PERIOD, [bank.day_off])
        answered = (active.start_date, active.schedule.due_date, active.checkpoints[0].due_date)
        review = business_day(first, REVIEW, [bank.day_off])
        bank.expect(f"{case.agent}'s PIP: period", answered, (str(first), str(last), str(review)))

    async def try_without_coaching(self, case: Case) -> None:
        """Of somebody who improved: HR does not approve it, and the lead takes it back."""
        office = self.bank.office
        content = self.content(case, "none")
        element = content.elements[0]
        element.measure.kpi_id, element.maximum = AHT, "1"  # nobody is so fast
        element.standard = "at most a minute a call"
        await self.say(office.lead, DraftPipRequest, case, content=content)
        await self.say(office.lead, SubmitPipRequest, case)
        etag = (await self.get(case)).etag
        approve = ApprovePipRequest(**_named(self.bank, case), etag=etag)
        await self.refused(office.hr[0], "COACHING_NEEDED", approve)
        await self.say(office.lead, WithdrawPipRequest, case, reason="they have improved")

    async def run(self, case: Case) -> None:
        """Listened to, reviewed, interrupted by a leave from the day after the review, and due at last."""
        bank, lead = self.bank, self.bank.office.lead
        active = await self.get(case)
        start, review = map(date.fromisoformat, (active.start_date, active.checkpoints[0].due_date))
        listened = later(start, 3)
        bank.go(later(listened, 1))
        await bank.world.record(fact(bank.employee(case.agent), str(listened), SHORT, CUT_OFF, LISTENED))
        bank.reckoning.of(case.agent, listened).calls += LISTENED
        bank.reckoning.of(case.agent, listened).short += CUT_OFF
        bank.go(review)
        value = bank.reckoning.value(case.agent, SHORT, (start, later(review, -1)))
        held = await self.say(lead, HoldPipCheckpointRequest, case, number=1, notes="five of twenty were cut off")
        found = held.checkpoints[0].results[0]
        bank.expect(f"{case.agent}'s PIP: review", found.measured.value, str(value))
        away, back = later(review, 1), business_day(later(review, 1), 4, [bank.day_off])
        for status, day in ((EMPLOYMENT_STATUS_ON_LEAVE, away), (EMPLOYMENT_STATUS_CONFIRMED, back)):
            change = ChangeEmploymentStatusRequest(employee_id=bank.employee(case.agent), effective_date=str(day))
            change.status = status
            await bank.say(bank.office.hr[0], bank.world.directory.ChangeEmploymentStatus, change)
        bank.go(later(away, 1))
        await bank.settled()
        paused = await self.get(case)
        answered = (list(paused.pauses), paused.schedule.used_business_days, paused.schedule.due_date)
        bank.expect(f"{case.agent}'s PIP: leave", answered, ([Pip.PAUSE_LEAVE], REVIEW, ""))
        hold = HoldPipCheckpointRequest(**_named(bank, case), number=1, notes="once more")
        await self.refused(lead, "PAUSED", hold)
        await self.say(bank.employee(case.agent), RespondToPipRequest, case, text="I was tired.")
        bank.go(later(back, 1))
        await bank.settled()
        resumed = await self.get(case)
        last = business_day(back, PERIOD - REVIEW, [bank.day_off])
        bank.expect(f"{case.agent}'s PIP: back", (list(resumed.pauses), resumed.schedule.due_date), ([], str(last)))
        bank.go(later(last, 1))
        await bank.settled()
        due = await self.get(case)
        result = (Pip.State.Name(due.state), due.results[0].measured.value, due.results[0].standard)
        value = bank.reckoning.value(case.agent, SHORT, (start, last))
        wanted = ("STATE_DECISION_DUE", str(value), ElementResult.STANDARD_NOT_MET)
        self.told = (
            f"{case.agent}'s PIP: from {start} to {active.schedule.due_date}, away from {away}, back on {back}, so to "
            f"{last}; {SHORT} {value} where at most {MOST_SHORT} was asked; not passed, and upheld on appeal"
        )
        bank.expect(f"{case.agent}'s PIP: due", result, wanted)

    async def end(self, case: Case) -> None:
        """HR decides, the agent appeals, and somebody who had nothing to do with it hears them."""
        bank, office, agent = self.bank, self.bank.office, self.bank.employee(case.agent)
        not_passed: dict[str, Any] = {"result": Pip.RESULT_NOT_PASSED, "reason": "a quarter of the calls was cut off"}
        await self.say(office.lead, ProposePipResultRequest, case, **not_passed)
        etag = (await self.get(case)).etag
        alone = DecidePipRequest(**_named(bank, case), etag=etag, action=Pip.ACTION_TRANSFER, **not_passed)
        await refused(
            bank.world.pips.DecidePip(alone, metadata=by(office.lead)), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW"
        )
        self.coaching.refusals += 1
        decided = await self.say(office.hr[1], DecidePipRequest, case, action=Pip.ACTION_TRANSFER, **not_passed)
        bank.expect(f"{case.agent}'s PIP: decided", Pip.State.Name(decided.state), "STATE_DECIDED")
        bank.go(later(bank.world.clock[0].date(), 1))
        await self.say(agent, AppealPipRequest, case, text="Nobody sat beside me.")
        involved = NamePipHearerRequest(**_named(bank, case), hearer_id=office.hr[0])
        await self.refused(office.hr[1], "SEPARATION_OF_DUTIES", involved)
        await self.say(office.hr[1], NamePipHearerRequest, case, hearer_id=office.hr[2])
        uphold: dict[str, Any] = {"overturned": False, "reason": "The trainer was there on both days."}
        heard = await self.say(office.hr[2], HearPipAppealRequest, case, **uphold)
        bank.expect(f"{case.agent}'s PIP: end", Pip.Outcome.Name(heard.outcome), "OUTCOME_NOT_PASSED")

    async def look_at_late_drift(self, case: Case) -> None:
        """What it rested on was corrected long after: it says so, stays as it is, and is looked at."""
        pip = await self.get(case)
        now = self.bank.reckoning.value(case.agent, SHORT, self.coaching.goal_days(case, SHORT))
        shown = {one.pin: one.now.value for one in pip.drift.drifts}
        wanted = {"short-calls/evidence/1": str(now)}
        answered = (Pip.Outcome.Name(pip.outcome), pip.drift.reviewed, shown)
        self.bank.expect(f"{case.agent}'s PIP: long after", answered, ("OUTCOME_NOT_PASSED", False, wanted))
        await self.say(self.bank.office.hr[1], ReviewPipDriftRequest, case, note="It would have been decided alike.")

    def found_in_month(self) -> set[tuple[str, str]]:
        """Whom the presets find once February is over: a tenth of at least fifty calls were short ones."""
        reckoning = self.bank.reckoning
        february: Days = (reckoning.day(0).replace(day=1), later(reckoning.day(28).replace(day=1), -1))
        return set(reckoning.found(SHORT, february, 50, 0, 10))


def _named(bank: Bank, case: Case) -> dict[str, Any]:
    return {"employee_id": bank.employee(case.agent), "pip_id": pip_id(case)}


def pip_id(case: Case) -> str:
    """Of the PIP that follows a plan."""
    return f"pip-{case.plan_id}"
