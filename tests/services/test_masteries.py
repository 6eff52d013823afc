"""Lead's tasks as callers see them: who records what they saw, and what is left for whom."""

from dataclasses import dataclass
from typing import Any

import pytest
from grpc import StatusCode

from libs.common.rebuilding import rebuild
from stepladder.coaching.v1.mastery_pb2 import (
    GetMasteryRequest,
    ListMasteriesRequest,
    Mastery,
    RecordRepetitionRequest,
    WithdrawMasteryRequest,
)
from stepladder.performance.v1.directory_pb2 import AppointTeamLeadRequest
from stepladder.performance.v1.policy_pb2 import CoachingRules, Policy, Scope, SetPolicyRequest
from tests.refusals import refused
from tests.services.world import World, new_id
from tests.tokens import as_person


@dataclass
class Centre:
    """A team of leads with rules of their own, two of whom are new, and somebody who watches them; their lead; HR."""

    world: World
    rules: Policy
    lead: str
    other: str
    manager: str
    hr: str

    async def record(self, caller: str = "", **more: Any) -> Mastery:
        request = recording(self.lead, **more)
        answer: Mastery = await self.world.masteries.RecordRepetition(request, metadata=by(caller or self.manager))
        return answer

    async def get(self, lead: str = "", caller: str = "") -> Mastery:
        request = GetMasteryRequest(employee_id=lead or self.lead)
        answer: Mastery = await self.world.masteries.GetMastery(request, metadata=by(caller or self.manager))
        return answer


def by(caller: str) -> tuple[tuple[str, str]]:
    return as_person(caller)


def recording(lead: str, **more: Any) -> RecordRepetitionRequest:
    request = RecordRepetitionRequest(
        employee_id=lead, repetition_id=new_id("r"), task_id="plan", date="2020-01-07", alone=True, correct=True
    )
    request.MergeFrom(RecordRepetitionRequest(**more))
    return request


@pytest.fixture
async def centre(world: World) -> Centre:
    return await founded(world)


async def founded(world: World) -> Centre:
    team, office = await world.team(), await world.team()
    manager, hr = await world.employee(office), await world.employee(office, job_family="hr")
    await world.directory.AppointTeamLead(
        AppointTeamLeadRequest(team_id=team, lead_id=manager, effective_date="2019-01-01")
    )
    tasks = [
        CoachingRules.LeadTask(task_id="plan", display_name="Plans a week"),
        CoachingRules.LeadTask(task_id="listen", display_name="Listens in"),
    ]
    content = CoachingRules(scope=Scope(team_id=team), lead_tasks=tasks, mastery_repetitions=2)
    rules = await world.policies.SetPolicy(
        SetPolicyRequest(policy=Policy(policy_id=new_id("rules"), effective_date="2019-01-01", coaching=content))
    )
    lead, other = await world.employee(team), await world.employee(team)
    return Centre(world, rules, lead, other, manager, hr)


async def test_a_new_lead_masters_a_task(both: World) -> None:
    """From nothing to mastered; the note is there for who asks, and each repetition says by which rules it counts."""
    centre = await founded(both)
    before = await centre.get()
    assert [(one.task_id, one.display_name, one.left) for one in before.tasks] == [
        ("plan", "Plans a week", 2),
        ("listen", "Listens in", 2),
    ]
    assert (before.left, before.rules_position) == (2, centre.rules.log_position)
    first = await centre.record(note="knew whom to ask")
    (seen,) = first.tasks[0].repetitions
    assert (seen.note, seen.observed_by) == ("knew whom to ask", f"user:{centre.manager}")
    assert (seen.mastery_repetitions, seen.rules_position) == (2, centre.rules.log_position)
    done = await centre.record(date="2020-01-08")
    assert (done.left, done.tasks[0].mastered_date) == (1, "2020-01-08")
    assert await centre.get() == done
    withdraw = WithdrawMasteryRequest(
        employee_id=centre.lead, task_id="plan", etag=done.etag, reason="had help after all"
    )
    taken = await both.masteries.WithdrawMastery(withdraw, metadata=by(centre.hr))
    assert (taken.left, taken.tasks[0].left, taken.tasks[0].withdrawal_reason) == (2, 2, "had help after all")
    await refused(both.masteries.WithdrawMastery(withdraw, metadata=by(centre.hr)), StatusCode.ABORTED, "ETAG_MISMATCH")
    listed = await both.masteries.ListMasteries(
        ListMasteriesRequest(at_least=taken.log_position, page_size=1000), metadata=by(centre.manager)
    )
    assert [one for one in listed.masteries if one.employee_id in (centre.lead, centre.other)] == [taken]
    (follower,) = (one for one in both.services["coaching"].followers if one.handler.name == "masteries")
    assert [step async for step in rebuild(follower)][-1].changed_rows == 0


async def test_who_sees_and_says_what_a_lead_masters(centre: Centre) -> None:
    """The lead, whoever leads them, HR see it; the lead says nothing of themself, and nobody else anything at all."""
    await centre.record(note="knew whom to ask")
    stub = centre.world.masteries
    withdraw = WithdrawMasteryRequest(employee_id=centre.lead, task_id="plan", reason="had help after all")
    for caller in (centre.lead, centre.manager, centre.hr):
        task = (await centre.get(caller=caller)).tasks[0]
        assert [one.note for one in task.repetitions] == ["knew whom to ask"], caller
        listed = await stub.ListMasteries(ListMasteriesRequest(page_size=1000), metadata=by(caller))
        assert [one.tasks[0] for one in listed.masteries if one.employee_id == centre.lead] == [task]
    for caller in (centre.lead, centre.other, "nobody"):
        for call in (
            stub.RecordRepetition(recording(centre.lead), metadata=by(caller)),
            stub.WithdrawMastery(withdraw, metadata=by(caller)),
        ):
            await refused(call, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    for lead in (centre.lead, "no-one"):
        await refused(centre.get(lead, caller=centre.other), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    assert not (await stub.ListMasteries(ListMasteriesRequest(), metadata=by(centre.other))).masteries


async def test_saying_it_again(centre: Centre) -> None:
    """With a request id, also when the rules name the task no more; without one while the content is the same."""
    asked = recording(centre.lead, request_id="r-1")
    stub = centre.world.masteries
    first = await stub.RecordRepetition(asked, metadata=by(centre.manager))
    centre.rules.coaching.lead_tasks.pop(0)
    await centre.world.policies.SetPolicy(SetPolicyRequest(policy=centre.rules))
    again = await stub.RecordRepetition(asked, metadata=by(centre.manager))
    assert again.log_position == first.log_position
    assert [(one.task_id, one.display_name) for one in again.tasks] == [("listen", "Listens in"), ("plan", "")]
    asked.request_id = ""
    assert (await stub.RecordRepetition(asked, metadata=by(centre.manager))).log_position == first.log_position
    asked.correct = False
    call = stub.RecordRepetition(asked, metadata=by(centre.manager))
    await refused(call, StatusCode.ALREADY_EXISTS, "REPETITION_EXISTS")


async def test_pages(centre: Centre) -> None:
    """Every lead once, by id."""
    last = Mastery()
    for lead in (centre.other, centre.lead):
        last = await centre.world.masteries.RecordRepetition(recording(lead), metadata=by(centre.manager))
    found, token = list[str](), ""
    while token or not found:
        page = await centre.world.masteries.ListMasteries(
            ListMasteriesRequest(page_size=1, page_token=token, at_least=last.log_position)
        )
        found += [one.employee_id for one in page.masteries]
        token = page.next_page_token
    assert found == sorted(set(found))
    assert {centre.lead, centre.other} <= set(found)


async def test_what_is_refused(centre: Centre) -> None:
    """What is no task, who is nobody, a day to come, what was never mastered."""
    stub = centre.world.masteries
    cases = [
        (recording(centre.lead, task_id="none"), centre.manager, StatusCode.NOT_FOUND, "TASK_NOT_FOUND"),
        (recording("no-one"), centre.hr, StatusCode.NOT_FOUND, "EMPLOYEE_NOT_FOUND"),
        (recording(centre.lead, date="2199-01-01"), centre.manager, StatusCode.INVALID_ARGUMENT, "DATE_INVALID"),
    ]
    for request, caller, code, reason in cases:
        await refused(stub.RecordRepetition(request, metadata=by(caller)), code, reason)
    withdraw = WithdrawMasteryRequest(employee_id=centre.lead, task_id="plan", reason="no")
    call = stub.WithdrawMastery(withdraw, metadata=by(centre.manager))
    await refused(call, StatusCode.FAILED_PRECONDITION, "NOT_MASTERED")
    await refused(centre.get("no-one", centre.hr), StatusCode.NOT_FOUND, "EMPLOYEE_NOT_FOUND")
