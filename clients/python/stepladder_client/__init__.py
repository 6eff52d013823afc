"""Client of Stepladder, on gRPC for asyncio.

    from stepladder.coaching.v1.plan_pb2 import GetPlanRequest
    from stepladder.coaching.v1.plan_pb2_grpc import PlanServiceStub
    from stepladder_client import NotFound, connect

    async with connect("stepladder.example:443", token) as channel:
        plan = await PlanServiceStub(channel).GetPlan(GetPlanRequest(plan_id="p-1"))

The stubs are those that are generated from the contracts; the channel adds the token, gives every command an
idempotency key, sends again what could not be answered, and raises typed errors. `watch_events` reads the public events
and goes on where it was whenever the stream breaks.
"""

from stepladder_client.channel import Token, connect
from stepladder_client.errors import (
    Aborted,
    AlreadyExists,
    Failed,
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from stepladder_client.events import watch_events

__all__ = [
    "Aborted",
    "AlreadyExists",
    "Failed",
    "FailedPrecondition",
    "FieldViolation",
    "InvalidArgument",
    "NotFound",
    "PermissionDenied",
    "ResourceExhausted",
    "Token",
    "Unauthenticated",
    "Unavailable",
    "connect",
    "watch_events",
]
