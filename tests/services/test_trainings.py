"""Trainings as callers see them: out of what many got wrong, to what it changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from grpc import StatusCode

from libs.common.rebuilding import rebuild
from stepladder.coaching.v1.before_after_pb2 import BeforeAfter
from stepladder.coaching.v1.measure_pb2 import FormItem, Measure
from stepladder.coaching.v1.training_pb2 import (
    AcceptTrainingRequest,
    CancelTrainingRequest,
    CloseTrainingRequest,
    GetTrainingEffectRequest,
    GetTrainingRequest,
    HoldTrainingRequest,
    ListSharedProblemsRequest,
    ListTrainingsRequest,
    RequestTrainingRequest,
    ScheduleTrainingRequest,
    SharedProblem,
    Training,
)
from stepladder.performance.v1.directory_pb2 import AppointTeamLeadRequest, TransferEmployeeRequest
from stepladder.performance.v1.kpi_pb2 import SetTargetRequest, Target
from stepladder.performance.v1.policy_pb2 import CoachingRules, Policy, Scope, SetPolicyRequest
from tests.refusals import refused
from tests.services.test_records import create, evaluation, form
from tests.services.world import World, fact, new_id
from tests.tokens import as_person

TODAY = datetime.fromisoformat("2020-03-02T09:00:00+00:00")
HELD = date(2020, 3, 16)


@dataclass
class Centre:
    """A team of agents with its lead; a trainer; HR; rules by which three are many."""

    world: World
    team: str
    agents: Sequence[str]
    lead: str
    trainer: str
    hr: str
    rules: Policy

    async def problems(self, start: str = "2020-02-01", end: str = "2020-02-29") -> list[SharedProblem]:
        request = ListSharedProblemsRequest(team_id=self.team, start_date=start, end_date=end)
        return list((await self.world.trainings.ListSharedProblems(request, metadata=by(self.lead))).problems)

    def asking(self, measure: Measure, **more: Any) -> RequestTrainingRequest:
        request = RequestTrainingRequest(
            training_id=new_id("t"),
            team_id=self.team,
            trainer_id=self.trainer,
            measure=measure,
            start_date="2020-02-01",
            end_date="2020-02-29",
            note="they do not listen",
        )
        request.MergeFrom(RequestTrainingRequest(**more))
        return request

    async def ask(self, measure: Measure, caller: str = "", **more: Any) -> Training:
        request = self.asking(measure, **more)
        answer: Training = await self.world.trainings.RequestTraining(request, metadata=by(caller or self.lead))
        return answer

    def later(self, day: date) -> None:
        self.world.clock[0] = TODAY + timedelta(days=(day - TODAY.date()).days)


def by(caller: str) -> tuple[tuple[str, str]]:
    return as_person(caller)


@pytest.fixture
async def centre(world: World) -> Centre:
    return await founded(world)


async def founded(world: World) -> Centre:
    world.clock[0] = TODAY
    team, office = await world.team(), await world.team()
    lead, hr = await world.employee(office), await world.employee(office, job_family="hr")
    trainer = await world.employee(office, job_family="trainer")
    await world.directory.AppointTeamLead(
        AppointTeamLeadRequest(team_id=team, lead_id=lead, effective_date="2019-01-01")
    )
    content = CoachingRules(scope=Scope(team_id=team), smallest_group=3)
    rules = await world.policies.SetPolicy(
        SetPolicyRequest(policy=Policy(policy_id=new_id("rules"), effective_date="2019-01-01", coaching=content))
    )
    agents = [await world.employee(team) for _ in range(6)]
    return Centre(world, team, agents, lead, trainer, hr, rules)


async def seen(centre: Centre) -> Measure:
    """Three agents miss an item, one misses another, one misses nothing: the measure of the first."""
    form_id = await form(centre.world)
    first, second, third, fourth, fifth, _ = centre.agents
    for agent, day, missed in (
        (first, "2020-02-03", {"solution": 0}),
        (first, "2020-02-04", {}),
        (second, "2020-02-04", {"solution": 50, "greeting": 0}),
        (third, "2020-02-05", {}),
        (fifth, "2020-02-05", {"solution": 0}),
        (fourth, "2020-01-31", {"solution": 0, "greeting": 0}),
    ):
        await create(centre.world, evaluation(form_id, agent, centre.lead, day, **missed))
    return Measure(form_item=FormItem(form_id=form_id, item_id="solution"))


async def test_what_many_got_wrong(both: World) -> None:
    """Items and targets that at least three missed, on days in the team; what more of them missed comes first."""
    centre = await founded(both)
    item = await seen(centre)
    kpi = await both.kpi()
    await both.kpis.SetTarget(
        SetTargetRequest(target=Target(kpi_id=kpi, team_id=centre.team, effective_date="2020-01-01", maximum="10"))
    )
    await both.record(*(fact(agent, "2020-02-06", kpi, 11) for agent in centre.agents[:4]))
    await both.record(fact(centre.agents[4], "2020-02-06", kpi, 10))
    assert await centre.problems() == [
        SharedProblem(measure=Measure(kpi_id=kpi), employees=5, employees_missed=4),
        SharedProblem(measure=item, employees=4, employees_missed=3, evaluations=5, evaluations_missed=3),
    ]
    # One who was in the team on one of these days only: the others are not the team's.
    move = TransferEmployeeRequest(employee_id=centre.agents[1], team_id=await both.team(), effective_date="2020-02-05")
    await both.directory.TransferEmployee(move)
    kpi_now, item_now = await centre.problems()
    assert (kpi_now.employees, kpi_now.employees_missed, item_now.employees_missed) == (4, 3, 3)
    assert [one.measure for one in await centre.problems("2020-02-05")] == [Measure(kpi_id=kpi)]


async def test_few_are_not_many(centre: Centre) -> None:
    """What fewer missed than the rules say is not shown, and nothing is asked for because of it."""
    measure = await seen(centre)
    centre.rules.coaching.smallest_group = 4
    await centre.world.policies.SetPolicy(SetPolicyRequest(policy=centre.rules))
    assert await centre.problems() == []
    await refused(centre.ask(measure), StatusCode.FAILED_PRECONDITION, "NOT_SHARED")


async def test_to_its_end(both: World) -> None:
    """Asked for with the numbers of the day, which stay; given by the trainer; closed by the lead."""
    centre = await founded(both)
    measure = await seen(centre)
    asked = await centre.ask(measure)
    (problem,) = await centre.problems()
    assert (asked.state, asked.problem, asked.requested_by) == (Training.STATE_REQUESTED, problem, centre.lead)
    assert (asked.rules_position, asked.requested_date) == (centre.rules.log_position, "2020-03-02")
    assert asked.known_at > 0
    # What becomes known later changes what is shown now, and not what was asked for.
    form_id = measure.form_item.form_id
    await create(both, evaluation(form_id, centre.agents[2], centre.lead, "2020-02-20", solution=0))
    assert (await centre.problems())[0].employees_missed == 4
    again = centre.asking(measure, training_id=asked.training_id)
    assert await both.trainings.RequestTraining(again, metadata=by(centre.lead)) == asked

    about = {"training_id": asked.training_id}
    stub, trainer = both.trainings, by(centre.trainer)
    await refused(
        stub.AcceptTraining(AcceptTrainingRequest(**about), metadata=by(centre.lead)),
        *(StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW"),
    )
    accepted = await stub.AcceptTraining(AcceptTrainingRequest(**about, etag=asked.etag), metadata=trainer)
    schedule = ScheduleTrainingRequest(**about, date=HELD.isoformat(), etag=accepted.etag)
    await stub.ScheduleTraining(schedule, metadata=trainer)
    centre.later(HELD)
    hold = HoldTrainingRequest(**about, date=HELD.isoformat(), participant_ids=centre.agents[:3])
    held = await stub.HoldTraining(hold, metadata=trainer)
    assert await stub.HoldTraining(hold, metadata=trainer) == held
    assert (held.held_date, list(held.participant_ids)) == ("2020-03-16", centre.agents[:3])
    close = CloseTrainingRequest(**about, reason="they listen now")
    await refused(stub.CloseTraining(close, metadata=trainer), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    closed = await stub.CloseTraining(close, metadata=by(centre.lead))
    assert (closed.state, closed.reason, closed.note) == (
        *(Training.STATE_CLOSED, "they listen now", "they do not listen"),
    )
    for caller in (centre.lead, centre.trainer, centre.hr):
        assert await stub.GetTraining(GetTrainingRequest(**about), metadata=by(caller)) == closed
    stranger = await stub.GetTraining(GetTrainingRequest(**about), metadata=by(centre.agents[0]))
    assert (stranger.state, stranger.problem, stranger.note, stranger.reason) == (closed.state, problem, "", "")

    cancelled = await centre.ask(measure, centre.hr)
    for caller, code in ((centre.agents[0], StatusCode.PERMISSION_DENIED), (centre.trainer, None)):
        call = stub.CancelTraining(
            CancelTrainingRequest(training_id=cancelled.training_id, reason="no room"), metadata=by(caller)
        )
        if code:
            await refused(call, code, "NEED_TO_KNOW")
        else:
            cancelled = await call
    listed = await stub.ListTrainings(
        ListTrainingsRequest(team_id=centre.team, at_least=cancelled.log_position), metadata=by(centre.hr)
    )
    assert list(listed.trainings) == [cancelled, closed]
    of_state = await stub.ListTrainings(
        ListTrainingsRequest(trainer_id=centre.trainer, state=Training.STATE_CLOSED, page_size=1),
        metadata=trainer,
    )
    assert list(of_state.trainings) == [closed]
    (follower,) = (one for one in both.services["coaching"].followers if one.handler.name == "trainings")
    assert [step async for step in rebuild(follower)][-1].changed_rows == 0


async def test_what_is_refused(centre: Centre) -> None:
    """Nobody who may not ask, no trainer who is none, no measure, team or span that there is not."""
    measure = await seen(centre)
    invalid, absent = StatusCode.INVALID_ARGUMENT, StatusCode.NOT_FOUND
    for caller in (centre.agents[0], centre.trainer, "nobody"):
        await refused(centre.ask(measure, caller), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    await refused(centre.ask(measure, trainer_id=centre.hr), invalid, "TRAINER_INVALID")
    await refused(centre.ask(measure, trainer_id="nobody"), invalid, "TRAINER_INVALID")
    await refused(centre.ask(measure, end_date="2020-01-31"), invalid, "DATES_INVALID")
    await refused(centre.ask(measure, start_date="2019-02-01"), invalid, "DATES_INVALID")
    await refused(centre.ask(measure, end_date="2021-02-29"), invalid, "DATE_INVALID")
    await refused(centre.ask(measure, centre.hr, team_id="none"), absent, "TEAM_NOT_FOUND")
    await refused(centre.ask(Measure(kpi_id="none")), absent, "KPI_NOT_FOUND")
    wrong = Measure(form_item=FormItem(form_id=measure.form_item.form_id, item_id="none"))
    await refused(centre.ask(wrong), absent, "ITEM_NOT_FOUND")
    greeting = Measure(form_item=FormItem(form_id=measure.form_item.form_id, item_id="greeting"))
    await refused(centre.ask(greeting), StatusCode.FAILED_PRECONDITION, "NOT_SHARED")
    stub = centre.world.trainings
    await refused(stub.GetTraining(GetTrainingRequest(training_id="none")), absent, "TRAINING_NOT_FOUND")
    asked = await centre.ask(measure)
    effect = stub.GetTrainingEffect(GetTrainingEffectRequest(training_id=asked.training_id))
    await refused(effect, StatusCode.FAILED_PRECONDITION, "NOT_HELD")
    for training_id in (asked.training_id, "none"):
        get = GetTrainingRequest(training_id=training_id)
        await refused(stub.GetTraining(get, metadata=by("nobody")), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    hold = HoldTrainingRequest(training_id=asked.training_id, date="2020-03-02", participant_ids=["no-one"])
    await refused(stub.HoldTraining(hold, metadata=by(centre.trainer)), absent, "EMPLOYEE_NOT_FOUND")


async def test_what_it_changed(centre: Centre) -> None:
    """Before and after, for those who took part and for the others of their team, of each at least as many as shown."""
    measure = await seen(centre)
    world, stub, trainer = centre.world, centre.world.trainings, by(centre.trainer)
    about = {"training_id": (await centre.ask(measure)).training_id}
    await stub.AcceptTraining(AcceptTrainingRequest(**about), metadata=trainer)
    await stub.ScheduleTraining(ScheduleTrainingRequest(**about, date=HELD.isoformat()), metadata=trainer)
    centre.later(HELD)
    hold = HoldTrainingRequest(**about, date=HELD.isoformat(), participant_ids=centre.agents[:3])
    await stub.HoldTraining(hold, metadata=trainer)

    async def effect(days: int = 0) -> BeforeAfter:
        answer: BeforeAfter = await stub.GetTrainingEffect(GetTrainingEffectRequest(**about, days=days))
        return answer

    centre.later(HELD + timedelta(days=7))
    assert not (await effect()).over
    form_id = measure.form_item.form_id
    for agent, before, after in zip(centre.agents, (0, 0, 0, 100, 100, 100), (100, 100, 100, 0, 0, 100), strict=True):
        for day, achieved in (("2020-03-10", before), ("2020-03-16", 0), ("2020-03-20", after)):
            record = evaluation(form_id, agent, centre.lead, day, solution=achieved)
            assert not (await create(world, record)).rejections
    week = await effect(7)
    assert (week.before_start_date, week.before_end_date) == ("2020-03-09", "2020-03-15")
    assert (week.after_start_date, week.after_end_date, week.over) == ("2020-03-17", "2020-03-23", False)
    assert (week.took_part.employees, week.took_part.before, week.took_part.after) == (3, "0.0", "100.0")
    assert (week.took_part.better, week.took_part.change.median) == (3, "100.0")
    assert (week.others.employees, week.others.before, week.others.after) == (3, "100.0", "0.0")
    assert (week.others.same, week.others.worse, week.left_out) == (1, 2, 0)
    centre.later(HELD + timedelta(days=8))
    assert (await effect(7)).over
    few = await effect(1)
    assert (few.took_part.suppressed, few.others.suppressed, few.left_out) == (True, True, 6)
