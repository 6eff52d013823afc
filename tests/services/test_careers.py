"""Careers over gRPC: posts held acting and for good, with seats and with what the directory shows of it."""

from dataclasses import dataclass
from typing import Any

import pytest

from libs.common.rebuilding import rebuild
from stepladder.performance.v1.directory_pb2 import Employee, GetEmployeeRequest
from stepladder.performance.v1.policy_pb2 import Policy, SetPolicyRequest
from stepladder.performance.v1.promotion_rules_pb2 import Ladder
from stepladder.promotion.v1.career_pb2 import (
    Appointment,
    BeginActingRequest,
    Career,
    DecideAppointmentRequest,
    Held,
)
from stepladder.promotion.v1.post_pb2 import GetPostRequest, Post, SetHeadcountRequest
from tests.services.test_check_ins import appoint, by
from tests.services.world import World, caught_up, new_id


@dataclass
class Centre:
    """A team with a lead, two agents, a manager over it; two of HR, an executive; a ladder from agent to lead."""

    world: World
    team: str
    lead: str
    agent: str
    colleague: str
    manager: str
    hr: str
    hr2: str
    executive: str

    @property
    def today(self) -> str:
        return self.world.services["promotion"].today().isoformat()

    async def headcount(self, headcount: int, position: str = "deputy", **more: Any) -> Post:
        request = SetHeadcountRequest(
            position=position, team_id=self.team, headcount=headcount, effective_date="2019-01-01"
        )
        request.MergeFrom(SetHeadcountRequest(**more))
        answer: Post = await self.world.posts.SetHeadcount(request, metadata=by(self.hr))
        return answer

    def acting(self, employee_id: str = "", position: str = "deputy", **more: Any) -> BeginActingRequest:
        request = BeginActingRequest(
            employee_id=employee_id or self.agent,
            appointment_id="acting-1",
            held=Held(position=position, team_id=self.team),
            start_date=self.today,
            until_date="2199-01-01",
            reason="nobody else qualifies",
        )
        request.MergeFrom(BeginActingRequest(**more))
        return request

    async def begin(self, employee_id: str = "", position: str = "deputy", **more: Any) -> Career:
        request = self.acting(employee_id, position, **more)
        answer: Career = await self.world.careers.BeginActing(request, metadata=by(self.hr))
        await self.settled()
        return answer

    async def decide(self, *, confirmed: bool, **more: Any) -> Career:
        request = DecideAppointmentRequest(
            employee_id=self.agent,
            appointment_id="acting-1",
            confirmed=confirmed,
            effective_date=self.today,
            reason="as seen",
        )
        request.MergeFrom(DecideAppointmentRequest(**more))
        answer: Career = await self.world.careers.DecideAppointment(request, metadata=by(self.hr2))
        await self.settled()
        return answer

    async def settled(self) -> None:
        """Every policy has done what follows."""
        for _ in range(2):
            for service in ("promotion", "performance"):
                await caught_up(self.world, service)

    async def shown(self, employee_id: str = "", as_of: str = "") -> tuple[str, str, bool]:
        """Team, position, and whether acting."""
        request = GetEmployeeRequest(employee_id=employee_id or self.agent, as_of=as_of)
        one: Employee = await self.world.directory.GetEmployee(request)
        return one.team_id, one.position, one.acting

    async def post(self, post_id: str) -> Post:
        answer: Post = await self.world.posts.GetPost(GetPostRequest(post_id=post_id), metadata=by(self.hr))
        return answer


async def founded(world: World) -> Centre:
    team, leads, office = await world.team(), await world.team(), await world.team()
    lead, manager = await world.employee(leads), await world.employee(office)
    await appoint(world, team, lead)
    await appoint(world, leads, manager)
    hr, hr2 = await world.employee(office, job_family="hr"), await world.employee(office, job_family="hr")
    executive = await world.employee(office, job_family="executive")
    agent, colleague = await world.employee(team), await world.employee(team)
    rungs = [
        Ladder.Rung(rung_id="agent", display_name="Agent", position="agent"),
        Ladder.Rung(rung_id="deputy", display_name="Deputy", position="deputy"),
        Ladder.Rung(rung_id="lead", display_name="Lead", position="lead", leads_team=True),
    ]
    ladder = Policy(policy_id=new_id("l"), effective_date="2019-01-01")
    ladder.ladder.CopyFrom(Ladder(display_name="Positions", rungs=rungs))
    await world.policies.SetPolicy(SetPolicyRequest(policy=ladder))
    return Centre(world, team, lead, agent, colleague, manager, hr, hr2, executive)


@pytest.fixture
async def centre(world: World) -> Centre:
    return await founded(world)


async def test_an_acting_post_is_shown_and_confirmed(both: World) -> None:
    """The directory shows the acting post, then that it is held for good; the seat stays taken."""
    centre = await founded(both)
    post = await centre.headcount(1)
    begun = await centre.begin()
    (appointment,) = begun.appointments
    assert (appointment.state, appointment.before.position) == (Appointment.STATE_RUNNING, "agent")
    assert await centre.shown() == (centre.team, "deputy", True)
    seen = await centre.post(post.post_id)
    assert (seen.vacancies.occupied, seen.vacancies.claimed, seen.vacancies.vacant) == (1, 0, 0)
    assert [list(claim.employee_ids) for claim in seen.claims] == [[centre.agent]]
    decided = await centre.decide(confirmed=True)
    assert decided.appointments[0].state == Appointment.STATE_CONFIRMED
    assert await centre.shown() == (centre.team, "deputy", False)
    seen = await centre.post(post.post_id)
    assert (seen.vacancies.occupied, seen.vacancies.vacant, len(seen.claims)) == (1, 0, 0)
    for name in ("posts", "careers"):
        (follower,) = (one for one in both.services["promotion"].followers if one.handler.name == name)
        assert [step async for step in rebuild(follower)][-1].changed_rows == 0
