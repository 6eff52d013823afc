"""gRPC: stepladder.performance.v1.CalibrationService."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby

from google.protobuf.message import Message

from libs.common.commands import Standing
from libs.common.days import parse_day
from libs.common.errors import FieldViolation, Invalid, NotFound
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.callers import caller_id, check_employees
from libs.facts.catalogue import Catalogue
from libs.facts.reaching import check_related
from libs.facts.values import decimal
from services.performance import calibration
from services.performance.calibration import CALIBRATION
from services.performance.calibrations import Calibrations
from services.performance.facts import day_problem
from services.performance.policy_api import rules_with
from stepladder.performance.v1 import calibration_pb2 as pb
from stepladder.performance.v1.calibration_pb2 import ReviewerDrift

MINIMUM_ROUNDS = 5
TOLERANCE = "3"
"""What a request for drift leaves open; as the contract says."""


class CalibrationApi:
    """Implements the service: rounds out of the log, lists and drift by way of the read model."""

    def __init__(
        self,
        service: Service,
        calibrations: Calibrations,
        follower: Follower,
        catalogue: Catalogue,
        catalogue_follower: Follower,
    ) -> None:
        self._service = service
        self._commands = service.commands
        self._engine = service.engine
        self._calibrations = calibrations
        self._follower = follower
        self._catalogue = catalogue
        self._catalogue_follower = catalogue_follower

    async def OpenCalibration(self, request: pb.OpenCalibrationRequest, context: Context) -> pb.Calibration:
        given = request.calibration
        if problem := day_problem(given.date, context.today):
            raise Invalid("DATE_INVALID", problem, (FieldViolation("calibration.date", problem),))
        await check_employees(self._commands, [given.employee_id, *given.reviewer_ids])
        # Said again it is the same round, whatever version of the form has come since.
        found = await self._commands.load(CALIBRATION, given.calibration_id)
        position = found.state.calibration.policy_position
        if not position:
            rules = await rules_with(self._service, self._catalogue, self._catalogue_follower, [given.form_id])
            day = parse_day(given.date, "calibration.date")
            position = rules.of_kind_on("form", given.form_id, day).log_position
        command = pb.OpenCalibration(calibration=given, policy_position=position)
        return await self._handle(given.calibration_id, command, context)

    async def GetCalibration(self, request: pb.GetCalibrationRequest, context: Context) -> pb.Calibration:
        found = await self._found(request.calibration_id, context)
        if request.known_at:
            found = await self._commands.load(CALIBRATION, request.calibration_id, request.known_at)
        if not found.position:
            raise NotFound("CALIBRATION_NOT_FOUND", f"there was no calibration {request.calibration_id} then")
        return calibration.to_resource(found.state, found.position, context.actor)

    async def ListCalibrations(
        self, request: pb.ListCalibrationsRequest, context: Context
    ) -> pb.ListCalibrationsResponse:
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        standing, reviewer_id = await self._service.standing(context), ""
        if not context.admission.admits(standing):
            reviewer_id = caller_id(context)
            reviews = "employee" in standing and await self._calibrations.has_reviewer(self._engine, reviewer_id)
            context.admission.check(["reviewer"] if reviews else [])
        listed = await self._calibrations.list_calibrations(self._engine, request, reviewer_id)
        page, token = cut_page(request, listed, lambda one: one)
        found = (await self._commands.known(CALIBRATION, [round_id for _, round_id in page])).values()
        shown = [calibration.to_resource(one.state, one.position, context.actor) for one in found]
        return pb.ListCalibrationsResponse(calibrations=shown, next_page_token=token)

    async def ScoreCalibration(self, request: pb.ScoreCalibrationRequest, context: Context) -> pb.Calibration:
        found = await self._found(request.calibration_id, context)
        version = found.state.calibration.policy_position
        await self._catalogue_follower.wait_for(version, AT_LEAST_SECONDS)
        rules = await self._catalogue.rules(self._engine, version)
        command = pb.ScoreCalibration(answers=request.answers, policy=rules.version(version))
        return await self._handle(request.calibration_id, command, context)

    async def CloseCalibration(self, request: pb.CloseCalibrationRequest, context: Context) -> pb.Calibration:
        return await self._handle(request.calibration_id, request, context)

    async def RetractCalibration(self, request: pb.RetractCalibrationRequest, context: Context) -> pb.Calibration:
        return await self._handle(request.calibration_id, request, context)

    async def ListReviewerDrift(self, request: pb.ListReviewerDriftRequest, _: Context) -> pb.ListReviewerDriftResponse:
        start, end = parse_day(request.start_date, "start_date"), parse_day(request.end_date, "end_date")
        if end < start:
            message = f"the last day {end} is before the first day {start}"
            raise Invalid("DATE_INVALID", message, (FieldViolation("end_date", message),))
        await self._follower.wait_for(max(request.at_least, request.known_at), AT_LEAST_SECONDS)
        minimum, tolerance = request.minimum_rounds or MINIMUM_ROUNDS, request.tolerance or TOLERANCE
        found = await self._calibrations.deviations_of(self._engine, request)
        page, token = cut_page(request, list(found), lambda one: [one])

        def judged(points: Sequence[Fraction]) -> ReviewerDrift.Deviations:
            return _deviations(points, minimum, Fraction(tolerance))

        reviewers = [
            ReviewerDrift(
                reviewer_id=reviewer_id,
                whole=judged([one.points for one in found[reviewer_id]]),
                months=[
                    ReviewerDrift.Month(month=month, deviations=judged([one.points for one in group]))
                    for month, group in groupby(found[reviewer_id], key=lambda one: one.date[:7])
                ],
            )
            for reviewer_id in page
        ]
        return pb.ListReviewerDriftResponse(
            reviewers=reviewers, next_page_token=token, minimum_rounds=minimum, tolerance=tolerance
        )

    async def _found(self, calibration_id: str, context: Context) -> Standing[calibration.State]:
        """A round, for those whom the call's rule names; whether there is one is told to no others."""
        found = await self._commands.load(CALIBRATION, calibration_id)
        given = found.state.calibration
        reviews = caller_id(context) in given.reviewer_ids
        await check_related(self._commands, context, [given.employee_id], ["reviewer"] if reviews else [])
        if not found.position:
            raise NotFound("CALIBRATION_NOT_FOUND", f"there is no calibration {calibration_id}")
        return found

    async def _handle(self, calibration_id: str, command: Message, context: Context) -> pb.Calibration:
        handled = await self._commands.handle(CALIBRATION, calibration_id, command, context)
        return calibration.to_resource(handled.state, handled.position, context.actor)


def _deviations(points: Sequence[Fraction], minimum: int, tolerance: Fraction) -> ReviewerDrift.Deviations:
    mean = sum(points, Fraction()) / len(points)
    tendency = ReviewerDrift.TENDENCY_IN_LINE
    if mean < -tolerance:
        tendency = ReviewerDrift.TENDENCY_HARSH
    elif mean > tolerance:
        tendency = ReviewerDrift.TENDENCY_LENIENT
    return ReviewerDrift.Deviations(
        rounds=len(points),
        mean=decimal(mean, 2),
        mean_absolute=decimal(sum((abs(one) for one in points), Fraction()) / len(points), 2),
        tendency=tendency if len(points) >= minimum else ReviewerDrift.TENDENCY_UNSPECIFIED,
    )
