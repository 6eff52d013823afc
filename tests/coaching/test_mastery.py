"""A lead's tasks: mastered when done alone and correctly several times in a row, before somebody else's eyes."""

from collections.abc import Sequence
from datetime import date
from random import Random

import pytest
from google.protobuf.message import Message
from hypothesis import strategies as st

from libs.common.errors import AlreadyExists, Invalid, NotAllowed, NotFound
from services.coaching.mastery import MASTERY, State, to_resource
from stepladder.coaching.v1.events_pb2 import MasteryWithdrawn, RepetitionRecorded, TaskMastered
from stepladder.coaching.v1.mastery_pb2 import (
    Mastery,
    RecordRepetition,
    RecordRepetitionRequest,
    WithdrawMasteryRequest,
)
from stepladder.performance.v1.policy_pb2 import CoachingRules
from tests.deciding import Given, given, twice_is_once

LATER = date(2026, 4, 20)
RULES = CoachingRules(
    mastery_repetitions=3,
    lead_tasks=[
        CoachingRules.LeadTask(task_id="plan", display_name="Plans a week"),
        CoachingRules.LeadTask(task_id="listen", display_name="Listens in"),
    ],
)
WITHDRAW = WithdrawMasteryRequest(employee_id="l-1", task_id="plan", reason="had help after all")
WITHDRAWN = MasteryWithdrawn(
    employee_id="l-1",
    task_id="plan",
    reason="had help after all",
    withdrawn_by="user:u-1",
    withdrawn_date="2026-03-16",
)


def seen(
    repetition_id: str,
    day: str = "2026-03-16",
    *,
    task_id: str = "plan",
    alone: bool = True,
    correct: bool = True,
    lead: str = "l-1",
    needed: int = 3,
) -> RecordRepetition:
    request = RecordRepetitionRequest(
        employee_id=lead, repetition_id=repetition_id, task_id=task_id, date=day, alone=alone, correct=correct
    )
    return RecordRepetition(request=request, mastery_repetitions=needed, rules_position=7)


def mastered(day: str) -> TaskMastered:
    return TaskMastered(employee_id="l-1", task_id="plan", mastered_date=day)


def after(*commands: Message, today: date = LATER) -> tuple[Given[State], list[TaskMastered]]:
    """What is given when all of them were accepted, and what was mastered on the way."""
    here, found = given(MASTERY), list[TaskMastered]()
    for command in commands:
        events = here.when(command, today)._decide()
        found += [event for event in events if isinstance(event, TaskMastered)]
        here = here.when(command, today).then(*events)
    return here, found


def task(state: Given[State], task_id: str = "plan") -> Mastery.Task:
    shown = to_resource("l-1", state.state, 9, RULES, 7)
    (found,) = (one for one in shown.tasks if one.task_id == task_id)
    return found


def test_what_is_recorded() -> None:
    """Who saw it, and by which version of the rules it counts. Said again it changes nothing, whatever they say."""
    recorded = RepetitionRecorded(
        employee_id="l-1",
        repetition_id="r-1",
        task_id="plan",
        date="2026-03-16",
        alone=True,
        correct=True,
        observed_by="user:u-1",
        mastery_repetitions=3,
        rules_position=7,
    )
    here = given(MASTERY).when(seen("r-1")).then(recorded)
    here.when(seen("r-1")).then()
    here.when(seen("r-1", needed=0)).then()
    here.when(seen("r-1", correct=False)).refused(AlreadyExists, "REPETITION_EXISTS")


def test_mastered() -> None:
    """With the third in a row, on its day; and only once."""
    here, found = after(seen("r-1", "2026-03-01"), seen("r-2", "2026-03-02"))
    assert (found, task(here).in_a_row, task(here).left) == ([], 2, 1)
    assert here.when(seen("r-3", "2026-03-04"))._decide()[1:] == [mastered("2026-03-04")]
    here, found = after(*(seen(f"r-{n}", f"2026-03-0{n}") for n in range(1, 7)))
    assert found == [mastered("2026-03-03")]
    assert (task(here).left, task(here).mastered_date) == (0, "2026-03-03")


@pytest.mark.parametrize("broken", [{"alone": False}, {"correct": False}])
def test_a_row_that_is_broken(broken: dict[str, bool]) -> None:
    """Help or a mistake begins it anew; other tasks have rows of their own."""
    here, found = after(
        seen("r-1", "2026-03-01"),
        seen("r-2", "2026-03-02"),
        seen("r-3", "2026-03-03", **broken),  # type: ignore[arg-type] # names and values of arguments
        seen("r-4", "2026-03-04"),
        seen("r-5", "2026-03-05", task_id="listen"),
        seen("r-6", "2026-03-06"),
    )
    assert (found, task(here).in_a_row, task(here).left) == ([], 2, 1)
    assert (task(here, "listen").in_a_row, task(here, "listen").left) == (1, 2)
    assert here.when(seen("r-7"))._decide()[1:] == [mastered("2026-03-16")]


def test_told_late() -> None:
    """The row is one of days: what is told late has its place, and may complete the row, or break it."""
    three = [seen("r-1", "2026-03-01"), seen("r-3", "2026-03-03"), seen("r-2", "2026-03-02")]
    assert after(*three)[1] == [mastered("2026-03-03")]
    help_between = seen("r-9", "2026-03-02", alone=False)
    assert after(three[0], three[1], help_between, seen("r-4", "2026-03-04"))[1] == []


def test_a_mastered_task_stays_so() -> None:
    """A mistake afterwards is shown, and takes nothing away."""
    here, _ = after(*(seen(f"r-{n}") for n in range(3)), seen("r-9", correct=False))
    assert (task(here).mastered_date, task(here).in_a_row, task(here).left) == ("2026-03-16", 0, 0)


def test_withdrawn() -> None:
    """With a reason; then the row begins anew: neither what was told before nor what was done before counts."""
    here, _ = after(*(seen(f"r-{n}") for n in range(3)))
    withdrawn = here.when(WITHDRAW).then(WITHDRAWN)
    withdrawn.when(WITHDRAW).then()
    shown = task(withdrawn)
    assert (shown.mastered_date, shown.in_a_row, shown.left) == ("", 0, 3)
    assert (shown.withdrawn_date, shown.withdrawal_reason, shown.withdrawn_by) == (
        *("2026-03-16", "had help after all", "user:u-1"),
    )
    assert len(shown.repetitions) == 3
    for repetition in (seen("r-3"), seen("r-4"), seen("r-old", "2026-03-15")):
        (recorded,) = withdrawn.when(repetition)._decide()
        withdrawn = withdrawn.when(repetition).then(recorded)
    assert task(withdrawn).in_a_row == 2
    assert withdrawn.when(seen("r-5"))._decide()[1:] == [mastered("2026-03-16")]


def test_nothing_to_withdraw() -> None:
    given(MASTERY).when(WITHDRAW).refused(NotAllowed, "NOT_MASTERED")


def test_not_by_the_lead() -> None:
    """`u-1` commands: of themself they record and withdraw nothing."""
    given(MASTERY).when(seen("r-1", lead="u-1")).refused(NotAllowed, "NOT_AN_OBSERVER")
    own = WithdrawMasteryRequest(employee_id="u-1", task_id="plan", reason="no")
    given(MASTERY).when(own).refused(NotAllowed, "NOT_AN_OBSERVER")


def test_wrong_repetitions() -> None:
    """Of a task that the rules do not name; of a day to come, or one of no calendar."""
    given(MASTERY).when(seen("r-1", needed=0)).refused(NotFound, "TASK_NOT_FOUND")
    given(MASTERY).when(seen("r-1", "2026-03-17")).refused(Invalid, "DATE_INVALID")
    given(MASTERY).when(seen("r-1", "2026-02-29")).refused(Invalid, "DATE_INVALID")


def test_what_is_left() -> None:
    """Of every task of the rules, in their order; others that were recorded come behind, and are not counted."""
    here, _ = after(*(seen(f"r-{n}") for n in range(3)), seen("r-9", task_id="gone"))
    shown = to_resource("l-1", here.state, 9, RULES, 7)
    assert [(one.task_id, one.display_name, one.left) for one in shown.tasks] == [
        ("plan", "Plans a week", 0),
        ("listen", "Listens in", 3),
        ("gone", "", 2),
    ]
    assert (shown.left, shown.rules_position, shown.etag) == (1, 7, "9")
    nobody = to_resource("l-2", MASTERY.initial, 0, RULES, 7)
    assert (nobody.left, [one.left for one in nobody.tasks]) == (2, [3, 3])


def test_rules_that_ask_for_less() -> None:
    """A row that is long enough by the new rules is one repetition short of mastery: nothing is mastered unseen."""
    here, _ = after(seen("r-1"), seen("r-2"))
    less = CoachingRules(mastery_repetitions=2, lead_tasks=RULES.lead_tasks)
    assert to_resource("l-1", here.state, 9, less, 8).tasks[0].left == 1
    assert here.when(seen("r-3", needed=2))._decide()[1:] == [mastered("2026-03-16")]


@pytest.mark.parametrize("broken", [{"alone": False}, {"correct": False}])
def test_only_a_correct_repetition_alone_masters(broken: dict[str, bool]) -> None:
    """Rules that ask for less do not let a failed one: it needs a row of its own, on whose day it is mastered."""
    two = [seen("r-1", "2026-03-01"), seen("r-2", "2026-03-02")]
    failed = seen("r-3", "2026-03-03", needed=2, **broken)  # type: ignore[arg-type] # names and values of arguments
    anew = [seen(f"r-{day}", f"2026-03-0{day}", needed=2) for day in (4, 5)]
    assert after(*two, failed, anew[0])[1] == []
    assert after(*two, failed, *anew)[1] == [mastered("2026-03-05")]
    assert after(*two, anew[0])[1] == [mastered("2026-03-04")]
    assert after(*two, seen("r-0", "2026-02-27", needed=2))[1] == [mastered("2026-03-01")]


def rows(told: Sequence[tuple[int, bool]]) -> bool:
    """Whether three in a row by day were good; the first told of a day comes first."""
    by_day = "".join("x" if good else "." for _, good in sorted(told, key=lambda one: one[0]))
    return "xxx" in by_day


@pytest.mark.parametrize("seed", range(50))
def test_against_a_plain_count(seed: int) -> None:
    """A task is mastered exactly when, of what was told at some time, three in a row by day were good."""
    chance = Random(seed)
    told = [(chance.randint(1, 28), chance.random() < 0.7) for _ in range(chance.randint(1, 8))]
    _, found = after(*(seen(f"r-{n}", f"2026-03-{day:02}", correct=good) for n, (day, good) in enumerate(told)))
    assert bool(found) == any(rows(told[:end]) for end in range(1, len(told) + 1))


def test_twice_is_once() -> None:
    """Saying a command again changes nothing."""
    commands = st.one_of(
        st.builds(seen, st.sampled_from(["r-1", "r-2", "r-3", "r-4"]), alone=st.booleans(), needed=st.integers(0, 2)),
        st.just(WITHDRAW),
    )
    twice_is_once(MASTERY, commands)
