"""What waits for somebody: found in few statements, however many employees, and put in the order of how late it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from libs.common.days import months_between, months_later
from libs.common.errors import NotKnown
from libs.common.service import Service
from libs.facts.catalogue import Rules
from libs.facts.relations import Relation, role_of
from services.coaching.duties import Duties, Leads, States, is_employed, is_on_leave
from services.coaching.pip import PIP, pip_key
from services.coaching.pip_state import PipState, user
from services.coaching.pip_turns import People, around, turns
from services.coaching.pips import Pips
from services.coaching.plans import Plans
from services.coaching.rules import Lookup, lookup
from services.coaching.session import interview_id
from services.coaching.sessions import Sessions
from services.coaching.suggestion import SUGGESTION
from services.coaching.suggestion_api import held
from services.coaching.suggestions import Suggestions
from services.coaching.training import TRAINING
from services.coaching.trainings import Trainings
from stepladder.coaching.v1.plan_pb2 import Plan
from stepladder.coaching.v1.session_pb2 import Session
from stepladder.coaching.v1.training_pb2 import Training
from stepladder.coaching.v1.worklist_pb2 import WorkItem

MOST = 500
"""Rows read of a kind, and employees looked at."""
INTERVIEW_MONTHS = 3
"""Months before this one whose interviews are waited for."""

PLAN_STEPS: Mapping[Plan.State.ValueType, WorkItem.Kind.ValueType] = {
    Plan.STATE_PROPOSED: WorkItem.KIND_ASSESS_PLAN,
    Plan.STATE_ASSESSED: WorkItem.KIND_DIAGNOSE_PLAN,
    Plan.STATE_DIAGNOSED: WorkItem.KIND_ACTIVATE_PLAN,
}
"""What a plan in a state waits for, whatever the facts say."""

TRAINING_STEPS: Mapping[Training.State.ValueType, WorkItem.Kind.ValueType] = {
    Training.STATE_REQUESTED: WorkItem.KIND_ACCEPT_TRAINING,
    Training.STATE_ACCEPTED: WorkItem.KIND_SCHEDULE_TRAINING,
    Training.STATE_SCHEDULED: WorkItem.KIND_HOLD_TRAINING,
    Training.STATE_HELD: WorkItem.KIND_CLOSE_TRAINING,
}
"""What a training in a state waits for: the trainer, or in the end whoever asked for it."""

_PIP = "/v1/employees/{employee_id}/pips/{id}"

CALLS: Mapping[WorkItem.Kind.ValueType, tuple[str, str]] = {
    WorkItem.KIND_ASSESS_PLAN: ("/v1/plans/{id}", "/v1/plans/{id}:assess"),
    WorkItem.KIND_DIAGNOSE_PLAN: ("/v1/plans/{id}", "/v1/plans/{id}:diagnose"),
    WorkItem.KIND_ACTIVATE_PLAN: ("/v1/plans/{id}", "/v1/plans/{id}:activate"),
    WorkItem.KIND_CLOSE_PLAN: ("/v1/plans/{id}", "/v1/plans/{id}:close"),
    WorkItem.KIND_REVIEW_DRIFT: ("/v1/plans/{id}", "/v1/plans/{id}:reviewDrift"),
    WorkItem.KIND_GOAL_OVER: ("/v1/plans/{id}", "/v1/plans/{id}:observe"),
    WorkItem.KIND_SCHEDULE_SESSION: ("/v1/plans/{id}", "/v1/sessions"),
    WorkItem.KIND_HOLD_SESSION: ("/v1/sessions/{id}", "/v1/sessions/{id}:hold"),
    WorkItem.KIND_ACKNOWLEDGE_SESSION: ("/v1/sessions/{id}", "/v1/sessions/{id}:acknowledge"),
    WorkItem.KIND_FOLLOW_UP_ACTION: ("/v1/sessions/{id}", "/v1/sessions/{id}/actions/{number}:followUp"),
    WorkItem.KIND_SCHEDULE_INTERVIEW: ("/v1/sessions?employeeId={employee_id}", "/v1/sessions"),
    WorkItem.KIND_CHECK_IN: ("/v1/employees/{id}/checkIns", "/v1/employees/{id}/checkIns"),
    WorkItem.KIND_ANSWER_SUGGESTION: (
        "/v1/employees/{employee_id}/suggestions/{id}",
        "/v1/employees/{employee_id}/suggestions/{id}:accept",
    ),
    **{
        kind: (_PIP, f"{_PIP}:{verb}")
        for kind, verb in (
            (WorkItem.KIND_SUBMIT_PIP, "submit"),
            (WorkItem.KIND_OVERRIDE_PIP_PRECONDITION, "overridePrecondition"),
            (WorkItem.KIND_APPROVE_PIP, "approve"),
            (WorkItem.KIND_DELIVER_PIP, "deliver"),
            (WorkItem.KIND_ACKNOWLEDGE_PIP, "acknowledge"),
            (WorkItem.KIND_HOLD_PIP_CHECKPOINT, "holdCheckpoint"),
            (WorkItem.KIND_PROPOSE_PIP_RESULT, "propose"),
            (WorkItem.KIND_DECIDE_PIP, "decide"),
            (WorkItem.KIND_NAME_PIP_WITNESS, "nameWitness"),
            (WorkItem.KIND_WITNESS_PIP_REFUSAL, "witnessRefusal"),
            (WorkItem.KIND_NAME_PIP_HEARER, "nameHearer"),
            (WorkItem.KIND_HEAR_PIP_APPEAL, "hearAppeal"),
            (WorkItem.KIND_RESUME_PIP, "resume"),
            (WorkItem.KIND_WITHDRAW_PIP, "withdraw"),
            (WorkItem.KIND_REVIEW_PIP_DRIFT, "reviewDrift"),
        )
    },
    WorkItem.KIND_ACCEPT_TRAINING: ("/v1/trainings/{id}", "/v1/trainings/{id}:accept"),
    WorkItem.KIND_SCHEDULE_TRAINING: ("/v1/trainings/{id}", "/v1/trainings/{id}:schedule"),
    WorkItem.KIND_HOLD_TRAINING: ("/v1/trainings/{id}", "/v1/trainings/{id}:hold"),
    WorkItem.KIND_CLOSE_TRAINING: ("/v1/trainings/{id}", "/v1/trainings/{id}:close"),
}
"""Where each kind is read, and what is called to do it."""
ABOUT_PIPS = frozenset(kind for kind, (read, _) in CALLS.items() if read == _PIP)


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose list it is: all about employees, and what waits for a person elsewhere (empty: HR); and who reads it."""

    reader: str
    in_hr: bool
    states: States
    leads: Leads
    rules: Rules
    person: str
    today: date
    until: date


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that waits for somebody (by default whoever leads the employee today; empty: HR), as what they are."""

    kind: WorkItem.Kind.ValueType
    id: str
    employee_id: str
    since: str
    due: str = ""
    number: int = 0
    for_id: str | None = None
    team_id: str = ""
    problem: str = ""
    party: WorkItem.Party.ValueType = WorkItem.PARTY_UNSPECIFIED


class Worklists:
    """Finds what waits; changes nothing. Each kind is one method, and one statement or two."""

    def __init__(
        self,
        service: Service,
        duties: Duties,
        plans: Plans,
        sessions: Sessions,
        suggestions: Suggestions,
        trainings: Trainings,
        pips: Pips,
    ) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._duties = duties
        self._plans = plans
        self._sessions = sessions
        self._suggestions = suggestions
        self._trainings = trainings
        self._pips = pips

    async def find(self, asked: Asked) -> tuple[list[WorkItem], bool]:
        """What waits, the latest first; and whether there is more of a kind than is read."""
        found = [
            await self._steps_of_plans(asked),
            await self._goals(asked),
            await self._sessions_of_plans(asked),
            await self._sessions_waiting(asked),
            await self._actions(asked),
            await self._interviews(asked),
            await self._check_ins(asked),
            await self._unanswered(asked),
            await self._open_trainings(asked),
            await self._open_pips(asked),
        ]
        waiting = [one for some in found for one in some]
        strangers = {_basis(one) for one in waiting} - asked.states.keys()
        states = {**asked.states, **(await self._duties.states(strangers))}
        in_force = lookup(asked.rules)
        items = [_item(one, asked, states, in_force) for one in waiting]
        items.sort(key=_order)
        return items, any(len(some) >= MOST for some in found)

    async def _steps_of_plans(self, asked: Asked) -> list[Waiting]:
        found: list[Waiting] = []
        for row in await self._plans.open(self._engine, asked.states, MOST):
            if kind := PLAN_STEPS.get(row.state):
                found.append(Waiting(kind, row.plan_id, row.employee_id, row.since_date))
            if row.reassessment_due:
                found.append(Waiting(WorkItem.KIND_CLOSE_PLAN, row.plan_id, row.employee_id, row.since_date))
            if row.drifted_date:
                found.append(Waiting(WorkItem.KIND_REVIEW_DRIFT, row.plan_id, row.employee_id, row.drifted_date))
        return found

    async def _goals(self, asked: Asked) -> list[Waiting]:
        rows = await self._plans.goals_over(self._engine, asked.states, asked.today.isoformat(), MOST)
        return [
            Waiting(WorkItem.KIND_GOAL_OVER, row.plan_id, row.employee_id, row.deadline, row.deadline, row.number)
            for row in rows
        ]

    async def _sessions_of_plans(self, asked: Asked) -> list[Waiting]:
        return [
            Waiting(
                WorkItem.KIND_SCHEDULE_SESSION,
                one.plan_id,
                one.employee_id,
                (one.due.day - timedelta(days=one.every)).isoformat(),
                one.due.day.isoformat(),
            )
            for one in await self._duties.sessions_of_plans(asked.states, asked.rules, asked.today, asked.today)
            if not (one.due.done or one.due.missed or one.ahead)
        ]

    async def _sessions_waiting(self, asked: Asked) -> list[Waiting]:
        today, until = asked.today.isoformat(), asked.until.isoformat()
        rows = await self._sessions.waiting(self._engine, asked.states, asked.person, until, MOST)
        hold, acknowledge = WorkItem.KIND_HOLD_SESSION, WorkItem.KIND_ACKNOWLEDGE_SESSION
        return [
            Waiting(
                hold, row.session_id, row.employee_id, "" if row.date > today else row.date, row.date, 0, row.lead_id
            )
            if row.state == int(Session.STATE_SCHEDULED)
            else Waiting(acknowledge, row.session_id, row.employee_id, row.held_date, for_id=row.employee_id)
            for row in rows
        ]

    async def _actions(self, asked: Asked) -> list[Waiting]:
        until = asked.until.isoformat()
        return [
            Waiting(
                WorkItem.KIND_FOLLOW_UP_ACTION,
                row.session_id,
                row.employee_id,
                row.held_date,
                row.due_date,
                row.number,
                row.owner_id,
            )
            for row in await self._sessions.open_actions(self._engine, asked.states, asked.person, until, MOST)
        ]

    async def _interviews(self, asked: Asked) -> list[Waiting]:
        today = asked.today
        months = months_between(f"{months_later(today, -INTERVIEW_MONTHS)}"[:7], f"{months_later(today, -1)}"[:7])
        return [
            Waiting(
                WorkItem.KIND_SCHEDULE_INTERVIEW,
                interview_id(one.employee_id, one.month),
                one.employee_id,
                f"{months_later(date.fromisoformat(f'{one.month}-01'), 1)}",
                one.due.day.isoformat() if one.due else "",
                problem=one.problem,
            )
            for one in await self._duties.interviews(asked.states, asked.rules, months)
            if (one.due or one.problem)
            and (one.session is None or one.session.state in (Session.STATE_MISSED, Session.STATE_CANCELLED))
        ]

    async def _check_ins(self, asked: Asked) -> list[Waiting]:
        return [
            Waiting(
                WorkItem.KIND_CHECK_IN, one.employee_id, one.employee_id, one.since.isoformat(), one.due.isoformat()
            )
            for one in await self._duties.check_ins(asked.states, asked.rules, asked.today)
            if one.due <= asked.until
        ]

    async def _unanswered(self, asked: Asked) -> list[Waiting]:
        gone = [] if asked.person else await self._leads_who_left(asked.today)
        keys = await self._suggestions.unanswered(self._engine, asked.person, gone, asked.today, MOST)
        found = [one.state for one in (await self._commands.known(SUGGESTION, keys)).values()]
        return [
            Waiting(
                WorkItem.KIND_ANSWER_SUGGESTION,
                one.raised.suggestion_id,
                one.raised.employee_id,
                one.raised.raised_date,
                one.raised.answer_due,
                for_id=asked.person,
            )
            for one in found
            if asked.person == ("" if one.is_escalated or one.reading_lead in gone else one.reading_lead)
            and held(one, asked.reader, employed=True, hr=asked.in_hr)
        ]

    async def _leads_who_left(self, today: date) -> list[str]:
        """Of those whom suggestions are addressed to that nobody has answered."""
        leads = await self._duties.states(await self._suggestions.waited_for(self._engine))
        return [lead_id for lead_id, state in leads.items() if not is_employed(state, today)]

    async def _open_trainings(self, asked: Asked) -> list[Waiting]:
        teams = [one for one in asked.leads.by_team if asked.leads.of_team(one, asked.today) == asked.person]
        ids = await self._trainings.open_trainings(self._engine, teams, asked.person, MOST)
        found: list[Waiting] = []
        for one in (await self._commands.known(TRAINING, ids)).values():
            requested, kind, day = one.state.requested, TRAINING_STEPS[one.state.stage], one.state.scheduled_date
            if kind == WorkItem.KIND_HOLD_TRAINING and day > asked.until.isoformat():
                continue
            close = kind == WorkItem.KIND_CLOSE_TRAINING
            found.append(
                Waiting(
                    kind,
                    requested.training_id,
                    "",
                    one.state.held.date or day or requested.requested_date,
                    "" if close else day,
                    for_id=requested.employee_id if close else requested.trainer_id,
                    team_id=requested.team_id,
                )
            )
        return found

    async def _open_pips(self, asked: Asked) -> list[Waiting]:
        knows = asked.in_hr or asked.reader == asked.person  # also of PIPs of others than whom the list is about
        employees = await self._pips.open_of(self._engine, asked.states, asked.person, MOST)
        keys = [
            pip_key(one)
            for one in employees
            if (knows or one in asked.states) and (one != asked.reader or one == asked.person)
        ]
        known = (await self._commands.known(PIP, keys)).values()
        pips = [one.state.pips[one.state.open_id] for one in known if one.state.open_id]
        states = {**asked.leads.states, **(await self._duties.states({one for pip in pips for one in around(pip)}))}
        found: list[Waiting] = []
        for pip in pips:
            employee_id = pip.drafted.employee_id
            for one in turns(pip, _people(pip, asked, states), asked.today, asked.until.isoformat()):
                theirs = one.person_id == asked.person and user(asked.reader) not in one.apart
                if theirs or (asked.person and employee_id in asked.states):
                    about = (one.kind, pip.drafted.pip_id, employee_id, one.since, one.due_date, one.number)
                    found.append(Waiting(*about, for_id=one.person_id, party=one.party))
        return found


def _people(pip: PipState, asked: Asked, states: States) -> People:
    employee = states[pip.drafted.employee_id]
    lead_id = asked.leads.of(employee, asked.today)
    there = {one for one in {*around(pip), lead_id} if one in states and is_employed(states[one], asked.today)}
    in_charge = {one for one in there if role_of(states[one]) == Relation.HR or asked.leads.lead(one, asked.today)}
    return People(lead_id, frozenset(there), frozenset(in_charge), is_on_leave(employee, asked.today))


def _order(one: WorkItem) -> tuple[Any, ...]:
    when = (-one.business_days_late, one.since_date or one.due_date)
    return (not one.problem, *when, one.kind, one.id, one.number)


def _basis(one: Waiting) -> str:
    """The employee by whose rules it is late."""
    return one.employee_id or one.for_id or ""


def _item(one: Waiting, asked: Asked, states: States, found: Lookup) -> WorkItem:
    state, today = states[_basis(one)], asked.today
    for_id = asked.leads.of(state, today) if one.for_id is None else one.for_id
    party = WorkItem.PARTY_LEAD if for_id else WorkItem.PARTY_HR
    if one.team_id and one.kind != WorkItem.KIND_CLOSE_TRAINING:
        party = WorkItem.PARTY_TRAINER
    late, problem = 0, one.problem
    if one.due and one.due < today.isoformat():
        in_force = found(state, today)
        try:
            late = in_force.days.between(date.fromisoformat(one.due), today)
        except NotKnown as error:
            problem = in_force.calendar_problem(error)
    path, action = CALLS[one.kind]
    parts = {"id": one.id, "number": one.number, "employee_id": one.employee_id}
    return WorkItem(
        kind=one.kind,
        id=one.id,
        number=one.number,
        employee_id=one.employee_id,
        waits_for=one.party or (WorkItem.PARTY_EMPLOYEE if for_id == one.employee_id else party),
        waits_for_id=for_id,
        since_date=one.since,
        due_date=one.due,
        business_days_late=late,
        problem=problem,
        path=path.format(**parts),
        team_id=one.team_id,
        action=f"POST {action.format(**parts)}",
    )
