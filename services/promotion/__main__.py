"""Starts the promotion service: the only place where its real parts are built."""

from collections.abc import Mapping

from google.protobuf.descriptor import ServiceDescriptor
from sqlalchemy import MetaData

from libs.common.server import run
from libs.common.service import Service, run_service
from services.promotion.eligibility_api import EligibilityApi
from services.promotion.records import Records
from stepladder.performance.v1 import events_pb2 as performance_events
from stepladder.promotion.v1 import eligibility_pb2, events_pb2

EVENTS = (events_pb2.DESCRIPTOR, performance_events.DESCRIPTOR)


def build(service: Service) -> Mapping[ServiceDescriptor, object]:
    records = Records(MetaData())
    api = EligibilityApi(service, records, service.follow(records))
    return {eligibility_pb2.DESCRIPTOR.services_by_name["EligibilityService"]: api}


if __name__ == "__main__":
    run(run_service("promotion", EVENTS, build))
