"""Starts the gateway's own services: the only place where their real parts are built."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from random import Random

from sqlalchemy import MetaData

from libs.common import streams
from libs.common.auth import Tokens
from libs.common.background import in_background
from libs.common.jetstream import JetStreamStream
from libs.common.keys import Sealer
from libs.common.operations import Operations
from libs.common.rpc import open_channel
from libs.common.server import Serving, run, until_stopped
from libs.common.service import clock_of, open_service, utc_now
from libs.common.settings import Settings, load_settings
from libs.common.telemetry import start_logging, tracing
from libs.common.tls import channel_credentials
from libs.facts.callers import standing_in
from libs.facts.people import People
from libs.facts.reaching import Reaches
from services.gateway.addresses import Addresses
from services.gateway.deliveries import Deliveries
from services.gateway.delivering import Delivering, Tools
from services.gateway.docs_api import DocsApi
from services.gateway.event_api import EventApi
from services.gateway.home_api import HomeApi
from services.gateway.measuring import measure_relay, measure_webhooks
from services.gateway.operations_api import Elsewhere, OperationsApi
from services.gateway.public_events import types_of
from services.gateway.publication import publications
from services.gateway.relay import Relay
from services.gateway.scim import serving_scim
from services.gateway.sending import open_sender
from services.gateway.webhook_api import WebhookApi
from services.gateway.webhooks import Webhooks
from stepladder.coaching.v1 import (
    case_file_pb2,
    comparison_pb2,
    effect_pb2,
    mastery_pb2,
    pip_pb2,
    plan_pb2,
    rhythm_pb2,
    separation_pb2,
    session_pb2,
    sharing_pb2,
    suggestion_pb2,
    training_pb2,
    worklist_pb2,
)
from stepladder.coaching.v1 import events_pb2 as coaching_events
from stepladder.common.v1.operations_pb2_grpc import OperationsServiceStub
from stepladder.gateway.v1 import docs_pb2, event_stream_pb2, home_pb2, webhook_pb2
from stepladder.gateway.v1 import events_pb2 as gateway_events
from stepladder.performance.v1 import (
    assessment_pb2,
    calibration_pb2,
    check_in_pb2,
    detection_pb2,
    directory_pb2,
    facts_pb2,
    kpi_pb2,
    lead_comparison_pb2,
    policy_pb2,
    record_pb2,
    report_pb2,
    roster_pb2,
    scorecard_pb2,
)
from stepladder.performance.v1 import events_pb2 as performance_events
from stepladder.performance.v1.directory_pb2_grpc import DirectoryServiceStub
from stepladder.promotion.v1 import (
    candidacy_pb2,
    career_pb2,
    competition_pb2,
    cycle_pb2,
    document_pb2,
    eligibility_pb2,
    fairness_pb2,
    peer_score_pb2,
    post_pb2,
    scoring_pb2,
)
from stepladder.promotion.v1 import events_pb2 as promotion_events

EVENTS = (
    performance_events.DESCRIPTOR,
    coaching_events.DESCRIPTOR,
    promotion_events.DESCRIPTOR,
    gateway_events.DESCRIPTOR,
)
SERVICES = ("performance", "coaching", "promotion")
CONTRACTS = (
    plan_pb2,
    pip_pb2,
    case_file_pb2,
    effect_pb2,
    comparison_pb2,
    separation_pb2,
    mastery_pb2,
    session_pb2,
    worklist_pb2,
    rhythm_pb2,
    sharing_pb2,
    suggestion_pb2,
    training_pb2,
    assessment_pb2,
    calibration_pb2,
    check_in_pb2,
    detection_pb2,
    directory_pb2,
    facts_pb2,
    kpi_pb2,
    lead_comparison_pb2,
    policy_pb2,
    record_pb2,
    roster_pb2,
    report_pb2,
    scorecard_pb2,
    competition_pb2,
    cycle_pb2,
    document_pb2,
    eligibility_pb2,
    fairness_pb2,
    post_pb2,
    career_pb2,
    candidacy_pb2,
    peer_score_pb2,
    scoring_pb2,
)
"""Of the services behind the front door; callers find them by reflection here."""


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[Serving]:
    """Serves while the context lasts, whether or not the services behind it are there."""
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(
            open_service("gateway", settings, EVENTS, streams=(streams.LOG, streams.EVENTS), now=clock_of(settings))
        )
        service.standing = standing_in(service.commands)
        metadata, published = MetaData(), publications(EVENTS)
        people, webhooks = People(metadata), Webhooks(metadata)
        at_people, at_webhooks = service.follow(people), service.follow(webhooks)
        public = JetStreamStream(service.client, streams.EVENTS)
        events = EventApi(service, public, Reaches(service, people, at_people), published)
        relay = Relay(service.stream, public, EVENTS, service.engine, service.day)
        addresses = Addresses(allow_http=settings.webhook_http, allowed=settings.allowed_networks())
        deliveries = Deliveries(metadata, service.engine)
        tools = Tools(
            service,
            public,
            webhooks,
            deliveries,
            await stack.enter_async_context(open_sender(addresses, utc_now)),
            Sealer(settings.key_encryption_key()),
            Random(),  # noqa: S311 - spreads attempts, nothing secret
        )
        webhook_api = WebhookApi(tools, at_webhooks, addresses, types_of(published.values()))
        services: dict[str, Operations | Elsewhere] = {"gateway": Operations("gateway", [*service.followers, relay])}
        credentials = channel_credentials(settings)
        for name in SERVICES:
            opened = open_channel(settings.address_of(name), credentials)
            channel = await stack.enter_async_context(opened)
            services[name] = Elsewhere(name, OperationsServiceStub(channel))
        implementations = {
            webhook_pb2.DESCRIPTOR.services_by_name["WebhookService"]: webhook_api,
            event_stream_pb2.DESCRIPTOR.services_by_name["EventService"]: events,
            home_pb2.DESCRIPTOR.services_by_name["HomeService"]: HomeApi(services, settings.public_port),
            docs_pb2.DESCRIPTOR.services_by_name["DocsService"]: DocsApi(),
        }
        behind = [service for file in CONTRACTS for service in file.DESCRIPTOR.services_by_name.values()]
        service.measures += [
            partial(measure_relay, relay),
            partial(measure_webhooks, deliveries, webhooks.webhooks),
        ]
        await stack.enter_async_context(in_background(relay.run(), Delivering(tools, at_webhooks).run()))
        directory = await stack.enter_async_context(open_channel(settings.performance_address, credentials))
        await stack.enter_async_context(
            serving_scim(settings.gateway_http_address, DirectoryServiceStub(directory), Tokens(settings))
        )
        serving = await stack.enter_async_context(
            service.serving(
                implementations,
                operations=OperationsApi(services, partial(deliveries.backlog, webhooks.webhooks)),
                behind=behind,
            )
        )
        stack.callback(events.stop)  # first of all: whoever reads a stream goes on elsewhere
        yield serving


async def main() -> None:
    settings = load_settings()
    start_logging("gateway", settings)
    with tracing("gateway", settings):
        async with open_gateway(settings) as serving:
            await until_stopped()
            await serving.drain(settings.drain_seconds)


if __name__ == "__main__":
    run(main())
