"""gRPC: stepladder.promotion.v1.EligibilityService."""

from datetime import date

from libs.common.commands import Standing
from libs.common.days import parse_day
from libs.common.errors import NotAllowed, NotFound
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page, page_size, page_start
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from services.promotion import eligibilitypolicy
from services.promotion.criteria import Record, judge
from services.promotion.eligibilitypolicy import ELIGIBILITY_POLICY
from services.promotion.records import Records
from stepladder.promotion.v1 import eligibility_pb2 as pb

CHUNK = 500
"""Employees judged at a time while looking for eligible ones."""


class EligibilityApi:
    """Implements the service: judged when asked, over the records that the read model keeps."""

    def __init__(self, service: Service, records: Records, follower: Follower) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._records = records
        self._follower = follower

    async def CreateEligibilityPolicy(
        self, request: pb.CreateEligibilityPolicyRequest, context: Context
    ) -> pb.EligibilityPolicy:
        handled = await self._commands.handle(ELIGIBILITY_POLICY, request.policy.policy_id, request, context)
        return eligibilitypolicy.to_resource(handled.state, handled.position)

    async def ListEligibilityPolicies(
        self, request: pb.ListEligibilityPoliciesRequest, _: Context
    ) -> pb.ListEligibilityPoliciesResponse:
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        ids, token = cut_page(request, await self._records.list_policies(self._engine, request), lambda one: [one])
        found = (await self._commands.known(ELIGIBILITY_POLICY, ids)).values()
        policies = [eligibilitypolicy.to_resource(one.state, one.position) for one in found]
        return pb.ListEligibilityPoliciesResponse(policies=policies, next_page_token=token)

    async def GetEligibility(self, request: pb.GetEligibilityRequest, context: Context) -> pb.Eligibility:
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        day = _day(request.as_of, context)
        record = (await self._records.records_of(self._engine, [request.employee_id])).get(request.employee_id)
        if record is None:
            raise NotFound("EMPLOYEE_NOT_FOUND", f"there is no employee {request.employee_id}")
        return _eligibility(request.employee_id, record, await self._policy_on(day), day)

    async def ListEligibilities(
        self, request: pb.ListEligibilitiesRequest, context: Context
    ) -> pb.ListEligibilitiesResponse:
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        day = _day(request.as_of, context)
        policy = await self._policy_on(day)
        found: list[pb.Eligibility] = []
        after = str((page_start(request) or [""])[0])
        while len(found) <= page_size(request):
            ids = await self._records.employees_after(self._engine, after, CHUNK)
            records = await self._records.records_of(self._engine, ids)
            judged = [_eligibility(employee_id, records[employee_id], policy, day) for employee_id in ids]
            found += [one for one in judged if one.eligible or not request.eligible_only]
            if len(ids) < CHUNK:
                break
            after = ids[-1]
        page, token = cut_page(request, found[: page_size(request) + 1], lambda one: [one.employee_id])
        return pb.ListEligibilitiesResponse(eligibilities=page, next_page_token=token)

    async def _policy_on(self, day: date) -> Standing[eligibilitypolicy.State]:
        policy_id = await self._records.policy_on(self._engine, day)
        if policy_id is None:
            raise NotAllowed("NO_POLICY_IN_FORCE", f"no eligibility policy is in force on {day}; create one")
        return (await self._commands.known(ELIGIBILITY_POLICY, [policy_id]))[policy_id]


def _eligibility(
    employee_id: str, record: Record, policy: Standing[eligibilitypolicy.State], day: date
) -> pb.Eligibility:
    criteria = judge(record, policy.state.policy, day)
    return pb.Eligibility(
        employee_id=employee_id,
        as_of=day.isoformat(),
        eligible=all(criterion.met for criterion in criteria),
        criteria=criteria,
        policy_id=policy.state.policy.policy_id,
        policy_position=policy.position,
    )


def _day(as_of: str, context: Context) -> date:
    return parse_day(as_of, "as_of") if as_of else context.today
