"""The contract of the event log, on the memory stream and on real servers."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TypeAlias

import pytest

from libs.cli.nats_server import NatsServer
from libs.common.errors import Invalid, Unavailable
from libs.common.jetstream import JetStreamStream, connect
from libs.common.log import EventLog, StaleExpectation
from libs.common.memory_stream import MemoryStream
from libs.common.streams import LOG, LOG_RESTRICTED, PREFIXES, Append, Entry, Stored, Stream, stream_of
from tests.servers import running_nats

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
UNIQUE = itertools.count()
NewSubject: TypeAlias = Callable[[], str]


STREAMS = ["memory-1", "memory-3", "memory-lossy-1", "memory-lossy-3", "nats-1", "nats-3"]


@pytest.fixture(params=[*STREAMS, "restricted-memory-1", "restricted-nats-1", "restricted-nats-3"])
async def stream(request: pytest.FixtureRequest) -> AsyncIterator[Stream]:
    kind = request.param
    name = LOG_RESTRICTED if "restricted" in kind else LOG
    if "memory" in kind:
        lost_acks = 0.4 if "lossy" in kind else 0.0
        yield MemoryStream(EPOCH, name=name, replicas=int(kind[-1]), lost_acks=lost_acks, seed=7)
        return
    server: NatsServer = (
        request.getfixturevalue("nats_one") if kind.endswith("1") else request.getfixturevalue("nats_three")[1]
    )
    client = await connect(server.url, "test")
    yield JetStreamStream(client, name)
    await client.close()


@pytest.fixture
def log(stream: Stream) -> EventLog:
    return EventLog(stream, pause=0.001)


@pytest.fixture
def new_subject(stream: Stream) -> NewSubject:
    """Subjects of the stream that nobody else uses, on servers shared by tests."""
    return lambda: f"{PREFIXES[stream.name]}.test.thing.{os.getpid()}-{next(UNIQUE)}"


def append(subject: str, expected: int, *names: str) -> Append:
    return Append(subject, expected, [Entry(f"{subject}-{n}", "test.Happened", n.encode()) for n in names])


async def contents(log: EventLog, subject: str) -> list[str]:
    return [stored.payload.decode() for stored in await log.read_latest(subject)]


async def test_appended_events_are_read_back_in_order(log: EventLog, new_subject: NewSubject) -> None:
    """What was acknowledged lies in the log, in order, at the position answered."""
    subject = new_subject()
    first = await log.append(append(subject, 0, "a", "b"))
    second = await log.append(append(subject, first, "c"))
    assert await contents(log, subject) == ["a", "b", "c"]
    assert [s.position for s in await log.read_latest(subject)] == [first - 1, first, second]
    assert [s.event_id for s in await log.read_latest(subject, after=first)] == [f"{subject}-c"]


class Counted(MemoryStream):
    """Counts the entries that the leader was asked for."""

    led = 0

    async def read(self, subject: str, after: int = 0) -> list[Stored]:
        return await super().read_from_leader(subject, after)

    async def read_from_leader(self, subject: str, after: int = 0) -> list[Stored]:
        found = await super().read_from_leader(subject, after)
        self.led += len(found)
        return found


async def test_the_leader_is_asked_only_for_what_a_replica_lacks() -> None:
    """It is asked for one event at a time: of a long aggregate that would be slow."""
    stream = Counted(EPOCH)
    log = EventLog(stream, pause=0.001)
    await log.append(append("log.test.thing.long", 0, *(str(number) for number in range(100))))
    assert len(await log.read_latest("log.test.thing.long")) == 100
    assert stream.led == 0


async def test_stale_expectation_writes_nothing(log: EventLog, new_subject: NewSubject) -> None:
    """An append whose expectation is stale is refused whole."""
    subject = new_subject()
    await log.append(append(subject, 0, "a"))
    with pytest.raises(StaleExpectation):
        await log.append(append(subject, 0, "x", "y"))
    assert await contents(log, subject) == ["a"]


async def test_the_same_append_again_answers_the_same(log: EventLog, new_subject: NewSubject) -> None:
    """A repeated append is written once and answers the same position."""
    subject = new_subject()
    first = await log.append(append(subject, 0, "a", "b"))
    assert await log.append(append(subject, 0, "a", "b")) == first
    assert await contents(log, subject) == ["a", "b"]


async def test_stale_appends_do_not_hinder_those_they_share_a_batch_with(
    log: EventLog, new_subject: NewSubject
) -> None:
    """Of many appends made at once, only the stale ones are refused."""
    subjects = [new_subject() for _ in range(20)]
    for subject in subjects[::5]:
        await log.append(append(subject, 0, "old"))
    results = await log.append_all([append(subject, 0, "new", "er") for subject in subjects])
    stale = [isinstance(result, StaleExpectation) for result in results]
    assert stale == [number % 5 == 0 for number in range(20)]
    for number, subject in enumerate(subjects):
        assert await contents(log, subject) == (["old"] if number % 5 == 0 else ["new", "er"])


async def test_an_earlier_success_in_another_batch_vouches_for_nobody_else(
    log: EventLog, new_subject: NewSubject
) -> None:
    """A repeated append found in the log does not make its new neighbours look written."""
    repeated, fresh = new_subject(), new_subject()
    await log.append(append(repeated, 0, "a"))
    results = await log.append_all([append(repeated, 0, "a"), append(fresh, 0, "b")])
    assert all(isinstance(result, int) for result in results)
    assert await contents(log, repeated) == ["a"]
    assert await contents(log, fresh) == ["b"]


async def test_of_contending_writers_one_wins(stream: Stream, new_subject: NewSubject) -> None:
    """Writers that decide on the same state: exactly one is acknowledged a round, and it is in the log."""
    subject = new_subject()
    logs = [EventLog(stream, pause=0.001) for _ in range(4)]
    expected = 0
    for round_number in range(10):
        outcomes = await asyncio.gather(
            *(log.append(append(subject, expected, f"{round_number}-{w}")) for w, log in enumerate(logs)),
            return_exceptions=True,
        )
        winners = [outcome for outcome in outcomes if isinstance(outcome, int)]
        assert len(winners) == 1
        expected = winners[0]
    assert len(await contents(logs[0], subject)) == 10


async def test_more_appends_than_fit_a_batch_arrive(log: EventLog, new_subject: NewSubject) -> None:
    """Thousands of events at once are written in several batches, each append once."""
    subjects = [new_subject() for _ in range(250)]
    results = await log.append_all([append(s, 0, *"abcdefghij") for s in subjects])
    assert all(isinstance(result, int) for result in results)
    async with asyncio.timeout(10):  # a replica may take a moment to hear of the last batch
        while await log.last_positions(subjects) != dict(zip(subjects, results, strict=True)):
            await asyncio.sleep(0.02)


async def test_what_can_never_be_written_is_refused_at_once(log: EventLog, new_subject: NewSubject) -> None:
    """Events beyond the limits are the caller's mistake and say so."""
    with pytest.raises(Invalid, match="at most 1000"):
        await log.append(append(new_subject(), 0, *(str(n) for n in range(1001))))
    with pytest.raises(Invalid, match="larger"):
        await log.append(Append(new_subject(), 0, [Entry("big", "test.Happened", b"x" * 950_000)]))


async def test_a_feed_delivers_every_event_once_in_order(stream: Stream, new_subject: NewSubject) -> None:
    """A follower sees each event of its subjects once, those already there and those that come."""
    subject, log = new_subject(), EventLog(stream, pause=0.001)
    prefix = subject.rpartition("-")[0]
    start = (await stream.state()).last
    last = await log.append(append(subject, 0, "a", "b"))
    async with stream.feed([f"{prefix}-other", subject], after=start) as feed:
        seen = [stored.payload for stored in await feed.next(1, wait_seconds=5)]
        seen += [stored.payload for stored in await feed.next(10, wait_seconds=5)]
        waiting = asyncio.create_task(feed.next(10, wait_seconds=5))
        await log.append(append(subject, last, "c"))
        seen += [stored.payload for stored in await waiting]
    assert seen == [b"a", b"b", b"c"]


async def test_reads_say_what_is_not_there(log: EventLog, new_subject: NewSubject) -> None:
    """An aggregate without events reads as empty."""
    subject = new_subject()
    assert await log.read(subject) == []
    assert await log.read_latest(subject) == []
    assert await log.last_positions([subject]) == {}


async def test_a_cancellation_that_comes_with_the_answer_is_passed_on(stream: Stream) -> None:
    """Whoever is told to end while their question is answered ends, instead of going on with the answer."""
    # given
    asking = [asyncio.create_task(stream.state()) for _ in range(2000)]
    # when
    for task in asking:
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.wait(asking)
    # then
    assert [task for task in asking if task.cancelling() and not task.cancelled()] == []


async def test_an_event_is_read_by_its_position(stream: Stream, log: EventLog, new_subject: NewSubject) -> None:
    """As it was appended; where nothing lies, there is none."""
    subject = new_subject()
    last = await log.append(append(subject, 0, "a", "b"))
    assert [await log.read_at(last - 1), await log.read_at(last)] == await log.read_latest(subject)
    assert await log.read_at((await stream.state()).last + 1) is None


async def test_the_end_of_the_log_at_a_moment(stream: Stream, log: EventLog, new_subject: NewSubject) -> None:
    """What was written before a moment ends at the position answered."""
    long_ago = EPOCH - timedelta(days=20_000)
    position = await log.append(append(new_subject(), 0, "a", "b"))
    await asyncio.sleep(0.01)
    moment = datetime.now(UTC)
    await log.append(append(new_subject(), 0, "c"))
    assert await stream.position_before(moment) == position
    assert await stream.position_before(moment.astimezone(timezone(timedelta(hours=8)))) == position
    assert await stream.position_before(long_ago) == 0
    assert await stream.position_before(moment + timedelta(days=1)) == (await stream.state()).last


async def test_a_log_that_is_away_is_said_so_and_comes_back() -> None:
    """While nobody answers, appends end as UNAVAILABLE; when it returns, the same append succeeds."""
    stream = MemoryStream(EPOCH)
    stream.away = True
    log = EventLog(stream, patience=0.01, pause=0.002)
    with pytest.raises(Unavailable):
        await log.append(append("log.test.thing.1", 0, "a"))
    with pytest.raises(Unavailable):
        await log.read("log.test.thing.1")
    stream.away = False
    assert await log.append(append("log.test.thing.1", 0, "a")) == 1


async def test_patience_counts_from_when_an_append_was_asked_for() -> None:
    """Also of those that wait behind others: none is told later than that it is not going to be."""
    stream = MemoryStream(EPOCH)
    stream.away = True
    log = EventLog(stream, patience=0.2, pause=0.01)
    asked = asyncio.get_running_loop().time()
    large = [f"{number}" for number in range(1000)]  # a batch each, of which four are under way at once
    appends = [log.append(append(f"log.test.thing.{number}", 0, *large)) for number in range(20)]
    assert all(isinstance(one, Unavailable) for one in await asyncio.gather(*appends, return_exceptions=True))
    assert asyncio.get_running_loop().time() - asked < 4 * 0.2


class Mute(MemoryStream):
    """Takes what it is sent and never answers."""

    async def publish(self, batch: Sequence[Append]) -> int:
        await asyncio.Event().wait()
        raise AssertionError("never comes here")


async def test_patience_ends_while_an_answer_is_waited_for() -> None:
    """However long the stream itself would wait."""
    log, asked = EventLog(Mute(EPOCH), patience=0.1, pause=0.01), asyncio.get_running_loop().time()
    with pytest.raises(Unavailable):
        await log.append(append("log.test.thing.1", 0, "a"))
    assert asyncio.get_running_loop().time() - asked < 1


async def test_nothing_piles_up_while_the_server_is_away(tmp_path: Path) -> None:
    """What cannot be sent is not kept for later: whoever asked has it still, and is told to ask again."""
    with running_nats(tmp_path, 1) as (server,):
        client = await connect(server.url, "test")
    async with asyncio.timeout(10):
        while client.is_connected:
            await asyncio.sleep(0.01)
    log = EventLog(JetStreamStream(client), patience=0.3, pause=0.01)
    large = Append("log.test.thing.1", 0, [Entry(str(number), "test", b"x" * 800_000) for number in range(9)])
    with pytest.raises(Unavailable):
        await log.append(large)
    assert client._pending_data_size < 10_000
    await client.close()


async def test_lost_acks_never_write_twice_after_the_window(stream: Stream, new_subject: NewSubject) -> None:
    """A repetition after the servers have forgotten the message ids is still recognised by the log's content."""
    if not isinstance(stream, MemoryStream):
        pytest.skip("a real server's window lasts two minutes; the memory stream can let it pass")
    log, subject = EventLog(stream, pause=0.001), new_subject()
    first = await log.append(append(subject, 0, "a"))
    stream.forget_ids()
    assert await log.append(append(subject, 0, "a")) == first
    assert await contents(log, subject) == ["a"]


@pytest.mark.parametrize("names", [["a"], ["a", "b"]], ids=["one", "a batch"])
async def test_what_belongs_in_another_stream_is_written_in_neither(
    log: EventLog, new_subject: NewSubject, names: list[str]
) -> None:
    """An event that is restricted cannot come into LOG by mistake, nor the other way round."""
    prefix, _, rest = new_subject().partition(".")
    (other,) = {*PREFIXES.values()} - {prefix}
    before = (await log.stream.state()).last
    with pytest.raises(Unavailable) as refused:
        await log.append(append(f"{other}.{rest}", 0, *names))
    assert refused.value.reason == "LOG_REFUSED"
    assert (await log.stream.state()).last == before
    await log.append(append(new_subject(), 0, "sound"))


def test_subjects_say_in_which_stream_they_lie() -> None:
    """All of the same, or it is a mistake."""
    assert stream_of("log.performance.team.*", "log.performance.employee.e-1") == LOG
    assert stream_of("restricted.performance.>") == LOG_RESTRICTED
    for mistaken in (("log.>", "restricted.>"), ("events.>",), ()):
        with pytest.raises(ValueError, match="no one stream"):
            stream_of(*mistaken)
