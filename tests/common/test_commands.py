"""Commands: decided, appended and answered once and for ever, whatever the log and other processes do meanwhile."""

import asyncio
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from random import Random

import hypothesis
import pytest
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.commands import TRIES, Commands, Handled
from libs.common.envelope import ERASED, Codec, chain_start, event_types
from libs.common.errors import AlreadyExists, Conflict, Invalid, LogCorrupted, NotAllowed, NotFound, Unavailable
from libs.common.eventsourcing import Context, Recorded
from libs.common.keys import METADATA as KEYS
from libs.common.keys import DataKeys, KeyErased, SqlDataKeys
from libs.common.log import EventLog
from libs.common.memory_stream import MemoryStream
from libs.common.streams import Append, NoAnswer, Rejected, Stored
from libs.facts.team import State
from services.performance.employee import EMPLOYEE
from services.performance.facts import FACTS
from services.performance.team import TEAM
from stepladder.common.v1.envelope_pb2 import CommandNoted, Envelope
from stepladder.performance.v1 import events_pb2
from stepladder.performance.v1.directory_pb2 import (
    AppointTeamLeadRequest,
    CreateTeamRequest,
    Employee,
    HireEmployeeRequest,
    Team,
    TransferEmployeeRequest,
    UpdateEmployeeRequest,
    UpdateTeamRequest,
)
from stepladder.performance.v1.events_pb2 import TeamCreated, TeamRenamed
from stepladder.performance.v1.facts_pb2 import Fact, Reading, RecordFactsRequest

NOON = datetime(2026, 3, 16, 12, tzinfo=UTC)
NAME = "Wilhelmine Zauberhaft"
TYPES = event_types([events_pb2.DESCRIPTOR])


@pytest.fixture(params=["1", "3", "lossy-1", "lossy-3"])
def stream(request: pytest.FixtureRequest) -> MemoryStream:
    """An empty log, on one node and on three, answering always and often not."""
    lost_acks = 0.4 if "lossy" in request.param else 0.0
    return MemoryStream(NOON, replicas=int(request.param[-1]), lost_acks=lost_acks, seed=11)


@pytest.fixture
async def keys(engine: AsyncEngine) -> SqlDataKeys:
    async with engine.begin() as transaction:
        await transaction.run_sync(KEYS.create_all)
    return SqlDataKeys(engine, b"k" * 32)


class NoKeys:
    """For events without personal fields."""

    async def get_or_create(self, employee_id: str) -> bytes:
        raise AssertionError("nothing personal is written here")

    async def get(self, employee_id: str) -> bytes | None:
        raise AssertionError("nothing personal is read here")

    async def gone(self, employee_ids: Collection[str]) -> frozenset[str]:
        return frozenset(employee_ids)


def process(stream: MemoryStream, keys: DataKeys | None = None) -> Commands:
    """What a service has that was just started."""
    return Commands([EventLog(stream, pause=0.001, patience=2.0)], Codec(TYPES, keys or NoKeys()))


def by(request_id: str = "", *, etag: str = "", minutes: int = 0) -> Context:
    now = NOON + timedelta(minutes=minutes)
    return Context(now=now, today=now.date(), actor="user:u-1", request_id=request_id, etag=etag)


def create(name: str = "Blue", team_id: str = "t-1") -> CreateTeamRequest:
    return CreateTeamRequest(team=Team(team_id=team_id, display_name=name))


def rename(name: str) -> UpdateTeamRequest:
    return UpdateTeamRequest(team=Team(team_id="t-1", display_name=name))


def appoint(lead_id: str) -> AppointTeamLeadRequest:
    return AppointTeamLeadRequest(team_id="t-1", lead_id=lead_id, effective_date="2026-01-01")


def hire(name: str = NAME) -> HireEmployeeRequest:
    return HireEmployeeRequest(
        employee=Employee(employee_id="e-1", display_name=name, hire_date="2026-01-05", team_id="t-1")
    )


async def logged(stream: MemoryStream, subject: str = "log.performance.team.t-1") -> list[Recorded]:
    """Every event of an aggregate, as the leader has them."""
    codec = Codec(TYPES, NoKeys())
    return [await codec.decode(stored) for stored in await stream.read_from_leader(subject)]


async def names(stream: MemoryStream) -> list[str]:
    """The team's names, one after another."""
    return [getattr(one.event, "display_name", "") for one in await logged(stream)]


async def test_a_command_is_decided_and_appended(stream: MemoryStream) -> None:
    """What came of a command is answered: the state before and after it, and the position to read it at."""
    commands = process(stream)
    created = await commands.handle(TEAM, "t-1", create(), by("r-1"))
    renamed = await commands.handle(TEAM, "t-1", rename("Red"), by("r-2"))
    assert (created.before.team_id, created.state.display_name) == ("", "Blue")
    assert (renamed.before, renamed.state.display_name) == (created.state, "Red")
    assert [one.position for one in await logged(stream)] == [created.position, renamed.position]
    assert await commands.load(TEAM, "t-1") == await process(stream).load(TEAM, "t-1")


async def test_events_say_who_gave_the_command_when_and_why(stream: MemoryStream) -> None:
    """The envelope keeps the context of the command."""
    context = replace(by("r-1"), actor="policy:p", cause="e.0", traceparent="00-1-2-01")
    await process(stream).handle(TEAM, "t-1", create(), context)
    (recorded,) = await logged(stream)
    envelope = recorded.envelope
    assert (envelope.actor, envelope.cause, envelope.traceparent) == ("policy:p", "e.0", "00-1-2-01")
    assert envelope.time.ToDatetime(UTC) == NOON
    assert envelope.event_id == f"{envelope.command_id}.0"


@pytest.mark.parametrize("by_whom", ["the same process", "a restarted process", "another process"])
@pytest.mark.parametrize("window", ["within the window", "after the window"])
async def test_a_repeated_request_answers_the_same_for_ever(stream: MemoryStream, by_whom: str, window: str) -> None:
    """Also after later changes, by a process that knows nothing of it, and when the server has forgotten its ids."""
    first, other = process(stream), process(stream)
    await other.handle(TEAM, "t-2", create(team_id="t-2"), by("r-1"))  # of another team
    said = [(create(), by("r-1")), (rename("Red"), by("r-2")), (appoint("e-9"), by("r-3")), (rename("Gold"), by("r-4"))]
    answers = [await first.handle(TEAM, "t-1", command, context) for command, context in said]
    before = await logged(stream)
    if window == "after the window":
        stream.forget_ids()
    again = {"the same process": first, "another process": other}.get(by_whom) or process(stream)
    for (command, context), answer in zip(said, answers, strict=True):
        later = replace(context, now=context.now + timedelta(days=400))
        assert await again.handle(TEAM, "t-1", command, later) == answer
    assert await logged(stream) == before


async def test_a_request_id_is_the_callers_own(stream: MemoryStream) -> None:
    """The same of another caller is another request: it is decided by itself, and tells nothing of the first."""
    commands = process(stream)
    await commands.handle(TEAM, "t-1", create("Blue"), by("r-0"))
    hers, his = by("r-1"), replace(by("r-1"), actor="user:u-2")
    red = await commands.handle(TEAM, "t-1", rename("Red"), hers)
    gold = await commands.handle(TEAM, "t-1", rename("Gold"), his)
    for one in (commands, process(stream)):
        assert await one.handle(TEAM, "t-1", rename("Red"), hers) == red
        assert await one.handle(TEAM, "t-1", rename("Gold"), his) == gold
    third = await commands.handle(TEAM, "t-1", rename("Red"), replace(hers, actor="user:u-3"))
    assert (third.state.display_name, third.events) == ("Red", 1)
    assert await names(stream) == ["Blue", "Red", "Gold", "Red"]


async def test_a_repetition_is_what_the_caller_sends_again(stream: MemoryStream) -> None:
    """Whatever was found meanwhile and goes with it; other content is another request, whatever goes with it."""
    sent, other = CreateTeamRequest(request_id="r-2"), CreateTeamRequest()
    commands = process(stream)
    await commands.handle(TEAM, "t-1", create("Blue"), by("r-1"))
    red = await commands.handle(TEAM, "t-1", rename("Red"), replace(by("r-2"), request=sent))
    for one in (commands, process(stream)):
        assert await one.handle(TEAM, "t-1", rename("Gold"), replace(by("r-2"), request=sent)) == red
        with pytest.raises(Invalid, match="used for a different request"):
            await one.handle(TEAM, "t-1", rename("Gold"), replace(by("r-2"), request=other))


async def test_what_was_given_before_ids_told_callers_apart_is_still_repeated(stream: MemoryStream) -> None:
    """By the same caller, for ever; of another caller it is another request there, too."""
    codec, subject, command = Codec(TYPES, NoKeys()), TEAM.subject("t-1"), create("Blue")
    encoded = await codec.encode(
        subject,
        [TeamCreated(team_id="t-1", display_name="Blue")],
        command_id=hashlib.sha256(f"{subject}\nr-1".encode()).hexdigest()[:32],
        command_digest=hashlib.sha256(
            b"stepladder.performance.v1.CreateTeamRequest\n" + command.SerializeToString(deterministic=True)
        ).digest()[:16],
        context=by("r-1"),
        previous_hash=chain_start(subject),
    )
    position = await EventLog(stream, pause=0.001).append(Append(subject, 0, encoded.entries))
    await process(stream).handle(TEAM, "t-1", rename("Red"), by("r-2"))
    again = await process(stream).handle(TEAM, "t-1", command, by("r-1"))
    assert (again.position, again.state.display_name) == (position, "Blue")
    with pytest.raises(Invalid, match="used for a different request"):
        await process(stream).handle(TEAM, "t-1", rename("Gold"), by("r-1"))
    other = await process(stream).handle(TEAM, "t-1", rename("Gold"), replace(by("r-1"), actor="user:u-2"))
    assert (other.position, other.state.display_name) == ((await logged(stream))[-1].position, "Gold")


async def test_a_repeated_request_that_changed_nothing_does_not_act_later(stream: MemoryStream) -> None:
    """A late repetition of a command that found nothing to do does not undo what happened since."""
    commands = process(stream)
    await commands.handle(TEAM, "t-1", create("Blue"), by("r-1"))
    noted = await commands.handle(TEAM, "t-1", rename("Blue"), by("r-2"))
    assert isinstance((await logged(stream))[-1].event, CommandNoted)
    await commands.handle(TEAM, "t-1", rename("Red"), by("r-3"))
    for one in (commands, process(stream)):
        assert await one.handle(TEAM, "t-1", rename("Blue"), by("r-2", minutes=9)) == noted
    assert (await commands.load(TEAM, "t-1")).state.display_name == "Red"
    assert await names(stream) == ["Blue", "", "Red"]


async def test_nothing_is_kept_of_what_changed_nothing_and_cannot_be_repeated(stream: MemoryStream) -> None:
    """Without a request id, or for an aggregate that does not exist, a command without events leaves no trace."""
    commands = process(stream)
    created = await commands.handle(TEAM, "t-1", create("Blue"), by("r-1"))
    assert await commands.handle(TEAM, "t-1", rename("Blue"), by()) == Handled(
        created.state, created.position, created.state
    )
    nothing = await commands.handle(FACTS, "e-1_2026-03", RecordFactsRequest(), by("r-2"))
    assert nothing.position == 0
    assert (await stream.state()).last == 1


async def test_the_same_without_a_request_id_is_said_twice(stream: MemoryStream) -> None:
    """Without a request id, the same words at another time are another command."""
    commands = process(stream)
    await commands.handle(TEAM, "t-1", create("Blue"), by())
    for minute, name in enumerate(["Red", "Blue", "Red"]):
        await commands.handle(TEAM, "t-1", rename(name), by(minutes=minute))
    assert await names(stream) == ["Blue", "Red", "Blue", "Red"]


@pytest.mark.parametrize("command", [rename("Gold"), appoint("e-1"), create()])
async def test_a_request_id_is_not_used_twice(
    stream: MemoryStream, command: UpdateTeamRequest | AppointTeamLeadRequest | CreateTeamRequest
) -> None:
    """Other content under a known id is refused, by whatever process, and changes nothing."""
    commands = process(stream)
    await commands.handle(TEAM, "t-1", create("Blue"), by("r-1"))
    await commands.handle(TEAM, "t-1", rename("Red"), by("r-2"))
    for one in (commands, process(stream)):
        with pytest.raises(Invalid) as refused:
            await one.handle(TEAM, "t-1", command, by("r-2", minutes=1))
        assert refused.value.reason == "REQUEST_ID_REUSED"
    assert await names(stream) == ["Blue", "Red"]


async def test_another_process_with_an_old_copy_finds_a_request_id_reused(stream: MemoryStream) -> None:
    """What another process was told under the same id is found in the log, not taken for one's own."""
    one, two = process(stream), process(stream)
    await one.handle(TEAM, "t-1", create("Blue"), by("r-1"))
    await two.load(TEAM, "t-1")
    await one.handle(TEAM, "t-1", rename("Red"), by("r-2"))
    with pytest.raises(Invalid, match="used for a different request"):
        await two.handle(TEAM, "t-1", rename("Gold"), by("r-2"))
    assert (await two.load(TEAM, "t-1")).state.display_name == "Red"


async def test_a_repetition_at_another_process_does_not_break_the_chain(stream: MemoryStream) -> None:
    """A process with an old copy that is given a request again goes on from what the first one wrote."""
    one, two = process(stream), process(stream)
    await one.handle(TEAM, "t-1", create("Blue"), by("r-1"))
    await two.load(TEAM, "t-1")
    answer = await one.handle(TEAM, "t-1", rename("Red"), by("r-2"))
    assert await two.handle(TEAM, "t-1", rename("Red"), by("r-2", minutes=1)) == answer
    await two.handle(TEAM, "t-1", rename("Gold"), by("r-3", minutes=2))
    assert (await process(stream).load(TEAM, "t-1")).state.display_name == "Gold"


async def test_a_request_repeated_after_the_log_was_away_does_not_break_the_chain() -> None:
    """An append that was answered UNAVAILABLE may have been written; the same request again finds out."""

    class Away(MemoryStream):
        """Writes, then goes away before anybody hears of it."""

        async def publish(self, batch: Sequence[Append]) -> int:
            position = await super().publish(batch)
            self.away = position == 2
            return await super().publish(batch) if self.away else position

    stream = Away(NOON)
    commands = Commands([EventLog(stream, patience=0.01, pause=0.001)], Codec(TYPES, NoKeys()))
    await commands.handle(TEAM, "t-1", create("Blue"), by("r-1"))
    with pytest.raises(Unavailable):
        await commands.handle(TEAM, "t-1", rename("Red"), by("r-2"))
    stream.away = False
    answer = await commands.handle(TEAM, "t-1", rename("Red"), by("r-2", minutes=1))
    assert (answer.position, answer.state.display_name) == (2, "Red")
    await commands.handle(TEAM, "t-1", rename("Gold"), by("r-3", minutes=2))
    assert (await process(stream).load(TEAM, "t-1")).state.display_name == "Gold"


async def test_a_stale_etag_is_refused(stream: MemoryStream) -> None:
    """A command on a version that is no longer the latest is refused; on the latest it is accepted."""
    commands = process(stream)
    created = await commands.handle(TEAM, "t-1", create("Blue"), by("r-1"))
    await commands.handle(TEAM, "t-1", rename("Red"), by("r-2", etag=str(created.position)))
    for one in (commands, process(stream)):
        with pytest.raises(Conflict) as refused:
            await one.handle(TEAM, "t-1", rename("Gold"), by("r-3", etag=str(created.position)))
        assert refused.value.reason == "ETAG_MISMATCH"
    assert await names(stream) == ["Blue", "Red"]


async def test_what_changes_nothing_moves_no_etag(stream: MemoryStream) -> None:
    """Whoever has seen the aggregate before a request that changed nothing has still seen it."""
    commands = process(stream)
    seen = await commands.handle(TEAM, "t-1", create("Blue"), by("r-1"))
    same = await commands.handle(TEAM, "t-1", rename("Blue"), by("r-2"))
    assert (same.position, same.events) == (seen.position, 0)
    for again in (commands, process(stream)):
        assert (await again.handle(TEAM, "t-1", rename("Blue"), by("r-2"))).position == seen.position
        assert (await again.load(TEAM, "t-1")).position == seen.position
    assert (await commands.handle(TEAM, "t-1", rename("Red"), by("r-3", etag=str(seen.position)))).events == 1


async def test_a_repeated_request_is_answered_whatever_its_etag(stream: MemoryStream) -> None:
    """A request's own etag is stale once it was accepted: repeated, it gets its answer all the same."""
    commands = process(stream)
    created = await commands.handle(TEAM, "t-1", create("Blue"), by("r-1"))
    context = by("r-2", etag=str(created.position))
    renamed = await commands.handle(TEAM, "t-1", rename("Red"), context)
    for one in (commands, process(stream)):
        assert await one.handle(TEAM, "t-1", rename("Red"), context) == renamed


async def test_a_refused_request_may_be_given_again(stream: MemoryStream) -> None:
    """A refusal leaves nothing: the same request is looked at anew."""
    commands = process(stream)
    with pytest.raises(NotFound):
        await commands.handle(TEAM, "t-1", rename("Red"), by("r-1"))
    await commands.handle(TEAM, "t-1", create("Blue"), by("r-2"))
    assert (await commands.handle(TEAM, "t-1", rename("Red"), by("r-1"))).state.display_name == "Red"


async def test_processes_that_write_to_the_same_aggregate_all_succeed(stream: MemoryStream) -> None:
    """Who was overtaken decides again on what is there now."""
    one, two = process(stream), process(stream)
    await one.handle(TEAM, "t-1", create("Blue"), by("r-0"))
    for number in range(10):
        await asyncio.gather(
            one.handle(TEAM, "t-1", rename(f"Red {number}"), by(f"one-{number}")),
            two.handle(TEAM, "t-1", appoint(f"e-{number}"), by(f"two-{number}")),
        )
    assert len(await logged(stream)) == 21
    assert await one.load(TEAM, "t-1") == await two.load(TEAM, "t-1") == await process(stream).load(TEAM, "t-1")


async def test_a_stale_copy_is_found_out_and_decided_on_again(stream: MemoryStream) -> None:
    """A command that others have made needless in the meantime changes nothing."""
    one, two = process(stream), process(stream)
    await one.handle(TEAM, "t-1", create("Blue"), by("r-1"))
    await two.load(TEAM, "t-1")
    await one.handle(TEAM, "t-1", appoint("e-1"), by("r-2"))
    handled = await two.handle(TEAM, "t-1", appoint("e-1"), by("r-3"))
    assert handled.before == handled.state
    assert [type(one.event).__name__ for one in await logged(stream)] == [
        "TeamCreated",
        "TeamLeadAppointed",
        "CommandNoted",
    ]


async def test_nothing_is_refused_on_a_stale_copy(stream: MemoryStream) -> None:
    """A copy that lags behind is no reason to refuse: what the leader has is looked at first."""
    one, two = process(stream), process(stream)
    with pytest.raises(NotFound):
        await two.handle(TEAM, "t-1", rename("Red"), by("r-0"))
    created = await one.handle(TEAM, "t-1", create("Blue"), by("r-1"))
    assert (await two.handle(TEAM, "t-1", rename("Red"), by("r-2"))).before == created.state
    renamed = await one.handle(TEAM, "t-1", rename("Gold"), by("r-3"))
    handled = await two.handle(TEAM, "t-1", rename("Grey"), by("r-4", etag=str(renamed.position)))
    assert handled.before == renamed.state


async def test_nothing_is_called_unchanged_on_a_stale_copy(stream: MemoryStream) -> None:
    """A command without a request id that would change nothing of an old copy may change what is there now."""
    one, two = process(stream), process(stream)
    await one.handle(TEAM, "t-1", create("Blue"), by("r-1"))
    await two.load(TEAM, "t-1")
    await one.handle(TEAM, "t-1", rename("Red"), by("r-2"))
    assert (await two.handle(TEAM, "t-1", rename("Blue"), by(minutes=1))).before.display_name == "Red"
    assert await names(stream) == ["Blue", "Red", "Blue"]


async def test_what_is_known_follows_what_others_write(stream: MemoryStream) -> None:
    """Reads for lists notice what other processes wrote, be it new or changed."""
    one, two = process(stream), process(stream)
    assert await two.known(TEAM, ["t-1"]) == {}
    created = await one.handle(TEAM, "t-1", create("Blue"), by("r-1"))
    await one.handle(TEAM, "t-2", create("Other", "t-2"), by("r-1"))  # moves a lagging replica past the first
    await one.handle(TEAM, "t-2", rename("Again"), by("r-2"))
    assert (await two.known(TEAM, ["t-1"]))["t-1"].state == created.state
    renamed = await one.handle(TEAM, "t-1", rename("Red"), by("r-2"))
    await one.handle(TEAM, "t-2", rename("Once more"), by("r-3"))
    assert (await two.known(TEAM, ["t-1"]))["t-1"].state == renamed.state


@pytest.mark.parametrize("latest", [True, False])
async def test_what_is_known_may_be_asked_of_the_leader(*, latest: bool) -> None:
    """Then it misses nothing; a replica does, now and then."""
    stream = MemoryStream(NOON, replicas=3, seed=11)
    one, two = process(stream), process(stream)
    await one.handle(TEAM, "t-1", create("Blue"), by("r-0"))
    missed = 0
    for number in range(20):
        renamed = await one.handle(TEAM, "t-1", rename(f"Red {number}"), by(f"r-{number + 1}"))
        missed += (await two.known(TEAM, ["t-1", "t-2"], latest=latest))["t-1"].state != renamed.state
    assert (missed == 0) == latest


async def test_what_is_known_comes_in_the_order_asked(stream: MemoryStream) -> None:
    """Whatever lies in memory already, the answer has the order of the question, without those that are not there."""
    commands = process(stream)
    for number in range(4):
        await commands.handle(TEAM, f"t-{number}", create(team_id=f"t-{number}"), by("r-1"))
    stream.replicas = 1  # nothing lags any more
    fresh = process(stream)
    await fresh.load(TEAM, "t-3")
    assert list(await fresh.known(TEAM, ["t-0", "none", "t-1", "t-2", "t-3"])) == ["t-0", "t-1", "t-2", "t-3"]


async def test_loading_is_never_behind(stream: MemoryStream) -> None:
    """A process with an old copy loads what others have just been acknowledged."""
    one, two = process(stream), process(stream)
    await one.handle(TEAM, "t-1", create("Blue"), by("r-0"))
    for number in range(5):
        renamed = await one.handle(TEAM, "t-1", rename(f"Red {number}"), by(f"r-{number + 1}"))
        assert (await two.load(TEAM, "t-1")).position == renamed.position


@dataclass
class Rivalled(MemoryStream):
    """Before each of the next `intrusions` appends of one process, another one writes to the same aggregate."""

    intrusions: int = 0

    def __init__(self, replicas: int) -> None:
        super().__init__(NOON, replicas=replicas)
        self._intruding = False
        self._rival = process(self)

    async def publish(self, batch: Sequence[Append]) -> int:
        if self.intrusions and not self._intruding:
            self.intrusions -= 1
            self._intruding = True
            await self._rival.handle(TEAM, "t-1", appoint(f"rival-{self.intrusions}"), by())
            self._intruding = False
        return await super().publish(batch)


@pytest.mark.parametrize("replicas", [1, 3])
async def test_who_is_overtaken_a_few_times_succeeds(replicas: int) -> None:
    """A command survives others that are faster, one time less often than it is tried."""
    stream = Rivalled(replicas)
    commands = process(stream)
    await commands.handle(TEAM, "t-1", create("Blue"), by("r-1"))
    stream.intrusions = TRIES - 1
    assert (await commands.handle(TEAM, "t-1", rename("Red"), by("r-2"))).state.display_name == "Red"
    assert [type(one.event).__name__ for one in await logged(stream)] == [
        "TeamCreated",
        *["TeamLeadAppointed"] * (TRIES - 1),
        "TeamRenamed",
    ]


@pytest.mark.parametrize("replicas", [1, 3])
async def test_who_is_overtaken_every_time_is_told_so(replicas: int) -> None:
    """After some tries a command ends as a conflict, has changed nothing, and may be given again."""
    stream = Rivalled(replicas)
    commands = process(stream)
    await commands.handle(TEAM, "t-1", create("Blue"), by("r-1"))
    stream.intrusions = 1000
    with pytest.raises(Conflict) as refused:
        await commands.handle(TEAM, "t-1", rename("Red"), by("r-2"))
    assert refused.value.reason == "TOO_MUCH_CONTENTION"
    assert "Red" not in await names(stream)
    stream.intrusions = 0
    assert (await commands.handle(TEAM, "t-1", rename("Red"), by("r-2"))).state.display_name == "Red"


async def test_of_many_commands_each_stands_for_itself(stream: MemoryStream) -> None:
    """Some are accepted and some refused; the answers come in the order of the commands."""
    commands = process(stream)
    await commands.handle(TEAM, "t-2", create("Taken", "t-2"), by("r-1"))
    outcomes = await commands.handle_all(
        TEAM, [(f"t-{number}", create("Blue", f"t-{number}")) for number in (3, 2, 1)], by("r-2")
    )
    third, second, first = outcomes
    assert isinstance(third, Handled)
    assert isinstance(second, AlreadyExists)
    assert isinstance(first, Handled)
    assert (third.state.team_id, first.state.team_id) == ("t-3", "t-1")
    again = await commands.handle_all(TEAM, [("t-1", create("Blue", "t-1")), ("t-4", create("Blue", "t-4"))], by("r-2"))
    assert again[0] == first
    assert isinstance(again[1], Handled)
    assert (await stream.state()).last == 4


async def test_of_many_commands_only_the_overtaken_are_decided_again(stream: MemoryStream) -> None:
    """One stale copy among many does not hinder the others, and none is written twice."""
    one, two = process(stream), process(stream)
    ids = [f"t-{number}" for number in range(8)]
    await one.handle_all(TEAM, [(team_id, create("Blue", team_id)) for team_id in ids], by("r-1"))
    for team_id in ids:
        await two.load(TEAM, team_id)
    await one.handle(TEAM, "t-5", rename("Red"), by("r-2"))
    outcomes = await two.handle_all(TEAM, [(team_id, appoint("e-1")) for team_id in ids], by("r-3"))
    assert [outcome.state.display_name for outcome in outcomes if isinstance(outcome, Handled)] == [
        *["Blue"] * 5,
        "Red",
        *["Blue"] * 2,
    ]
    assert (await stream.state()).last == 8 + 1 + 8


async def test_an_aggregate_is_named_once(stream: MemoryStream) -> None:
    """Two commands for one aggregate are two requests."""
    with pytest.raises(ValueError, match="named twice"):
        await process(stream).handle_all(TEAM, [("t-1", create()), ("t-1", rename("Red"))], by("r-1"))


@pytest.mark.parametrize("aggregate_id", ["", "a.b", "a.>", "*", ">", "a b", "A", "ä", "a\n", "a" * 151, "a\x00"])
async def test_an_id_that_is_no_id_is_refused(stream: MemoryStream, aggregate_id: str) -> None:
    """Nothing that means something in a subject gets into one."""
    with pytest.raises(Invalid) as refused:
        await process(stream).handle(TEAM, aggregate_id, create(), by("r-1"))
    assert refused.value.reason == "ID_INVALID"
    assert (await stream.state()).last == 0


def fact(day: str, number: int, source: str = "calls") -> Fact:
    readings = [Reading(kpi_id="calls", numerators=[number])]
    return Fact(employee_id="e-1", date=day, source=source, readings=readings)


def record(*numbers: int) -> RecordFactsRequest:
    """Facts of the days 1, 2, ... with these numbers."""
    return RecordFactsRequest(facts=[fact(f"2026-03-{day:02}", number) for day, number in enumerate(numbers, 1)])


async def test_by_content_the_same_id_with_other_content_is_another_command(stream: MemoryStream) -> None:
    """Facts sent again are the same command, facts added are another one, each answered for ever."""
    commands = process(stream)
    told = [record(5), record(5, 6), record(5, 6, 7)]

    async def tell(one: Commands, command: RecordFactsRequest) -> object:
        (outcome,) = await one.handle_all(FACTS, [("e-1_2026-03", command)], by("import-1"), by_content=True)
        return outcome

    answers = [await tell(commands, command) for command in told]
    events = [recorded.event for recorded in await logged(stream, "log.performance.facts.e-1_2026-03")]
    assert [getattr(event, "fact").date for event in events] == ["2026-03-01", "2026-03-02", "2026-03-03"]  # noqa: B009
    for one in (commands, process(stream)):
        assert [await tell(one, command) for command in told] == answers
    assert len(await logged(stream, "log.performance.facts.e-1_2026-03")) == 3


async def test_of_many_commands_none_is_written_when_one_can_never_be(stream: MemoryStream) -> None:
    """A refusal of the whole request leaves nothing of it in the log."""
    commands = process(stream)
    huge = RecordFactsRequest(facts=[fact(f"2026-03-{day:02}", 7, f"s-{n}") for day in (1, 2) for n in range(501)])
    with pytest.raises(Invalid) as refused:
        await commands.handle_all(FACTS, [("e-1_2026-03", record(5)), ("e-2_2026-03", huge)], by("import-1"))
    assert refused.value.reason == "TOO_MANY_EVENTS"
    assert (await stream.state()).last == 0


class Leaderless(MemoryStream):
    """Loses its leader just after a write: until there is another one, the servers refuse to read for anybody."""

    refusals = 0

    async def publish(self, batch: Sequence[Append]) -> int:
        await super().publish(batch)
        self.refusals = 3
        raise NoAnswer

    async def read_from_leader(self, subject: str, after: int = 0) -> list[Stored]:
        if self.refusals:
            self.refusals -= 1
            raise Rejected(10008, "JetStream system temporarily unavailable")
        return await super().read_from_leader(subject, after)


async def test_a_command_waits_for_the_next_leader() -> None:
    """When the look at what lies in the log is refused, it is repeated; nobody waits for ever."""
    stream = Leaderless(NOON)
    async with asyncio.timeout(2):
        assert (await process(stream).handle(TEAM, "t-1", create(), by("r-1"))).position == 1


class OutOfSpace(MemoryStream):
    """Stores one event of a batch and has no room for the others, as nats-server 2.15.1 does at its limit."""

    async def publish(self, batch: Sequence[Append]) -> int:
        if batch[0].expected == self._last(batch[0].subject):
            await super().publish([replace(batch[0], entries=batch[0].entries[:1])])
            raise NoAnswer
        raise Rejected(10023, "insufficient resources")


async def test_a_command_that_is_stored_in_part_is_not_acknowledged() -> None:
    """The caller hears in time that it may be given again."""
    stream = OutOfSpace(NOON)
    commands = Commands([EventLog(stream, patience=0.05, pause=0.001)], Codec(TYPES, NoKeys()))
    async with asyncio.timeout(2):
        with pytest.raises(Unavailable):
            await commands.handle(FACTS, "e-1_2026-03", record(5, 6, 7), by("import-1"))


async def filled(stream: MemoryStream) -> str:
    """A team with four events; answers its subject."""
    commands = process(stream)
    await commands.handle(TEAM, "t-1", create("Blue"), by("r-1"))
    for number in range(3):
        await commands.handle(TEAM, "t-1", rename(f"Red {number}"), by(f"r-{number + 2}"))
    return TEAM.subject("t-1")


async def test_histories_tell_every_event_with_its_envelope(stream: MemoryStream) -> None:
    """By subject, what changed nothing too; of what does not exist, none. A position tells whose its event is."""
    commands, subject = process(stream), await filled(stream)
    await commands.handle(TEAM, "t-1", rename("Red 2"), by("r-5"))
    nobody = TEAM.subject("t-9")
    found = await process(stream).histories([subject, nobody])
    assert found == {subject: await logged(stream), nobody: []}
    assert [type(one.event) for one in found[subject]][-2:] == [TeamRenamed, CommandNoted]
    last = found[subject][-1].position
    assert await commands.subjects_at(stream.name, [last, last + 1]) == {last: subject}


@pytest.mark.parametrize("index", [0, 1, 2])
async def test_a_history_is_told_only_if_it_is_whole(stream: MemoryStream, index: int) -> None:
    """Whatever is missing or changed in it, but for its end, is found out."""
    subject = await filled(stream)
    whole = list(stream._by_subject[subject])
    forged = Envelope.FromString(whole[index].payload)
    forged.actor = "user:somebody-else"
    changed = replace(whole[index], payload=forged.SerializeToString(deterministic=True))
    for broken in ([], [changed]):
        stream._by_subject[subject] = [*whole[:index], *broken, *whole[index + 1 :]]
        with pytest.raises(LogCorrupted, match="missing or was changed"):
            await process(stream).histories([subject])


@pytest.mark.parametrize("index", [0, 1, 2])
async def test_a_changed_event_is_found_out(stream: MemoryStream, index: int) -> None:
    """Whoever changes a stored event that others follow is found out when the aggregate is loaded."""
    entries = stream._by_subject[await filled(stream)]
    forged = Envelope.FromString(entries[index].payload)
    forged.actor = "user:somebody-else"
    entries[index] = replace(entries[index], payload=forged.SerializeToString(deterministic=True))
    with pytest.raises(LogCorrupted, match="missing or was changed"):
        await process(stream).load(TEAM, "t-1")
    with pytest.raises(LogCorrupted):
        await process(stream).handle(TEAM, "t-1", rename("Gold"), by("r-9"))


@pytest.mark.parametrize("index", [0, 1, 2])
async def test_a_missing_event_is_found_out(stream: MemoryStream, index: int) -> None:
    """An aggregate with a hole is not read as if there were none."""
    del stream._by_subject[await filled(stream)][index]
    with pytest.raises(LogCorrupted):
        await process(stream).load(TEAM, "t-1")


async def test_events_of_another_aggregate_are_found_out(stream: MemoryStream) -> None:
    """The first event is chained to its subject: a history cannot be passed off as somebody else's."""
    stream._by_subject["log.performance.team.t-2"] = stream._by_subject[await filled(stream)]
    with pytest.raises(LogCorrupted):
        await process(stream).load(TEAM, "t-2")


async def test_bytes_that_are_no_event_are_found_out(stream: MemoryStream) -> None:
    """An undecodable payload is a corrupted log, not a crash of its own."""
    entries = stream._by_subject[await filled(stream)]
    entries[-1] = replace(entries[-1], payload=b"\xff\xff")
    with pytest.raises(LogCorrupted, match="not an event"):
        await process(stream).load(TEAM, "t-1")


def clear_text(stored: Sequence[Stored]) -> str:
    return b"".join(one.payload for one in stored).decode("latin-1")


async def test_personal_fields_are_never_stored_in_clear(keys: SqlDataKeys) -> None:
    """No payload holds a name, and whoever has the key reads it."""
    stream = MemoryStream(NOON)
    commands = process(stream, keys)
    await commands.handle(EMPLOYEE, "e-1", hire(), by("r-1"))
    married = UpdateEmployeeRequest(employee=Employee(employee_id="e-1", display_name="Wilhelmine Wunderlich"))
    await commands.handle(EMPLOYEE, "e-1", married, by("r-2"))
    stored = clear_text(stream._entries)
    assert len(stream._entries) == 2
    for part in ("Wilhelmine", "Zauberhaft", "Wunderlich"):
        assert part not in stored
    assert "e-1" in stored  # the id must not tell who it is, and may
    loaded = (await process(stream, keys).load(EMPLOYEE, "e-1")).state
    assert (loaded.hired.display_name, loaded.display_name) == (NAME, "Wilhelmine Wunderlich")


async def test_erasing_the_key_erases_the_person(engine: AsyncEngine, keys: SqlDataKeys) -> None:
    """Names read as erased, everything else stays, and the chain holds over what is stored."""
    stream = MemoryStream(NOON)
    commands = process(stream, keys)
    hired = await commands.handle(EMPLOYEE, "e-1", hire(), by("r-1"))
    await keys.erase("e-1")
    fresh = process(stream, SqlDataKeys(engine, b"k" * 32))
    state = (await fresh.load(EMPLOYEE, "e-1")).state
    assert state.display_name == state.hired.display_name == ERASED
    assert (state.employee_id, state.hired.hire_date) == ("e-1", "2026-01-05")
    transfer = TransferEmployeeRequest(employee_id="e-1", team_id="t-2", effective_date="2026-03-01")
    await fresh.handle(EMPLOYEE, "e-1", transfer, by("r-2"))
    assert (await process(stream, keys).load(EMPLOYEE, "e-1")).state.team_on(NOON.date()) == "t-2"
    repeated = await fresh.handle(EMPLOYEE, "e-1", hire(), by("r-1"))
    assert (repeated.position, repeated.state.display_name) == (hired.position, ERASED)


async def test_who_is_erased_is_forgotten_by_processes_that_run(keys: SqlDataKeys) -> None:
    """Copies in memory are dropped, of what was written as of what was read, and however they are asked for."""
    stream = MemoryStream(NOON)
    wrote, read = process(stream, keys), process(stream, keys)
    await wrote.handle(EMPLOYEE, "e-1", hire(), by("r-1"))
    for commands in (wrote, read):
        assert (await commands.load(EMPLOYEE, "e-1")).state.display_name == NAME
    await keys.erase("e-1")
    for commands in (wrote, read):
        assert (await commands.known(EMPLOYEE, ["e-1"], check=False))["e-1"].state.display_name == ERASED
        assert (await commands.known(EMPLOYEE, ["e-1"]))["e-1"].state.display_name == ERASED
        assert (await commands.load(EMPLOYEE, "e-1")).state.display_name == ERASED
    transfer = TransferEmployeeRequest(employee_id="e-1", team_id="t-2", effective_date="2026-03-01")
    moved = await wrote.handle(EMPLOYEE, "e-1", transfer, by("r-2"))
    assert (moved.state.display_name, moved.state.team_on(NOON.date())) == (ERASED, "t-2")


async def test_a_policy_that_says_it_differently_repeats_itself(stream: MemoryStream) -> None:
    """What a policy has answered to an event stays, whatever a later version of its code would answer."""
    reaction = replace(by("policy:p:event-1"), cause="event-1")
    first = await process(stream).handle(TEAM, "t-1", create("Blue"), reaction)
    again = await process(stream).handle(TEAM, "t-1", create("Red"), reaction)
    assert (again.position, again.state.display_name) == (first.position, "Blue")


async def test_what_was_erased_cannot_be_guessed(keys: SqlDataKeys) -> None:
    """Nothing in the log can be computed from a name: the same command lies there differently each time."""
    # given
    envelopes: list[Envelope] = []
    for request_id in ("r-1", "r-1", "", ""):
        stream = MemoryStream(NOON)
        await process(stream, keys).handle(EMPLOYEE, "e-1", hire(), by(request_id))
        envelopes.append(Envelope.FromString(stream._entries[0].payload))
        # when, then: a repetition is still told from another command
        if request_id:
            await process(stream, keys).handle(EMPLOYEE, "e-1", hire(), by(request_id))
            with pytest.raises(Invalid, match="different request"):
                await process(stream, keys).handle(EMPLOYEE, "e-1", hire("Somebody Else"), by(request_id))
            # nor does a command that changed nothing, or nothing personal, tell what it said
            await process(stream, keys).handle(EMPLOYEE, "e-1", hire(), by("again"))
            transfer = TransferEmployeeRequest(employee_id="e-1", team_id="t-2", effective_date="2026-03-01")
            await process(stream, keys).handle(EMPLOYEE, "e-1", transfer, by("r-3"))
            envelopes += [Envelope.FromString(entry.payload) for entry in stream._entries[1:]]
            with pytest.raises(Invalid, match="different request"):
                await process(stream, keys).handle(EMPLOYEE, "e-1", hire("Somebody Else"), by("again"))
    # then
    first, noted, transferred, second, _, _, third, fourth = envelopes
    assert noted.type.endswith("CommandNoted")
    assert transferred.personal.command_digest
    assert not any(envelope.command_digest for envelope in envelopes)
    assert first.personal.command_digest != second.personal.command_digest
    assert third.command_id != fourth.command_id


async def test_who_is_erased_can_still_be_moved_but_not_named(keys: SqlDataKeys) -> None:
    """One refused command leaves the others of its request alone."""
    stream = MemoryStream(NOON)
    await process(stream, keys).handle(EMPLOYEE, "e-1", hire(), by("r-1"))
    await keys.erase("e-1")
    rename_ = UpdateEmployeeRequest(employee=Employee(employee_id="e-1", display_name="Somebody"))
    other = HireEmployeeRequest(employee=Employee(employee_id="e-2", display_name="Else", hire_date="2026-01-05"))
    refused, hired = await process(stream, keys).handle_all(EMPLOYEE, [("e-1", rename_), ("e-2", other)], by("r-2"))
    assert isinstance(refused, KeyErased)
    assert isinstance(hired, Handled)
    transfer = TransferEmployeeRequest(employee_id="e-1", team_id="t-2", effective_date="2026-03-01")
    moved = await process(stream, keys).handle(EMPLOYEE, "e-1", transfer, by("r-3"))
    assert (await process(stream, keys).handle(EMPLOYEE, "e-1", transfer, by("r-3"))).position == moved.position
    assert not Envelope.FromString(stream._entries[-1].payload).command_digest


async def test_nothing_personal_is_added_once_a_person_is_erased(keys: SqlDataKeys) -> None:
    """The refusal says so, and leaves the log as it was."""
    stream = MemoryStream(NOON)
    await process(stream, keys).handle(EMPLOYEE, "e-1", hire(), by("r-1"))
    await keys.erase("e-1")
    renamed = UpdateEmployeeRequest(employee=Employee(employee_id="e-1", display_name="Again"))
    with pytest.raises(NotAllowed) as refused:
        await process(stream, keys).handle(EMPLOYEE, "e-1", renamed, by("r-2"))
    assert refused.value.reason == "PERSONAL_DATA_ERASED"
    assert len(stream._entries) == 1


async def test_sealed_fields_cannot_be_moved_to_another_event(keys: SqlDataKeys) -> None:
    """A ciphertext belongs to its event: exchanged for another one of the same person, it is found out."""
    stream = MemoryStream(NOON)
    commands = process(stream, keys)
    await commands.handle(EMPLOYEE, "e-1", hire(), by("r-1"))
    renamed = UpdateEmployeeRequest(employee=Employee(employee_id="e-1", display_name="Other"))
    await commands.handle(EMPLOYEE, "e-1", renamed, by("r-2"))
    entries = stream._by_subject[EMPLOYEE.subject("e-1")]
    first, second = (Envelope.FromString(entry.payload) for entry in entries)
    second.personal.CopyFrom(first.personal)
    entries[1] = replace(entries[1], payload=second.SerializeToString(deterministic=True))
    with pytest.raises(LogCorrupted, match="sealed"):
        await process(stream, keys).load(EMPLOYEE, "e-1")


class Shuffled(MemoryStream):
    """Answers after a random number of turns of the loop, so that whoever shares it meets in every order."""

    def __init__(self, chance: Random, replicas: int, lost_acks: float) -> None:
        super().__init__(NOON, replicas=replicas, lost_acks=lost_acks, seed=chance.randrange(10**6))
        self._chance = chance

    async def _wait(self) -> None:
        for _ in range(self._chance.randrange(4)):
            await asyncio.sleep(0)

    async def publish(self, batch: Sequence[Append]) -> int:
        await self._wait()
        try:
            return await super().publish(batch)
        finally:
            await self._wait()

    async def read(self, subject: str, after: int = 0) -> list[Stored]:
        await self._wait()
        return await super().read(subject, after)

    async def read_from_leader(self, subject: str, after: int = 0) -> list[Stored]:
        await self._wait()
        return await super().read_from_leader(subject, after)


Said = tuple[UpdateTeamRequest | AppointTeamLeadRequest, str]
"""A command and its request id; empty for none."""

said = st.tuples(
    st.one_of(
        st.builds(rename, st.sampled_from(["Red", "Gold", "Blue"])), st.builds(appoint, st.sampled_from(["e-1", "e-2"]))
    ),
    st.sampled_from(["", "r-1", "r-2", "r-3", "r-4"]),
)
rounds = st.lists(st.lists(st.tuples(st.integers(0, 1), said), min_size=1, max_size=4), min_size=1, max_size=6)
"""Commands, each with the process it goes to; those of one round are given at the same time."""


@dataclass
class Acknowledged:
    """What callers were answered."""

    results: list[tuple[Said, Handled[State]]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    minutes: int = 0

    async def give(self, commands: Commands, one: Said) -> None:
        command, request_id = one
        self.minutes += 1
        try:
            self.results.append(
                (one, await commands.handle(TEAM, "t-1", command, by(request_id, minutes=self.minutes)))
            )
        except (Invalid, Conflict) as refused:
            self.refused.add(refused.reason)


@hypothesis.settings(derandomize=True, database=None, deadline=None, max_examples=150)
@hypothesis.given(
    rounds, st.integers(0, 2**32), st.sampled_from([1, 3]), st.sampled_from([0.0, 0.3, 0.7]), st.booleans()
)
def test_whatever_happens_every_acknowledged_command_is_in_the_log_once(
    given: list[list[tuple[int, Said]]], seed: int, replicas: int, lost_acks: float, forgetful: bool
) -> None:
    """Two processes, commands at the same time, lost acks, forgotten ids: the log's fold is what callers were told."""

    async def run() -> None:
        stream = Shuffled(Random(seed), replicas, lost_acks)
        processes = [process(stream), process(stream)]
        created = await processes[0].handle(TEAM, "t-1", create("Blue"), by("r-0"))
        heard = Acknowledged()
        for together in given:
            await asyncio.gather(*(heard.give(processes[number], one) for number, one in together))
            if forgetful:
                stream.forget_ids()
        assert heard.refused <= {"REQUEST_ID_REUSED", "TOO_MUCH_CONTENTION"}
        await check(stream, created, heard.results)

    asyncio.run(run())


async def check(stream: MemoryStream, created: Handled[State], results: Sequence[tuple[Said, Handled[State]]]) -> None:
    """The log is chained, holds each command once, and folds to what each caller was told."""
    loaded = await process(stream).load(TEAM, "t-1")  # checks the chain
    recorded = await logged(stream)
    command_ids = [command_id for command_id, _ in groupby(one.envelope.command_id for one in recorded)]
    assert len(set(command_ids)) == len(command_ids)
    state, states = TEAM.initial, {0: TEAM.initial}
    for one in recorded:
        if not isinstance(one.event, CommandNoted):
            states[one.position] = state = TEAM.evolve(state, one.event)
    positions = list(states)
    assert (loaded.position, loaded.state) == (positions[-1], state)
    previous = dict(zip(positions[1:], positions, strict=False))
    for _, answer in results:
        assert answer.state == states[answer.position]
        assert answer.before == (states[previous[answer.position]] if answer.events else answer.state)
    # One event each, and a note of each request that changed nothing: nothing lies there that nobody asked for.
    assert {answer.position for _, answer in results if answer.events} | {created.position} == set(positions[1:])
    noted = {request_id for (_, request_id), answer in results if request_id and not answer.events}
    assert sum(isinstance(one.event, CommandNoted) for one in recorded) == len(noted)
    for request_id in {request_id for (_, request_id), _ in results} - {""}:
        assert len({(answer.position, str(command)) for (command, id_), answer in results if id_ == request_id}) == 1
