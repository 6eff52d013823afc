"""Webhooks, as they are tried."""

from services.gateway.webhook import WEBHOOK, State
from stepladder.gateway.v1.webhook_pb2 import Webhook
from tests.deciding import given
from tests.gateway.test_webhook import (
    CREATE,
    CREATED,
    DELETE,
    DELETED,
    PAUSE,
    PAUSED,
    REDELIVER,
    RESUME,
    ROTATE,
    SUSPEND,
    UPDATE,
)
from tests.machines.exploring import Machine, Step


def shown(state: State) -> str:
    return Webhook.State.Name(state.stage).removeprefix("STATE_")


WEBHOOKS = Machine(
    title="Webhook",
    source="services/gateway/webhook.py",
    aggregate=WEBHOOK,
    steps=[Step(one) for one in (CREATE, UPDATE, ROTATE, PAUSE, SUSPEND, RESUME, REDELIVER, DELETE)],
    shown=shown,
    states=[
        WEBHOOK.initial,
        given(WEBHOOK, CREATED).state,
        given(WEBHOOK, CREATED, PAUSED).state,
        given(WEBHOOK, CREATED, DELETED).state,
    ],
)
