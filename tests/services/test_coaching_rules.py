"""Calendars and coaching rules are policies: what cannot be meant is refused when it is stored."""

import asyncio

from grpc import StatusCode, aio

from stepladder.performance.v1.policy_pb2 import (
    Calendar,
    CoachingRules,
    GetPolicyRequest,
    Policy,
    Scope,
    SetPolicyRequest,
)
from tests.refusals import refused
from tests.services.world import World, new_id


def rules(calendar_id: str, day: str, team_id: str) -> SetPolicyRequest:
    content = CoachingRules(scope=Scope(team_id=team_id), calendar_id=calendar_id)
    return SetPolicyRequest(policy=Policy(policy_id=new_id("coaching"), effective_date=day, coaching=content))


async def test_rules_name_a_calendar(world: World) -> None:
    """It must be one, and be in force on the first day of the rules."""
    team = await world.team()
    days = Policy(policy_id=new_id("days"), effective_date="2020-01-01", calendar=Calendar(country="LV"))
    stored = await world.policies.SetPolicy(SetPolicyRequest(policy=days))
    good = await world.policies.SetPolicy(rules(days.policy_id, "2020-01-01", team))
    assert good.coaching.calendar_id == days.policy_id
    for request in (
        rules(days.policy_id, "2019-12-31", team),  # a day too early
        rules("none", "2020-01-01", team),
        rules(good.policy_id, "2020-01-01", team),  # of another kind
    ):
        refusal = await refused(world.policies.SetPolicy(request), StatusCode.NOT_FOUND, "CALENDAR_NOT_FOUND")
        assert "policy.coaching.calendar_id" in refusal.message
    found = await world.policies.GetPolicy(
        GetPolicyRequest(policy_id=days.policy_id, as_of="2026-01-01", at_least=stored.log_position)
    )
    assert found.calendar == days.calendar


async def test_two_rules_for_the_same(world: World) -> None:
    """Of one scope and day there is one policy, also when two are stored at once; another day or scope is its own."""
    team = await world.team()
    both = [rules("", "2020-01-01", team), rules("", "2020-01-01", team)]
    answers = await asyncio.gather(*map(world.policies.SetPolicy, both), return_exceptions=True)
    (stored,) = [one for one in answers if isinstance(one, Policy)]
    (taken,) = [one for one in answers if isinstance(one, aio.AioRpcError)]
    assert taken.code() is StatusCode.ALREADY_EXISTS
    assert f"{stored.policy_id} has coaching rules for the same from 2020-01-01" in (taken.details() or "")
    refusal = await refused(
        world.policies.SetPolicy(rules("", "2020-01-01", team)), StatusCode.ALREADY_EXISTS, "SCOPE_TAKEN"
    )
    assert "policy.coaching.scope" in refusal.message
    for request in (rules("", "2020-01-02", team), rules("", "2020-01-01", await world.team())):
        await world.policies.SetPolicy(request)
    again = SetPolicyRequest(policy=stored)
    again.policy.coaching.scope.position = "agent"
    await world.policies.SetPolicy(again)
    await world.policies.SetPolicy(rules("", "2020-01-01", team))  # the other one is for less by now


async def test_a_place_that_is_not_known(world: World) -> None:
    """The answer says which are."""
    wrong = Policy(policy_id=new_id("days"), effective_date="2020-01-01", calendar=Calendar(country="UK"))
    call = world.policies.SetPolicy(SetPolicyRequest(policy=wrong))
    refusal = await refused(call, StatusCode.INVALID_ARGUMENT, "POLICY_INVALID")
    assert refusal.message.endswith("are UA, UG, UM, US, UY, UZ")
    assert refusal.fields == ["policy.calendar.country"]


async def test_two_people_are_no_group(world: World) -> None:
    """Rules that would tell of fewer than three are refused; none said is the number that the contract names."""
    policy_id = new_id("coaching")
    for smallest, wrong in ((1, True), (2, True), (3, False), (0, False)):
        content = CoachingRules(smallest_group=smallest)
        policy = Policy(policy_id=policy_id, effective_date="2020-01-01", coaching=content)
        call = world.policies.SetPolicy(SetPolicyRequest(policy=policy))
        if wrong:
            refusal = await refused(call, StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
            assert refusal.fields == ["policy.coaching.smallest_group"]
        else:
            await call
