// A subscriber of the public events by @nats-io/jetstream, with nothing but what its account lets it do.
// node jetstream.mjs <url> <name> <password> <count>: prints position and type of each event.
import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";

const [url, name, password, count] = process.argv.slice(2);
const client = await connect({ servers: url, user: name, pass: password, inboxPrefix: `_INBOX_${name}` });
const consumer = await jetstream(client, { apiPrefix: "STEPLADDER.API" }).consumers.get("EVENTS", name);
for await (const message of await consumer.fetch({ max_messages: Number(count), expires: 10000 })) {
  console.log(`${message.seq} ${message.json().type}`);
  message.ack();
}
await client.drain();
