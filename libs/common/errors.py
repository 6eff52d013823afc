"""What a caller can do wrong or meet, named once; `rpc` maps it to gRPC at the edge."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One wrong field of a request: its path (`facts[2].date`) and what is wrong with it."""

    field: str
    message: str


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not a fault
    """A command or read was refused.

    `reason` is stable and UPPER_SNAKE, `message` helps a person; `violations` name the fields where that can be said.
    """

    def __init__(self, reason: str, message: str, violations: tuple[FieldViolation, ...] = ()) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.violations = violations


class Invalid(Refused):
    """The request is wrong in itself."""


class NotFound(Refused):
    """Something named by the request does not exist."""


class AlreadyExists(Refused):
    """The id is taken by something else."""


class NotAllowed(Refused):
    """The state of things forbids it now."""


class NotKnown(NotAllowed):
    """What it needs is not known yet: later it may be."""


class Unauthenticated(Refused):
    """It is not known who calls."""


class Forbidden(Refused):
    """It is not for this caller, however things stand."""


class Conflict(Refused):
    """Others changed the same thing at the same time, or since the caller last read it; read and try again."""


class TooLarge(Refused):
    """The request is larger than one may be."""


class Unavailable(Refused):
    """The system cannot answer right now; the same request may be sent again."""


class LogCorrupted(Exception):  # noqa: N818 - states what is the case
    """The stored log contradicts itself: an event's hash of its predecessor is wrong, or a position is gone."""
