"""The plans of the bank's agents from the week that proposed them to their ends."""

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Any

from grpc import StatusCode, aio

from stepladder.coaching.v1.plan_pb2 import (
    ActivatePlanRequest,
    AssessPlanRequest,
    CancelPlanRequest,
    ClosePlanRequest,
    DiagnosePlanRequest,
    GetPlanRequest,
    GivePlanViewRequest,
    Goal,
    ListPlansRequest,
    ObservePlanRequest,
    Plan,
    ReviewPlanDriftRequest,
    Support,
)
from stepladder.coaching.v1.session_pb2 import (
    AcknowledgeSessionRequest,
    AgreedAction,
    GetSessionRequest,
    HoldSessionRequest,
    MissSessionRequest,
    RescheduleSessionRequest,
    ScheduleSessionRequest,
    Session,
)
from stepladder.performance.v1.facts_pb2 import (
    DISPUTE_OUTCOME_UPHELD,
    DisputeFactRequest,
    ReadingsOfDay,
    SettleFactDisputeRequest,
)
from tests.bank.bank import (
    LEAST_CALLS,
    LEAST_MINUTES,
    MENTOR_LIMIT,
    MORNING,
    MOST_MINUTES,
    MOST_SHORT,
    Bank,
    by,
    later,
)
from tests.bank.reckoning import AHT, SHORT, Days, Value, suggestion
from tests.refusals import refused

TOO_LATE = "s-too-late"
OUTCOMES = {Plan.Outcome.Name(one).removeprefix("OUTCOME_"): one for one in Plan.Outcome.values()}


@dataclass
class Case:
    """A plan, and what the script knows of it: by KPI `baselines`, `targets` and `results`; `drifts` in words."""

    plan_id: str
    agent: str
    kpi: str
    baselines: dict[str, Value] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    results: dict[str, Value | None] = field(default_factory=dict)
    suggested: str = ""
    decided: str = ""
    drifts: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        return f"{self.agent}'s plan about {self.kpi}"


class Coaching:
    """Tells the two weeks, and everything that is done about them."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self.world = bank.world
        self.cases: list[Case] = []
        self.followed: list[Plan] = []
        """Proposed later on, and cancelled since the log says nothing of what would come of them."""
        self.refusals = 0

    @property
    def stage_day(self) -> date:
        """Wednesday of the second week; goals are measured on the days behind it."""
        return self.bank.reckoning.day(9)

    @property
    def last_day(self) -> date:
        return self.bank.weeks[1][1]

    async def get(self, case: Case) -> Plan:
        plan: Plan = await self.world.plans.GetPlan(GetPlanRequest(plan_id=case.plan_id))
        return plan

    async def refused(self, call: Awaitable[Any], reason: str) -> None:
        await refused(call, StatusCode.FAILED_PRECONDITION, reason)
        self.refusals += 1

    def _found(self, days: Days) -> set[tuple[str, str]]:
        reckoning = self.bank.reckoning
        short = reckoning.found(SHORT, days, LEAST_CALLS, 0, MOST_SHORT)
        return {*short, *reckoning.found(AHT, days, LEAST_CALLS, LEAST_MINUTES, MOST_MINUTES)}

    async def proposed(self) -> list[Plan]:
        """Those that nobody has taken up yet, by agent and KPI."""
        listing = ListPlansRequest(state=Plan.STATE_PROPOSED, page_size=1000, at_least=await self.world.end())
        plans = (await self.world.plans.ListPlans(listing)).plans
        return sorted(plans, key=lambda plan: (self.name(plan), plan.evidence.kpi_id))

    def name(self, plan: Plan) -> str:
        return self.bank.calls.agents[plan.employee_id]

    async def begin(self) -> None:
        """The first week is known, and proposes plans: each is assessed, diagnosed and activated on the same Monday."""
        bank = self.bank
        bank.go(bank.reckoning.day(7), MORNING)
        await bank.found_bank()
        await bank.tell_days(bank.weeks[0])
        await bank.settled()
        bank.go(bank.reckoning.day(7))
        await bank.settled()
        plans = await self.proposed()
        self.cases = [Case(plan.plan_id, self.name(plan), plan.evidence.kpi_id) for plan in plans]
        bank.expect("proposed", {(case.agent, case.kpi) for case in self.cases}, self._found(bank.weeks[0]))
        bank.expect("leads of the plans", {plan.lead_id for plan in plans}, {bank.office.lead})
        for case in self.cases:
            await self._assess(case)
            await self._activate(case)

    async def _assess(self, case: Case) -> None:
        """The lead looks at the days, the agent says how they see it, and a rule on the data names the cause."""
        bank, plans, week = self.bank, self.world.plans, self.bank.weeks[0]
        value = bank.reckoning.value(case.agent, case.kpi, week)
        assert value is not None
        assess = AssessPlanRequest(plan_id=case.plan_id, assessment=f"{case.kpi} was {value} in the first week")
        assess.start_date, assess.end_date = map(str, week)
        plan = await bank.say(bank.office.lead, plans.AssessPlan, assess)
        bank.expect(f"{case.title}: assessed", plan.assessed.value, str(value))
        days = len(bank.reckoning.dates(case.agent, week))
        bank.expect(f"{case.title}: days assessed", len(plan.assessed.fact_positions), days)
        view = GivePlanViewRequest(plan_id=case.plan_id, view="Callers who only ask for the balance are quickly done.")
        await bank.say(bank.employee(case.agent), plans.GivePlanView, view)
        diagnose = DiagnosePlanRequest(plan_id=case.plan_id, cause=cause(case.kpi, value))
        diagnose.fact_positions.extend(plan.assessed.fact_positions)
        await bank.say(bank.office.lead, plans.DiagnosePlan, diagnose)

    async def _activate(self, case: Case) -> None:
        """Of whoever cuts calls off, the first three are to have the same mentor, who has time for two."""
        bank, lead = self.bank, self.bank.office.lead
        goals = self._goals(case)
        activate = ActivatePlanRequest(plan_id=case.plan_id, goals=goals)
        mentored = [one for one in self.cases if one.kpi == SHORT][: MENTOR_LIMIT + 1]
        if case in mentored:
            activate.supports.append(Support(mentor_id=bank.employee(self.mentor)))
        if case in mentored[MENTOR_LIMIT:]:
            await self.refused(self.world.plans.ActivatePlan(activate, metadata=by(lead)), "MENTOR_OVERLOADED")
            del activate.supports[:]
        if not activate.supports:
            activate.supports.append(Support(course_id="listening", text="half a day with the trainer"))
        plan = await bank.say(lead, self.world.plans.ActivatePlan, activate)
        for goal in plan.goals:
            baseline = case.baselines[goal.kpi_id]
            bank.expect(f"{case.title}: baseline of {goal.kpi_id}", goal.baseline, str(baseline))

    @property
    def mentor(self) -> str:
        """Who took the most calls without a plan."""
        free = {*self.bank.reckoning.agents()} - {case.agent for case in self.cases}
        return max(sorted(free), key=lambda agent: self.bank.reckoning.calls(agent, self.bank.weeks[0]))

    def _goals(self, case: Case) -> list[Goal]:
        """A quarter fewer short calls, half of it by Wednesday; who is quick takes three seconds longer for a call."""
        for kpi in (SHORT, AHT):
            value = self.bank.reckoning.value(case.agent, kpi, self.bank.weeks[0])
            assert value is not None
            case.baselines[kpi] = value
        deadline, short, minutes = str(self.last_day), case.baselines[SHORT].exact, case.baselines[AHT].exact
        if case.kpi == AHT:
            case.targets[AHT] = str(MOST_MINUTES if minutes > MOST_MINUTES else LEAST_MINUTES)
            return [Goal(kpi_id=AHT, target=case.targets[AHT], deadline=deadline)]
        case.targets[SHORT] = str(Value(short * 3 / 4))
        stage = Goal.Stage(date=str(self.stage_day), target=str(Value(short * 7 / 8)))
        goals = [Goal(kpi_id=SHORT, target=case.targets[SHORT], deadline=deadline, stages=[stage])]
        if minutes < (LEAST_MINUTES + MOST_MINUTES) // 2:
            case.targets[AHT] = str(Value(minutes + Fraction(1, 20)))
            goals.append(Goal(kpi_id=AHT, target=case.targets[AHT], deadline=deadline))
        return goals

    def goal_days(self, case: Case, kpi: str) -> Days:
        """From the day after the last stage, or the activation, to the end of the observation."""
        staged = (case.kpi, kpi) == (SHORT, SHORT)
        return later(self.stage_day if staged else self.bank.reckoning.day(7), 1), self.last_day

    async def observe(self) -> None:
        """The second week, day by day: sessions, observation from Wednesday on, and a look at how it goes on Friday."""
        bank, plans = self.bank, self.world.plans
        for number in range(7, 14):
            bank.go(bank.reckoning.day(number + 1), MORNING)
            await bank.tell_days((bank.reckoning.day(number), bank.reckoning.day(number)))
            match number + 1:
                case 8:
                    await self._talk(bank.reckoning.day(8))
                case 9:
                    await self._hold(self.cases[0], bank.reckoning.day(9))
                    for case in self.cases:
                        request = ObservePlanRequest(plan_id=case.plan_id, observe_until=str(self.last_day))
                        await bank.say(bank.office.lead, plans.ObservePlan, request)
                    early = self.closing(self.cases[0], "IMPROVED", "looks good")
                    await self.refused(plans.ClosePlan(early, metadata=by(bank.office.lead)), "OBSERVATION_RUNNING")
                case 11:
                    await bank.settled()
                    for case in self.cases:
                        self._look(case, await self.get(case))
        await bank.settled()
        due = [case.plan_id for case in self.cases if (await self.get(case)).reassessment_due]
        bank.expect("plans that are due before noon", due, [])
        bank.go(later(self.last_day, 1))
        await bank.settled()

    async def _talk(self, today: date) -> None:
        """A session with everybody; the first does not come, and is given another day.

        The last has one more, for a day after the plan has ended.
        """
        absent, *others = self.cases
        for case in others:
            await self._schedule(case, today)
            await self._hold(case, today)
        session = await self._schedule(absent, today)
        miss = MissSessionRequest(session_id=session.session_id, absent=Session.PARTY_EMPLOYEE)
        miss.reason = "was not told of it"
        await self.bank.say(self.bank.office.lead, self.world.sessions.MissSession, miss)
        put = RescheduleSessionRequest(session_id=session.session_id, date=str(later(today, 1)), reason="second try")
        await self.bank.say(self.bank.office.lead, self.world.sessions.RescheduleSession, put)
        await self._schedule(self.cases[-1], later(self.last_day, 10), TOO_LATE)

    def _coach(self, case: Case) -> str:
        """How to lead a call is the trainer's."""
        return self.bank.office.lead if case.kpi == SHORT else self.bank.office.trainer

    async def _hold(self, case: Case, today: date) -> None:
        """As it was scheduled, with something agreed, and acknowledged by the agent."""
        sessions, agent = self.world.sessions, self.bank.employee(case.agent)
        action = AgreedAction(owner_id=agent, text="listen to ten calls of my own", due_date=str(self.last_day))
        hold = HoldSessionRequest(
            session_id=f"s-{case.plan_id}",
            held_date=str(today),
            observed=f"{case.kpi} is what the first week's calls say it is.",
            feedback="Ask whether there is anything else; you are friendly.",
            actions=[action],
        )
        await self.bank.say(self._coach(case), sessions.HoldSession, hold)
        words = AcknowledgeSessionRequest(session_id=f"s-{case.plan_id}", words="I shall try.")
        await self.bank.say(agent, sessions.AcknowledgeSession, words)

    async def _schedule(self, case: Case, day: date, session_id: str = "") -> Session:
        request = ScheduleSessionRequest(
            session_id=session_id or f"s-{case.plan_id}",
            employee_id=self.bank.employee(case.agent),
            lead_id=self._coach(case),
            kind=Session.KIND_COACHING,
            plan_id=case.plan_id,
            date=str(day),
        )
        session: Session = await self.bank.say(self.bank.office.lead, self.world.sessions.ScheduleSession, request)
        return session

    def _look(self, case: Case, plan: Plan) -> None:
        """Progress is what the calls up to yesterday say."""
        for goal, progress in zip(plan.goals, plan.progress, strict=True):
            first, _ = self.goal_days(case, goal.kpi_id)
            value = self.bank.reckoning.value(case.agent, goal.kpi_id, (first, self.bank.reckoning.day(10)))
            self.bank.expect(f"{case.title}: progress of {goal.kpi_id}", progress.now.value, str(value or ""))
            for stage in progress.stages:
                days = (self.bank.reckoning.day(8), self.stage_day)
                value = self.bank.reckoning.value(case.agent, goal.kpi_id, days)
                met = self.bank.reckoning.met(case.agent, goal.kpi_id, days, case.baselines[goal.kpi_id], stage.target)
                answered = (stage.measured.value, stage.met, stage.over)
                self.bank.expect(f"{case.title}: stage of {goal.kpi_id}", answered, (str(value or ""), met, True))

    def reckoned(self, case: Case) -> str:
        """What the calls suggest, as they are known now."""
        reckoning = self.bank.reckoning
        return suggestion(
            [
                reckoning.met(case.agent, kpi, self.goal_days(case, kpi), case.baselines[kpi], target)
                for kpi, target in case.targets.items()
            ]
        )

    async def reassess(self) -> None:
        """The clock has called every plan: what came of it, and which others the second week proposes."""
        bank = self.bank
        for case in self.cases:
            await self.compare(case)
        begun = self._found(bank.weeks[1]) - self._found(bank.weeks[0])  # a row that goes on is not found again
        await self.cancel_followers(begun, "The log ends here.")

    async def compare(self, case: Case) -> None:
        """What a plan's goals came to when it fell due."""
        plan = await self.get(case)
        self.bank.expect(f"{case.title}: due", plan.reassessment_due, True)
        for goal, result in zip(plan.goals, plan.results, strict=True):
            value = self.bank.reckoning.value(case.agent, goal.kpi_id, self.goal_days(case, goal.kpi_id))
            case.results[goal.kpi_id] = value
            self.bank.expect(f"{case.title}: result of {goal.kpi_id}", result.measured.value, str(value or ""))
        case.suggested = self.reckoned(case)
        self.bank.expect(f"{case.title}: suggested", name_of(plan.suggested_outcome), case.suggested)

    async def cancel_followers(self, reckoned: set[tuple[str, str]], reason: str) -> None:
        """What was proposed meanwhile is what it must be, says which plan it follows, and ends here."""
        plans = await self.proposed()
        self.bank.expect("proposed", {(self.name(plan), plan.evidence.kpi_id) for plan in plans}, reckoned)
        mine = {(case.agent, case.kpi): case.plan_id for case in self.cases}
        latest = mine | {(self.name(one), one.evidence.kpi_id): one.plan_id for one in self.followed}
        for plan in plans:
            key = (self.name(plan), plan.evidence.kpi_id)
            self.bank.expect(f"{key}: follows", plan.follows_plan_id, latest.get(key, ""))
            request = CancelPlanRequest(plan_id=plan.plan_id, reason=reason)
            await self.bank.say(self.bank.office.lead, self.world.plans.CancelPlan, request)
        self.followed += plans

    def closing(self, case: Case, outcome: str, reason: str) -> ClosePlanRequest:
        return ClosePlanRequest(plan_id=case.plan_id, outcome=OUTCOMES[outcome], reason=reason)

    async def close(self, case: Case, outcome: str = "", reason: str = "as the calls say") -> None:
        """The lead decides, as suggested unless told otherwise."""
        case.decided = outcome or self.reckoned(case)
        closing = self.closing(case, case.decided, reason)
        plan = await self.bank.say(self.bank.office.lead, self.world.plans.ClosePlan, closing)
        answered = (name_of(plan.outcome), name_of(plan.suggested_outcome))
        self.bank.expect(f"{case.title}: closed", answered, (case.decided, self.reckoned(case)))

    async def cancel(self, case: Case) -> None:
        case.decided = "CANCELLED"
        request = CancelPlanRequest(plan_id=case.plan_id, reason="moves to another branch")
        await self.bank.say(self.bank.office.lead, self.world.plans.CancelPlan, request)

    async def close_at_once(self, case: Case) -> None:
        """The lead and HR decide on the same version of the plan: one of them wins."""
        plans, etag = self.world.plans, (await self.get(case)).etag
        case.decided = self.reckoned(case)
        calls = []
        for caller in (self.bank.office.lead, self.bank.office.hr[0]):
            closing = self.closing(case, case.decided, f"decided by {caller}")
            closing.etag = etag
            calls.append(self.bank.say(caller, plans.ClosePlan, closing))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        lost = [one for one in answers if isinstance(one, aio.AioRpcError)]
        self.bank.expect(f"{case.title}: who lost", [one.code() for one in lost], [StatusCode.ABORTED])
        self.refusals += len(lost)

    async def close_drifted(self, case: Case, pins: dict[str, tuple[str, str]]) -> None:
        """What drifted shows, keeps the lead from deciding until they have looked, and then no longer."""
        plan = await self.get(case)
        shown = {name_of_pin(plan, one.pin): (one.before.value, one.now.value) for one in plan.pin_drifts}
        self.bank.expect(f"{case.title}: drift", (plan.drift_open, shown), (True, pins))
        case.drifts += [f"{label(pin)} {before} → {now}" for pin, (before, now) in pins.items() if before != now]
        self.bank.expect(f"{case.title}: now", name_of(plan.outcome_now), self.reckoned(case))
        closing = self.closing(case, self.reckoned(case), "seen together")
        lead = self.bank.office.lead
        await self.refused(self.world.plans.ClosePlan(closing, metadata=by(lead)), "DRIFT_NOT_REVIEWED")
        await self.look_at_drift(case.plan_id, "It was looked at together with the trainer.")
        await self.close(case, reason="seen together")

    async def look_at_drift(self, plan_id: str, note: str) -> None:
        plan = await self.world.plans.GetPlan(GetPlanRequest(plan_id=plan_id))
        review = ReviewPlanDriftRequest(plan_id=plan_id, drift_position=plan.drift_position, note=note)
        reviewed = await self.bank.say(self.bank.office.lead, self.world.plans.ReviewPlanDrift, review)
        self.bank.expect(f"{plan_id}: looked at", reviewed.drift_open, False)

    async def correct_before(self, case: Case) -> None:
        """Half of the short calls of a day of the first week were none: what the plan began with was wrong."""
        reckoning, day = self.bank.reckoning, self.bank.worst_day(case.agent, self.bank.weeks[0])
        day_before = reckoning.value(case.agent, SHORT, (day, day))
        await self.bank.correct_short(case.agent, day, half=True)
        before, now = case.baselines[SHORT], reckoning.value(case.agent, SHORT, self.bank.weeks[0])
        day_now = reckoning.value(case.agent, SHORT, (day, day))
        assert now is not None
        drift = (await self.get(case)).drift
        answered = (drift.stands, [period.value for period in drift.periods])
        self.bank.expect(f"{case.title}: what proposed it", answered, (now.exact > MOST_SHORT, [str(now)]))
        moved = (str(before), str(now))
        of_day = {named(SHORT, day): (str(day_before), str(day_now))}
        await self.close_drifted(case, {"assessed": moved, "goals[0].baseline": moved, **of_day})

    async def correct_after(self, case: Case) -> None:
        """No call of a day that the goal was measured on was a short one: what came of the plan was wrong."""
        days = self.goal_days(case, SHORT)
        await self.bank.correct_short(case.agent, self.bank.worst_day(case.agent, days))
        now = self.bank.reckoning.value(case.agent, SHORT, days)
        await self.close_drifted(case, {"results[0]": (str(case.results[SHORT]), str(now))})

    async def dispute(self, case: Case) -> ReadingsOfDay:
        """The agent says that a day is not theirs: the numbers are the same, and cannot be relied on."""
        employee = self.bank.employee(case.agent)
        day = self.bank.worst_day(case.agent, self.bank.weeks[0])
        readings = ReadingsOfDay(employee_id=employee, date=str(day), source="calls", kpi_ids=[SHORT])
        request = DisputeFactRequest(
            readings=readings, reason="I was on a course", reviewer_id=self.bank.office.manager
        )
        await self.bank.say(employee, self.world.facts.DisputeFact, request)
        await self.bank.settled()
        same = (str(case.baselines[SHORT]),) * 2
        of_day = {named(SHORT, day): (str(self.bank.reckoning.value(case.agent, SHORT, (day, day))),) * 2}
        case.drifts.append("disputed")
        await self.close_drifted(case, {"assessed": same, "goals[0].baseline": same, **of_day})
        return readings

    async def settle(self, case: Case, readings: ReadingsOfDay) -> None:
        """The day stands: what drifted on the closed plan is as it was, and that is something to look at, too."""
        request = SettleFactDisputeRequest(
            readings=readings, outcome=DISPUTE_OUTCOME_UPHELD, reason="The course was later."
        )
        await self.bank.say(self.bank.office.manager, self.world.facts.SettleFactDispute, request)
        await self.bank.settled()
        plan = await self.get(case)
        self.bank.expect(f"{case.title}: settled", (plan.drift_open, len(plan.pin_drifts)), (True, 0))
        case.drifts.append("upheld")
        await self.look_at_drift(case.plan_id, "The day stands.")

    async def correct_late(self, case: Case) -> None:
        """Long after the end: it shows, and nothing is rewritten."""
        await self.bank.correct_short(case.agent, self.bank.worst_day(case.agent, self.goal_days(case, SHORT)))
        plan = await self.get(case)
        now = self.bank.reckoning.value(case.agent, SHORT, self.goal_days(case, SHORT))
        self.bank.expect(
            f"{case.title}: long after",
            (name_of(plan.outcome), name_of(plan.outcome_now), plan.drift_open, plan.pin_drifts[0].now.value),
            (case.decided, self.reckoned(case), True, str(now)),
        )
        would = in_words(self.reckoned(case))
        case.drifts.append(f"after the end: result {case.results[SHORT]} → {now}, would be {would}")

    async def look_at_everything(self) -> None:
        """No drift is left that nobody has looked at."""
        listing = ListPlansRequest(drift_open=True, page_size=1000, at_least=await self.world.end())
        for plan in (await self.world.plans.ListPlans(listing)).plans:
            await self.look_at_drift(plan.plan_id, "It changes nothing of what was decided.")

    async def check_sessions(self) -> None:
        """Every plan had its session; what was planned for later ended with the plan."""
        await self.bank.settled()
        who = by(self.bank.office.lead)
        wanted = {f"s-{case.plan_id}": Session.STATE_HELD for case in self.cases}
        for session_id, state in (wanted | {TOO_LATE: Session.STATE_CANCELLED}).items():
            session = await self.world.sessions.GetSession(GetSessionRequest(session_id=session_id), metadata=who)
            self.bank.expect(session_id, Session.State.Name(session.state), Session.State.Name(state))


def cause(kpi: str, value: Value) -> "Plan.Cause.ValueType":
    """A rule on the data: a few calls cut off are a matter of skill, many are one of attitude."""
    if kpi == SHORT:
        return Plan.CAUSE_ATTITUDE if value.exact > 2 * MOST_SHORT else Plan.CAUSE_SKILL
    return Plan.CAUSE_KNOWLEDGE if value.exact > MOST_MINUTES else Plan.CAUSE_SKILL


def name_of(outcome: "Plan.Outcome.ValueType") -> str:
    return Plan.Outcome.Name(outcome).removeprefix("OUTCOME_")


def in_words(outcome: str) -> str:
    return outcome.replace("_", " ").lower()


def named(kpi: str, day: date) -> str:
    """A fact on which the cause rests."""
    return f"{kpi} on {day}"


def name_of_pin(plan: Plan, pin: str) -> str:
    """Facts by their KPI and day, everything else as the plan has it."""
    if not pin.startswith("cause_facts"):
        return pin
    fact = plan.cause_facts[int(pin[len("cause_facts[") : -1])]
    return named(fact.measure.kpi_id, date.fromisoformat(fact.start_date))


def label(pin: str) -> str:
    return {"goals[0].baseline": "baseline", "results[0]": "result"}.get(pin, pin)


def of_kpi(cases: Iterable[Case], kpi: str) -> list[Case]:
    return [case for case in cases if case.kpi == kpi]
