"""Policy: facts have changed that a measurement of a plan or PIP rests on; whoever holds it is told what it is now."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.eventsourcing import Aggregate, Context, Recorded
from libs.common.partitions import Sharing
from libs.common.reacting import Policy
from libs.common.service import Service, Together
from libs.facts.people import FOR_EVER
from services.coaching.measuring import Ask, Measuring
from stepladder.coaching.v1.measure_pb2 import Measured, PinDrift
from stepladder.performance.v1.events_pb2 import (
    EmploymentStatusChanged,
    FactCorrected,
    FactDisputed,
    FactDisputeSettled,
    FactRecorded,
    FactRetracted,
    RecordCorrected,
    RecordCreated,
    RecordDisputed,
    RecordDisputeSettled,
    RecordRetracted,
)

S = TypeVar("S")

FACTS = ("log.performance.facts.*", "log.performance.record.*", "log.performance.employee.*")


class Held(Protocol):
    """The read model of a kind of aggregates that hold measurements."""

    async def held_about(
        self, engine: AsyncEngine, employee_ids: Collection[str], first_day: str, last_day: str
    ) -> Sequence[str]:
        """Ids of those about employees that keep something of a day from one to another, whatever has become of them.

        Both days are inclusive.
        """
        ...


@dataclass(frozen=True)
class Holder(Generic[S]):
    """A kind of aggregate that rests on measurements.

    Attributes:
        together: the follower of its read model.
        pins: the measurements that a state rests on, by name, and whom they are of.
        note: the command that tells an aggregate by its id what each of its pins is now; it knows what has changed.
    """

    service: Service
    measuring: Measuring
    aggregate: Aggregate[S]
    model: Held
    together: Together
    employee_of: Callable[[S], str]
    pins: Callable[[S], Mapping[str, Measured]]
    note: Callable[[str, Sequence[PinDrift]], Message]

    async def look_at(self, own: Collection[str], touched: Mapping[str, Mapping[str, int]]) -> None:
        """Looks at some by their ids, and at all about employees of whom facts were touched, by employee and day."""
        commands = self.service.commands
        await self.together.catch_up()
        about = await self.model.held_about(self.service.engine, touched, *_from_to(touched)) if touched else ()
        # A replica may not have heard yet of the very event that was seen here.
        found = await commands.known(self.aggregate, sorted(own), latest=True)
        found |= await commands.known(self.aggregate, sorted({*about} - {*own}))
        for holder_id, standing in found.items():
            changed = None if holder_id in own else touched.get(self.employee_of(standing.state), {})
            await self.look(holder_id, standing.state, changed)

    async def look(self, holder_id: str, state: S, changed: Mapping[str, int] | None = None) -> None:
        """Measures again what a holder rests on, if something of it has `changed` since; None: that is not known.

        Also for whoever is about to decide by it, and must not be faster than who follows the facts.

        Args:
            changed: by day, the position of the last event of facts about it.
        """
        pins = self.pins(state)
        if not any(changed is None or _is_touched(pin, changed) for pin in pins.values()):
            return
        employee_id = self.employee_of(state)
        asks = [Ask(employee_id, pin.measure, pin.start_date, pin.end_date, pin.without) for pin in pins.values()]
        now = await self.measuring.measure_all(asks)
        measured = [PinDrift(pin=pin, now=one) for pin, one in zip(pins, now, strict=True)]
        service = self.service
        context = Context(now=service.now(), today=service.today(), actor="policy:watch-evidence")
        await service.commands.handle(self.aggregate, holder_id, self.note(holder_id, measured), context)


class EvidenceWatch(Policy):
    """Follows facts, and holders' own events: what was measured may have changed before it was written down.

    Of a fact and a holder's event, whichever is seen second finds what the other one left, in whichever streams they
    lie: each look waits for everything that is in the logs by then. So whoever sees an event may see no other.
    """

    sharing = Sharing(
        by_month=("log.performance.facts.*",),
        by_id=("log.performance.record.*", "log.performance.employee.*", "log.coaching.plan.*"),
    )

    def __init__(self, name: str, subjects: Sequence[str], holders: Sequence[Holder[Any]]) -> None:
        self.name = name
        self.subjects = subjects
        self._holders = {holder.aggregate.name: holder for holder in holders}

    async def act(self, events: Sequence[Recorded]) -> None:
        """Looks at all that a batch touches, once."""
        touched: dict[str, dict[str, int]] = {}
        own: dict[str, set[str]] = {name: set() for name in self._holders}
        for event in events:
            if (change := _changed(event.event)) is not None:
                employee_id, days = change
                touched.setdefault(employee_id, {}).update(dict.fromkeys(days, event.position))
                continue
            _, service, kind, aggregate_id = event.subject.split(".")
            if (ids := own.get(f"{service}.{kind}")) is not None:
                ids.add(aggregate_id)
        for name, holder in self._holders.items():
            if own[name] or touched:
                await holder.look_at(own[name], touched)


def _changed(event: Message) -> tuple[str, set[str]] | None:
    """Whose days an event of facts is about; `""` stands for days that it does not name."""
    match event:
        case FactRecorded(fact=named) | FactCorrected(fact=named):
            return named.employee_id, {named.date}
        case FactRetracted(readings=named) | FactDisputed(readings=named) | FactDisputeSettled(readings=named):
            return named.employee_id, {named.date}
        case RecordCreated(record=record, outcome=outcome) if not outcome.HasField("offence"):
            return record.employee_id, {record.date, *(one.date for one in outcome.measures)}
        case (
            RecordCreated(employee_id=employee_id)
            | RecordCorrected(employee_id=employee_id)
            | RecordRetracted(employee_id=employee_id)
            | RecordDisputed(employee_id=employee_id)
            | RecordDisputeSettled(employee_id=employee_id)
            | EmploymentStatusChanged(employee_id=employee_id)
        ):
            return employee_id, {""}
        case _:
            return None


def _from_to(touched: Mapping[str, Mapping[str, int]]) -> tuple[str, str]:
    """The first and the last of the days; where some are not named, all."""
    days = [day for of_employee in touched.values() for day in of_employee]
    return min(days), max(days) if all(days) else FOR_EVER


def _is_touched(pin: Measured, changed: Mapping[str, int]) -> bool:
    """Whether something about its days became known behind what it was measured by."""
    return any(
        pin.known_at < position and (not day or pin.start_date <= day <= pin.end_date)
        for day, position in changed.items()
    )
