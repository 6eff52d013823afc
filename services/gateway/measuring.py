"""What is true of the gateway at a moment, for Prometheus: how far the relay is, and what waits for webhooks."""

from datetime import UTC, datetime

from sqlalchemy import Table

from libs.common.metrics import Gauges
from libs.common.observing import add_lag, add_state, known
from services.gateway.deliveries import Deliveries
from services.gateway.relay import Relay


async def measure_relay(relay: Relay, gauges: Gauges) -> None:
    """The relay as one follower more, that parks nothing. Each process has one at work, and they are all as far."""
    labels = {"follower": relay.name, "partition": "0"}
    add_state(gauges, labels, relay.state)
    if (standing := await known(relay.standing())) is not None:
        add_lag(gauges, labels, standing.lag, standing.lag_seconds)


async def measure_webhooks(deliveries: Deliveries, webhooks: Table, gauges: Gauges) -> None:
    """How many webhooks there are and what is to be sent again; `webhooks` are the read model's rows of them."""
    backlog = await known(deliveries.backlog(webhooks))
    if backlog is None:
        return
    for state, count in (("active", backlog.active), ("paused", backlog.paused), ("failing", backlog.failing)):
        text = "Webhooks by their state; those that fail are among the active ones."
        gauges.add("stepladder_webhooks", text, count, state=state)
    text = "Events that are to be sent again, of webhooks that are active."
    gauges.add("stepladder_webhook_waiting_events", text, backlog.waiting)
    oldest = backlog.oldest_time.ToDatetime(UTC) if backlog.HasField("oldest_time") else None
    seconds = (datetime.now(UTC) - oldest).total_seconds() if oldest else 0.0
    gauges.add("stepladder_webhook_waiting_seconds", "How long ago the first of these was tried first.", seconds)
