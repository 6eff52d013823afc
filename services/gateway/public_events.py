"""Events as they lie in EVENTS, which of them somebody wants, and whom they are shown to."""

import asyncio
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from libs.common.access import need_to_know
from libs.common.errors import FieldViolation, Invalid
from libs.common.eventsourcing import Context
from libs.common.service import Service
from libs.common.streams import EVENTS, STREAMS, Stored, Stream
from libs.facts.reaching import Reach, Reaches
from services.gateway.publication import NOBODY, Publication
from services.gateway.relay import SKIPPED_TYPE
from stepladder.common.v1 import rules_pb2
from stepladder.common.v1.rules_pb2 import Audience
from stepladder.gateway.v1.event_stream_pb2 import EventFilter
from stepladder.gateway.v1.event_stream_pb2 import PublicEvent as Answer

PREFIX = "stepladder."
"""What the types of CloudEvents begin with; behind it they are the tokens of a subject."""
OF_THE_DIRECTORY = frozenset(
    f"{PREFIX}performance.{name}.v1"
    for name in ("employee-hired", "employee-transferred", "employment-status-changed", "team-lead-appointed")
)
"""What changes who sees what."""
REACH_SECONDS = 1.0
"""Least time between two questions of one subscriber after whom they see, while the directory changes."""


@dataclass(frozen=True)
class PublicEvent:
    """An event of EVENTS. Many read the same one: what they are sent is made once."""

    position: int
    type: str
    team_id: str
    employee_id: str
    payload: bytes

    @cached_property
    def frame(self) -> bytes:
        """As server-sent events have it (HTML, 9.2)."""
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (self.position, self.type.encode(), self.payload)

    @cached_property
    def answer(self) -> Answer:
        """As gRPC has it."""
        return Answer(position=self.position, event=ParseDict(json.loads(self.payload), Struct()))


def public_event(stored: Stored) -> PublicEvent:
    """What its subject says of an entry."""
    _, *kind, team_id, employee_id = stored.subject.split(".")
    named = ["" if one == NOBODY else one for one in (team_id, employee_id)]
    return PublicEvent(stored.position, PREFIX + ".".join(kind), named[0], named[1], stored.payload)


class PublicCodec:
    """What a shared reading of EVENTS makes of its entries."""

    async def decode(self, stored: Stored, /) -> PublicEvent:
        return public_event(stored)


@dataclass(frozen=True)
class Wanted:
    """Which events somebody asks for; empty: all."""

    types: frozenset[str]
    team_id: str
    employee_id: str

    def takes(self, event: PublicEvent) -> bool:
        return (
            (not self.types or event.type in self.types)
            and (not self.team_id or event.team_id == self.team_id)
            and (not self.employee_id or event.employee_id == self.employee_id)
        )

    def subjects(self, *, of_anybody: bool = False) -> list[str]:
        """Patterns of the subjects that they lie under; `of_anybody`: whoever they are about."""
        employee_id = "*" if of_anybody else self.employee_id or "*"
        kinds = [one.removeprefix(PREFIX) for one in sorted(self.types)] or ["*.*.*"]
        return [f"{STREAMS[EVENTS]}.{kind}.{self.team_id or '*'}.{employee_id}" for kind in kinds]


def wanted(asked: EventFilter, types: Collection[str], field: str = "filter") -> Wanted:
    """What a filter, given in a `field` of a request, asks for.

    Raises Invalid `UNKNOWN_EVENT_TYPE` for a type that is none of `types`.
    """
    for index, one in enumerate(asked.types):
        if one not in types:
            message = f"there is no public event {one}; /v1/asyncapi.json names all"
            raise Invalid("UNKNOWN_EVENT_TYPE", message, (FieldViolation(f"{field}.types[{index}]", message),))
    return wanted_by(asked)


def wanted_by(asked: EventFilter) -> Wanted:
    """What a filter asks for whose types are known."""
    return Wanted(frozenset(asked.types), asked.team_id, asked.employee_id)


def types_of(publications: Iterable[Publication]) -> frozenset[str]:
    """Every type that lies in EVENTS."""
    return frozenset({SKIPPED_TYPE, *(one.type for one in publications)})


class Sight:
    """Whom one person sees, as the directory has it up to the event that they are about to be shown.

    A change takes effect with its own event in EVENTS: what lies behind that is judged by a directory that has it. The
    end of a day is a change, too.
    """

    def __init__(
        self,
        service: Service,
        stream: Stream,
        reaches: Reaches,
        audiences: Mapping[str, Audience.ValueType],
        context: Context,
    ) -> None:
        """`stream` is EVENTS."""
        self._service = service
        self._stream = stream
        self._reaches = reaches
        self._audiences = audiences
        self._context = context
        self._reach: Reach | None = None
        self._position = 0
        """Of EVENTS: changes up to here are in the reach for certain."""
        self._day = date.min
        self._asked = float("-inf")

    async def shown(self, events: Sequence[PublicEvent]) -> list[PublicEvent]:
        """Those of some events that they may see, in order. Raises Forbidden `NEED_TO_KNOW` once they have left."""
        return [one for one in events if await self._sees(one)]

    async def narrowed(self, asked: Wanted) -> Wanted:
        """Those of the types asked for of which something about the employee asked for would be shown."""
        some = [PublicEvent(0, one, asked.team_id, asked.employee_id, b"") for one in asked.types]
        return replace(asked, types=frozenset(one.type for one in await self.shown(some)))

    async def _sees(self, event: PublicEvent) -> bool:
        changed = event.type in OF_THE_DIRECTORY and event.position > self._position
        if self._reach is None or changed or self._service.today() != self._day:
            self._reach = await self._look()
        match self._audiences.get(event.type):
            case rules_pb2.AUDIENCE_EMPLOYED:
                return True
            case rules_pb2.AUDIENCE_NEED_TO_KNOW:
                return self._reach.everybody or self._reach.to(event.employee_id).knows
            case rules_pb2.AUDIENCE_SEEING if event.employee_id:
                return self._reach.everybody or self._reach.to(event.employee_id).sees
            case rules_pb2.AUDIENCE_SEEING if event.team_id:
                return event.team_id == self._reach.own_team or self._reach.cares_for(event.team_id)
            case _:  # of a type that is published no more, or about nobody that could be told
                return self._reach.everybody
        return False

    async def _look(self) -> Reach:
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, self._asked + REACH_SECONDS - clock()))
        self._asked, now = clock(), self._service.now()
        position, self._day = (await self._stream.state()).last, self._service.day(now)
        reach = await self._reaches.of(replace(self._context, now=now, today=self._day))
        if not reach.caller.employee_id:
            raise need_to_know()
        self._position = position
        return reach
