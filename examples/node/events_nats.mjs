// The public events from NATS itself, as a subscriber with an account of its own (docs/events.md, Events out).
//
// After `npm ci --prefix examples/node`, with its name and password:
//
//     NATS_URL=nats://127.0.0.1:4222 SUBSCRIBER=hr-platform PASSWORD=... node examples/node/events_nats.mjs

import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";

const { NATS_URL: servers, SUBSCRIBER: user, PASSWORD: pass } = process.env;
// Both prefixes belong to the account: it may hear and ask nothing else.
const client = await connect({ servers, user, pass, inboxPrefix: `_INBOX_${user}` });
const consumer = await jetstream(client, { apiPrefix: "STEPLADDER.API" }).consumers.get("EVENTS", user);
for await (const message of await consumer.consume()) {
  const event = message.json();
  console.log(message.seq, event.type, event.subject);
  message.ack(); // after the work: an event may come twice, and is never left out
}
