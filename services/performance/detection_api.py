"""gRPC: stepladder.performance.v1.DetectionService."""

from libs.common.days import Span, parse_day
from libs.common.errors import FieldViolation, Invalid, NotFound
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.people import People
from libs.facts.reaching import Reaches, check_related
from services.performance import detection
from services.performance.callers import seen_by_caller
from services.performance.detection import DETECTION
from services.performance.detections import Detections
from services.performance.judging import Judging
from services.performance.policy import wrong_in
from services.performance.policy_api import missing_kpis, refuse_wrong, wrong_total
from stepladder.performance.v1 import detection_pb2 as pb

MOST_FOUND = 1000
MOST_DAYS = 731


class DetectionApi:
    """Implements the service: resources out of the log, lists by way of the read models."""

    def __init__(
        self,
        service: Service,
        judging: Judging,
        people: People,
        people_follower: Follower,
        detections: Detections,
        detections_follower: Follower,
        reaches: Reaches,
    ) -> None:
        self._reaches = reaches
        self._commands = service.commands
        self._engine = service.engine
        self._judging = judging
        self._people = people
        self._people_follower = people_follower
        self._detections = detections
        self._detections_follower = detections_follower

    async def GetDetection(self, request: pb.GetDetectionRequest, context: Context) -> pb.Detection:
        found = await self._commands.load(DETECTION, request.detection_id, request.known_at)
        await check_related(self._commands, context, [found.state.detection.employee_id])
        if not found.position:
            raise NotFound("DETECTION_NOT_FOUND", f"there is no detection {request.detection_id}")
        return detection.to_resource(found.state, found.position)

    async def ListDetections(self, request: pb.ListDetectionsRequest, context: Context) -> pb.ListDetectionsResponse:
        if request.employee_id:
            await check_related(self._commands, context, [request.employee_id])
        seen = await seen_by_caller(self._reaches, context)
        await self._detections_follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        listed = await self._detections.list_detections(self._engine, request, seen.employees)
        page, token = cut_page(request, listed, lambda one: [one[1]])
        found = (await self._commands.known(DETECTION, [detection_id for detection_id, _ in page])).values()
        detections = [detection.to_resource(one.state, one.position) for one in found]
        return pb.ListDetectionsResponse(detections=detections, next_page_token=token)

    async def DryRunDetection(self, request: pb.DryRunDetectionRequest, _: Context) -> pb.DryRunDetectionResponse:
        policy = request.policy
        if not policy.HasField("detection"):
            message = "only a detection policy can be tried so"
            raise Invalid("KIND_INVALID", message, (FieldViolation("policy", message),))
        start, end = parse_day(request.start_date, "start_date"), parse_day(request.end_date, "end_date")
        if not start <= end:
            message = f"the last day {end} is before the first day {start}"
            raise Invalid("DATE_INVALID", message, (FieldViolation("end_date", message),))
        if (end - start).days > MOST_DAYS:
            message = f"more than {MOST_DAYS} days: try it on fewer"
            raise Invalid("DATE_INVALID", message, (FieldViolation("end_date", message),))
        wrong = [*wrong_in(policy), *await wrong_total(self._commands, policy)]
        refuse_wrong(wrong, await missing_kpis(self._commands, policy))  # as it would be when stored
        await self._people_follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        spans = await self._people.memberships_between(self._engine, request.start_date, request.end_date)
        employee_ids = sorted({one.employee_id for one in spans if request.team_id in ("", one.team_id)})
        found = await self._judging.dry_run(policy, employee_ids, Span(start, end))
        return pb.DryRunDetectionResponse(detections=found[:MOST_FOUND], found=len(found), employees=len(employee_ids))
