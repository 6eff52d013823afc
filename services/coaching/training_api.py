"""gRPC: stepladder.coaching.v1.TrainingService."""

from dataclasses import replace
from datetime import date

from google.protobuf.message import Message

from libs.common.commands import Standing
from libs.common.days import parse_day
from libs.common.errors import FieldViolation, Invalid, NotAllowed, NotFound
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.callers import caller_id, check_employees, directory_around
from libs.facts.reaching import Reach, Reaches
from libs.facts.team import TEAM
from services.coaching.before_after import BeforeAndAfter
from services.coaching.measuring import Measuring, definition
from services.coaching.rules import rules_of_team
from services.coaching.shared_problems import SharedProblems
from services.coaching.training import TRAINING, State, to_resource
from services.coaching.trainings import Trainings
from stepladder.coaching.v1 import training_pb2 as pb
from stepladder.coaching.v1.before_after_pb2 import BeforeAfter

TRAINER = "trainer"
"""The job family of those who train."""
LONGEST_DAYS = 366


class TrainingApi:
    """Implements the service."""

    def __init__(
        self,
        service: Service,
        reaches: Reaches,
        trainings: Trainings,
        follower: Follower,
        measuring: Measuring,
        shared_problems: SharedProblems,
        before_and_after: BeforeAndAfter,
    ) -> None:
        self._service = service
        self._commands = service.commands
        self._reaches = reaches
        self._trainings = trainings
        self._follower = follower
        self._measuring = measuring
        self._shared_problems = shared_problems
        self._before_and_after = before_and_after

    async def ListSharedProblems(
        self, request: pb.ListSharedProblemsRequest, context: Context
    ) -> pb.ListSharedProblemsResponse:
        reach = await self._reaches.of(context)
        trains = await self._is_trainer(reach.caller.employee_id, context.today)
        context.admission.check(reach.to_team(request.team_id).held | ({"trainer"} if trains else set()))
        await self._check_team(request.team_id)
        _check_days(request.start_date, request.end_date)
        found, known_at = await self._shared_problems.of_team(request.team_id, request.start_date, request.end_date)
        rules = await self._measuring.rules(known_at)
        smallest = rules_of_team(rules, request.team_id, context.today).rules.smallest_group
        return pb.ListSharedProblemsResponse(
            problems=[one for one in found if one.employees_missed >= smallest], known_at=known_at
        )

    async def RequestTraining(self, request: pb.RequestTrainingRequest, context: Context) -> pb.Training:
        context.admission.check((await self._reaches.of(context)).to_team(request.team_id).held)
        await self._check_team(request.team_id)
        _check_days(request.start_date, request.end_date)
        found, known_at = await self._shared_problems.of_team(request.team_id, request.start_date, request.end_date)
        rules = await self._measuring.rules(known_at)
        definition(rules, request.measure)
        in_force = rules_of_team(rules, request.team_id, context.today)
        command = pb.RequestTraining(
            request=request,
            problem=next(
                (one for one in found if one.measure == request.measure), pb.SharedProblem(measure=request.measure)
            ),
            known_at=known_at,
            smallest_group=in_force.rules.smallest_group,
            rules_position=in_force.rules_position,
            requested_by=caller_id(context),
            trainer=await self._is_trainer(request.trainer_id, context.today),
        )
        return await self._handle(request.training_id, command, context)

    async def GetTraining(self, request: pb.GetTrainingRequest, context: Context) -> pb.Training:
        found, reach = await self._found(request.training_id, context)
        return _shown(found, reach)

    async def ListTrainings(self, request: pb.ListTrainingsRequest, context: Context) -> pb.ListTrainingsResponse:
        reach = await self._reaches.of(context)
        context.admission.check(reach.held | ({"member"} if reach.own_team else set()))
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        listed = await self._trainings.list_trainings(self._service.engine, request, reach)
        page, token = cut_page(request, listed, lambda one: [one[1]])
        found = await self._commands.known(TRAINING, [training_id for training_id, _ in page])
        return pb.ListTrainingsResponse(trainings=[_shown(one, reach) for one in found.values()], next_page_token=token)

    async def AcceptTraining(self, request: pb.AcceptTrainingRequest, context: Context) -> pb.Training:
        await self._found(request.training_id, context)
        return await self._transition(request, context)

    async def ScheduleTraining(self, request: pb.ScheduleTrainingRequest, context: Context) -> pb.Training:
        await self._found(request.training_id, context)
        return await self._transition(request, context)

    async def HoldTraining(self, request: pb.HoldTrainingRequest, context: Context) -> pb.Training:
        await self._found(request.training_id, context)
        await check_employees(self._commands, request.participant_ids)
        return await self._transition(request, context)

    async def CloseTraining(self, request: pb.CloseTrainingRequest, context: Context) -> pb.Training:
        await self._found(request.training_id, context)
        return await self._transition(request, context)

    async def CancelTraining(self, request: pb.CancelTrainingRequest, context: Context) -> pb.Training:
        await self._found(request.training_id, context)
        return await self._transition(request, context)

    async def GetTrainingEffect(self, request: pb.GetTrainingEffectRequest, context: Context) -> BeforeAfter:
        found, _ = await self._found(request.training_id, context)
        state = found.state
        if not state.held.date:
            raise NotAllowed("NOT_HELD", "it was not held yet")
        rules = rules_of_team(await self._measuring.rules(), state.requested.team_id, context.today).rules
        return await self._before_and_after.of(
            state.requested.problem.measure,
            date.fromisoformat(state.held.date),
            state.held.participant_ids,
            [state.requested.trainer_id],
            days=request.days,
            smallest=rules.smallest_group,
            today=context.today,
        )

    async def _transition(self, request: "Transition", context: Context) -> pb.Training:
        return await self._handle(request.training_id, request, replace(context, etag=request.etag))

    async def _handle(self, training_id: str, command: Message, context: Context) -> pb.Training:
        handled = await self._commands.handle(TRAINING, training_id, command, context)
        return to_resource(handled.state, handled.position)

    async def _found(self, training_id: str, context: Context) -> tuple[Standing[State], Reach]:
        """A training, for a caller whom the call's rule names, and whom else they see."""
        reach, found = await self._reaches.of(context), await self._commands.load(TRAINING, training_id)
        context.admission.check(_held(reach, found.state))
        if not found.position:
            raise NotFound("TRAINING_NOT_FOUND", f"there is no training {training_id}")
        return found, reach

    async def _check_team(self, team_id: str) -> None:
        if team_id not in await self._commands.known(TEAM, [team_id]):
            raise NotFound("TEAM_NOT_FOUND", f"there is no team {team_id}")

    async def _is_trainer(self, employee_id: str, day: date) -> bool:
        directory = await directory_around(self._commands, employee_id, day)
        return directory.employed(employee_id, day) and directory.employees[employee_id].hired.job_family == TRAINER


Transition = (
    pb.AcceptTrainingRequest
    | pb.ScheduleTrainingRequest
    | pb.HoldTrainingRequest
    | pb.CloseTrainingRequest
    | pb.CancelTrainingRequest
)


def _held(reach: Reach, state: State) -> frozenset[str]:
    """What somebody is to a training."""
    team_id, trainer_id = state.requested.team_id, state.requested.trainer_id
    found = {"member"} if reach.own_team == team_id != "" else set[str]()
    found |= {"trainer"} if reach.caller.employee_id == trainer_id != "" else set()
    return reach.to_team(team_id).held | found


def _shown(found: Standing[State], reach: Reach) -> pb.Training:
    training = to_resource(found.state, found.position)
    if _held(reach, found.state).isdisjoint({"lead", "manager", "trainer", "hr"}):
        training.ClearField("note")
        training.ClearField("reason")
    return training


def _check_days(start_date: str, end_date: str) -> None:
    """Raises Invalid `DATES_INVALID`, or `DATE_INVALID` for days of no calendar."""
    days = (parse_day(end_date, "end_date") - parse_day(start_date, "start_date")).days + 1
    if not 1 <= days <= LONGEST_DAYS:
        message = f"must be {start_date} or at most {LONGEST_DAYS - 1} days later"
        raise Invalid("DATES_INVALID", message, (FieldViolation("end_date", message),))
