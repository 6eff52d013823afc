"""The rules of eligibility for promotion, in force from a day on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import parse_day
from libs.common.errors import AlreadyExists
from libs.common.eventsourcing import Aggregate, Context
from stepladder.promotion.v1.eligibility_pb2 import CreateEligibilityPolicyRequest, EligibilityPolicy
from stepladder.promotion.v1.events_pb2 import EligibilityPolicyCreated

Command = CreateEligibilityPolicyRequest
Event = EligibilityPolicyCreated


@dataclass(frozen=True, slots=True)
class State:
    """The policy without output-only fields; empty before it is created."""

    policy: EligibilityPolicy = field(default_factory=EligibilityPolicy)


def evolve(_: State, event: Message) -> State:
    match cast(Event, event):
        case EligibilityPolicyCreated(policy=policy):
            return State(policy)
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, _: Context) -> Sequence[Message]:
    match state, cast(Command, command):
        case State(policy=EligibilityPolicy(policy_id="")), CreateEligibilityPolicyRequest(policy=given):
            parse_day(given.effective_date, "policy.effective_date")
            return [EligibilityPolicyCreated(policy=_stored(given))]
        case _, CreateEligibilityPolicyRequest(policy=given):
            if _stored(given) != state.policy:
                raise AlreadyExists(
                    "ELIGIBILITY_POLICY_EXISTS", f"eligibility policy {given.policy_id} was created with other content"
                )
            return []
        case _, unknown:
            assert_never(unknown)


ELIGIBILITY_POLICY = Aggregate(name="promotion.eligibilitypolicy", initial=State(), evolve=evolve, decide=decide)


def _stored(policy: EligibilityPolicy) -> EligibilityPolicy:
    stored = EligibilityPolicy()
    stored.CopyFrom(policy)
    stored.ClearField("log_position")
    return stored


def to_resource(state: State, position: int) -> EligibilityPolicy:
    policy = EligibilityPolicy(log_position=position)
    policy.MergeFrom(state.policy)
    return policy
