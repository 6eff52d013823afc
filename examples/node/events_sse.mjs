// The public events as server-sent events, without a gap: `eventsource` connects again and says where it was; what was
// done is kept in a file for the next start.
//
// After `make up` and `npm ci --prefix examples/node`:
//
//     TOKEN=$(.venv/bin/stepladder token bi --role events) node examples/node/events_sse.mjs position-node.txt

import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { EventSource } from "eventsource";

const [kept] = process.argv.slice(2);
const type = "stepladder.performance.team-created.v1";
const query = new URLSearchParams({ "filter.types": type, after: existsSync(kept) ? readFileSync(kept, "utf8") : "0" });
const url = `http://${process.env.STEPLADDER ?? "127.0.0.1:8080"}/v1/events:stream?${query}`;
const headers = { authorization: `Bearer ${process.env.TOKEN}` };

const events = new EventSource(url, {
  fetch: async (input, init) => {
    const answer = await fetch(input, { ...init, headers: { ...init.headers, ...headers } });
    if (answer.status === 429 || answer.status >= 500) throw new Error(`${answer.status}`); // passes: it connects again
    return answer;
  },
});
events.addEventListener(type, ({ data, lastEventId }) => {
  const event = JSON.parse(data);
  console.log(lastEventId, event.type, event.subject);
  // After the work, and at once: an event may come twice, and is never left out; there is never half a position.
  writeFileSync(`${kept}.new`, lastEventId);
  renameSync(`${kept}.new`, kept);
});
events.addEventListener("error", error => console.error(error.code ?? "", error.message ?? "connecting again"));
