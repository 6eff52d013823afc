"""gRPC: stepladder.coaching.v1.RhythmService."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date

from libs.common.days import month_of, months_between, months_later, parse_day
from libs.common.errors import FieldViolation, Invalid, NotFound
from libs.common.eventsourcing import Context
from libs.common.paging import page_of
from libs.common.service import Service
from libs.facts.callers import check_employees
from libs.facts.reaching import callers_to, check_over, check_related
from libs.facts.relations import Relation
from libs.facts.team import TEAM
from services.coaching.duties import Duties, Interview
from services.coaching.rhythm import Due
from services.coaching.session import SESSION, interview_id, to_resource
from services.coaching.session_api import reads
from services.coaching.sessions import Sessions
from stepladder.coaching.v1 import rhythm_pb2 as pb
from stepladder.coaching.v1.session_pb2 import Session

MOST_DAYS = 400
"""Of a lead's record."""
COUNTS = {
    pb.TIMELINESS_ON_TIME: "on_time",
    pb.TIMELINESS_LATE: "late",
    pb.TIMELINESS_NOT_YET: "not_yet",
    pb.TIMELINESS_OVERDUE: "overdue",
    pb.TIMELINESS_MISSED: "missed",
}
"""The field in which each is counted."""


class RhythmApi:
    """Implements the service."""

    def __init__(self, service: Service, duties: Duties, sessions: Sessions) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._duties = duties
        self._sessions = sessions

    async def ListInterviews(self, request: pb.ListInterviewsRequest, context: Context) -> pb.ListInterviewsResponse:
        in_hr = await self._check_team(request.team_id, context)
        await self._duties.catch_up()
        today, last = context.today, month_of(date.fromisoformat(f"{request.month}-01")).end
        states = await self._duties.members(request.team_id, min(last, today), max(last, today))
        leads = await self._duties.leads(min(last, today), max(last, today))
        interviews = await self._duties.interviews(states, await self._duties.rules(), [request.month])
        found: list[pb.Interview] = []
        for one in interviews:
            state, day = states[one.employee_id], min(one.due.day, today) if one.due else last
            if request.team_id in ("", state.team_on(day)):
                found.append(_interview(one, state.team_on(day), leads.of(state, day), today))
        page, token = page_of(request, found, lambda one: (one.team_id, one.employee_id))
        await self._tell_actions(page, context, everything=in_hr)
        return pb.ListInterviewsResponse(interviews=page, shares=_shares(found), next_page_token=token)

    async def GetLeadRecord(self, request: pb.GetLeadRecordRequest, context: Context) -> pb.LeadRecord:
        lead_id = request.lead_id
        await check_related(self._commands, context, [lead_id])
        await check_employees(self._commands, [lead_id])
        start, end = parse_day(request.start_date, "start_date"), parse_day(request.end_date, "end_date")
        if not 0 <= (end - start).days < MOST_DAYS:
            message = f"must be a day from start_date on, at most {MOST_DAYS} days"
            raise Invalid("DATE_INVALID", message, (FieldViolation("end_date", message),))
        await self._duties.catch_up()
        duties, problems = await self._by_rules(lead_id, start, end, context.today)
        duties += await self._named(lead_id, start, end, context.today)
        duties.sort(key=lambda one: (one.kind, one.due_date, one.id, one.number))
        return pb.LeadRecord(lead_id=lead_id, duties=duties, counts=_counts(duties), problems=problems)

    async def ListCheckInsDue(self, request: pb.ListCheckInsDueRequest, context: Context) -> pb.ListCheckInsDueResponse:
        await self._check_team(request.team_id, context)
        await self._duties.catch_up()
        today = context.today
        states = await self._duties.members(request.team_id, today, today)
        due = await self._duties.check_ins(states, await self._duties.rules(), today)
        page, token = page_of(request, due, lambda one: (one.due.isoformat(), one.employee_id))
        return pb.ListCheckInsDueResponse(
            due=[
                pb.CheckInDue(
                    employee_id=one.employee_id,
                    last_date=one.last,
                    due_date=one.due.isoformat(),
                    overdue=one.due < today,
                )
                for one in page
            ],
            next_page_token=token,
        )

    async def _check_team(self, team_id: str, context: Context) -> bool:
        """Refuses whoever is not to a team, or to the centre for an empty id, what the call's rule names.

        Answers whether the caller is in HR.
        """
        caller = await check_over(self._commands, context, team_id)
        if team_id and team_id not in await self._commands.known(TEAM, [team_id]):
            raise NotFound("TEAM_NOT_FOUND", f"there is no team {team_id}")
        return Relation.HR in caller.relations

    async def _tell_actions(self, interviews: Iterable[pb.Interview], context: Context, *, everything: bool) -> None:
        """Says what was agreed; in words to whoever reads the session, or of `everything`."""
        there = {one.session_id: one.employee_id for one in interviews if one.session_id}
        found = await self._commands.known(SESSION, there)
        callers = {} if everything else await callers_to(self._commands, context, set(there.values()))
        for one in interviews:
            if one.session_id:
                standing = found[one.session_id]
                texts = everything or reads(callers[one.employee_id], standing.state)
                told = to_resource(standing.state, standing.position, context.today, texts=texts)
                one.actions.extend(told.minutes.actions)

    async def _by_rules(self, lead_id: str, start: date, end: date, today: date) -> tuple[list[pb.Duty], list[str]]:
        """What fell due, by the rules, with whoever they led on the day; and why it cannot be told of some."""
        states, leads = await self._duties.led_by(lead_id, start, end), await self._duties.leads(start, end)
        rules = await self._duties.rules()
        # Twenty business days may take longer than the month after.
        months = months_between(f"{months_later(start, -2)}"[:7], f"{months_later(end, -1)}"[:7])
        found = [
            _duty(pb.Duty.KIND_RHYTHM, one.plan_id, one.employee_id, one.due, today)
            for one in await self._duties.sessions_of_plans(states, rules, start, today)
        ]
        interviews = await self._duties.interviews(states, rules, months)
        found += [
            _duty(pb.Duty.KIND_INTERVIEW, interview_id(one.employee_id, one.month), one.employee_id, one.due, today)
            for one in interviews
            if one.due
        ]
        span = (start.isoformat(), end.isoformat())
        theirs = [
            one
            for one in found
            if span[0] <= one.due_date <= span[1]
            and leads.of(states[one.employee_id], date.fromisoformat(one.due_date)) == lead_id
        ]
        return theirs, sorted({one.problem for one in interviews if one.problem})

    async def _named(self, lead_id: str, start: date, end: date, today: date) -> list[pb.Duty]:
        """What there was to do in sessions that they were named to hold."""
        span = (start.isoformat(), end.isoformat())
        found: list[pb.Duty] = []
        for row in await self._sessions.named_for(self._engine, lead_id, *span):
            due = Due(date.fromisoformat(row.date), date.fromisoformat(row.held_date) if row.held_date else None)
            found.append(_duty(pb.Duty.KIND_SESSION, row.session_id, row.employee_id, due, today))
            if row.held_date and not row.acknowledged:
                waiting = pb.Duty(due_date=row.held_date, timeliness=pb.TIMELINESS_NOT_YET, id=row.session_id)
                waiting.kind, waiting.employee_id = pb.Duty.KIND_ACKNOWLEDGEMENT, row.employee_id
                found.append(waiting)
        for row in await self._sessions.missed_by_date(self._engine, lead_id, *span):
            due = Due(date.fromisoformat(row.date), missed=True)
            duty = _duty(pb.Duty.KIND_SESSION, row.session_id, row.employee_id, due, today)
            duty.absent, duty.against_lead = row.absent, row.absent != Session.PARTY_EMPLOYEE
            found.append(duty)
        for row in await self._sessions.agreed_with(self._engine, lead_id, *span):
            done = date.fromisoformat(row.followed_up_date) if row.followed_up_date else None
            due = Due(date.fromisoformat(row.due_date), done)
            duty = _duty(pb.Duty.KIND_FOLLOW_UP, row.session_id, row.employee_id, due, today)
            duty.number = row.number
            found.append(duty)
        return found


def _interview(one: Interview, team_id: str, lead_id: str, today: date) -> pb.Interview:
    interview = pb.Interview(
        employee_id=one.employee_id,
        team_id=team_id,
        lead_id=lead_id,
        due_date=one.due.day.isoformat() if one.due else "",
        timeliness=one.due.timeliness(today) if one.due else pb.TIMELINESS_UNSPECIFIED,
        rules_position=one.rules.rules_position,
        calendar_position=one.rules.calendar_position,
        calendar_version=one.rules.calendar_version,
        problem=one.problem,
    )
    if one.session is not None:
        interview.session_id, interview.state = one.session.session_id, one.session.state
        interview.date, interview.held_date = one.session.date, one.session.held_date
    return interview


def _shares(interviews: Iterable[pb.Interview]) -> list[pb.InterviewShare]:
    counted = (pb.TIMELINESS_ON_TIME, pb.TIMELINESS_LATE, pb.TIMELINESS_OVERDUE)
    found = Counter((one.lead_id, one.timeliness) for one in interviews if one.timeliness in counted)
    return [
        pb.InterviewShare(
            lead_id=lead_id,
            on_time=found[lead_id, pb.TIMELINESS_ON_TIME],
            counted=sum(found[lead_id, one] for one in counted),
        )
        for lead_id in sorted({lead_id for lead_id, _ in found if lead_id})
    ]


def _duty(kind: pb.Duty.Kind.ValueType, duty_id: str, employee_id: str, due: Due, today: date) -> pb.Duty:
    timeliness = due.timeliness(today)
    return pb.Duty(
        kind=kind,
        id=duty_id,
        employee_id=employee_id,
        due_date=due.day.isoformat(),
        done_date=due.done.isoformat() if due.done else "",
        timeliness=timeliness,
        against_lead=timeliness in (pb.TIMELINESS_LATE, pb.TIMELINESS_OVERDUE, pb.TIMELINESS_MISSED),
    )


def _counts(duties: Sequence[pb.Duty]) -> list[pb.DutyCount]:
    counts = {kind: pb.DutyCount(kind=kind) for kind in sorted({one.kind for one in duties})}
    for one in duties:
        count, name = counts[one.kind], COUNTS[one.timeliness]
        setattr(count, name, getattr(count, name) + 1)
        count.against_lead += one.against_lead
    return list(counts.values())
