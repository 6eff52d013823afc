"""Starts the coaching service: the only place where its real parts are built."""

import asyncio

from google.protobuf.descriptor import ServiceDescriptor
from sqlalchemy import MetaData

from libs.common.service import Service, open_service
from libs.common.settings import load_settings
from services.coaching.plan_api import PlanApi
from services.coaching.plans import REASSESS, Plans
from services.coaching.policies import ProposePlans
from stepladder.coaching.v1 import events_pb2, plan_pb2
from stepladder.performance.v1 import events_pb2 as performance_events

EVENTS = (events_pb2.DESCRIPTOR, performance_events.DESCRIPTOR)
"""Contracts of the events that it writes or follows."""


def build(service: Service) -> dict[ServiceDescriptor, object]:
    """What the service answers, over what it follows and is told by the clock."""
    plans = Plans(MetaData())
    plans_follower = service.follow(plans)
    service.follow(ProposePlans(service.commands, service.now, service.today))
    api = PlanApi(service, plans, plans_follower)
    service.tick(plans_follower, plans.deadlines, {REASSESS: api.call_reassessment})
    return {plan_pb2.DESCRIPTOR.services_by_name["PlanService"]: api}


async def main() -> None:
    async with open_service("coaching", load_settings(), EVENTS) as service:
        await service.run(build(service))


if __name__ == "__main__":
    asyncio.run(main())
