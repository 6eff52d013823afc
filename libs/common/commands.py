"""Commands: load, decide, append; again when others were faster; once and for ever for each request id."""

import asyncio
import hashlib
import sys
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Generic, TypeVar
from uuid import uuid4

from google.protobuf.message import Message

from libs.common import errors
from libs.common.envelope import Codec, Encoded, chain_start, payload_hash, person_in
from libs.common.errors import Conflict, Invalid, LogCorrupted, Refused
from libs.common.eventsourcing import Aggregate, Context, Kind, Recorded
from libs.common.log import EventLog, StaleExpectation
from libs.common.metrics import COMMANDS, CONFLICTS
from libs.common.streams import Append, Stored, stream_of
from libs.common.telemetry import continuing, inner_span
from stepladder.common.v1.envelope_pb2 import CommandNoted

S = TypeVar("S")

TRIES = 5
"""How often a command is decided anew when others write to the same aggregate."""


@dataclass(frozen=True, slots=True)
class Standing(Generic[S]):
    """An aggregate's state, and the position in the log of the event that made it so: its etag. 0: it has no events."""

    state: S
    position: int


@dataclass(frozen=True, slots=True)
class Handled(Standing[S]):
    """What came of a command: the aggregate after it, the state `before` that it was decided on, and how many events.

    A repeated command gets what it got when it was first given.
    """

    before: S
    events: int = 0


_RESULTS: Mapping[type, str] = {
    Handled: "ok",
    errors.Invalid: "invalid",
    errors.NotFound: "not_found",
    errors.AlreadyExists: "already_exists",
    errors.NotAllowed: "not_allowed",
    errors.NotKnown: "not_known",
    errors.Forbidden: "forbidden",
    errors.Conflict: "conflict",
    errors.TooLarge: "too_large",
    errors.Unavailable: "unavailable",
}
"""As what a command's outcome is counted; everything else is an error."""


@dataclass(frozen=True, slots=True)
class _Past:
    """A command that acted. `digest` is empty where nothing can be compared: its content was erased, for one."""

    command_id: str
    digest: bytes
    position: int
    actor: str


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a command from every other in the system, and a repetition by.

    Attributes:
        command_id: the id under which it is stored.
        digest: of what the caller sent; a repetition's is compared with it, if it is not empty.
        former_id: its id in what was stored before ids told callers apart; empty for one that has none such.
        former_digest: of the command, which was stored before.
    """

    command_id: str
    digest: bytes = b""
    former_id: str = ""
    former_digest: bytes = b""

    def past(self, commands: Mapping[str, _Past], actor: str) -> _Past | None:
        """The same command as it acted before, if it did."""
        former = commands.get(self.former_id)
        return commands.get(self.command_id) or (former if former and former.actor == actor else None)


@dataclass(frozen=True, slots=True)
class _Loaded(Generic[S]):
    """An aggregate as of a position, last `changed` at one; `commands` has every command that ever acted, by its id.

    `people` are those of whom it holds something personal that can be read.
    """

    state: S
    position: int
    changed: int
    last_hash: bytes
    data_subject: str = ""
    people: frozenset[str] = frozenset()
    commands: dict[str, _Past] = field(default_factory=dict)


class Commands:
    """Runs commands of one service against its logs, one for each stream in which its aggregates lie.

    Recently used aggregates are kept in memory: the append's expected position proves that the copy was current. Copies
    that hold something of people who were erased since are dropped before they are used.
    """

    def __init__(self, logs: Iterable[EventLog], codec: Codec, *, keep: int = 20_000) -> None:
        self._logs = {log.stream.name: log for log in logs}
        self._codec = codec
        self._keep = keep
        self._cache: OrderedDict[str, _Loaded[object]] = OrderedDict()
        self._locks: dict[str, _Lock] = {}

    async def handle(
        self, aggregate: Aggregate[S], aggregate_id: str, command: Message, context: Context
    ) -> Handled[S]:
        """Runs one command.

        Raises what `decide` raises, Conflict after too many tries, Invalid `REQUEST_ID_REUSED`, and what
        `EventLog.append` raises.
        """
        (outcome,) = await self.handle_all(aggregate, [(aggregate_id, command)], context)
        if isinstance(outcome, Refused):
            raise outcome
        return outcome

    async def handle_all(
        self,
        aggregate: Aggregate[S],
        commands: Sequence[tuple[str, Message]],
        context: Context,
        *,
        by_content: bool = False,
    ) -> list[Handled[S] | Refused]:
        """Runs one command on each of several aggregates (each named once), sharing reads and writes.

        Each is accepted or refused by itself; the answers come in the given order. With `by_content`, a command is a
        repetition when the request id and its content are the same, and other content is another command.
        """
        jobs = {aggregate.subject(aggregate_id): command for aggregate_id, command in commands}
        if len(jobs) != len(commands):
            raise ValueError("an aggregate is named twice")
        with inner_span(f"command {aggregate.name}", context.traceparent):
            context = replace(context, traceparent=continuing(context.traceparent)) if context.traceparent else context
            return await self._handle_all(aggregate, jobs, context, by_content=by_content)

    async def _handle_all(
        self, aggregate: Aggregate[S], jobs: Mapping[str, Message], context: Context, *, by_content: bool
    ) -> list[Handled[S] | Refused]:
        outcomes: dict[str, Handled[S] | Refused] = {}
        ids = identities(jobs, context, by_content)
        async with self._locked(sorted(jobs)):
            open_jobs = jobs
            try:
                for attempt in range(TRIES):
                    loaded = await self._load_all(aggregate, list(open_jobs), latest=attempt > 0)
                    open_jobs = await self._attempt(
                        aggregate, open_jobs, loaded, context, ids, outcomes, certain=attempt > 0
                    )
                    if not open_jobs:
                        break
            except Exception as trouble:
                _count(aggregate.name, jobs, dict.fromkeys(jobs, trouble))
                raise
            for subject in open_jobs:
                outcomes[subject] = Conflict(
                    "TOO_MUCH_CONTENTION", "others keep changing the same thing; try again in a moment"
                )
        _count(aggregate.name, jobs, outcomes)
        return [outcomes[subject] for subject in jobs]

    async def load(self, aggregate: Kind[S], aggregate_id: str, known_at: int = 0) -> Standing[S]:
        """The aggregate as the leader of the log knows it: never behind an acknowledged command.

        With `known_at`, as it was when the log ended at that position.
        """
        subject = aggregate.subject(aggregate_id)
        if known_at:
            stored = [
                entry for entry in await self._logs[aggregate.stream].read_latest(subject) if entry.position <= known_at
            ]
            loaded = await self._fold(aggregate, self._empty(aggregate, subject), stored)
        else:
            loaded = (await self._load_all(aggregate, [subject], latest=True))[subject]
        return Standing(loaded.state, loaded.changed)

    async def known(
        self, aggregate: Kind[S], aggregate_ids: Iterable[str], *, check: bool = True, latest: bool = False
    ) -> dict[str, Standing[S]]:
        """Those of the aggregates that exist, by id, in the order asked. May miss the very latest events of each.

        With `latest` it misses none, and asks the leader for each. Without `check`, copies in memory are taken as they
        are: enough to know that something exists, or what never changes of it.
        """
        subjects = {aggregate.subject(aggregate_id): aggregate_id for aggregate_id in aggregate_ids}
        loaded = await self._load_all(aggregate, list(subjects), latest=latest, check=check)
        absent = [subject for subject, one in loaded.items() if not one.position]
        if absent and not latest:
            loaded |= await self._load_all(aggregate, absent, latest=True)  # a replica may not have heard of them
        return {subjects[subject]: Standing(one.state, one.changed) for subject, one in loaded.items() if one.position}

    async def histories(self, subjects: Iterable[str]) -> dict[str, list[Recorded]]:
        """Every event of aggregates with its envelope, by subject, the oldest first, as the log's leader knows them.

        Those that changed nothing (`CommandNoted`) are among them. Raises LogCorrupted unless each event names the hash
        of the one before it.
        """
        wanted = list(subjects)
        tails = await asyncio.gather(*(self._logs[stream_of(subject)].read_latest(subject) for subject in wanted))
        return {subject: await self._decoded(subject, tail) for subject, tail in zip(wanted, tails, strict=True)}

    async def subjects_at(self, stream: str, positions: Iterable[int]) -> dict[int, str]:
        """The aggregates of the events at some positions of a stream, by position; without those that do not exist."""
        wanted = list(positions)
        found = await asyncio.gather(*(self._logs[stream].read_at(position) for position in wanted))
        return {stored.position: stored.subject for stored in found if stored is not None}

    async def _decoded(self, subject: str, stored: Sequence[Stored]) -> list[Recorded]:
        found, last_hash = list[Recorded](), chain_start(subject)
        for entry in stored:
            found.append(await self._codec.decode(entry))
            check_chain(found[-1], last_hash)
            last_hash = payload_hash(entry.payload)
        return found

    async def _attempt(
        self,
        aggregate: Aggregate[S],
        jobs: Mapping[str, Message],
        loaded: Mapping[str, _Loaded[S]],
        context: Context,
        ids: Mapping[str, Identity],
        outcomes: dict[str, Handled[S] | Refused],
        *,
        certain: bool,
    ) -> dict[str, Message]:
        """Decides every job and appends what came out. Fills `outcomes`; answers the jobs to be tried again.

        An append proves that the copy was current that it was decided on. Where there is none, the copies must be
        `certain` to be.
        """
        again: dict[str, Message] = {}
        appends: list[Append] = []
        after: list[tuple[_Loaded[S], S, Encoded, int]] = []
        for subject, command in jobs.items():
            before = loaded[subject]
            identity = ids[subject]
            try:
                if (past := identity.past(before.commands, context.actor)) is not None:
                    outcomes[subject] = await self._repeated(aggregate, subject, past, identity)
                    continue
                if context.etag and context.etag != str(before.changed):
                    raise etag_mismatch()
                events = list(aggregate.decide(before.state, command, context))
                if not events and not (context.request_id and before.position):  # nothing to keep
                    if certain:
                        outcomes[subject] = Handled(before.state, before.changed, before.state)
                    else:
                        again[subject] = command
                    continue
                encoded = await self._codec.encode(
                    subject,
                    events or [CommandNoted()],
                    command_id=identity.command_id,
                    command_digest=identity.digest,
                    context=context,
                    previous_hash=before.last_hash,
                    data_subject=before.data_subject,
                )
            except Refused as refusal:
                if certain:
                    outcomes[subject] = refusal
                else:
                    again[subject] = command
                continue
            appends.append(Append(subject, before.position, encoded.entries))
            state = before.state
            for event in events:
                state = aggregate.evolve(state, event)
            after.append((before, state, encoded, len(events)))
        results = await self._logs[aggregate.stream].append_all(appends)
        for append, (before, state, encoded, count), result in zip(appends, after, results, strict=True):
            if isinstance(result, StaleExpectation):
                again[append.subject] = jobs[append.subject]
                CONFLICTS.labels(aggregate.name).inc()
                continue
            identity = ids[append.subject]
            # The past is shared with the copy before: the lock keeps others from that one until it is replaced.
            before.commands[identity.command_id] = _Past(identity.command_id, identity.digest, result, context.actor)
            changed = result if count else before.changed
            person, people = encoded.data_subject, before.people | {encoded.data_subject} - {""}
            after_it = _Loaded(state, result, changed, encoded.last_hash, person, people, before.commands)
            self._remember(append.subject, after_it)
            outcomes[append.subject] = Handled(state, changed, before.state, count)
        return again

    async def _repeated(self, aggregate: Kind[S], subject: str, past: _Past, identity: Identity) -> Handled[S]:
        """The answer that a command got when it was first given."""
        if past.digest and identity.digest and past.digest not in (identity.digest, identity.former_digest):
            raise Invalid(
                "REQUEST_ID_REUSED", "this request_id was used for a different request before; take a new one"
            )
        log = self._logs[aggregate.stream]
        stored = await log.read(subject)
        if not stored or stored[-1].position < past.position:  # a replica that is behind
            stored = await log.read_latest(subject)
        earlier = list(takewhile(lambda entry: entry.event_id.partition(".")[0] != past.command_id, stored))
        own = [entry for entry in stored[len(earlier) :] if entry.position <= past.position]
        before = await self._fold(aggregate, self._empty(aggregate, subject), earlier)
        then = await self._fold(aggregate, before, own)
        return Handled(then.state, then.changed, before.state, 0 if then.changed == before.changed else len(own))

    async def _load_all(
        self, aggregate: Kind[S], subjects: Sequence[str], *, latest: bool = False, check: bool = False
    ) -> dict[str, _Loaded[S]]:
        """Aggregates from memory or else the log, where a replica may answer.

        With `check`, copies in memory are compared with the log; with `latest`, the leader is asked for all.
        """
        kept: dict[str, _Loaded[S] | None] = {subject: self._cached(subject) for subject in subjects}
        erased = await self._codec.erased({person for one in kept.values() if one for person in one.people})
        found: dict[str, _Loaded[S]] = {}
        for subject, one in kept.items():
            if one is not None and one.people.isdisjoint(erased):
                found[subject] = one
            else:
                self._cache.pop(subject, None)
                found[subject] = self._empty(aggregate, subject)
        log = self._logs[aggregate.stream]
        behind = list(found) if latest or check else [subject for subject, one in found.items() if not one.position]
        if not latest and (check or len(behind) > 1):
            # One question tells which of them are new or have changed: the others need no replay.
            last = await log.last_positions(behind)
            behind = [subject for subject in behind if last.get(subject, 0) > found[subject].position]
        if not behind:
            return found
        read = log.read_latest if latest else log.read
        tails = await asyncio.gather(*(read(subject, found[subject].position) for subject in behind))
        for subject, tail in zip(behind, tails, strict=True):
            found[subject] = await self._fold(aggregate, found[subject], tail)
            self._remember(subject, found[subject])
        return found

    async def _fold(self, aggregate: Kind[S], start: _Loaded[S], stored: Sequence[Stored]) -> _Loaded[S]:
        state, position, changed = start.state, start.position, start.changed
        last_hash, data_subject, commands = start.last_hash, start.data_subject, dict(start.commands)
        people = set(start.people)
        for entry in stored:
            recorded = await self._codec.decode(entry)
            check_chain(recorded, last_hash)
            if not isinstance(recorded.event, CommandNoted):
                state, changed = aggregate.evolve(state, recorded.event), entry.position
            position, last_hash = entry.position, payload_hash(entry.payload)
            envelope = recorded.envelope
            data_subject = envelope.personal.data_subject or data_subject
            if person := person_in(recorded):
                people.add(person)
            command_id, actor = envelope.command_id, sys.intern(envelope.actor)  # a caller gives many commands
            commands[command_id] = _Past(command_id, envelope.command_digest, position, actor)
        return _Loaded(state, position, changed, last_hash, data_subject, frozenset(people), commands)

    @staticmethod
    def _empty(aggregate: Kind[S], subject: str) -> _Loaded[S]:
        return _Loaded(aggregate.initial, 0, 0, chain_start(subject))

    def _cached(self, subject: str) -> _Loaded[S] | None:
        loaded = self._cache.get(subject)
        if loaded is not None:
            self._cache.move_to_end(subject)
        return loaded  # type: ignore[return-value] # a subject belongs to one kind of aggregate, whose state is S

    def _remember(self, subject: str, loaded: _Loaded[S]) -> None:
        known = self._cache.get(subject)
        if not loaded.position or (known is not None and known.position > loaded.position):
            return  # nothing to remember, or others were faster
        self._cache[subject] = loaded  # type: ignore[assignment] # see _cached
        self._cache.move_to_end(subject)
        if len(self._cache) > self._keep:
            self._cache.popitem(last=False)

    @asynccontextmanager
    async def _locked(self, subjects: Sequence[str]) -> AsyncIterator[None]:
        """One command at a time for each aggregate in this process; `subjects` are sorted, so none deadlock."""
        locks = [self._locks.setdefault(subject, _Lock()) for subject in subjects]
        for lock in locks:
            lock.users += 1
        taken = 0
        try:
            for lock in locks:
                await lock.acquire()
                taken += 1
            yield
        finally:
            for lock in locks[:taken]:
                lock.release()
            for subject, lock in zip(subjects, locks, strict=True):
                lock.users -= 1
                if not lock.users:
                    del self._locks[subject]


class _Lock(asyncio.Lock):
    """An aggregate's lock; `users` hold it or wait for it."""

    users = 0


def _count(aggregate: str, jobs: Mapping[str, Message], outcomes: Mapping[str, object]) -> None:
    """Counts commands by their kind and by what came of each; a refusal by its kind, `NotFound` as `not_found`."""
    counts = Counter((type(command), type(outcomes[subject])) for subject, command in jobs.items())
    for (command, outcome), count in counts.items():
        COMMANDS.labels(aggregate, command.__name__, _RESULTS.get(outcome, "error")).inc(count)


def etag_mismatch() -> Conflict:
    return Conflict("ETAG_MISMATCH", "it has changed since you read it; read it again and decide again")


def check_chain(recorded: Recorded, expected: bytes) -> None:
    """Raises LogCorrupted unless the event names `expected` as its predecessor's hash."""
    if recorded.envelope.previous_hash != expected:
        raise LogCorrupted(
            f"{recorded.subject} at {recorded.position}: the event before it is missing or was changed"
            " (its hash does not match)"
        )


def identities(jobs: Mapping[str, Message], context: Context, by_content: bool = False) -> dict[str, Identity]:
    """By subject, what tells each command from others.

    The id is made of the aggregate, the caller and the request id, and the content if told so: then it must not be
    personal, for ids lie in the log for ever. Without a request id there are no repetitions. A policy gives one command
    for an event, whatever a later version of its code would say: that is a repetition too.
    """
    if not context.request_id:
        together = uuid4().hex[:24]
        return {subject: Identity(f"{together}{number:08x}") for number, subject in enumerate(jobs)}
    found: dict[str, Identity] = {}
    for subject, command in jobs.items():
        digest = _digest(command)
        parts = [digest] if by_content else []
        common = _command_id(subject, context.request_id, *parts)
        own = _command_id(subject, f"{context.actor} {context.request_id}", *parts)
        if context.cause:  # an event is nobody's own
            found[subject] = Identity(common)
        elif by_content:
            found[subject] = Identity(own, former_id=common)
        else:
            found[subject] = Identity(
                own, digest if context.request is None else _digest(context.request), common, digest
            )
    return found


def _digest(message: Message) -> bytes:
    content = message.DESCRIPTOR.full_name.encode() + b"\n" + message.SerializeToString(deterministic=True)
    return hashlib.sha256(content).digest()[:16]


def _command_id(subject: str, request: str, *content: bytes) -> str:
    """Stored for ever."""
    return hashlib.sha256(b"\n".join([subject.encode(), request.encode(), *content])).hexdigest()[:32]
