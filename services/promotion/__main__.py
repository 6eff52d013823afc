"""Starts the promotion service: the only place where its real parts are built."""

import asyncio

from google.protobuf.descriptor import ServiceDescriptor
from sqlalchemy import MetaData

from libs.common.service import Service, open_service
from libs.common.settings import load_settings
from services.promotion.eligibility_api import EligibilityApi
from services.promotion.records import Records
from stepladder.performance.v1 import events_pb2 as performance_events
from stepladder.promotion.v1 import eligibility_pb2, events_pb2

EVENTS = (events_pb2.DESCRIPTOR, performance_events.DESCRIPTOR)
"""Contracts of the events that it writes or follows."""


def build(service: Service) -> dict[ServiceDescriptor, object]:
    """What the service answers, over what it follows."""
    records = Records(MetaData())
    api = EligibilityApi(service, records, service.follow(records))
    return {eligibility_pb2.DESCRIPTOR.services_by_name["EligibilityService"]: api}


async def main() -> None:
    async with open_service("promotion", load_settings(), EVENTS) as service:
        await service.run(build(service))


if __name__ == "__main__":
    asyncio.run(main())
