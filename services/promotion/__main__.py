"""Starts the promotion service: the only place where its real parts are built."""

import asyncio

from sqlalchemy import MetaData

from libs.common.service import open_service
from libs.common.settings import load_settings
from services.promotion.eligibility_api import EligibilityApi
from services.promotion.records import Records
from stepladder.performance.v1 import events_pb2 as performance_events
from stepladder.promotion.v1 import eligibility_pb2, events_pb2


async def main() -> None:
    contracts = [events_pb2.DESCRIPTOR, performance_events.DESCRIPTOR]
    async with open_service("promotion", load_settings(), contracts) as service:
        records = Records(MetaData())
        api = EligibilityApi(service, records, service.follow(records))
        await service.run({eligibility_pb2.DESCRIPTOR.services_by_name["EligibilityService"]: api})


if __name__ == "__main__":
    asyncio.run(main())
