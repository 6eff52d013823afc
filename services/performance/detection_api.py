"""gRPC: stepladder.performance.v1.DetectionService."""

from libs.common.errors import NotFound
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from services.performance import detection, detectionpolicy
from services.performance.catalogue import Catalogue
from services.performance.detection import DETECTION
from services.performance.detectionpolicy import DETECTION_POLICY
from services.performance.detections import Detections
from services.performance.kpi import KPI
from stepladder.performance.v1 import detection_pb2 as pb


class DetectionApi:
    """Implements the service: resources out of the log, lists by way of the read models."""

    def __init__(
        self,
        service: Service,
        catalogue: Catalogue,
        catalogue_follower: Follower,
        detections: Detections,
        detections_follower: Follower,
    ) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._catalogue = catalogue
        self._catalogue_follower = catalogue_follower
        self._detections = detections
        self._detections_follower = detections_follower

    async def CreateDetectionPolicy(
        self, request: pb.CreateDetectionPolicyRequest, context: Context
    ) -> pb.DetectionPolicy:
        if not await self._commands.known(KPI, [request.policy.kpi_id], check=False):
            raise NotFound("KPI_NOT_FOUND", f"there is no KPI {request.policy.kpi_id}")
        handled = await self._commands.handle(DETECTION_POLICY, request.policy.policy_id, request, context)
        return detectionpolicy.to_resource(handled.state, handled.position)

    async def ListDetectionPolicies(
        self, request: pb.ListDetectionPoliciesRequest, _: Context
    ) -> pb.ListDetectionPoliciesResponse:
        await self._catalogue_follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        listed = await self._catalogue.list_detection_policies(self._engine, request)
        policies, token = cut_page(request, listed, lambda one: [one.policy_id, ""])
        return pb.ListDetectionPoliciesResponse(policies=policies, next_page_token=token)

    async def GetDetection(self, request: pb.GetDetectionRequest, _: Context) -> pb.Detection:
        found = await self._commands.load(DETECTION, request.detection_id)
        if not found.position:
            raise NotFound("DETECTION_NOT_FOUND", f"there is no detection {request.detection_id}")
        return detection.to_resource(found.state, found.position)

    async def ListDetections(self, request: pb.ListDetectionsRequest, _: Context) -> pb.ListDetectionsResponse:
        await self._detections_follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        listed = await self._detections.list_detections(self._engine, request)
        page, token = cut_page(request, listed, lambda one: [one[1]])
        found = (await self._commands.known(DETECTION, [detection_id for detection_id, _ in page])).values()
        detections = [detection.to_resource(one.state, one.position) for one in found]
        return pb.ListDetectionsResponse(detections=detections, next_page_token=token)
