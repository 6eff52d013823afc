"""The groups that an employee says they belong to. Restricted: nobody else reads them, one by one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import assert_never, cast
from unicodedata import normalize

from google.protobuf.message import Message

from libs.common.errors import FieldViolation, Invalid
from libs.common.eventsourcing import Aggregate, Context, opaque_id
from stepladder.promotion.v1.events_pb2 import GroupsDeclared
from stepladder.promotion.v1.fairness_pb2 import DeclaredGroup, DeclaredGroups, DeclareOwnGroups

Command = DeclareOwnGroups
Event = GroupsDeclared


def groups_key(employee_id: str) -> str:
    """The aggregate's id. It tells nobody who sees it whose it is. Stored for ever."""
    return opaque_id("g", employee_id)


@dataclass(frozen=True, slots=True)
class State:
    """By dimension; none where nothing is declared, or the employee's key is erased."""

    groups: dict[str, str] = field(default_factory=dict)


def evolve(_: State, event: Message) -> State:
    match cast(Event, event):
        case GroupsDeclared(groups=text):
            lines = [line.partition("=") for line in text.splitlines()]
            return State({dimension: group for dimension, equals, group in lines if equals})
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    match cast(Command, command):
        case DeclareOwnGroups(employee_id=employee_id, groups=given):
            groups = _by_dimension(given)
            if groups == state.groups:
                return []
            text = "\n".join(f"{dimension}={group}" for dimension, group in sorted(groups.items()))
            return [GroupsDeclared(employee_id=employee_id, groups=text, declared_by=context.actor)]
        case unknown:
            assert_never(unknown)


GROUPS = Aggregate(name="promotion.groups", initial=State(), evolve=evolve, decide=decide, restricted=True)


def _by_dimension(given: Iterable[DeclaredGroup]) -> dict[str, str]:
    """Raises Invalid `GROUPS_INVALID` for a dimension that is there twice."""
    groups: dict[str, str] = {}
    for index, one in enumerate(given):
        # What looks the same is the same, whether an accent is a character of its own or not.
        dimension, group = normalize("NFC", one.dimension), normalize("NFC", one.group)
        if dimension in groups:
            message = f"{dimension} is there twice: name one group of it"
            raise Invalid("GROUPS_INVALID", message, (FieldViolation(f"groups[{index}].dimension", message),))
        groups[dimension] = group
    return groups


def to_resource(state: State, position: int) -> DeclaredGroups:
    groups = [DeclaredGroup(dimension=one, group=group) for one, group in sorted(state.groups.items())]
    return DeclaredGroups(groups=groups, log_position=position)
