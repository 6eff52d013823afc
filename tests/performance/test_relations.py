"""What a caller is to an employee, by what the directory says of a day."""

from datetime import UTC, date, datetime

import pytest

from libs.common.commands import Commands
from libs.common.envelope import Codec, event_types
from libs.common.errors import Unavailable
from libs.common.eventsourcing import Context
from libs.common.log import EventLog
from libs.common.memory_stream import MemoryStream
from libs.facts import employee, team
from libs.facts.reaching import Caller, caller_to_team, callers_to
from libs.facts.relations import Directory, Relation, relations, relations_to_team
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_CONFIRMED, EMPLOYMENT_STATUS_LEFT
from stepladder.performance.v1.events_pb2 import EmployeeHired
from tests.common.test_commands import NoKeys

SELF, LEAD, MANAGER, HR, QA, EXECUTIVE = Relation
FIRST, MOVE, AFTER = date(2026, 1, 1), date(2026, 3, 1), date(2026, 6, 1)
"""On MOVE, the agent goes to the other team, the team changes its lead, and HR's person leaves."""


def person(
    employee_id: str, *teams: tuple[date, str], family: str = "voice", left: date | None = None
) -> employee.State:
    ended = ((left, EMPLOYMENT_STATUS_LEFT),) if left else ()
    return employee.State(
        employee_id=employee_id,
        hired=EmployeeHired(employee_id=employee_id, job_family=family),
        teams=teams,
        statuses=((teams[0][0], EMPLOYMENT_STATUS_CONFIRMED), *ended),
    )


DIRECTORY = Directory(
    {
        one.employee_id: one
        for one in (
            person("agent", (FIRST, "voice"), (MOVE, "chat")),
            person("mate", (FIRST, "voice")),
            person("lead", (FIRST, "leads")),
            person("own", (FIRST, "chat")),
            person("new", (FIRST, "leads")),
            person("manager", (FIRST, "board")),
            person("chair", (FIRST, "board")),
            person("hr", (FIRST, "board"), family="hr", left=MOVE),
            person("qa", (FIRST, "board"), family="qa"),
            person("head", (FIRST, "board"), family="executive"),
        )
    },
    {
        "voice": team.State("voice", leads=((FIRST, "lead"), (MOVE, "new"))),
        "chat": team.State("chat", leads=((FIRST, "own"),)),
        "leads": team.State("leads", leads=((FIRST, "manager"),)),
        "board": team.State("board", leads=((FIRST, "chair"),)),
    },
)


@pytest.mark.parametrize(
    ("caller", "subject", "before", "after"),
    [
        ("agent", "agent", {SELF}, {SELF}),
        ("lead", "agent", {LEAD}, set()),
        ("own", "agent", set(), {LEAD}),  # who leads the team that the agent has come to
        ("manager", "agent", {MANAGER}, set()),  # the other team's lead is a member of their own team
        ("chair", "agent", set(), set()),
        ("mate", "agent", set(), set()),
        ("lead", "mate", {LEAD}, set()),
        ("new", "mate", set(), {LEAD}),
        ("manager", "mate", {MANAGER}, {MANAGER}),
        ("agent", "lead", set(), set()),
        ("manager", "lead", {LEAD}, {LEAD}),
        ("chair", "lead", {MANAGER}, {MANAGER}),
        ("own", "own", {SELF}, {SELF}),  # nobody leads themself
        ("chair", "chair", {SELF}, {SELF}),
        ("hr", "agent", {HR}, set()),
        ("hr", "hr", {SELF, HR}, {SELF}),
        ("qa", "agent", {QA}, {QA}),
        ("head", "agent", {EXECUTIVE}, {EXECUTIVE}),
        ("hr", "nobody", {HR}, set()),
        ("nobody", "nobody", set(), set()),
        ("", "agent", set(), set()),
    ],
)
def test_relations_hold_on_a_day(caller: str, subject: str, before: set[Relation], after: set[Relation]) -> None:
    """Who moved away is nothing to their lead of before, and who has left is nothing to anybody."""
    assert relations(DIRECTORY, caller, subject, MOVE.replace(day=1, month=2)) == before
    assert relations(DIRECTORY, caller, subject, AFTER) == after


def test_nobody_is_anything_to_whom_is_not_hired_yet() -> None:
    """Nor before they are hired themselves."""
    assert relations(DIRECTORY, "lead", "agent", date(2025, 12, 31)) == set()
    assert relations(DIRECTORY, "hr", "agent", date(2025, 12, 31)) == set()


def test_who_left_is_led_by_nobody() -> None:
    """The lead of their last team has no business with them any more; HR has, and they themselves."""
    gone = person("gone", (FIRST, "voice"), left=MOVE)
    directory = Directory({**DIRECTORY.employees, "gone": gone}, DIRECTORY.teams)
    assert relations(directory, "new", "gone", AFTER) == set()
    assert relations(directory, "manager", "gone", AFTER) == set()
    assert relations(directory, "gone", "gone", AFTER) == {SELF}


def test_a_lead_who_has_left_leads_nobody() -> None:
    """Even while nobody is appointed in their place."""
    gone = person("own", (FIRST, "chat"), left=MOVE)
    directory = Directory({**DIRECTORY.employees, "own": gone}, DIRECTORY.teams)
    assert relations(directory, "own", "agent", AFTER) == set()


def test_relations_to_a_team() -> None:
    """What they are to its members; to a team that does not exist only what they are to everybody."""
    assert relations_to_team(DIRECTORY, "manager", "voice", FIRST) == {MANAGER}
    assert relations_to_team(DIRECTORY, "lead", "voice", FIRST) == {LEAD}
    assert relations_to_team(DIRECTORY, "agent", "voice", FIRST) == set()
    assert relations_to_team(DIRECTORY, "lead", "none", FIRST) == set()
    assert relations_to_team(DIRECTORY, "hr", "none", FIRST) == {HR}


async def test_a_system_is_nothing_to_anybody() -> None:
    """The directory is not asked for that: not even the log has to be there, as it has for a person."""
    now = datetime(2026, 3, 1, tzinfo=UTC)
    stream = MemoryStream(now)
    stream.away = True
    commands = Commands([EventLog(stream, pause=0.001, patience=0.01)], Codec(event_types([]), NoKeys()))
    system, person = (Context(now=now, today=now.date(), actor=actor) for actor in ("system:acd", "user:lead"))
    nobody = Caller("", frozenset())
    assert await callers_to(commands, system, ["agent", ""]) == {"agent": nobody, "": nobody}
    assert await caller_to_team(commands, system, "voice") == nobody
    with pytest.raises(Unavailable):
        await callers_to(commands, person, ["agent"])
