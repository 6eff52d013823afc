"""Sharings as callers see them: chosen on numbers and words, held with others, and what it changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from grpc import StatusCode

from libs.common.rebuilding import rebuild
from stepladder.coaching.v1.measure_pb2 import Measure
from stepladder.coaching.v1.sharing_pb2 import (
    CancelSharingRequest,
    GetSharingEffectRequest,
    GetSharingRequest,
    HoldSharingRequest,
    ListSharingsRequest,
    PrepareSharingRequest,
    Sharing,
)
from stepladder.performance.v1.directory_pb2 import AppointTeamLeadRequest
from stepladder.performance.v1.facts_pb2 import CorrectFactRequest
from stepladder.performance.v1.policy_pb2 import CoachingRules, Policy, Scope, SetPolicyRequest
from tests.refusals import refused
from tests.services.world import World, fact, new_id
from tests.tokens import as_person

TODAY = datetime.fromisoformat("2020-03-02T09:00:00+00:00")
HELD = date(2020, 3, 16)


@dataclass
class Centre:
    """A team with its lead, one of whom has few complaints; HR; a KPI of which less is better."""

    world: World
    example: str
    agents: Sequence[str]
    lead: str
    hr: str
    kpi: str

    async def prepare(self, caller: str = "", **more: Any) -> Sharing:
        request = PrepareSharingRequest(
            sharing_id=new_id("s"),
            employee_id=self.example,
            measure=Measure(kpi_id=self.kpi),
            start_date="2020-02-01",
            end_date="2020-02-29",
            attitude="stays calm",
            helpfulness="asks who needs help",
            topic="how to listen",
        )
        request.MergeFrom(PrepareSharingRequest(**more))
        answer: Sharing = await self.world.sharings.PrepareSharing(request, metadata=by(caller or self.lead))
        return answer

    async def get(self, caller: str, sharing_id: str) -> Sharing:
        request = GetSharingRequest(sharing_id=sharing_id)
        answer: Sharing = await self.world.sharings.GetSharing(request, metadata=by(caller))
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
    await world.directory.AppointTeamLead(
        AppointTeamLeadRequest(team_id=team, lead_id=lead, effective_date="2019-01-01")
    )
    content = CoachingRules(scope=Scope(team_id=team), smallest_group=3)
    await world.policies.SetPolicy(
        SetPolicyRequest(policy=Policy(policy_id=new_id("rules"), effective_date="2019-01-01", coaching=content))
    )
    example, *agents = [await world.employee(team) for _ in range(7)]
    kpi = await world.kpi()
    await world.record(fact(example, "2020-02-03", kpi, 1), fact(example, "2020-02-04", kpi, 3))
    return Centre(world, example, agents, lead, hr, kpi)


async def test_chosen(both: World) -> None:
    """With the number that the facts say, and what they say now; words are for those who are close to the example."""
    centre = await founded(both)
    one = await centre.prepare()
    assert (one.state, one.measured.value, one.prepared_by) == (
        *(Sharing.STATE_PREPARED, "2.0", f"user:{centre.lead}"),
    )
    assert len(one.measured.fact_positions) == 2
    await both.facts.CorrectFact(
        CorrectFactRequest(fact=fact(centre.example, "2020-02-04", centre.kpi, 41), reason="another agent's")
    )
    for caller in (centre.example, centre.lead, centre.hr):
        seen = await centre.get(caller, one.sharing_id)
        assert (seen.measured, seen.measured_now.value) == (one.measured, "21.0")
        assert (seen.attitude, seen.helpfulness, seen.topic) == ("stays calm", "asks who needs help", "how to listen")
    for caller in (centre.agents[0], "nobody"):
        for sharing_id in (one.sharing_id, "none"):
            await refused(centre.get(caller, sharing_id), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    again = await centre.prepare(sharing_id=one.sharing_id)
    assert again == one
    listed = await both.sharings.ListSharings(
        ListSharingsRequest(employee_id=centre.example, at_least=one.log_position), metadata=by(centre.lead)
    )
    assert list(listed.sharings) == [one]
    asked = ListSharingsRequest(employee_id=centre.example)
    assert not (await both.sharings.ListSharings(asked, metadata=by(centre.agents[0]))).sharings


async def test_what_it_changed(both: World) -> None:
    """Three who took part complain less; the other three do not; the example is neither."""
    centre = await founded(both)
    stub, lead = both.sharings, by(centre.lead)
    one = await centre.prepare()
    effect = GetSharingEffectRequest(sharing_id=one.sharing_id, days=7)
    await refused(stub.GetSharingEffect(effect), StatusCode.FAILED_PRECONDITION, "NOT_HELD")
    centre.later(HELD + timedelta(days=8))
    for agent, before, after in zip(centre.agents, (20, 25, 30, 20, 25, 30), (10, 10, 10, 20, 30, 40), strict=True):
        await both.record(
            fact(agent, "2020-03-10", centre.kpi, before),
            fact(agent, "2020-03-16", centre.kpi, 99),
            fact(agent, "2020-03-20", centre.kpi, after),
        )
    await both.record(
        fact(centre.example, "2020-03-10", centre.kpi, 1), fact(centre.example, "2020-03-20", centre.kpi, 1)
    )
    hold = HoldSharingRequest(
        sharing_id=one.sharing_id, etag=one.etag, date=HELD.isoformat(), participant_ids=centre.agents[:3]
    )
    held = await stub.HoldSharing(hold, metadata=lead)
    assert (held.state, held.held_date) == (Sharing.STATE_HELD, "2020-03-16")
    changed = await stub.GetSharingEffect(effect)
    assert (changed.took_part.employees, changed.took_part.before, changed.took_part.after) == (3, "25.0", "10.0")
    assert (changed.took_part.better, changed.took_part.change.median) == (3, "15.0")
    assert (changed.others.employees, changed.others.before, changed.others.after) == (3, "25.0", "30.0")
    assert (changed.others.same, changed.others.worse, changed.left_out, changed.over) == (1, 2, 0, True)
    (follower,) = (f for f in both.services["coaching"].followers if f.handler.name == "sharings")
    await follower.wait_for(held.log_position, 20)
    assert [step async for step in rebuild(follower)][-1].changed_rows == 0


async def test_what_is_refused(centre: Centre) -> None:
    """Whoever does not lead the example, the example too; what was not recorded; who does not exist."""
    absent, invalid = StatusCode.NOT_FOUND, StatusCode.INVALID_ARGUMENT
    for caller in (centre.agents[0], centre.example, "nobody"):
        await refused(centre.prepare(caller), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    await refused(centre.prepare(centre.hr, employee_id=centre.hr), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    await refused(centre.prepare(centre.hr, employee_id="no-one"), absent, "EMPLOYEE_NOT_FOUND")
    await refused(centre.prepare(measure=Measure(kpi_id="none")), absent, "KPI_NOT_FOUND")
    await refused(centre.prepare(end_date="2020-01-31"), invalid, "DATE_INVALID")
    await refused(centre.prepare(end_date="2021-02-29"), invalid, "DATE_INVALID")
    nothing = centre.prepare(start_date="2020-02-05")
    await refused(nothing, StatusCode.FAILED_PRECONDITION, "NO_FACTS")
    stub = centre.world.sharings
    await refused(centre.get(centre.hr, "none"), absent, "SHARING_NOT_FOUND")
    one = await centre.prepare()
    hold = HoldSharingRequest(sharing_id=one.sharing_id, date="2020-03-02", participant_ids=["no-one"])
    await refused(stub.HoldSharing(hold, metadata=by(centre.lead)), absent, "EMPLOYEE_NOT_FOUND")
    cancel = CancelSharingRequest(sharing_id=one.sharing_id, reason="is on leave")
    for caller in (centre.agents[0], centre.example):
        call = stub.CancelSharing(cancel, metadata=by(caller))
        await refused(call, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    cancelled = await stub.CancelSharing(cancel, metadata=by(centre.lead))
    assert (cancelled.state, cancelled.reason) == (Sharing.STATE_CANCELLED, "is on leave")
