"""Receives webhooks at http://127.0.0.1:9000/events, and believes what is signed (Standard Webhooks) and nothing else.

With the secret of the webhook (docs/events.md, Webhooks), and `pip install aiohttp standardwebhooks` (done here):

    WEBHOOK_SECRET=whsec_... .venv/bin/python examples/python/webhook_receiver.py
"""

import os

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])


async def receive(request: web.Request) -> web.Response:
    try:
        event = webhook.verify(await request.read(), dict(request.headers))
    except WebhookVerificationError:
        return web.Response(status=401)
    # At least once: skip an id that you have done. Answer within 20 seconds, and work afterwards.
    print(event["id"], event["type"], event["subject"], flush=True)
    return web.Response(status=204)


app = web.Application()
app.router.add_post("/events", receive)
web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "9000")), print=None)
