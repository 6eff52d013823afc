"""gRPC: stepladder.coaching.v1.PlanService."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from itertools import islice

from google.protobuf.message import Message

from libs.common.days import Span, parse_day
from libs.common.errors import Conflict, FieldViolation, Invalid, NotAllowed, NotFound
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page
from libs.common.projecting import Awaited, Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.callers import directory_around
from libs.facts.employee import EMPLOYEE
from libs.facts.reaching import Reaches, check_related
from services.coaching import goals
from services.coaching.drifting import Holder
from services.coaching.measuring import Ask, Measuring, definition
from services.coaching.plan import PLAN, State, coached_since, described, evidence_days, to_resource
from services.coaching.plan_rights import plan_for, shown
from services.coaching.plans import Plans
from services.coaching.rules import RuleBook
from stepladder.coaching.v1 import plan_pb2 as pb
from stepladder.coaching.v1.measure_pb2 import Measure, Measured
from stepladder.common.v1.envelope_pb2 import CommandNoted
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_LEFT
from stepladder.performance.v1.kpi_pb2 import Kpi


class PlanApi:
    """Implements the service: plans out of the log, lists by way of the read model, progress out of the facts."""

    def __init__(
        self,
        service: Service,
        reaches: Reaches,
        plans: Plans,
        follower: Follower,
        measuring: Measuring,
        rule_book: RuleBook,
        held: Holder[State],
        watch_follower: Awaited,
    ) -> None:
        self._service = service
        self._commands = service.commands
        self._reaches = reaches
        self._plans = plans
        self._follower = follower
        self._measuring = measuring
        self._rule_book = rule_book
        self._held = held
        self._watch_follower = watch_follower
        self._naming_mentors = asyncio.Lock()

    async def ProposePlan(self, request: pb.ProposePlanRequest, context: Context) -> pb.Plan:
        if request.HasField("evidence"):
            message = "evidence comes from the log by way of a detection; leave it empty and name the KPI"
            raise Invalid("EVIDENCE_NOT_TAKEN", message, (FieldViolation("evidence", message),))
        await check_related(self._commands, context, [request.employee_id])
        named = pb.ProposePlanRequest()
        named.CopyFrom(request)
        proposed = (await self._commands.load(PLAN, request.plan_id)).state.proposed
        again = proposed.employee_id == request.employee_id
        named.lead_id = proposed.lead_id if again else await self._lead_for(request, context.today)
        if request.lead_id not in ("", named.lead_id):
            message = f"{request.employee_id} is led by {named.lead_id or 'nobody'}: leave it empty"
            raise Invalid("LEAD_INVALID", message, (FieldViolation("lead_id", message),))
        return await self._handle(request.plan_id, named, context)

    async def GetPlan(self, request: pb.GetPlanRequest, context: Context) -> pb.Plan:
        _, caller = await plan_for(self._commands, request.plan_id, context)
        subject = PLAN.subject(request.plan_id)
        await self._watch_follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        history = (await self._commands.histories([subject]))[subject]
        done = [recorded for recorded in history if not isinstance(recorded.event, CommandNoted)]
        state = PLAN.initial
        for recorded in done:
            state = PLAN.evolve(state, recorded.event)
        await self._follower.wait_for(done[0].position, AT_LEAST_SECONDS)
        (plan,) = await self._following([to_resource(state, done[-1].position)])
        plan.progress.extend(await self._progress(state, context.today))
        for recorded in done:
            envelope = recorded.envelope
            plan.steps.add(
                log_position=recorded.position,
                time=envelope.time,
                actor=envelope.actor,
                event=recorded.event.DESCRIPTOR.name,
            )
        return shown(plan, state, caller)

    async def ListPlans(self, request: pb.ListPlansRequest, context: Context) -> pb.ListPlansResponse:
        reach = await self._reaches.of(context)
        context.admission.check(reach.held)
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        listed = await self._plans.list_plans(self._service.engine, request, reach)
        page, token = cut_page(request, listed, lambda one: [one[1]])
        found = await self._commands.known(PLAN, [plan_id for plan_id, _ in page])
        plans = await self._following([to_resource(one.state, one.position) for one in found.values()])
        for plan in plans:
            shown(plan, found[plan.plan_id].state, reach.to(plan.employee_id))
        return pb.ListPlansResponse(plans=plans, next_page_token=token)

    async def AssessPlan(self, request: pb.AssessPlanRequest, context: Context) -> pb.Plan:
        state = await self._coached(request, context)
        measured = Measured()
        if request.start_date:
            span = Span(parse_day(request.start_date, "start_date"), parse_day(request.end_date, "end_date"))
            if not (kpi_id := state.proposed.evidence.kpi_id):
                message = "the plan is about no one KPI: leave the days out, and name days with each goal"
                raise Invalid("MEASURE_MISSING", message, (FieldViolation("start_date", message),))
            (measured,) = await self._measured(state, [(Measure(kpi_id=kpi_id), span)])
        return await self._transition(request, pb.AssessPlan(request=request, measured=measured), context)

    async def GivePlanView(self, request: pb.GivePlanViewRequest, context: Context) -> pb.Plan:
        await plan_for(self._commands, request.plan_id, context)
        return await self._transition(request, request, context)

    async def DiagnosePlan(self, request: pb.DiagnosePlanRequest, context: Context) -> pb.Plan:
        employee_id = (await self._coached(request, context)).proposed.employee_id
        command = pb.DiagnosePlan(request=request)
        named = {
            *request.fact_positions,
            *(one for further in request.further_causes for one in further.fact_positions),
        }
        if named:
            known = await self._measuring.known_facts(employee_id, named)
            if unknown := sorted(named - known.keys()):
                message = f"no fact of {employee_id} is at {', '.join(map(str, unknown))} in the log"
                raise NotFound("FACT_NOT_FOUND", message)
            command.superseded.extend(sorted(position for position, kpis in known.items() if not kpis))
            days = sorted({one for kpis in known.values() for one in kpis}, key=lambda one: (one[1], one[0]))
            asks = [Ask(employee_id, Measure(kpi_id=kpi_id), day, day) for kpi_id, day in days]
            command.cause_facts.extend(await self._measuring.measure_all(asks))
        return await self._transition(request, command, context)

    async def ActivatePlan(self, request: pb.ActivatePlanRequest, context: Context) -> pb.Plan:
        state = await self._coached(request, context)
        command = pb.ActivatePlan(request=request)
        command.bases.extend(await self._bases(state, request))
        in_force = await self._rule_book.of(state.proposed.employee_id, context.today)
        command.mentor_limit, command.rules_position = in_force.rules.mentor_limit, in_force.rules_position
        mentors = {support.mentor_id for support in request.supports} - {""}
        if not mentors:
            return await self._transition(request, command, context)
        async with self._naming_mentors:  # whoever comes next counts this plan
            command.mentoring.extend(await self._mentoring(mentors, request.plan_id, context.today))
            return await self._transition(request, command, context)

    async def ObservePlan(self, request: pb.ObservePlanRequest, context: Context) -> pb.Plan:
        await self._coached(request, context)
        return await self._transition(request, request, context)

    async def ClosePlan(self, request: pb.ClosePlanRequest, context: Context) -> pb.Plan:
        state = await self._coached(request, context)
        if state.reassessment_due:
            await self._held.look(request.plan_id, state)
        return await self._transition(request, request, context)

    async def CancelPlan(self, request: pb.CancelPlanRequest, context: Context) -> pb.Plan:
        await self._coached(request, context)
        return await self._transition(request, request, context)

    async def ReviewPlanDrift(self, request: pb.ReviewPlanDriftRequest, context: Context) -> pb.Plan:
        await self._coached(request, context)
        return await self._transition(request, request, context)

    async def call_reassessment(self, plan_id: str) -> None:
        """The clock's command: a plan's observation is over, and its goals have come to what they have."""
        service = self._service
        context = Context(now=service.now(), today=service.today(), actor="policy:reassessment")
        command = pb.CallReassessment(plan_id=plan_id)
        state = (await self._commands.load(PLAN, plan_id)).state
        if state.observe_until:
            last = date.fromisoformat(state.observe_until)
            asked = [(goal.measure, goals.spans(goal, coached_since(state), last)[-1]) for goal in _counted(state)]
            command.measured.extend(await self._measured(state, asked))
        await self._commands.handle(PLAN, plan_id, command, context)

    async def _coached(self, request: "Transition", context: Context) -> State:
        """The plan as it is. Raises as `plan_for`."""
        found, _ = await plan_for(self._commands, request.plan_id, context)
        return found.state

    async def _lead_for(self, request: pb.ProposePlanRequest, today: date) -> str:
        """Who leads the employee whom a plan is proposed for; empty: nobody. What the plan names must be there.

        Raises NotFound `EMPLOYEE_NOT_FOUND`, `KPI_NOT_FOUND`; NotAllowed `NOT_EMPLOYED`.
        """
        employee_id = request.employee_id
        directory = await directory_around(self._commands, employee_id, today)
        if employee_id not in directory.employees:
            raise NotFound("EMPLOYEE_NOT_FOUND", f"there is no employee {employee_id}")
        if not directory.employed(employee_id, today):
            raise NotAllowed("NOT_EMPLOYED", f"{employee_id} is not employed on {today}")
        await self._measuring.definition(Measure(kpi_id=request.kpi_id))
        return directory.lead_over(employee_id, today)

    async def _progress(self, state: State, today: date) -> list[pb.GoalProgress]:
        """What the facts say now of each goal, up to the end of the observation or of the plan."""
        ends = [state.observe_until, state.closed.closed_date]
        last = min([today, *(date.fromisoformat(day) for day in ends if day)])
        since = coached_since(state)
        asked = {
            index: [(goal.measure, span) for span in (goals.whole(since, last), *goals.spans(goal, since, last))]
            for index, goal in enumerate(_counted(state))
        }
        measured = iter(await self._measured(state, [one for of_goal in asked.values() for one in of_goal]))
        found = list[pb.GoalProgress]()
        for index, of_goal in asked.items():
            whole, *spans = islice(measured, len(of_goal))
            found.append(goals.progress(state.activated.goals[index], whole, spans, last))
        return found

    async def _measured(self, state: State, asked: Sequence[tuple[Measure, Span | None]]) -> list[Measured]:
        """Measures of the plan's employee, all at once; of days that are to come, one without a value."""
        asks = [
            Ask(state.proposed.employee_id, measure, span.start.isoformat(), span.end.isoformat())
            for measure, span in asked
            if span is not None
        ]
        measured = iter(await self._measuring.measure_all(asks) if asks else ())
        return [Measured(measure=measure) if span is None else next(measured) for measure, span in asked]

    async def _bases(self, state: State, request: pb.ActivatePlanRequest) -> list[pb.GoalBasis]:
        """What there is to measure each goal by, and what it is before."""
        rules = await self._measuring.rules()
        bases, asked = list[pb.GoalBasis](), list[tuple[Measure, Span | None]]()
        for index, goal in enumerate(request.goals):
            days = evidence_days(state)
            if goal.baseline_start_date:
                name = f"goals[{index}].baseline"
                days = Span(
                    parse_day(goal.baseline_start_date, f"{name}_start_date"),
                    parse_day(goal.baseline_end_date, f"{name}_end_date"),
                )
            measure = goals.measure_of(goal)
            try:
                counted = definition(rules, measure)
            except NotFound:
                counted, days = Kpi(), None
            bases.append(pb.GoalBasis(definition=counted))
            asked.append((measure, days))
        for basis, baseline in zip(bases, await self._measured(state, asked), strict=True):
            basis.baseline.CopyFrom(baseline)
        return bases

    async def _mentoring(self, mentors: Iterable[str], plan_id: str, today: date) -> list[pb.Mentoring]:
        """What each mentor has to do already, by everything in the log."""
        wanted = sorted(mentors)
        employees = await self._commands.known(EMPLOYEE, wanted, latest=True)
        await self._follower.wait_for((await self._service.stream.state()).last, AT_LEAST_SECONDS)
        counts = await self._plans.mentored(self._service.engine, wanted, but=plan_id)
        return [
            pb.Mentoring(
                mentor_id=mentor,
                employed=mentor in employees and employees[mentor].state.status_on(today) != EMPLOYMENT_STATUS_LEFT,
                plans=counts.get(mentor, 0),
            )
            for mentor in wanted
        ]

    async def _following(self, plans: Sequence[pb.Plan]) -> Sequence[pb.Plan]:
        """The plans, each with the one that it follows."""
        employees = {plan.plan_id: plan.employee_id for plan in plans}
        followed = await self._plans.followed(self._service.engine, employees)
        for plan in plans:
            plan.follows_plan_id = followed.get(plan.plan_id, "")
        return plans

    async def _transition(self, request: "Transition", command: Message, context: Context) -> pb.Plan:
        try:
            return await self._handle(request.plan_id, command, replace(context, etag=request.etag))
        except Conflict as conflict:
            state = (await self._commands.load(PLAN, request.plan_id)).state
            raise Conflict(conflict.reason, f"{conflict.message} (the plan is {described(state)})") from conflict

    async def _handle(self, plan_id: str, command: Message, context: Context) -> pb.Plan:
        handled = await self._commands.handle(PLAN, plan_id, command, context)
        return to_resource(handled.state, handled.position)


def _counted(state: State) -> Sequence[pb.Goal]:
    """The goals, if they say how they are counted: those of plans activated before that was kept do not."""
    found = state.activated.goals
    return found if all(goal.HasField("definition") for goal in found) else []


Transition = (
    pb.AssessPlanRequest
    | pb.GivePlanViewRequest
    | pb.DiagnosePlanRequest
    | pb.ActivatePlanRequest
    | pb.ObservePlanRequest
    | pb.ClosePlanRequest
    | pb.CancelPlanRequest
    | pb.ReviewPlanDriftRequest
)
