"""Starts the performance service: the only place where its real parts are built."""

import asyncio

from google.protobuf.descriptor import ServiceDescriptor
from sqlalchemy import MetaData

from libs.common.service import Service, open_service
from libs.common.settings import load_settings
from services.performance.catalogue import Catalogue
from services.performance.detection_api import DetectionApi
from services.performance.detections import Detections
from services.performance.directory_api import DirectoryApi
from services.performance.facts_api import FactsApi
from services.performance.judging import Judging
from services.performance.kpi_api import KpiApi
from services.performance.people import People
from services.performance.results import JUDGE, Results
from stepladder.performance.v1 import detection_pb2, directory_pb2, events_pb2, facts_pb2, kpi_pb2

EVENTS = (events_pb2.DESCRIPTOR,)
"""Contracts of the events that it writes or follows."""


def build(service: Service) -> dict[ServiceDescriptor, object]:
    """What the service answers, over what it follows and is told by the clock."""
    metadata = MetaData()
    people, catalogue, results = People(metadata), Catalogue(metadata), Results(metadata)
    detections = Detections(metadata)
    people_follower = service.follow(people)
    catalogue_follower = service.follow(catalogue)
    results_follower = service.follow(results)
    detections_follower = service.follow(detections)
    judging = Judging(service, results, people, catalogue, [people_follower, catalogue_follower, results_follower])
    service.tick(results_follower, results.deadlines, {JUDGE: judging.judge})
    return {
        directory_pb2.DESCRIPTOR.services_by_name["DirectoryService"]: DirectoryApi(service, people, people_follower),
        kpi_pb2.DESCRIPTOR.services_by_name["KpiService"]: KpiApi(service, catalogue, catalogue_follower),
        facts_pb2.DESCRIPTOR.services_by_name["FactsService"]: FactsApi(
            service, results, results_follower, people, people_follower
        ),
        detection_pb2.DESCRIPTOR.services_by_name["DetectionService"]: DetectionApi(
            service, catalogue, catalogue_follower, detections, detections_follower
        ),
    }


async def main() -> None:
    async with open_service("performance", load_settings(), EVENTS) as service:
        await service.run(build(service))


if __name__ == "__main__":
    asyncio.run(main())
