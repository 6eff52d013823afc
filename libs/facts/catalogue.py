"""Read model: KPIs, targets and policies, every version of each."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from typing import TypeVar, assert_never

from google.protobuf.message import Message
from sqlalchemy import Column, LargeBinary, MetaData, Row, String, Table, func, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.errors import NotFound
from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from libs.facts import employee
from libs.facts.adding import Counted
from libs.facts.employee import Position
from libs.facts.knowing import knowledge_columns, known, supersede
from libs.facts.people import FOR_EVER
from libs.facts.scope import narrowest
from stepladder.performance.v1.events_pb2 import (
    DetectionPolicyCreated,
    KpiCreated,
    KpiUpdated,
    PolicySet,
    TargetSet,
)
from stepladder.performance.v1.facts_pb2 import Rating
from stepladder.performance.v1.kpi_pb2 import Kpi, ListKpisRequest, ListTargetsRequest, Target
from stepladder.performance.v1.policy_pb2 import DetectionRule, ListPoliciesRequest, Policy, ScorecardPolicy
from stepladder.performance.v1.promotion_rules_pb2 import EligibilityRules
from stepladder.promotion.v1.eligibility_pb2 import EligibilityPolicy
from stepladder.promotion.v1.events_pb2 import EligibilityPolicyCreated

M = TypeVar("M", Kpi, Target, Policy)

KEPT = 8
"""How many states of the rules are kept in memory: that of now, and those under which months were closed."""

KPI, TARGET = "kpi", "target"
"""Kinds of rows; a policy's is the name of its content in `Policy`."""


@dataclass(frozen=True)
class Rules:
    """Definitions, targets and policies as they were known when `known_at` was the last of their events.

    `replaced` are the versions of policies whose place another one for the same day had taken by then.
    """

    known_at: int
    kpis: Mapping[str, Kpi]
    targets: Mapping[str, Sequence[Target]]
    policies: Sequence[Policy]
    replaced: Sequence[Policy] = ()

    def known_on(self, day: date) -> "Rules":
        """The same with those versions of policies that were known at the end of a day."""
        text = day.isoformat()
        stored = [policy for policy in (*self.policies, *self.replaced) if policy.recorded_date <= text]
        stored.sort(key=lambda policy: policy.log_position)
        latest = {(policy.policy_id, policy.effective_date): policy for policy in stored}
        return replace(self, policies=list(latest.values()), replaced=())

    def changes_of(self, kind: str) -> set[date]:
        """The days from which versions of policies of a kind were known and in force."""
        versions = [one for one in (*self.policies, *self.replaced) if one.WhichOneof("content") == kind]
        return {date.fromisoformat(max(one.effective_date, one.recorded_date)) for one in versions}

    def target_on(self, kpi_id: str, team_id: str, held: Position, day: date) -> Target | None:
        """The target for the work of a day of whoever is in a team and holds a position."""
        text = day.isoformat()
        in_force = [target for target in self.targets.get(kpi_id, ()) if target.effective_date <= text]
        return narrowest(
            in_force,
            team_id,
            held,
            scope=lambda target: target,
            version=lambda target: (target.effective_date, target.log_position),
        )

    def targets_of(self, state: employee.State) -> Callable[[Counted], Target | None]:
        """The target for what an employee did on a day: of the team and the position of that day."""

        @cache
        def target(kpi_id: str, text: str) -> Target | None:
            day = date.fromisoformat(text)
            return self.target_on(kpi_id, state.team_on(day), state.position_on(day), day)

        return lambda reading: target(reading.kpi_id, reading.date)

    def policies_on(self, kind: str, day: date) -> list[Policy]:
        """The version in force on a day of every policy of a kind."""
        ids = dict.fromkeys(policy.policy_id for policy in self.policies if policy.WhichOneof("content") == kind)
        found = [self.policy_on(policy_id, day) for policy_id in ids]
        return [policy for policy in found if policy is not None]

    def ties_on(self, day: date) -> dict[str, ScorecardPolicy.Ties.ValueType]:
        """How each scorecard policy in force on a day, by id, ranks equal totals."""
        return {policy.policy_id: policy.scorecard.ties for policy in self.policies_on("scorecard", day)}

    def policy_on(self, policy_id: str, day: date) -> Policy | None:
        """The version of a policy in force on a day."""
        versions = [
            policy
            for policy in self.policies
            if policy.policy_id == policy_id and policy.effective_date <= day.isoformat()
        ]
        return max(versions, key=_version, default=None)

    def versions_of(self, policy_id: str) -> list[tuple[Policy, str]]:
        """Every version of a policy, the earliest first, each with the day from which it is in force no longer.

        None of a policy that there is not.
        """
        versions = sorted([policy for policy in self.policies if policy.policy_id == policy_id], key=_version)
        ends = [one.effective_date for one in versions[1:]]
        return list(zip(versions, [*ends, FOR_EVER][: len(versions)], strict=True))

    def of_kind_on(self, kind: str, policy_id: str, day: date) -> Policy:
        """The version in force on a day of a policy that must be of a kind. Raises NotFound `POLICY_NOT_FOUND`."""
        policy = self.policy_on(policy_id, day)
        if policy is None or policy.WhichOneof("content") != kind:
            raise NotFound("POLICY_NOT_FOUND", f"there is no {kind} {policy_id} in force on {day}")
        return policy

    def version(self, position: int) -> Policy:
        """The version of a policy that the event at a position stored, also if another has taken its place since."""
        return next(policy for policy in (*self.policies, *self.replaced) if policy.log_position == position)

    def in_force_from(self, policy_id: str) -> date:
        """The first day of a policy's first version."""
        days = [policy.effective_date for policy in self.policies if policy.policy_id == policy_id]
        return date.fromisoformat(min(days))


def _version(policy: Policy) -> tuple[str, int]:
    return policy.effective_date, policy.log_position


class Catalogue(ReadModel):
    """Rows: one for each version, in the bytes of its message; a KPI's have no date."""

    name = "catalogue"
    version = 3
    subjects = (
        "log.performance.kpi.*",
        "log.performance.target.*",
        "log.performance.policy.*",
        "log.performance.detectionpolicy.*",
        "log.promotion.eligibilitypolicy.*",
    )

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        position, superseded = knowledge_columns()
        self.versions = Table(
            f"rules{suffix}",
            metadata,
            Column("kind", String, primary_key=True),
            # Of a target also the scope, behind spaces: they sort by KPI, team, position and stars.
            Column("rule_id", String, primary_key=True),
            Column("effective_date", String(10), primary_key=True),
            position,
            superseded,
            Column("content", LargeBinary, nullable=False),
        )
        self.tables = (self.versions,)
        self._rules: dict[int, Rules] = {}

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            position = recorded.position
            match recorded.event:
                case KpiCreated(kpi=kpi) | KpiUpdated(kpi=kpi):
                    await self._keep(rows, KPI, kpi.kpi_id, "", kpi, position)
                case TargetSet(target=target):
                    await self._keep(rows, TARGET, target_scope(target), target.effective_date, target, position)
                case PolicySet() | DetectionPolicyCreated() | EligibilityPolicyCreated() as stored:
                    policy = policy_in(stored)
                    kind = policy.WhichOneof("content") or ""
                    await self._keep(rows, kind, policy.policy_id, policy.effective_date, policy, position)

    async def _keep(
        self, rows: AsyncConnection, kind: str, rule_id: str, day: str, content: Message, position: int
    ) -> None:
        columns = self.versions.c
        mine = (columns.kind == kind) & (columns.rule_id == rule_id) & (columns.effective_date == day)
        row = {"kind": kind, "rule_id": rule_id, "effective_date": day, "content": content.SerializeToString()}
        await supersede(rows, self.versions, mine, [row], position)

    async def rules(self, engine: AsyncEngine, known_at: int = 0) -> Rules:
        """Everything known now, or when the log ended at a position.

        Rows are only ever added and superseded, so the position of the last one says which: it is read once for each.
        """
        position = self.versions.c.position
        until = select(func.max(position)).where(position <= known_at if known_at else true())
        kpis: dict[str, Kpi] = {}
        targets: dict[str, list[Target]] = {}
        policies: list[Policy] = []
        replaced: list[Policy] = []
        async with engine.connect() as connection:
            latest = await connection.scalar(until) or 0
            if latest in self._rules:
                return self._rules[latest]
            is_known, is_policy = known(self.versions, latest), self.versions.c.kind.not_in((KPI, TARGET))
            stored = select(self.versions, is_known.label("is_known")).where(position <= latest, is_known | is_policy)
            for row in await connection.execute(stored):
                if row.kind == KPI:
                    kpis[row.rule_id] = _read(Kpi(), row)
                elif row.kind == TARGET:
                    target = _read(Target(), row)
                    targets.setdefault(target.kpi_id, []).append(target)
                else:
                    (policies if row.is_known else replaced).append(_read(Policy(), row))
        rules = Rules(latest, kpis, targets, policies, replaced)
        self._rules = dict([*self._rules.items(), (latest, rules)][-KEPT:])
        return rules

    async def list_kpis(self, engine: AsyncEngine, request: ListKpisRequest) -> list[Kpi]:
        """A page of KPIs by id, one more than asked for when there are more."""
        return [_read(Kpi(), row) for row in await self._page(engine, request, [KPI])]

    async def list_policies(
        self, engine: AsyncEngine, request: ListPoliciesRequest, kinds: Collection[str]
    ) -> list[Policy]:
        """A page of versions of policies of some kinds by id and day, one more than asked for when there are more."""
        return [_read(Policy(), row) for row in await self._page(engine, request, kinds)]

    async def list_targets(self, engine: AsyncEngine, request: ListTargetsRequest) -> list[Target]:
        """A page of targets by KPI, scope and day, one more than asked for when there are more."""
        return [_read(Target(), row) for row in await self._page(engine, request, [TARGET], request.kpi_id)]

    async def _page(
        self, engine: AsyncEngine, request: Message, kinds: Collection[str], kpi_id: str = ""
    ) -> Sequence[Row[tuple[object, ...]]]:
        columns = self.versions.c
        key = (columns.rule_id, columns.effective_date)
        query = select(self.versions).where(known(self.versions)).order_by(*key).limit(page_size(request) + 1)
        query = query.where(columns.kind.in_(kinds))
        if kpi_id:
            query = query.where(columns.rule_id > f"{kpi_id} ", columns.rule_id < f"{kpi_id}!")
        if (start := page_start(request)) is not None:
            query = query.where(tuple_(*key) > tuple_(*start))
        async with engine.connect() as connection:
            return (await connection.execute(query)).all()


def policy_in(event: PolicySet | DetectionPolicyCreated | EligibilityPolicyCreated) -> Policy:
    """The policy that an event stores.

    Of a log from before all policies were one resource: rules of detection are in force from the beginning.
    """
    match event:
        case PolicySet(policy=policy):
            return policy
        case DetectionPolicyCreated(policy=found):
            streak = DetectionRule.Streak(
                kpi_id=found.kpi_id, period=found.period, streak=found.streak, minimum_samples=found.minimum_samples
            )
            purpose = DetectionRule.PURPOSE_COACHING
            rule = DetectionRule(streak=streak, settle_seconds=found.settle_seconds, purpose=purpose)
            return Policy(policy_id=found.policy_id, effective_date="1900-01-01", detection=rule)
        case EligibilityPolicyCreated(policy=asked):
            return Policy(
                policy_id=asked.policy_id,
                effective_date=asked.effective_date,
                eligibility=EligibilityRules(criteria=_criteria(asked)),
            )
        case unknown:
            assert_never(unknown)


def _criteria(asked: EligibilityPolicy) -> Iterator[EligibilityRules.Criterion]:
    if asked.confirmed_required:
        confirmed = EligibilityRules.Confirmed()
        yield EligibilityRules.Criterion(criterion_id="confirmed", display_name="Past probation", confirmed=confirmed)
    if asked.tenure_months:
        tenure = EligibilityRules.Tenure(months=asked.tenure_months)
        yield EligibilityRules.Criterion(criterion_id="tenure", display_name="Time in the position", tenure=tenure)
    if asked.rating_months:
        ratings = EligibilityRules.RatingStreak(
            at_least=Rating.Value(f"RATING_{asked.minimum_rating}"), months=asked.rating_months
        )
        yield EligibilityRules.Criterion(criterion_id="ratings", display_name="Ratings in a row", ratings=ratings)


def target_scope(target: Target) -> str:
    """A target's `rule_id`: by KPI, then team, position and stars."""
    return f"{target.kpi_id} {target.team_id} {target.position} {target.stars}"


def _read(message: M, row: Row[tuple[object, ...]]) -> M:
    """The version with the position of its event."""
    message.MergeFromString(row.content)
    message.log_position = row.position
    if isinstance(message, Kpi):
        message.etag = str(row.position)
    return message
