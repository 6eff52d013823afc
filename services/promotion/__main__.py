"""Starts the promotion service: the only place where its real parts are built."""

from collections.abc import Mapping

from google.protobuf.descriptor import ServiceDescriptor
from sqlalchemy import MetaData

from libs.common.server import run
from libs.common.service import Service, run_service
from libs.facts.catalogue import Catalogue
from services.promotion.cycle_api import CycleApi
from services.promotion.cycles import CLOSE, OPEN, Cycles
from services.promotion.eligibility_api import EligibilityApi
from services.promotion.records import Records
from stepladder.performance.v1 import events_pb2 as performance_events
from stepladder.promotion.v1 import cycle_pb2, eligibility_pb2, events_pb2

EVENTS = (events_pb2.DESCRIPTOR, performance_events.DESCRIPTOR)


def build(service: Service) -> Mapping[ServiceDescriptor, object]:
    metadata = MetaData()
    catalogue, records, cycles = Catalogue(metadata), Records(metadata), Cycles(metadata)
    at_catalogue, at_cycles = service.follow(catalogue), service.follow(cycles)
    cycle_api = CycleApi(service, cycles, at_cycles, catalogue, at_catalogue)
    by_site = service.site_clock
    service.tick(at_cycles, cycles.deadlines, {OPEN: cycle_api.open_regular, CLOSE: cycle_api.close}, now=by_site)
    return {
        eligibility_pb2.DESCRIPTOR.services_by_name["EligibilityService"]: EligibilityApi(
            service, records, service.follow(records)
        ),
        cycle_pb2.DESCRIPTOR.services_by_name["CycleService"]: cycle_api,
    }


if __name__ == "__main__":
    run(run_service("promotion", EVENTS, build))
