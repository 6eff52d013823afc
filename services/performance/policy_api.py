"""gRPC: stepladder.performance.v1.PolicyService."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

from libs.common.commands import Commands
from libs.common.days import parse_day
from libs.common.errors import AlreadyExists, FieldViolation, Invalid, NotFound
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.catalogue import Catalogue, Rules
from libs.facts.people import FOR_EVER
from libs.facts.promotion_rules import QUESTION_BANK, interview_in, too_many_questions
from libs.facts.reaching import callers_to, check_hr
from libs.facts.relations import Relation
from services.performance.kpi import KPI
from services.performance.policy import POLICY, kpis_of, policies_of, wrong_in
from stepladder.performance.v1 import policy_pb2 as pb
from stepladder.performance.v1.kpi_pb2 import Kpi

KINDS = [field.name for field in pb.Policy.DESCRIPTOR.oneofs_by_name["content"].fields]


class PolicyApi:
    """Implements the service."""

    def __init__(self, service: Service, catalogue: Catalogue, follower: Follower) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._catalogue = catalogue
        self._follower = follower
        self._storing = asyncio.Lock()

    async def SetPolicy(self, request: pb.SetPolicyRequest, context: Context) -> pb.Policy:
        kind = request.policy.WhichOneof("content")
        async with self._storing:  # whoever comes next sees this one
            await self._follower.catch_up(AT_LEAST_SECONDS)
            rules = await self._catalogue.rules(self._engine)
            for stored in rules.policies:  # also those of earlier logs
                if stored.policy_id == request.policy.policy_id and stored.WhichOneof("content") != kind:
                    raise AlreadyExists("POLICY_EXISTS", f"policy {stored.policy_id} is of another kind than {kind}")
            refuse_wrong(
                [
                    *wrong_in(request.policy),
                    *await wrong_total(self._commands, request.policy),
                    *wrong_questions(rules, request.policy),
                ],
                [*await missing_kpis(self._commands, request.policy), *missing_policies(rules, request.policy)],
            )
            check_scope(rules, request.policy)
            handled = await self._commands.handle(POLICY, request.policy.policy_id, request, context)
        day = date.fromisoformat(request.policy.effective_date)
        policy = pb.Policy(log_position=handled.position)
        policy.MergeFrom(dict(handled.state.versions)[day])
        return policy

    async def GetPolicy(self, request: pb.GetPolicyRequest, context: Context) -> pb.Policy:
        await self._follower.wait_for(max(request.at_least, request.known_at), AT_LEAST_SECONDS)
        day = parse_day(request.as_of, "as_of") if request.as_of else context.today
        rules = await self._catalogue.rules(self._engine, request.known_at)
        policy = rules.policy_on(request.policy_id, day)
        if policy is None:
            raise NotFound("POLICY_NOT_FOUND", f"there is no policy {request.policy_id} in force on {day}")
        if policy.WhichOneof("content") == QUESTION_BANK:
            await check_hr(self._commands, context)
        return policy

    async def ListPolicies(self, request: pb.ListPoliciesRequest, context: Context) -> pb.ListPoliciesResponse:
        if request.kind and request.kind not in KINDS:
            message = f"must be one of {', '.join(KINDS)}"
            raise Invalid("KIND_INVALID", message, (FieldViolation("kind", message),))
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        (caller,) = (await callers_to(self._commands, context, [""])).values()
        hidden = "" if Relation.HR in caller.relations else QUESTION_BANK
        kinds = {request.kind} if request.kind else {*KINDS}
        listed = await self._catalogue.list_policies(self._engine, request, kinds - {hidden})
        policies, token = cut_page(request, listed, lambda one: [one.policy_id, one.effective_date])
        return pb.ListPoliciesResponse(policies=policies, next_page_token=token)


async def rules_with(service: Service, catalogue: Catalogue, follower: Follower, policy_ids: Collection[str]) -> Rules:
    """The rules, with everything that is known of some policies."""
    policies = await service.commands.known(POLICY, policy_ids)
    latest = max((standing.position for standing in policies.values()), default=0)
    await follower.wait_for(latest, AT_LEAST_SECONDS)
    return await catalogue.rules(service.engine)


@dataclass(frozen=True, slots=True)
class Missing:
    """A field that names what there is not, and the reason of the refusal."""

    reason: str
    violation: FieldViolation


def refuse_wrong(wrong: Sequence[FieldViolation], missing: Sequence[Missing]) -> None:
    """Raises Invalid `POLICY_INVALID`, or NotFound where names of what there is not are all; with every such field."""
    violations = (*wrong, *(one.violation for one in missing))
    text = "; ".join(f"{one.field}: {one.message}" for one in violations)
    if wrong:
        raise Invalid("POLICY_INVALID", text, violations)
    if missing:
        raise NotFound(missing[0].reason, text, violations)


async def missing_kpis(commands: Commands, policy: pb.Policy) -> list[Missing]:
    """KPIs that a policy names and that there are not."""
    named = kpis_of(policy)
    known = await commands.known(KPI, {kpi_id for _, kpi_id in named}, check=False)
    return [
        Missing("KPI_NOT_FOUND", FieldViolation(field, f"there is no KPI {kpi_id}"))
        for field, kpi_id in named
        if kpi_id not in known
    ]


async def wrong_total(commands: Commands, policy: pb.Policy) -> list[FieldViolation]:
    """A total of a KPI that is no sum."""
    total = policy.detection.total.kpi_id
    found = await commands.known(KPI, [total] if total else [], check=False)
    if not found or found[total].state.kpi.aggregation == Kpi.AGGREGATION_SUM:
        return []
    return [FieldViolation("policy.detection.total.kpi_id", f"{total} is no sum")]


def check_scope(rules: Rules, policy: pb.Policy) -> None:
    """Raises AlreadyExists `SCOPE_TAKEN` if another policy has coaching rules of the same scope and first day."""
    if not policy.HasField("coaching"):
        return
    for stored in rules.policies_on("coaching", parse_day(policy.effective_date, "policy.effective_date")):
        same = stored.coaching.scope == policy.coaching.scope and stored.effective_date == policy.effective_date
        if same and stored.policy_id != policy.policy_id:
            message = f"{stored.policy_id} has coaching rules for the same from {stored.effective_date}"
            raise AlreadyExists("SCOPE_TAKEN", f"policy.coaching.scope: {message}: store another version of them")


def missing_policies(rules: Rules, policy: pb.Policy) -> list[Missing]:
    """Policies that a policy names and that are not there: of the right kind, and in force on its first day."""
    day = parse_day(policy.effective_date, "policy.effective_date")
    found = []
    for path, kind, policy_id in policies_of(policy):
        there = rules.policy_on(policy_id, day)
        if not there or there.WhichOneof("content") != kind:
            reason = "CALENDAR_NOT_FOUND" if kind == "calendar" else "POLICY_NOT_FOUND"
            message = f"there is no {kind} {policy_id} in force on {day}"
            found.append(Missing(reason, FieldViolation(path, message)))
    return found


def wrong_questions(rules: Rules, policy: pb.Policy) -> list[FieldViolation]:
    """What rules of competitions ask more than their question bank has.

    And of a bank that has less than such rules ask; each on any day on which both are in force.
    """
    violations: list[FieldViolation] = []
    if asking := interview_in(policy.competition):
        path, interview = asking
        for bank in _in_force_with(rules, policy, interview.question_bank_id):
            for field, _, there in too_many_questions(interview, bank.question_bank):
                message = f"{bank.policy_id} of {bank.effective_date} has only {there} of them"
                violations.append(FieldViolation(f"policy.competition.{path}.{field}", message))
    asked_of = {
        one.policy_id for one in rules.policies if policy.HasField("question_bank") and one.HasField("competition")
    }
    for competition in (one for policy_id in sorted(asked_of) for one in _in_force_with(rules, policy, policy_id)):
        asking = interview_in(competition.competition)
        if asking and asking[1].question_bank_id == policy.policy_id:
            for field, asked, there in too_many_questions(asking[1], policy.question_bank):
                message = f"{competition.policy_id} of {competition.effective_date} asks {asked} {field}, not {there}"
                violations.append(FieldViolation("policy.question_bank.questions", message))
    return violations


def _in_force_with(rules: Rules, policy: pb.Policy, policy_id: str) -> list[pb.Policy]:
    """The versions of a policy that are in force on a day on which another one, stored now, will be, too."""
    day = policy.effective_date
    later = [one.effective_date for one, _ in rules.versions_of(policy.policy_id) if one.effective_date > day]
    until = min(later, default=FOR_EVER)
    return [one for one, ends in rules.versions_of(policy_id) if one.effective_date < until and ends > day]
