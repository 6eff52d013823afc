"""What a call can fail with: a class for each status code, with the stable reason and the wrong fields."""

from dataclasses import dataclass
from typing import Any

from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc import StatusCode, aio
from grpc_status import rpc_status


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One wrong field of a request: its path (`facts[2].date`) and what is wrong with it."""

    field: str
    message: str


class Failed(aio.AioRpcError):
    """A call that failed. Still an `AioRpcError`: who catches that goes on as before.

    Attributes:
        reason: stable and UPPER_SNAKE, such as `PLAN_NOT_FOUND`; empty where no service got to say one.
        message: a sentence for a person.
        violations: the wrong fields, where it was for them.
    """

    def __init__(self, error: aio.AioRpcError) -> None:
        super().__init__(
            error.code(),
            error.initial_metadata(),
            error.trailing_metadata(),
            error.details(),
            error.debug_error_string(),
        )
        self.message = error.details() or ""
        self.reason = ""
        self.violations: tuple[FieldViolation, ...] = ()
        call: Any = error  # the type stubs know synchronous calls only
        status = rpc_status.from_call(call)
        for detail in status.details if status else ():
            info, bad = ErrorInfo(), BadRequest()
            if detail.Unpack(info):
                self.reason = info.reason
            elif detail.Unpack(bad):
                self.violations = tuple(FieldViolation(one.field, one.description) for one in bad.field_violations)

    def __str__(self) -> str:
        return f"{self.message} ({self.reason or self.code().name})"


class InvalidArgument(Failed):
    """The request is wrong in itself: mend it."""


class NotFound(Failed):
    """Something that the request names does not exist."""


class AlreadyExists(Failed):
    """The id is taken by something else."""


class FailedPrecondition(Failed):
    """The state of things forbids it now."""


class Aborted(Failed):
    """Others changed the same thing since it was read: read it again and decide again."""


class PermissionDenied(Failed):
    """It is not for this caller."""


class Unauthenticated(Failed):
    """The token is missing, wrong or expired."""


class ResourceExhausted(Failed):
    """Too many calls, or too large a message."""


class Unavailable(Failed):
    """It could not be answered, however often it was sent; the same request may be sent again later."""


_KINDS: dict[StatusCode, type[Failed]] = {
    StatusCode.INVALID_ARGUMENT: InvalidArgument,
    StatusCode.NOT_FOUND: NotFound,
    StatusCode.ALREADY_EXISTS: AlreadyExists,
    StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    StatusCode.ABORTED: Aborted,
    StatusCode.PERMISSION_DENIED: PermissionDenied,
    StatusCode.UNAUTHENTICATED: Unauthenticated,
    StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    StatusCode.UNAVAILABLE: Unavailable,
}


def typed(error: aio.AioRpcError) -> Failed:
    """The same error as one of the classes here; `Failed` itself where none fits."""
    return error if isinstance(error, Failed) else _KINDS.get(error.code(), Failed)(error)
