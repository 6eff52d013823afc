"""Which tasks of the post a new lead has mastered: done alone, correctly, several times in a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, takewhile
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import parse_day
from libs.common.errors import AlreadyExists, FieldViolation, Invalid, NotAllowed, NotFound
from libs.common.eventsourcing import Aggregate, Context
from stepladder.coaching.v1.events_pb2 import MasteryWithdrawn, RepetitionRecorded, TaskMastered
from stepladder.coaching.v1.mastery_pb2 import Mastery, RecordRepetition, WithdrawMasteryRequest
from stepladder.performance.v1.policy_pb2 import CoachingRules

Command = RecordRepetition | WithdrawMasteryRequest
Event = RepetitionRecorded | TaskMastered | MasteryWithdrawn


@dataclass(frozen=True, slots=True)
class State:
    """Repetitions by id in the order of recording; by task, since when it is mastered, and when that was withdrawn.

    `void` says of a task how many of the repetitions were recorded before mastery of it was withdrawn.
    """

    repetitions: Mapping[str, RepetitionRecorded] = field(default_factory=dict)
    mastered: Mapping[str, TaskMastered] = field(default_factory=dict)
    withdrawn: Mapping[str, MasteryWithdrawn] = field(default_factory=dict)
    void: Mapping[str, int] = field(default_factory=dict)


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case RepetitionRecorded(repetition_id=repetition_id) as recorded:
            return replace(state, repetitions={**state.repetitions, repetition_id: recorded})
        case TaskMastered(task_id=task_id) as mastered:
            return replace(state, mastered={**state.mastered, task_id: mastered})
        case MasteryWithdrawn(task_id=task_id) as withdrawn:
            others = {one: event for one, event in state.mastered.items() if one != task_id}
            return replace(
                state,
                mastered=others,
                withdrawn={**state.withdrawn, task_id: withdrawn},
                void={**state.void, task_id: len(state.repetitions)},
            )
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    match cast(Command, command):
        case RecordRepetition(request=request) as looked_up:
            recorded = RepetitionRecorded(
                employee_id=request.employee_id,
                repetition_id=request.repetition_id,
                task_id=request.task_id,
                date=request.date,
                alone=request.alone,
                correct=request.correct,
                note=request.note,
                observed_by=context.actor,
                mastery_repetitions=looked_up.mastery_repetitions,
                rules_position=looked_up.rules_position,
            )
            if (known := state.repetitions.get(request.repetition_id)) is not None:
                if _seen(known) != _seen(recorded):
                    message = f"repetition {request.repetition_id} says something else already"
                    raise AlreadyExists("REPETITION_EXISTS", message)
                return []
            if not looked_up.mastery_repetitions:
                raise NotFound("TASK_NOT_FOUND", f"the coaching rules in force name no task {request.task_id}")
            _refuse_the_lead(request.employee_id, context)
            if parse_day(request.date, "date") > context.today:
                message = f"{request.date} is still to come"
                raise Invalid("DATE_INVALID", message, (FieldViolation("date", message),))
            return [recorded, *_mastered(evolve(state, recorded), recorded)]
        case WithdrawMasteryRequest(employee_id=employee_id, task_id=task_id, reason=reason):
            _refuse_the_lead(employee_id, context)
            if task_id not in state.mastered:
                if task_id in state.withdrawn and state.withdrawn[task_id].reason == reason:
                    return []
                raise NotAllowed("NOT_MASTERED", f"{employee_id} has not mastered {task_id}")
            return [
                MasteryWithdrawn(
                    employee_id=employee_id,
                    task_id=task_id,
                    reason=reason,
                    withdrawn_by=context.actor,
                    withdrawn_date=context.today.isoformat(),
                )
            ]
        case unknown:
            assert_never(unknown)


MASTERY = Aggregate(name="coaching.mastery", initial=State(), evolve=evolve, decide=decide)


def _seen(one: RepetitionRecorded) -> tuple[str, str, bool, bool, str, str]:
    """What an observer says, by which a repetition of the command is told."""
    return one.task_id, one.date, one.alone, one.correct, one.note, one.observed_by


def _refuse_the_lead(employee_id: str, context: Context) -> None:
    if context.actor == f"user:{employee_id}":
        raise NotAllowed("NOT_AN_OBSERVER", "somebody else has to have seen it")


def counting(state: State, task_id: str) -> list[RepetitionRecorded]:
    """The repetitions of a task that count, by day: none that was done or recorded before mastery was withdrawn."""
    since = state.withdrawn[task_id].withdrawn_date if task_id in state.withdrawn else ""
    later = list(state.repetitions.values())[state.void.get(task_id, 0) :]
    return sorted((one for one in later if one.task_id == task_id and one.date >= since), key=lambda one: one.date)


def _mastered(state: State, recorded: RepetitionRecorded) -> list[TaskMastered]:
    """That a task is mastered now, unless it was before: when the repetition lies in a row of good ones long enough.

    It is mastered on the day by which the row was that long, and held the repetition.
    """
    needed = recorded.mastery_repetitions
    rows = [list(row) for good, row in groupby(counting(state, recorded.task_id), key=_good) if good]
    row = next((row for row in rows if recorded in row), [])
    if recorded.task_id in state.mastered or len(row) < needed:
        return []
    last = row[max(needed, row.index(recorded) + 1) - 1]
    return [TaskMastered(employee_id=last.employee_id, task_id=last.task_id, mastered_date=last.date)]


def _good(one: RepetitionRecorded) -> bool:
    return one.alone and one.correct


def to_resource(employee_id: str, state: State, position: int, rules: CoachingRules, rules_position: int) -> Mastery:
    names = {task.task_id: task.display_name for task in rules.lead_tasks}
    recorded = {one.task_id: "" for one in state.repetitions.values() if one.task_id not in names}
    tasks = [_task(state, task_id, name, rules.mastery_repetitions) for task_id, name in (names | recorded).items()]
    return Mastery(
        employee_id=employee_id,
        tasks=tasks,
        left=sum(task_id not in state.mastered for task_id in names),
        rules_position=rules_position,
        etag=str(position),
        log_position=position,
    )


def _task(state: State, task_id: str, display_name: str, repetitions: int) -> Mastery.Task:
    in_a_row = sum(1 for _ in takewhile(_good, reversed(counting(state, task_id))))
    mastered = state.mastered.get(task_id, TaskMastered())
    withdrawn = state.withdrawn.get(task_id, MasteryWithdrawn())
    return Mastery.Task(
        task_id=task_id,
        display_name=display_name,
        in_a_row=in_a_row,
        left=0 if mastered.mastered_date else max(repetitions - in_a_row, 1),
        mastered_date=mastered.mastered_date,
        withdrawn_date=withdrawn.withdrawn_date,
        withdrawal_reason=withdrawn.reason,
        withdrawn_by=withdrawn.withdrawn_by,
        repetitions=[
            Mastery.Repetition(
                repetition_id=one.repetition_id,
                date=one.date,
                alone=one.alone,
                correct=one.correct,
                note=one.note,
                observed_by=one.observed_by,
                mastery_repetitions=one.mastery_repetitions,
                rules_position=one.rules_position,
            )
            for one in sorted(state.repetitions.values(), key=lambda one: one.date)
            if one.task_id == task_id
        ],
    )
