"""The relay: publishes in EVENTS what LOG holds of public events, each once, in LOG's order (D10).

It keeps nothing anywhere: the last event in EVENTS says up to where it has come. Every append expects that event to be
the last one still, so however many relays run, and however they end, none doubles what another one has published.

An event that cannot be read, because it is of a later version, holds up all that lie behind it: to leave it out
would be a gap, and to publish it later would break the order of whoever it is about. It is read again all the time, and
goes on by itself once a version that knows it runs; or an operator skips it, and a mark is published in its place.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

import structlog
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import DecodeError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.database import all_rows, insert_new, writing
from libs.common.envelope import event_types
from libs.common.errors import NotAllowed, NotFound
from libs.common.eventsourcing import Recorded
from libs.common.log import EventLog
from libs.common.parking import RETRY, ParkedAggregate, describe
from libs.common.positions import SKIPPED
from libs.common.projecting import Standing, State
from libs.common.streams import (
    EVENTS,
    LOG,
    MAX_BATCH,
    STREAMS,
    Entry,
    NoAnswer,
    OneWriterStream,
    Rejected,
    Stored,
    Stream,
)
from libs.common.telemetry import batch_span
from libs.facts import employee
from libs.facts.employee import EMPLOYEE
from services.gateway.publication import NOBODY, About, cloud_event, encoded, publications
from stepladder.common.v1.envelope_pb2 import CommandNoted, Envelope

logger = structlog.get_logger()

NAME = "relay"
"""By which operators know it."""
BATCH_BYTES = 4_000_000
"""Most that is published at once, beside the limit of a batch."""
WAIT_SECONDS = 2.5
AGAIN_SECONDS = 0.5
"""Pause before it starts anew, in trouble or before what it cannot read."""
FAR_BEHIND = 1000
TELL_SECONDS = 10.0
"""How often a relay that is that many events behind says so in its log."""
REMEMBERED = 50_000
"""Employees, and aggregates, of which it remembers what it has read."""
SKIPPED_TYPE = "stepladder.gateway.event-skipped.v1"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tail:
    """Where EVENTS ends, and what its last event was made of."""

    position: int = 0
    log_position: int = 0
    event_id: str = ""


class Stuck(Exception):  # noqa: N818 - states what is the case
    """An event that cannot be read."""

    def __init__(self, stored: Stored, kind: str, why: str) -> None:
        super().__init__(why)
        self.stored = stored
        self.type = kind


class OtherLog(Exception):  # noqa: N818 - states what is the case
    """EVENTS tells of another log than this one: one of the two was restored or made anew."""


@dataclass(frozen=True, slots=True)
class Made:
    """An event for EVENTS, and where in LOG it came from."""

    subject: str
    entry: Entry
    log_position: int
    traceparent: str = ""


class Whose:
    """Whom events are about that do not say so themselves. Remembers what it has read, as of the events passed by."""

    def __init__(
        self,
        log: EventLog,
        read: Callable[[Stored], Recorded],
        about: Callable[[Recorded], About],
        day: Callable[[datetime], date],
    ) -> None:
        self._log = log
        self._read = read
        self._about = about
        self._day = day
        self._employees: dict[str, employee.State] = {}
        self._firsts: dict[str, About] = {}

    def pass_by(self, recorded: Recorded) -> None:
        """Takes notice of an event of LOG."""
        if (state := self._employees.get(recorded.subject)) is not None:
            self._employees[recorded.subject] = _after(state, recorded)

    async def find(self, recorded: Recorded, said: About) -> About:
        """Adds what the event does not say: as its aggregate began, and the employee's team on the day."""
        about = said if said != About() else await self._first(recorded)
        if about.employee_id and not about.team_id:
            day = self._day(recorded.envelope.time.ToDatetime(UTC))
            return About(about.employee_id, (await self._employee(about.employee_id, recorded.position)).team_on(day))
        return about

    async def _first(self, recorded: Recorded) -> About:
        if recorded.subject not in self._firsts:
            aggregate = await self._log.read_latest(recorded.subject)
            about = About()
            with suppress(Stuck):  # it was skipped
                about = self._about(self._read(aggregate[0]))
            _remember(self._firsts, recorded.subject, about)
        return self._firsts[recorded.subject]

    async def _employee(self, employee_id: str, position: int) -> employee.State:
        subject = EMPLOYEE.subject(employee_id)
        if subject not in self._employees:
            state = EMPLOYEE.initial
            for stored in await self._log.read_latest(subject):
                if stored.position <= position:
                    with suppress(Stuck):  # it was skipped
                        state = _after(state, self._read(stored))
            _remember(self._employees, subject, state)
        return self._employees[subject]


def _after(state: employee.State, recorded: Recorded) -> employee.State:
    """An employee behind an event; one that only says that a command changed nothing is none of theirs."""
    return state if isinstance(recorded.event, CommandNoted) else EMPLOYEE.evolve(state, recorded.event)


class Relay:
    """Reads LOG and nothing else, and of its events only what is not sealed."""

    name = NAME

    def __init__(
        self,
        log: Stream,
        events: OneWriterStream,
        files: Sequence[FileDescriptor],
        engine: AsyncEngine,
        day: Callable[[datetime], date],
    ) -> None:
        """`files` hold the contracts of all events; `day` is the site's calendar day at a moment."""
        self.stream = log
        self.state = State.STANDBY
        self._events = events
        self._types = event_types(files)
        self._publications = publications(files)
        self._engine = engine
        self._day = day
        self._position = 0
        self._moved: datetime | None = None
        self._error = ""
        self._stuck: Stuck | None = None
        self._told = 0.0

    async def run(self) -> None:
        """Relays until cancelled."""
        while True:
            try:
                await self._relay()
            except RETRY as trouble:
                logger.warning("relay_retries", error=describe(trouble))
                self.state = State.STANDBY
            except Exception as fault:
                if (self.state, self._error) != (State.STOPPED, error := str(fault) or describe(fault)):
                    logger.exception("relay_stopped", position=self._position)
                self.state, self._error = State.STOPPED, error
                self._stuck = fault if isinstance(fault, Stuck) else None
            await asyncio.sleep(AGAIN_SECONDS)

    async def standing(self) -> Standing:
        """How far it is, for people. What lies behind it are events of LOG, private ones among them."""
        end = (await self.stream.state()).last
        waiting = await self.stream.read_at(self._position + 1) if end > self._position else None
        since = Envelope.FromString(waiting.payload).time.ToDatetime(UTC) if waiting else None
        return Standing(
            name=NAME,
            state=self.state,
            position=self._position,
            end=end,
            lag=max(0, end - self._position),
            lag_seconds=max(0.0, (datetime.now(UTC) - since) / timedelta(seconds=1)) if since else 0.0,
            parked=0,
            moved=self._moved,
            error=self._error,
            deadlines=0,
            next_deadline=None,
        )

    async def parked(self) -> list[ParkedAggregate]:
        """The event that holds it up, if one does."""
        if (stuck := self._stuck) is None:
            return []
        stored = stuck.stored
        return [ParkedAggregate(NAME, stored.subject, stored.position, stuck.type, str(stuck), 1, 1, datetime.now(UTC))]

    async def retry(self, subject: str) -> int:
        """Raises NotFound, or NotAllowed `STILL_POISONED`: it is tried again all the time."""
        stuck = self._stuck_at(subject)
        raise NotAllowed("STILL_POISONED", f"{stuck}; it is read again all the time, and goes on once it can be")

    async def skip(self, subject: str, position: int, reason: str, actor: str) -> int:
        """Publishes a mark in place of the event that holds it up, which must be at `position`; answers 0."""
        stuck = self._stuck_at(subject)
        if stuck.stored.position != position:
            raise NotAllowed("NOT_THE_FIRST", f"it is held up by the event at {stuck.stored.position}, not {position}")
        row = {
            "follower": NAME,
            "position": position,
            "subject": subject,
            "type": stuck.type,
            "error": str(stuck),
            "reason": reason,
            "actor": actor,
            "skipped_time": datetime.now(UTC),
        }
        async with writing(self._engine) as transaction:
            await transaction.execute(insert_new(SKIPPED, transaction), row)
        return 0

    async def _is_skipped(self, entry: Stored) -> bool:
        columns = SKIPPED.c
        query = select(columns.position).where(columns.follower == NAME, columns.position == entry.position)
        return bool(await all_rows(self._engine, query))

    def _stuck_at(self, subject: str) -> Stuck:
        if self._stuck is None or self._stuck.stored.subject != subject:
            raise NotFound("NOTHING_PARKED", f"{NAME} is not held up by an event of {subject}")
        return self._stuck

    async def _relay(self) -> None:
        tail = await self._tail()
        await self._check_log(tail)
        self._position = tail.log_position
        whose = Whose(EventLog(self.stream), self._read, self._about, self._day)
        async with self.stream.feed([f"{STREAMS[LOG]}.>"], self._position) as feed:
            while True:
                entries = await feed.next(MAX_BATCH, WAIT_SECONDS)
                made: list[Made] = []
                stuck: Stuck | None = None
                for entry in entries:
                    try:
                        made += await self._made(entry, whose)
                    except Stuck as found:
                        if not await self._is_skipped(entry):
                            stuck = found
                            break
                        made.append(_mark(entry))
                with batch_span("publish", (one.traceparent for one in made)):
                    tail = await self._publish(tail, made)
                if stuck:
                    self._position = stuck.stored.position - 1
                    raise stuck
                if entries:
                    self._position, self._moved = entries[-1].position, datetime.now(UTC)
                    self._tell(feed.pending)
                self.state, self._error, self._stuck = State.RUNNING, "", None

    async def _made(self, entry: Stored, whose: Whose) -> list[Made]:
        """What becomes of an entry of LOG: nothing, if it is private. Raises Stuck."""
        recorded = self._read(entry)
        publication = self._publications.get(recorded.envelope.type)
        try:
            whose.pass_by(recorded)
            if publication is None:
                return []
            about = await whose.find(recorded, publication.about(recorded.event))
            event = cloud_event(publication, recorded, about)
        except RETRY:
            raise
        except Exception as fault:
            raise Stuck(entry, recorded.envelope.type, describe(fault)) from fault
        made = Entry(recorded.envelope.event_id, publication.type, event)
        return [Made(publication.subject(about), made, entry.position, recorded.envelope.traceparent)]

    async def _publish(self, tail: Tail, made: list[Made]) -> Tail:
        """Publishes behind the last event, and answers which that is then.

        Whatever the server answers, or does not, EVENTS itself says what has been published.
        """
        while made:
            batch = _first(made)
            try:
                last = await self._events.publish_behind(tail.position, [(one.subject, one.entry) for one in batch])
            except (Rejected, NoAnswer) as doubt:
                found = await self._tail()
                if found.position < tail.position or (found == tail and isinstance(doubt, Rejected)):
                    raise
                made = [one for one in made if one.log_position > found.log_position]
                tail = found
            else:
                made = made[len(batch) :]
                tail = Tail(last, batch[-1].log_position, batch[-1].entry.event_id)
        return tail

    async def _tail(self) -> Tail:
        """As the leader has it."""
        stored = await self._events.read_at((await self._events.state()).last)
        if stored is None:
            return Tail()
        event = json.loads(stored.payload)
        return Tail(stored.position, int(event["logposition"]), event["id"])

    async def _check_log(self, tail: Tail) -> None:
        if tail.position:
            stored = await self.stream.read_at(tail.log_position)
            if stored is None or stored.event_id != tail.event_id:
                raise OtherLog(
                    f"the last event of {EVENTS} came from position {tail.log_position} of {LOG}, where another event"
                    " lies now: one of the two streams was restored or made anew, and they must be of the same time"
                )

    def _read(self, stored: Stored) -> Recorded:
        """An entry with what is not sealed of its event. Raises Stuck."""
        try:
            envelope = Envelope.FromString(stored.payload)
            kind = self._types.get(envelope.type)
            if kind is None or envelope.schema_version > kind.version:
                what = f"{envelope.type or 'without a type'}, version {envelope.schema_version}"
                raise Stuck(stored, envelope.type, f"this version of the gateway does not know the event {what}")
            return Recorded(stored.position, stored.subject, kind.message.FromString(envelope.event), envelope)
        except DecodeError:
            raise Stuck(stored, "", f"what lies at position {stored.position} is no event") from None

    def _about(self, recorded: Recorded) -> About:
        publication = self._publications.get(recorded.envelope.type)
        return publication.about(recorded.event) if publication else About()

    def _tell(self, pending: int) -> None:
        now = asyncio.get_running_loop().time()
        if pending > FAR_BEHIND and now > self._told + TELL_SECONDS:
            self._told = now
            logger.info("relay_behind", position=self._position, events=pending)


def _remember(memory: dict[str, T], name: str, value: T) -> None:
    if len(memory) >= REMEMBERED:
        del memory[next(iter(memory))]
    memory[name] = value


def _first(made: Sequence[Made]) -> list[Made]:
    """As many as go into one batch, and at least one."""
    batch: list[Made] = []
    size = 0
    for one in made[:MAX_BATCH]:
        size += len(one.entry.payload)
        if batch and size > BATCH_BYTES:
            break
        batch.append(one)
    return batch


def _mark(skipped: Stored) -> Made:
    """What is published in place of an event that nobody can read: that there was one."""
    event = {
        "specversion": "1.0",
        "id": skipped.event_id,
        "source": "/stepladder/gateway",
        "type": SKIPPED_TYPE,
        "subject": "/".join(skipped.subject.split(".", 3)[2:]),
        "time": datetime.now(UTC).isoformat(),
        "logposition": str(skipped.position),
    }
    subject = ".".join((STREAMS[EVENTS], *SKIPPED_TYPE.split(".")[1:], NOBODY, NOBODY))
    return Made(subject, Entry(skipped.event_id, SKIPPED_TYPE, encoded(event)), skipped.position)
