"""The short form of the fault runs, and the negative controls of what judges them."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from libs.cli.embedded import Embedded
from libs.cli.nats_server import NatsServer
from libs.common.jetstream import JetStreamStream, connect
from libs.common.settings import Settings
from stepladder.coaching.v1.events_pb2 import PlanProposed
from stepladder.common.v1.envelope_pb2 import Envelope
from tests.faults.checker import Evidence, broken_log, violations
from tests.faults.competing import not_once, run_competitions
from tests.faults.load import LEAST_READINGS
from tests.faults.network import can_be_made
from tests.faults.proxy import LossyProxy
from tests.faults.storm import CountingProcess, Storm, run_storm
from tests.servers import running_nats

SEED = 20260101


def _without_a_fact(evidence: Evidence) -> Evidence:
    key = next(iter(evidence.acknowledged))
    kept = [stored for stored in evidence.log if not (key[0] in stored.subject and key[1].encode() in stored.payload)]
    assert len(kept) == len(evidence.log) - 1
    return replace(evidence, log=kept)


def _with_a_doubled_event(evidence: Evidence) -> Evidence:
    return replace(evidence, log=[*evidence.log, evidence.log[-1]])


def _with_a_plan_twice(evidence: Evidence) -> Evidence:
    name = PlanProposed.DESCRIPTOR.full_name
    plan = next(stored for stored in evidence.log if Envelope.FromString(stored.payload).type == name)
    return replace(evidence, log=[*evidence.log, replace(plan, subject=plan.subject + "2")])


def _with_a_wrong_row(evidence: Evidence) -> Evidence:
    key, (numbers, position) = next(iter(evidence.rows.items()))
    return replace(evidence, rows={**evidence.rows, key: ((numbers[0] + 1, numbers[1]), position)})


def _with_a_missing_row(evidence: Evidence) -> Evidence:
    return replace(evidence, rows=dict(list(evidence.rows.items())[1:]))


def _with_an_event_counted_twice(evidence: Evidence) -> Evidence:
    subject, count = next(iter(evidence.counts.items()))
    return replace(evidence, counts={**evidence.counts, subject: count + 1})


def _with_a_read_of_something_else(evidence: Evidence) -> Evidence:
    return replace(evidence, misread=["e-1 on 2001-01-01 at 7 reads as []"])


def _with_events_in_another_order(evidence: Evidence) -> Evidence:
    """Two of one aggregate have changed places."""
    repeated = next(s for s, count in Counter(one.subject for one in evidence.log).items() if count > 1)
    first, second = [place for place, one in enumerate(evidence.log) if one.subject == repeated][:2]
    log = list(evidence.log)
    log[first], log[second] = log[second], log[first]
    return replace(evidence, log=log)


def _with_an_event_followed_too_late(evidence: Evidence) -> Evidence:
    return replace(evidence, disordered=[evidence.log[0].subject])


def _with_a_row_that_no_rebuild_makes(evidence: Evidence) -> Evidence:
    return replace(evidence, rebuilt={"performance results": 1})


PLANTED: dict[Callable[[Evidence], Evidence], str] = {
    _without_a_fact: "acknowledged, but not so in the log",
    _with_a_doubled_event: "is there 2 times",
    _with_a_plan_twice: "plan for the detection",
    _with_a_wrong_row: "the rows differ",
    _with_a_missing_row: "the rows differ",
    _with_an_event_counted_twice: "not applied once each",
    _with_a_read_of_something_else: "misread",
    _with_events_in_another_order: "the chain of hashes is broken",
    _with_an_event_followed_too_late: "out of order",
    _with_a_row_that_no_rebuild_makes: "1 rows differ from a rebuild",
}


@pytest.mark.timeout(600)  # longer than all the waits of a storm together: these say what they waited for
def test_a_storm_breaks_no_promise(tmp_path: Path) -> None:
    """Whatever was killed: all acknowledged is in the log once, rows are a fold of it, a detection has one plan.

    The negative controls: in what the storm left behind, each planted fault is named. One test, so one storm.
    """
    aftermath, _ = asyncio.run(run_storm(tmp_path / "storm", SEED, kills=8, calm_seconds=(0.2, 0.9)))
    assert len(aftermath.acknowledged) >= LEAST_READINGS
    assert aftermath.plan_rows
    assert violations(aftermath) == []
    for plant, wanted in PLANTED.items():
        assert any(wanted in line for line in violations(plant(aftermath))), plant.__name__


@pytest.mark.timeout(600)
def test_a_storm_over_a_competition(tmp_path: Path) -> None:
    """Whatever was killed: what was acknowledged is there once, the order is as reckoned, a correction tells of what it
    touches, once. The negative controls: an event that is lost, and one that is there twice, are named.
    """
    aftermath, field, _ = asyncio.run(run_competitions(tmp_path / "storm", SEED, kills=5, calm_seconds=(0.2, 0.9)))
    assert field.wrong == []
    assert not_once(field.wanted, aftermath) == []
    assert broken_log(aftermath) == []
    assert {name for _, name in field.wanted} >= {"CandidacyDrifted", "CandidacyNotSelected", "SeatsReleased"}
    drift = next(one for one in aftermath.log if Envelope.FromString(one.payload).type.endswith("CandidacyDrifted"))
    lost = replace(aftermath, log=[one for one in aftermath.log if one is not drift])
    assert any("there 0 times, should be 1" in line for line in not_once(field.wanted, lost))
    doubled = replace(aftermath, log=[*aftermath.log, drift])
    assert any("there 2 times, should be 1" in line for line in not_once(field.wanted, doubled))


async def test_a_wait_that_gives_up_says_what_is_missing(tmp_path: Path) -> None:
    """And who has ended, if that is why: nobody starts it again."""
    ended = CountingProcess("nats://127.0.0.1:9", tmp_path / "counts.db", "too", "many", "arguments")
    storm = Storm(Embedded(tmp_path, Settings(), {}), "", Random(SEED), print, LossyProxy(9, SEED, 1.0))

    async def missing() -> str:
        return "2 of 3 events are counted"

    with pytest.raises(AssertionError, match=r"^after 0 s, 2 of 3 events are counted$"):
        await storm.until_none(missing, 0)
    storm.system.servers["counting"] = ended
    ended.start()
    with pytest.raises(AssertionError, match=r"^2 of 3 events are counted; counting has ended: Traceback"):
        await storm.until_none(missing, 60)


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with running_nats(tmp_path, 1) as servers:
        yield servers[0]


async def _publish(server: NatsServer, events: int) -> None:
    client = await connect(server.url, "publisher")
    stream = client.jetstream()
    payload = Envelope(type="stepladder.common.v1.CommandNoted", schema_version=1).SerializeToString()
    for number in range(events):
        await stream.publish(f"log.test.thing.{number % 7}", payload)
    await client.close()


async def test_what_was_lost_last_comes_again(nats: NatsServer) -> None:
    """The line breaks while an entry is on its way and none comes after it: the consumer is there still, and silent."""
    async with LossyProxy(nats.port, SEED, 0.01).running() as proxy:
        client = await connect(f"nats://127.0.0.1:{proxy.port}", "test")
        await _publish(nats, 1)
        async with JetStreamStream(client).feed(["log.>"], 0) as feed:
            assert [entry.position for entry in await feed.next(10, 10)] == [1]
            proxy.calm = False
            while not proxy.lost:
                await asyncio.sleep(0.001)
            proxy.calm = True
            await _publish(nats, 1)
            async with asyncio.timeout(20):
                while not (entries := await feed.next(10, 1)):
                    pass
            assert [entry.position for entry in entries] == [2]
        await client.close()


def _wait_for(condition: Callable[[], bool], *, every: float = 0.05) -> None:
    deadline = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(every)


def _ask(database: Path, query: str, *, change: bool = False) -> Any:
    """The first value that a query answers; None when the tables are not there yet."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode={'rw' if change else 'ro'}", uri=True)) as connection:
            row = connection.execute(query).fetchone()
            connection.commit()
    except sqlite3.OperationalError:
        return None
    return row[0] if row else None


def _total(database: Path) -> int:
    return _ask(database, "SELECT sum(events) FROM counts") or 0


def _has_counted(database: Path, events: int) -> bool:
    return _total(database) >= events


@pytest.mark.parametrize(("arguments", "once_each"), [((), True), (("careless",), False)])
def test_only_a_runner_without_a_position_counts_twice(
    nats: NatsServer, tmp_path: Path, arguments: tuple[str, ...], once_each: bool
) -> None:
    """Killed again and again, a follower counts each event once; one that acknowledges without a position does not."""
    database = tmp_path / "counts.db"
    process = CountingProcess(nats.url, database, *arguments)
    events = 400
    asyncio.run(_publish(nats, events))
    reached = 0
    try:
        for _ in range(8):
            process.start()
            # Killed the moment a commit shows, before whatever was to follow it.
            _wait_for(partial(_has_counted, database, min(reached + 1, events)), every=0.0002)
            process.kill()
            reached = _total(database)
        process.start()
        _wait_for(partial(_has_counted, database, events))
        time.sleep(1.5)  # long enough for a redelivery
    finally:
        process.stop()
    assert (_total(database) == events) is once_each


@pytest.mark.timeout(120)
def test_a_runner_frozen_while_another_took_over_commits_nothing(nats: NatsServer, tmp_path: Path) -> None:
    """A process stopped by SIGSTOP loses its lease; woken after another has taken over, it is fenced off."""
    database = tmp_path / "counts.db"
    first, second = (CountingProcess(nats.url, database, name) for name in ("first", "second"))
    with _woken_after_a_takeover(nats, database, first, second):
        _wait_for(lambda: "follower_fenced" in first.log.read_text())
        asyncio.run(_publish(nats, 20))
        _wait_for(lambda: _total(database) >= 120)
        assert _total(database) == 120
        assert _ask(database, "SELECT sum(disordered) FROM counts") == 0
        assert _ask(database, "SELECT owner FROM followers") == "second"


@pytest.mark.timeout(120)
def test_a_runner_that_is_not_fenced_off_is_found_out(nats: NatsServer, tmp_path: Path) -> None:
    """The negative control: what it had read before it was frozen is counted once more, behind what came later."""
    database = tmp_path / "counts.db"
    first, second = (
        CountingProcess(nats.url, database, "first", "unfenced"),
        CountingProcess(nats.url, database, "second"),
    )
    with _woken_after_a_takeover(nats, database, first, second):
        _wait_for(lambda: _total(database) > 100)
        assert _ask(database, "SELECT sum(disordered) FROM counts") > 0


@contextmanager
def _woken_after_a_takeover(
    nats: NatsServer, database: Path, first: CountingProcess, second: CountingProcess
) -> Iterator[None]:
    """The first has counted 50 events when it is frozen, the second another 50 when it wakes up."""
    asyncio.run(_publish(nats, 50))
    first.start()
    try:
        _wait_for(lambda: _total(database) == 50)
        assert first.process is not None
        os.kill(first.process.pid, signal.SIGSTOP)
        asyncio.run(_publish(nats, 50))  # what the first would apply when it wakes
        # The owner is made to look silent for longer than a lease, which saves the wait.
        _ask(database, "UPDATE followers SET beat_time = '2001-01-01 00:00:00.000000'", change=True)
        second.start()
        _wait_for(lambda: _total(database) == 100)
        os.kill(first.process.pid, signal.SIGCONT)
        yield
    finally:
        first.stop()
        second.stop()


NEEDS_ROOT = pytest.mark.skipif(
    not can_be_made(), reason="makes a network and disks of its own, which takes Linux and root"
)


@NEEDS_ROOT
@pytest.mark.timeout(600)
def test_faults_of_a_cluster_break_no_promise() -> None:
    """Three nodes with accounts: the table says nothing lost, doubled, out of order, wrong or stuck, and how hard."""
    printed = _run("tests.faults", "--only", "any-of-them", "--kills", "100", "--seed", str(SEED))
    (row,) = [line.split() for line in printed.splitlines() if line.startswith("any-of-them  ")]
    _, faults, _, acknowledged, *broken, _, _ = row
    assert faults == "2"
    assert int(acknowledged) > 0
    assert broken == ["0"] * 5


@NEEDS_ROOT
@pytest.mark.parametrize(("interval", "all_there"), [("always", True), ("2m", False)])
def test_only_what_was_synced_outlasts_a_power_cut(interval: str, all_there: bool) -> None:
    """What the log must be set to, and the negative control: what nats-server does unless told otherwise."""
    assert (_run("tests.faults.power", interval).strip().endswith(" acknowledged, 0 lost")) is all_there


def _run(module: str, *arguments: str) -> str:
    """What a run in a place of its own prints."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout
