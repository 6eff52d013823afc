// gRPC: a command that is safe to repeat, facts as a stream, a refusal with its reason, and events as they come.
//
// After `make up` and `npm ci --prefix examples/node`:
//
//     TOKEN=$(.venv/bin/stepladder token bi --role directory --role facts --role events) node examples/node/grpc_calls.mjs

import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import protobuf from "protobufjs";
import "protobufjs/ext/descriptor/index.js";

// Every contract with all that it imports.
const descriptors = readFileSync(new URL("../../libs/gen/descriptors.binpb", import.meta.url));
const contracts = loader.loadFileDescriptorSetFromBuffer(descriptors, { longs: String, defaults: true });
const { performance, gateway } = grpc.loadPackageDefinition(contracts).stepladder;
const metadata = new grpc.Metadata();
metadata.set("authorization", `Bearer ${process.env.TOKEN}`);
const open = service =>
  new service(process.env.STEPLADDER ?? "127.0.0.1:8080", grpc.credentials.createInsecure());
const call = (client, method, request) =>
  new Promise((done, failed) =>
    client[method](request, metadata, (error, answer) => (error ? failed(error) : done(answer))));

// The same request_id answers the same however often it is sent: after a crash, send it again.
const directory = open(performance.v1.DirectoryService);
const team = { team_id: "day", display_name: "Day shift" };
console.log("created:", (await call(directory, "CreateTeam", { request_id: "make-day", team })).display_name);

// The reason of a refusal lies in the details of its google.rpc.Status.
const types = protobuf.Root.fromDescriptor(descriptors);
const details = new protobuf.Field("details", 3, "google.protobuf.Any", "repeated");
types.define("google.rpc").add(new protobuf.Type("Status").add(details));
const refused = await call(directory, "GetTeam", { team_id: "nobody" }).catch(error => error);
const status = types.lookupType("google.rpc.Status").decode(refused.metadata.get("grpc-status-details-bin")[0]);
const { reason } = types.lookupType("google.rpc.ErrorInfo").decode(status.details[0].value);
console.log("refused:", reason, "-", refused.details);

const sent = await new Promise((done, failed) => {
  const facts = open(performance.v1.FactsService);
  const sending = facts.StreamFacts(metadata, (error, answer) => (error ? failed(error) : done(answer)));
  const fact = { employee_id: "nobody", date: "2026-01-31", source: "acd" };
  fact.readings = [{ kpi_id: "aht", numerators: ["310", "290"] }];
  for (const request_id of ["acd-a", "acd-b"]) sending.write({ batch: { request_id, facts: [fact] } });
  sending.end();
});
console.log("batches:", sent.batches);

// From the first event on, until the team's own; the texts of a CloudEvent by their names.
const texts = event => Object.fromEntries(event.fields.map(({ key, value }) => [key, value.string_value]));
const watching = open(gateway.v1.EventService).WatchEvents({ after: "0" }, metadata);
reading: for await (const answer of watching) {
  for (const { position, event } of answer.events) {
    const { type, subject } = texts(event);
    if (subject !== "team/day") continue;
    console.log("event:", type, "at", position);
    break reading;
  }
}
process.exit();
