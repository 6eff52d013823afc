// Receives webhooks at http://127.0.0.1:9000/events, and believes what is signed (Standard Webhooks) and nothing else.
//
// After `npm ci --prefix examples/node`, with the secret of the webhook (docs/events.md, Webhooks):
//
//     WEBHOOK_SECRET=whsec_... node examples/node/webhook_receiver.mjs

import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.WEBHOOK_SECRET);
createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  try {
    const event = webhook.verify(Buffer.concat(chunks).toString(), request.headers);
    // At least once: skip an id that you have done. Answer within 20 seconds, and work afterwards.
    console.log(event.id, event.type, event.subject);
    response.writeHead(204).end();
  } catch {
    response.writeHead(401).end();
  }
}).listen(Number(process.env.PORT ?? 9000), "127.0.0.1");
