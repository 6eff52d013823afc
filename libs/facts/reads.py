"""What was read of one employee in a month, and by whom. Restricted, as is what was read. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import timestamp
from libs.common.eventsourcing import Aggregate, Context, opaque_id
from stepladder.common.v1.audit_pb2 import NoteRead, Read, ReadNoted

Command = NoteRead
Event = ReadNoted


def reads_key(employee_id: str, month: str) -> str:
    """The aggregate's id, by the site's month (YYYY-MM). It tells nobody who sees it whose it is. Stored for ever."""
    return opaque_id("a", employee_id, month)


@dataclass(frozen=True, slots=True)
class State:
    """Every read, the first first."""

    reads: tuple[Read, ...] = ()


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case ReadNoted(read=read):
            return State((*state.reads, read))
        case unknown:
            assert_never(unknown)


def decide(_: State, command: Message, context: Context) -> Sequence[Message]:
    """Reading the same again is another read."""
    match cast(Command, command):
        case NoteRead(employee_id=employee_id, method=method, ids=ids):
            read = Read(reader=context.actor, time=timestamp(context.now), method=method, ids=ids)
            return [ReadNoted(employee_id=employee_id, read=read)]
        case unknown:
            assert_never(unknown)


def reads_of(name: str) -> Aggregate[State]:
    """A kind of aggregate for what is read of one kind of thing; `name` as in `Kind`."""
    return Aggregate(name=name, initial=State(), evolve=evolve, decide=decide, restricted=True)
