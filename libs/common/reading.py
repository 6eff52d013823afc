"""One reading of a stream for all followers of a process: what several of them want is fetched and decoded once.

It stands at the end of the stream and hands on what comes. Who is behind that, because it starts, was rebuilt or is
slow, reads by itself up to there. So everybody keeps a position of its own and waits for nobody else.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from libs.common.background import ended
from libs.common.partitions import Partition, Sharing
from libs.common.streams import Feed, NoAnswer, Stored, Stream, matches

BATCH = 2000
WAIT_SECONDS = 2.5
ROOM_BYTES = 4_000_000
"""How much payload may wait for one listener. Who is so far behind gets no more and reads on by itself."""


T = TypeVar("T")
Made_co = TypeVar("Made_co", covariant=True)


class Decoder(Protocol[Made_co]):
    """Makes of an entry what its readers work with."""

    async def decode(self, stored: Stored, /) -> Made_co: ...


@dataclass(frozen=True, slots=True)
class Heard(Generic[T]):
    """An entry of a stream with its event, or with what keeps it from being one. Several read it: it is not changed."""

    position: int
    subject: str
    size: int
    outcome: T | Exception


async def hear(codec: Decoder[T], entry: Stored) -> Heard[T]:
    """Decodes an entry."""
    try:
        outcome: T | Exception = await codec.decode(entry)
    except Exception as fault:
        outcome = fault
    return Heard(entry.position, entry.subject, len(entry.payload), outcome)


class Reading(Generic[T]):
    """Reads a stream for the listeners of a process, while there are any."""

    def __init__(self, stream: Stream, codec: Decoder[T]) -> None:
        self.stream = stream
        self.codec = codec
        self._subjects: set[str] = set()
        self._feeds = 0
        self._listeners: list[Listener[T]] = []
        """Those who are handed what comes."""
        self._by_kind: dict[str, Audience[T]] = {}
        self._position = 0
        """Everything up to here was handed on."""
        self._created: datetime | None = None
        """When the stream was made that is being read."""
        self.level = True
        """Whether everything that has come was handed on."""
        self._task: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    def add(self, subjects: Sequence[str]) -> None:
        """Says what a listener will want, before the first one listens. Raises ValueError for single aggregates."""
        if not all(subject.endswith((".*", ".>")) for subject in subjects):
            raise ValueError(f"{', '.join(subjects)}: followers follow all aggregates of a kind")
        self._subjects.update(subjects)

    @asynccontextmanager
    async def feed(
        self, subjects: Sequence[str], after: int, partition: Partition | None = None
    ) -> AsyncIterator["Listener[T]"]:
        """Follows subjects behind a position, as a stream's own feed does; or what of them belongs to a partition."""
        self._feeds += 1
        try:
            async with AsyncExitStack() as own:
                listener = Listener(self, subjects, after, own, partition)
                try:
                    yield listener
                finally:
                    self.leave(listener)
        finally:
            self._feeds -= 1
            if not self._feeds and self._task is not None:
                await ended({self._task})

    async def join(self, listener: "Listener[T]") -> int:
        """Hands a listener everything behind a position, which is answered."""
        async with self._starting:
            heard = self._position
            state = await self.stream.state()
            if self._task is not None and (state.created != self._created or state.last < heard):  # it was restored
                await ended({self._task})
            if self._task is None or self._task.done():
                self._created, self._position, self.level = state.created, state.last, True
                self._task = asyncio.get_running_loop().create_task(self._read())
        self._listeners.append(listener)
        self._by_kind.clear()
        return self._position

    def leave(self, listener: "Listener[T]") -> None:
        """Hands a listener nothing more."""
        if listener in self._listeners:
            self._listeners.remove(listener)
            self._by_kind.clear()

    def is_joined(self, listener: "Listener[T]") -> bool:
        """Whether a listener is handed what comes."""
        return listener in self._listeners

    async def _read(self) -> None:
        # The server takes no subject that another one covers.
        covered = {one for one in self._subjects for other in self._subjects - {one} if matches(one, other)}
        trouble: Exception = NoAnswer()  # also for whoever came while it was cancelled
        try:
            async with self.stream.feed(sorted(self._subjects - covered), self._position) as feed:
                while True:
                    entries = await feed.next(BATCH, WAIT_SECONDS)
                    self.level = False
                    for entry in entries:
                        if self._wanting(entry):
                            heard = await hear(self.codec, entry)
                            for listener in self._wanting(entry):  # others may have come while it was decoded
                                listener.take(heard)
                        self._position = entry.position
                    self.level = not feed.pending
                    await asyncio.sleep(0)  # theirs is the next turn, however much there is to read
        except Exception as fault:
            trouble = fault
        finally:
            # The next reading does not begin where this one ends: it has nothing for them.
            failed, self._listeners = self._listeners, []
            self._by_kind.clear()
            for listener in failed:
                listener.fail(trouble)

    @property
    def position(self) -> int:
        """Everything up to here was handed on."""
        return self._position

    def _wanting(self, entry: Stored) -> Sequence["Listener[T]"]:
        kind = entry.subject.rpartition(".")[0]
        if kind not in self._by_kind:
            self._by_kind[kind] = Audience([one for one in self._listeners if one.follows(entry.subject)])
        return self._by_kind[kind].of(entry.subject)


class Audience(Generic[T]):
    """Who listens to a kind of aggregates. However many share it, for each subject it is counted once whose it is."""

    def __init__(self, listeners: Sequence["Listener[T]"]) -> None:
        self._whole = [one for one in listeners if one.partition is None]
        self._shares: dict[tuple[Sharing, int], dict[int, list[Listener[T]]]] = {}
        for one in listeners:
            if (mine := one.partition) is not None:
                self._shares.setdefault((mine.sharing, mine.of), {}).setdefault(mine.number, []).append(one)

    def of(self, subject: str) -> Sequence["Listener[T]"]:
        """Those of them who want a subject."""
        if not self._shares:
            return self._whole
        found = [*self._whole]
        for (sharing, of), by_number in self._shares.items():
            number = sharing.number(subject, of)
            if number is None:
                found += [one for some in by_number.values() for one in some]
            else:
                found += by_number.get(number, ())
        return found


class Listener(Generic[T]):
    """What one follower reads: by itself up to where it joined the others, then what they all are handed."""

    def __init__(
        self,
        reading: Reading[T],
        subjects: Sequence[str],
        after: int,
        own: AsyncExitStack,
        partition: Partition | None = None,
    ) -> None:
        self.partition = partition
        self._reading = reading
        self._subjects = subjects
        self._position = after
        self._alone_until = 0
        self._own = own
        self._own_feed: Feed | None = None
        self._handed: deque[Heard[T]] = deque()
        self._size = 0
        self._news = asyncio.Event()
        self._trouble: Exception | None = None

    async def next(self, most: int, wait_seconds: float) -> list[Heard[T]]:
        """Up to `most` entries as soon as there is one; none when `wait_seconds` have passed. Raises as the stream."""
        if not self._handed and self._trouble is None and not self._reading.is_joined(self):
            await self._join()
        if self._position < self._alone_until:
            return await self._read_alone(most, wait_seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_seconds):
                await self._news.wait()
        if not self._handed and self._trouble is not None:
            raise self._trouble
        heard = [self._handed.popleft() for _ in range(min(most, len(self._handed)))]
        self._size -= sum(one.size for one in heard)
        if heard:
            self._position = heard[-1].position
        if not self._handed and self._trouble is None:
            self._news.clear()
        return heard

    @property
    def level(self) -> bool:
        """Whether nothing that it wants is known to wait."""
        shares = self._reading.is_joined(self) and self._position >= self._alone_until
        return shares and self._reading.level and not self._handed

    @property
    def passed(self) -> int:
        """Everything up to here that it wants has been taken from it."""
        all_taken = not self._handed and self._position >= self._alone_until and self._reading.is_joined(self)
        return max(self._position, self._reading.position) if all_taken else self._position

    def follows(self, subject: str) -> bool:
        """Whether it follows aggregates of a subject's kind."""
        return any(matches(subject, pattern) for pattern in self._subjects)

    def take(self, heard: Heard[T]) -> None:
        """Keeps what was handed on, or leaves when too much waits already."""
        if self._handed and self._size + heard.size > ROOM_BYTES:
            self._reading.leave(self)
            return
        self._handed.append(heard)
        self._size += heard.size
        self._news.set()

    def fail(self, trouble: Exception) -> None:
        """Nothing more will be handed on."""
        self._trouble = trouble
        self._news.set()

    async def _join(self) -> None:
        self._alone_until = joined = await self._reading.join(self)
        # Asked of the leader after joining: of what lies before that, nothing it wants is behind the last of these.
        last = max([await self._reading.stream.last_position(subject) for subject in self._subjects])
        self._alone_until = min(joined, last)

    async def _read_alone(self, most: int, wait_seconds: float) -> list[Heard[T]]:
        if self._own_feed is None:
            feed = self._reading.stream.feed(self._subjects, self._position)
            self._own_feed = await self._own.enter_async_context(feed)
        entries = await self._own_feed.next(most, wait_seconds)
        mine = entries if self.partition is None else [one for one in entries if self.partition.takes(one.subject)]
        heard = [await hear(self._reading.codec, one) for one in mine if one.position <= self._alone_until]
        position = entries[-1].position if entries else self._position
        if position >= self._alone_until:
            position = self._alone_until  # what lies behind was handed on
            self._own_feed = None
            await self._own.aclose()
        self._position = position  # last: it says that all up to there was taken
        return heard
