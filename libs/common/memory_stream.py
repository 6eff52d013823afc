"""A stream in memory that answers as JetStream does, on one node or on three, with seeded lost acks."""

import asyncio
from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import permutations
from random import Random

from libs.common.streams import (
    BATCH_DUPLICATE,
    LOG,
    OTHER_STREAM,
    OVERLAPPING_SUBJECTS,
    WRONG_LAST_SEQUENCE,
    Append,
    Entry,
    Feed,
    NoAnswer,
    NoResponders,
    Rejected,
    Stored,
    StreamState,
    matches,
    stream_of,
)


class MemoryStream:
    """Fulfils `streams.OneWriterStream`.

    Attributes:
        replicas: 1 or 3. Tells how a repeated append is refused and whether `read` may lag behind.
        lost_acks: share of appends, 0 to 1, that are written but not answered; drawn from `seed`.
        away: while true, nobody listens.
    """

    def __init__(
        self, created: datetime, *, name: str = LOG, replicas: int = 1, lost_acks: float = 0.0, seed: int = 0
    ) -> None:
        self.name = name
        self.replicas = replicas
        self.lost_acks = lost_acks
        self.away = False
        self._created = created
        self._random = Random(seed)  # noqa: S311 - repeatable chance, nothing secret
        self._entries: list[Stored] = []
        self._written: list[datetime] = []
        self._by_subject: defaultdict[str, list[Stored]] = defaultdict(list)
        self._ids: set[str] = set()
        self._grown = asyncio.Condition()
        self._replicated = 0

    async def publish(self, batch: Sequence[Append]) -> int:
        await asyncio.sleep(0)
        if self.away:
            raise NoResponders
        if stream_of(*(append.subject for append in batch)) != self.name:
            raise Rejected(OTHER_STREAM, "expected stream does not match")
        stale = any(self._last(append.subject) != append.expected for append in batch)
        duplicate = any(entry.event_id in self._ids for append in batch for entry in append.entries)
        # One node looks at the expected sequence first, three at the message ids (seen on nats-server 2.15.1).
        if duplicate and (self.replicas > 1 or not stale):
            raise Rejected(BATCH_DUPLICATE, "batch publish contains duplicate message id")
        if stale:
            raise Rejected(WRONG_LAST_SEQUENCE, "wrong last sequence")
        self._replicated = len(self._entries)
        for append in batch:
            for entry in append.entries:
                stored = Stored(len(self._entries) + 1, append.subject, entry.payload, entry.event_id)
                self._entries.append(stored)
                self._written.append(datetime.now(UTC))
                self._by_subject[append.subject].append(stored)
                self._ids.add(entry.event_id)
        async with self._grown:
            self._grown.notify_all()
        if self._random.random() < self.lost_acks:
            raise NoAnswer
        return len(self._entries)

    async def publish_behind(self, position: int, entries: Sequence[tuple[str, Entry]]) -> int:
        await asyncio.sleep(0)
        if self.away:
            raise NoResponders
        if position != len(self._entries):
            raise Rejected(WRONG_LAST_SEQUENCE, "wrong last sequence")
        for subject, entry in entries:
            stored = Stored(len(self._entries) + 1, subject, entry.payload, entry.event_id)
            self._entries.append(stored)
            self._written.append(datetime.now(UTC))
            self._by_subject[subject].append(stored)
        async with self._grown:
            self._grown.notify_all()
        return len(self._entries)

    async def read(self, subject: str, after: int = 0) -> list[Stored]:
        seen = len(self._entries)
        if self.replicas > 1 and self._random.random() < 0.5:
            seen = self._replicated  # a follower that has not heard of the last batch
        return [entry for entry in await self.read_from_leader(subject, after) if entry.position <= seen]

    async def read_from_leader(self, subject: str, after: int = 0) -> list[Stored]:
        await asyncio.sleep(0)
        if self.away:
            raise NoResponders
        return [entry for entry in self._by_subject.get(subject, ()) if entry.position > after]

    async def read_at(self, position: int) -> Stored | None:
        await asyncio.sleep(0)
        if self.away:
            raise NoResponders
        return self._entries[position - 1] if 0 < position <= len(self._entries) else None

    async def last_positions(self, subjects: Sequence[str]) -> dict[str, int]:
        await asyncio.sleep(0)
        if self.away:
            raise NoResponders
        return {subject: self._last(subject) for subject in subjects if subject in self._by_subject}

    async def last_position(self, subject: str) -> int:
        if self.away:
            raise NoResponders
        return max((e.position for e in self._entries if matches(e.subject, subject)), default=0)

    async def position_before(self, moment: datetime) -> int:
        if self.away:
            raise NoResponders
        return bisect_left(self._written, moment)

    @asynccontextmanager
    async def feed(self, subjects: Sequence[str], after: int) -> AsyncIterator[Feed]:
        if any(matches(one, other) for one, other in permutations(subjects, 2)):
            raise Rejected(OVERLAPPING_SUBJECTS, "consumer subject filters cannot overlap")
        yield _MemoryFeed(self, subjects, after)

    async def state(self) -> StreamState:
        if self.away:
            raise NoResponders
        return StreamState(first=1, last=len(self._entries), created=self._created)

    def forget_ids(self) -> None:
        """Lets the two-minute window of message ids pass."""
        self._ids.clear()

    def _last(self, subject: str) -> int:
        entries = self._by_subject.get(subject)
        return entries[-1].position if entries else 0


class _MemoryFeed:
    def __init__(self, stream: MemoryStream, subjects: Sequence[str], after: int) -> None:
        self._stream = stream
        self._subjects = subjects
        self._after = after

    async def next(self, most: int, wait_seconds: float) -> list[Stored]:
        try:
            async with asyncio.timeout(wait_seconds):
                async with self._stream._grown:  # noqa: SLF001 - two halves of one thing
                    await self._stream._grown.wait_for(lambda: self.pending > 0)  # noqa: SLF001
        except TimeoutError:
            return []
        entries = self._waiting()[:most]
        self._after = entries[-1].position
        return entries

    @property
    def pending(self) -> int:
        return len(self._waiting())

    def _waiting(self) -> list[Stored]:
        entries = self._stream._entries[self._after :]  # noqa: SLF001 - two halves of one thing
        return [entry for entry in entries if any(matches(entry.subject, wanted) for wanted in self._subjects)]
