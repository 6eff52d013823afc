"""The event log: appends that are acknowledged once they are on disk, once each, and replay.

Appends that come in while a batch is under way share the next one (group commit), so that one fsync pays for many.
A doubtful answer (time-out, stale expectation, duplicate) is never believed: the leader is asked what lies there.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from libs.common.errors import Invalid, Unavailable
from libs.common.metrics import APPEND_FAILURES, APPEND_RETRIES, APPEND_SECONDS
from libs.common.streams import (
    DOUBTFUL,
    INCOMPLETE_BATCH,
    LOG_TROUBLES,
    MAX_BATCH,
    TOO_MANY_BATCHES,
    Append,
    NoAnswer,
    NoResponders,
    Rejected,
    Stored,
    Stream,
)

MAX_EVENT_BYTES = 900_000
"""Largest event payload; the server's limit is 1 MiB with headers."""
MAX_BATCH_BYTES = 8_000_000
FEW = 8
"""So many single events are sooner on disk one by one: nats-server needs that long to begin an atomic batch."""


class StaleExpectation(Exception):  # noqa: N818 - states what is the case
    """Others have written to the aggregate since it was read; nothing of this append was written."""


class _Call:
    """Appends asked for together, and what has come of each."""

    def __init__(self, appends: int) -> None:
        self.outcomes: list[int | StaleExpectation] = [0] * appends
        self.open = appends
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle(self, index: int, outcome: int | StaleExpectation) -> None:
        self.outcomes[index] = outcome
        self.open -= 1
        if not self.open and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(slots=True)
class _Waiting:
    append: Append
    size: int
    deadline: float
    call: _Call
    index: int


class EventLog:
    """A stream with safe appends. `batches` are under way at most at once; `patience` seconds bound one append."""

    def __init__(self, stream: Stream, *, batches: int = 4, patience: float = 25.0, pause: float = 0.05) -> None:
        self.stream = stream
        self._patience = patience
        self._pause = pause
        self._free = batches
        self._queue: deque[_Waiting] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        # There from the beginning, so that the first one shows as a change.
        APPEND_FAILURES.labels(stream.name)
        for cause in ("rejected", "silent", "absent"):
            APPEND_RETRIES.labels(stream.name, cause)

    async def append(self, append: Append) -> int:
        """Appends and answers the position of the last event.

        Raises:
            StaleExpectation: nothing was written; read again and decide again.
            Invalid: `EVENT_TOO_LARGE` or `TOO_MANY_EVENTS`; nothing was written.
            Unavailable: the log cannot be reached; the append may still happen, and the same one can be sent again.
        """
        (outcome,) = await self.append_all([append])
        if isinstance(outcome, StaleExpectation):
            raise outcome
        return outcome

    async def append_all(self, appends: Sequence[Append]) -> list[int | StaleExpectation]:
        """Appends each by itself, sharing batches; answers a position or StaleExpectation for each, in order.

        Raises as `append` does when any of them fails otherwise; the others may have been written unless it is Invalid.
        """
        if not appends:
            return []
        call, began = _Call(len(appends)), asyncio.get_running_loop().time()
        deadline = began + self._patience
        self._queue += [_Waiting(append, _size(append), deadline, call, i) for i, append in enumerate(appends)]
        self._start()
        try:
            await call.done
        except Exception:
            APPEND_FAILURES.labels(self.stream.name).inc()
            raise
        APPEND_SECONDS.labels(self.stream.name).observe(asyncio.get_running_loop().time() - began)
        return call.outcomes

    async def read(self, subject: str, after: int = 0) -> list[Stored]:
        """An aggregate's events behind a position. A replica may answer, so it may miss the very latest."""
        try:
            return await self.stream.read(subject, after)
        except (NoAnswer, NoResponders) as error:
            raise _away() from error

    async def read_latest(self, subject: str, after: int = 0) -> list[Stored]:
        """The same, but it misses nothing acknowledged.

        The leader is asked for what a replica has not told: it is asked event by event.
        """
        try:
            told = [] if after else await self.stream.read(subject)
            return told + await self.stream.read_from_leader(subject, told[-1].position if told else after)
        except (NoAnswer, NoResponders) as error:
            raise _away() from error

    async def read_at(self, position: int) -> Stored | None:
        """The event at a position; None where there is none."""
        try:
            return await self.stream.read_at(position)
        except (NoAnswer, NoResponders) as error:
            raise _away() from error

    async def last_positions(self, subjects: Sequence[str]) -> dict[str, int]:
        """The last position of each subject that has events. A replica may answer."""
        try:
            return await self.stream.last_positions(subjects)
        except (NoAnswer, NoResponders) as error:
            raise _away() from error

    async def close(self) -> None:
        """Waits for appends under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def _start(self) -> None:
        # A batch starts one turn of the loop later, so that appends made in the same turn share it.
        if self._queue and self._free:
            self._free -= 1
            task = asyncio.get_running_loop().create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        try:
            while batch := self._take():
                if 1 < len(batch) <= FEW and all(len(waiting.append.entries) == 1 for waiting in batch):
                    await asyncio.gather(*(self._commit([waiting]) for waiting in batch))
                else:
                    await self._commit(batch)
        finally:
            self._free += 1

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        subjects: set[str] = set()
        entries = size = 0
        put_off: list[_Waiting] = []
        while self._queue:
            waiting = self._queue[0]
            entries += len(waiting.append.entries)
            size += waiting.size
            if batch and (entries > MAX_BATCH or size > MAX_BATCH_BYTES):
                break
            self._queue.popleft()
            if waiting.append.subject in subjects:  # at most one expectation for a subject in a batch
                put_off.append(waiting)
            else:
                subjects.add(waiting.append.subject)
                batch.append(waiting)
        self._queue.extendleft(reversed(put_off))
        return batch

    async def _commit(self, batch: list[_Waiting]) -> None:
        """Settles every append of the batch: written, stale, or unavailable when its deadline has passed."""
        pause = self._pause
        while True:
            deadline = min(waiting.deadline for waiting in batch)
            try:
                async with asyncio.timeout_at(deadline):
                    last = await self.stream.publish([waiting.append for waiting in batch])
                return _written(batch, last)
            except Rejected as rejection:
                doubtful, cause = rejection.code in DOUBTFUL, "rejected"
                if not doubtful and rejection.code not in (TOO_MANY_BATCHES, INCOMPLETE_BATCH):
                    return _failed(batch, _refused(rejection))
                trouble: Exception = rejection
            except (NoAnswer, TimeoutError) as silence:
                doubtful, cause, trouble = True, "silent", silence
            except NoResponders as absence:
                doubtful, cause, trouble = False, "absent", absence
            except Exception as fault:  # whatever it is, those who wait must hear of it
                return _failed(batch, fault)
            APPEND_RETRIES.labels(self.stream.name, cause).inc()
            if doubtful:
                try:
                    async with asyncio.timeout_at(deadline):
                        batch = await self._unsettled(batch)
                except (*LOG_TROUBLES, TimeoutError) as silence:
                    trouble = silence
                except Exception as fault:
                    return _failed(batch, fault)
            again = asyncio.get_running_loop().time() + pause
            if late := [waiting for waiting in batch if waiting.deadline < again]:
                unavailable = _away()
                unavailable.__cause__ = trouble
                _failed(late, unavailable)
                batch = [waiting for waiting in batch if waiting.deadline >= again]
            if not batch:
                return None
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)

    async def _unsettled(self, batch: list[_Waiting]) -> list[_Waiting]:
        """Asks the leader what lies where each append wanted to write, and settles those that this decides.

        My events there: written, by this attempt or an earlier one. Others: stale, be they another command's or the
        same command's as another process has written them. Nothing, or a part (a server that runs out of space may
        leave that until it is restarted): still to be sent, with the same ids. Each is looked at, since an earlier
        attempt may have been batched with others.
        """
        found = await asyncio.gather(
            *(self.stream.read_from_leader(w.append.subject, w.append.expected) for w in batch)
        )
        unsettled: list[_Waiting] = []
        for waiting, stored in zip(batch, found, strict=True):
            mine = [entry.payload for entry in waiting.append.entries]
            there = [entry.payload for entry in stored[: len(mine)]]
            if there == mine:
                _written([waiting], stored[len(mine) - 1].position)
            elif there == mine[: len(there)]:
                unsettled.append(waiting)
            else:
                _failed([waiting], StaleExpectation(f"{waiting.append.subject} has changed"))
        return unsettled


def _size(append: Append) -> int:
    """Bytes of the payloads. Raises Invalid for what can never be written."""
    if len(append.entries) > MAX_BATCH:
        raise Invalid("TOO_MANY_EVENTS", f"{len(append.entries)} events for one aggregate; at most {MAX_BATCH} at once")
    size = 0
    for entry in append.entries:
        if len(entry.payload) > MAX_EVENT_BYTES:
            raise Invalid("EVENT_TOO_LARGE", f"an event is larger than {MAX_EVENT_BYTES} bytes; split it")
        size += len(entry.payload)
    return size


def _written(batch: list[_Waiting], last: int) -> None:
    position = last - sum(len(waiting.append.entries) for waiting in batch)
    for waiting in batch:
        position += len(waiting.append.entries)
        waiting.call.settle(waiting.index, position)


def _failed(batch: list[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if isinstance(error, StaleExpectation):
            waiting.call.settle(waiting.index, error)
        else:
            waiting.call.fail(error)


def _away() -> Unavailable:
    return Unavailable("LOG_UNAVAILABLE", "the event log does not answer; send the same request again in a moment")


def _refused(rejection: Rejected) -> Unavailable:
    error = Unavailable("LOG_REFUSED", f"the event log refused to write: {rejection}; an operator has to look at it")
    error.__cause__ = rejection
    return error
