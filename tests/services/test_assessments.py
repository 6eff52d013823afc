"""Assessments over gRPC: who may give one by the directory of the day, and what is shown of it to whom."""

from datetime import UTC, datetime
from typing import Any

import pytest
from grpc import StatusCode

from libs.cli.presets import load_policies
from stepladder.performance.v1.assessment_pb2 import (
    AssessedBehaviour,
    Assessment,
    CancelAssessmentRequest,
    CloseAssessmentRequest,
    GiveAssessmentRequest,
    ListAssessmentsRequest,
    OpenAssessmentRequest,
)
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_LEFT,
    AppointTeamLeadRequest,
    ChangeEmploymentStatusRequest,
    Employee,
    GetEmployeeRequest,
    TransferEmployeeRequest,
)
from stepladder.performance.v1.policy_pb2 import Policy, SetPolicyRequest
from tests.refusals import refused
from tests.services.test_calibrations import acting
from tests.services.world import World, new_id

MONTHS = {"start_month": "2020-01", "end_month": "2020-06"}


@pytest.fixture
async def model(world: World) -> Policy:
    return await stored_model(world)


async def stored_model(world: World) -> Policy:
    """The one that ships, under an id of its own; months of early 2020 can be assessed."""
    world.clock[0] = datetime(2020, 7, 15, 12, tzinfo=UTC)
    (preset,) = [one for one in load_policies() if one.HasField("competency_model")]
    preset.policy_id = new_id("cm")
    stored: Policy = await world.policies.SetPolicy(SetPolicyRequest(policy=preset))
    return stored


async def lead_with_team(world: World, size: int) -> tuple[str, str, list[str]]:
    """A manager, a lead whom they lead, and the lead's team."""
    above, below = await world.team(), await world.team()
    manager, lead = await world.employee(await world.team()), await world.employee(above)
    await appoint(world, above, manager)
    await appoint(world, below, lead)
    return manager, lead, [await world.employee(below) for _ in range(size)]


async def appoint(world: World, team_id: str, lead_id: str, day: str = "2019-01-01") -> None:
    request = AppointTeamLeadRequest(team_id=team_id, lead_id=lead_id, effective_date=day)
    await world.directory.AppointTeamLead(request)


async def open_(world: World, employee_id: str, model_id: str, **months: str) -> Assessment:
    request = OpenAssessmentRequest(employee_id=employee_id, model_id=model_id, **(MONTHS | months))
    answer: Assessment = await world.assessments.OpenAssessment(request)
    return answer


async def give(
    world: World, employee_id: str, assessor_id: str, levels: str, comment: str = "", request_id: str = ""
) -> Assessment:
    """The five levels in the order of the model."""
    names = ("sense", "communicate", "act", "innovate", "learn")
    request = GiveAssessmentRequest(
        request_id=request_id,
        employee_id=employee_id,
        behaviours=[
            AssessedBehaviour(behaviour_id=one, level=int(level)) for one, level in zip(names, levels, strict=True)
        ],
        comment=comment,
        **MONTHS,
    )
    answer: Assessment = await world.assessments.GiveAssessment(request, **acting(assessor_id))
    return answer


async def close(world: World, employee_id: str) -> Assessment:
    request = CloseAssessmentRequest(employee_id=employee_id, **MONTHS)
    answer: Assessment = await world.assessments.CloseAssessment(request)
    return answer


async def listed(world: World, employee_id: str, known_at: int = 0, **more: Any) -> list[Assessment]:
    request = ListAssessmentsRequest(employee_id=employee_id, known_at=known_at)
    return list((await world.assessments.ListAssessments(request, **more)).assessments)


async def test_a_lead_is_assessed_by_manager_and_team(world: World, model: Policy) -> None:
    """The manager's with name and words at once; the team's as means once it is closed, the same to everyone."""
    manager, lead, team = await lead_with_team(world, 3)
    first = await open_(world, lead, model.policy_id)
    assert (first.state, first.policy_position) == (Assessment.STATE_OPEN, model.log_position)
    await give(world, lead, manager, "43215", "grasps it at once")
    for member, levels in zip(team, ("11345", "21345", "31335"), strict=True):
        await give(world, lead, member, levels, request_id="same-id")
    (shown,) = await listed(world, lead)
    (by_manager,) = shown.managers
    assert (by_manager.assessor_id, by_manager.comment) == (manager, "grasps it at once")
    assert [one.level for one in by_manager.behaviours] == [4, 3, 2, 1, 5]
    assert not shown.HasField("team")
    closed = await close(world, lead)
    assert (closed.state, closed.team.assessors) == (Assessment.STATE_CLOSED, 3)
    # All three gave 1, and 5: as if one of them had not.
    assert [one.mean for one in closed.team.behaviours] == ["2.00", "1.33", "3.00", "3.67", "4.67"]
    late = await world.employee(await world.team())
    await refused(give(world, lead, late, "33333"), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    await refused(give(world, lead, team[0], "33333"), StatusCode.FAILED_PRECONDITION, "ASSESSMENT_CLOSED")


async def test_nothing_of_the_team_can_be_read_out_at_any_position(world: World, model: Policy) -> None:
    """Whoever asks, at whatever position of the log: first nothing, not even how many; from the closing on the same."""
    manager, lead, team = await lead_with_team(world, 4)
    await open_(world, lead, model.policy_id)
    start = await world.end()
    for member, levels in zip(team, ("11345", "25345", "31335", "44444"), strict=True):
        answer = await give(world, lead, member, levels)
        assert (list(answer.managers), answer.HasField("team")) == ([], False)
    await give(world, lead, team[0], "55555")
    closed = await close(world, lead)
    seen = set()
    for position in range(start, await world.end() + 1):
        for who in (manager, lead, *team):
            (shown,) = await listed(world, lead, position, **acting(who))
            seen.add(shown.SerializeToString(deterministic=True))
            assert not any(member in str(shown) for member in team)
    assert len(seen) == 2
    assert closed.SerializeToString(deterministic=True) in seen


async def test_relations_are_those_of_the_day(world: World, model: Policy) -> None:
    """Who moved into the team may assess its lead, who moved out, has left or leads another team may not."""
    manager, lead, team = await lead_with_team(world, 3)
    other_manager, other_lead, others = await lead_with_team(world, 1)
    (home,) = {(await _employee(world, one)).team_id for one in team}
    await open_(world, lead, model.policy_id)
    for stranger in (lead, other_manager, other_lead, others[0], "anonymous", "system.one"):
        await refused(give(world, lead, stranger, "33333"), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    elsewhere = (await _employee(world, others[0])).team_id
    for employee_id, team_id in ((others[0], home), (team[0], elsewhere)):
        moved = TransferEmployeeRequest(employee_id=employee_id, team_id=team_id, effective_date="2020-07-15")
        await world.directory.TransferEmployee(moved)
    await give(world, lead, others[0], "33333")
    await refused(give(world, lead, team[0], "33333"), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    await give(world, lead, team[1], "33333")
    left = ChangeEmploymentStatusRequest(
        employee_id=team[1], status=EMPLOYMENT_STATUS_LEFT, effective_date="2020-07-15"
    )
    await world.directory.ChangeEmploymentStatus(left)
    await refused(give(world, lead, team[1], "33332"), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    await appoint(world, (await _employee(world, lead)).team_id, other_manager, "2020-07-16")
    await give(world, lead, manager, "33333")
    world.clock[0] = datetime(2020, 7, 16, 12, tzinfo=UTC)
    await refused(give(world, lead, manager, "33332"), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    await give(world, lead, other_manager, "33333")
    (shown,) = await listed(world, lead)
    assert [one.assessor_id for one in shown.managers] == [manager, other_manager]


async def _employee(world: World, employee_id: str) -> Employee:
    found: Employee = await world.directory.GetEmployee(GetEmployeeRequest(employee_id=employee_id))
    return found


async def test_what_cannot_be_opened_is_said(world: World, model: Policy) -> None:
    _, lead, _ = await lead_with_team(world, 0)
    name = model.policy_id
    for call, code, reason in (
        (open_(world, "nobody", name), StatusCode.NOT_FOUND, "EMPLOYEE_NOT_FOUND"),
        (open_(world, lead, "no-model"), StatusCode.NOT_FOUND, "POLICY_NOT_FOUND"),
        (open_(world, lead, name, end_month="2019-12"), StatusCode.INVALID_ARGUMENT, "MONTHS_INVALID"),
        (open_(world, lead, name, end_month="2020-08"), StatusCode.INVALID_ARGUMENT, "MONTHS_INVALID"),
        (open_(world, lead, name, start_month="2018-06"), StatusCode.INVALID_ARGUMENT, "MONTHS_INVALID"),
        (give(world, lead, lead, "33333"), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW"),
        (close(world, lead), StatusCode.NOT_FOUND, "ASSESSMENT_NOT_FOUND"),
        (listed(world, "nobody"), StatusCode.NOT_FOUND, "EMPLOYEE_NOT_FOUND"),
    ):
        await refused(call, code, reason)
    first = await open_(world, lead, name)
    newer = SetPolicyRequest(policy=model)
    newer.policy.competency_model.minimum_assessors = 5
    await world.policies.SetPolicy(newer)
    assert (await open_(world, lead, name)).policy_position == first.policy_position
    cancelled = await world.assessments.CancelAssessment(
        CancelAssessmentRequest(employee_id=lead, reason="another model", **MONTHS)
    )
    assert cancelled.state == Assessment.STATE_CANCELLED
    assert (await open_(world, lead, name)).policy_position > first.policy_position


async def test_a_repeated_request_is_answered_whatever_has_changed(world: World, model: Policy) -> None:
    """Also after there is a newer version of the model; who gave theirs and has moved since gives nothing any more."""
    _, lead, team = await lead_with_team(world, 1)
    request = OpenAssessmentRequest(request_id="r-1", employee_id=lead, model_id=model.policy_id, **MONTHS)
    first = await world.assessments.OpenAssessment(request)
    given = await give(world, lead, team[0], "33333", request_id="r-2")
    assert await give(world, lead, team[0], "33333", request_id="r-2") == given
    moved = TransferEmployeeRequest(employee_id=team[0], team_id=await world.team(), effective_date="2020-07-01")
    await world.directory.TransferEmployee(moved)
    again = give(world, lead, team[0], "33333", request_id="r-2")
    await refused(again, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    cancel = CancelAssessmentRequest(employee_id=lead, reason="another model", **MONTHS)
    await world.assessments.CancelAssessment(cancel)
    model.competency_model.minimum_assessors = 5
    await world.policies.SetPolicy(SetPolicyRequest(policy=model))
    assert await world.assessments.OpenAssessment(request) == first
