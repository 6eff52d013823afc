"""What stops between two writes ends by itself: the clock takes back what the first took, and the second is late."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from grpc import StatusCode

from libs.common.commands import Commands
from libs.common.eventsourcing import Aggregate
from libs.common.rebuilding import rebuild
from services.promotion.candidacy import CANDIDACY
from services.promotion.career import CAREER
from services.promotion.competition import COMPETITION
from stepladder.promotion.v1 import competition_pb2 as pb
from stepladder.promotion.v1.candidacy_pb2 import Candidacy, WithdrawCandidacyRequest
from stepladder.promotion.v1.career_pb2 import BeginActingRequest, Career, DecideAppointmentRequest, Held
from tests.refusals import refused
from tests.services.competing import Competing, competing
from tests.services.test_appointing_rightly import on_the_list, reserved
from tests.services.test_check_ins import by
from tests.services.test_competitions import Contest, founded
from tests.services.world import World, caught_up, until

NOT_NOW = StatusCode.FAILED_PRECONDITION


@pytest.fixture
async def contest(world: World) -> Contest:
    return await founded(world)


@pytest.fixture
async def people(world: World) -> Competing:
    return await competing(world)


class Slow:
    """A write that comes when it is let go, or never."""

    def __init__(self) -> None:
        self.reached, self.go = asyncio.Event(), asyncio.Event()
        self.crashes = False


@contextmanager
def before(aggregate: Aggregate[Any], patch: pytest.MonkeyPatch, *, by_hand: bool = False) -> Iterator[Slow]:
    """The process stops, or waits, before the first thing that is said to aggregates of a kind by a caller."""
    slow, handle = Slow(), Commands.handle

    async def late(self: Commands, kind: Any, name: str, command: Any, context: Any) -> Any:
        if kind is aggregate and context.actor.startswith("user:"):
            if not by_hand:
                raise RuntimeError("the process ends here")
            slow.reached.set()
            await slow.go.wait()
        return await handle(self, kind, name, command, context)

    with patch.context() as inner:
        inner.setattr(Commands, "handle", late)
        yield slow


def later(world: World, **time: int) -> None:
    world.clock[0] += timedelta(**time)


async def test_seats_of_a_competition_that_was_never_opened(contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are free after an hour; the id is used up, and there is no such competition."""
    with before(COMPETITION, monkeypatch):
        await refused(contest.opened(), StatusCode.INTERNAL, "INTERNAL")
    assert (await contest.vacancies()).claimed == 1
    later(contest.world, minutes=59)
    await contest.settled()
    assert (await contest.vacancies()).claimed == 1
    later(contest.world, minutes=2)
    free = await until(contest.vacancies, lambda found: found.claimed == 0)
    assert free.vacant == 2
    message = (await refused(contest.opened(), NOT_NOW, "COMPETITION_FORGONE")).message
    assert "another id" in message
    assert (await contest.vacancies()).claimed == 0
    await refused(contest.get(), StatusCode.NOT_FOUND, "COMPETITION_NOT_FOUND")
    apply = contest.apply(contest.agents[0])
    await refused(apply, StatusCode.NOT_FOUND, "COMPETITION_NOT_FOUND")
    await refused(contest.close(cancelled=True), StatusCode.NOT_FOUND, "COMPETITION_NOT_FOUND")
    listed = await contest.say(pb.ListCompetitionsRequest(at_least=await contest.world.end()))
    assert not listed.competitions
    assert (await contest.opened("c-2", seats=2)).state == pb.Competition.STATE_OPEN


async def test_said_again_within_the_hour(contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is opened, and keeps its seats."""
    with before(COMPETITION, monkeypatch):
        await refused(contest.opened(), StatusCode.INTERNAL, "INTERNAL")
    later(contest.world, minutes=30)
    await contest.opened()
    later(contest.world, hours=2)
    await contest.settled()
    (clock,) = (one for one in contest.world.services["promotion"].followers if one.handler.name == "unfinished")

    async def deadlines() -> int:
        return (await clock.standing()).deadlines

    await until(deadlines, lambda left: left == 0)
    assert (await contest.vacancies()).claimed == 1
    assert (await contest.get()).state == pb.Competition.STATE_OPEN
    assert [step async for step in rebuild(clock)][-1].changed_rows == 0


async def test_opened_too_late(contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that hung for longer than an hour finds the seats gone, and opens nothing without them."""
    with before(COMPETITION, monkeypatch, by_hand=True) as slow:
        call = asyncio.create_task(contest.opened())
        await slow.reached.wait()
        later(contest.world, hours=1)
        await until(contest.vacancies, lambda found: found.claimed == 0)
        slow.go.set()
        await refused(call, NOT_NOW, "COMPETITION_FORGONE")
    assert (await contest.vacancies()).claimed == 0


def acting(contest: Contest, appointment_id: str = "a-1") -> Callable[[], Any]:
    async def begin() -> Career:
        request = BeginActingRequest(
            employee_id=contest.agents[0],
            appointment_id=appointment_id,
            held=Held(position="senior", team_id=contest.team),
            start_date="2026-03-16",
            until_date="2026-06-30",
            reason="nobody qualifies",
        )
        career: Career = await contest.world.careers.BeginActing(request, metadata=by(contest.hr))
        return career

    return begin


async def test_the_seat_of_an_acting_post_that_never_began(contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is free after an hour; under another id it begins, and keeps its seat."""
    with before(CAREER, monkeypatch):
        await refused(acting(contest)(), StatusCode.INTERNAL, "INTERNAL")
    assert (await contest.vacancies()).acting == 1
    later(contest.world, hours=1)
    await until(contest.vacancies, lambda found: found.acting == 0)
    await refused(acting(contest)(), NOT_NOW, "ACTING_FORGONE")
    assert len((await acting(contest, "a-2")()).appointments) == 1
    later(contest.world, hours=1)
    await contest.settled()
    assert (await contest.vacancies()).acting == 1


async def test_acting_too_late(contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody acts in a seat that was given back."""
    with before(CAREER, monkeypatch, by_hand=True) as slow:
        call = asyncio.create_task(acting(contest)())
        await slow.reached.wait()
        later(contest.world, hours=1)
        await until(contest.vacancies, lambda found: found.acting == 0)
        slow.go.set()
        await refused(call, NOT_NOW, "ACTING_FORGONE")
    await contest.settled()
    assert (await contest.vacancies()).acting == 0


async def test_who_acts_and_was_not_confirmed(contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seat claimed for it is free after an hour; said again, they are confirmed and sit."""
    await acting(contest)()
    confirm = DecideAppointmentRequest(
        employee_id=contest.agents[0],
        appointment_id="a-1",
        confirmed=True,
        effective_date="2026-03-16",
        reason="seen every day",
    )
    with before(CAREER, monkeypatch):
        call = contest.world.careers.DecideAppointment(confirm, metadata=by(contest.hr2))
        await refused(call, StatusCode.INTERNAL, "INTERNAL")
    assert (await contest.vacancies()).claimed == 1
    later(contest.world, hours=1)
    await until(contest.vacancies, lambda found: found.claimed == 0)
    await contest.world.careers.DecideAppointment(confirm, metadata=by(contest.hr2))
    later(contest.world, hours=2)
    await contest.settled()
    found = await contest.vacancies()
    assert (found.occupied, found.claimed, found.acting) == (1, 0, 0)


async def test_confirmed_too_late(contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is confirmed in a seat that was given back, and may be another's by then; said again, they are."""
    await acting(contest)()
    confirm = DecideAppointmentRequest(
        employee_id=contest.agents[0],
        appointment_id="a-1",
        confirmed=True,
        effective_date="2026-03-16",
        reason="seen every day",
    )

    async def decide() -> Career:
        career: Career = await contest.world.careers.DecideAppointment(confirm, metadata=by(contest.hr2))
        return career

    with before(CAREER, monkeypatch, by_hand=True) as slow:
        call = asyncio.create_task(decide())
        await slow.reached.wait()
        later(contest.world, hours=1)
        await until(contest.vacancies, lambda found: found.claimed == 0)
        slow.go.set()
        await refused(call, NOT_NOW, "CONFIRMING_FORGONE")
    await contest.settled()
    assert (await contest.vacancies()).occupied == 0
    await decide()
    await contest.settled()
    assert (await contest.vacancies()).occupied == 1


async def test_an_approval_that_never_came(people: Competing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The employee is free for others after an hour, and can be approved by whoever reads the candidacy again."""
    await on_the_list(people)
    with before(CANDIDACY, monkeypatch):
        await refused(people.approve(), StatusCode.INTERNAL, "INTERNAL")
    assert await reserved(people) == people.key
    etag = (await people.seen()).etag
    later(people.world, minutes=61)
    await until(lambda: reserved(people), lambda found: found == "")
    assert (await people.seen()).state == Candidacy.STATE_LISTED
    assert (await people.seen()).etag != etag
    assert (await people.approve()).state == Candidacy.STATE_APPROVED
    later(people.world, hours=2)
    await caught_up(people.world, "promotion")
    assert await reserved(people) == people.key


async def test_an_approval_that_comes_too_late(people: Competing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is approved whose next appointment may be another's by then."""
    await on_the_list(people)
    with before(CANDIDACY, monkeypatch, by_hand=True) as slow:
        call = asyncio.create_task(people.approve())
        await slow.reached.wait()
        later(people.world, hours=1)
        await until(lambda: reserved(people), lambda found: found == "")
        slow.go.set()
        await refused(call, StatusCode.ABORTED, "ETAG_MISMATCH")
    assert (await people.seen()).state == Candidacy.STATE_LISTED


async def test_twice_an_approval_that_never_came(people: Competing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is given up by itself; who withdraws meanwhile is released with that."""
    await on_the_list(people)
    for _ in range(2):
        with before(CANDIDACY, monkeypatch):
            await refused(people.approve(), StatusCode.INTERNAL, "INTERNAL")
        later(people.world, hours=1)
        await until(lambda: reserved(people), lambda found: found == "")
    with before(CANDIDACY, monkeypatch):
        await refused(people.approve(), StatusCode.INTERNAL, "INTERNAL")
    await people.act(WithdrawCandidacyRequest, people.candidate, reason="moves to Riga")
    await until(lambda: reserved(people), lambda found: found == "")
